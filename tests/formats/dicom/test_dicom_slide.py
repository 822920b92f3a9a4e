import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless

from ratcli.errors import OutputError, UnreadableInputError
from ratcli.formats import create_scan, find_scans, open_scan
from ratcli.formats.dicom.slide_reader import SlideReader
from ratcli.scan import Box, Derivation
from tests.formats.child_memory import open_in_child
from tests.formats.dicom_scans import DERIVATION, save_dicom, shared, uid, validator_errors
from tests.formats.dicom_slides import picture, save_parts, slide_dataset

FINER = dataclasses.replace(DERIVATION, task="pathology-sr", method="resample", scale=4)


def restore_slide(path: Path, out: Path, derivation: Derivation, step: int = 5) -> Path:
    """Copy a slide box by box; a finer grid repeats its pixels."""
    scale = derivation.scale
    with open_scan(path) as reader, create_scan(reader, out, derivation) as writer:
        info = reader.info
        for plane in range(info.planes):
            for top in range(0, info.height, step):
                for left in range(0, info.width, step + 2):
                    height, width = min(step, info.height - top), min(step + 2, info.width - left)
                    box = Box(top, left, height, width)
                    values = reader.read(plane, box).repeat(scale, 1).repeat(scale, 2)
                    writer.write(plane, values, box.scaled(scale))
    return out


def pixels(path: Path) -> np.ndarray:
    values = open_scan(path).read(0)
    return np.rint(values.transpose(1, 2, 0) * 255).astype(np.uint8)


def test_a_slide_is_one_plane_put_together_from_its_tiles(tmp_path: Path) -> None:
    path = save_dicom(slide_dataset(picture()), tmp_path / "in.dcm")
    info = open_scan(path).info
    assert (info.planes, info.channels, info.height, info.width) == (1, 3, 21, 27)
    assert info.spacing_mm == (None, 0.0008, 0.0004)
    assert info.unit == "RGB"
    assert np.array_equal(pixels(path), picture())


def test_a_box_across_tiles_is_the_same_part_of_the_slide(tmp_path: Path) -> None:
    reader = open_scan(save_dicom(slide_dataset(picture()), tmp_path / "in.dcm"))
    box = Box(5, 6, 11, 14)
    assert np.array_equal(reader.read(0, box), reader.read(0)[:, 5:16, 6:20])


def test_a_slide_comes_back_to_the_bit(tmp_path: Path) -> None:
    path = save_dicom(slide_dataset(picture()), tmp_path / "in.dcm")
    out = restore_slide(path, tmp_path / "out.dcm", DERIVATION)
    assert np.array_equal(pixels(out), picture())
    assert pydicom.dcmread(out).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_four_times_as_fine_matrix_spacing_and_origin_follow(tmp_path: Path) -> None:
    path = save_dicom(slide_dataset(picture(), PyramidUID=uid("p")), tmp_path / "in.dcm")
    out = restore_slide(path, tmp_path / "out.dcm", FINER)
    dataset = pydicom.dcmread(out)
    assert (dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns) == (84, 108)
    assert (dataset.Rows, dataset.Columns) == (8, 8)
    assert list(dataset.ImageType) == ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
    assert "PyramidUID" not in dataset
    groups = dataset.SharedFunctionalGroupsSequence[0]
    assert list(groups.PixelMeasuresSequence[0].PixelSpacing) == [0.0002, 0.0001]
    reference = groups.DerivationImageSequence[0].SourceImageSequence[0]
    assert reference.SpatialLocationsPreserved == "NO"
    # Rows run along -y (0.0004 apart), columns along -x (0.0008): by 0.375 of each.
    origin = dataset.TotalPixelMatrixOriginSequence[0]
    assert float(origin.XOffsetInSlideCoordinateSystem) == pytest.approx(10 + 0.375 * 0.0008)
    assert float(origin.YOffsetInSlideCoordinateSystem) == pytest.approx(20 + 0.375 * 0.0004)
    assert np.array_equal(pixels(out)[::4, ::4], picture())


def test_a_compressed_slide_is_written_in_jpeg_2000_without_loss(tmp_path: Path) -> None:
    path = shared("formats", "dicom", "wsi", "sm_image_jpegls.dcm")
    out = restore_slide(path, tmp_path / "out.dcm", DERIVATION, step=20)
    assert pydicom.dcmread(out).file_meta.TransferSyntaxUID == JPEG2000Lossless
    assert np.array_equal(pixels(out), pixels(path))


def test_another_decoder_agrees_on_the_compressed_tiles(tmp_path: Path) -> None:
    path = shared("formats", "dicom", "wsi", "sm_image_jpegls.dcm")
    out = restore_slide(path, tmp_path / "alone" / "out.dcm", FINER, step=20)
    with open_in_openslide(out) as slide:
        assert slide.dimensions == (200, 200)
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.499 / 4)
        region = np.asarray(slide.read_region((30, 40), 0, (100, 50)))[..., :3]
    ours = open_scan(out).read(0, Box(40, 30, 50, 100))
    assert np.array_equal(region, np.rint(ours.transpose(1, 2, 0) * 255).astype(np.uint8))


def open_in_openslide(path: Path) -> Any:
    openslide = pytest.importorskip("openslide", reason="OpenSlide 4 is not installed")
    return openslide.OpenSlide(path)


def test_a_finer_slide_gets_the_levels_that_viewers_need(tmp_path: Path) -> None:
    image = picture(250, 330)
    image[:] = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    path = save_dicom(slide_dataset(image, tile=64), tmp_path / "in" / "in.dcm")
    out = restore_slide(path, tmp_path / "out" / "a.dcm", FINER, step=70)
    names = sorted(file.name for file in out.parent.iterdir())
    assert names == ["a.dcm", "a_level1.dcm"]
    with open_in_openslide(out) as slide:
        assert slide.level_dimensions == ((1320, 1000), (330, 250))
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.4 / 4)
        assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(0.8 / 4)
        coarse = np.asarray(slide.read_region((0, 0), 1, (330, 250)))[..., :3]
    assert np.array_equal(coarse, image)  # every pixel was repeated 4 x 4


def test_a_level_is_an_image_of_its_own_in_the_series_and_in_place(tmp_path: Path) -> None:
    path = save_dicom(slide_dataset(picture(30, 330), tile=64), tmp_path / "in.dcm")
    out = restore_slide(path, tmp_path / "a.dcm", FINER, step=70)
    fine, coarse = pydicom.dcmread(out), pydicom.dcmread(tmp_path / "a_level1.dcm")
    assert fine.SeriesInstanceUID == coarse.SeriesInstanceUID
    assert fine.SOPInstanceUID != coarse.SOPInstanceUID
    origin, before = (
        item.TotalPixelMatrixOriginSequence[0] for item in (coarse, pydicom.dcmread(path))
    )
    assert origin.XOffsetInSlideCoordinateSystem == before.XOffsetInSlideCoordinateSystem
    measures = coarse.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert list(measures.PixelSpacing) == [0.0008, 0.0004]
    assert validator_errors(tmp_path / "a_level1.dcm") <= validator_errors(path)


def test_a_real_slide_is_a_pyramid_in_openslide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ratcli.formats.dicom.slide.LARGEST_LAST", 100)
    path = shared("formats", "dicom", "wsi", "sm_image_jpegls.dcm")
    out = restore_slide(path, tmp_path / "out" / "a.dcm", FINER, step=20)
    with open_in_openslide(out) as slide:
        assert slide.level_dimensions == ((200, 200), (50, 50))
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.499 / 4)
        shown = np.asarray(slide.read_region((80, 40), 1, (30, 20)))[..., :3]
    assert np.array_equal(shown, pixels(path)[10:30, 20:50])


def test_wsidicom_opens_the_folder_as_one_pyramid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wsidicom = pytest.importorskip("wsidicom", reason="wsidicom is not installed")
    monkeypatch.setattr("ratcli.formats.dicom.slide.LARGEST_LAST", 100)
    path = shared("formats", "dicom", "wsi", "sm_image_jpegls.dcm")
    out = restore_slide(path, tmp_path / "out" / "a.dcm", FINER, step=20)
    with wsidicom.WsiDicom.open(out.parent) as slide:
        assert [level.size.to_tuple() for level in slide.pyramid] == [(200, 200), (50, 50)]
        assert slide.mpp.width == pytest.approx(0.499 / 4)
        shown = np.asarray(slide.read_region((10, 20), 0, (30, 25)))
    assert np.array_equal(shown, pixels(out)[20:45, 10:40])


def test_a_level_whose_name_is_taken_keeps_the_slide_from_being_written(tmp_path: Path) -> None:
    path = save_dicom(slide_dataset(picture(30, 330), tile=64), tmp_path / "in.dcm")
    (tmp_path / "a_level1.dcm").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"a_level1\.dcm already exists"):
        restore_slide(path, tmp_path / "a.dcm", FINER, step=70)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a_level1.dcm", "in.dcm"]


@pytest.mark.parametrize("name", ["sm_image.dcm", "boxes_0.dcm", "BPAEC_12_0"])
def test_a_real_slide_gets_no_error_that_it_did_not_have(tmp_path: Path, name: str) -> None:
    path = shared("formats", "dicom", "wsi", name)
    out = restore_slide(path, tmp_path / "out.dcm", FINER, step=30)
    assert validator_errors(out) <= validator_errors(path)


def test_sparse_tiles_are_placed_by_their_positions_and_the_rest_is_white(
    tmp_path: Path,
) -> None:
    image = picture(16, 16)
    dataset = slide_dataset(image, DimensionOrganizationType="TILED_SPARSE", NumberOfFrames=3)
    places = [(1, 1), (1, 9), (9, 1)]
    groups = []
    for row, column in places:
        place, group = Dataset(), Dataset()
        place.RowPositionInTotalImagePixelMatrix = row
        place.ColumnPositionInTotalImagePixelMatrix = column
        group.PlanePositionSlideSequence = [place]
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = groups
    dataset.PixelData = dataset.PixelData[: 3 * 8 * 8 * 3]
    path = save_dicom(dataset, tmp_path / "in.dcm")
    expected = image.copy()
    expected[8:, 8:] = 255
    assert np.array_equal(pixels(path), expected)
    out = restore_slide(path, tmp_path / "out.dcm", DERIVATION)
    assert np.array_equal(pixels(out), expected)


def test_a_slide_in_several_files_is_read_as_one_and_written_as_one(tmp_path: Path) -> None:
    folder = save_parts(tmp_path / "in", picture())
    (source,) = find_scans(folder)
    assert (source.is_folder, source.notices) == (False, ())
    with open_scan(source) as reader:
        assert np.array_equal(np.rint(reader.read(0) * 255), picture().transpose(2, 0, 1))
    out = restore_slide(folder, tmp_path / "out.dcm", DERIVATION)
    assert np.array_equal(pixels(out), picture())
    dataset = pydicom.dcmread(out)
    assert "ConcatenationUID" not in dataset
    assert dataset.NumberOfFrames == 12
    sources = dataset.SharedFunctionalGroupsSequence[0].DerivationImageSequence[0]
    assert len(sources.SourceImageSequence) == 3


def test_a_part_of_a_slide_alone_is_refused(tmp_path: Path) -> None:
    folder = save_parts(tmp_path, picture())
    (folder / "7.dcm").unlink()
    with pytest.raises(UnreadableInputError, match="in 3 files, but 2 were found"):
        open_scan(folder)


def test_of_a_slide_in_a_folder_the_finest_level_is_read(tmp_path: Path) -> None:
    label = ["ORIGINAL", "PRIMARY", "LABEL", "NONE"]
    levels = {"fine": (40, 40), "coarse": (20, 20), "label": (60, 60)}
    for name, size in levels.items():
        changes = {"ImageType": label} if name == "label" else {}
        dataset = slide_dataset(picture(*size), SOPInstanceUID=uid(name), **changes)
        save_dicom(dataset, tmp_path / f"{name}.dcm")
    (source,) = find_scans(tmp_path)
    assert source.name == "fine"
    assert source.notices == ("the slide's 2 coarser or other images were left out",)


def test_a_slide_with_missing_tiles_is_refused(tmp_path: Path) -> None:
    dataset = slide_dataset(picture(), TotalPixelMatrixRows=2100)
    with pytest.raises(UnreadableInputError, match="12 tiles, but its size needs 1052"):
        open_scan(save_dicom(dataset, tmp_path / "in.dcm"))


def test_padding_of_a_huge_slide_takes_no_memory(tmp_path: Path) -> None:
    reader = open_scan(save_dicom(slide_dataset(picture()), tmp_path / "in.dcm"))
    assert isinstance(reader, SlideReader)
    assert reader.padding(0).strides == (0, 0)


def test_a_slide_closed_early_leaves_nothing(tmp_path: Path) -> None:
    path = save_dicom(slide_dataset(picture()), tmp_path / "in.dcm")
    with (
        pytest.raises(ValueError, match="before all of it was written"),
        open_scan(path) as reader,
        create_scan(reader, tmp_path / "out.dcm", DERIVATION) as writer,
    ):
        writer.write(0, reader.read(0, Box(0, 0, 9, 9)), Box(0, 0, 9, 9))
    assert [path.name for path in tmp_path.iterdir()] == ["in.dcm"]


def test_reading_more_of_a_slide_than_the_limit_is_refused(tmp_path: Path) -> None:
    huge = slide_dataset(picture(8, 8), TotalPixelMatrixRows=8, TotalPixelMatrixColumns=8)
    path = save_dicom(huge, tmp_path / "in.dcm")
    with pytest.raises(UnreadableInputError, match="more than the limit"):
        open_scan(path, max_pixels=32)


def test_a_matrix_that_claims_billions_of_tiles_takes_no_memory(tmp_path: Path) -> None:
    dataset = slide_dataset(
        picture(), TotalPixelMatrixRows=(1 << 32) - 1, TotalPixelMatrixColumns=(1 << 32) - 1
    )
    opened = open_in_child(save_dicom(dataset, tmp_path / "in.dcm"))
    assert opened.outcome.startswith("UnreadableInputError")
    assert opened.peak_bytes < 300 << 20
