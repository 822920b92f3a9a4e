"""`rat serve` on the command line."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from ratcli.cli.console import ConsoleOptions, say, table
from ratcli.cli.parameters import Verb, app_of
from ratcli.commands.serve import (
    QueueStatus,
    ServeOptions,
    queue_status,
    retry_failed,
    serve,
)


def _run(nothing: Any, options: ServeOptions, console: ConsoleOptions) -> None:
    if options.status:
        status = queue_status(options)
        say(*([_as_json(status)] if console.json else _as_text(status)))
    elif options.retry:
        say(f"{retry_failed(options)} series are in the queue again")
    else:
        with contextlib.suppress(KeyboardInterrupt), _json_log(console):
            serve(options)


app = app_of(
    Verb(
        ServeOptions,
        _run,
        "Run a DICOM node that restores the series sent to it and sends the results on.",
        (
            ("rat serve --config node.toml", "runs until Ctrl-C or SIGTERM"),
            ("rat serve --config node.toml --json", "with one JSON object for each event"),
            ("rat serve --config node.toml --status", "shows the queue"),
            ("rat serve --config node.toml --retry", "tries failed series again"),
        ),
        argument=None,
        has_config_file=False,
    )
)


def _as_json(status: QueueStatus) -> str:
    failed = [{"series": entry.key, "reason": entry.reason} for entry in status.failed]
    return json.dumps({"series": status.counts, "waiting": status.waiting, "failed": failed})


def _as_text(status: QueueStatus) -> list[str]:
    rows = [[state, str(count)] for state, count in status.counts.items()]
    rows += [[f"to send to {name}", str(count)] for name, count in status.waiting.items()]
    failed = [f"{entry.key}: {entry.reason}" for entry in status.failed]
    return [*table(("state", "series"), rows), *failed]


@contextmanager
def _json_log(console: ConsoleOptions) -> Iterator[None]:
    """Print each event of the node as a JSON object on stdout, if that is wanted."""
    if not console.json:
        yield
        return
    log, handler = logging.getLogger("ratcli.node"), _JsonLines(console.level)
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = True


class _JsonLines(logging.Handler):
    """Prints events as JSON."""

    def emit(self, record: logging.LogRecord) -> None:
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat("T", "milliseconds")
        known = {"time": time, "level": record.levelname.lower()}
        event = getattr(record, "event", record.getMessage())
        facts = getattr(record, "facts", {})
        say(json.dumps({**known, "event": event, **facts}, default=str))
