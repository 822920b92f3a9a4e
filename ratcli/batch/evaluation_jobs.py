"""Which scans `rat evaluate` compares: a job is a restored scan and those that belong to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path

from ratcli.batch.digest import files_digest
from ratcli.batch.found import BESIDE, Found, find_inputs, without_localizers
from ratcli.batch.naming import numbered
from ratcli.batch.pages import Pages
from ratcli.batch.plan import Job, Plan, files_read
from ratcli.errors import UsageError
from ratcli.evaluation.patients import PatientRule
from ratcli.formats import ScanSource
from ratcli.formats.patients import patient_of
from ratcli.scan import ScanInfo


@dataclass(frozen=True)
class ComparedWith:
    """What restored scans are compared with, each a file or a folder, or None."""

    reference: Path | None = None
    input: Path | None = None
    uncertainty: Path | None = None

    @property
    def paths(self) -> dict[str, Path]:
        """Those that are given, by name."""
        named = {name: getattr(self, name) for name in ("reference", "input", "uncertainty")}
        return {name: path for name, path in named.items() if path is not None}


@dataclass(frozen=True)
class EvaluationJob(Job):
    """A restored scan, and the scans that it is compared with.

    `output` is its page of the report; an empty path where none is wanted.

    Attributes:
        others: the other scans, by the names of `ComparedWith`.
        place: path below the folder that was named, without a suffix; see `patient_of`.
        more_files: other files on which the figures depend.
        page_facts: rows for the page's table of provenance.
    """

    others: Mapping[str, ScanSource] = field(default_factory=dict)
    place: str = ""
    more_files: tuple[Path, ...] = ()
    page_facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The page, if one is wanted."""
        return (self.output,) if self.output.name else ()

    @property
    def claims(self) -> tuple[Path, ...]:
        """Nothing: where a page exists, the scan is measured all the same."""
        return ()

    @property
    def sources(self) -> dict[str, ScanSource]:
        """All scans by name."""
        return {"restored": self.source, **self.others}

    def patient(self, counts: PatientRule) -> str:
        """Return which patient the scan is of, by what counts as one patient."""
        if counts == "header":
            found = patient_of(self.source, self.place)
            return self.name if found == self.place else found
        return self.name if counts == "scan" else str(self.source.folder)

    def notices(self, info: ScanInfo) -> tuple[str, ...]:
        """Return what is unusual about all scans of the job; see `Job.notices`."""
        own = super().notices(info)
        others = (
            f"{name}: {notice}"
            for name, source in self.others.items()
            for notice in (*source.notices, *(file.reason for file in source.left_out))
            if notice not in own
        )
        return (*own, *others, *self._other_patients())

    def _other_patients(self) -> Iterator[str]:
        """Yield a sentence for each scan whose header names another patient."""
        headers = {
            name: patient_of(source, "")
            for name, source in self.sources.items()
            if source.format == "dicom"
        }
        for name, patient in headers.items():
            if patient and headers.get("restored", "") not in ("", patient):
                yield f"the {name} is of another patient than the restored scan (PatientID)"

    def inputs_digest(self) -> str:
        """Return one SHA-256 of all that is read; scans that change their places change it."""
        each = [
            f"{name} {files_digest(files_read(source))}" for name, source in self.sources.items()
        ]
        each += [files_digest([path]) for path in self.more_files if path.exists()]
        return hashlib.sha256("\n".join(each).encode()).hexdigest()


def find_evaluations(
    restored: Sequence[Path],
    others: ComparedWith,
    *,
    recursive: bool = False,
    series_uid: str | None = None,
    localizers: bool = False,
) -> Plan:
    """List the restored scans, each with those that it is compared with.

    `rat restore` writes a series as a folder in the output folder. Therefore a folder that holds
    no scan itself is searched with the folders inside it. Residuals and uncertainties that lie
    beside a restored scan are left out.

    If one restored scan and one other scan are given, they belong together. Otherwise the name of
    the restored scan must begin with that of the other (`a_ct-denoise` with `a`). Of several such
    scans, the one in folders of the same names is taken, then the one with the longest name.
    Localizers are left out unless they are wanted.

    Raises:
        UsageError: a restored scan has no partner, or several that fit equally well.
        InputNotFoundError: no scan was found.
    """
    found, failures = find_inputs(restored, recursive=recursive, series_uid=series_uid, deeper=True)
    found, left_out = without_localizers(_without_companions(found), localizers)
    partners = {}
    for name, path in others.paths.items():
        candidates, _ = find_inputs([path], recursive=recursive, deeper=True)
        partners[name], _ = without_localizers(candidates, localizers)

    def job(scan: Found) -> EvaluationJob:
        fit = {name: _partner(name, scan, given, len(found)) for name, given in partners.items()}
        return EvaluationJob(scan.source, scan.place, Path(), place=scan.place, others=fit)

    jobs = [job(scan) for scan in found]
    return Plan(tuple(numbered(jobs)), (*failures, *left_out))


def prepared(
    plan: Plan, pages: Pages | None, files: tuple[Path, ...], page_facts: Mapping[str, str]
) -> Plan:
    """Return a plan in which each job knows its page, and the files on which its figures depend.

    Args:
        plan: of `find_evaluations`.
        pages: where pages go, or None.
        files: regions and tuned baselines.
        page_facts: rows for the table of provenance of each page.
    """
    each = pages.each if pages is not None else (Path(),) * len(plan.jobs)
    jobs = (
        replace(job, output=page, more_files=files, page_facts=page_facts)
        for job, page in zip(plan.jobs, each, strict=True)
        if isinstance(job, EvaluationJob)
    )
    return Plan(tuple(jobs), plan.outcomes)


def _without_companions(found: Sequence[Found]) -> list[Found]:
    """Leave out what `rat restore` wrote beside a restored scan."""
    places = {(scan.root, scan.place) for scan in found}
    companions = {(root, place + end) for root, place in places for end in BESIDE}
    return [scan for scan in found if (scan.root, scan.place) not in companions]


def _partner(kind: str, scan: Found, candidates: Sequence[Found], count: int) -> ScanSource:
    """Return the scan that belongs to a restored one.

    Raises:
        UsageError: there is none, or several fit equally well.
    """
    if len(candidates) == 1 and count == 1:
        return candidates[0].source
    fit = {
        other: (_same_folders(scan, other), len(other.source.name))
        for other in candidates
        if scan.source.name.startswith(other.source.name)
    }
    if not fit:
        raise UsageError(
            f"there is no {kind} for {scan.place}",
            hint=f"The name of the restored scan must begin with the name of its {kind}.",
        )
    best = [other for other, rank in fit.items() if rank == max(fit.values())]
    if len(best) > 1:
        raise UsageError(
            f"{len(best)} scans fit {scan.place} as its {kind}",
            hint=f"Name the restored scan and its {kind} one by one.",
        )
    return best[0].source


def _same_folders(first: Found, second: Found) -> int:
    """Return how many of the folders around two scans, from the innermost, have the same names."""
    pairs = zip(
        reversed(first.holder.absolute().parts),
        reversed(second.holder.absolute().parts),
        strict=False,
    )
    return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
