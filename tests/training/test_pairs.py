"""Pairs of low and full quality: matched, checked, learned from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from training_scans import RECIPE, body, noisy, write_nifti, write_pairs, write_series

from ratcli.errors import InputNotFoundError, UnsuitableInputError
from ratcli.partition import get_partitioner
from ratcli.partition.cache import CachedPartitioner
from ratcli.tasks import get_task
from ratcli.training.pairs import PairExamples, find_pairs, is_paired, read_pairs

CT = get_task("ct-denoise")


def refusal(root: Path) -> str:
    with pytest.raises((UnsuitableInputError, InputNotFoundError)) as caught:
        read_pairs(find_pairs(root, CT), CT)
    return str(caught.value)


def test_low_and_full_folders_are_pairs(tmp_path: Path) -> None:
    assert not is_paired(tmp_path)
    write_pairs(tmp_path, 1)
    assert is_paired(tmp_path)


def test_files_are_matched_by_name(tmp_path: Path) -> None:
    write_pairs(tmp_path, 3)
    pairs = find_pairs(tmp_path, CT)
    assert [(pair.low.key, pair.full.key) for pair in pairs] == [(f"p{n}",) * 2 for n in range(3)]
    assert [pair.patient for pair in pairs] == ["p0", "p1", "p2"]


def test_formats_may_differ(tmp_path: Path) -> None:
    hu = body()
    write_series(tmp_path / "low" / "one", noisy(hu), "A")
    write_nifti(tmp_path / "full" / "one.nii.gz", hu)
    (plane, _) = read_pairs(find_pairs(tmp_path, CT), CT)
    assert plane.low.shape == plane.full.values.shape


def test_dicom_series_of_other_names_are_matched_by_position(tmp_path: Path) -> None:
    for patient, first_mm in (("A", 0.0), ("B", 500.0)):
        hu = body(planes=3)
        write_series(tmp_path / "low" / f"quarter_{patient}", noisy(hu), patient, first_mm)
        write_series(tmp_path / "full" / f"usual_{patient}", hu, patient, first_mm)
    pairs = find_pairs(tmp_path, CT)
    assert {(pair.low.key, pair.full.key) for pair in pairs} == {
        ("quarter_A", "usual_A"),
        ("quarter_B", "usual_B"),
    }


def test_planes_are_matched_by_position_where_one_scan_has_more(tmp_path: Path) -> None:
    hu = body(planes=5)
    write_series(tmp_path / "low" / "a", noisy(hu[1:3]), "A", first_mm=3.0)
    write_series(tmp_path / "full" / "a", hu, "A")
    planes = read_pairs(find_pairs(tmp_path, CT), CT)
    assert [int(np.abs(pair.full.values[0] - hu[n]).max()) for n, pair in enumerate(planes, 1)] == [
        0,
        0,
    ]


def test_two_scans_of_a_dicom_patient_are_one_patient(tmp_path: Path) -> None:
    for name, patient in (("a", "A"), ("b", "A"), ("c", "C")):
        write_series(tmp_path / "low" / name, noisy(body()), patient)
        write_series(tmp_path / "full" / name, body(), patient)
    patients = [pair.patient for pair in find_pairs(tmp_path, CT)]
    assert patients[0] == patients[1] != patients[2]
    assert "A" not in patients


def test_a_scan_without_a_partner_is_a_clear_error(tmp_path: Path) -> None:
    write_pairs(tmp_path, 2)
    write_nifti(tmp_path / "low" / "alone.nii.gz", body())
    assert "alone in low/ fits no scan in full/" in refusal(tmp_path)


def test_planes_are_matched_by_their_place(tmp_path: Path) -> None:
    """The second scan lacks the last plane."""
    write_nifti(tmp_path / "low" / "a.nii.gz", noisy(body(planes=3)))
    write_nifti(tmp_path / "full" / "a.nii.gz", body(planes=2))
    assert len(read_pairs(find_pairs(tmp_path, CT), CT)) == 2


def test_another_matrix_is_a_clear_error(tmp_path: Path) -> None:
    write_nifti(tmp_path / "low" / "a.nii.gz", noisy(body(side=48)))
    write_nifti(tmp_path / "full" / "a.nii.gz", body(side=56))
    assert "56 x 56 pixels in full/, but those in low/ need 48 x 48" in refusal(tmp_path)


def test_the_same_scan_twice_is_a_clear_error(tmp_path: Path) -> None:
    for part in ("low", "full"):
        write_nifti(tmp_path / part / "a.nii.gz", body())
    assert "the same in low/ and in full/" in refusal(tmp_path)


def test_scans_of_different_things_are_a_clear_error(tmp_path: Path) -> None:
    hu = body()
    write_nifti(tmp_path / "low" / "a.nii.gz", np.where(hu > -500, -1000, 40))
    write_nifti(tmp_path / "full" / "a.nii.gz", hu)
    assert "does not show the same in low/ and in full/" in refusal(tmp_path)


def test_another_unit_is_a_clear_error(tmp_path: Path) -> None:
    write_nifti(tmp_path / "low" / "a.nii.gz", np.maximum(body(), 0))
    write_nifti(tmp_path / "full" / "a.nii.gz", body())
    assert refusal(tmp_path).startswith("a: values from 0 to 110 do not look like HU")


def test_the_hint_names_no_option_that_training_does_not_have(tmp_path: Path) -> None:
    page = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    for part in ("low", "full"):
        (tmp_path / part).mkdir()
        with tifffile.TiffWriter(tmp_path / part / "two.tif") as file:
            for image in (page, page[::-1]):
                file.write(image, photometric="rgb", metadata=None)
    with pytest.raises(UnsuitableInputError, match="two: the file has several images") as caught:
        read_pairs(find_pairs(tmp_path, CT), CT)
    assert "--" not in caught.value.hint


def test_an_empty_folder_is_a_clear_error(tmp_path: Path) -> None:
    write_nifti(tmp_path / "low" / "a.nii.gz", body())
    (tmp_path / "full").mkdir()
    assert "full holds no" in refusal(tmp_path)


def test_an_example_is_the_pair_with_the_regions_of_the_low_plane(tmp_path: Path) -> None:
    write_pairs(tmp_path, 1)
    planes = read_pairs(find_pairs(tmp_path, CT), CT)
    partitioner = get_partitioner("superpixel")
    example = PairExamples(CT, RECIPE, planes[:1], partitioner).make(0)
    assert np.array_equal(example.degraded, CT.normalise(planes[0].low))
    assert np.array_equal(example.target, CT.normalise(planes[0].full.values))
    assert np.array_equal(example.labels, partitioner.partition(example.degraded).labels)


def test_a_partition_is_kept_for_the_next_time(tmp_path: Path) -> None:
    write_pairs(tmp_path, 1)
    planes = read_pairs(find_pairs(tmp_path, CT), CT)[:1]
    cached = CachedPartitioner(get_partitioner("superpixel"), tmp_path / "partitions")
    source = PairExamples(CT, replace(RECIPE, seed=1), planes, cached)
    first, again = source.make(0), source.make(1)
    assert len(list((tmp_path / "partitions").iterdir())) == 1
    assert np.array_equal(first.labels, again.labels)
