"""Measures how tiles, split regions and half precision change held-out slices at quarter dose.

    python benchmarks/approximations.py --data DIR

Each row restores the same slices: PSNR over [-160, 240] HU against the slice of full dose, and
the difference from the whole plane in float32 over soft tissue and over all pixels.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from held_out.cases import spread
from held_out.ct import SOFT, Pair, lower_dose

from ratcli.commands.arrays import ArrayReader
from ratcli.evaluation.fidelity import score
from ratcli.network.checkpoint import build_network, read_state, settings_from
from ratcli.network.device import choose_device
from ratcli.network.engine import DTYPES, Engine
from ratcli.network.inference import InferenceRAT
from ratcli.network.rat import RAT
from ratcli.network.registry import find_weights
from ratcli.network.settings import EngineSettings
from ratcli.partition import Partitioner, get_partitioner
from ratcli.pipeline.cutting import Blending, Cut
from ratcli.regions import LabelArray
from ratcli.scan import FloatArray
from ratcli.tasks import get_task
from ratcli.training.data import read_patients
from ratcli.training.recipe import read_recipe

TASK = get_task("ct-denoise")
EXACT = "whole plane, float32"
# The most tokens of a region, None for those of the weights; and how the network is run.
VARIANTS: dict[str, tuple[int | None, EngineSettings]] = {
    EXACT: (None, EngineSettings()),
    "tiles of a CPU": (None, EngineSettings()),
    "tiles of 64": (None, EngineSettings(tile=64)),
    "tiles of 256": (None, EngineSettings(tile=256)),
    "bfloat16 in attention": (None, EngineSettings(precision="mixed")),
    "bfloat16": (None, EngineSettings(precision="bf16")),
    "panes of 256, margin 32": (None, EngineSettings()),
    "panes of 384, margin 64": (None, EngineSettings()),
    "regions whole": (0, EngineSettings()),
    "regions of at most 4096 tokens": (4096, EngineSettings()),
    "regions of at most 1024 tokens": (1024, EngineSettings()),
    "regions of at most 256 tokens": (256, EngineSettings()),
}

# Side and margin of panes.
PANES = {"panes of 256, margin 32": (256, 32), "panes of 384, margin 64": (384, 64)}


def run(
    name: str, pairs: list[Pair], partition: str, weights: str
) -> tuple[list[FloatArray], float]:
    """Restore every slice in one way; return HU and seconds a slice."""
    limit, settings = VARIANTS[name]
    entry, device = find_weights(weights), choose_device("cpu")
    shape = settings_from(entry.network)
    shape = shape if limit is None else replace(shape, max_region_tokens=limit)
    dtypes = DTYPES[settings.precision]
    learned = build_network(shape, read_state(entry.file), device)
    engine = Engine(InferenceRAT(learned, *dtypes), device, settings)
    partitioner = get_partitioner(partition)
    outputs, began = [], time.perf_counter()
    for pair in pairs:
        normal = TASK.normalise(pair.low[None])
        if name == EXACT:
            restored = whole(learned, normal, partitioner.partition(normal).labels)
        else:
            restored = in_panes(engine, partitioner, normal, *PANES.get(name, (0, 0)))
        outputs.append(TASK.denormalise(restored)[0])
    return outputs, (time.perf_counter() - began) / len(pairs)


def in_panes(
    engine: Engine, partitioner: Partitioner, plane: FloatArray, side: int, margin: int
) -> FloatArray:
    """Restore a plane in panes; a side of 0 takes it whole."""
    info = ArrayReader(plane[0], TASK).info
    restored, cut = np.empty_like(plane), Cut.of(info, 1, side, margin)
    blending = Blending(cut, 1)
    for pane in cut.panes():
        part = plane if pane.read is None else plane[(slice(None), *pane.read.slices)]
        values = engine.restore([part], [partitioner.partition(part).labels])[0]
        written = ... if pane.write is None else (slice(None), *pane.write.slices)
        restored[written] = blending.join(pane, values)
    return restored


def whole(network: RAT, plane: FloatArray, labels: LabelArray) -> FloatArray:
    """Restore a plane by the network that learns, which knows no tiles."""
    with torch.inference_mode():
        restored = network(torch.from_numpy(plane)[None], torch.from_numpy(labels)[None])
    return np.asarray(restored[0].numpy())


def main() -> None:
    arguments = parsed()
    torch.set_num_threads(arguments.threads)
    planes = spread(read_patients(arguments.data, read_recipe(arguments.recipe).held_out, TASK), 1)
    pairs = [lower_dose(plane, 0.25, seed) for seed, plane in enumerate(planes)][: arguments.slices]
    print(f"{len(pairs)} slices; PSNR at {SOFT}; differences in HU")
    print(
        f"{'partition':11} {'variant':31} {'PSNR':>6} {'rms':>8} {'99.9 %':>8} {'max':>8} {'s':>5}"
    )
    rows = []
    for partition in arguments.partitions:
        exact: list[FloatArray] = []
        for name in dict.fromkeys([EXACT, *arguments.variants]):
            outputs, seconds = run(name, pairs, partition, arguments.weights)
            exact = exact or outputs
            facts = {"partition": partition, "variant": name, "seconds": seconds}
            rows.append({**facts, **compared(outputs, exact, pairs)})
            show(rows[-1])
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, default=Path("recipes/ct-denoise.toml"))
    parser.add_argument("--weights", default="ct-denoise")
    parser.add_argument("--partitions", nargs="+", default=["superpixel", "none"])
    parser.add_argument("--slices", type=int, default=4, help="most slices")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def compared(
    outputs: list[FloatArray], exact: list[FloatArray], pairs: list[Any]
) -> dict[str, float]:
    """Return PSNR, and how far outputs are from the exact ones, in HU."""
    apart = [np.abs((a - b).ravel()) for a, b in zip(outputs, exact, strict=True)]
    change = np.stack(apart)
    scores = [score(a, pair.usual, SOFT).psnr_db for a, pair in zip(outputs, pairs, strict=True)]
    return {
        "psnr_db": float(np.mean(scores)),
        "rms_hu": float(np.sqrt((change**2).mean())),
        "q999_hu": float(np.quantile(change, 0.999)),
        "max_hu": float(change.max()),
    }


def show(row: dict[str, Any]) -> None:
    print(
        f"{row['partition']:11} {row['variant']:31} {row['psnr_db']:6.2f} {row['rms_hu']:8.4f} "
        f"{row['q999_hu']:8.4f} {row['max_hu']:8.4f} {row['seconds']:5.1f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
