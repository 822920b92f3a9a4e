"""Read broken configurations, registries, recipes and manifests: nothing but a RatError.

    python benchmarks/fuzz_settings.py --minutes 2 [--seed 0]

Hypothesis makes the files: tables with known and unknown keys, and with values of any type, size
and depth; or texts that are no tables at all. An error must have a sentence and an exit code of its
own; a fault of rat has 1. The smallest file that fails is printed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from ratcli.batch import manifest
from ratcli.batch.manifest import Header
from ratcli.batch.outcome import Outcome
from ratcli.cli.parameters import by_parameter, read_settings
from ratcli.commands.restore_options import RestoreOptions
from ratcli.errors import RatError
from ratcli.network.checkpoint import settings_from
from ratcli.network.rat import NetworkSettings
from ratcli.network.registry import ResidualKept, WeightsEntry, list_weights
from ratcli.training.recipe import Recipe, read_recipe

BATCH = 200
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(1 << 62), 1 << 62),
    st.floats(),
    TEXT,
    st.sampled_from([0, 1, 8, 64, 300000, "ct-denoise", "superpixel", "bf16", "done"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def tables(kind: type, valid: dict[str, Any], **inner: st.SearchStrategy) -> st.SearchStrategy:
    """Return tables that are valid but for a few keys, most of them fields of a dataclass."""
    names = st.sampled_from([field.name for field in dataclasses.fields(kind)]) | TEXT
    broken = st.dictionaries(names, VALUES, max_size=2)
    return st.builds(
        lambda nested, few: {**valid, **nested, **few},
        st.fixed_dictionaries({}, optional=inner),
        broken,
    )


NETWORKS = tables(NetworkSettings, {})
ENTRY = dict.fromkeys(("file", "sha256", "summary", "licence"), "x")
ENTRIES = tables(
    WeightsEntry,
    {**ENTRY, "task": "ct-denoise", "data": [], "network": {}},
    network=NETWORKS,
    residual_kept=tables(ResidualKept, {"least": 0, "error": 1, "slope": 0.1, "along_px": 4.0}),
)
OUTCOMES = tables(Outcome, {"name": "a", "status": "done"})
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "config": tables(RestoreOptions, {}, restore=tables(RestoreOptions, {})),
    "registry": st.dictionaries(TEXT, ENTRIES | VALUES, max_size=2),
    "recipe": tables(Recipe, {"task": "ct-denoise"}, network=NETWORKS),
    "manifest": st.fixed_dictionaries(
        {"settings": st.just({}) | VALUES, "files": st.lists(OUTCOMES, max_size=2) | VALUES}
    ),
}


def read_config(path: Path) -> None:
    by_parameter(read_settings(path, "restore"), RestoreOptions, path)


def read_registry(path: Path) -> None:
    os.environ["RAT_HOME"] = str(path.parent)
    for entry in list_weights():
        settings_from(entry.network)


def read_manifest(path: Path) -> None:
    manifest.read(path, Header())


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "config": ("run.toml", read_config),
    "registry": ("registry.toml", read_registry),
    "recipe": ("recipe.toml", read_recipe),
    "manifest": ("run.json", read_manifest),
}


def to_toml(value: Any) -> str:
    """Return a value as TOML; tables inside are written on one line."""
    if isinstance(value, dict):
        inner = (f"{json.dumps(key)} = {to_toml(part)}" for key, part in value.items())
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(to_toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value).replace("\x7f", "\\u007f")


def as_file(kind: str, content: Any) -> str:
    if isinstance(content, str):
        return content
    if kind == "manifest":
        return json.dumps(content)
    return "".join(f"{json.dumps(key)} = {to_toml(part)}\n" for key, part in content.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    outcomes: Counter[tuple[str, str]] = Counter()
    end, number = time.monotonic() + options.minutes * 60, options.seed
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            for kind in KINDS:
                attempts(kind, Path(folder), outcomes, number)
            number += 1
    for (kind, outcome), count in sorted(outcomes.items()):
        print(f"{kind:10}{outcome:10}{count:8}")
    print(f"{sum(outcomes.values())} files, no failure; next --seed {number}")


def attempts(kind: str, folder: Path, outcomes: Counter[tuple[str, str]], number: int) -> None:
    """Read some hundred files of a kind; the first that fails raises."""
    name, read = READERS[kind]

    @hypothesis.seed(number)
    @hypothesis.settings(
        max_examples=BATCH, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(KINDS[kind] | st.text(max_size=40))
    def attempt(content: Any) -> None:
        path = folder / name
        path.write_text(as_file(kind, content), encoding="utf-8", errors="replace")
        try:
            read(path)
            outcomes[kind, "read"] += 1
        except RatError as error:
            if not str(error) or error.exit_code <= 1:
                raise AssertionError("an error without a sentence or a code of its own") from error
            outcomes[kind, "refused"] += 1
        finally:
            path.unlink()

    attempt()


if __name__ == "__main__":
    main()
