"""Outputs that exist already: refuse the batch, skip their jobs, or let jobs replace them."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Literal

from ratcli.batch.outcome import Outcome
from ratcli.batch.plan import Job, Plan
from ratcli.errors import OutputError
from ratcli.formats import check_replaceable, is_older_output

IfExists = Literal["error", "skip", "overwrite"]


def settle_existing(plan: Plan, if_exists: IfExists) -> Plan:
    """Decide about outputs that are there already.

    A job fails by itself if something else is in the place of its output.

    Raises:
        OutputError: some are, and `if_exists` is `error`.
    """
    taken = [job for job in plan.jobs if not job.overwrite and any(map(os.path.lexists, job.names))]
    if taken and if_exists == "error":
        others = f", and so do {len(taken) - 1} other outputs" if len(taken) > 1 else ""
        raise OutputError(
            f"{taken[0].output.name} already exists{others}",
            hint="Choose another folder with -o, or give --if-exists skip or overwrite.",
        )
    jobs: list[Job] = []
    outcomes = list(plan.outcomes)
    for job in plan.jobs:
        try:
            if not job.overwrite:
                _refuse_parts_of_others(job)
            if if_exists == "overwrite" or job.overwrite:
                jobs.append(_overwriting(job))
            elif job in taken:
                outcomes.append(_skipped(job))
            else:
                jobs.append(job)
        except OutputError as error:
            outcomes.append(Outcome.failure(job.name, error, output=job.output_text))
    return Plan(tuple(jobs), tuple(outcomes))


def _refuse_parts_of_others(job: Job) -> None:
    """Refuse a job whose output does not exist, while a file has the name of a part of it.

    Raises:
        OutputError: there is such a file, which is then of another scan.
    """
    parts = [part for part in job.reserved if os.path.lexists(part)]
    if parts and not any(map(os.path.lexists, job.claims)):
        raise OutputError(
            f"{parts[0].name} already exists, but {job.output.name} does not",
            hint="Choose another folder with -o, or move that file away.",
        )


def _overwriting(job: Job) -> Job:
    """Return a job that may replace its outputs.

    Raises:
        OutputError: what is in their place is not of the same scan.
    """
    if not job.source.is_broken:  # a scan that cannot be read replaces nothing
        for path in job.names:
            if path not in job.beside:
                check_replaceable(job.source, path, is_folder=job.is_folder)
    return replace(job, overwrite=True)


def _skipped(job: Job) -> Outcome:
    """Return the outcome of a job whose output exists.

    Raises:
        OutputError: what is in its place is something else, so the scan was not written there.
    """
    exists = os.path.lexists(job.output)
    if exists and not job.source.is_broken and not is_older_output(job.source, job.output):
        check_replaceable(job.source, job.output, is_folder=job.is_folder)
    return Outcome(job.name, "skipped", output=job.output_text, error="the output exists")
