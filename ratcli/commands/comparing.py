"""Which scans `rat evaluate` compares, and how, from what the command line names."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ratcli.errors import InputNotFoundError, UsageError
from ratcli.evaluation.baselines import BASELINES, Baseline, check_installed, usual_baseline
from ratcli.evaluation.evaluate import Settings
from ratcli.evaluation.roi import MappedRegions, RegionSource, regions_from_json
from ratcli.evaluation.units import measured_unit
from ratcli.evaluation.window import Window, parse_window, windows_of
from ratcli.formats import ScanSource, find_scans
from ratcli.formats.limits import DEFAULT_MAX_PIXELS
from ratcli.scan import ScanReader


@dataclass(frozen=True)
class Others:
    """Scans beside the restored ones, each a file or a folder, or None."""

    reference: Path | None = None
    input: Path | None = None
    uncertainty: Path | None = None
    regions: Path | None = None


@dataclass(frozen=True)
class Asked:
    """What to measure, as the command line has it."""

    windows: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ()
    protocol: str = "native"
    phantom: bool = False
    suv_factor: float | None = None
    unit: str | None = None
    recursive: bool = False
    max_pixels: int = DEFAULT_MAX_PIXELS


@dataclass(frozen=True)
class Together:
    """A restored scan and those that belong to it."""

    restored: ScanSource
    others: dict[str, ScanSource] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the restored scan, for tables and reports."""
        return self.restored.name


def find_sets(restored: Sequence[Path], others: Others, recursive: bool) -> list[Together]:
    """List the restored scans, each with those that belong to it.

    A lone scan belongs to a lone restored one; of several, the one whose name the restored one's
    begins with (`a` to `a_ct-denoise`).

    Raises:
        UsageError: a restored scan has no partner.
        InputNotFoundError: nothing is there.
    """
    sources = [source for path in restored for source in find_scans(path, recursive=recursive)]
    partners: dict[str, list[ScanSource]] = {}
    for name in ("reference", "input", "uncertainty"):
        path = getattr(others, name)
        if path is not None:
            partners[name] = find_scans(path, recursive=recursive)
    return [
        Together(
            source,
            {
                name: _partner(name, source, candidates, len(sources))
                for name, candidates in partners.items()
            },
        )
        for source in sources
    ]


def settings_for(restored: ScanReader, asked: Asked) -> Settings:
    """Return how to evaluate an open scan.

    Raises:
        UsageError: a window or a baseline makes no sense.
        InputNotFoundError: a file with tuned settings is not there.
    """
    unit = measured_unit(restored, asked.suv_factor).unit
    windows = tuple(parse_window(text, unit or "") for text in asked.windows)
    window = next(iter(windows_of(unit)[1:2] or windows), None)
    return Settings(
        windows=windows,
        baselines=_baselines(asked.baselines, unit, window),
        protocol=asked.protocol,
        suv_factor=asked.suv_factor,
        phantom=asked.phantom,
    )


def _baselines(
    names: Sequence[str], unit: str | None, window: Window | None
) -> tuple[Baseline, ...]:
    """Return baselines by name, with the unit's usual settings, or from files with tuned ones.

    Raises:
        UsageError: no such method, or a file that is not as expected.
    """
    made = []
    for name in names:
        if name in BASELINES:
            made.append(usual_baseline(name, unit, window))
        elif Path(name).suffix == ".json":
            made.append(_tuned(Path(name)))
        else:
            raise UsageError(
                f"there is no baseline '{name}'", hint=f"Known: {', '.join(BASELINES)}."
            )
    for baseline in made:
        check_installed(baseline.name)
    return tuple(made)


def _tuned(path: Path) -> Baseline:
    """Return a baseline as `{"name": ..., "settings": {...}, "window": "ct-soft"}`.

    Raises:
        InputNotFoundError: no such file.
        UsageError: it is not as expected.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        name, settings = str(content["name"]), dict(content["settings"])
        window = parse_window(str(content["window"]), "")
        known = set(BASELINES[name].grid)
    except FileNotFoundError as error:
        raise InputNotFoundError(f"{path.name} does not exist") from error
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path.name} holds no tuned baseline",
            hint='Expected {"name": "nl-means", "settings": {...}, "window": "ct-soft"}.',
        ) from error
    if set(settings) != known:
        raise UsageError(f"{path.name} must set {', '.join(sorted(known))}")
    return Baseline(name, {key: float(value) for key, value in settings.items()}, window)


def open_region_source(
    path: Path, restored: ScanReader, stack: contextlib.ExitStack
) -> RegionSource:
    """Open drawn regions, or a region map on the grid of the restored scan.

    Args:
        path: JSON, or a region map.
        restored: the open scan.
        stack: closes the map.

    Raises:
        RatError: not found, not readable, or not on the scan's grid.
    """
    if path.suffix.lower() == ".json":
        with _reading(path):
            text = path.read_text(encoding="utf-8")
        return regions_from_json(text)
    from ratcli.formats.regions import open_regions

    reader = stack.enter_context(open_regions(path, restored))
    if (reader.labels(0) != 0).all():
        # A partition labels every pixel, and numbers its regions plane by plane.
        return MappedRegions(reader.labels, None, lasting=False)
    return MappedRegions(reader.labels, names=reader.names)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise InputNotFoundError(f"{path.name} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name} cannot be read as text") from error


def _partner(
    kind: str, source: ScanSource, candidates: Sequence[ScanSource], count: int
) -> ScanSource:
    """Return the scan that belongs to a restored one.

    Raises:
        UsageError: there is none.
    """
    if len(candidates) == 1 and count == 1:
        return candidates[0]
    fitting = [other for other in candidates if source.name.startswith(other.name)]
    if not fitting:
        raise UsageError(
            f"no {kind} belongs to {source.name}",
            hint=f"Its name must be the start of the restored one's; {len(candidates)} were found.",
        )
    return max(fitting, key=lambda other: len(other.name))
