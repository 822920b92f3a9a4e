from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ratcli.evaluation.noise import DIFFERENCE, NoiseRow, NoiseRows
from ratcli.evaluation.views import ComparedView, View


def _white(shape: tuple[int, ...], sd: float = 20.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, sd, shape)


def planes_with(correlation_of_neighbours: bool, first: int = 0, step: int = 1) -> NoiseRows:
    """Measure noise in planes of water, each the mean of two fields if neighbours are to share."""
    fields = _white((7, 96, 96))
    shared = (fields[1:] + fields[:-1]) / np.sqrt(2)
    found = NoiseRows("HU", 0.7)
    for plane, values in enumerate(shared if correlation_of_neighbours else fields[1:]):
        inside = np.ones(values.shape, np.bool_)
        labels = np.zeros(values.shape, np.int32)
        image = (values[None] + 40).astype(np.float32)
        view = View(first + step * plane)
        found.add(ComparedView(view, {"restored": image}, None, inside, labels, None, "HU"))
    return found


def test_noise_that_neighbouring_planes_share_is_told_as_their_correlation() -> None:
    (alone,) = planes_with(False).rows()
    (sharing,) = planes_with(True).rows()
    # Each plane shares one of its two fields with the next; some 40 patches of 256 pixels or more.
    assert alone.between_planes == pytest.approx(0.0, abs=0.05)
    assert sharing.between_planes == pytest.approx(0.5, abs=0.05)


def test_planes_that_are_no_neighbours_have_no_correlation_between_them() -> None:
    (row,) = planes_with(True, step=2).rows()
    assert np.isnan(row.between_planes)


def _filtered(seed: int, sd: float = 25.0) -> np.ndarray:
    """Return four planes of noise whose radial power peaks at 0.23/mm, for pixels of 0.8 mm."""
    axis = np.fft.fftfreq(128, 0.8)
    radius = np.hypot(axis[:, None], axis[None, :])
    shape = radius * np.exp(-((radius / 0.23) ** 2) / 2)
    field = np.fft.ifft2(np.fft.fft2(_white((4, 128, 128), seed=seed)) * shape).real
    return sd * field / field.std()


def _texture(sd: float) -> np.ndarray:
    """Return a plane of soft, coarse structure."""
    field = gaussian_filter(_white((128, 128), seed=9), 7.0)
    return 40.0 + sd * field / field.std()


def _measured(images: dict[str, np.ndarray], reference: np.ndarray | None) -> dict[str, NoiseRow]:
    found = NoiseRows("HU", 0.8)
    for plane in range(4):
        shown = {name: image[plane][None].astype(np.float32) for name, image in images.items()}
        other = None if reference is None else reference[plane][None].astype(np.float32)
        inside, labels = np.ones((128, 128), np.bool_), np.zeros((128, 128), np.int32)
        found.add(ComparedView(View(plane), shown, other, inside, labels, None, "HU"))
    return {row.image: row for row in found.rows()}


@pytest.mark.parametrize("structure", [0.0, 4.0, 12.0])
def test_the_peak_of_the_input_is_that_of_its_noise_whatever_the_structure(
    structure: float,
) -> None:
    clean = np.repeat(_texture(structure)[None], 4, axis=0) if structure else np.full(
        (4, 128, 128), 40.0
    )  # fmt: skip
    reference = clean + _filtered(1, 5.0)
    rows = _measured({"restored": reference, "input": reference + _filtered(2)}, reference)
    spectrum = rows["input"].trusted
    assert spectrum is not None
    # One frequency step of 14 pixels is 0.09/mm, of 32 pixels 0.04/mm.
    step = spectrum.radial_per_mm[1]
    assert spectrum.peak_per_mm == pytest.approx(0.23, abs=step)


def test_a_spectrum_of_structure_is_not_trusted() -> None:
    anatomy = np.repeat(_texture(12.0)[None], 4, axis=0)
    noisy = anatomy + _filtered(2, 20.0)
    rows = _measured({"restored": anatomy + _filtered(3, 1.0), "input": noisy}, noisy)
    assert rows["restored"].spectrum is not None
    assert rows["restored"].trusted is None
    assert "the noise" in rows["restored"].doubt or "frequency" in rows["restored"].doubt


@pytest.mark.parametrize("sd", [5.0, 40.0])
def test_the_spectrum_of_water_is_trusted(sd: float) -> None:
    water = 10.0 + _filtered(4, sd)
    (row,) = _measured({"restored": water}, None).values()
    assert row.trusted is not None
    assert row.source != DIFFERENCE
    white = 10.0 + sd * _white((4, 128, 128), 1.0)
    (row,) = _measured({"restored": white}, None).values()
    assert row.trusted is not None


def test_the_patches_of_a_plane_have_the_side_of_the_spectrum() -> None:
    found = planes_with(False)
    (row,) = found.rows()
    assert row.spectrum is not None
    boxes = [box for plane in range(6) for box in found.patches(plane)]
    assert len(boxes) == row.spectrum.patches
    assert {box.height for box in boxes} == {row.spectrum.patch_side_px}
