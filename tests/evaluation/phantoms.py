"""A phantom drawn for tests: a body of water in air with two inserts, blurred, with noise."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from ratcli.evaluation.given_regions import Disc

BODY = Disc(100.4, 98.2, 80.0)
INSERTS = (Disc(70.2, 80.0, 9.0), Disc(128.0, 120.5, 7.0))


def drawn_phantom(sd: float = 8.0) -> np.ndarray:
    plane = np.full((200, 200), -1000.0)
    plane[BODY.mask(plane.shape)] = 0.0
    plane[INSERTS[0].mask(plane.shape)] = 120.0
    plane[INSERTS[1].mask(plane.shape)] = -100.0
    noise = np.random.default_rng(0).normal(0.0, sd, plane.shape)
    return gaussian_filter(plane, 0.7) + noise
