"""`rat evaluate`: its options, and the function that measures restored scans or arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from ratcli.commands.arrays import AnyArray, open_scan_or_array
from ratcli.commands.batches import SILENT, Listener
from ratcli.commands.options import option, settle, takes
from ratcli.commands.scans import RunOptions, StrPath, WindowOptions, reading
from ratcli.tasks import get_task

if TYPE_CHECKING:
    from ratcli.batch.evaluating import MeasuredScan
    from ratcli.evaluation.choices import Choices
    from ratcli.evaluation.results import Evaluation
    from ratcli.scan import ScanReader

MEASURE = "What is measured"


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(WindowOptions, RunOptions):
    """How `rat evaluate` works; its fields are the options of the command line."""

    reference: Path | None = option(
        None,
        "What the scans should look like: one scan, or a folder with a scan for each.",
        metavar="PATH",
    )
    input: Path | None = option(
        None,
        "What the scans were restored from: one scan, or a folder with a scan for each.",
        metavar="PATH",
    )
    report: Path | None = option(
        None,
        "Write a report: a file for one scan, .html, .pdf, or .dcm (the PDF inside DICOM, in the "
        "study of the scan); a folder with an index for several.",
        metavar="PATH",
    )
    report_values: bool = option(
        False,
        "Put all pixels in 16 bits into the report, so that values read in its pictures are "
        "exact. A plane of 512 x 512 pixels then takes about 0.4 MB for each image.",
    )
    csv: Path | None = option(
        None, "Write a row for each plane and region to this CSV file.", metavar="FILE"
    )
    uncertainty: Path | None = option(
        None,
        "Standard deviations from `rat restore --uncertainty`, to compare with the real error.",
        metavar="PATH",
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
        metavar="WINDOW", group=MEASURE, changes_pixels=True,
    )  # fmt: skip
    baseline: tuple[str, ...] = option(
        (),
        "Also score this method on the input: gaussian, nl-means, total-variation, bm3d, or a "
        "JSON file with tuned settings. May be given more than once.",
        metavar="METHOD", group=MEASURE,
    )  # fmt: skip
    protocol: Literal["native", "rat-paper"] = option(
        "native",
        "How fidelity is scored. rat-paper uses one window as 8-bit luma, as the authors do; "
        "compare its figures only with the tables of their paper.",
        group=MEASURE,
        changes_pixels=True,
    )
    phantom: bool = option(
        False,
        "The scan shows a round phantom: measure uniformity, and resolution at its edges.",
        group=MEASURE,
        changes_pixels=True,
    )
    detectability: bool = option(
        False,
        "Measure how well small, faint discs are detected. For a CT scan, discs are planted in "
        "its middle plane at simulated lower doses, which are restored. For a folder with images "
        "of a phantom in signal_present and signal_absent (DICOM, NIfTI or MetaImage), --regions "
        "gives the discs.",
        group=MEASURE,
    )  # fmt: skip
    dose: tuple[float, ...] = option(
        (),
        "Dose at which planted discs are restored, as a fraction of that of the scan. May be given "
        "more than once; without it, 0.25.",
        metavar="D", group=MEASURE, changes_pixels=True,
    )  # fmt: skip
    repeats: int = option(
        20,
        "Repeats with planted discs, and as many without. More give smaller intervals.",
        least=8, metavar="N", group=MEASURE, changes_pixels=True,
    )  # fmt: skip
    weights: str | None = option(
        None,
        "Name of the weights that restore planted discs. Without it, those of ct-denoise.",
        metavar="NAME", group=MEASURE, changes_pixels=True,
    )  # fmt: skip
    internal_noise: float = option(
        0.0,
        "Variance of the decisions that the observer itself adds, as a share of that from the "
        "image. 0, the default, is an observer without noise of its own.",
        least=0, metavar="SHARE", group=MEASURE,
    )  # fmt: skip
    patient: Literal["scan", "folder", "header"] = option(
        "header",
        "What counts as one patient in means and intervals over several scans: all scans with the "
        "same PatientID (DICOM), or else in the same first folder or with the same sub-NAME in the "
        "file name (header); a scan; or a folder.",
        group=MEASURE,
    )


# Options for one scan or array; all others are for lists of scans.
_FOR_ONE = frozenset(
    {"reference", "input", "uncertainty", "unit", "task", "window", "baseline", "protocol"}
    | {"phantom", "suv_factor", "full_scale", "image", "regions", "max_pixels"}
    | {"include_localizers", "any_values"}
)


@overload
def evaluate(
    restored: AnyArray | StrPath,
    options: EvaluateOptions | None = None,
    *,
    listener: Listener = SILENT,
    **changes: Any,
) -> Evaluation: ...


@overload
def evaluate(
    restored: Sequence[StrPath],
    options: EvaluateOptions | None = None,
    *,
    listener: Listener = SILENT,
    **changes: Any,
) -> list[MeasuredScan]: ...


def evaluate(
    restored: AnyArray | StrPath | Sequence[StrPath],
    options: EvaluateOptions | None = None,
    *,
    listener: Listener = SILENT,
    **changes: Any,
) -> Evaluation | list[MeasuredScan]:
    """Measure restored scans: fidelity, noise, resolution, region means and the residual.

    Args:
        restored: an array, or the path of one scan; or a list of paths of files and folders,
            which are measured as a batch, as on the command line.
        options: the options; None for the defaults.
        listener: is called as the work proceeds, and gets the figures of each scan.
        changes: single options by name, which replace those in `options`. For an array,
            `reference`, `input` and `uncertainty` are arrays, and `task` decides their unit;
            `unit` says that they are in it although they do not look like it.

    Returns:
        For one scan its figures, with planes to show in a report. For a list, the figures of each
        scan.

    Raises:
        RatError: a scan failed; the error has the exit code of the command line. All other scans
            are measured.
        TypeError: an option does not exist, or is only for lists of scans.
        ValueError: an array without a task.
    """
    if isinstance(restored, (np.ndarray, str, os.PathLike)):
        return _evaluate_one(restored, options, changes)
    from ratcli.commands.detectability import evaluate_detectability
    from ratcli.commands.evaluation_batch import evaluate_batch

    paths, settled = [Path(path) for path in restored], settle(EvaluateOptions, options, changes)
    run = evaluate_detectability if settled.detectability else evaluate_batch
    return run(paths, settled, listener)


takes(EvaluateOptions)(evaluate)


def _evaluate_one(
    restored: AnyArray | StrPath, options: EvaluateOptions | None, changes: Mapping[str, Any]
) -> Evaluation:
    """Measure an array or one scan."""
    from ratcli.batch.evaluating import checked_settings
    from ratcli.evaluation.comparison import Comparison
    from ratcli.evaluation.evaluate import evaluate as measure
    from ratcli.evaluation.region_files import open_region_source

    if others := sorted(set(changes) - _FOR_ONE):
        raise TypeError(
            f"one scan does not take these options: {', '.join(others)}; give a list of paths"
        )
    names = ("reference", "input", "uncertainty")
    rest = {name: value for name, value in changes.items() if name not in (*names, "task")}
    settled = settle(EvaluateOptions, options, rest)
    scans = {"restored": restored} | {
        name: changes.get(name, getattr(settled, name)) for name in names
    }
    task = get_task(changes["task"]) if changes.get("task") else None
    any_values, how = settled.any_values, reading(settled)
    in_task = how if task is None else replace(how, unit=task.units[0])
    with ExitStack() as stack:
        readers: dict[str, ScanReader] = {
            # Standard deviations do not look like the values that they are of.
            name: stack.enter_context(
                open_scan_or_array(
                    scan, task, in_task if any_values or name == "uncertainty" else how
                )
            )
            for name, scan in scans.items()
            if scan is not None
        }
        regions = None
        if settled.regions is not None:
            regions = open_region_source(settled.regions, readers["restored"], stack)
        comparison = Comparison(**readers, regions=regions).with_unit()
        settings = checked_settings(comparison, choices_of(settled), any_values=any_values)
        return measure(comparison, settings)


def choices_of(options: EvaluateOptions) -> Choices:
    """Return what to measure."""
    from ratcli.evaluation.choices import Choices

    return Choices(
        windows=options.window,
        baselines=options.baseline,
        protocol=options.protocol,
        phantom=options.phantom,
    )
