"""DICOM files that lie: each gets one sentence, and never the machine's memory."""

import os
import struct
import zipfile
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from ratcli.errors import RatError, UnreadableInputError
from ratcli.formats import find_scans, open_scan
from tests.formats.child_memory import open_in_child
from tests.formats.dicom_scans import (
    COMPRESSED,
    NATIVE,
    dicom_dataset,
    ramp,
    restore,
    save_dicom,
    save_in,
    set_elements,
    shared,
)

BOUND = 500 << 20  # an interpreter with pydicom and imagecodecs takes about 100 MB
JPEG_70 = UID("1.2.840.10008.1.2.4.70")


def refused(path: Path) -> str:
    """Return the sentence with which a file is refused."""
    with pytest.raises(RatError) as caught, open_scan(path) as reader:
        reader.read(0)
    return str(caught.value)


def refused_in_bounds(path: Path) -> str:
    opened = open_in_child(path)
    assert opened.outcome.startswith("UnreadableInputError"), opened.outcome
    assert opened.peak_bytes < BOUND
    return opened.outcome


def with_codestream(path: Path, syntax: UID, frame: bytes, **changes: object) -> Path:
    dataset = dicom_dataset(ramp())
    set_elements(dataset, **changes)
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return save_dicom(dataset, path, syntax)


def test_a_deflated_file_that_inflates_to_gigabytes_is_refused(tmp_path: Path) -> None:
    path = save_dicom(dicom_dataset(ramp()), tmp_path / "x", DeflatedExplicitVRLittleEndian)
    whole = path.read_bytes()
    start = 132 + 12 + struct.unpack("<I", whole[140:144])[0]
    body = zlib.decompress(whole[start:], wbits=-15)
    packer = zlib.compressobj(9, wbits=-15)
    bomb = bytearray(whole[:start]) + packer.compress(body)
    # A private element behind the pixel data that claims 320 MB, and has them.
    bomb += packer.compress(struct.pack("<HH2sHI", 0x7FE1, 0x1010, b"OB", 0, 20 << 24))
    for _ in range(20):
        bomb += packer.compress(bytes(1 << 24))
    path.write_bytes(bomb + packer.flush())
    assert path.stat().st_size < 1 << 20
    assert "inflate to more than" in refused_in_bounds(path)


def test_a_deflated_file_that_is_cut_is_refused(tmp_path: Path) -> None:
    path = save_dicom(dicom_dataset(ramp()), tmp_path / "x", DeflatedExplicitVRLittleEndian)
    path.write_bytes(path.read_bytes()[:-40])
    assert "end early" in refused(path)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless, JPEG_70])
def test_a_header_of_40000_pixels_squared_is_refused_before_decoding(
    tmp_path: Path, syntax: UID
) -> None:
    path = save_in(dicom_dataset(ramp()), tmp_path / "x", syntax)
    raw = path.read_bytes()
    for tag, size in ((b"\x28\x00\x10\x00US\x02\x00", 16), (b"\x28\x00\x11\x00US\x02\x00", 20)):
        raw = raw.replace(tag + struct.pack("<H", size), tag + struct.pack("<H", 40000))
    path.write_bytes(raw)
    assert "more than the limit of" in refused_in_bounds(path)


@pytest.mark.parametrize(
    ("syntax", "marker", "position"),
    [
        (JPEGLSLossless, b"\xff\xf7", 5),
        (JPEG_70, b"\xff\xc3", 5),
    ],
)
def test_a_codestream_that_claims_40000_pixels_squared_is_refused(
    tmp_path: Path, syntax: UID, marker: bytes, position: int
) -> None:
    path = save_in(dicom_dataset(ramp()), tmp_path / "x", syntax)
    raw = bytearray(path.read_bytes())
    start = raw.rindex(marker) + position
    raw[start : start + 4] = struct.pack(">HH", 40000, 40000)
    path.write_bytes(raw)
    assert "the pixel data is damaged" in refused_in_bounds(path)


def test_a_jpeg_2000_that_claims_40000_pixels_squared_is_refused(tmp_path: Path) -> None:
    path = save_in(dicom_dataset(ramp()), tmp_path / "x", JPEG2000Lossless)
    raw = bytearray(path.read_bytes())
    start = raw.rindex(b"\xff\x4f\xff\x51") + 8
    raw[start : start + 8] = struct.pack(">II", 40000, 40000)
    path.write_bytes(raw)
    assert "the pixel data is damaged" in refused_in_bounds(path)


def test_an_rle_frame_with_too_few_segments_is_refused(tmp_path: Path) -> None:
    frame = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x00\x01" * 40
    path = with_codestream(tmp_path / "x", RLELossless, frame)
    assert "the pixel data is damaged" in refused(path)


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("bytes_lost", [2, 40])
def test_a_jpeg_frame_without_its_end_is_refused(
    tmp_path: Path, lossless: bool, bytes_lost: int
) -> None:
    image = ramp(low=0, high=255).astype(np.uint8)
    syntax = JPEG_70 if lossless else UID("1.2.840.10008.1.2.4.50")
    layout = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0}
    frame = imagecodecs.jpeg8_encode(image, lossless=lossless, predictor=1 if lossless else None)
    whole = with_codestream(tmp_path / "whole", syntax, frame, **layout)
    with open_scan(whole) as reader:
        reader.read(0)
    cut = with_codestream(tmp_path / "cut", syntax, frame[:-bytes_lost], **layout)
    assert "the compressed pixel data end early" in refused(cut)


def test_run_lengths_beyond_the_frame_take_no_memory(tmp_path: Path) -> None:
    runs = b"\x81\x00" * (1 << 20)
    frame = struct.pack("<16I", 2, 64, 64 + len(runs), *[0] * 13) + runs + runs
    path = with_codestream(tmp_path / "x", RLELossless, frame)
    opened = open_in_child(path)
    assert opened.outcome.startswith(("read", "UnreadableInputError"))
    assert opened.peak_bytes < BOUND


@pytest.mark.parametrize("defined", [True, False])
def test_sequences_nested_5000_deep_are_refused_or_passed_over(
    tmp_path: Path, defined: bool
) -> None:
    def element(tag: bytes, content: bytes, end: bytes) -> bytes:
        length = len(content) if defined else 0xFFFFFFFF
        return tag + struct.pack("<I", length) + content + (b"" if defined else end)

    content = b""
    for _ in range(5000):
        item = element(b"\xfe\xff\x00\xe0", content, b"\xfe\xff\x0d\xe0\0\0\0\0")
        content = element(b"\x08\x00\x40\x11SQ\0\0", item, b"\xfe\xff\xdd\xe0\0\0\0\0")
    path = save_dicom(dicom_dataset(ramp()), tmp_path / "x")
    raw = path.read_bytes()
    modality = raw.index(b"\x08\x00\x60\x00CS")
    path.write_bytes(raw[:modality] + content + raw[modality:])
    opened = open_in_child(path)
    assert opened.peak_bytes < BOUND
    if defined:
        assert opened.outcome == "read"
        restore(path, tmp_path / "out.dcm")
    else:
        assert opened.outcome.endswith("sequences are nested too deeply")


def test_an_element_that_claims_4_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    path = save_dicom(dicom_dataset(ramp()), tmp_path / "x")
    raw = path.read_bytes()
    rows = raw.index(b"\x28\x00\x10\x00US")
    path.write_bytes(raw[:rows] + b"\x21\x00\x01\x10OB\0\0\xf0\xff\xff\xff" + raw[rows:])
    refused_in_bounds(path)


@pytest.mark.parametrize("syntax", [NATIVE[1], RLELossless])
def test_a_number_of_frames_that_cannot_be_is_refused(tmp_path: Path, syntax: UID) -> None:
    dataset = dicom_dataset(ramp(), NumberOfFrames="2147483647")
    path = save_in(dataset, tmp_path / "x", syntax)
    assert "the header declares" in refused_in_bounds(path)


def test_a_zip_member_that_inflates_to_gigabytes_is_refused(tmp_path: Path) -> None:
    whole = save_dicom(dicom_dataset(ramp()), tmp_path / "x").read_bytes()
    archive = tmp_path / "bomb.zip"
    with (
        zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target,
        target.open("x.dcm", "w", force_zip64=True) as member,
    ):
        member.write(whole)
        for _ in range(20):
            member.write(bytes(1 << 24))
    assert "more than the limit" in refused_in_bounds(archive)


@pytest.mark.parametrize("syntax", NATIVE + COMPRESSED, ids=lambda syntax: syntax.name)
def test_a_file_cut_anywhere_is_refused_in_a_sentence(tmp_path: Path, syntax: UID) -> None:
    whole = save_in(dicom_dataset(ramp()), tmp_path / "whole.dcm", syntax).read_bytes()
    path = tmp_path / "cut.dcm"
    for size in np.linspace(133, len(whole) - 17, 40).astype(int):
        path.write_bytes(whole[:size])
        assert refused(path).startswith("cut.dcm")


def test_truncated_pixel_data_tell_how_much_is_missing(tmp_path: Path) -> None:
    path = save_dicom(dicom_dataset(ramp()), tmp_path / "x.dcm")
    path.write_bytes(path.read_bytes()[:-100])
    assert refused(path) == (
        "x.dcm: the pixel data end early: 540 bytes, but the header declares 640"
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    number=st.integers(0, len(NATIVE + COMPRESSED) - 1),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_any_damage_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, number: int, changes: list[tuple[float, int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / f"damaged{number}.dcm"
    raw = bytearray(whole_file(tmp_path_factory, number))
    for place, value in changes:
        raw[132 + int(place * (len(raw) - 133))] = value
    path.write_bytes(raw)
    try:
        with open_scan(find_scans(path)[0]) as reader:
            reader.read(0)
    except RatError as error:
        assert len(str(error)) < 300  # noqa: PT017


def whole_file(tmp_path_factory: pytest.TempPathFactory, number: int) -> bytes:
    path = tmp_path_factory.getbasetemp() / f"whole{number}.dcm"
    if not path.exists():
        save_in(dicom_dataset(ramp()), path, (NATIVE + COMPRESSED)[number])
    return path.read_bytes()


def test_errors_do_not_quote_the_patient(tmp_path: Path) -> None:
    dataset = dicom_dataset(ramp())
    set_elements(dataset, NumberOfFrames="1234", RescaleSlope="4321")
    path = save_dicom(dataset, tmp_path / "x.dcm")
    path.write_bytes(path.read_bytes().replace(b"1234", b"Doe^").replace(b"4321", b"Doe^"))
    assert "Doe" not in refused(path)


def test_every_real_file_is_read_or_refused_in_a_sentence() -> None:
    folder = shared("formats", "dicom")
    outcomes = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            with open_scan(find_scans(path)[0]) as reader:
                for plane in range(min(2, reader.info.planes)):
                    reader.read(plane)
            outcomes[path.name] = "read"
        except RatError as error:
            assert len(str(error)) < 200  # noqa: PT017
            outcomes[path.name] = "refused"
    refusals = sorted(name for name, outcome in outcomes.items() if outcome == "refused")
    assert len(outcomes) - len(refusals) >= 95, refusals


def with_elements(path: Path, elements: bytes, *, deflated: bool = False) -> Path:
    """Write a slice with further elements, given as bytes, before its pixel data."""
    whole = save_dicom(dicom_dataset(ramp()), path).read_bytes()
    at = whole.rindex(struct.pack("<HH", 0x7FE0, 0x0010) + b"OW")
    whole = whole[:at] + elements + whole[at:]
    if deflated:
        start = 132 + 12 + struct.unpack("<I", whole[140:144])[0]
        packer = zlib.compressobj(9, wbits=-15)
        body = packer.compress(whole[start:]) + packer.flush()
        syntax = DeflatedExplicitVRLittleEndian
        head = save_dicom(dicom_dataset(ramp()), path, syntax).read_bytes()
        whole = head[: 132 + 12 + struct.unpack("<I", head[140:144])[0]] + body
    path.write_bytes(whole)
    return path


EMPTY_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
ITEMS = 500_000
SEQUENCES = {
    "parsed": (0xFFFFFFFF, struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)),
    "unparsed": (ITEMS * len(EMPTY_ITEM), b""),
}


@pytest.mark.parametrize("kind", SEQUENCES)
def test_a_small_file_of_very_many_items_is_refused(tmp_path: Path, kind: str) -> None:
    length, end = SEQUENCES[kind]
    sequence = struct.pack("<HH2sHI", 0x6001, 0x1115, b"SQ", 0, length) + EMPTY_ITEM * ITEMS + end
    path = with_elements(tmp_path / "x.dcm", sequence, deflated=True)
    assert path.stat().st_size < 1 << 15
    assert "more than 262144 elements" in refused_in_bounds(path)


def test_elements_inside_an_item_that_is_not_yet_parsed_are_counted(tmp_path: Path) -> None:
    inside = struct.pack("<HH2sH", 0x0009, 0x1001, b"CS", 0) * 300_000
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inside)) + inside
    sequence = struct.pack("<HH2sHI", 0x6001, 0x1115, b"SQ", 0, len(item)) + item
    path = with_elements(tmp_path / "x.dcm", sequence, deflated=True)
    assert "more than 262144 elements" in refused_in_bounds(path)


def test_a_header_of_very_many_tiny_elements_is_refused(tmp_path: Path) -> None:
    elements = b"".join(
        struct.pack("<HH2sH", group, element, b"CS", 0)
        for group in range(0x0031, 0x0031 + 10, 2)
        for element in range(0x0010, 0xFFFF)
    )
    path = with_elements(tmp_path / "x.dcm", elements)
    assert "more than 262144 elements" in refused_in_bounds(path)


def test_a_small_file_of_millions_of_frames_is_refused(tmp_path: Path) -> None:
    dataset = dicom_dataset(ramp(1, 1), NumberOfFrames=3_000_000)
    dataset.PixelData = bytes(2 * 3_000_000)
    path = save_dicom(dataset, tmp_path / "x.dcm", DeflatedExplicitVRLittleEndian)
    assert "at most 32768 are read" in refused_in_bounds(path)


def test_a_value_of_the_wrong_length_does_not_end_a_folder(tmp_path: Path) -> None:
    save_dicom(dicom_dataset(ramp()), tmp_path / "good.dcm")
    bad = tmp_path / "bad.dcm"
    whole = save_dicom(dicom_dataset(ramp(), SeriesInstanceUID="1.2.3"), bad).read_bytes()
    at = whole.index(struct.pack("<HH", 0x0020, 0x0013))
    (length,) = struct.unpack("<H", whole[at + 6 : at + 8])
    element = struct.pack("<HH2sH", 0x0020, 0x0013, b"US", 3) + b"\1\0\0"
    bad.write_bytes(whole[:at] + element + whole[at + 8 + length :])
    sources = find_scans(tmp_path)
    assert [source.name for source in sources] == ["bad", "good"]
    for source in sources:
        with open_scan(source) as reader:
            reader.read(0)


def jp2(codestream: bytes, decoy: bytes) -> bytes:
    """Return a JP2 file with another codestream's header in a box that decoders pass over."""

    def box(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(data), kind) + data

    height, width = (int.from_bytes(codestream[at : at + 4], "big") for at in (12, 8))
    facts = struct.pack(">IIHBBBB", height, width, 1, 0x8F, 7, 0, 0)
    return (
        box(b"jP  ", b"\r\n\x87\n")
        + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
        + box(b"jp2h", box(b"ihdr", facts) + box(b"colr", struct.pack(">BBBI", 1, 0, 0, 17)))
        + box(b"uuid", bytes(16) + decoy)
        + box(b"jp2c", codestream)
    )


def test_the_size_of_a_jpeg_2000_is_that_of_the_codestream_that_is_decoded(tmp_path: Path) -> None:
    large, small = (
        bytes(imagecodecs.jpeg2k_encode(np.zeros(size, np.int16), codecformat="J2K"))
        for size in ((9000, 9000), ramp().shape)
    )
    for number, frame in enumerate((jp2(large, small[:100]), small[:100] + large)):
        path = with_codestream(tmp_path / f"{number}.dcm", JPEG2000Lossless, frame)
        assert "the pixel data is damaged" in refused_in_bounds(path)
    path = with_codestream(tmp_path / "good.dcm", JPEG2000Lossless, jp2(small, large[:100]))
    with open_scan(path) as reader:
        assert reader.read(0).shape == (1, *ramp().shape)


def test_a_jpeg_of_a_thousand_scans_is_refused(tmp_path: Path) -> None:
    whole = bytes(imagecodecs.jpeg8_encode(np.zeros((16, 20), np.uint8)))
    start = whole.index(b"\xff\xda")
    frame = whole[:-2] + whole[start:-2] * 1000 + whole[-2:]
    changes = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0}
    path = with_codestream(tmp_path / "x.dcm", UID("1.2.840.10008.1.2.4.50"), frame, **changes)
    assert "the pixel data is damaged" in refused(path)
    path = with_codestream(tmp_path / "one.dcm", UID("1.2.840.10008.1.2.4.50"), whole, **changes)
    with open_scan(path) as reader:
        reader.read(0)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_member_that_no_limit_holds_while_it_inflates_is_refused(
    tmp_path: Path, method: int
) -> None:
    whole = save_dicom(dicom_dataset(ramp()), tmp_path / "x").read_bytes()
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", method) as target, target.open("x.dcm", "w") as member:
        member.write(whole + bytes(1 << 26))
    assert "not compressed by deflate" in refused_in_bounds(archive)


def test_all_members_of_an_archive_together_have_a_limit(tmp_path: Path) -> None:
    whole = save_dicom(dicom_dataset(ramp()), tmp_path / "x").read_bytes()
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for number in range(10):
            target.writestr(f"{number}.dcm", whole + bytes(1 << 25))
    assert "more than the limit" in refused_in_bounds(archive)


def test_a_pipe_is_no_scan(tmp_path: Path) -> None:
    pipe = tmp_path / "x.dcm"
    os.mkfifo(pipe)
    with pytest.raises(UnreadableInputError, match="a pipe or a device"):
        find_scans(pipe)
