"""Evaluates scans on disk as a batch, and writes tables and pages about all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ratcli import __version__
from ratcli.batch.evaluating import EvaluateWork, MeasuredScan, measured_scan
from ratcli.batch.evaluation_jobs import ComparedWith, EvaluationJob, find_evaluations, prepared
from ratcli.batch.existing import IfExists
from ratcli.batch.manifest import Header
from ratcli.batch.outcome import Fact, Outcome
from ratcli.batch.pages import Pages, plan_pages, versions, write_index, write_text
from ratcli.batch.plan import Job
from ratcli.batch.session import Batch
from ratcli.commands.batches import Listener, finish, header_of, planned, timed
from ratcli.commands.evaluate import EvaluateOptions, choices_of
from ratcli.commands.scans import batch_settings, reading
from ratcli.evaluation.export import csv_text
from ratcli.evaluation.patients import PatientFigures, over_patients
from ratcli.evaluation.report import IndexEntry
from ratcli.formats.atomic import check_free


def evaluate_batch(
    restored: Sequence[Path], options: EvaluateOptions, listener: Listener
) -> list[MeasuredScan]:
    """Measure scans on disk; see `ratcli.commands.evaluate.evaluate`.

    The listener gets each `MeasuredScan` as a result, and `PatientFigures` of several at the end.
    """
    batch, work, results = _prepare(restored, options)
    if options.dry_run:
        planned(batch, work, listener)
        return []
    with timed(listener, batch) as seconds:
        outcomes = batch.run(work, _FigureListener(listener))
    listener.ended(outcomes, seconds())
    measured = results.measured(outcomes)
    over = results.write(measured)
    if over is not None:
        listener.result(over)
    finish(outcomes)
    return [one for _, one in measured]


class PreparedEvaluation(NamedTuple):
    """A batch that is ready to run, its work, and the results to write at the end."""

    batch: Batch
    work: EvaluateWork
    results: Results


@dataclass(frozen=True)
class Results:
    """Writes what is about all scans: rows, an index, and figures over patients.

    Attributes:
        jobs: of the whole batch, in the order of its rows.
        pages: of the report, or None.
        options: of the command.
        is_continued: whether files of an earlier part of this batch may be replaced.
    """

    jobs: tuple[EvaluationJob, ...]
    pages: Pages | None
    options: EvaluateOptions
    is_continued: bool

    @property
    def if_exists(self) -> IfExists:
        """What to do about files that exist."""
        return "overwrite" if self.is_continued else self.options.if_exists

    def check_free(self, left: Sequence[Job]) -> None:
        """Refuse outputs that exist, before anything is measured.

        Args:
            left: jobs that are still to be done.

        Raises:
            OutputError: a name is taken.
        """
        for job in left:
            for page in job.outputs:
                check_free(page, overwrite=job.overwrite or self.options.if_exists != "error")
        index = None if self.pages is None else self.pages.index
        for path in (self.options.csv, index):
            if path is not None:
                check_free(path, overwrite=self.if_exists != "error")

    def measured(self, outcomes: Sequence[Outcome]) -> list[tuple[EvaluationJob, MeasuredScan]]:
        """Return the figures of all scans that were measured, in the order of the jobs."""
        by_name = {outcome.name: outcome for outcome in outcomes}
        known = [(job, by_name[job.name]) for job in self.jobs if job.name in by_name]
        return [(job, one) for job, outcome in known if (one := measured_scan(outcome))]

    def write(self, done: Sequence[tuple[EvaluationJob, MeasuredScan]]) -> PatientFigures | None:
        """Write rows and index of all scans that were measured.

        Returns:
            Figures over patients, None for fewer than two scans.

        Raises:
            OutputError: a file cannot be written.
        """
        if self.options.csv is not None and done:
            text = csv_text([(one.name, one.found) for _, one in done])
            write_text(self.options.csv, text, self.if_exists)
        over = None
        if len(done) > 1:
            scans = [(job.patient(self.options.patient), one.found) for job, one in done]
            over = PatientFigures(over_patients(scans), self.options.patient)
        if self.pages is not None and self.pages.index is not None and done:
            entries = [IndexEntry(one.name, job.output.name, one.found) for job, one in done]
            write_index(self.pages.index, entries, over, overwrite=self.if_exists != "error")
        return over


class _FigureListener:
    """Passes calls on, and gives the figures of each scan as a result."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.check, self.planes = listener.check, listener.planes

    def finished(self, outcome: Outcome) -> None:
        self._listener.finished(outcome)
        one = measured_scan(outcome)
        if one is not None:
            self._listener.result(one)


def _prepare(restored: Sequence[Path], options: EvaluateOptions) -> PreparedEvaluation:
    """Plan what a batch reads, measures and writes; nothing is measured yet.

    Raises:
        RatError: an input is missing, or an output exists.
    """
    others = ComparedWith(options.reference, options.input, options.uncertainty)
    plan = find_evaluations(
        restored,
        others,
        recursive=options.recursive,
        series_uid=options.series_uid,
        localizers=options.include_localizers,
    )
    work = _work(options)
    pages = None
    if options.report is not None:
        names = [job.name.replace("/", "_") for job in plan.jobs]
        pages = plan_pages(options.report.absolute(), names)
    unit = f", unit {options.unit}" if options.unit else ""
    plan = prepared(plan, pages, work.files, {"settings": work.choices.text + unit, **versions()})
    # What an earlier part of this batch wrote is written again, with the rows of all scans.
    is_continued = options.resume and options.manifest is not None and options.manifest.exists()
    batch = Batch(plan, _header(options, others), batch_settings(options))
    every_job = tuple(job for job in plan.jobs if isinstance(job, EvaluationJob))
    results = Results(every_job, pages, options, is_continued)
    results.check_free(batch.jobs)
    return PreparedEvaluation(batch, work, results)


def _work(options: EvaluateOptions) -> EvaluateWork:
    return EvaluateWork(
        choices_of(options),
        regions=None if options.regions is None else options.regions.absolute(),
        reading=reading(options),
        any_values=options.any_values,
        keeps_pages=options.if_exists == "skip",
        exact_values=options.report_values,
    )


def _header(options: EvaluateOptions, others: ComparedWith) -> Header:
    """Return what a manifest records of the whole batch.

    The version is compared when a batch is resumed: no table has figures of two versions.
    """
    compared: dict[str, Fact] = {
        "rat version": __version__,
        "baseline": ", ".join(Path(text).name for text in options.baseline),
        "compared with": ", ".join(others.paths),
        "regions": "given" if options.regions is not None else "found",
    }
    libraries = {"numpy": None, "scipy": None, "scikit-image": None}
    return header_of("evaluate", options, compared, libraries)
