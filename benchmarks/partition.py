"""Measures whether partitions of CT slices follow anatomy, and whether noise changes them.

    python benchmarks/partition.py --data DIR [--noise 25 40] [--slices 3] [--sam FILE] [--json F]
    python benchmarks/partition.py --speed [--sam FILE]
    python benchmarks/partition.py --tune --data DIR --sam FILE

DIR holds the scans that `recipes/ct-denoise.toml` names; its held-out patients are used. SLIC and
Felzenszwalb are set to give as many regions as `superpixel` finds in the clean slice. Recall is the
fraction of the edges of the clean slice (Canny in the soft-tissue window) that have a border of a
region within two pixels; precision is the fraction of the borders that have such an edge. The
unexplained variance and the standard deviation inside regions are those of soft tissue in the clean
slice, with the regions of the noisy one. ARI is the adjusted Rand index between the partitions of
the clean and the noisy slice. Seconds are CPU time; those of SLIC and Felzenszwalb include five and
seven runs to find the setting.

`--speed` compares the masks of `sam-compact` with those of `SamAutomaticMaskGenerator` of the
package segment-anything, with the same weights and points, on one thread. Without FILE the weights
are random, and all masks are kept: the worst case. `--tune` tries thresholds for masks on training
slices of the SAM, with 25 HU of noise.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from partition_scores import SOFT, TASK, adjusted_rand_index, borders, inside, near
from skimage.feature import canny
from skimage.segmentation import felzenszwalb, slic

from ratcli.partition import get_partitioner
from ratcli.partition.cleanup import paint
from ratcli.partition.display import layered_picture
from ratcli.partition.sam import CLEANUP, MASKS, read_compact
from ratcli.partition.sam_masks import MaskSettings, embed, propose
from ratcli.partition.sam_model import build_sam
from ratcli.partition.sam_weights import load_sam
from ratcli.physics.ct import low_dose_noise
from ratcli.physics.ct_dose import sample_dose
from ratcli.regions import LabelArray
from ratcli.scan import FloatArray
from ratcli.training.data import read_patients
from ratcli.training.examples import TargetPlane
from ratcli.training.recipe import read_recipe
from research.sam.recipe import COMPACT, read_sam_recipe

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
RECIPE = RECIPES / "ct-denoise.toml"
SAM_RECIPE = RECIPES / "sam-compact-points.toml"
Method = Callable[[FloatArray, int], LabelArray]


@dataclass(frozen=True)
class Row:
    """One partition of one slice at one level of noise."""

    method: str
    noise_hu: float
    regions: float
    recall: float
    precision: float
    unexplained: float
    inside_hu: float
    ari: float
    seconds: float


def by_name(name: str, **options: object) -> Method:
    partitioner = get_partitioner(name, **options)
    return lambda plane, _: partitioner.partition(plane).labels


def by_slic(plane: FloatArray, count: int) -> LabelArray:
    """SLIC with the number of seeds that comes nearest to a number of regions."""
    shown = np.clip(plane[0], *SOFT)
    best: LabelArray | None = None
    seeds = float(count)
    for _ in range(5):
        labels = slic(
            shown, round(seeds), compactness=0.05, sigma=1.5, start_label=0, channel_axis=None
        ).astype(np.int32)
        if best is None or abs(labels.max() + 1 - count) < abs(best.max() + 1 - count):
            best = labels
        seeds *= count / (labels.max() + 1)
    assert best is not None
    return best


def by_felzenszwalb(plane: FloatArray, count: int) -> LabelArray:
    """Felzenszwalb with the scale that comes nearest to a number of regions."""
    shown = np.clip(plane[0], *SOFT)
    low, high = 1.0, 3000.0
    best: LabelArray | None = None
    for _ in range(7):
        scale = float(np.sqrt(low * high))
        labels = felzenszwalb(shown, scale, sigma=1.5, min_size=64).astype(np.int32)
        if best is None or abs(labels.max() + 1 - count) < abs(best.max() + 1 - count):
            best = labels
        low, high = (scale, high) if labels.max() + 1 > count else (low, scale)
    assert best is not None
    return best


def noisy_plane(plane: TargetPlane, noise_hu: float, seed: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    dose = replace(sample_dose(rng, (noise_hu, noise_hu)), original=1.0)
    hu = torch.from_numpy(plane.values[0])
    noise = low_dose_noise(hu, plane.spacing_mm, dose, torch.Generator().manual_seed(seed))
    return TASK.normalise((hu + noise).numpy()[None])


def measure(
    methods: dict[str, Method], plane: TargetPlane, noise_hu: float, seed: int
) -> list[Row]:
    clean, noisy = TASK.normalise(plane.values), noisy_plane(plane, noise_hu, seed)
    edges = canny(np.clip(clean[0], *SOFT), sigma=1.5, low_threshold=0.04, high_threshold=0.1)
    count = int(methods["superpixel"](clean, 0).max()) + 1
    rows = []
    for name, method in methods.items():
        of_clean = method(clean, count)
        began = time.process_time()
        labels = method(noisy, count)
        seconds = time.process_time() - began
        border = borders(labels)
        recall = float(near(border)[edges].mean())
        precision = float(near(edges)[border].mean()) if border.any() else float("nan")
        ari = adjusted_rand_index(of_clean, labels)
        figures = (recall, precision, *inside(clean, labels), ari, seconds)
        rows.append(Row(name, noise_hu, float(labels.max() + 1), *figures))
    return rows


def means(rows: Sequence[Row]) -> list[Row]:
    """Average rows of a method and a level of noise, in their first order."""
    groups: dict[tuple[str, float], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.method, row.noise_hu), []).append(row)
    fields = ("regions", "recall", "precision", "unexplained", "inside_hu", "ari", "seconds")
    return [
        Row(*key, *(float(np.nanmean([getattr(row, field) for row in group])) for field in fields))
        for key, group in groups.items()
    ]


def show(rows: Sequence[Row]) -> None:
    print(
        "method          noise  regions  recall  precision  unexplained  inside HU    ARI  seconds"
    )
    for r in rows:
        print(
            f"{r.method:15} {r.noise_hu:5.0f} {r.regions:8.0f} {r.recall:7.3f} {r.precision:10.3f}"
            f" {r.unexplained:12.3f} {r.inside_hu:10.1f} {r.ari:6.3f} {r.seconds:8.2f}"
        )


def speed(weights: Path | None) -> None:
    from segment_anything import SamAutomaticMaskGenerator

    torch.manual_seed(0)
    torch.set_num_threads(1)
    if weights is None:
        sam, masks = build_sam(COMPACT), MaskSettings(16, -9.0, 0.0, 1.0, batch=32)
        with torch.no_grad():
            for head in sam.mask_decoder.output_hypernetworks_mlps:
                head.layers[-1].weight *= 60
                head.layers[-1].bias *= 60
    else:
        shape, state = read_compact(weights)
        sam, masks = load_sam(shape, state), MASKS
    y, x = np.mgrid[:512, :512]
    plane = np.where((y - 250) ** 2 + (x - 250) ** 2 < 30000, np.sin(x / 40) / 4, -2.6)
    picture = layered_picture(plane[None].astype(np.float32))
    generator = SamAutomaticMaskGenerator(
        sam.requires_grad_(False),
        points_per_side=masks.points_per_side,
        pred_iou_thresh=masks.quality,
        stability_score_thresh=masks.stability,
        box_nms_thresh=masks.overlap,
    )
    ours, theirs = [], []
    for _ in range(2):  # interleaved; minima of CPU time, which other work does not disturb
        began = time.process_time()
        records = generator.generate(picture)
        theirs.append(time.process_time() - began)
        began = time.process_time()
        with torch.inference_mode():
            found = propose(sam, *embed(sam, picture[None]), masks)
        ours.append(time.process_time() - began)
    expected = paint([record["segmentation"] for record in records], 512, 512)
    ari = adjusted_rand_index(expected.labels, paint(found, 512, 512).labels)
    print(
        f"1 thread, {masks.points_per_side}^2 points, {len(found)} masks: "
        f"package {min(theirs):.2f} s, here {min(ours):.2f} s, "
        f"{min(theirs) / min(ours):.1f} times as fast, ARI {ari:.4f}"
    )


def tune(data: Path, weights: Path) -> None:
    """Print what thresholds make of the partitions of training slices."""
    torch.set_num_threads(1)
    planes = [
        read_patients(data, [patient], TASK)[0] for patient in read_sam_recipe(SAM_RECIPE).train
    ]
    shape, state = read_compact(weights)
    sam = load_sam(shape, state)
    shown = [(TASK.normalise(p.values), noisy_plane(p, 25.0, i)) for i, p in enumerate(planes)]
    with torch.inference_mode():
        seen = [[embed(sam, layered_picture(x)[None]) for x in both] for both in shown]
        for trial in itertools.product((16,), (0.2, 0.3, 0.4, 0.5), (0.4, 0.5, 0.6), (0.7, 0.8)):
            masks = MaskSettings(*trial, batch=32)
            figures = []
            for (clean, _), embedded in zip(shown, seen, strict=True):
                size = clean.shape[1:]
                of_clean, labels = (
                    CLEANUP.apply(paint(propose(sam, *one, masks), *size)).labels
                    for one in embedded
                )
                ari = adjusted_rand_index(of_clean, labels)
                figures.append((labels.max() + 1, inside(clean, labels)[0], ari))
            regions, unexplained, ari = np.mean(figures, axis=0)
            print(
                f"points {trial[0]}, quality {trial[1]}, stability {trial[2]}, overlap {trial[3]}: "
                f"{regions:.0f} regions, unexplained {unexplained:.3f}, ARI {ari:.3f}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--noise", type=float, nargs="+", default=[25.0, 40.0])
    parser.add_argument("--slices", type=int, default=3, help="most slices of a patient")
    parser.add_argument("--sam", type=Path, help="weights of a compact SAM")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--json", type=Path)
    words = parser.parse_args()
    if words.speed:
        speed(words.sam)
        return
    if words.tune:
        tune(words.data, words.sam)
        return
    methods: dict[str, Method] = {
        "superpixel": by_name("superpixel"),
        "superpixel-coarse": by_name("superpixel-coarse"),
        "slic": by_slic,
        "felzenszwalb": by_felzenszwalb,
    }
    if words.sam:
        methods["sam-compact"] = by_name("sam-compact", weights=words.sam)
    rows: list[Row] = []
    # Whatever methods there are, a slice gets the noise that the card's figures have.
    seeds = itertools.count(step=4)
    for patient in read_recipe(RECIPE).held_out:
        planes = read_patients(words.data, [patient], TASK)
        chosen = np.linspace(0, len(planes) - 1, min(words.slices, len(planes))).round()
        for number in chosen.astype(int):
            for noise in words.noise:
                rows += measure(methods, planes[number], noise, next(seeds))
    averages = means(rows)
    show(averages)
    if words.json:
        words.json.write_text(json.dumps([asdict(row) for row in averages], indent=1))


if __name__ == "__main__":
    main()
