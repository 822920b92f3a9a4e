"""`rat restore --report`: pages that compare each restored scan with its input."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from ratcli.batch.evaluating import EvaluateWork, measured_scan
from ratcli.batch.evaluation_jobs import EvaluationJob
from ratcli.batch.existing import IfExists
from ratcli.batch.manifest import Header
from ratcli.batch.naming import numbered
from ratcli.batch.outcome import Outcome, failure_of
from ratcli.batch.pages import plan_pages, versions, write_index
from ratcli.batch.plan import Plan
from ratcli.batch.session import Batch, BatchSettings
from ratcli.commands.batches import Listener
from ratcli.errors import PartialFailureError, RatError, sentence
from ratcli.evaluation.choices import Choices
from ratcli.evaluation.report import IndexEntry
from ratcli.formats import find_scans
from ratcli.formats.atomic import check_free

if TYPE_CHECKING:
    from ratcli.batch.by_task import WorkByTask
    from ratcli.batch.plan import Job
    from ratcli.batch.restoring import RestoreWork

LOG = logging.getLogger("ratcli.commands")


class RestoreReports:
    """Reports on the scans of a batch, made after all are restored.

    Scans that an earlier call restored are measured too, so that the index has them all.

    Args:
        place: a file ending in `.html` for one scan; else a folder.
        jobs: all scans of the batch, including those that are already done.
        work: how they are restored.
        if_exists: what to do if a page already exists.
        listener: is called as the pages are made.

    Raises:
        UsageError: one file for several scans, or a file that is not HTML.
        OutputError: a page already exists.
    """

    def __init__(
        self,
        place: Path,
        jobs: Sequence[Job],
        work: RestoreWork | WorkByTask,
        if_exists: IfExists,
        listener: Listener,
    ) -> None:
        self._pages = plan_pages(place, [job.source.name for job in jobs])
        self._jobs, self._work, self._listener = jobs, work, listener
        self._if_exists = if_exists
        for path in (*self._pages.each, *([self._pages.index] if self._pages.index else ())):
            check_free(path, overwrite=if_exists != "error")

    def write(self, outcomes: Sequence[Outcome]) -> RatError | None:
        """Write the pages of all scans that have an output, and the index.

        Returns:
            An error if a page could not be made, else None.
        """
        restored = {one.name: one for one in outcomes if one.status in ("done", "skipped")}
        pages = zip(self._jobs, self._pages.each, strict=True)
        jobs = tuple(
            numbered(
                self._evaluation(job, page, restored[job.name])
                for job, page in pages
                if job.name in restored
            )
        )
        listener = _ReportListener(self._listener)
        pages_made: list[Outcome] = []
        with self._listener.working(len(jobs)):
            for work, same in groupby(jobs, self._evaluate_work):
                batch = Batch(Plan(tuple(same)), Header(), BatchSettings(self._if_exists))
                pages_made += batch.run(work, listener)
        self._write_index(jobs, pages_made)
        failed = sum(one.status == "failed" for one in pages_made)
        if failed and len(self._jobs) > 1:
            return PartialFailureError(f"{failed} reports could not be made")
        return failure_of(pages_made)

    def _evaluation(self, job: Job, page: Path, outcome: Outcome) -> EvaluationJob:
        others = {"input": job.source}
        if job.uncertainty is not None:
            others["uncertainty"] = find_scans(job.uncertainty)[0]
        return EvaluationJob(
            find_scans(job.output)[0],
            job.source.name,
            page,
            others=others,
            task=job.task,
            page_facts={"settings": self._settings_text(job, outcome), **versions("torch")},
        )

    def _evaluate_work(self, job: Job) -> EvaluateWork:
        work = self._work.of(job)
        task, given = work.settings.task, work.reading
        unit = None if given.suv_factor is not None else task.units[0]
        return EvaluateWork(
            Choices(),
            # A region map is on the grid of the input.
            regions=work.regions if task.scale == 1 else None,
            reading=replace(given, unit=given.unit or unit),
            any_values=work.any_values,
            keeps_pages=self._if_exists == "skip",
        )

    def _settings_text(self, job: Job, outcome: Outcome) -> str:
        settings = self._work.of(job).settings
        precision = outcome.facts.get("precision", settings.engine.precision)
        how = [f"precision {precision}", f"views {settings.views}"]
        if settings.engine.tile:
            how.append(f"tiles of {settings.engine.tile} px")
        facts = outcome.facts
        if "noise_hu" in facts:
            how.append(
                f"strength {facts['strength']:g} chosen, which changes the noise from "
                f"{facts['input_noise_hu']:g} to {facts['noise_hu']:g} HU"
            )
        if "device" in outcome.facts:
            how.append(f"device {outcome.facts['device']}")
        return ", ".join(how)

    def _write_index(self, jobs: Sequence[EvaluationJob], outcomes: Sequence[Outcome]) -> None:
        by_name = {outcome.name: outcome for outcome in outcomes}
        entries = [
            IndexEntry(job.name, job.output.name, one.found)
            for job in jobs
            if (one := measured_scan(by_name[job.name]))
        ]
        if self._pages.index is not None and entries:
            write_index(self._pages.index, entries, overwrite=self._if_exists != "error")


class _ReportListener:
    """Passes on the progress of the pages, and logs why a page could not be made."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.check, self.planes = listener.check, listener.planes

    def finished(self, outcome: Outcome) -> None:
        if outcome.status == "failed":
            LOG.error("%s", sentence(f"report on {outcome.error}", outcome.hint))
        else:
            LOG.info("%s -> %s", outcome.name, Path(outcome.output).name)
