"""Which transform of a NIfTI header places the voxels; nibabel and nifti1.h are the references."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from ratcli.errors import UnreadableInputError
from ratcli.formats import create_scan, open_scan
from ratcli.formats.nifti.layout import placement_of
from ratcli.scan import Derivation

NOTHING = Derivation("ct-denoise", "nothing was changed", "copy", version="1")
FINER = Derivation("pathology-x4", "made finer", "x4", method="resample", scale=4)
SAGITTAL = np.array([[0, 0, -2.0, 5], [0.8, 0, 0, -7], [0, -0.9, 0, 3], [0, 0, 0, 1]])
"""Voxel axes to the front, to the feet and to the left."""


def voxels(shape=(6, 5, 4)):
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape)


def by_qform(kind=nib.Nifti1Image, order="<", affine=SAGITTAL):
    """Return the bytes of a file that only its qform places, and its header."""
    header = kind.header_class(endianness=order)
    header.set_data_dtype(np.dtype(np.int16).newbyteorder(order))
    header.set_xyzt_units("mm", "sec")
    image = kind(voxels(), None, header)
    image.header.set_qform(affine, 1)
    image.header.set_sform(None, 0)
    return image


def save(path, image, **fields):
    """Save an image, then change fields in the stored header: nibabel would mend them."""
    data = bytearray(image.to_bytes())
    size = len(image.header.binaryblock)
    header = type(image.header)(bytes(data[:size]), check=False)
    for name, value in fields.items():
        if name.startswith("pixdim"):
            header["pixdim"][int(name[-1])] = value
        else:
            header[name] = value
    data[: len(header.binaryblock)] = header.binaryblock
    packed = path.name.endswith(".gz")
    path.write_bytes(gzip.compress(bytes(data)) if packed else bytes(data))
    return path


def zeros():
    return {"sform_code": 2, "srow_x": 0, "srow_y": 0, "srow_z": 0}


def planes(path):
    with open_scan(path) as reader:
        return np.stack([reader.read(plane)[0] for plane in range(reader.info.planes)])


def facts(path):
    with open_scan(path) as reader:
        return reader.info.spacing_mm, reader.info.details["axes"], reader.info.notices


def convert(source, target, derivation=NOTHING):
    factor = derivation.scale
    with open_scan(source) as reader, create_scan(reader, target, derivation) as writer:
        for plane in range(reader.info.planes):
            writer.write(plane, reader.read(plane).repeat(factor, 1).repeat(factor, 2))
    return target


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_an_sform_of_zeros_gives_way_to_a_valid_qform(tmp_path, kind, order, name):
    image = by_qform(kind, order)
    expected = save(tmp_path / f"q_{name}", image)
    path = save(tmp_path / name, image, **zeros())
    np.testing.assert_array_equal(planes(path), planes(expected))
    spacing, axes, notices = facts(path)
    assert (spacing, axes) == facts(expected)[:2]
    assert axes == "".join(nib.aff2axcodes(nib.load(expected).affine)) == "AIL"
    assert any("the qform places the volume" in notice for notice in notices)


@pytest.mark.parametrize(
    "rows",
    [
        {"srow_x": [1, 2, 3, 0], "srow_y": [2, 4, 6, 0], "srow_z": [0, 0, 1, 0]},
        {"srow_x": [0.1, 0.2, 0, 0], "srow_y": [0.3, 0.6, 0, 0], "srow_z": [0, 0, 1, 0]},
        {"srow_x": [np.nan, 0, 0, 0]},
    ],
    ids=["of rank two", "of rank two but for rounding", "not a number"],
)
def test_any_singular_sform_gives_way(tmp_path, rows):
    image = by_qform()
    path = save(tmp_path / "a.nii", image, **(zeros() | rows))
    np.testing.assert_array_equal(planes(path), planes(save(tmp_path / "q.nii", image)))


def test_a_regular_sform_goes_before_the_qform(tmp_path):
    image = by_qform()
    image.header.set_sform(np.diag([2.0, 3, 4, 1]), 1)
    path = save(tmp_path / "a.nii", image)
    assert facts(path)[:2] == (pytest.approx((4, 3, 2)), "RAS")
    np.testing.assert_array_equal(placement_of(image.header).affine, nib.load(path).affine)


def test_an_sform_without_a_code_is_not_looked_at(tmp_path):
    image = by_qform()
    image.header.set_sform(np.diag([2.0, 3, 4, 1]), 0)
    assert facts(save(tmp_path / "a.nii", image))[1] == "AIL"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("qfac", [0.0, np.nan, 7.0])
def test_a_pixdim_0_that_is_no_sign_counts_as_1(tmp_path, qfac, order):
    affine = np.diag([0.8, 0.9, 2.0, 1])
    image = by_qform(order=order, affine=affine)
    path = save(tmp_path / "a.nii", image, pixdim0=qfac)
    np.testing.assert_array_equal(planes(path), planes(save(tmp_path / "q.nii", image)))
    assert any("pixdim[0]" in notice for notice in facts(path)[2])
    if qfac == 0:
        np.testing.assert_allclose(nib.load(path).affine, affine, rtol=1e-6)


def test_a_pixdim_0_of_minus_1_turns_the_third_axis(tmp_path):
    image = by_qform(affine=np.diag([0.8, 0.9, -2.0, 1]))
    assert image.header["pixdim"][0] == -1
    assert facts(save(tmp_path / "a.nii", image))[1:] == ("RAI", ())


@pytest.mark.parametrize("derivation", [NOTHING, FINER], ids=["same grid", "finer grid"])
@pytest.mark.parametrize("fields", [{"pixdim0": 0}, zeros(), zeros() | {"pixdim0": 0}], ids=str)
def test_the_result_is_where_the_one_with_a_qform_alone_is(tmp_path, fields, derivation):
    image = by_qform()
    path = convert(save(tmp_path / "a.nii", image, **fields), tmp_path / "b.nii", derivation)
    expected = convert(save(tmp_path / "q.nii", image), tmp_path / "r.nii", derivation)
    one, other = nib.load(path), nib.load(expected)
    np.testing.assert_array_equal(one.get_fdata(), other.get_fdata())
    np.testing.assert_array_equal(one.get_qform(), other.get_qform())
    assert one.header["pixdim"][0] == other.header["pixdim"][0]


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_a_negative_voxel_size_is_named(tmp_path, axis):
    path = save(tmp_path / "a.nii", by_qform(), **{f"pixdim{axis}": -0.5})
    with pytest.raises(UnreadableInputError, match=rf"pixdim\[{axis}\] = -0.5"):
        open_scan(path)


def test_a_negative_voxel_size_does_no_harm_to_a_regular_sform(tmp_path):
    image = by_qform()
    image.header.set_sform(SAGITTAL, 1)
    path = save(tmp_path / "a.nii", image, pixdim1=-0.8, pixdim0=0)
    assert facts(path)[1] == "AIL"
    result = nib.load(convert(path, tmp_path / "b.nii", FINER))
    assert nib.aff2axcodes(result.get_sform()) == ("A", "I", "L")


def test_a_negative_voxel_size_without_any_code_is_told(tmp_path):
    image = by_qform()
    path = save(tmp_path / "a.nii", image, qform_code=0, pixdim2=-0.9)
    assert any("pixdim[2] = -0.9" in notice for notice in facts(path)[2])


def test_neither_transform_places_the_volume_and_both_are_told(tmp_path):
    path = save(tmp_path / "a.nii", by_qform(), **(zeros() | {"pixdim2": -1}))
    told = " ".join(facts(path)[2])
    assert "pixdim[2] = -1" in told
    assert "affine is singular" in told


def test_regions_of_a_scan_with_a_pixdim_0_of_0_are_written(tmp_path):
    from ratcli.formats.regions.labels import _nifti_like

    path = save(tmp_path / "a.nii", by_qform(), pixdim0=0)
    with open_scan(path) as reader:
        labels = np.stack([reader.read(plane)[0] for plane in range(reader.info.planes)])
        image = _nifti_like(reader, labels.astype(np.uint16))
    np.testing.assert_array_equal(np.asarray(image.dataobj), voxels())
    np.testing.assert_allclose(image.header.get_best_affine(), SAGITTAL, atol=1e-6)
