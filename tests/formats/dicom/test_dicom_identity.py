"""What did not change comes back to the bit, in every transfer syntax and layout."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from ratcli.formats.dicom.codec import JPEG_LOSSLESS
from tests.formats.dicom_scans import (
    COMPRESSED,
    NATIVE,
    dicom_dataset,
    open_dicom,
    ramp,
    restore,
    rgb_dataset,
    save_dicom,
    save_in,
    shared,
    stored,
    validator_errors,
)


@pytest.mark.parametrize("syntax", NATIVE + COMPRESSED, ids=lambda syntax: syntax.name)
def test_identity_keeps_stored_values_and_syntax(tmp_path: Path, syntax: UID) -> None:
    values = ramp(low=-2000, high=3000)
    source = save_in(dicom_dataset(values), tmp_path / "in.dcm", syntax)
    out = restore(source, tmp_path / "out.dcm")
    assert np.array_equal(stored(out)[0], values)
    assert open_dicom(out).sources[0].file.syntax == syntax


@pytest.mark.parametrize("syntax", COMPRESSED, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("signed", [0, 1])
def test_every_encoder_keeps_every_depth(
    tmp_path: Path, syntax: UID, bits: int, signed: int
) -> None:
    low = -(1 << (bits - 1)) if signed else 0
    values = ramp(low=low, high=low + (1 << bits) - 1)
    dataset = dicom_dataset(
        values,
        BitsAllocated=8 if bits == 8 else 16,
        BitsStored=bits,
        HighBit=bits - 1,
        PixelRepresentation=signed,
    )
    out = restore(save_in(dataset, tmp_path / "in.dcm", syntax), tmp_path / "out.dcm")
    assert np.array_equal(stored(out)[0], values)


@pytest.mark.parametrize("syntax", COMPRESSED, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("shape", [(1, 1), (23, 4), (64, 64)])
@pytest.mark.parametrize("bits", [8, 12])
def test_noise_that_grows_under_compression_is_kept(
    tmp_path: Path, syntax: UID, shape: tuple[int, int], bits: int
) -> None:
    values = np.random.default_rng(0).choice([0, (1 << bits) - 1], shape)
    dataset = dicom_dataset(
        values,
        BitsAllocated=8 if bits == 8 else 16,
        BitsStored=bits,
        HighBit=bits - 1,
        PixelRepresentation=0,
    )
    out = restore(save_in(dataset, tmp_path / "in.dcm", syntax), tmp_path / "out.dcm")
    assert np.array_equal(stored(out)[0], values)


def test_two_decoders_agree_on_what_is_written(tmp_path: Path) -> None:
    import pydicom

    values = ramp(low=-2000, high=3000)
    for syntax in (RLELossless, JPEGLSLossless, ExplicitVRBigEndian):
        source = save_in(dicom_dataset(values), tmp_path / "in.dcm", syntax)
        out = restore(source, tmp_path / f"{syntax}.dcm")
        assert np.array_equal(pydicom.dcmread(out).pixel_array, values)


def test_jpeg_lossless_is_written_with_the_predictor_that_its_syntax_asks_for(
    tmp_path: Path,
) -> None:
    source = save_in(dicom_dataset(ramp()), tmp_path / "in.dcm", JPEG_LOSSLESS[1])
    data = restore(source, tmp_path / "out.dcm").read_bytes()
    scan = data[data.index(b"\xff\xda") :]
    assert scan[4] == 1  # one component
    assert scan[7] == 1  # selection value 1


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_identity_holds_for_any_layout_and_rescale(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("layout")
    allocated = data.draw(st.sampled_from([8, 16]))
    bits = data.draw(st.integers(2, allocated))
    high_bit = data.draw(st.integers(bits - 1, allocated - 1))
    signed = data.draw(st.booleans())
    shape = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    seed = data.draw(st.integers(0, 999))
    words = np.random.default_rng(seed).integers(0, 1 << allocated, shape)
    dataset = dicom_dataset(
        words,
        BitsAllocated=allocated,
        BitsStored=bits,
        HighBit=high_bit,
        PixelRepresentation=0,
        RescaleSlope=data.draw(st.sampled_from(["1", "0.25", "2.0002442", "1e-5", "-1"])),
        RescaleIntercept=data.draw(st.sampled_from(["0", "-1024", "-4047", "1000"])),
    )
    dataset.PixelRepresentation = int(signed)
    source = save_dicom(dataset, folder / "in.dcm")
    out = restore(source, folder / "out.dcm")
    assert open_dicom(out).frame(0).words.tobytes() == open_dicom(source).frame(0).words.tobytes()


def test_overlay_bits_above_the_sample_are_left_alone(tmp_path: Path) -> None:
    values = ramp(low=0, high=4000)
    overlay = np.where(values % 2 == 0, 0x8000, 0)
    dataset = dicom_dataset(
        values | overlay, BitsStored=12, HighBit=11, PixelRepresentation=0, RescaleType="HU"
    )
    source = save_dicom(dataset, tmp_path / "in.dcm")
    out = restore(source, tmp_path / "out.dcm", lambda hu: hu + 7)
    words = open_dicom(out).frame(0).words[..., 0]
    assert np.array_equal(words & 0xF000, overlay)
    assert np.array_equal(words & 0x0FFF, values + 7)


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("allocated", [8, 16])
def test_rgb_comes_back_to_the_bit(tmp_path: Path, planar: int, allocated: int) -> None:
    values = np.arange(4 * 6 * 3).reshape(4, 6, 3) * (allocated // 8)
    dataset = rgb_dataset(values, allocated, planar)
    source = save_dicom(dataset, tmp_path / "in.dcm")
    out = restore(source, tmp_path / "out.dcm")
    assert np.array_equal(stored(out)[0], values)


def test_lossy_input_is_written_without_further_loss_and_stays_marked(tmp_path: Path) -> None:
    source = shared("formats", "dicom", "nema_wg04", "CT1_J2KI")
    out = restore(source, tmp_path / "out.dcm")
    reader = open_dicom(out)
    assert reader.sources[0].file.syntax == ExplicitVRLittleEndian
    assert reader.sources[0].file.dataset.LossyImageCompression == "01"
    assert np.array_equal(stored(out), stored(source))


def test_one_slice_in_fifteen_syntaxes_gives_one_image_where_they_are_lossless(
    tmp_path: Path,
) -> None:
    folder = shared("formats", "dicom", "ts_same_ct")
    lossless = ("1.2", "1.2.1", "1.2.2", "1.2.1.99", "1.2.5", "4.57", "4.70", "4.80", "4.90")
    planes = []
    for path in sorted(folder.iterdir()):
        if path.stem.split("1.2.840.10008.")[1].endswith(lossless):
            planes.append(stored(restore(path, tmp_path / path.name)))
    assert len(planes) == 9
    assert all(np.array_equal(plane, planes[0]) for plane in planes)


@pytest.mark.parametrize("told", [None, "00", "01"])
def test_loss_that_only_the_syntax_tells_is_told_for_good(tmp_path: Path, told: str | None) -> None:
    image = ramp(64, 80, low=0, high=255).astype(np.uint8)
    dataset = dicom_dataset(image, BitsAllocated=8, BitsStored=8, HighBit=7, PixelRepresentation=0)
    if told is not None:
        dataset.LossyImageCompression = told
    dataset.PixelData = encapsulate([imagecodecs.jpeg8_encode(image, level=90)])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    source = save_dicom(dataset, tmp_path / "in.dcm", UID("1.2.840.10008.1.2.4.50"))
    out = restore(source, tmp_path / "out.dcm")
    assert validator_errors(out) <= validator_errors(source)
    header = dcmread(out)
    assert header.LossyImageCompression == "01"
    if told != "01":
        assert header.LossyImageCompressionMethod == "ISO_10918_1"
        assert header.LossyImageCompressionRatio > 1


def test_one_slice_in_six_lossy_syntaxes_stays_the_same_slice(tmp_path: Path) -> None:
    folder = shared("formats", "dicom", "ts_same_ct")
    files = {path.stem.split("1.2.840.10008.")[1]: path for path in sorted(folder.iterdir())}
    lossy = ("1.2.4.50", "1.2.4.51", "1.2.4.53", "1.2.4.55", "1.2.4.81", "1.2.4.91")
    exact = open_dicom(files["1.2.1"]).read(0)
    for syntax in lossy:
        reader = open_dicom(restore(files[syntax], tmp_path / f"{syntax}.dcm"))
        assert reader.sources[0].file.syntax == ExplicitVRLittleEndian
        # .50 has 8 bits for 4096 HU: steps of 16 HU, and what JPEG loses of them.
        assert np.abs(reader.read(0) - exact).mean() < (25 if syntax == "1.2.4.50" else 5)


def test_high_throughput_jpeg_2000_is_read_and_written_plain(tmp_path: Path) -> None:
    sources = [
        shared("formats", "dicom", "colour", f"{name}_08_RGB.dcm")
        for name in ("HTJ2KLossless", "HTJ2K")
    ]
    readers = [open_dicom(restore(path, tmp_path / path.name)) for path in sources]
    for source, reader in zip(sources, readers, strict=True):
        assert reader.sources[0].file.syntax == ExplicitVRLittleEndian
        np.testing.assert_array_equal(reader.read(0), open_dicom(source).read(0))
    exact, near = (reader.read(0) for reader in readers)
    assert 0 < np.abs(near - exact).max() < 5 / 255  # what the lossy one of the two lost


@pytest.mark.parametrize("keyword", ["PatientID", "StudyInstanceUID"])
def test_series_of_two_patients_or_studies_with_one_uid_become_two_series(
    tmp_path: Path, keyword: str
) -> None:
    made = []
    for value in ("1.2.3", "1.2.4"):
        source = save_dicom(dicom_dataset(ramp(), **{keyword: value}), tmp_path / f"{value}.dcm")
        made.append(dcmread(restore(source, tmp_path / f"{value}_out.dcm")))
    assert made[0].SeriesInstanceUID != made[1].SeriesInstanceUID
    assert made[0].SOPInstanceUID != made[1].SOPInstanceUID
