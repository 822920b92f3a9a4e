"""`rat restore --report`: what was restored, measured against its input."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ratcli.batch.outcome import Outcome
from ratcli.commands.comparing import Asked, Together
from ratcli.commands.listening import Listener
from ratcli.commands.measuring import Measured, measure
from ratcli.commands.reporting import Reports, hashes, versions
from ratcli.errors import PartialFailureError, RatError, sentence
from ratcli.formats import ScanSource, find_scans

if TYPE_CHECKING:
    from ratcli.batch.plan import Job
    from ratcli.batch.restoring import RestoreWork


LOG = logging.getLogger("ratcli.commands")


class RestoreReports:
    """Reports on the scans of a batch; made once they are all restored.

    Scans that an earlier call restored are measured too, so that the index has them all.

    Args:
        place: a file ending in `.html` for one scan; else a folder.
        jobs: all scans of the batch, those that are done already among them.
        work: what is done to them.
        if_exists: what to do about pages that are there.
        listener: hears how far the pages are.

    Raises:
        UsageError: one file for several scans, or a file that is no HTML.
        OutputError: a page is there already.
    """

    def __init__(
        self,
        place: Path,
        jobs: Sequence[Job],
        work: RestoreWork,
        if_exists: str,
        listener: Listener,
    ) -> None:
        self._reports = Reports(place, [job.source.name for job in jobs], if_exists)
        self._jobs, self._work, self._listener = jobs, work, listener

    def write(self, outcomes: Sequence[Outcome]) -> RatError | None:
        """Write the pages of all scans that have an output, and the index.

        Returns:
            What to tell where a page could not be made, else None.
        """
        failed: list[RatError] = []
        told = {outcome.name: outcome for outcome in outcomes}
        with self._listener.working(len(self._jobs), elsewhere=True):
            for number, job in enumerate(self._jobs):
                outcome = told.get(job.name)
                if outcome is None or outcome.status not in ("done", "skipped"):
                    continue
                try:
                    self._page(number, job, outcome)
                except RatError as error:
                    LOG.error("%s", sentence(f"report on {job.name}: {error}", error.hint))
                    failed.append(error)
        self._reports.finish()
        if len(self._jobs) == 1 and failed:
            return failed[0]
        return PartialFailureError(f"{len(failed)} reports could not be made") if failed else None

    def _page(self, number: int, job: Job, outcome: Outcome) -> None:
        task, name = self._work.settings.task, job.source.name
        others = {"input": job.source}
        if job.uncertainty is not None:
            others["uncertainty"] = _written(job.uncertainty)
        each = Together(_written(job.output), others)
        # A region map is on the grid of the input.
        regions = self._work.regions if task.scale == 1 else None
        unit, limit = self._work.unit or task.units[0], self._work.max_pixels
        asked = Asked(unit=unit, max_pixels=limit)
        one = measure(each, regions, asked, partial(self._listener.planes, job.name))
        self._reports.add(number, name, one.found, self._facts(one, outcome.facts))

    def _facts(self, one: Measured, told: Mapping[str, object]) -> dict[str, str]:
        settings = self._work.settings
        how = [f"precision {settings.engine.precision}", f"views {settings.views}"]
        if settings.engine.tile:
            how.append(f"tiles of {settings.engine.tile} px")
        if "device" in told:
            how.append(f"device {told['device']}")
        return {
            "restored by": one.made or "not told by the restored scan's header",
            **hashes({"restored": one.each.restored, **one.each.others}),
            "settings": ", ".join(how),
            **versions("torch"),
        }


def _written(path: Path) -> ScanSource:
    """Return a scan that was written."""
    return find_scans(path)[0]
