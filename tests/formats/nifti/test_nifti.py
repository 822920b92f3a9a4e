"""NIfTI: what is read, and that everything else in the file survives."""

import gzip
import shutil
import subprocess
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from ratcli.errors import OutputError
from ratcli.formats import create_scan, find_scans, open_scan
from ratcli.scan import Box, Derivation

SHARED = Path(__file__).resolve().parents[3] / ".." / "shared" / "data"
ORIENTATIONS = ("AIL", "ALS", "ASR", "IAL", "ILP", "IRA", "LAS", "LPI")
ORIENTATIONS += ("PIR", "PSL", "RAS", "RPI", "RSA", "SLA", "SPR", "SRP")
NOTHING = Derivation("ct-denoise", "nothing was changed", "copy", version="1")


def save(path, array, affine=None, *, slope=None, intercept=0.0, kind=nib.Nifti1Image):
    image = kind(array, np.eye(4) if affine is None else affine, dtype=array.dtype)
    image.header.set_xyzt_units("mm", "sec")
    if slope is not None:
        image.header.set_slope_inter(slope, intercept)
    nib.save(image, path)
    return path


def ramp(shape, dtype=np.int16):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def shade(values):
    """Change a plane in a way that shows every flip and transposition."""
    rows, columns = np.mgrid[: values.shape[1], : values.shape[2]]
    blurred = (values + np.roll(values, 1, axis=1) + 2 * np.roll(values, 1, axis=2)) / 4
    return (blurred * (1 + rows / 50 + columns / 90)).astype(np.float32)


def convert(source, target, change=lambda values: values, derivation=NOTHING):
    with open_scan(source) as reader, create_scan(reader, target, derivation) as writer:
        for plane in range(reader.info.planes):
            writer.write(plane, change(reader.read(plane)))
    return target


def stored(path):
    return np.asanyarray(nib.load(path).dataobj.get_unscaled())


def canonical(path):
    return nib.as_closest_canonical(nib.load(path)).get_fdata()


def reorient(image, axes, signs):
    target = np.array([[axes.index(world), signs[world]] for world in range(3)])
    return image.as_reoriented(target)


@pytest.mark.parametrize("code", ORIENTATIONS)
def test_a_restored_brain_does_not_depend_on_its_orientation(tmp_path, code):
    folder = SHARED / "formats" / "nifti"
    if not folder.is_dir():
        pytest.skip(f"no scans in {folder}")
    one = convert(folder / f"{code}.nii.gz", tmp_path / "one.nii", shade)
    reference = convert(folder / "RAS.nii.gz", tmp_path / "reference.nii", shade)
    np.testing.assert_array_equal(canonical(one), canonical(reference))


def test_the_result_is_the_same_in_all_48_orientations(tmp_path):
    affine = np.diag([1.5, 2.0, 3.0, 1.0])
    affine[:3, 3] = -20, 10, 5
    image = nib.Nifti1Image(ramp((4, 5, 3), np.float32), affine)
    nib.save(image, tmp_path / "reference.nii")
    convert(tmp_path / "reference.nii", tmp_path / "expected.nii", shade)
    for number, (axes, signs) in enumerate(
        product(permutations(range(3)), product((1, -1), repeat=3))
    ):
        nib.save(reorient(image, axes, signs), tmp_path / f"{number}.nii")
        result = convert(tmp_path / f"{number}.nii", tmp_path / f"out{number}.nii", shade)
        np.testing.assert_array_equal(canonical(result), canonical(tmp_path / "expected.nii"))


def test_planes_are_axial_with_left_to_the_right_and_front_on_top(tmp_path):
    volume = np.zeros((3, 4, 5), np.float32)  # RAS: x to the right, y to the front, z up
    volume[0, 3, 4] = 1  # left, front, top
    with open_scan(save(tmp_path / "a.nii", volume)) as reader:
        top = reader.read(4)[0]
    assert top.shape == (4, 3)
    assert top[0, 2] == 1


def test_a_single_coronal_plane_is_not_cut_into_lines(tmp_path):
    with open_scan(save(tmp_path / "a.nii", ramp((6, 1, 4)))) as reader:
        assert (reader.info.planes, reader.info.height, reader.info.width) == (1, 4, 6)


def test_an_image_with_two_axes_is_one_plane(tmp_path):
    source = save(tmp_path / "a.nii", ramp((6, 4)))
    with open_scan(source) as reader:
        assert (reader.info.planes, reader.info.height, reader.info.width) == (1, 4, 6)
    result = convert(source, tmp_path / "b.nii")
    assert nib.load(result).shape == (6, 4)


def test_planes_of_later_volumes_follow_those_of_the_first(tmp_path):
    volume = ramp((2, 3, 4, 5))
    with open_scan(save(tmp_path / "a.nii", volume, np.diag([-1, -1, 1, 1]))) as reader:
        assert reader.info.planes == 20
        np.testing.assert_array_equal(reader.read(4 * 3 + 1)[0], volume[:, :, 1, 3].T)


def test_a_box_is_the_cut_of_the_plane(tmp_path):
    with open_scan(save(tmp_path / "a.nii.gz", ramp((9, 8, 3)))) as reader:
        box = Box(2, 1, 5, 6)
        np.testing.assert_array_equal(reader.read(1, box), reader.read(1)[(..., *box.slices)])


def test_spacing_is_told_in_millimetres_of_plane_row_and_column(tmp_path):
    image = nib.Nifti1Image(ramp((4, 5, 3)), np.diag([0.001, 0.002, 0.003, 1]))
    image.header.set_xyzt_units("meter", "sec")
    nib.save(image, tmp_path / "a.nii")
    with open_scan(tmp_path / "a.nii") as reader:
        assert reader.info.spacing_mm == pytest.approx((3, 2, 1), rel=1e-6)


def test_the_unit_is_only_what_the_user_says(tmp_path):
    source = save(tmp_path / "a.nii", ramp((4, 5, 3)))
    with open_scan(source) as reader:
        assert (reader.info.unit, reader.info.modality) == (None, None)
    with open_scan(source, assume_unit="HU") as reader:
        assert reader.info.unit == "HU"


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64, np.uint64, np.float64])
def test_numbers_that_float32_cannot_hold_come_back_exactly(tmp_path, dtype):
    numbers = (2.0**30 + 7 * np.arange(60)).reshape(3, 4, 5)
    source = save(tmp_path / "a.nii", (numbers + np.pi * (dtype == np.float64)).astype(dtype))
    np.testing.assert_array_equal(stored(convert(source, tmp_path / "b.nii")), stored(source))


def test_a_scaling_that_float32_cannot_undo_comes_back_exactly(tmp_path):
    source = save(tmp_path / "a.nii", ramp((3, 4, 5)), slope=1e-4, intercept=1e6)
    np.testing.assert_array_equal(stored(convert(source, tmp_path / "b.nii")), stored(source))


def test_changed_integers_are_rounded_to_the_steps_of_the_source(tmp_path):
    source = save(tmp_path / "a.nii", ramp((3, 4, 5)), slope=0.5, intercept=-10.0)
    result = nib.load(convert(source, tmp_path / "b.nii", lambda values: values + 0.3))
    np.testing.assert_array_equal(np.unique(result.get_fdata() * 2 % 1), [0])
    # 0.3 is nearer to the step of 0.5 than to 0
    np.testing.assert_allclose(result.get_fdata(), nib.load(source).get_fdata() + 0.5)


def test_values_beyond_the_type_are_clipped_and_do_not_wrap(tmp_path):
    source = save(tmp_path / "a.nii", ramp((3, 4, 5), np.uint8))
    result = convert(source, tmp_path / "b.nii", lambda values: values * 1000 - 5000)
    assert (stored(result).min(), stored(result).max()) == (0, 255)


def test_floats_stay_floats_to_the_last_bit(tmp_path):
    values = np.random.default_rng(0).normal(0, 1e3, (5, 4, 3)).astype(np.float32)
    result = convert(save(tmp_path / "a.nii", values), tmp_path / "b.nii", lambda v: v * 3)
    assert stored(result).dtype == np.float32
    np.testing.assert_array_equal(stored(result), values * np.float32(3))


def test_nan_is_padding_and_comes_back(tmp_path):
    values = ramp((5, 4, 3), np.float32)
    values[1, 2, 0] = np.nan
    source = save(tmp_path / "a.nii", values, np.diag([-1, -1, 1, 1]))
    with open_scan(source) as reader:
        assert np.argwhere(reader.padding(0)).tolist() == [[2, 1]]
        assert not reader.padding(1).any()
    np.testing.assert_array_equal(stored(convert(source, tmp_path / "b.nii")), values)


def test_nan_is_not_written_as_an_integer(tmp_path):
    source = save(tmp_path / "a.nii", ramp((3, 4, 5)))
    with pytest.raises(ValueError, match="NaN cannot be stored as int16"):
        convert(source, tmp_path / "b.nii", lambda values: values * np.float32(np.nan))
    assert not (tmp_path / "b.nii").exists()


@pytest.mark.parametrize("name", ["example4d.nii.gz", "example_nifti2.nii.gz", "functional.nii"])
def test_header_and_extensions_of_a_real_file_survive(tmp_path, name):
    source = SHARED / "formats" / "nifti" / name
    if not source.is_file():
        pytest.skip(f"no scan at {source}")
    before, after = nib.load(source), nib.load(convert(source, tmp_path / name))
    for field in before.header:
        if field not in ("vox_offset", "magic"):
            assert before.header[field].tobytes() == after.header[field].tobytes(), field
    kept = [ext.get_content() for ext in before.header.extensions]
    assert [ext.get_content() for ext in after.header.extensions][:-1] == kept


def test_what_was_done_is_a_comment_in_the_header(tmp_path):
    derivation = Derivation("ct-denoise", "noise was removed", "x", weights_sha256="ab12")
    source = save(tmp_path / "a.nii", ramp((3, 4, 5)))
    result = nib.load(convert(source, tmp_path / "b.nii", derivation=derivation))
    comment = result.header.extensions[-1]
    assert comment.get_code() == 6
    assert b"noise was removed" in comment.get_content()
    assert b"ab12" in comment.get_content()


def test_a_big_endian_file_stays_big_endian(tmp_path):
    image = nib.Nifti1Image(ramp((3, 4, 5)), np.eye(4)).header.as_byteswapped(">")
    nib.save(nib.Nifti1Image(ramp((3, 4, 5)), np.eye(4), image), tmp_path / "a.nii")
    result = convert(tmp_path / "a.nii", tmp_path / "b.nii", lambda values: values + 1)
    assert nib.load(result).header.endianness == ">"
    np.testing.assert_array_equal(stored(result), ramp((3, 4, 5)) + 1)


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair])
def test_a_pair_comes_back_as_a_pair(tmp_path, kind):
    source = save(tmp_path / "a.hdr", ramp((3, 4, 5)), kind=kind)
    result = convert(source, tmp_path / "b.hdr", lambda values: values + 1)
    assert (tmp_path / "b.img").is_file()
    np.testing.assert_array_equal(stored(result), ramp((3, 4, 5)) + 1)


@pytest.mark.parametrize("packed", ["", ".gz"])
def test_a_pair_in_a_folder_is_one_scan_named_without_its_suffix(tmp_path, packed):
    save(tmp_path / "a.hdr", ramp((3, 4, 5)), kind=nib.Nifti1Pair)
    for name in ("a.hdr", "a.img"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).unlink()
        (tmp_path / f"{name}{packed}").write_bytes(gzip.compress(data) if packed else data)
    [source] = find_scans(tmp_path)
    assert (source.name, source.suffix) == ("a", f".hdr{packed}")
    result = convert(source.paths[0], tmp_path / f"b.hdr{packed}", lambda values: values + 1)
    assert (tmp_path / f"b.img{packed}").is_file()
    np.testing.assert_array_equal(stored(result), ramp((3, 4, 5)) + 1)


def test_a_pair_opens_by_its_voxels_too(tmp_path):
    save(tmp_path / "a.hdr", ramp((3, 4, 5)), kind=nib.Nifti1Pair)
    with open_scan(tmp_path / "a.img") as reader:
        assert reader.info.planes == 5


def test_a_gzipped_result_is_the_same_each_time(tmp_path):
    source = save(tmp_path / "a.nii.gz", ramp((3, 4, 5)))
    first = convert(source, tmp_path / "b.nii.gz").read_bytes()
    assert first == convert(source, tmp_path / "c.nii.gz").read_bytes()
    assert first[:2] == b"\x1f\x8b"


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1)])
def test_a_finer_grid_keeps_every_place_in_the_world(tmp_path, axes, signs):
    affine = np.array([[2, 0.3, 0, -9], [-0.2, 1.5, 0.1, 4], [0.1, 0, 3, 7], [0, 0, 0, 1.0]])
    image = reorient(nib.Nifti1Image(ramp((4, 5, 3)), affine), axes, signs)
    image.header.set_qform(np.diag([2, 3, 4, 1.0]), 1)
    nib.save(image, tmp_path / "a.nii")
    finer = Derivation("pathology-x4", "made finer", "x", scale=4)
    enlarge = lambda values: values.repeat(4, 1).repeat(4, 2)  # noqa: E731
    result = nib.load(convert(tmp_path / "a.nii", tmp_path / "b.nii", enlarge, finer))
    for coded in ("get_sform", "get_qform"):
        before, after = getattr(image, coded)(), getattr(result, coded)()
        voxel = np.array(np.nonzero(np.ones(result.shape)))  # each of the fine grid
        world = nib.affines.apply_affine(after, voxel.T)
        found = np.rint(nib.affines.apply_affine(np.linalg.inv(before), world)).astype(int)
        expected = np.asanyarray(image.dataobj)[tuple(found.T)]
        np.testing.assert_array_equal(np.asanyarray(result.dataobj)[tuple(voxel)], expected)


def test_an_axis_longer_than_nifti_1_holds_is_refused(tmp_path):
    source = save(tmp_path / "a.nii", np.zeros((20000, 2, 1), np.uint8))
    with open_scan(source) as reader, pytest.raises(OutputError, match="80000 voxels"):
        create_scan(reader, tmp_path / "b.nii", Derivation("t", "d", "l", scale=4))


def test_boxes_in_any_order_make_the_plane(tmp_path):
    source = save(tmp_path / "a.nii", ramp((6, 4, 2)))
    with open_scan(source) as reader, create_scan(reader, tmp_path / "b.nii", NOTHING) as writer:
        for plane, top, left in [(1, 2, 3), (0, 0, 0), (1, 0, 0), (0, 2, 3), (0, 2, 0), (1, 2, 0)]:
            box = Box(top, left, 2, 6 if top == 0 else 3)
            writer.write(plane, reader.read(plane, box), box)
    np.testing.assert_array_equal(stored(tmp_path / "b.nii"), ramp((6, 4, 2)))


def test_a_plane_that_was_never_written_is_a_mistake_and_leaves_no_file(tmp_path):
    source = save(tmp_path / "a.nii", ramp((6, 4, 2)))
    with open_scan(source) as reader:
        writer = create_scan(reader, tmp_path / "b.nii", NOTHING)
        with pytest.raises(ValueError, match="plane 1"), writer:
            writer.write(0, reader.read(0))
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii"]


def test_a_run_that_fails_leaves_no_file(tmp_path):
    source = save(tmp_path / "a.nii.gz", ramp((6, 4, 2)))
    with open_scan(source) as reader:
        writer = create_scan(reader, tmp_path / "b.nii.gz", NOTHING)
        with pytest.raises(KeyboardInterrupt), writer:
            raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii.gz"]


def test_the_input_is_never_the_output(tmp_path):
    source = save(tmp_path / "a.nii", ramp((6, 4, 2)))
    with open_scan(source) as reader, pytest.raises(OutputError, match="is the input"):
        create_scan(reader, source, NOTHING, overwrite=True)


@pytest.mark.parametrize("scale", [1, 2])
def test_nifti_tool_finds_no_fault_in_the_header(tmp_path, scale):
    tool = shutil.which("nifti_tool")
    if tool is None:
        pytest.skip("nifti_tool is not installed (apt-get install nifti-bin)")
    source = save(tmp_path / "a.nii.gz", ramp((6, 4, 2)), slope=2.0)
    enlarge = lambda values: values.repeat(scale, 1).repeat(scale, 2)  # noqa: E731
    result = convert(source, tmp_path / "b.nii.gz", enlarge, Derivation("t", "d", "l", scale=scale))
    check = [tool, "-check_hdr", "-check_nim", "-infiles", str(result)]
    told = subprocess.run(check, capture_output=True, text=True, check=True)
    assert "GOOD" in told.stdout + told.stderr
    assert "FAIL" not in told.stdout + told.stderr


def test_the_written_gzip_level_is_six(tmp_path):
    source = save(tmp_path / "a.nii.gz", ramp((60, 40, 20)))
    result = convert(source, tmp_path / "b.nii.gz").read_bytes()
    header = 10  # bytes that tell the system
    assert result[header:] == gzip.compress(gzip.decompress(result), 6)[header:]


def deviations(values):
    """Return standard deviations of 0.5 to a few units, none of them whole."""
    return np.abs(values.astype(np.float32)) / np.float32(500) + np.float32(0.51)


@pytest.mark.parametrize("dtype", [np.uint8, ">i2", np.int16, np.float64])
def test_standard_deviations_are_float32_whatever_the_source(tmp_path, dtype):
    array = ramp((5, 6, 4), np.dtype(dtype))
    source = save(tmp_path / "in.nii", array, slope=2.0, intercept=-100.0)
    made = Derivation("ct-denoise", "deviations", "sd", method="uncertainty")
    target = convert(source, tmp_path / "out.nii", deviations, made)
    before, after = nib.load(source), nib.load(target)
    assert after.header.get_data_dtype().newbyteorder("=") == np.float32
    assert after.header.endianness == before.header.endianness
    assert (after.dataobj.slope, after.dataobj.inter) == (1, 0)
    np.testing.assert_array_equal(after.get_fdata(), deviations(before.get_fdata()))
    np.testing.assert_array_equal(after.affine, before.affine)


def test_nifti_tool_takes_standard_deviations(tmp_path):
    source = save(tmp_path / "in.nii.gz", ramp((5, 6, 4)))
    made = Derivation("ct-denoise", "deviations", "sd", method="uncertainty")
    target = convert(source, tmp_path / "out.nii.gz", deviations, made)
    tool = shutil.which("nifti_tool") or pytest.skip("nifti_tool is not installed")
    for check in ("-check_hdr", "-check_nim"):
        run = subprocess.run([tool, check, "-infiles", target], capture_output=True, text=True)
        assert "header IS GOOD" in run.stdout or "nifti_image IS GOOD" in run.stdout, run.stdout
