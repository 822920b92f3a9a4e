"""SUV of a whole-body PET series before and after an identity network, in steps of the new slopes.

    python benchmarks/pet_suv.py ../shared/data/pet/sts_001_wholebody_dicom

The last layer of the small network is zero, so its output is its input. Everything else is as in
`rat restore --task pet-synthesis`: conversion to SUV, window, the scale of the network, and a slope
for each slice. No voxel may change by more than half a step of its slice.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from ratcli.formats import create_scan, find_scans, open_scan
from ratcli.formats.dicom.reader import DicomReader
from ratcli.network.checkpoint import save_state
from ratcli.network.rat import RAT, NetworkSettings
from ratcli.network.settings import EngineSettings
from ratcli.pipeline import Outputs, RestoreSettings, restore_scan
from ratcli.pipeline.model import Model
from ratcli.tasks import get_task
from ratcli.training.publish import enter
from ratcli.weightfiles import hash_file

SMALL = NetworkSettings(
    width=4, encoder_blocks=(1, 1), decoder_blocks=(1, 1), groups=(1,), heads=2, window=4
)


def identity_model(folder: Path) -> Model:
    """Register a network that changes nothing, and load it."""
    network = RAT(SMALL)
    torch.nn.init.zeros_(network.ending.weight)
    torch.nn.init.zeros_(network.ending.bias)
    path = folder / "identity.safetensors"
    save_state(path, network.state_dict(), torch.float32)
    entry = {
        "task": "pet-synthesis",
        "file": path.name,
        "sha256": hash_file(path),
        "summary": "",
        "licence": "Apache-2.0",
        "data": [],
        "network": asdict(SMALL),
    }
    enter(folder, "identity", entry)
    os.environ["RAT_HOME"] = str(folder)
    task = get_task("pet-synthesis")
    engine = EngineSettings(device="cpu", threads=1)
    return Model.load(
        RestoreSettings(task=task, partition="none", weights=("identity",), engine=engine)
    )


def compare(before: DicomReader, after: DicomReader) -> dict[str, float]:
    """Return the largest deviations in SUV, and in steps of the slice that they stand in."""
    assert before.info.suv_factor is not None
    assert after.info.suv_factor == before.info.suv_factor
    deviations, steps, changed = [], [], 0
    for plane in range(before.info.planes):
        first, second = (reader.read(plane).astype(np.float64) for reader in (before, after))
        step = after.planes[plane].values.slope
        largest = float(np.abs(second - first).max())
        # Both were read as float32, whose rounding is no fault of the writer.
        rounding = float(np.spacing(np.float32(first.max())))
        deviations.append(largest * before.info.suv_factor)
        steps.append(max(0.0, largest - rounding) / step)
        changed += step != before.planes[plane].values.slope
    return {
        "planes": before.info.planes,
        "highest_suv": max(float(before.read(p).max()) for p in range(before.info.planes))
        * before.info.suv_factor,
        "slices_with_a_new_slope": changed,
        "largest_deviation_suv": max(deviations),
        "largest_deviation_steps": max(steps),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("series", type=Path)
    options = parser.parse_args()
    (source,) = find_scans(options.series)
    with tempfile.TemporaryDirectory() as name:
        model = identity_model(Path(name))
        out = Path(name, "out")
        with (
            open_scan(source) as before,
            create_scan(before, out, model.provenance(before.info).restored()) as writer,
        ):
            restore_scan(before, Outputs(writer), model)
        with open_scan(source) as before, open_scan(out) as after:
            assert isinstance(before, DicomReader)
            assert isinstance(after, DicomReader)
            report = compare(before, after)
    print(json.dumps(report, indent=1))
    sys.exit(report["largest_deviation_steps"] > 0.5)


if __name__ == "__main__":
    main()
