"""Each header is parsed once, and what is kept of it stays bounded and current."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from ratcli.formats import find_scans, open_scan
from ratcli.formats.dicom import files, headers
from ratcli.formats.dicom.files import read_header
from tests.formats.dicom_scans import dicom_dataset, ramp, restore, save_dicom, save_series, stored


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count how often each image's header is parsed, by its identifier."""
    counts: Counter[str] = Counter()
    parse = files.read_dataset

    def counted(*arguments: object, **options: object) -> Dataset:
        dataset = parse(*arguments, **options)
        if "SOPInstanceUID" in dataset:
            counts[str(dataset.SOPInstanceUID)] += 1
        return dataset

    monkeypatch.setattr(files, "read_dataset", counted)
    return counts


def test_finding_reading_and_writing_a_series_parses_each_header_once(
    tmp_path: Path, parses: Counter[str]
) -> None:
    series = save_series(tmp_path / "ct", 5)
    (source,) = find_scans(series)
    restore(source, tmp_path / "out", lambda values: values + 1)
    assert list(parses.values()) == [1] * 5


def test_a_single_file_is_parsed_once(tmp_path: Path, parses: Counter[str]) -> None:
    path = save_dicom(dicom_dataset(ramp()), tmp_path / "in.dcm")
    restore(path, tmp_path / "out.dcm", lambda values: values + 1)
    assert list(parses.values()) == [1]


def test_headers_beyond_the_bound_are_parsed_again_and_not_kept(
    tmp_path: Path, parses: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    series = save_series(tmp_path / "ct", 5)
    size = read_header(series / "slice1.dcm").header_bytes
    parses.clear()
    kept_elsewhere = sum(file.header_bytes for file in list(headers._kept))
    monkeypatch.setattr(headers, "MOST_KEPT_BYTES", kept_elsewhere + 2 * size + size // 2)
    (source,) = find_scans(series)
    assert len(source.headers) == 2
    open_scan(source)
    assert sorted(parses.values()) == [1, 1, 2, 2, 2]


def test_a_file_that_changed_after_it_was_found_is_parsed_again(tmp_path: Path) -> None:
    series = save_series(tmp_path / "ct", 2)
    (source,) = find_scans(series)
    wider = np.pad(ramp(), ((0, 0), (0, 4)))
    for number, path in enumerate(source.paths):
        dataset = dicom_dataset(wider, ImagePositionPatient=["0", "0", str(number)])
        save_dicom(dataset, path)
    assert open_scan(source).info.width == wider.shape[1]


def test_another_process_does_not_get_the_headers(tmp_path: Path) -> None:
    (source,) = find_scans(save_series(tmp_path / "ct", 2))
    sent = pickle.loads(pickle.dumps(source))
    assert sent == source
    assert not sent.headers
    assert len(source.headers) == 2


def test_a_copied_header_is_the_header_and_its_own(tmp_path: Path) -> None:
    inner = Dataset()
    inner.CodeValue, inner.CodeMeaning = "1", "Über"
    outer = Dataset()
    outer.PurposeOfReferenceCodeSequence = [inner]
    dataset = dicom_dataset(
        ramp(), SpecificCharacterSet="ISO_IR 192", SourceImageSequence=[outer], StudyID="Ü"
    )
    path = save_dicom(dataset, tmp_path / "in.dcm")
    file = read_header(path)
    expected = pydicom.dcmread(path, stop_before_pixels=True)
    assert file.dataset.SourceImageSequence[0].PurposeOfReferenceCodeSequence  # now parsed
    copied = file.copy_header()
    assert copied == expected
    copied.SourceImageSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue = "2"
    copied.StudyID = "B"
    assert file.dataset == expected
    assert file.copy_header() == expected


def test_what_was_restored_without_change_keeps_its_bits(tmp_path: Path) -> None:
    series = save_series(tmp_path / "ct", 3)
    (source,) = find_scans(series)
    out = restore(source, tmp_path / "out")
    assert np.array_equal(stored(out), stored(series))
