"""A whole batch: from what the user named to the outcome of each scan."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ratcli.batch import manifest as manifests
from ratcli.batch.claim import claimed, is_free, sweep
from ratcli.batch.existing import IfExists, settle_existing
from ratcli.batch.manifest import Header, Manifest
from ratcli.batch.outcome import Outcome
from ratcli.batch.plan import Job, Plan
from ratcli.batch.run import BatchListener, Runner, RunSettings
from ratcli.batch.work import Work

_LOOK_AGAIN_S = 0.2


@dataclass(frozen=True)
class BatchSettings:
    """How a batch is run.

    Attributes:
        if_exists: what to do about outputs that are there: `error`, `skip` or `overwrite`.
        manifest: file that keeps what became of each scan, or None.
        resume: whether to go on with the batch of that manifest.
        processes: processes on this machine.
        scheduler: address of a Dask scheduler; empty for this machine.
        scheduler_timeout: seconds in which the scheduler must answer.
        fail_fast: whether the first failure ends the batch.
    """

    if_exists: IfExists = "error"
    manifest: Path | None = None
    resume: bool = False
    processes: int = 1
    scheduler: str = ""
    scheduler_timeout: float = 10.0
    fail_fast: bool = False


class Batch:
    """The jobs of a batch. Nothing is computed or written before `run`.

    Args:
        plan: from `find_jobs`.
        header: what the manifest says about the whole batch.
        settings: how to run it.

    Attributes:
        every_job: all jobs of the plan, also those that are done already.
        plan: what is left to do.

    Raises:
        OutputError: outputs or the manifest are there already.
        UsageError: the manifest to resume was made with other settings.
    """

    def __init__(self, plan: Plan, header: Header, settings: BatchSettings) -> None:
        self.every_job = plan.jobs
        self._header = header
        self._settings = settings
        self._before: list[Outcome] = []
        if settings.manifest is not None:
            if settings.resume:
                self._before = manifests.read(settings.manifest, header)
                plan = manifests.resume(
                    plan, self._before, keeps_strangers=settings.if_exists == "error"
                )
            elif settings.if_exists != "overwrite":
                manifests.check_new(settings.manifest)
        self.plan = settle_existing(plan, settings.if_exists)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """What is left to do."""
        return self.plan.jobs

    @property
    def is_elsewhere(self) -> bool:
        """Whether a cluster does the work, so that this process may end at any time."""
        return bool(self._settings.scheduler)

    def run(self, work: Work, listener: BatchListener) -> list[Outcome]:
        """Work through the jobs.

        Returns:
            The outcome of every scan, in the order in which they came.

        Raises:
            WeightsError: the weights are missing or damaged.
            DeviceError: the device, or the cluster, is missing.
            OutputError: the manifest cannot be written, or is in use by another process.
        """
        runner = Runner(work, self._how)
        with self._recorded(listener) as record:
            for jobs in self._rounds(record):
                if self._is_shared(jobs):
                    self._share(jobs, work, record)
                    continue
                with closing(runner.attempts(jobs, record)) as attempts:
                    for worker, attempt in attempts:
                        with attempt:
                            attempt.claim()
                            attempt.output = worker.run(
                                attempt.job, attempt.reader, attempt.progress
                            )
        return record.outcomes

    @contextmanager
    def _recorded(self, listener: BatchListener) -> Iterator[_Record]:
        """Begin the manifest, remove what killed processes left, and record outcomes."""
        with ExitStack() as stack:
            manifest = None
            if self._settings.manifest is not None:
                stack.enter_context(claimed(self._settings.manifest))
                manifest = manifests.begin(self._settings.manifest, self._header, self.plan)
            for job in self.every_job:
                for path in job.claims:
                    sweep(path)
            places = {job.name: job.shown for job in self.every_job}
            record = _Record(listener, manifest, places)
            for outcome in self.plan.outcomes:
                record.finished(outcome)
            try:
                yield record
            except BaseException:
                record.close(finished=False)
                raise
            record.close(finished=True)

    def _rounds(self, record: _Record) -> Iterator[tuple[Job, ...]]:
        """Yield the jobs, then again those with an output that another process was writing.

        If existing outputs are skipped, wait for the other process. What it has written is then
        skipped; what it did not finish is done here.
        """
        yield self.jobs
        while self._settings.if_exists == "skip" and record.busy:
            names = {outcome.name for outcome in record.busy}
            record.busy = []
            jobs = tuple(job for job in self.jobs if job.name in names)
            while not all(is_free(path) for job in jobs for path in job.claims):
                record.check()
                time.sleep(_LOOK_AGAIN_S)
            left = settle_existing(Plan(jobs), "skip")
            for outcome in left.outcomes:
                record.finished(outcome)
            if left.jobs:
                yield left.jobs
        for outcome in record.busy:
            record.finished(replace(outcome, status="failed"))

    @property
    def _how(self) -> RunSettings:
        settings = self._settings
        return RunSettings(digests=settings.manifest is not None, fail_fast=settings.fail_fast)

    def _is_shared(self, jobs: tuple[Job, ...]) -> bool:
        """Return whether several processes work on the jobs."""
        return self.is_elsewhere or min(self._settings.processes, len(jobs)) > 1

    def _share(self, jobs: tuple[Job, ...], work: Work, listener: BatchListener) -> None:
        """Let a cluster, or processes of this machine, work through jobs."""
        if self._settings.scheduler:
            from ratcli.batch.cluster import Scheduler, run_cluster

            scheduler = Scheduler(self._settings.scheduler, self._settings.scheduler_timeout)
            run_cluster(jobs, work, self._how, listener, scheduler)
        else:
            from ratcli.batch.pool import run_pool

            processes = min(self._settings.processes, len(jobs))
            run_pool(jobs, work, self._how, listener, processes)


class _Record:
    """A listener that passes outcomes on, keeps them, and writes the manifest.

    Args:
        listener: hears them, too.
        manifest: to write, or None.
        places: the output of each job, as messages name it.
    """

    def __init__(
        self, listener: BatchListener, manifest: Manifest | None, places: Mapping[str, str]
    ) -> None:
        self._listener = listener
        self._manifest = manifest
        self._places = places
        self.outcomes: list[Outcome] = []
        self.busy: list[Outcome] = []

    def check(self) -> None:
        self._listener.check()

    def planes(self, name: str, done: float, total: int) -> None:
        self._listener.planes(name, done, total)

    def finished(self, outcome: Outcome) -> None:
        if outcome.status == "busy":
            self.busy.append(outcome)
            return
        outcome = replace(outcome, shown=self._places.get(outcome.name, ""))
        self.outcomes.append(outcome)
        if self._manifest is not None:
            self._manifest.add(outcome)
        self._listener.finished(outcome)

    def close(self, *, finished: bool) -> None:
        if self._manifest is not None:
            self._manifest.save(finished=finished)
