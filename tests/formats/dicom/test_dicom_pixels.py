"""Files that are written with frames which were encoded before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, parse_basic_offsets, parse_fragments
from pydicom.uid import UID, RLELossless

from ratcli.formats.dicom.codec import encode
from ratcli.formats.dicom.layout import read_layout
from tests.formats.dicom_scans import (
    COMPRESSED,
    NATIVE,
    dicom_dataset,
    ramp,
    restore,
    save_dicom,
    save_in,
    stored,
)
from tests.formats.enhanced_scans import ENHANCED_CT, enhanced_dataset


@pytest.mark.parametrize("syntax", [*NATIVE, *COMPRESSED], ids=lambda syntax: syntax.name)
def test_private_elements_behind_the_pixel_data_survive(tmp_path: Path, syntax: UID) -> None:
    dataset = dicom_dataset(ramp())
    dataset.add_new(0x7FE10010, "LO", "PHANTOM WORKS")
    dataset.add_new(0x7FE11001, "OB", b"raw data")
    source = save_in(dataset, tmp_path / "in.dcm", syntax)
    out = pydicom.dcmread(restore(source, tmp_path / "out.dcm"))
    assert out[0x7FE11001].value == b"raw data"
    assert list(out.keys())[-3:] == [0x7FE00010, 0x7FE10010, 0x7FE11001]
    assert np.array_equal(stored(tmp_path / "out.dcm"), stored(source))


def test_the_offset_table_of_several_frames_leads_to_each_of_them(tmp_path: Path) -> None:
    dataset = enhanced_dataset("CT", ENHANCED_CT, frames=3)
    layout = read_layout(dataset, "in.dcm", 1 << 20)
    frames = np.frombuffer(dataset.PixelData, layout.dtype).reshape(3, layout.rows, -1, 1)
    dataset.PixelData = encapsulate([encode(words, RLELossless, layout) for words in frames])
    dataset["PixelData"].is_undefined_length = True
    source = save_dicom(dataset, tmp_path / "in.dcm", RLELossless)
    out = pydicom.dcmread(restore(source, tmp_path / "out.dcm", lambda values: values + 1))
    offsets = parse_basic_offsets(out.PixelData)
    count, places = parse_fragments(out.PixelData[8 + 4 * len(offsets) :])
    assert count == 3
    assert offsets == places
