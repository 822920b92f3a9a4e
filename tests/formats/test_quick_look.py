"""A quick look refuses what takes long or much memory; all other reading is not limited by it."""

from __future__ import annotations

import gzip
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import nibabel as nib
import numpy as np
import pytest
import tifffile
from pydicom.uid import DeflatedExplicitVRLittleEndian

from ratcli.formats import quick_look, sandbox
from ratcli.formats.quick_look import QuickLookError, check_look
from ratcli.formats.sandbox import run_apart
from tests.formats.dicom_scans import dicom_dataset, save_in


def burn() -> None:
    while True:
        time.process_time()


def test_many_values_at_once_are_refused_only_during_a_look() -> None:
    check_look(samples=1 << 30)
    with quick_look.quick_look(1), pytest.raises(QuickLookError, match="1073741824 values"):
        check_look(samples=1 << 30)
    check_look(samples=1 << 30)


def test_inflated_bytes_are_summed_up() -> None:
    with quick_look.quick_look(1):
        check_look(inflated=1 << 28)
        check_look(inflated=1 << 28)
        with pytest.raises(QuickLookError, match="inflated"):
            check_look(inflated=1)
    with quick_look.quick_look(1 << 27):  # a larger file may inflate to more
        check_look(inflated=1 << 30)


def test_the_time_of_all_decoders_is_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick_look, "_SECONDS", 0.5)
    run_apart("it", 1, abs, -1)
    with quick_look.quick_look(1):
        run_apart("it", 1, time.sleep, 0.6)
        with pytest.raises(QuickLookError, match="takes too long"):
            run_apart("it", 1, abs, -1)
    assert run_apart("it", 1, abs, -1) == 1


def test_a_decoder_that_does_not_end_ends_the_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_SECONDS", 1)
    with quick_look.quick_look(1), pytest.raises(QuickLookError, match="takes too long"):
        run_apart("it", 1, burn)


def save_gzipped(folder: Path) -> Path:
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((4096, 4096, 20))
    header["magic"], header["vox_offset"] = b"n+1", 352
    path = folder / "a.nii.gz"
    voxels = gzip.compress(bytes(1 << 24), 1)
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4)) + voxels * 40)
    return path


def save_deflated(folder: Path) -> Path:
    dataset = dicom_dataset(np.zeros((6000, 6000), np.int16))
    return save_in(dataset, folder / "a.dcm", DeflatedExplicitVRLittleEndian)


def save_strip(folder: Path) -> Path:
    path, data = folder / "a.tif", zlib.compress(bytes(5000 * 5000))
    shape = {"shape": (5000, 5000), "dtype": np.uint8, "rowsperstrip": 5000}
    tifffile.imwrite(path, iter([data]), compression="zlib", **shape)
    return path


def save_codestream(folder: Path) -> Path:
    path, image = folder / "a.tif", np.zeros((4100, 4100), np.uint8)
    data = bytes(imagecodecs.jpeg2k_encode(image, level=0, codecformat="J2K"))
    shape = {"shape": image.shape, "dtype": image.dtype, "rowsperstrip": 4100}
    tifffile.imwrite(path, iter([data]), compression="jpeg2000", **shape)
    return path


_INFO = """
import resource, sys
from pathlib import Path
from ratcli.cli.app import main
from ratcli.formats.sandbox import _decoders
code = main(["info", sys.argv[1]])
_decoders.end()
own = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
print(code, own + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.parametrize("save", [save_gzipped, save_deflated, save_strip, save_codestream])
def test_info_describes_a_large_file_in_little_memory(
    save: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = save(tmp_path)
    assert path.stat().st_size < 4 << 20
    run = subprocess.run(
        [sys.executable, "-c", _INFO, path], capture_output=True, text=True, timeout=60
    )
    *told, last = run.stdout.splitlines()
    code, peak_kb = map(int, last.split())
    assert code == 0
    assert "note: the pixels were not read, and the tasks are those of the header" in told[-1]
    assert peak_kb < 400_000
