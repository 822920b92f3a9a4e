"""NIfTI labels of a DICOM series: a voxel for each pixel at its place, a volume for each phase."""

from __future__ import annotations

import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from ratcli.errors import OutputError, UnsuitableInputError
from ratcli.formats import open_scan
from ratcli.formats.regions import create_regions, open_regions
from ratcli.scan import Derivation
from tests.formats.dicom_scans import dicom_dataset, ramp, require, save_dicom, uid

MADE = Derivation("segment", "regions by test", "Regions", version="0.1")
EVEN = (0.0, 2.5, 5.0, 7.5)


def series(folder: Path, heights_mm, phases: int = 1, shift_mm: float = 0.0) -> Path:
    """Write a series with `phases` images of different pixels at each height."""
    folder.mkdir()
    for phase in range(phases):
        for k, height in enumerate(heights_mm):
            ds = dicom_dataset(
                ramp() + 10 * phase,
                SOPInstanceUID=uid("image", phase, k),
                InstanceNumber=1 + k + 100 * phase,
                ImagePositionPatient=[-10.0, -20.0 + shift_mm * k, height],
            )
            save_dicom(ds, folder / f"{phase}_{k}.dcm")
    return folder


def labelled(folder: Path, path: Path, kind: str = "nifti") -> list[np.ndarray]:
    """Write a region map with other labels in each plane, and return them."""
    with open_scan(folder) as scan:
        maps = [np.arange(320, dtype=np.int32).reshape(16, 20) % (3 + k) for k in range(99)]
        maps = maps[: scan.info.planes]
        with create_regions(scan, path, MADE, kind=kind) as writer:
            for plane, labels in enumerate(maps):
                writer.write(plane, labels)
    return maps


@pytest.mark.parametrize("heights", [(0, 2.5, 5, 12.5), (0, 2.5, 5.5, 7.5), (0, 2.5, 5, 10)])
def test_a_grid_that_does_not_fit_uneven_planes_is_refused(tmp_path, heights) -> None:
    folder = series(tmp_path / "scan", heights)
    with pytest.raises(OutputError, match="not evenly spaced") as raised:
        labelled(folder, tmp_path / "regions.nii.gz")
    assert "--format dicom or tiff" in raised.value.hint
    assert not list(tmp_path.glob("regions*"))
    assert labelled(folder, tmp_path / "regions.tif", "tiff")
    assert labelled(folder, tmp_path / "regions.dcm", "dicom")


@pytest.mark.parametrize("heights", [EVEN, (0, 2.51, 4.99, 7.5)])
def test_heights_that_differ_by_rounding_are_even(tmp_path, heights) -> None:
    labelled(series(tmp_path / "scan", heights), tmp_path / "regions.nii.gz")
    assert np.allclose(nib.load(tmp_path / "regions.nii.gz").affine[:, 2], [0, 0, 2.5, 0])


@pytest.mark.parametrize(("phases", "shift_mm"), [(1, 0.0), (1, 0.7), (2, 0.0), (3, 0.0)])
def test_labels_are_where_dcm2niix_puts_the_voxels(tmp_path, phases, shift_mm) -> None:
    folder = series(tmp_path / "scan", EVEN, phases, shift_mm)
    (tmp_path / "peer").mkdir()
    command = [require("dcm2niix"), "-f", "peer", "-o", tmp_path / "peer", folder]
    subprocess.run(command, check=True, capture_output=True)
    maps = labelled(folder, tmp_path / "regions.nii.gz")
    ours, peer = nib.load(tmp_path / "regions.nii.gz"), nib.load(tmp_path / "peer" / "peer.nii")
    assert ours.shape == peer.shape
    corners = np.array([[0, 0, 0, 1], [19, 0, 0, 1], [0, 15, 0, 1], [19, 15, 3, 1]]).T
    flipped = corners.copy()
    flipped[1] = 15 - corners[1]  # dcm2niix stores rows from below
    assert np.allclose(ours.affine @ corners, peer.affine @ flipped, atol=1e-3)
    with open_scan(folder) as scan, open_regions(tmp_path / "regions.nii.gz", scan) as regions:
        for plane, expected in enumerate(maps):
            assert np.array_equal(regions.labels(plane), expected + 1), plane


def test_labels_of_one_volume_serve_every_phase_and_no_other_number_does(tmp_path) -> None:
    maps = labelled(series(tmp_path / "one", EVEN), tmp_path / "one.nii.gz")
    labelled(series(tmp_path / "three", EVEN, 3), tmp_path / "three.nii.gz")
    with open_scan(series(tmp_path / "two", EVEN, 2)) as scan:
        with open_regions(tmp_path / "one.nii.gz", scan) as regions:
            assert np.array_equal(regions.labels(5), maps[2] + 1)
        with pytest.raises(UnsuitableInputError, match="3 volumes, but the scan has 2 images"):
            open_regions(tmp_path / "three.nii.gz", scan)


def test_a_position_with_fewer_images_than_others_is_refused(tmp_path) -> None:
    folder = series(tmp_path / "scan", EVEN, 2)
    (folder / "1_2.dcm").unlink()
    with pytest.raises(OutputError, match="fewer images than the 2 of others"):
        labelled(folder, tmp_path / "regions.nii.gz")


def test_a_seg_of_phases_is_refused_with_its_reason(tmp_path) -> None:
    with pytest.raises(OutputError, match="this scan has several") as raised:
        labelled(series(tmp_path / "scan", EVEN, 2), tmp_path / "regions.dcm", "dicom")
    assert "nifti" in raised.value.hint
