"""Print settings of the classical methods, tuned on training planes at a quarter of the dose.

    python benchmarks/tuned_baselines.py --task pet-synthesis --data DIR [--patients 12]

DIR contains the scans that `recipes/TASK.toml` names. A low-dose version of one plane of each
training patient is simulated as in `benchmarks/quality.py`, which prints the same lines for every
condition. Copy the output into `ratcli/evaluation/baselines.py`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from held_out.cases import Judge, spread
from held_out.ct import CtJudge
from held_out.pet import PetJudge

from ratcli.tasks import get_task
from ratcli.training.data import read_patients
from ratcli.training.recipe import read_recipe

JUDGES: dict[str, tuple[Judge, str]] = {
    "ct-denoise": (CtJudge(), "dose 1/4"),
    "pet-synthesis": (PetJudge(), "counts 1/4"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=JUDGES, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipes", type=Path, default=Path("recipes"))
    parser.add_argument("--patients", type=int, default=0, help="about so many, evenly; 0: all")
    parser.add_argument(
        "--baselines", nargs="*", default=["gaussian", "nl-means", "total-variation"]
    )
    arguments = parser.parse_args()
    bench, condition = JUDGES[arguments.task]
    recipe = read_recipe(arguments.recipes / f"{arguments.task}.toml")
    entries = recipe.train[:: max(len(recipe.train) // (arguments.patients or 1000), 1)]
    planes = read_patients(arguments.data, entries, get_task(arguments.task))
    training = spread(planes, 1)
    print(f"{arguments.task}, {condition}, {len(training)} training planes")
    list(bench.classical(training, condition, arguments.baselines))


if __name__ == "__main__":
    main()
