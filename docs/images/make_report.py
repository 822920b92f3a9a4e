"""Make the picture of a report in docs/evaluation.md, from a simulated scan.

    python docs/images/make_report.py [FOLDER]

The scan is a procedural abdomen of 512 x 512 pixels with three draws of simulated noise; nobody was
scanned. Needs playwright and Debian's chromium. Scans and report stay in FOLDER; the picture is
saved beside this script.
"""

from __future__ import annotations

import importlib.util
import io
import json
import shutil
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from PIL import Image
from playwright.sync_api import sync_playwright

from ratcli.cli.app import main as rat

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "examples" / "make_examples.py"
SIZE, SPACING_MM, SLICES, SEED = 512, 0.7, 3, 13
REGIONS = [
    {"name": "liver", "disc": [248, 131, 16]},
    {"name": "spleen", "disc": [284, 377, 20]},
    {"name": "fat", "disc": [155, 222, 10]},
    {"name": "muscle", "disc": [349, 288, 6]},
    {"name": "kidney", "disc": [314, 178, 6], "background": "liver"},
]
WIDTH, HEIGHT = 1080, 1808


def make_scans(folder: Path) -> None:
    """Write the series at low dose, and without noise."""
    examples = _examples()
    clean, noisy = examples.make_planes()
    for number, hu in enumerate(noisy, start=1):
        for name, series, values in (("low", "series", hu), ("full", "reference", clean)):
            path = folder / name / "abdomen" / f"{number}.dcm"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = examples.make_dicom(values, series, number)
            image.save_as(path, enforce_file_format=True)


def _examples() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_examples", EXAMPLES)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.__dict__.update(SIZE=SIZE, SPACING_MM=SPACING_MM, SLICES=SLICES, SEED=SEED)
    return module


def make_page(folder: Path) -> Path:
    """Restore, evaluate, and return the report."""
    regions, page = folder / "regions.json", folder / "abdomen.html"
    regions.write_text(json.dumps({"regions": REGIONS}))
    low, full, out = (str(folder / name / "abdomen") for name in ("low", "full", "out"))
    here = ["--if-exists", "overwrite"]
    words = ["restore", low, "-t", "ct-denoise", "-o", str(folder / "out"), *here]
    if rat(words) != 0:
        raise SystemExit("the series was not restored")
    words = ["evaluate", out, "--reference", full, "--input", low, "--regions", str(regions)]
    if rat([*words, "--baseline", "nl-means", "--report", str(page), *here]) != 0:
        raise SystemExit("the series was not evaluated")
    return page


def take_picture(page: Path, path: Path) -> None:
    """Save the upper part of the report, in 128 colours."""
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        tab.goto(page.resolve().as_uri())
        tab.wait_for_selector("#stage[data-ready]")
        data = tab.screenshot()
        browser.close()
    Image.open(io.BytesIO(data)).convert("RGB").quantize(128).save(path, optimize=True)


def main() -> None:
    """Make scans, report and picture."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        make_scans(folder)
        take_picture(make_page(folder), HERE / "report.png")


if __name__ == "__main__":
    main()
