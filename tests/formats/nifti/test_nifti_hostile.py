"""NIfTI files that lie: each gets one sentence, and never the machine's memory."""

import gzip
import struct
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from ratcli.errors import InputNotFoundError, RatError, UnreadableInputError
from ratcli.formats import open_scan
from tests.formats.child_memory import open_in_child

SHARED = Path(__file__).resolve().parents[3] / ".." / "shared" / "data"
BOUND = 200 << 20  # an interpreter with numpy and nibabel takes about 80 MB


def header(shape=(4, 5, 3), dtype=np.int16, **fields):
    made = nib.Nifti1Header()
    made.set_data_dtype(dtype)
    made.set_data_shape(shape)
    made["magic"] = b"n+1"
    made["vox_offset"] = 352
    for name, value in fields.items():
        made[name] = value
    return made.binaryblock + bytes(4)


def refused(path, content):
    path.write_bytes(content)
    with pytest.raises(RatError) as caught, open_scan(path) as reader:
        reader.read(0)
    return str(caught.value)


def packed_zeros(size, head=b""):
    """Gzip so many zeros, a block at a time."""
    packer = zlib.compressobj(9, wbits=31)
    parts = [packer.compress(head)]
    parts += [packer.compress(bytes(1 << 24)) for _ in range(size >> 24)]
    return b"".join([*parts, packer.flush()])


def test_a_small_gzip_file_declaring_gigabytes_is_refused_unread(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(header((2000, 2000, 1000), np.float64)))
    opened = open_in_child(path)
    assert "declares 32000000352 bytes" in opened.outcome
    assert opened.peak_bytes < BOUND


def test_a_bomb_that_really_inflates_takes_no_memory(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(packed_zeros(1 << 29, header((1024, 1024, 256))))
    opened = open_in_child(path)
    assert path.stat().st_size < 2 << 20
    assert opened.outcome == "read"
    assert opened.peak_bytes < BOUND


def test_what_follows_the_voxels_is_never_inflated(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(packed_zeros(1 << 29, header((4, 5, 3))))
    opened = open_in_child(path)
    assert opened.outcome == "read"
    assert opened.peak_bytes < BOUND


def test_a_compressed_volume_over_the_limit_is_refused(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(header((64, 64, 64)) + bytes(2 * 64**3)))
    with pytest.raises(UnreadableInputError, match="more than the limit"):
        open_scan(path, max_pixels=64 * 64)


def test_a_plane_over_the_limit_is_refused(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(header((64, 64, 2)) + bytes(2 * 64 * 64 * 2))
    with pytest.raises(UnreadableInputError, match="64 x 64 pixels"):
        open_scan(path, max_pixels=64 * 63)


def test_a_plane_of_a_volume_larger_than_memory_is_read_alone(tmp_path):
    path = tmp_path / "a.nii"
    with path.open("wb") as file:
        file.write(header((512, 512, 20000), np.float32))
        file.truncate(352 + 512 * 512 * 20000 * 4)  # 21 GB, sparse
    opened = open_in_child(path)
    assert opened.outcome == "read"
    assert opened.peak_bytes < BOUND


def test_a_truncated_file_is_told_at_once(tmp_path):
    content = header() + bytes(100)
    assert "declares 472 bytes, but the file has 452" in refused(tmp_path / "a.nii", content)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0)])
def test_a_file_that_is_shortened_while_it_is_read_does_not_end_the_process(tmp_path, axes):
    path = tmp_path / "a.nii"
    affine = np.zeros((4, 4))
    affine[range(3), axes] = affine[3, 3] = 1
    nib.save(nib.Nifti1Image(np.zeros((64, 64, 64), np.int16), affine), path)
    with open_scan(path) as reader:
        with path.open("r+b") as file:
            file.truncate(1000)
        with pytest.raises(UnreadableInputError, match="the voxels end"):
            reader.read(reader.info.planes - 1)


def test_a_truncated_gzip_file_is_told(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, 120, np.uint8).tobytes()
    content = gzip.compress(header() + noise)
    assert "ends early" in refused(tmp_path / "a.nii.gz", content[:-60])


def test_a_gzip_file_with_too_few_voxels_is_told(tmp_path):
    content = gzip.compress(header() + bytes(50))
    assert "end after 50 of 120 bytes" in refused(tmp_path / "a.nii.gz", content)


def test_a_gzip_file_with_a_wrong_checksum_is_told(tmp_path):
    content = bytearray(gzip.compress(header() + bytes(120)))
    content[-8] ^= 1
    assert "gzip stream is damaged" in refused(tmp_path / "a.nii.gz", bytes(content))


@pytest.mark.parametrize(
    ("dim", "message"),
    [
        ([3, 4, -5, 3, 1, 1, 1, 1], "4 x -5 x 3 voxels"),
        ([3, 4, 0, 3, 1, 1, 1, 1], "none to read"),
        ([0, 4, 5, 3, 1, 1, 1, 1], "0 axes"),
        ([1, 60, 1, 1, 1, 1, 1, 1], "1 axes"),
        ([99, 4, 5, 3, 1, 1, 1, 1], "99 axes"),
        ([5, 4, 5, 3, 1, 2, 1, 1], "at most 4 are read"),
        ([4, 32767, 32767, 32767, 32767, 1, 1, 1], "limit of"),
        ([4, 9999, 9999, 32767, 32767, 1, 1, 1], "but the file has"),
    ],
)
def test_absurd_dimensions_are_refused(tmp_path, dim, message):
    assert message in refused(tmp_path / "a.nii", header(dim=dim) + bytes(120))


@pytest.mark.parametrize("offset", [np.nan, np.inf, -1.0, 4.0, 351.0, 1e30])
def test_an_absurd_offset_is_refused(tmp_path, offset):
    message = refused(tmp_path / "a.nii", header(vox_offset=offset) + bytes(120))
    assert "expected 352" in message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"datatype": 32, "bitpix": 64}, "complex numbers"),
        ({"datatype": 128, "bitpix": 24}, "RGB colours"),
        ({"datatype": 1, "bitpix": 1}, "single bits"),
        ({"datatype": 777}, "data type code 777"),
        ({"scl_slope": 2.0, "scl_inter": np.nan}, "slope 2 and intercept nan, expected numbers"),
        ({"qform_code": 1, "quatern_b": 5.0}, "not a rotation"),
    ],
)
def test_a_header_that_cannot_be_meant_is_refused(tmp_path, fields, message):
    assert message in refused(tmp_path / "a.nii", header(**fields) + bytes(120))


@pytest.mark.parametrize("srow", [[0, 0, 0, 0], [np.nan, 0, 0, 0]])
def test_a_singular_affine_is_told_and_the_planes_are_read(tmp_path, srow):
    path = tmp_path / "a.nii"
    path.write_bytes(header(sform_code=1, srow_x=srow) + bytes(120))
    with open_scan(path) as reader:
        assert reader.info.planes == 3
        assert any("singular" in notice for notice in reader.info.notices)
        assert reader.read(2).shape == (1, 5, 4)


def test_an_extension_longer_than_the_file_is_left_out(tmp_path):
    extension = struct.pack("<ii", 1 << 30, 4).ljust(16, b"x")
    content = header(vox_offset=352 + 16)[:348] + b"\1\0\0\0" + extension + bytes(120)
    (tmp_path / "a.nii").write_bytes(content)
    with open_scan(tmp_path / "a.nii") as reader:
        assert any(
            "are not an extension and are not copied" in notice for notice in reader.info.notices
        )
        assert reader.read(0).shape == (1, 5, 4)


@pytest.mark.parametrize(
    "content", [b"", b"\x1f\x8b", b"\x1f\x8b\x08\0", bytes(348), b"n+1\0" * 99]
)
def test_rubbish_with_the_name_of_a_nifti_file_is_refused(tmp_path, content):
    assert refused(tmp_path / "a.nii.gz", content)


def test_an_analyze_header_is_named(tmp_path):
    content = struct.pack("<i", 348).ljust(348, b"\0")
    assert "ANALYZE" in refused(tmp_path / "a.hdr", content)


def test_a_missing_half_of_a_pair_is_named(tmp_path):
    nib.save(nib.Nifti1Pair(np.zeros((3, 4, 5), np.int16), np.eye(4)), tmp_path / "a.hdr")
    (tmp_path / "a.img").unlink()
    with pytest.raises(InputNotFoundError, match="the voxels a"):
        open_scan(tmp_path / "a.hdr")


REAL = sorted((SHARED / "formats" / "nifti").glob("*"))


@pytest.mark.skipif(not REAL, reason="no real scans beside the repository")
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_every_real_file_is_read_or_refused_with_a_sentence(path):
    try:
        with open_scan(path) as reader:
            assert np.isfinite(reader.read(reader.info.planes // 2)).all()
    except RatError as error:
        assert path.name in ("analyze.hdr", "complex.nii.gz", "nifti1.hdr", "nifti2.hdr")
        assert len(str(error)) > 20  # noqa: PT017 - which files may be refused is the point
