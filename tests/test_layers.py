"""The layers of the package: imports go down only, and heavy libraries load late."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "ratcli"

LAYERS: dict[str, float] = {
    "errors": 0,
    "processors": 0,
    "paths": 1,
    "scan": 1,
    "regions": 1,
    "task": 1,
    "weightfiles": 1.5,
    "holes": 1.5,
    "schema": 1.25,
    "adjacent": 1.5,
    "formats": 2,
    "tasks": 2,
    "partition": 2,
    "network": 2,
    "physics": 2,
    "pipeline": 2.5,
    "commands": 4,
    "node": 4,
    "batch": 3,
    "training": 3,
    "evaluation": 2.5,
    "cli": 5,
}
# What a layer may take from outside the standard library, where the rule names it.
PURE = {0: set(), 1: {"numpy", "typing_extensions"}}
ONLY_CLI = {"typer", "rich"}
WITHOUT_TORCH = (
    "formats", "tasks", "cli", "commands", "node", "batch", "evaluation", "regions", "scan", "task",
    "holes", "adjacent", "weightfiles",
)  # fmt: skip
TORCH_INSIDE = ("torch", "torchvision", "segment_anything")
WITHOUT_PATHS = (
    "errors",
    "scan",
    "regions",
    "task",
    "tasks",
    "holes",
    "adjacent",
    "physics",
    "pipeline",
)
MAY_MEET = ({"scan", "regions"}, {"scan", "task"}, {"commands", "node"})


class Import(NamedTuple):
    """An import statement."""

    module: str
    name: str
    line: int
    at_load: bool


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    """Return the name below `ratcli` that the table lists."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[Import]:
    """Yield imports; those inside functions and under TYPE_CHECKING do not happen at load."""
    tree = parsed(path)
    late = {node for outer in ast.walk(tree) if _is_late(outer) for node in ast.walk(outer)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, alias.name, node.lineno, node not in late)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield Import(node.module, name, node.lineno, node not in late)


def _is_late(node: ast.AST) -> bool:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        return True
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def top(found: Import) -> str:
    return found.module.split(".")[0]


def inside(found: Import) -> str | None:
    """Return the part of ratcli that an import reaches, or None."""
    if found.module == "ratcli":
        return found.name.split(".")[1]
    return found.module.split(".")[1] if found.module.startswith("ratcli.") else None


def place(path: Path, line: int) -> str:
    return f"{path.relative_to(PACKAGE)}:{line}"


def offences(rule: Callable[[str, Import], bool]) -> list[str]:
    """Return the imports that break a rule, a function of the part and what it imports."""
    return [
        f"{place(path, found.line)} imports {found.name}"
        for path in modules()
        for found in imports(path)
        if not rule(part_of(path), found)
    ]


def test_every_module_stands_in_a_layer() -> None:
    assert {part_of(path) for path in modules()} <= {*LAYERS, "__init__", "__main__"}


def test_imports_go_down_only() -> None:
    def downward(part: str, found: Import) -> bool:
        other = inside(found)
        if part in ("__init__", "__main__") or other in (None, part, "__version__"):
            return True
        return LAYERS[other] < LAYERS[part] or {part, other} in MAY_MEET

    assert offences(downward) == []


def test_the_lowest_layers_need_almost_nothing() -> None:
    def pure(part: str, found: Import) -> bool:
        layer = LAYERS.get(part)
        known = {*sys.stdlib_module_names, "ratcli", *PURE.get(layer, ())}
        return layer not in PURE or top(found) in known

    assert offences(pure) == []


def test_only_the_command_line_imports_terminal_libraries() -> None:
    assert offences(lambda part, found: part == "cli" or top(found) not in ONLY_CLI) == []


def test_only_the_command_line_prints() -> None:
    calls = [
        place(path, node.lineno)
        for path in modules()
        if part_of(path) != "cli"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("print", "input")
    ]
    assert calls == []


def test_paths_stay_where_files_are_opened() -> None:
    def pathless(part: str, found: Import) -> bool:
        return part not in WITHOUT_PATHS or found.module not in ("pathlib", "os")

    assert offences(pathless) == []


def test_torch_is_not_loaded_where_there_may_be_no_work() -> None:
    def light(part: str, found: Import) -> bool:
        return part not in WITHOUT_TORCH or not found.at_load or top(found) not in TORCH_INSIDE

    assert offences(light) == []


def test_imports_are_absolute() -> None:
    relative = [
        place(path, node.lineno)
        for path in modules()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def loaded(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after a statement."""
    listing = "print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    code = f"import sys\n{statement}\n{listing}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "words",
    [["--help"], ["restore", "--help"], ["info", "--help"], ["weights", "list"], ["--version"]],
    ids=" ".join,
)
def test_the_command_line_answers_without_torch(words: list[str]) -> None:
    there = loaded(f"from ratcli.cli.app import main; assert main({words!r}) == 0")
    assert not there & {"torch", "scipy", "skimage", "pydicom", "nibabel", "tifffile"}


@pytest.mark.parametrize(
    "module",
    [
        "ratcli",
        "ratcli.formats",
        "ratcli.tasks",
        "ratcli.batch",
        "ratcli.network",
        "ratcli.pipeline",
        "ratcli.batch.restoring",
    ],
)
def test_a_module_loads_without_torch(module: str) -> None:
    assert "torch" not in loaded(f"import {module}")
