"""Read every file of a folder and write it unchanged: one row for each kind of file.

    python benchmarks/formats.py ../shared/data [--only tiff] [--json benchmarks/results/f.json]

A file is read, or refused with a reason, or it crashes the reader, which must not happen.
Everything that `rat info` shows of a readable file is computed. Then the writer of its format
writes it unchanged, and the copy is read and compared: values (PET to half a slope, because slopes
are computed anew), geometry, and the messages of the validators of the format, which must not
report anything that they do not report for the source.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from format_validators import verdict

from ratcli.commands.suitability import measure_range, suitability
from ratcli.errors import RatError
from ratcli.formats import ScanSource, create_scan, find_scans, open_scan, sniff
from ratcli.scan import Derivation, ScanInfo, ScanReader
from ratcli.tasks import TASKS

IDENTITY = Derivation("identity", "Nothing was changed.", "identity", version="benchmark")
STORED_PET_STEPS = 32767
HEAD = (
    "files", "scans", "read", "refused", "crashed", "fit", "values=", "geom.=", "valid", "bad",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What became of a scan.

    Attributes:
        kind: the row it counts in.
        name: path below the data.
        files: files it is made of.
        outcome: `read`, `refused` or `crashed`.
        reason: why it was refused, or where it crashed.
        tasks: those that would restore it, as `rat info` tells.
        values: whether the values are equal after an identity write.
        geometry: whether size, spacing and unit are.
        verdict: `good`, `bad`, `no tool`, or empty where nothing was written.
    """

    kind: str
    name: str
    files: int
    outcome: str
    reason: str = ""
    tasks: tuple[str, ...] = ()
    values: bool | None = None
    geometry: bool | None = None
    verdict: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"))
    parser.add_argument("--only", default="", help="part of the paths to take")
    parser.add_argument("--json", type=Path, help="file for all results")
    options = parser.parse_args()
    results = list(examine_all(options.data, options.only))
    print_table(results)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report(results), indent=1) + "\n")
    sys.exit(any(result.outcome == "crashed" for result in results))


def examine_all(data: Path, only: str) -> Iterator[Result]:
    """Examine every scan in a process of its own kind, which is replaced if it dies."""
    context = get_context("spawn")
    pool = ProcessPoolExecutor(1, mp_context=context)
    for source in list_sources(data):
        name = str(source.paths[0].relative_to(data))
        if only not in name:
            continue
        print(f"\r{name[:100]:100}", end="", file=sys.stderr)
        kind = kind_of(source, data)
        try:
            yield pool.submit(examine, source, kind, name).result()
        except BrokenProcessPool:
            yield Result(kind, name, len(source.paths), "crashed", "the process died")
            pool = ProcessPoolExecutor(1, mp_context=context)
    pool.shutdown()
    print(file=sys.stderr)


def list_sources(data: Path) -> Iterator[ScanSource]:
    """List the scans of every folder, and each file that belongs to none as one of its own."""
    for folder in sorted({path.parent for path in data.rglob("*") if path.is_file()}):
        try:
            sources = find_scans(folder)
        except RatError:
            sources = []
        taken = {path for source in sources for path in source.paths}
        yield from sources
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            if path not in taken:
                yield ScanSource((path,), sniff(path) or "none", path.stem)


def kind_of(source: ScanSource, data: Path) -> str:
    """Name the row of a scan: its folder, two levels deep, and its format."""
    folders = source.paths[0].relative_to(data).parts[:-1]
    depth = 3 if folders[:1] == ("formats",) else 1
    return f"{'/'.join(folders[:depth]) or '.'} {source.format}"


def examine(source: ScanSource, kind: str, name: str) -> Result:
    """Read, write and compare a scan; any error but a RatError is a crash."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    files = len(source.paths)
    target = source if source.format != "none" else source.paths[0]
    try:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "out" + source.suffix) if source.format != "none" else Path(folder)
            tasks = tasks_that_fit(target)
            values, geometry = write_and_compare(target, out)
            found = verdict(source, out)
            return Result(kind, name, files, "read", "", tasks, values, geometry, found)
    except RatError as error:
        reason = f"{type(error).__name__}: {error}".replace(source.paths[0].name, "FILE")
        return Result(kind, name, files, "refused", reason)
    except BaseException as error:  # a codec's panic is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        where = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error} in {Path(where.filename).name}:{where.lineno}"
        return Result(kind, name, files, "crashed", reason)


def tasks_that_fit(source: ScanSource | Path) -> tuple[str, ...]:
    """Find out what `rat info` tells beyond the header: the range, and the tasks that fit."""
    with open_scan(source) as reader:
        measure_range(reader)
        verdicts = [suitability(task, reader) for task in TASKS.values()]
    assert all(verdict.text for verdict in verdicts)
    return tuple(verdict.task for verdict in verdicts if verdict.fits)


def write_and_compare(source: ScanSource | Path, out: Path) -> tuple[bool, bool]:
    """Write a scan unchanged; tell whether values and geometry are those of the source."""
    with open_scan(source) as before:
        with create_scan(before, out, IDENTITY) as writer:
            for plane in range(before.info.planes):
                writer.write(plane, before.read(plane))
        with open_scan(out) as after:
            geometry = same_geometry(before.info, after.info)
            return geometry and same_values(before, after), geometry


def same_geometry(before: ScanInfo, after: ScanInfo) -> bool:
    """Compare size, spacing and unit."""
    names = ("planes", "channels", "height", "width", "modality", "unit")
    same = all(getattr(before, name) == getattr(after, name) for name in names)
    spacings = zip(before.spacing_mm, after.spacing_mm, strict=True)
    return same and all(
        first == second or (first and second and abs(first - second) < 1e-5 * first)
        for first, second in spacings
    )


def same_values(before: ScanReader, after: ScanReader) -> bool:
    """Compare plane by plane: exactly, PET within half a slope, packed colours half a step."""
    for plane in range(before.info.planes):
        first, second = before.read(plane), after.read(plane)
        allowed = 0.0
        if before.info.modality == "PT":
            allowed = 0.501 * float(np.nanmax(np.abs(first))) / STORED_PET_STEPS
        elif before.info.unit == "RGB" and before.info.bits not in (8, 16):
            allowed = 0.501 / 65535
        if not np.allclose(first, second, rtol=0, atol=allowed, equal_nan=True):
            return False
    return True


def report(results: list[Result]) -> dict[str, object]:
    """Return the table, the reasons of refusals, and all that is not as it should be."""
    reasons = Counter(result.reason for result in results if result.outcome == "refused")
    odd = [
        result
        for result in results
        if result.outcome == "crashed"
        or (result.outcome == "read" and not (result.values and result.geometry))
        or result.verdict == "bad"
    ]
    table = [
        {"kind": kind, **dict(zip(HEAD, counts(group), strict=True))}
        for kind, group in by_kind(results)
    ]
    return {
        "rows": table,
        "refused": dict(reasons.most_common()),
        "odd": [asdict(result) for result in odd],
    }


def by_kind(results: list[Result]) -> list[tuple[str, list[Result]]]:
    """Return the rows: the results of each kind, and all."""
    rows: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        rows[result.kind].append(result)
    return [*sorted(rows.items()), ("all", results)]


def print_table(results: Iterable[Result]) -> None:
    """Print one row for each kind, then the reasons of refusals, then crashes and differences."""
    results = list(results)
    print(f"{'kind':38}" + "".join(f"{name:>9}" for name in HEAD))
    for kind, group in by_kind(results):
        print(f"{kind:38}" + "".join(f"{count:9}" for count in counts(group)))
    reasons = Counter(result.reason for result in results if result.outcome == "refused")
    print("\nrefused, because")
    for reason, count in reasons.most_common():
        print(f"{count:5}  {reason}")
    for result in results:
        if result.outcome == "crashed":
            print(f"crashed: {result.name}: {result.reason}")
        elif result.outcome == "read" and not (result.values and result.geometry):
            print(f"differs: {result.name}: values {result.values}, geometry {result.geometry}")
        elif result.verdict == "bad":
            print(f"new faults: {result.name}")


def counts(group: list[Result]) -> tuple[int, ...]:
    """Count a row's columns."""
    outcomes = Counter(result.outcome for result in group)
    return (
        sum(result.files for result in group),
        len(group),
        outcomes["read"],
        outcomes["refused"],
        outcomes["crashed"],
        sum(bool(result.tasks) for result in group),
        sum(bool(result.values) for result in group),
        sum(bool(result.geometry) for result in group),
        sum(result.verdict == "good" for result in group),
        sum(result.verdict == "bad" for result in group),
    )


if __name__ == "__main__":
    main()
