"""Runs jobs in several processes of this machine; each process loads the work once."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from ratcli.batch.interrupt import Interrupt, shielded
from ratcli.batch.outcome import Outcome, as_rat_error
from ratcli.batch.plan import Job
from ratcli.batch.run import BatchListener, Runner, RunSettings
from ratcli.batch.work import Work
from ratcli.errors import DeviceError, WeightsError
from ratcli.processors import usable_processors

CHECK_S = 0.3
"""Seconds between two looks whether the user wants an end."""

TRIES = 2
"""How often a job is tried if its process dies."""


@dataclass
class _Process:
    """A process, the pipe to it, and the job that it works on."""

    process: BaseProcess
    line: Connection
    job: Job | None = None


def run_pool(
    jobs: Iterable[Job], work: Work, settings: RunSettings, listener: BatchListener, processes: int
) -> None:
    """Run jobs in several processes. If a process dies, its job is tried once more.

    Raises:
        WeightsError: the weights are missing or damaged.
        DeviceError: the device is missing.
    """
    _Pool(jobs, work, settings, listener).run(processes)


def threads_each(processes: int) -> int:
    """Return the threads for each of several processes; 0, the default of `choose_device`, for one.

    It is 0, too, if `OMP_NUM_THREADS` says how many threads a process has.
    """
    if processes == 1 or "OMP_NUM_THREADS" in os.environ:
        return 0
    return max(1, usable_processors() // processes)


class _Pool:
    def __init__(
        self, jobs: Iterable[Job], work: Work, settings: RunSettings, listener: BatchListener
    ) -> None:
        self._left = deque(jobs)
        self._tries: dict[str, int] = {}
        self._work = work
        self._settings = settings
        self._listener = listener
        self._members: list[_Process] = []

    def run(self, processes: int) -> None:
        try:
            for _ in range(min(processes, len(self._left))):
                self._listener.check()
                self._hire()
            while self._members:
                self._listener.check()
                for line in wait([member.line for member in self._members], CHECK_S):
                    self._hear(next(m for m in self._members if m.line is line))
        finally:
            for member in self._members:
                member.process.terminate()
                member.line.close()
            for member in self._members:
                member.process.join()

    def _hire(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = (theirs, self._work, self._settings)
        process = context.Process(target=_serve, args=arguments, daemon=True)
        with shielded():
            process.start()
        theirs.close()
        member = _Process(process, ours)
        self._members.append(member)
        self._assign(member)

    def _assign(self, member: _Process) -> None:
        """Give a process its next job, or end it if there is none."""
        member.job = self._left.popleft() if self._left else None
        with contextlib.suppress(BrokenPipeError):  # noticed when the pipe is read
            member.line.send(member.job)
        if member.job is None:
            self._members.remove(member)
            member.process.join()

    def _hear(self, member: _Process) -> None:
        assert member.job is not None
        try:
            message: Any = member.line.recv()
        except (EOFError, ConnectionResetError):
            self._lost(member)
            return
        if isinstance(message, Outcome):
            self._settle(message)
            self._assign(member)
        elif isinstance(message, BaseException):
            raise message
        else:
            self._listener.planes(member.job.name, *message)

    def _lost(self, member: _Process) -> None:
        """Replace a process that died, and try its job once more."""
        job = member.job
        assert job is not None
        self._members.remove(member)
        self._tries[job.name] = self._tries.get(job.name, 0) + 1
        if self._tries[job.name] < TRIES:
            # It may have died after it wrote the output and before it said so.
            self._left.appendleft(replace(job, overwrite=True))
        else:
            error = DeviceError(
                "the process that worked on this scan was ended by the system",
                hint="The usual cause is too little memory: use fewer --jobs or a smaller --tile.",
            )
            self._settle(Outcome.failure(job.name, error, output=job.output_text))
        if self._left:
            self._hire()

    def _settle(self, outcome: Outcome) -> None:
        self._listener.finished(outcome)
        if outcome.status == "failed" and self._settings.fail_fast:
            self._left.clear()


def _serve(line: Connection, work: Work, settings: RunSettings) -> None:
    """Run the jobs that come through the pipe; this is what a process does."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    runner = Runner(work, settings)
    with (
        Interrupt((signal.SIGTERM,), announce=False) as interrupt,
        contextlib.suppress(EOFError, ConnectionError, KeyboardInterrupt),
    ):

        def progress(done: float, total: int) -> None:
            interrupt.check()
            line.send((done, total))

        while (job := line.recv()) is not None:
            try:
                line.send(runner.run_one(job, progress))
            except (WeightsError, DeviceError) as error:
                line.send(error)
            except Exception as error:
                line.send(as_rat_error(error))


def _end_with_parent() -> None:
    """End this process, even in the middle of a job, when the one that started it has ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
