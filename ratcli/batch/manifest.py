"""The manifest of a batch: its settings, the versions used, and the outcome of each scan."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ratcli.batch.outcome import Fact, Outcome
from ratcli.batch.plan import Job, Plan
from ratcli.errors import OutputError, UnreadableInputError, UsageError
from ratcli.formats.atomic import PartialFile, output_errors
from ratcli.paths import check_file
from ratcli.schema import checked

SAVE_INTERVAL_S = 1.0
"""Least time between two writes to the disk; what a kill loses is done again by `--resume`."""

_REST = 10.0
"""Times as long as a write took are left until the next: figures of many scans are large."""


@dataclass(frozen=True)
class Header:
    """What holds for the whole batch.

    Attributes:
        settings: all that changes the result; `--resume` needs the same values.
        facts: versions and device, for whoever reads the manifest.
    """

    settings: Mapping[str, Fact] = field(default_factory=dict)
    facts: Mapping[str, Fact] = field(default_factory=dict)


class Manifest:
    """A JSON file that grows with the batch and is replaced in one step.

    Args:
        path: the file.
        header: what holds for the whole batch.
        outcomes: what is known of each scan so far.
    """

    def __init__(self, path: Path, header: Header, outcomes: Iterable[Outcome] = ()) -> None:
        self._path = path
        self._header = header
        self._files = {outcome.name: outcome for outcome in outcomes}
        self._started = _now()
        self._next_save = 0.0

    def add(self, outcome: Outcome) -> None:
        """Note what became of a scan; it reaches the disk within a second of work.

        Raises:
            OutputError: the manifest cannot be written.
        """
        self._files[outcome.name] = outcome
        if time.monotonic() > self._next_save:
            self.save()

    def save(self, *, finished: bool = False) -> None:
        """Write the manifest.

        Args:
            finished: whether the batch came to its end.

        Raises:
            OutputError: it cannot be written.
        """
        began = time.monotonic()
        content = {
            "started": self._started,
            "finished": _now() if finished else None,
            **self._header.facts,
            "settings": dict(self._header.settings),
            "files": [_record(outcome) for outcome in self._files.values()],
        }
        partial = PartialFile(self._path, overwrite=True)
        try:
            with output_errors(self._path):
                text = json.dumps(content, indent=1, ensure_ascii=False)
                # A name may hold bytes that are no text; JSON can escape them.
                partial.path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
        except BaseException:
            partial.discard()
            raise
        partial.commit()
        now = time.monotonic()
        self._next_save = now + max(SAVE_INTERVAL_S, _REST * (now - began))


def begin(path: Path, header: Header, plan: Plan) -> Manifest:
    """Start a manifest in which every job is planned, and write it.

    Raises:
        OutputError: it cannot be written.
    """
    planned = (Outcome(job.name, "planned", shown=job.shown) for job in plan.jobs)
    manifest = Manifest(path, header, (*planned, *plan.outcomes))
    manifest.save()
    return manifest


def check_new(path: Path) -> None:
    """Refuse to replace the manifest of another batch.

    Raises:
        OutputError: it is there.
    """
    if path.exists():
        raise OutputError(
            f"{path.name} already exists",
            hint="Continue that batch with --resume, or choose another name.",
        )


def read(path: Path, header: Header) -> list[Outcome]:
    """Return the outcomes in a manifest; none if there is no such file.

    Raises:
        UnreadableInputError: it is no manifest.
        UsageError: it was made with other settings.
    """
    if not path.exists():
        return []
    check_file(path, UnreadableInputError)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableInputError(f"{path.name} is not a manifest of rat") from error
    if not isinstance(content, dict):
        raise UnreadableInputError(f"{path.name} is not a manifest of rat")
    known = {name: content.get(name) for name in ("settings", "files")}
    saved = checked(_Saved, known, path.name, UnreadableInputError)
    _check_settings(path, saved.settings, header.settings)
    return saved.files


@dataclass(frozen=True)
class _Saved:
    """What is read of a manifest; the rest is for its readers."""

    settings: dict[str, Any]
    files: list[Outcome]


def _check_settings(path: Path, before: Mapping[str, Any], now: Mapping[str, Fact]) -> None:
    for name in {**before, **now}:
        if before.get(name) != now.get(name):
            raise UsageError(
                f"{path.name} was made with {name} = {before.get(name)}, "
                f"but now it is {now.get(name)}",
                hint="Use the same settings, or another manifest and output.",
            )


def resume(plan: Plan, before: Sequence[Outcome], *, keeps_strangers: bool = True) -> Plan:
    """Leave out what is done and unchanged; what was begun may be written anew.

    Args:
        plan: all jobs of the batch.
        before: the outcomes in the manifest.
        keeps_strangers: whether a job fails if a file has the name of one of its outputs and is
            not what was written for it; otherwise it stays a job like any other.
    """
    jobs: list[Job] = []
    outcomes = list(plan.outcomes)
    known = {outcome.name: outcome for outcome in before}
    for job in plan.jobs:
        outcome = known.get(job.name)
        if outcome is None or not outcome.input_sha256:
            begun = outcome is not None and outcome.status == "planned"
            jobs.append(replace(job, overwrite=job.overwrite or begun))
            continue
        written, found = _written(outcome), job.output_digests()
        stranger = next((name for name in found if found[name] != written.get(name)), None)
        if stranger is not None and keeps_strangers:
            outcomes.append(Outcome.failure(job.name, _changed(stranger), output=job.output_text))
        elif stranger is not None:
            jobs.append(job)
        elif _is_done(job, outcome, found):
            again = replace(outcome, status="skipped", error="done before", output=job.output_text)
            outcomes.append(again)
        else:
            jobs.append(replace(job, overwrite=True))
    return Plan(tuple(jobs), tuple(outcomes))


def _written(outcome: Outcome) -> dict[str, str]:
    """Return the SHA-256 of each file and folder that was written for a scan, by its name."""
    return {Path(outcome.output).name: outcome.output_sha256, **outcome.parts_sha256}


def _is_done(job: Job, outcome: Outcome, found: Mapping[str, str]) -> bool:
    """Return whether all that is wanted is there, and all that was read is unchanged."""
    wanted = {path.name for path in job.outputs} | set(outcome.parts_sha256)
    names = {path.name for path in (*job.outputs, *job.names)}
    return (wanted & names) <= set(found) and job.inputs_digest() == outcome.input_sha256


def _changed(name: str) -> OutputError:
    return OutputError(
        f"{name} already exists, and is not what the manifest says was written",
        hint="Move it away, or give --if-exists overwrite.",
    )


def _record(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome without the folders of its output, which may name a patient."""
    if outcome.status == "skipped" and outcome.input_sha256:
        outcome = replace(outcome, status="done", error="")
    record = vars(replace(outcome, output=outcome.shown, shown=""))
    return {name: value for name, value in record.items() if value not in ("", {}, (), [], 0)}


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
