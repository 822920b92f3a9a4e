"""The published network and loss, reproduced from golden numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import GOLDEN, published_network

from ratcli.training.loss import focal_region_loss


@pytest.mark.parametrize("name", ["rat_gray", "rat_rgb_x4"])
def test_the_published_output_is_reproduced(name: str) -> None:
    network, golden = published_network(name)
    with torch.inference_mode():
        output = network(golden["input"], golden["labels"])
    assert torch.allclose(output, golden["output"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["rat_gray", "rat_rgb_x4"])
def test_one_region_reproduces_plain_self_attention(name: str) -> None:
    network, golden = published_network(name)
    with torch.inference_mode():
        output = network(golden["input"], torch.zeros_like(golden["labels"]))
    assert torch.allclose(output, golden["output_one_region"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("beta", ["0.001", "1", "10"])
def test_the_focal_region_loss_and_its_gradient_are_reproduced(beta: str) -> None:
    with np.load(GOLDEN / "focal_region_loss.npz") as golden:
        arrays = {key: torch.from_numpy(golden[key]) for key in golden.files}
    prediction = arrays["prediction"].requires_grad_()
    loss = focal_region_loss(prediction, arrays["target"], arrays["labels"], float(beta))
    loss.backward()
    assert torch.allclose(loss, arrays[f"loss_beta_{beta}"], atol=1e-5, rtol=1e-6)
    assert prediction.grad is not None
    assert torch.allclose(prediction.grad, arrays[f"grad_beta_{beta}"], atol=1e-5, rtol=0)
