"""A JPEG 2000 image whose tile is declared longer than the data is read, with a notice."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000Lossless

from ratcli.cli.app import main
from ratcli.errors import UnreadableInputError
from ratcli.formats import open_scan
from ratcli.formats.codestream import mended_tile_length
from tests.formats.dicom_scans import dicom_dataset, open_dicom, ramp, save_in, stored


def _places(data: bytes) -> list[int]:
    """Return where the headers of tile-parts (SOT) begin."""
    places, start = [], data.find(b"\xff\x90\x00\x0a")
    while data[start : start + 2] == b"\xff\x90":
        places.append(start)
        start += struct.unpack_from(">I", data, start + 6)[0]
    return places


def lengthened(path: Path, extra: int, *, cut: int = 0) -> Path:
    """Declare a longer last tile, and cut bytes off the end."""
    dataset = pydicom.dcmread(path)
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    data = bytearray(frame.rstrip(b"\0"))
    place = _places(data)[-1] + 6
    struct.pack_into(">I", data, place, struct.unpack_from(">I", data, place)[0] + extra)
    dataset.PixelData = encapsulate([bytes(data[: len(data) - cut])])
    dataset.save_as(path)
    return path


@pytest.mark.parametrize("extra", [1, 2, 100, 1 << 30])
def test_a_tile_that_is_declared_too_long_is_read_whole(tmp_path: Path, capsys, extra) -> None:
    image = ramp(64, 48)
    path = lengthened(save_in(dicom_dataset(image), tmp_path / "a.dcm", JPEG2000Lossless), extra)
    assert np.array_equal(stored(path)[0], image)
    with open_dicom(path) as reader:
        reader.read(0)
        assert any("(Psot)" in notice for notice in reader.info.notices)
    assert main(["info", str(path)]) == 0
    assert "(Psot)" in capsys.readouterr().out


def test_a_true_length_and_a_cut_codestream_stay_as_they_are(tmp_path: Path) -> None:
    path = save_in(dicom_dataset(ramp()), tmp_path / "a.dcm", JPEG2000Lossless)
    (frame,) = generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=1)
    assert mended_tile_length(frame) is None
    lengthened(path, 100, cut=40)
    with pytest.raises(UnreadableInputError), open_scan(path) as reader:
        reader.read(0)


def test_the_last_of_several_tiles_is_mended() -> None:
    image = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG2000", tile_size=(32, 32), no_jp2=True)
    data = bytearray(file.getvalue())
    places = _places(data)
    assert len(places) == 4
    struct.pack_into(">I", data, places[-1] + 6, 1 << 24)
    mended = mended_tile_length(bytes(data))
    assert mended is not None
    np.testing.assert_array_equal(imagecodecs.jpeg2k_decode(mended), image)
