"""`rat info`: what rat reads in a scan, and what each task would do with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ratcli.batch.outcome import Outcome
from ratcli.commands.batches import SILENT, Listener, finish
from ratcli.commands.options import option, settle, takes
from ratcli.commands.scans import ScanOptions, Scans, paths_of, reading
from ratcli.errors import RatError
from ratcli.formats import LOCALIZER
from ratcli.formats.quick_look import QuickLookError, quick_look
from ratcli.scan import ScanInfo, ScanReader
from ratcli.tasks import TASKS

if TYPE_CHECKING:
    from ratcli.batch.found import Found
    from ratcli.commands.suitability import Suitability, ValueRange
    from ratcli.task import Task

_RESULT = "results of rat are left out beside other scans; name one to use it"


@dataclass(frozen=True, kw_only=True)
class InfoOptions(ScanOptions):
    """How `rat info` works; its fields are the options of the command line."""

    header_only: bool = option(
        False,
        "Read no pixels: no range is shown, and values of an unknown unit are not checked.",
    )


@dataclass(frozen=True)
class ScanFacts:
    """Facts about one scan.

    Attributes:
        name: path relative to the folder that was named.
        files: number of files.
        info: what the header says.
        notices: sentences about anything unusual.
        tasks: names of the tasks that suit it.
        values: range of the values; None where no pixel was read or measured.
        suitability: for each task what it would do, or why it does not fit; empty if no pixel was
            read.
    """

    name: str
    files: int
    info: ScanInfo
    notices: tuple[str, ...]
    tasks: list[str]
    values: ValueRange | None = None
    suitability: tuple[Suitability, ...] = ()


def info(
    scans: Scans,
    options: InfoOptions | None = None,
    *,
    listener: Listener = SILENT,
    **changes: Any,
) -> list[ScanFacts]:
    """Show what rat reads in a scan, and for each task what it would do or why it does not fit.

    Args:
        scans: paths of files, folders and archives.
        options: the options; None for the defaults.
        listener: gets the facts of each scan as they are found.
        changes: single options by name, which replace those in `options`.

    Raises:
        RatError: a scan cannot be read; the listener got the facts of all others.
        TypeError: an option does not exist.
    """
    from ratcli.batch.found import NO_INPUTS, find_inputs, without_results

    settled = settle(InfoOptions, options, changes)
    found, outcomes = find_inputs(
        paths_of(scans), recursive=settled.recursive, series_uid=settled.series_uid
    )
    outcomes = [outcome for outcome in outcomes if not outcome.is_left_out]  # told as notices
    used, _ = without_results(found, NO_INPUTS)
    facts: list[ScanFacts] = []
    with listener.working(len(found) + len(outcomes)):
        for outcome in outcomes:
            listener.finished(outcome)
        for scan in found:
            reason = "" if scan in used else _RESULT
            outcomes.append(_one(scan, settled, reason, facts, listener))
    finish(outcomes)
    return facts


takes(InfoOptions)(info)


def fitting_tasks(info: ScanInfo) -> list[str]:
    """Return the names of the tasks that suit the header."""
    return [name for name, task in TASKS.items() if _fits(task, info)]


def _one(
    found: Found, options: InfoOptions, reason: str, facts: list[ScanFacts], listener: Listener
) -> Outcome:
    """Read one scan; if it cannot be read, the outcome says why.

    Args:
        found: the scan.
        options: the options.
        reason: why other commands leave it out; empty if they do not.
        facts: gets what is read.
        listener: hears of it.
    """
    damage: RatError | None = None
    try:
        how = reading(options)
        size = sum(path.stat().st_size for path in found.source.files if path.is_file())
        with quick_look(size), replace(how, localizers=True).open(found.source) as reader:
            tasks = fitting_tasks(reader.info)
            one = ScanFacts(found.name, len(found.source.paths), reader.info, (), tasks)
            if not options.header_only:
                one, damage = _with_pixels(one, reader)
            if reader.info.is_localizer and not how.localizers:
                reason = LOCALIZER
            if reason:
                one = _left_out(one, reason)
            left_out = (file.reason for file in found.source.left_out)
            notices = (*found.source.notices, *left_out, *reader.info.notices, *one.notices)
            one = replace(one, info=reader.info, notices=notices)
        facts.append(one)
        listener.result(one)
    except RatError as error:
        damage = error
    if damage is None:
        return Outcome(found.name, "done")
    outcome = Outcome.failure(found.name, damage)
    listener.finished(outcome)
    return outcome


def _with_pixels(facts: ScanFacts, reader: ScanReader) -> tuple[ScanFacts, RatError | None]:
    """Ask each task and measure the range of values; no task fits pixels that cannot be read."""
    from ratcli.commands.suitability import Suitability, measure_range, suitability

    try:
        found = tuple(suitability(task, reader) for task in TASKS.values())
        values = measure_range(reader)
    except QuickLookError as error:
        notice = f"the pixels were not read, and the tasks are those of the header: {error}"
        return replace(facts, notices=(notice,)), None
    except RatError as error:
        found = tuple(Suitability(name, False, str(error)) for name in TASKS)
        return replace(facts, suitability=found, tasks=[]), error
    tasks = [item.task for item in found if item.fits]
    return replace(facts, values=values, suitability=found, tasks=tasks), None


def _left_out(facts: ScanFacts, reason: str) -> ScanFacts:
    """Say why no task restores a scan that is left out."""
    from ratcli.commands.suitability import Suitability

    found = tuple(Suitability(item.task, False, reason) for item in facts.suitability)
    return replace(facts, suitability=found, tasks=[])


def _fits(task: Task, info: ScanInfo) -> bool:
    try:
        task.check(info)
    except RatError:
        return False
    return True
