"""Train all three networks on a GPU that can be had for a few minutes only.

    python scripts/train_on_gpu.py pack --data DIR --into bases
    python scripts/train_on_gpu.py train --data bases --out OUT --minutes 8

`pack` copies a part of the scans that the recipes name, so that a folder of limited size holds
neighbouring slices of many patients. `train` tunes the installed weights one task after the other:
it measures a step, plans as many as the task's share of the time allows, trains, publishes the
weights into `OUT/weights`, and prints the figures on held-out patients.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ratcli.training.recipe_files import find_recipe, read_recipe

from ratcli.commands.train import train
from ratcli.commands.train_options import TrainOptions


@dataclass(frozen=True)
class Share:
    """What a task gets of the folder and of the time.

    Attributes:
        megabytes: of scans.
        files: most files of one patient, in a row.
        time: part of the minutes.
    """

    megabytes: float
    files: int
    time: float


SHARES = {
    "ct-denoise": Share(20, 12, 0.5),
    "pet-synthesis": Share(6, 24, 0.25),
    "pathology-sr": Share(6, 2, 0.15),
}
"""The rest of the time is for the figures."""


def pack(data: Path, into: Path) -> None:
    """Copy a part of the scans of each recipe, below the same paths."""
    for task, share in SHARES.items():
        recipe = read_recipe(find_recipe(task))
        left = share.megabytes * 1e6
        # What training sees of each patient comes in turn, after all that is held out.
        for file in [*_files(data, recipe.held_out, 3), *_files(data, recipe.train, share.files)]:
            left -= file.stat().st_size
            if left < 0:
                break
            target = into / file.relative_to(data)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


def _files(data: Path, entries: Sequence[str], most: int) -> Iterator[Path]:
    """Yield at most so many files of each entry, from its middle, the smallest entries first."""
    found = []
    for entry in entries:
        path = data / entry
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        first = max(0, (len(files) - most) // 2)
        found.append(files[first : first + most])
    for files in sorted(found, key=lambda some: sum(file.stat().st_size for file in some)):
        yield from files


def run(data: Path, out: Path, minutes: float, device: str, most_steps: int) -> None:
    """Tune, publish and judge the networks of all tasks."""
    weights = out / "weights"
    for task, share in SHARES.items():
        recipe = _packed_recipe(data, out, task)
        options = TrainOptions(
            recipe=str(recipe), data=data, out=out / task, begin=task,
            device=device, workers=max(0, (os.cpu_count() or 1) - 2),
            settings=("precision=bf16",),
        )  # fmt: skip
        began = time.monotonic()
        step = sum(train(options, profile=True).seconds.values())
        left = 60 * minutes * share.time - (time.monotonic() - began)
        steps = min(most_steps, max(10, math.floor(0.9 * left / step)))
        print(f"{task}: {step:.3f} s a step, {steps} steps", flush=True)
        late = steps // 8
        planned = (f"steps={steps}", f"late_steps={late}", f"warmup={min(100, steps // 10)}")
        train(options, settings=(*options.settings, *planned, "learning_rate=5e-4"))
        train(out=out / task, publish=f"{task}-gpu", into=weights)
        print(f"{task}: done after {time.monotonic() - began:.0f} s", flush=True)
    for task in SHARES:
        command = [
            sys.executable, "benchmarks/quality.py", "--task", task, "--data", str(data),
            "--recipes", str(out / "recipes"), "--planes", "1", "--baselines",
            "--weights", task, f"{task}-gpu",
        ]  # fmt: skip
        subprocess.run(command, check=True, env={**os.environ, "RAT_HOME": str(weights)})


def _packed_recipe(data: Path, out: Path, task: str) -> Path:
    """Write a task's recipe without the scans that were not packed."""
    text = find_recipe(task).read_text(encoding="utf-8")
    entries = {*read_recipe(find_recipe(task)).train, *read_recipe(find_recipe(task)).held_out}
    for entry in entries:
        if not (data / entry).exists():
            text = text.replace(f'    "{entry}",\n', "")
    path = out / "recipes" / f"{task}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def main() -> None:
    """Pack or train, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    verbs = parser.add_subparsers(dest="verb", required=True)
    packing, training = verbs.add_parser("pack"), verbs.add_parser("train")
    for verb in (packing, training):
        verb.add_argument("--data", type=Path, required=True)
    packing.add_argument("--into", type=Path, required=True)
    training.add_argument("--out", type=Path, required=True)
    training.add_argument("--minutes", type=float, default=8)
    training.add_argument("--device", default="cuda")
    training.add_argument("--steps", type=int, default=100_000, help="at most, of each task")
    words = parser.parse_args()
    if words.verb == "pack":
        pack(words.data, words.into)
    else:
        run(words.data, words.out, words.minutes, words.device, words.steps)


if __name__ == "__main__":
    main()
