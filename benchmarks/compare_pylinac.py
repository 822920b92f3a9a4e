"""Compare our noise power spectrum with pylinac's, in an environment of its own.

    python benchmarks/compare_pylinac.py

pylinac needs an older pydicom than ratcli, so it cannot be a dependency. The script makes a virtual
environment in a temporary folder (or in `--keep FOLDER`, which it uses again), installs pylinac in
it, and lets it compute the spectrum of the same patches. pylinac's two-dimensional spectrum is in
unit² mm² (IPEM report 32). Its radial axis runs from 0 to 1 and into the corners, so only the
two-dimensional spectra are compared. Exit code 1 if they differ by more than 0.1 % of the highest
value.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from ratcli.evaluation.spectrum import noise_power_spectrum, without_plane

SPACING_MM = 0.7
TOLERANCE = 1e-3
REQUIREMENT = "pylinac>=3.30,<4"

THEIRS = """
import json, sys
import numpy as np
import pylinac
from pylinac.core.nps import noise_power_spectrum_2d
patches = np.load(sys.argv[1])
power = noise_power_spectrum_2d(pixel_size=float(sys.argv[2]), rois=list(patches))
np.save(sys.argv[3], power)
print(json.dumps({"pylinac": pylinac.__version__}))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="folder of the environment, kept")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        python = environment(arguments.keep or Path(folder, "environment"))
        patches = noise_patches()
        theirs, version = ask_pylinac(python, patches, Path(folder))
    ours = noise_power_spectrum(patches, SPACING_MM)
    # Both orders of the axes are the same but for the place of frequency 0.
    aligned = best_alignment(theirs, ours.power)
    difference = float(np.abs(aligned - ours.power).max() / ours.power.max())
    step = 1.0 / (patches.shape[1] * SPACING_MM)
    result = {
        **version,
        "patches": len(patches),
        "largest_difference": difference,
        "our_integral": ours.integral,
        "their_integral": float(theirs.sum()) * step * step,
        "variance": float(patches.var(axis=(1, 2)).mean()),
    }
    print(json.dumps(result))
    return 0 if difference <= TOLERANCE else 1


def noise_patches() -> np.ndarray:
    """Return `(24, 64, 64)` of correlated noise, each less its plane: pylinac takes a mean only."""
    field = gaussian_filter(np.random.default_rng(0).normal(0.0, 40.0, (24, 64, 64)), (0, 0.9, 0.6))
    return without_plane(field)


def environment(folder: Path) -> Path:
    """Return the python of an environment that has pylinac; make it if need be."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", REQUIREMENT], check=True)
    return python


def ask_pylinac(
    python: Path, patches: np.ndarray, folder: Path
) -> tuple[np.ndarray, dict[str, str]]:
    source, target = folder / "patches.npy", folder / "power.npy"
    np.save(source, patches)
    words = [python, "-c", THEIRS, source, str(SPACING_MM), target]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    version: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return np.load(target), version


def best_alignment(theirs: np.ndarray, ours: np.ndarray) -> np.ndarray:
    """Return their spectrum with frequency 0 where ours has it."""
    candidates = [theirs, np.fft.fftshift(theirs), np.fft.ifftshift(theirs)]
    return min(candidates, key=lambda each: float(np.abs(each - ours).sum()))


if __name__ == "__main__":
    sys.exit(main())
