"""MetaImage files: what is read, and what is refused in one sentence."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from skip_policy import SCANS

from ratcli.errors import UnreadableInputError
from ratcli.formats.metaimage import read_metaimage

VALUES = np.arange(-12, 12, dtype=np.int16).reshape(2, 3, 4)
HEAD = {
    "NDims": "3", "DimSize": "4 3 2", "ElementSpacing": "0.5 0.7 3",
    "ElementType": "MET_SHORT", "ElementDataFile": "LOCAL",
}  # fmt: skip


def written(path: Path, data: bytes | None = VALUES.tobytes(), **changes: str) -> Path:
    """Write a header, with the data behind it or in the file that it names."""
    # The name of the data ends a header.
    head = {name: value for name, value in {**HEAD, **changes}.items() if value}
    head |= {"ElementDataFile": head.pop("ElementDataFile")} if "ElementDataFile" in head else {}
    text = "".join(f"{name} = {value}\n" for name, value in head.items()).encode()
    if data is not None and head.get("ElementDataFile") == "LOCAL":
        text += data
    elif data is not None:
        (path.parent / head["ElementDataFile"]).write_bytes(data)
    path.write_bytes(text)
    return path


@pytest.mark.parametrize("place", ["LOCAL", "data.raw"])
@pytest.mark.parametrize("compressed", [False, True])
def test_values_and_spacing_are_read(tmp_path: Path, place: str, compressed: bool) -> None:
    data = zlib.compress(VALUES.tobytes()) if compressed else VALUES.tobytes()
    changes = {"ElementDataFile": place, "CompressedData": str(compressed)}
    values, spacing = read_metaimage(written(tmp_path / "a.mhd", data, **changes))
    assert np.array_equal(values, VALUES)
    assert spacing == (0.7, 0.5)


def test_high_bytes_first_and_floats_are_read(tmp_path: Path) -> None:
    data = VALUES.astype(">f8").tobytes()
    changes = {"BinaryDataByteOrderMSB": "True", "ElementType": "MET_DOUBLE"}
    assert np.array_equal(read_metaimage(written(tmp_path / "a.mha", data, **changes))[0], VALUES)


def test_an_image_of_two_axes_is_one_plane(tmp_path: Path) -> None:
    changes = {"NDims": "2", "DimSize": "4 3", "ElementSpacing": "1 1"}
    assert read_metaimage(written(tmp_path / "a.mha", **changes)).values.shape == (1, 3, 4)


@pytest.mark.parametrize(
    ("changes", "data"),
    [
        ({}, VALUES.tobytes()[:-1]),
        ({"CompressedData": "True"}, b"no zlib"),
        ({"CompressedData": "True"}, zlib.compress(b"short")),
        ({"DimSize": "4 3"}, VALUES.tobytes()),
        ({"DimSize": "4 3 x"}, VALUES.tobytes()),
        ({"DimSize": "40000 40000 40000"}, VALUES.tobytes()),
        ({"DimSize": "4 0 2"}, VALUES.tobytes()),
        ({"ElementSpacing": "1 -1 1"}, VALUES.tobytes()),
        ({"ElementType": "MET_LONG_LONG"}, VALUES.tobytes()),
        ({"ElementNumberOfChannels": "3"}, VALUES.tobytes()),
        ({"ElementNumberOfChannels": "many"}, VALUES.tobytes()),
        ({"ElementDataFile": ""}, VALUES.tobytes()),
        ({"ElementDataFile": "gone.raw"}, None),
        ({"ElementDataFile": "slice%03d.raw 1 2 1"}, None),
    ],
)
def test_what_cannot_be_read_is_refused(
    tmp_path: Path, changes: dict[str, str], data: bytes | None
) -> None:
    path = written(
        tmp_path / "a.mha", data if changes.get("ElementDataFile", "x") else None, **changes
    )
    with pytest.raises(UnreadableInputError, match=r"a\.mha cannot be read as MetaImage"):
        read_metaimage(path)


def test_data_of_another_folder_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.raw").write_bytes(VALUES.tobytes())
    folder = tmp_path / "images"
    folder.mkdir()
    path = written(folder / "a.mhd", None, ElementDataFile="../secret.raw")
    with pytest.raises(UnreadableInputError):
        read_metaimage(path)


def test_a_file_of_a_public_phantom_has_its_stated_noise() -> None:
    path = SCANS / "ct_phantom/lcd_ct_fbp/dose_100/signal_absent/001.mhd"
    if not path.exists():
        pytest.skip(f"no scan at {path}")
    values, spacing = read_metaimage(path)
    rows, columns = np.indices(values.shape[1:]) - 127.5
    inside = np.hypot(rows, columns) * spacing[0] < 60
    # Its description states 22.4 HU, a mean over ten images.
    assert values[0][inside].std() == pytest.approx(22.4, rel=0.05)


@pytest.mark.parametrize("piped", ["head.mhd", "data.raw"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, piped: str) -> None:
    if piped == "data.raw":
        written(tmp_path / "head.mhd", None, ElementDataFile=piped)
    os.mkfifo(tmp_path / piped)
    with pytest.raises(UnreadableInputError, match="is a pipe or a device"):
        read_metaimage(tmp_path / "head.mhd")
