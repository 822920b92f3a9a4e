"""Measure real phantoms: noise, its spectrum's integral against the variance, uniformity.

    python benchmarks/phantoms.py [DATA]

DATA is the folder with `ct/singles/rtutils_water_phantom_*` (uniform water, GE, 5 mm) and
`ct_paired/philips_head_phantom/*` (plastic objects in an air-filled head, three reconstructions of
one scan). Prints a table on stderr and JSON on stdout. The exit code is 1 if an integral differs by
more than 2 % from the variance of the patches about their plane fits. The table also has the ratio
to the raw variance, which is larger where values slope, near walls and in small objects. The
difference of the two water slices has no such slopes.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np

from ratcli.evaluation.comparison import Comparison
from ratcli.evaluation.evaluate import EvaluationSettings, evaluate
from ratcli.evaluation.results import Evaluation
from ratcli.evaluation.spectrum import Spectrum, noise_power_spectrum
from ratcli.evaluation.uniform_patches import uniform_patches
from ratcli.formats import find_scans, open_scan

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
TOLERANCE = 0.02
COLUMNS = (
    ("scan", "{}"),
    ("planes", "{}"),
    ("level_hu", "{:.2f}"),
    ("noise_hu", "{:.2f}"),
    ("integral_over_variance", "{:.4f}"),
    ("integral_over_raw", "{:.4f}"),
    ("peak_per_mm", "{:.3f}"),
    ("mean_per_mm", "{:.3f}"),
    ("patches", "{}"),
    ("centre_hu", "{:.2f}"),
    ("nonuniformity_hu", "{:+.2f}"),
    ("f50_per_mm", "{:.3f}"),
)


def main() -> int:
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    water = sorted(data.glob("ct/singles/rtutils_water_phantom_*.dcm"))
    head = sorted(data.glob("ct_paired/philips_head_phantom/*"))
    if not water or not head:
        print(f"no phantoms in {data.name}", file=sys.stderr)
        return 3
    rows = [measure(path, phantom=True) for path in water]
    rows.append(measure_difference(water[0], water[1]))
    rows += [measure(path, phantom=False) for path in head]
    print_table(rows)
    print(json.dumps(rows))
    off = [abs(float(str(row["integral_over_variance"])) - 1.0) for row in rows]
    return 0 if max(off) <= TOLERANCE else 1


def measure(path: Path, *, phantom: bool) -> dict[str, object]:
    """Return the figures of one scan, without a reference or an input."""
    with open_scan(find_scans(path)[0]) as reader:
        found = evaluate(Comparison(reader), EvaluationSettings(phantom=phantom, shown=0))
    return {"scan": path.name} | figures(found)


def measure_difference(first: Path, second: Path) -> dict[str, object]:
    """Return noise figures of two slices' difference, from which every slope drops out."""
    with open_scan(first) as one, open_scan(second) as two:
        planes = [reader.read(0)[0].astype(float) for reader in (one, two)]
        boxes = uniform_patches(planes[0], 32, (-100.0, 100.0), ~one.padding(0))
        spacing = one.info.spacing_mm[1]
    assert spacing is not None, "a water phantom without pixel spacing"
    difference = (planes[0] - planes[1]) / math.sqrt(2.0)
    patches = np.stack([difference[box.slices] for box in boxes])
    return {"scan": "difference of both", "planes": 1} | spectrum_figures(
        noise_power_spectrum(patches, spacing)
    )


def spectrum_figures(spectrum: Spectrum) -> dict[str, object]:
    return {
        "noise_hu": math.sqrt(spectrum.variance),
        "integral_over_variance": spectrum.integral / spectrum.variance,
        "integral_over_raw": spectrum.integral / spectrum.raw_variance,
        "peak_per_mm": spectrum.peak_per_mm,
        "mean_per_mm": spectrum.mean_per_mm,
        "patches": f"{spectrum.patches} of {spectrum.patch_side_px} px",
    }


def figures(found: Evaluation) -> dict[str, object]:
    row = found.noise[0]
    assert row.spectrum is not None, "a phantom without four uniform patches"
    values = {"planes": found.planes, "level_hu": row.noise} | spectrum_figures(row.spectrum)
    flat = next((each.uniformity for each in found.phantoms if each.uniformity), None)
    if flat is not None:
        values |= {"centre_hu": flat.centre, "nonuniformity_hu": flat.deviation}
    edge = next((each.transfer for each in found.transfers if each.edge == "body"), None)
    if edge is not None:
        values["f50_per_mm"] = edge.f50_per_mm
    return values


def print_table(rows: list[dict[str, object]]) -> None:
    lines = [[name for name, _ in COLUMNS]]
    for row in rows:
        lines.append([form.format(row[name]) if name in row else "-" for name, form in COLUMNS])
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    for line in lines:
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print(text.rstrip(), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
