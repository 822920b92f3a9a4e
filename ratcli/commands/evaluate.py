"""`rat evaluate`: its options, and figures of restored scans or arrays."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ratcli.batch.arrays import AnyArray
from ratcli.commands.arrays import open_scan_or_array
from ratcli.commands.options import option
from ratcli.commands.scans import ScanOptions
from ratcli.tasks import get_task

if TYPE_CHECKING:
    from ratcli.evaluation.evaluate import Settings as EvaluationSettings
    from ratcli.evaluation.results import Evaluation


MEASURE = "What is measured"


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(ScanOptions):
    """How `rat evaluate` works; the fields are the options of the command line, too."""

    reference: Path | None = option(
        None,
        "What the scans should look like: one scan, or a folder with one for each.",
        metavar="PATH",
    )
    input: Path | None = option(
        None,
        "What the scans were restored from: one scan, or a folder with one for each.",
        metavar="PATH",
    )
    report: Path | None = option(
        None,
        "Write an HTML report: a file for one scan, a folder with an index for several.",
        metavar="PATH",
    )
    csv: Path | None = option(
        None, "Write a row for each plane and region to this CSV file.", metavar="FILE"
    )
    if_exists: Literal["error", "skip", "overwrite"] = option(
        "error", "What to do if an output file already exists."
    )
    uncertainty: Path | None = option(
        None, "The standard deviations that `rat restore --uncertainty` wrote.", metavar="PATH"
    )
    regions: Path | None = option(
        None,
        "Measure in these regions: JSON with discs and boxes, or a region map (NIfTI, TIFF, DICOM "
        "SEG). Without it, rat finds regions.",
        metavar="FILE", group=MEASURE,
    )  # fmt: skip
    window: tuple[str, ...] = option(
        (),
        "Score in this window: ct-full, ct-soft, ct-lung, pet-full, pet-tissue, rgb, rgb-y, or "
        "LOW,HIGH as in --window=-100,300. May be given more than once.",
        metavar="WINDOW", group=MEASURE,
    )  # fmt: skip
    baseline: tuple[str, ...] = option(
        (),
        "Also score this method on the input: gaussian, nl-means, total-variation, bm3d, or a "
        "JSON file with tuned settings. May be given more than once.",
        metavar="METHOD", group=MEASURE,
    )  # fmt: skip
    protocol: Literal["native", "rat-paper"] = option(
        "native",
        "How fidelity is scored. rat-paper uses 8-bit luma of one window, which compares with the "
        "tables of the paper alone.",
        group=MEASURE,
    )
    phantom: bool = option(
        False,
        "The scan shows a round phantom: measure uniformity, and resolution at its edges.",
        group=MEASURE,
    )
    suv_factor: float | None = option(
        None, "SUV for each Bq/ml. Without it, the factor of the file, where it has one.",
        least=0, metavar="F", group=MEASURE,
    )  # fmt: skip
    patient: Literal["scan", "folder"] = option(
        "scan",
        "What counts as one patient in means and intervals over several scans.",
        group=MEASURE,
    )


def evaluate(
    restored: AnyArray | str | os.PathLike[str],
    *,
    reference: AnyArray | str | os.PathLike[str] | None = None,
    input: AnyArray | str | os.PathLike[str] | None = None,
    task: str = "",
    unit: str | None = None,
    settings: EvaluationSettings | None = None,
) -> Evaluation:
    """Measure a restored scan: fidelity, noise, resolution, region means, what was taken away.

    Args:
        restored: an array or the path of one scan.
        reference: what it should look like.
        input: what it was made from.
        task: the task whose units arrays are in; needed for arrays alone.
        unit: unit of the values where a file does not tell it.
        settings: windows, baselines and more.

    Raises:
        RatError: the scans do not belong together, or cannot be read.
        ValueError: arrays without a task.
    """
    from ratcli.evaluation.evaluate import evaluate as measure
    from ratcli.evaluation.scene import Comparison

    chosen = get_task(task) if task else None
    with ExitStack() as stack:
        readers = [
            None if scan is None else stack.enter_context(open_scan_or_array(scan, chosen, unit))
            for scan in (restored, reference, input)
        ]
        assert readers[0] is not None
        return measure(Comparison(readers[0], readers[1], readers[2]), settings)
