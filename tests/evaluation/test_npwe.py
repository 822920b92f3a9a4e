"""The observer of the eye against closed forms and numerical integrals of another kind."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import j1

from ratcli.evaluation.npwe import VIEWING_MM, eye_filter, npwe
from ratcli.evaluation.resolution import Transfer
from ratcli.evaluation.spectrum import Spectrum

FREQUENCIES = np.linspace(0, 1 / 1.4, 200)
SHARP = Transfer(FREQUENCIES, np.ones(200), 10.0, 0.0)


def white_spectrum(sd: float, spacing_mm: float) -> Spectrum:
    axis = np.fft.fftshift(np.fft.fftfreq(32, spacing_mm))
    power = np.full(17, (sd * spacing_mm) ** 2)
    return Spectrum(np.full((32, 32), power[0]), axis, -axis[16::-1], power, sd**2, sd**2, 9)


def test_without_an_eye_a_disc_in_white_noise_has_its_closed_form() -> None:
    # d' = contrast / sd x the root of the pixels that the disc covers; 97 % of it below Nyquist.
    found = npwe(white_spectrum(20.0, 0.7), SHARP, 10.0, 5.0, eye=np.ones_like)
    assert found == pytest.approx(5.0 / 20.0 * math.sqrt(math.pi * 25.0) / 0.7, rel=0.03)


def test_d_prime_is_that_of_an_adaptive_integral() -> None:
    blur = Transfer(FREQUENCIES, np.exp(-((FREQUENCIES / 0.4) ** 2)), 10.0, 0.0)
    spectrum = white_spectrum(20.0, 0.7)
    power = float(spectrum.radial_power[0])

    def seen(f: float) -> float:
        disc = 10.0 * 2.5 * j1(2 * math.pi * f * 2.5) / f
        cycles = f * VIEWING_MM * math.pi / 180
        return (
            disc**2
            * math.exp(-2 * (f / 0.4) ** 2)
            * (cycles**1.3 * math.exp(-1.3 / 32 * cycles**2)) ** 2
        )

    def eye(f: float) -> float:
        return float(eye_filter(np.array([f]))[0]) ** 2

    top = quad(lambda f: seen(f) * 2 * math.pi * f, 1e-9, 1 / 1.4, limit=200)[0]
    below = quad(lambda f: seen(f) * eye(f) * power * 2 * math.pi * f, 1e-9, 1 / 1.4, limit=200)[0]
    assert npwe(spectrum, blur, 5.0, 10.0) == pytest.approx(top / math.sqrt(below), rel=0.03)


def test_the_eye_sees_four_cycles_a_degree_best() -> None:
    f = np.linspace(0.01, 2, 20000)
    best = f[np.argmax(eye_filter(f))] * VIEWING_MM * math.pi / 180
    assert best == pytest.approx(4.0, abs=0.01)


def test_d_prime_is_proportional_to_the_contrast_and_to_the_root_of_the_dose() -> None:
    quiet, noisy = white_spectrum(10.0, 0.7), white_spectrum(20.0, 0.7)
    once = npwe(noisy, SHARP, 5.0, 5.0)
    assert npwe(noisy, SHARP, 5.0, 15.0) == pytest.approx(3 * once)
    assert npwe(quiet, SHARP, 5.0, 5.0) == pytest.approx(2 * once)
