"""Restore an array from Python, and print its error against the noise-free phantom.

Usage: python examples/restore_array.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom

import ratcli

FOLDER = Path(__file__).parent


def read_hu(name: str) -> np.ndarray:
    """Return the Hounsfield units of an example, float32 `(H, W)`."""
    image = pydicom.dcmread(FOLDER / name)
    return image.pixel_array.astype(np.float32) + float(image.RescaleIntercept)


def error_hu(hu: np.ndarray, reference: np.ndarray) -> float:
    """Return the root mean square error in soft tissue."""
    tissue = (reference > -160) & (reference < 240)
    return float(np.sqrt(np.mean((hu - reference)[tissue] ** 2)))


if __name__ == "__main__":
    noisy, reference = read_hu("ct_phantom.dcm"), read_hu("ct_phantom_reference.dcm")
    restored = ratcli.restore(noisy, task="ct-denoise")
    print(f"error before {error_hu(noisy, reference):.1f} HU")
    print(f"error after  {error_hu(restored, reference):.1f} HU")
