"""Evaluating as a kind of work for a batch: a job is a restored scan and what it is compared with.

The figures of a scan are its outcome's facts, so that they come back from other processes, and
`--resume` finds them in the manifest. Its page of a report, if one is wanted, is its output.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from ratcli import __version__
from ratcli.batch.evaluation_jobs import EvaluationJob
from ratcli.batch.existing import IfExists
from ratcli.batch.outcome import Fact, Outcome
from ratcli.batch.pages import hashes, write_file
from ratcli.batch.plan import Job
from ratcli.batch.stream import ReadAhead
from ratcli.batch.work import PendingOutput, PlaneProgress
from ratcli.errors import UnreadableInputError, UnsuitableInputError
from ratcli.evaluation.choices import Choices, settings_for
from ratcli.evaluation.comparison import INPUT, REFERENCE, RESTORED, Comparison
from ratcli.evaluation.evaluate import EvaluationSettings, evaluate
from ratcli.evaluation.export import from_text, to_text
from ratcli.evaluation.region_files import open_region_source
from ratcli.evaluation.report import PageFacts, render_file, render_pdf
from ratcli.evaluation.results import Evaluation
from ratcli.evaluation.window import measured_unit, refuse_without_factor
from ratcli.formats import AS_THE_FILE_SAYS, Reading
from ratcli.formats.closing import ClosingReader
from ratcli.formats.dicom.details import ACQUISITION
from ratcli.formats.encapsulated import check_takes_pdf, encapsulated_pdf
from ratcli.formats.history import made_by
from ratcli.pipeline.object_window import refuse_outside_window
from ratcli.scan import BoolArray, Box, FloatArray, ScanInfo, ScanReader
from ratcli.tasks import TASKS


@dataclass(frozen=True)
class MeasuredScan:
    """The figures of one scan.

    Attributes:
        name: of the scan.
        found: its figures.
        made_by: how `rat` made it, empty where its header does not say so.
        notices: what is unusual about it and the scans that it is compared with.
    """

    name: str
    found: Evaluation
    made_by: str
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class EvaluateWork:
    """Measure restored scans.

    Attributes:
        choices: what to measure.
        regions: file of regions to measure in, or None.
        reading: what the user says about the scans.
        any_values: whether scans far outside the window of their task are measured.
        keeps_pages: whether pages that exist already are left as they are.
        exact_values: whether pages hold images in 16 bits.
    """

    choices: Choices
    regions: Path | None = None
    reading: Reading = AS_THE_FILE_SAYS
    any_values: bool = False
    keeps_pages: bool = False
    exact_values: bool = False

    @property
    def files(self) -> tuple[Path, ...]:
        """Files beside the scans on which the figures depend."""
        return (*self.choices.files, *((self.regions,) if self.regions else ()))

    def open(self, job: Job) -> ComparedReader:
        """Open the scans of a pair and refuse those that do not belong together.

        Raises:
            RatError: a scan cannot be read, or is not like the restored one.
        """
        assert isinstance(job, EvaluationJob)
        with ExitStack() as stack:
            readers = {
                name: stack.enter_context(self.reading.open(source))
                for name, source in job.sources.items()
            }
            restored = readers["restored"]
            if job.output.suffix.lower() == ".dcm":
                check_takes_pdf(restored)
            regions = None
            if self.regions is not None:
                regions = open_region_source(self.regions, restored, stack)
            comparison = Comparison(**readers, regions=regions).with_unit()
            shown = self.choices.shown if job.outputs else 0
            choices = replace(self.choices, shown=shown)
            settings = checked_settings(comparison, choices, any_values=self.any_values)
            return ComparedReader(comparison, settings, stack.pop_all())

    def load(self) -> EvaluateWorker:
        """Return what measures; there is nothing to load."""
        return EvaluateWorker(keeps_pages=self.keeps_pages, exact_values=self.exact_values)


def checked_settings(
    comparison: Comparison, choices: Choices, *, any_values: bool
) -> EvaluationSettings:
    """Return how to measure scans; refuse those that do not belong together.

    Args:
        comparison: the open scans.
        choices: what to measure.
        any_values: whether scans far outside the window of their task are accepted.

    Raises:
        UnsuitableInputError: they do not belong together, are in another unit than they say, or
            one of them does not have what its conversion to SUV needs.
        RatError: see `settings_for`.
    """
    comparison.check()
    measured = measured_unit(comparison.tells_unit)
    task = next((task for task in TASKS.values() if task.units[0] == measured.unit), None)
    for name in (RESTORED, REFERENCE, INPUT):
        scan: ScanReader | None = getattr(comparison, name)
        if task is None or scan is None:
            continue
        try:
            if scan.info.suv_problem:
                refuse_without_factor(task, scan.info)
            if not any_values:
                refuse_outside_window(task, scan, measured.factor_of(scan))
        except UnsuitableInputError as error:
            whose = "" if name == RESTORED else f"the {name}: "
            raise UnsuitableInputError(f"{whose}{error}", hint=error.hint) from error
    return settings_for(comparison.tells_unit, choices)


class ComparedReader(ClosingReader):
    """Reads the restored scan of a pair, and holds the other ones open.

    Args:
        comparison: the open scans.
        settings: how to evaluate them.
        stack: closes them.
    """

    def __init__(
        self, comparison: Comparison, settings: EvaluationSettings, stack: ExitStack
    ) -> None:
        self.comparison, self.settings = comparison, settings
        self._stack = stack

    @property
    def info(self) -> ScanInfo:
        """Facts about the restored scan, and notices of the others."""
        info, notices = self.comparison.restored.info, []
        for name in ("reference", "input", "uncertainty"):
            other: ScanReader | None = getattr(self.comparison, name)
            for notice in other.info.notices if other is not None else ():
                if notice not in info.notices:
                    notices.append(f"{name}: {notice}")
        return replace(info, notices=(*info.notices, *notices))

    def read(self, plane: int, box: Box | None = None) -> FloatArray:
        """Read a plane or a box of the restored scan; see `ScanReader.read`."""
        return self.comparison.restored.read(plane, box)

    def padding(self, plane: int, box: Box | None = None) -> BoolArray:
        """Return where the restored scan holds no measurement; see `ScanReader.padding`."""
        return self.comparison.restored.padding(plane, box)

    def close(self) -> None:
        """Close all scans."""
        self._stack.close()


@dataclass(frozen=True)
class EvaluateWorker:
    """Measures pairs one after another; see `EvaluateWork` for the attributes."""

    keeps_pages: bool
    exact_values: bool

    def run(self, job: Job, reader: ReadAhead, progress: PlaneProgress) -> PendingOutput:
        """Measure a pair and make its page; see `Worker.run`."""
        pair = reader.inner
        assert isinstance(job, EvaluationJob)
        assert isinstance(pair, ComparedReader)
        how = made_by(pair.comparison.restored)
        comparison = replace(pair.comparison, restored=reader)
        found = evaluate(comparison, pair.settings, progress)
        facts: dict[str, Fact] = {"made_by": how, "found": to_text(found)}
        page = ExitStack()
        if job.outputs:
            if_exists: IfExists = "skip" if self.keeps_pages else "error"
            if_exists = "overwrite" if job.overwrite else if_exists
            told = _page_facts(job, how, pair.info)
            content = self._content(job, found, told, pair.comparison.restored)
            page.callback(write_file, job.output, content, if_exists)
        return PendingOutput(facts, page)

    def _content(
        self, job: EvaluationJob, found: Evaluation, told: PageFacts, restored: ScanReader
    ) -> bytes:
        suffix = job.output.suffix.lower()
        if suffix == ".dcm":
            return encapsulated_pdf(render_pdf(found, told), restored, job.name, __version__)
        return render_file(suffix, found, told, exact_values=self.exact_values)


def measured_scan(outcome: Outcome) -> MeasuredScan | None:
    """Return the figures in an outcome, None where the scan was not measured.

    Raises:
        UnreadableInputError: a manifest has them in another form.
    """
    if "found" not in outcome.facts:
        return None
    try:
        found = from_text(str(outcome.facts["found"]))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise UnreadableInputError(
            f"the figures of {outcome.name} in the manifest cannot be read",
            hint="They may come from another version of rat. Start again with another manifest.",
        ) from error
    made = str(outcome.facts.get("made_by", ""))
    return MeasuredScan(outcome.name, found, made, tuple(outcome.notices))


def _page_facts(job: EvaluationJob, how: str, info: ScanInfo) -> PageFacts:
    notices = (*job.notices(info), *(file.reason for file in job.source.left_out))
    acquired = [f"{name} {info.details[name]}" for name in ACQUISITION if name in info.details]
    facts = {
        "acquisition": ", ".join(acquired) or "the header does not tell",
        "restored by": how or "unknown: the header of the restored scan does not say",
        "report made": datetime.now().astimezone().isoformat(" ", timespec="minutes"),
        **hashes(job.sources),
        **job.page_facts,
        **({"notices": "; ".join(notices)} if notices else {}),
    }
    return PageFacts(job.name, __version__, facts)
