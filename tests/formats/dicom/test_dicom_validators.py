"""Other people's tools take what we write."""

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests.formats.dicom_scans import (
    dicom_dataset,
    ramp,
    require,
    restore,
    save_dicom,
    save_series,
    shared,
    stored,
    validator_errors,
)

REAL_CT = [
    ("formats", "dicom", "nema_wg04", "CT1_J2KR"),
    ("formats", "dicom", "nema_wg04", "CT1_JPLL"),
    ("formats", "dicom", "nema_wg04", "CT1_RLE"),
    ("ct", "singles", "ami_head_bigendian_ser002img00001-16-signed.dcm"),
    ("ct", "singles", "sloan_prostate_1998_prostate.img.dcm"),
    ("ct", "singles", "cornerstone_chest_CTImage.dcm"),
    ("ct", "singles", "pancreas_0001_explicit_VR-UN.dcm"),
]


def darker(values: np.ndarray) -> np.ndarray:
    return values * np.float32(0.98)


def test_a_valid_slice_stays_valid(tmp_path: Path) -> None:
    source = save_dicom(dicom_dataset(ramp(), Laterality=""), tmp_path / "in.dcm")
    assert validator_errors(restore(source, tmp_path / "out.dcm", darker)) == set()


@pytest.mark.parametrize("parts", REAL_CT, ids=lambda parts: parts[-1])
def test_a_real_slice_gets_no_error_that_it_did_not_have(
    tmp_path: Path, parts: tuple[str, ...]
) -> None:
    source = shared(*parts)
    out = restore(source, tmp_path / "out.dcm", darker)
    assert validator_errors(out) <= validator_errors(source)


def test_dcmdump_reads_a_derived_slice_to_its_end(tmp_path: Path) -> None:
    source = save_dicom(dicom_dataset(ramp()), tmp_path / "in.dcm")
    out = restore(source, tmp_path / "out.dcm")
    run = subprocess.run([require("dcmdump"), str(out)], capture_output=True, text=True)
    assert run.returncode == 0
    assert "PixelData" in run.stdout


def test_dcmtk_decodes_our_jpeg_lossless(tmp_path: Path) -> None:
    source = shared("formats", "dicom", "nema_wg04", "CT1_JPLL")
    out = restore(source, tmp_path / "out.dcm", darker)
    subprocess.run([require("dcmdjpeg"), str(out), str(tmp_path / "plain.dcm")], check=True)
    assert np.array_equal(pydicom.dcmread(tmp_path / "plain.dcm").pixel_array, stored(out)[0])


def test_a_series_and_its_source_are_one_study(tmp_path: Path) -> None:
    source = save_series(tmp_path / "in")
    out = restore(source, tmp_path / "out", darker)
    files = [str(path) for folder in (source, out) for path in folder.iterdir()]
    run = subprocess.run([require("dcentvfy"), *files], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_dcm2niix_makes_a_volume_of_a_derived_series(tmp_path: Path) -> None:
    import nibabel

    source = shared("ct", "crlm_ct_1004")
    out = restore(source, tmp_path / "out", darker)
    for name, folder in (("before", source), ("after", out)):
        command = [require("dcm2niix"), "-z", "n", "-o", str(tmp_path), "-f", name, str(folder)]
        subprocess.run(command, capture_output=True, check=True)
    before, after = (nibabel.load(tmp_path / f"{name}.nii") for name in ("before", "after"))
    assert np.allclose(after.affine, before.affine)
    assert after.shape == before.shape


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Start a DICOM archive on the loopback; give its port and folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path / "archive"
    folder.mkdir()
    command = [require("storescp"), "-od", str(folder), "+xa", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield port, folder
    process.terminate()
    process.wait()


@pytest.mark.parametrize(
    ("parts", "flag"),
    [
        (("formats", "dicom", "nema_wg04", "CT1_UNC"), "-xe"),
        (("formats", "dicom", "nema_wg04", "CT1_J2KR"), "-xv"),
        (("formats", "dicom", "nema_wg04", "CT1_JLSL"), "-xt"),
        (("formats", "dicom", "nema_wg04", "CT1_RLE"), "-xr"),
        (("formats", "dicom", "nema_wg04", "CT1_JPLL"), "-xs"),
    ],
    ids=["explicit", "jpeg 2000", "jpeg-ls", "rle", "jpeg lossless"],
)
def test_an_archive_takes_a_derived_slice_and_keeps_its_pixels(
    tmp_path: Path, archive: tuple[int, Path], parts: tuple[str, ...], flag: str
) -> None:
    port, folder = archive
    out = restore(shared(*parts), tmp_path / "out.dcm", darker)
    command = [require("storescu"), flag, "127.0.0.1", str(port), str(out)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert run.returncode == 0, run.stderr
    (received,) = folder.iterdir()
    assert np.array_equal(stored(received), stored(out))
