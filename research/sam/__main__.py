"""Train the compact SAM.

    python -m research.sam --config RECIPE --data DIR -o FOLDER [--resume | --from FILE]

Figures of each step go to `curve.csv` in the folder, the averaged weights to
`sam-compact.safetensors`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from ratcli.tasks.ct_denoise import CT_DENOISE
from ratcli.training.data import read_patients
from research.sam.examples import SamExamples
from research.sam.recipe import read_sam_recipe
from research.sam.training import begin_from, make_trainer


def main(arguments: Sequence[str] | None = None) -> None:
    """Train as the command line says."""
    words = _parser().parse_args(arguments)
    if words.threads:
        torch.set_num_threads(words.threads)
    recipe = read_sam_recipe(words.config)
    planes = read_patients(words.data, recipe.train, CT_DENOISE)
    source = SamExamples(recipe.seed, planes, recipe.real, recipe.noise_hu)
    trainer = make_trainer(recipe, source, words.out, torch.device(words.device))
    trainer.workers = words.workers
    if words.resume:
        trainer.resume()
    elif words.begin:
        begin_from(trainer, recipe, words.begin)
    trainer.run(until=words.until)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m research.sam",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, required=True, help="recipe, in TOML")
    parser.add_argument("--data", type=Path, required=True, help="folder of the recipe's scans")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--from", dest="begin", type=Path, help="weights to begin with")
    parser.add_argument("--until", type=int, help="step to stop at")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--workers",
        type=int,
        default=max(0, (os.cpu_count() or 1) - 2),
        help="processes that make examples ahead",
    )
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 for all")
    return parser


if __name__ == "__main__":
    main()
