"""What a user wants to be measured, as texts, and the settings for an open scan that follow.

No torch here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ratcli.errors import InputNotFoundError, UsageError
from ratcli.evaluation.baselines import BASELINES, Baseline, check_installed, usual_baseline
from ratcli.evaluation.evaluate import EvaluationSettings
from ratcli.evaluation.fidelity import NATIVE
from ratcli.evaluation.window import Window, measured_unit, parse_window, windows_of
from ratcli.paths import check_file
from ratcli.scan import ScanReader


@dataclass(frozen=True)
class Choices:
    """What to measure, for scans of any unit.

    Attributes:
        windows: names, or two numbers as `-160,240`; those of the scan's unit where empty.
        baselines: names, or JSON files with tuned settings.
        protocol: `native` or `rat-paper`.
        phantom: whether the scan is a round phantom.
        shown: most planes to keep for the report.
    """

    windows: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ()
    protocol: str = NATIVE
    phantom: bool = False
    shown: int = 20

    @property
    def text(self) -> str:
        """The choices in words, for the provenance of a report."""
        parts = (
            f"protocol {self.protocol}",
            *(f"window {text}" for text in self.windows),
            *(f"baseline {Path(text).name}" for text in self.baselines),
            "phantom" if self.phantom else "",
        )
        return ", ".join(part for part in parts if part)

    @property
    def files(self) -> tuple[Path, ...]:
        """Files with tuned baselines."""
        return tuple(Path(text) for text in self.baselines if _is_file(text))


def settings_for(reader: ScanReader, choices: Choices) -> EvaluationSettings:
    """Return how to evaluate a scan.

    Args:
        reader: the open scan whose unit counts, see `Comparison.tells_unit`.
        choices: what to measure.

    Raises:
        UsageError: there is no such window or baseline.
        InputNotFoundError: a file with tuned settings does not exist.
    """
    unit = measured_unit(reader).unit
    windows = tuple(parse_window(text, unit or "") for text in choices.windows)
    window = next(iter(windows_of(unit)[1:2] or windows), None)
    return EvaluationSettings(
        windows=windows,
        baselines=_baselines(choices.baselines, unit, window),
        protocol=choices.protocol,
        shown=choices.shown,
        phantom=choices.phantom,
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
        elif _is_file(name):
            made.append(_tuned(Path(name)))
        else:
            raise UsageError(
                f"there is no baseline '{name}'", hint=f"Known: {', '.join(BASELINES)}."
            )
    for baseline in made:
        check_installed(baseline.name)
    return tuple(made)


def _is_file(name: str) -> bool:
    return name not in BASELINES and Path(name).suffix == ".json"


def _tuned(path: Path) -> Baseline:
    """Return a baseline as `{"name": ..., "settings": {...}, "window": "ct-soft"}`.

    Raises:
        InputNotFoundError: no such file.
        UsageError: it is not as expected.
    """
    try:
        check_file(path)
        content = json.loads(path.read_text(encoding="utf-8"))
        name, settings = str(content["name"]), dict(content["settings"])
        window = parse_window(str(content["window"]), "")
        known = set(BASELINES[name].usual["HU"])
    except FileNotFoundError as error:
        raise InputNotFoundError(f"{path.name} does not exist") from error
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path.name} is not a file with a tuned baseline",
            hint='Expected {"name": "nl-means", "settings": {...}, "window": "ct-soft"}.',
        ) from error
    if set(settings) != known:
        raise UsageError(f"{path.name} must set {', '.join(sorted(known))}")
    return Baseline(name, {key: float(value) for key, value in settings.items()}, window)
