"""What the node tells of its work: lines for the log, and figures for the page."""

from __future__ import annotations

import logging
import threading
from collections import Counter

LOG = logging.getLogger("ratcli.node")

METRICS = {
    "objects_received_total": "Objects that were received and stored.",
    "objects_refused_total": "Objects that were refused.",
    "associations_refused_total": "Associations that were refused.",
    "series_restored_total": "Series that were restored.",
    "series_failed_total": "Series that failed.",
    "planes_restored_total": "Planes that were restored.",
    "restoring_seconds_total": "Time that restoring took, in seconds.",
    "deliveries_total": "Series that a destination has got.",
    "delivery_failures_total": "Attempts to deliver a series that did not work.",
}
"""Every figure that is counted, and what it means."""


class Events:
    """Counts and logs; all methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def count(self, metric: str, amount: float = 1) -> None:
        """Add to a figure of `METRICS`."""
        with self._lock:
            self._counts[metric] += amount  # type: ignore[assignment]

    def figures(self) -> dict[str, float]:
        """Return all figures since the start."""
        with self._lock:
            return {name: self._counts[name] for name in METRICS}


def log(level: int, event: str, **facts: object) -> None:
    """Write a line to the log: the event and its facts, which name nothing of a patient.

    Args:
        level: of the logging module.
        event: what happened, in a few words.
        facts: key of the series, names of routes and destinations, numbers, reasons.
    """
    words = [f"{name.replace('_', ' ')} {value}" for name, value in facts.items()]
    LOG.log(level, "%s", "; ".join([event, *words]), extra={"event": event, "facts": facts})


def reason_of(error: Exception) -> str:
    """Return why the disk or the database failed, without a path."""
    if isinstance(error, OSError):
        return f"the disk cannot be used: {(error.strerror or 'unknown reason').lower()}"
    return str(error)
