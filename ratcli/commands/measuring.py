"""Measuring one restored scan beside those that belong to it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ratcli.commands.comparing import Asked, Together, open_region_source, settings_for
from ratcli.evaluation.evaluate import evaluate
from ratcli.evaluation.results import Evaluation
from ratcli.evaluation.scene import Comparison
from ratcli.formats import open_scan
from ratcli.formats.history import made_by

PlaneProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Measured:
    """The figures of one scan.

    Attributes:
        each: the scan, and those that belong to it.
        found: its figures.
        made: how `rat` made it, empty where its header does not tell.
    """

    each: Together
    found: Evaluation
    made: str


def measure(
    each: Together, regions: Path | None, asked: Asked, progress: PlaneProgress
) -> Measured:
    """Open the scans of a set and measure the restored one.

    Args:
        each: the scans.
        regions: file of regions to measure in, or None.
        asked: what to measure.
        progress: called with the views done and all views.

    Raises:
        RatError: a scan cannot be read, or they do not belong together.
    """
    with contextlib.ExitStack() as stack:
        opened = partial(open_scan, assume_unit=asked.unit, max_pixels=asked.max_pixels)
        readers = {
            name: stack.enter_context(opened(source)) for name, source in each.others.items()
        }
        restored = stack.enter_context(opened(each.restored))
        source = None if regions is None else open_region_source(regions, restored, stack)
        comparison = Comparison(
            restored,
            readers.get("reference"),
            readers.get("input"),
            source,
            readers.get("uncertainty"),
        )
        found = evaluate(comparison, settings_for(restored, asked), progress)
        return Measured(each, found, made_by(restored))
