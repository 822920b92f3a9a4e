"""Networks as models of ONNX: the numbers of torch, for every kind of network and any size."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from networks import network

from ratcli.network.inference import InferenceRAT
from ratcli.network.rat import RAT, NetworkSettings

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from ratcli.network.onnx_export import largest_difference, make_onnx, step  # noqa: E402

TINY = NetworkSettings(
    width=8, encoder_blocks=(1, 1), decoder_blocks=(1, 1), groups=(1,), heads=2, window=4
)
# Sums in float32 in another order; the values are around 1.
ROUNDING = 1e-5


KINDS = {
    "split regions, shares of neighbours": (replace(TINY, max_region_tokens=50, context=1), True),
    "split planes, fused neighbours": (
        replace(TINY, max_region_tokens=50, context=1, equivariant=True, fused=True),
        False,
    ),
    "four times as fine": (replace(TINY, channels=3, scale=4, max_region_tokens=0), True),
}


class Exported(NamedTuple):
    """A network and its model."""

    network: RAT
    model: bytes
    with_regions: bool


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def exported(request: pytest.FixtureRequest) -> Exported:
    settings, with_regions = request.param
    made = network(settings)
    return Exported(made, make_onnx(made, with_regions=with_regions), with_regions)


def test_the_model_gives_the_numbers_of_torch(exported: Exported) -> None:
    made, model, with_regions = exported
    onnx.checker.check_model(model)
    assert largest_difference(model, made, with_regions=with_regions) < ROUNDING


def test_a_plane_of_more_tokens_than_a_piece_gives_the_numbers_of_torch(exported: Exported) -> None:
    made, model, with_regions = exported
    settings = made.settings
    height, width = 31 * step(settings), 2 * step(settings)
    image = torch.rand(1, settings.input_channels, height, width)
    labels = torch.zeros(1, height * settings.scale, width * settings.scale, dtype=torch.int64)
    given = {"image": image.numpy()}
    if with_regions:
        labels += torch.arange(labels.shape[1])[:, None] // 37
        given["labels"] = labels.numpy()
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (restored,) = session.run(None, given)
    expected = InferenceRAT(made)(image, labels).numpy()
    np.testing.assert_allclose(restored, expected, atol=ROUNDING)


def test_a_model_of_another_network_is_found_to_differ(exported: Exported) -> None:
    made, model, with_regions = exported
    other = copy.deepcopy(made)
    with torch.no_grad():
        other.ending.bias += 0.01
    difference = largest_difference(model, other, with_regions=with_regions)
    assert difference > 100 * ROUNDING
