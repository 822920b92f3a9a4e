"""Quality on patients that no training used: the networks and tuned classical methods.

    python benchmarks/quality.py --task all --data DIR [--planes 2] [--json benchmarks/results]

DIR holds the scans that `recipes/TASK.toml` names. Each held-out plane is degraded as a scanner
would have (see `held_out/`), restored by every installed network with every installed partition,
and compared with what it was before. Classical methods are tuned on training patients, degraded
alike. Prints a table for each task and condition, means over patients; writes `quality-TASK.json`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from held_out.cases import Judge, spread
from held_out.ct import CtJudge
from held_out.networks import facts, installed_weights, networks
from held_out.pathology import PathologyJudge, fields
from held_out.pet import PetJudge
from held_out.rows import Row, judge, show

from ratcli.tasks import get_task
from ratcli.training.data import read_patients
from ratcli.training.examples import TargetPlane
from ratcli.training.recipe import read_recipe

PARTITIONS = ("superpixel", "none", "sam-compact")
JUDGES: dict[str, Judge] = {
    bench.task: bench for bench in (CtJudge(), PetJudge(), PathologyJudge())
}
_TUNING_PATIENTS = 14
BASELINES = ("gaussian", "nl-means", "total-variation", "bm3d")


def read_planes(data: Path, entries: Sequence[str], task: str, most: int) -> list[TargetPlane]:
    """Read planes to judge by, at most so many of each patient."""
    planes = read_patients(data, entries, get_task(task))
    return fields(planes, most) if task == "pathology-sr" else spread(planes, most)


def evenly(entries: Sequence[str], most: int) -> list[str]:
    """Take at most so many entries, spread over all."""
    step = max(1.0, len(entries) / most)
    return [entries[int(number * step)] for number in range(min(most, len(entries)))]


def compare(bench: Judge, arguments: argparse.Namespace) -> dict[str, object]:
    """Judge every method of a task in every condition; return what the JSON holds."""
    recipe = read_recipe(arguments.recipes / f"{bench.task}.toml")
    held_out = read_planes(arguments.data, recipe.held_out, bench.task, arguments.planes)
    tuned_on = evenly(recipe.train, _TUNING_PATIENTS)
    training = read_planes(arguments.data, tuned_on, bench.task, 1)
    weights = installed_weights(bench.task, arguments.weights)
    usual = dict.fromkeys([get_task(bench.task).partition, *PARTITIONS])
    partitions = arguments.partitions or list(usual)
    methods = list(networks(weights, partitions, arguments.threads))
    rows: list[Row] = []
    for condition in bench.conditions:
        cases = bench.cases(held_out, condition, first_seed=arguments.seed)
        named = [("input", lambda plane: plane)] if get_task(bench.task).scale == 1 else []
        named += bench.classical(training, condition, arguments.baselines)
        found = [judge(bench, condition, one, cases) for one in [*named, *methods]]
        show(
            found,
            bench.columns,
            f"{bench.task}, {condition}: {len(cases)} planes of "
            f"{len({case.patient for case in cases})} patients, each patient counted once",
        )
        rows += found
    for name, meaning in bench.about.items():
        print(f"  {name}: {meaning}")
    return {
        "task": bench.task,
        **facts(weights, arguments.threads),
        "held_out": list(recipe.held_out),
        "planes": len(held_out),
        "patients": len({plane.patient for plane in held_out}),
        "about": dict(bench.about),
        "rows": [asdict(row) for row in rows],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=[*JUDGES, "all"], default="all")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipes", type=Path, default=Path("recipes"))
    parser.add_argument("--weights", nargs="*", default=[], help="all installed ones if left out")
    parser.add_argument(
        "--partitions",
        nargs="*",
        help="left out: the task's and three more",
    )
    parser.add_argument("--baselines", nargs="*", default=BASELINES)
    parser.add_argument("--seed", type=int, default=0, help="of the first plane's noise")
    parser.add_argument("--planes", type=int, default=2, help="most planes of a patient")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path, help="folder of the results")
    arguments = parser.parse_args()
    for task in JUDGES if arguments.task == "all" else [arguments.task]:
        result = compare(JUDGES[task], arguments)
        if arguments.json:
            path = arguments.json / f"quality-{task}.json"
            path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
