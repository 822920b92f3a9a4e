"""What tiles, split regions and half precision change, on held-out slices at quarter dose.

    python benchmarks/approximations.py --data DIR

Each row restores the same slices: PSNR over [-160, 240] HU against the slice of usual dose, and
the difference from the whole plane in float32 over soft tissue and over all pixels.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from held_out.cases import spread
from held_out.ct import SOFT, Pair, lower_dose

from ratcli.evaluation.fidelity import score
from ratcli.network.checkpoint import build_network, read_state, settings_from
from ratcli.network.device import choose_device
from ratcli.network.engine import Engine, EngineSettings
from ratcli.network.registry import find_weights
from ratcli.partition import get_partitioner
from ratcli.scan import FloatArray
from ratcli.tasks import get_task
from ratcli.training.data import read_patients
from ratcli.training.recipe import read_recipe

TASK = get_task("ct-denoise")
VARIANTS: dict[str, tuple[int, EngineSettings]] = {
    "whole plane, float32": (0, EngineSettings()),
    "bfloat16": (0, EngineSettings(precision="bf16")),
    "tiles of 256, overlap 64": (0, EngineSettings(tile=256, tile_overlap=64)),
    "tiles of 384, overlap 128": (0, EngineSettings(tile=384, tile_overlap=128)),
    "regions of at most 4096 tokens": (4096, EngineSettings()),
    "regions of at most 1024 tokens": (1024, EngineSettings()),
    "regions of at most 256 tokens": (256, EngineSettings()),
}


def run(
    name: str, pairs: list[Pair], partition: str, weights: str
) -> tuple[list[FloatArray], float]:
    """Restore every slice in one way; return HU and seconds a slice."""
    limit, settings = VARIANTS[name]
    entry, device = find_weights(weights), choose_device("cpu")
    shape = replace(settings_from(entry.network), max_region_tokens=limit)
    engine = Engine(build_network(shape, read_state(entry.file), device), device, settings)
    partitioner = get_partitioner(partition)
    outputs, began = [], time.perf_counter()
    for pair in pairs:
        normal = TASK.normalise(pair.low[None])
        restored = engine.restore([normal], [partitioner.partition(normal).labels])[0]
        outputs.append(TASK.denormalise(restored)[0])
    return outputs, (time.perf_counter() - began) / len(pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, default=Path("recipes/ct-denoise.toml"))
    parser.add_argument("--weights", default="ct-denoise")
    parser.add_argument("--partitions", nargs="+", default=["superpixel", "none"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    planes = spread(read_patients(arguments.data, read_recipe(arguments.recipe).held_out, TASK), 1)
    pairs = [lower_dose(plane, 0.25, seed) for seed, plane in enumerate(planes)]
    print(f"{len(pairs)} slices; PSNR at {SOFT}; differences in HU")
    print(
        f"{'partition':11} {'variant':31} {'PSNR':>6} {'rms':>6} {'99.9 %':>7} {'max':>6} {'s':>5}"
    )
    rows = []
    for partition in arguments.partitions:
        exact: list[FloatArray] = []
        for name in VARIANTS:
            outputs, seconds = run(name, pairs, partition, arguments.weights)
            exact = exact or outputs
            change = np.abs(
                np.stack([(a - b).ravel() for a, b in zip(outputs, exact, strict=True)])
            )
            psnr = np.mean(
                [score(a, p.usual, SOFT).psnr_db for a, p in zip(outputs, pairs, strict=True)]
            )
            rows.append(
                {
                    "partition": partition, "variant": name, "psnr_db": float(psnr),
                    "rms_hu": float(np.sqrt((change**2).mean())),
                    "q999_hu": float(np.quantile(change, 0.999)),
                    "max_hu": float(change.max()), "seconds": seconds,
                }
            )  # fmt: skip
            row = rows[-1]
            print(
                f"{partition:11} {name:31} {row['psnr_db']:6.2f} {row['rms_hu']:6.2f} "
                f"{row['q999_hu']:7.2f} {row['max_hu']:6.1f} {seconds:5.1f}",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
