"""Which task each scan is for: the one that was named, or the only one that fits the scan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ratcli.batch.found import Found
from ratcli.batch.outcome import Outcome
from ratcli.errors import RatError, UnsuitableInputError, UsageError
from ratcli.formats import ScanSource
from ratcli.scan import ScanInfo, ScanReader
from ratcli.task import Task

Opener = Callable[[ScanSource], ScanReader]


@dataclass(frozen=True)
class TaskChoice:
    """The tasks for which scans are wanted.

    Attributes:
        tasks: the task that was named; or all among which the one that fits a scan is found.
        opener: opens a scan of which no header was read yet; not needed for a named task.
    """

    tasks: tuple[Task, ...]
    opener: Opener | None = None

    @property
    def is_open(self) -> bool:
        """Whether the task has to be found for each scan."""
        return len(self.tasks) > 1

    def other_modality(self, modality: str) -> str:
        """Return why no task is for a modality; empty if one is, or if the modality is unknown."""
        if not self.is_open:
            return _refusal(self.tasks[0], modality) if modality else ""
        if not modality or any(modality in task.found_from for task in self.tasks):
            return ""
        if any(modality in task.modalities for task in self.tasks):
            return f"modality {modality} does not tell which task fits"
        return f"modality is {modality}, which no task restores"

    def task_for(self, source: ScanSource) -> Task:
        """Return the task for a scan.

        If several tasks are possible, it is found from the modality, or else from the unit or the
        values.

        Raises:
            UnsuitableInputError: no task fits.
            UsageError: the scan does not tell which task fits.
            UnreadableInputError: the scan cannot be read.
        """
        if not self.is_open:
            return self.tasks[0]
        if source.modality:
            return self._by_modality(source.modality)
        assert self.opener is not None
        with self.opener(source) as reader:
            return self.task_of(reader)

    def task_of(self, reader: ScanReader) -> Task:
        """Return the task for an open scan; see `task_for`."""
        if not self.is_open:
            return self.tasks[0]
        if reader.info.modality is not None:
            return self._by_modality(reader.info.modality)
        return self._by_values(reader)

    def _by_modality(self, modality: str) -> Task:
        if reason := self.other_modality(modality):
            possible = [task for task in self.tasks if modality in task.modalities]
            raise _question(reason, possible) if possible else UnsuitableInputError(reason)
        return next(task for task in self.tasks if modality in task.found_from)

    def _by_values(self, reader: ScanReader) -> Task:
        fitting = [task for task in self.tasks if _fits(task, reader)]
        if not fitting:
            raise UnsuitableInputError(
                "no task fits the channels, the unit and the values of the scan",
                hint="`rat info FILE` says why. If the file has no unit, give --unit.",
            )
        sure = [task for task in fitting if reader.info.unit or task.is_found_from_values]
        if len(sure) != 1:
            raise _question("the file does not tell which task fits", fitting)
        return sure[0]


def choose_tasks(
    found: Iterable[Found], choice: TaskChoice | None
) -> tuple[list[Found], list[Outcome]]:
    """Give each scan its task; without a choice, none.

    A scan of another modality is left out, unless it was named itself or nothing else was found in
    what was named.

    Returns:
        The scans with their tasks; and the outcomes of scans that have none.
    """
    if choice is None:
        return list(found), []
    chosen: list[Found] = []
    others: list[tuple[Found, str]] = []
    outcomes: list[Outcome] = []
    for scan in found:
        reason = "" if scan.is_named else choice.other_modality(scan.source.modality)
        if reason:
            others.append((scan, reason))
            continue
        try:
            chosen.append(replace(scan, task=choice.task_for(scan.source)))
        except RatError as error:
            outcomes.append(Outcome.failure(scan.name, error))
    roots = {scan.root for scan in chosen}
    for scan, reason in others:
        if scan.root in roots:
            outcomes.append(
                Outcome(scan.name, "left out", error=f"{scan.name} was left out: {reason}")
            )
        else:
            outcomes.append(Outcome.failure(scan.name, UnsuitableInputError(reason)))
    return chosen, outcomes


def found_task(task: Task, info: ScanInfo) -> str:
    """Return the task that was found for a scan and why, as `ct-denoise (CT, HU)`."""
    why = [part for part in (info.modality, info.unit) if part is not None]
    return f"{task.name} ({', '.join(why) or f'values look like {task.units[0]}'})"


def _refusal(task: Task, modality: str) -> str:
    try:
        task.check_modality(modality)
    except UnsuitableInputError as error:
        return str(error)
    return ""


def _fits(task: Task, reader: ScanReader) -> bool:
    try:
        task.check(reader.info)
        if reader.info.unit is None:
            task.check_values(reader.read(reader.info.planes // 2))
    except UnsuitableInputError:
        return False
    return True


def _question(reason: str, possible: Sequence[Task]) -> UsageError:
    names = " or ".join(task.name for task in possible)
    return UsageError(reason, hint=f"Is it for {names}? Then name the task with --task.")
