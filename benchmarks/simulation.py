"""Time of the simulators, and figures of their noise compared with those of real scans.

    python benchmarks/simulation.py [--data ../shared/data] [--json FILE]

The CT figures are compared with those of real quarter-dose abdomen scans (Mayo, B30, soft tissue).
Slices are real if the data folder exists, otherwise procedural.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import binary_fill_holes, distance_transform_edt

from ratcli.evaluation.spectrum import noise_power_spectrum
from ratcli.physics.anatomy.ct import ct_slice
from ratcli.physics.anatomy.histology import he_slide
from ratcli.physics.anatomy.pet import pet_slice
from ratcli.physics.ct import low_dose_noise
from ratcli.physics.ct_dose import CtDose
from ratcli.physics.gridding import PITCH_PX, radial_grid
from ratcli.physics.pet import expected_image, low_count_noise
from ratcli.physics.pet_acquisition import PetCounts
from ratcli.physics.projector import Geometry, forward_project
from research.back_projection import reconstruct
from research.fan_beam import FAN_FAST

MAYO = {
    "std_hu": "22-37",
    "mean_hu": "within 0.3",
    "centre_edge": "1.35-1.48",
    "peak_per_mm": "0.23",
    "mean_per_mm": "0.27",
    "mean_2d_per_mm": "0.35",
    "tenth_per_mm": "0.61",
    "horizontal_vertical": "0.22-0.41",
    "lag_x": "0.6",
    "lag_y": "0.35",
    "kurtosis": "0.2-0.4",
}
SLICES = ("crlm_ct_1004/1-18.dcm", "singles/pancreas_0001_explicit_VR-UN.dcm")
DOSES = {
    "medium smooth": CtDose(noise_hu=30.0),
    "with modulation": CtDose(noise_hu=30.0, modulation=0.3),
    "wide bowtie": CtDose(noise_hu=30.0, bowtie=1.4),
}
SIDE = 64


def slices(data: Path) -> list[tuple[str, np.ndarray, float]]:
    found = [data / "ct" / name for name in SLICES if (data / "ct" / name).exists()]
    if not found:
        rng = np.random.default_rng(1)
        return [("procedural abdomen", ct_slice(rng, 512, 0.8, "abdomen")[0], 0.8)]
    import pydicom

    scans = [(path.parent.name, pydicom.dcmread(path)) for path in found]
    return [
        (
            name,
            (scan.pixel_array * float(scan.RescaleSlope) + float(scan.RescaleIntercept)),
            float(scan.PixelSpacing[0]),
        )
        for name, scan in scans
    ]


def figures(noise: np.ndarray, hu: np.ndarray, spacing_mm: float) -> dict[str, float]:
    """Measure noise in the soft tissue (-160 to 240 HU) of a slice."""
    tissue = (hu > -160) & (hu < 240)
    depth = distance_transform_edt(binary_fill_holes(hu > -300)) * spacing_mm
    centre = noise[tissue & (depth > 0.75 * depth.max())]
    edge = noise[tissue & (depth > 5) & (depth < 0.25 * depth.max())]
    corners = range(0, hu.shape[0] - SIDE, SIDE // 2)
    boxes = [np.s_[i : i + SIDE, j : j + SIDE] for i in corners for j in corners]
    patches = np.stack([noise[box] for box in boxes if tissue[box].mean() > 0.9])
    spectrum = noise_power_spectrum(patches, spacing_mm)
    frequency, power = spectrum.radial_per_mm, spectrum.radial_power
    below = (power < power.max() / 10) & (frequency > spectrum.peak_per_mm)
    body = noise[tissue]
    lag_x = (noise[:, 1:] * noise[:, :-1])[tissue[:, 1:]].mean()
    lag_y = (noise[1:] * noise[:-1])[tissue[1:]].mean()
    z = (body - body.mean()) / body.std()
    return {
        "std_hu": body.std(),
        "mean_hu": body.mean(),
        "centre_edge": centre.std() / edge.std(),
        "peak_per_mm": spectrum.peak_per_mm,
        "mean_per_mm": spectrum.mean_per_mm,
        "mean_2d_per_mm": spectrum.mean_2d_per_mm,
        "tenth_per_mm": frequency[below][0] if below.any() else float("nan"),
        "horizontal_vertical": spectrum.anisotropy,
        "lag_x": lag_x / body.var(),
        "lag_y": lag_y / body.var(),
        "kurtosis": (z**4).mean() - 3,
    }


def ct_table(data: Path) -> list[dict[str, object]]:
    rows = []
    for name, hu, spacing in slices(data):
        plane = torch.from_numpy(hu.astype(np.float32))
        for label, dose in DOSES.items():
            generator = torch.Generator().manual_seed(1)
            noise = low_dose_noise(plane, spacing, replace(dose, original=1.0), generator)
            measured = figures(noise.double().numpy(), hu, spacing)
            rows.append({"slice": name, "dose": label, **measured})
    return rows


def pet_table() -> list[dict[str, float]]:
    """Measure how white matter varies over repeated scans: 2 mm pixels, 3 x 12 OSEM, 4 mm."""
    plane = pet_slice(np.random.default_rng(3), 128, 2.0, "head")
    suv, mu = torch.from_numpy(plane.suv), torch.from_numpy(plane.attenuation_per_mm)
    white = (suv > 1.4) & (suv < 2.6)
    rows = []
    for counts, published in ((1e6, 0.12), (5e5, 0.17), (1.25e5, 0.35)):
        how = PetCounts(counts=counts, fraction=1.0, recovery=False)
        expected = expected_image(suv, 2.0, how, mu)
        generator = torch.Generator().manual_seed(0)
        draws = [low_count_noise(suv, 2.0, how, generator, mu) for _ in range(8)]
        spread = torch.stack(draws).std(0) / expected
        measured = float(spread[white].median())
        rows.append({"counts": counts, "published": published, "measured": measured})
    return rows


def seconds(work: object, repeats: int = 5) -> float:
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        work()  # type: ignore[operator]
        best = min(best, time.process_time() - start)
    return best


def times() -> dict[str, float]:
    rng = np.random.default_rng(0)
    hu = torch.from_numpy(ct_slice(rng, 512, 0.75, "abdomen")[0])
    suv = torch.from_numpy(pet_slice(np.random.default_rng(0), 128, 4.0, "abdomen").suv)
    low_count_noise(suv, 4.0, PetCounts())  # builds the matrix
    grid = radial_grid(512)
    rays = torch.randn(1, grid.views, grid.bins)
    fan = torch.randn(1, FAN_FAST.views, FAN_FAST.bins)
    parallel = Geometry(grid.views, grid.bins, PITCH_PX)
    return {
        "noise of a 512x512 slice": seconds(lambda: low_dose_noise(hu, 0.75, CtDose(noise_hu=30))),
        "  of which gridding": seconds(lambda: grid.reconstruct(rays, grid.frequencies())),
        "PET noise of 128x128": seconds(lambda: low_count_noise(suv, 4.0, PetCounts()), 2),
        "H&E field of 256x256": seconds(lambda: he_slide(rng, 256)),
        "anatomy of 512x512": seconds(lambda: ct_slice(rng, 512, 0.75)),
        "fan forward, 576 views": seconds(lambda: forward_project(hu[None], 0.75, FAN_FAST), 1),
        "fan back-projection": seconds(lambda: reconstruct(fan, 512, 0.75, FAN_FAST), 1),
        "parallel back-projection": seconds(lambda: reconstruct(rays, 512, 1.0, parallel), 1),
    }


def cell(value: object) -> str:
    # A tenth of the peak may lie beyond the Nyquist frequency of large pixels.
    return f"{float(value):.3f}" if value == value else "> Nyquist"  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared/data")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows, pet, clock = ct_table(options.data), pet_table(), times()
    print(
        f"{'CT noise, 30 HU asked':24}{'Mayo':>12}" + "".join(f"{k:>12}" for k in range(len(rows)))
    )
    for key, real in MAYO.items():
        print(f"{key:24}{real:>12}" + "".join(f"{cell(row[key]):>12}" for row in rows))
    for number, row in enumerate(rows):
        print(f"  {number}: {row['slice']}, {row['dose']}")
    print(f"\n{'PET counts':>10}{'white matter CoV':>18}{'published':>12}")
    for row in pet:
        print(f"{row['counts']:10.3g}{row['measured']:18.3f}{row['published']:12.2f}")
    print(f"\nCPU seconds, best of some, {torch.get_num_threads()} threads")
    for name, value in clock.items():
        print(f"{name:28}{value:8.3f}")
    if options.json:
        options.json.write_text(
            json.dumps({"ct": rows, "pet": pet, "seconds": clock}, indent=1, default=float)
        )


if __name__ == "__main__":
    main()
