"""Make the picture at the top of the README: the example slice before and after `rat restore`.

    python docs/images/make_before_after.py

The slice is `examples/ct_phantom.dcm`, a simulated abdomen: nobody was scanned. The picture shows
the low-dose slice, the restored slice and their difference. It is saved beside this script.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import ratcli
from ratcli.formats import open_scan
from ratcli.scan import FloatArray

HERE = Path(__file__).resolve().parent
EXAMPLE = HERE.parents[1] / "examples" / "ct_phantom.dcm"
BODY = np.s_[78:218, 38:218]  # rows and columns of the example that show the body
SCALE, GAP, CAPTION, FONT_PX = 2.25, 8, 30, 17
WINDOW_HU = (-160.0, 240.0)
DIFFERENCE_HU = (-80.0, 80.0)


def gray(hu: FloatArray, window: tuple[float, float]) -> Image.Image:
    """Return a plane `(H, W)` as an 8-bit picture; `window` gives black and white in HU."""
    low, high = window
    scaled = np.clip((hu - low) / (high - low), 0, 1) * 255
    picture = Image.fromarray(scaled.round().astype(np.uint8))
    size = (round(SCALE * picture.width), round(SCALE * picture.height))
    return picture.resize(size, Image.Resampling.BICUBIC)


def row(panels: list[tuple[str, Image.Image]]) -> Image.Image:
    """Put panels side by side, each with its caption above."""
    wide, high = panels[0][1].size
    sheet = Image.new("L", ((wide + GAP) * len(panels) - GAP, high + CAPTION), 255)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_PX)
    for number, (caption, picture) in enumerate(panels):
        left = number * (wide + GAP)
        sheet.paste(picture, (left, CAPTION))
        draw.text((left + wide // 2, CAPTION // 2), caption, fill=0, font=font, anchor="mm")
    return sheet


def read_hu(path: Path) -> FloatArray:
    """Return the body in the first plane of a scan, `(H, W)` in HU."""
    with open_scan(path) as reader:
        return reader.read(0)[0][BODY]


def main() -> None:
    """Restore the example and save the picture."""
    with tempfile.TemporaryDirectory() as folder:
        restored_path = Path(folder) / "restored.dcm"
        ratcli.restore(EXAMPLE, task="ct-denoise", output=restored_path)
        before, after = read_hu(EXAMPLE), read_hu(restored_path)
    panels = [
        ("Before: a quarter of the dose", gray(before, WINDOW_HU)),
        ("After: rat restore", gray(after, WINDOW_HU)),
        ("Difference (before minus after)", gray(before - after, DIFFERENCE_HU)),
    ]
    row(panels).quantize(64).save(HERE / "before_after.png", optimize=True)


if __name__ == "__main__":
    main()
