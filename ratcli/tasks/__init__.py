"""The tasks that `rat` restores; one file each, listed here."""

from __future__ import annotations

import difflib

from ratcli.errors import UsageError
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
    near = difflib.get_close_matches(name, TASKS, n=1, cutoff=0.4)
    hint = f"Did you mean {near[0]}?" if near else f"Tasks: {', '.join(TASKS)}."
    raise UsageError(f"there is no task '{name}'", hint=hint)
