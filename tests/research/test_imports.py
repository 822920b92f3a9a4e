"""Every research module and every benchmark loads: what they use of the package still exists."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESEARCH = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "research").rglob("*.py")
)
BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))
HELD_OUT = sorted((ROOT / "benchmarks" / "held_out").glob("*.py"))
# Loads scripts as modules one after another and prints the names of those that fail.
LOADER = """
import importlib, runpy, sys, traceback
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    try:
        if name.endswith(".py"):
            runpy.run_path(name, run_name="loaded")
        else:
            importlib.import_module(name)
    except Exception:
        traceback.print_exc()
        print("FAILED", name)
"""


def test_every_research_module_loads() -> None:
    assert failures(RESEARCH) == []


def test_every_benchmark_loads() -> None:
    parts = [f"held_out.{path.stem}" for path in HELD_OUT]
    assert failures([*map(str, BENCHMARKS), *parts]) == []


def failures(names: list[str]) -> list[str]:
    """Return what cannot be loaded in a fresh interpreter, with the reasons in front."""
    assert names
    done = subprocess.run(
        [sys.executable, "-c", LOADER, str(ROOT / "benchmarks"), *names],
        capture_output=True, text=True, timeout=300, cwd=ROOT,
    )  # fmt: skip
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    return failed + ([done.stderr[-2000:]] if failed or done.returncode else [])
