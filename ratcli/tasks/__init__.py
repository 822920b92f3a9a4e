"""The tasks that `rat` restores; one file each, listed here."""

from __future__ import annotations

from ratcli.errors import UsageError, nearest
from ratcli.task import Task
from ratcli.tasks.ct_denoise import CT_DENOISE
from ratcli.tasks.pathology_sr import PATHOLOGY_SR
from ratcli.tasks.pet_synthesis import PET_SYNTHESIS

TASKS: dict[str, Task] = {task.name: task for task in (CT_DENOISE, PET_SYNTHESIS, PATHOLOGY_SR)}


def get_task(name: str) -> Task:
    """Return the task of that name.

    Raises:
        UsageError: there is none; the message suggests the nearest.
    """
    if name in TASKS:
        return TASKS[name]
    hint = nearest(name, TASKS, f"Tasks: {', '.join(TASKS)}.")
    raise UsageError(f"there is no task '{name}'", hint=hint)
