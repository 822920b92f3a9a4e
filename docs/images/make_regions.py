"""Make the picture of docs/regions.md: the regions of a real slice, by three partitions.

    python docs/images/make_regions.py --data DIR [--more FOLDER]

DIR contains `reference/ct_slice_with_sam_labels.npz`: a chest slice in 8 bits, and its 39 regions
by SAM and the authors' rule (Apache-2.0, published with the method). The picture shows these
regions and those of `sam-compact` and `superpixel`; it is saved beside this script. With `--more`,
regions of a PET plane and of a field of H&E are drawn in the same way and saved in FOLDER.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from ratcli.formats import open_scan
from ratcli.partition import get_partitioner
from ratcli.partition.display import draw_regions, soft_picture
from ratcli.regions import LabelArray
from ratcli.scan import FloatArray
from ratcli.tasks import get_task

HERE = Path(__file__).resolve().parent
PARTITIONS = ("sam-compact", "superpixel")
# The window is unknown: air lies at 28 and muscle at 75 of 255, a step of about 22 HU.
AIR, MUSCLE = (28.0, -1000.0), (75.0, 50.0)
SIDE = 384
MORE = {
    "pet": ("pet-synthesis", "pet/sts_nifti/STS_009_PET.nii.gz"),
    "he": ("pathology-sr", "he/breakhis_400x/SOB_B_A-14-22549AB-400-007.png"),
}


def panel(plane: FloatArray, labels: LabelArray) -> Image.Image:
    """Draw regions over a plane in the network's units."""
    drawn = Image.fromarray(draw_regions(soft_picture(plane), labels))
    drawn.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return drawn


def row(panels: list[Image.Image]) -> Image.Image:
    """Put panels side by side."""
    gap = 6
    width = sum(one.width for one in panels) + gap * (len(panels) - 1)
    sheet = Image.new("RGB", (width, max(one.height for one in panels)), "white")
    left = 0
    for one in panels:
        sheet.paste(one, (left, 0))
        left += one.width + gap
    return sheet


def found(plane: FloatArray) -> list[Image.Image]:
    """Draw what each partition makes of a plane."""
    return [panel(plane, get_partitioner(name).partition(plane).labels) for name in PARTITIONS]


def reference(data: Path) -> Image.Image:
    """Draw the published slice."""
    held = np.load(data / "reference" / "ct_slice_with_sam_labels.npz")
    step = (MUSCLE[1] - AIR[1]) / (MUSCLE[0] - AIR[0])
    hu = np.maximum(AIR[1] + step * (held["image"].astype(np.float32) - AIR[0]), AIR[1])
    plane = get_task("ct-denoise").normalise(hu[None])
    return row([panel(plane, held["labels"].astype(np.int32)), *found(plane)])


def other(task: str, path: Path) -> Image.Image:
    """Draw the middle plane of a scan, or a picture."""
    if path.suffix == ".png":
        pixels = np.asarray(Image.open(path).convert("RGB"), np.float32) / 255
        values = np.moveaxis(pixels, -1, 0)
    else:
        with open_scan(path) as reader:
            values = reader.read(reader.info.planes // 2)
    return row(found(get_task(task).normalise(values)))


def main() -> None:
    """Draw what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--more", type=Path)
    words = parser.parse_args()
    reference(words.data).quantize(128).save(HERE / "regions.png", optimize=True)
    if words.more:
        words.more.mkdir(parents=True, exist_ok=True)
        for name, (task, path) in MORE.items():
            other(task, words.data / path).save(words.more / f"{name}.png")


if __name__ == "__main__":
    main()
