"""TIFF files made by arithmetic, and ways to copy and look into them."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
import tifffile

from ratcli.formats import create_scan, open_scan
from ratcli.scan import Derivation

NOTHING = Derivation("pathology-x4", "nothing was changed", "copy", version="1")
FINER = Derivation("pathology-x4", "made finer", "x4", version="1", method="resample", scale=4)


def convert(source, target, change=lambda values: values, derivation=NOTHING):
    with open_scan(source) as reader, create_scan(reader, target, derivation) as writer:
        for plane in range(reader.info.planes):
            writer.write(plane, change(reader.read(plane)))
    return target


def enlarge(values):
    return values.repeat(4, axis=1).repeat(4, axis=2)


def colours(shape=(40, 50, 3), dtype=np.uint8):
    """Return smooth colours with some noise."""
    rng = np.random.default_rng(0)
    top = np.iinfo(dtype).max
    smooth = np.linspace(0, 0.9, int(np.prod(shape))).reshape(shape)
    return ((smooth + rng.uniform(0, 0.1, shape)) * top).astype(dtype)


def tags(path, page=0):
    with tifffile.TiffFile(path) as file:
        return {tag.code: tag.value for tag in file.pages[page].tags}


def run(tool, *arguments):
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"{tool} is not installed")
    return subprocess.run([found, *map(str, arguments)], capture_output=True, text=True, check=True)
