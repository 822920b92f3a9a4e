"""`rat evaluate --detectability` on a CT scan: discs are planted in simulated repeats of it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ratcli import __version__
from ratcli.batch.outcome import Fact, Outcome, failure_of
from ratcli.batch.plan import Plan
from ratcli.batch.planting import PlantedWork, RepeatJob
from ratcli.batch.pool import threads_each
from ratcli.batch.session import Batch
from ratcli.commands.batches import Listener, header_of, timed
from ratcli.commands.restore_options import STRENGTHS
from ratcli.commands.scans import batch_settings, reading
from ratcli.errors import UsageError
from ratcli.evaluation.planted import PlantedDesign, PlantedResults, Readouts
from ratcli.evaluation.results import Evaluation
from ratcli.formats import find_scans
from ratcli.formats.finding import only_scan
from ratcli.network.registry import find_weights
from ratcli.network.settings import EngineSettings
from ratcli.pipeline import RestoreSettings
from ratcli.tasks import get_task

if TYPE_CHECKING:
    from ratcli.commands.evaluate import EvaluateOptions

LOG = logging.getLogger("ratcli.commands")

TASK = "ct-denoise"

_NOTE = (
    "Discs were planted at uniform places of the middle plane, in {repeats} simulated repeats with "
    "and as many without them; the object is the restored plane. Real noise may differ."
)


def evaluate_planted(path: Path, options: EvaluateOptions, listener: Listener) -> Evaluation:
    """Measure how well discs are detected in a scan at lower doses, and restored from them.

    Raises:
        RatError: the scan cannot be read or is not CT, or a repeat failed.
    """
    source = only_scan(find_scans(path, series_uid=options.series_uid), path)
    work = _work(options)
    jobs = tuple(
        RepeatJob(source, f"{source.name}, repeat {repeat + 1}", Path(), repeat=repeat)
        for repeat in range(options.repeats)
    )
    header = header_of("evaluate", options, _resolved(work), {"torch": None, "numpy": None})
    batch = Batch(Plan(jobs), header, batch_settings(options))
    with work.open(jobs[0]) as reader:
        info = reader.info
        if batch.jobs:
            _announce(len(batch.jobs), work.load().seconds(reader), options)
    with timed(listener, batch) as seconds:
        outcomes = batch.run(work, _RepeatListener(listener))
    listener.ended((), seconds())
    if (error := failure_of(outcomes)) is not None:
        raise error
    results = PlantedResults(work.design, Readouts.of([outcome.facts for outcome in outcomes]))
    return Evaluation(
        1, info.height, info.width, info.spacing_mm, "HU",
        detectability=results.rows(),
        equivalences=results.equivalences(),
        notes=(_NOTE.format(repeats=options.repeats),),
    )  # fmt: skip


def _announce(repeats: int, seconds: float, options: EvaluateOptions) -> None:
    """Say how long the study will take, and how it can be stopped."""
    minutes = max(1, round(repeats * seconds / 60 / min(options.jobs, repeats)))
    later = "--resume continues it" if options.manifest else "with --manifest it can be resumed"
    LOG.info(
        "%d repeats will take about %d minute%s; Ctrl-C stops the study, and %s.",
        repeats, minutes, "" if minutes == 1 else "s", later,
    )  # fmt: skip


def _work(options: EvaluateOptions) -> PlantedWork:
    """Return how repeats are made.

    Raises:
        UsageError: a dose is not below 1, or is given twice.
    """
    doses = options.dose or (0.25,)
    if len(set(doses)) < len(doses) or not all(0.01 <= dose < 1 for dose in doses):
        raise UsageError(
            f"doses must differ and be from 0.01 to below 1, not {', '.join(map(str, doses))}"
        )
    settings = RestoreSettings(
        task=get_task(TASK),
        weights=() if options.weights is None else (options.weights,),
        engine=EngineSettings(threads=threads_each(options.jobs)),
    )
    return PlantedWork(
        design=PlantedDesign(
            tuple(sorted(doses)), tuple(STRENGTHS.items()), options.repeats,
            internal_noise=options.internal_noise,
        ),
        settings=settings,
        reading=reading(options),
    )  # fmt: skip


def _resolved(work: PlantedWork) -> dict[str, Fact]:
    """Return the settings that depend on more than the options."""
    (name,) = work.settings.weights_names
    return {"weights_sha256": find_weights(name).sha256, "rat version": __version__}


class _RepeatListener:
    """Passes progress on; repeats are no scans, so only their failures are reported."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.check, self.planes = listener.check, listener.planes

    def finished(self, outcome: Outcome) -> None:
        if outcome.status == "failed":
            self._listener.finished(outcome)
