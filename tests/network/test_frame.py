"""The frame: what the engine does to planes before and after a network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import SMALL, network, published_network

from ratcli.network.engine import Engine, load_engine
from ratcli.network.frame import FRAME_PX, ReflectedFrame
from ratcli.network.inference import InferenceRAT
from ratcli.network.registry import find_weights
from ratcli.network.settings import EngineSettings

CPU = EngineSettings(device="cpu", threads=1)


@pytest.mark.parametrize("shape", [(1, 1), (5, 40), (48, 64), (37, 90)])
@pytest.mark.parametrize("scale", [1, 4])
def test_extended_planes_suit_the_network_and_are_cut_back(
    shape: tuple[int, int], scale: int
) -> None:
    frame = ReflectedFrame(*shape, scale, SMALL.multiple)
    plane = np.arange(np.prod(shape), dtype=np.float32).reshape(1, *shape)
    fine = plane.repeat(scale, 1).repeat(scale, 2)
    extended = frame.extended(plane)
    labels = frame.extended_labels(fine[0].astype(np.int32))
    assert labels.shape == tuple(scale * size for size in extended.shape[1:])
    assert not any(size % SMALL.multiple for size in labels.shape)
    assert np.array_equal(labels, extended[0].repeat(scale, 0).repeat(scale, 1).astype(np.int32))
    assert np.array_equal(frame.cut_back(labels[None].astype(np.float32)), fine)


def test_planes_are_reflected_on_all_sides() -> None:
    plane = np.arange(48.0, dtype=np.float32)[None, :, None].repeat(48, 2)
    rows = ReflectedFrame(48, 48, 1, 16).extended(plane)[0, :, 0]
    assert list(rows[: FRAME_PX + 2]) == [8, 7, 6, 5, 4, 3, 2, 1, 0, 1]
    assert list(rows[FRAME_PX + 46 :][:4]) == [46, 47, 46, 45]


@pytest.mark.parametrize("tile", [0, 32])
def test_the_engine_restores_the_extended_plane(tile: int) -> None:
    inner = InferenceRAT(network())
    engine = Engine(inner, torch.device("cpu"), EngineSettings(tile=tile))
    rng = np.random.default_rng(2)
    plane = rng.normal(size=(1, 40, 56)).astype(np.float32)
    labels = rng.integers(0, 3, (40, 56)).astype(np.int32)
    frame = ReflectedFrame(40, 56, 1, SMALL.multiple)
    given = torch.from_numpy(frame.extended(plane)[None])
    expected = inner(given, torch.from_numpy(frame.extended_labels(labels)[None]))[0].numpy()
    (restored,) = engine.restore([plane], [labels])
    assert np.allclose(restored, frame.cut_back(expected), atol=2e-5)


def test_the_published_network_itself_pads_as_before() -> None:
    learned, golden = published_network("rat_gray")
    image, labels = golden["input"][..., :57], golden["labels"][..., :57]
    last = torch.arange(64).clamp(max=56)
    with torch.inference_mode():
        expected = learned(image[..., last], labels[..., last])[..., :57]
        assert torch.allclose(learned(image, labels), expected, atol=1e-6)
    assert torch.allclose(InferenceRAT(learned)(image, labels), expected, atol=1e-4)


@pytest.mark.parametrize(("level", "most"), [(40.0, 0.5), (1000.0, 2.0)])
def test_tissue_that_fills_the_frame_keeps_its_level_in_the_first_rows(
    level: float, most: float
) -> None:
    engine = load_engine(find_weights("ct-denoise"), CPU)
    plane = np.full((1, 64, 64), (level - 40.0) / 400.0, np.float32)
    labels = np.zeros((64, 64), np.int32)
    (restored,) = engine.restore([engine.seen(plane, ())], [labels])
    errors = 400.0 * (restored - plane)[0]
    inner = float(errors[16:-16, 16:-16].mean())
    edges = [errors[0], errors[1], errors[-1], errors[:, 0], errors[:, -1]]
    assert max(abs(float(edge.mean()) - inner) for edge in edges) < most
