"""Region attention against a dense reference, and its gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ratcli.network import attention
from ratcli.network.attention import (
    Engine,
    from_windows,
    jagged,
    loop,
    region_attention,
    to_windows,
    window_attention,
)
from ratcli.network.plan import RegionPlan, make_plan, windowed

HEADS = 2


def dense_attention(qkv: Tensor, keys: Tensor) -> Tensor:
    """The published formula: one logit for each pair, -1000 added where regions differ."""
    q, k, v = (part.view(len(qkv), HEADS, -1).transpose(0, 1) for part in qkv.chunk(3, -1))
    logits = q @ k.mT * HEADS**-0.5 - 1000.0 * (keys[:, None] != keys[None, :])
    return (logits.softmax(-1) @ v).transpose(0, 1).flatten(1)


def attend(tokens: Tensor, labels: Tensor, engine: Engine = region_attention) -> Tensor:
    plan = make_plan(labels, window=4)
    out = engine(tokens[plan.order].unflatten(1, (3, HEADS, -1)), plan)
    return out[plan.inverse]


def keys_of(labels: Tensor) -> Tensor:
    offset = torch.arange(len(labels)).view(-1, 1, 1) * (int(labels.max()) + 1)
    return windowed(labels.long() + offset, 4).flatten()


def label_maps() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    ring = torch.zeros(1, 16, 16, dtype=torch.int64)
    ring[:, 4:12, 4:12] = 1
    ring[:, 6:10, 6:10] = 0
    return {
        "one region": torch.zeros(1, 12, 16, dtype=torch.int64),
        "all singletons": torch.arange(2 * 8 * 12).view(2, 8, 12),
        "a hole": ring,
        "many regions": torch.randint(0, 1000, (1, 48, 48), generator=generator),
        "other partitions in a batch": torch.randint(0, 5, (3, 16, 16), generator=generator),
    }


# Nested tensors are for GPUs; on a CPU they give the same numbers.
@pytest.mark.parametrize("engine", [loop, jagged])
@pytest.mark.parametrize("name", list(label_maps()))
def test_every_partition_agrees_with_the_dense_formula(name: str, engine: Engine) -> None:
    labels = label_maps()[name]
    tokens = torch.randn(labels.numel(), 3 * 8 * HEADS, generator=torch.Generator().manual_seed(2))
    expected = dense_attention(tokens, keys_of(labels))
    assert torch.allclose(attend(tokens, labels, engine), expected, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 3),
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
    regions=st.integers(1, 300),
    seed=st.integers(0, 2**31),
)
def test_random_partitions_agree_with_the_dense_formula(
    batch: int, rows: int, columns: int, regions: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, regions, (batch, 4 * rows, 4 * columns), generator=generator)
    tokens = torch.randn(labels.numel(), 3 * 4 * HEADS, generator=generator)
    expected = dense_attention(tokens, keys_of(labels))
    assert torch.allclose(attend(tokens, labels), expected, atol=1e-5)


@pytest.mark.parametrize("engine", [loop, jagged])
@pytest.mark.parametrize("name", ["one region", "a hole", "other partitions in a batch"])
def test_gradients_are_those_of_the_dense_formula(name: str, engine: Engine) -> None:
    labels = label_maps()[name]
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randn(labels.numel(), 12 * HEADS, generator=generator, dtype=torch.float64)
    weight = torch.randn(labels.numel(), 4 * HEADS, generator=generator, dtype=torch.float64)
    grads = []
    for function in (
        lambda x: attend(x, labels, engine),
        lambda x: dense_attention(x, keys_of(labels)),
    ):
        x = tokens.clone().requires_grad_()
        (function(x) * weight).sum().backward()
        assert x.grad is not None
        grads.append(x.grad)
    assert torch.allclose(grads[0], grads[1], atol=1e-10)


def test_gradients_agree_with_finite_differences_in_float64() -> None:
    labels = torch.tensor([[[0, 0, 1, 1], [0, 2, 2, 1], [3, 2, 2, 1], [3, 3, 1, 1]]])
    plan = make_plan(labels, window=4)
    generator = torch.Generator().manual_seed(4)
    qkv = torch.randn(16, 3, HEADS, 2, dtype=torch.float64, generator=generator)
    qkv.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: region_attention(x, plan), (qkv,))


def test_an_engine_that_a_gpu_refuses_gives_way_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuses(qkv: Tensor, plan: RegionPlan) -> Tensor:
        raise RuntimeError("no kernel image is available\nfor this device")

    monkeypatch.setattr(attention, "_engine_for", lambda qkv: refuses)
    monkeypatch.setattr(attention, "_refused", set())
    labels = label_maps()["a hole"]
    tokens = torch.randn(labels.numel(), 3 * 4 * HEADS, generator=torch.Generator().manual_seed(5))
    for _ in range(2):
        assert torch.equal(attend(tokens, labels), attend(tokens, labels, loop))
    assert [record.message for record in caplog.records] == [
        "region by region, as this GPU refused all at once: no kernel image is available"
    ]


def test_want_of_memory_is_not_taken_for_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def starved(qkv: Tensor, plan: RegionPlan) -> Tensor:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(attention, "_engine_for", lambda qkv: starved)
    labels = label_maps()["a hole"]
    with pytest.raises(torch.OutOfMemoryError):
        attend(torch.zeros(labels.numel(), 3 * 4 * HEADS), labels)


def test_window_attention_is_the_same_with_and_without_gradients() -> None:
    qkv = torch.randn(64, 3 * 4 * HEADS, generator=torch.Generator().manual_seed(6))
    learning = window_attention(qkv.clone().requires_grad_(), 16, HEADS)
    with torch.inference_mode():
        assert torch.allclose(window_attention(qkv, 16, HEADS), learning, atol=1e-6)


def test_regions_over_the_limit_are_split_and_others_stay_whole() -> None:
    labels = torch.zeros(1, 32, 32, dtype=torch.int64)
    labels[:, :4, :4] = 1
    plan = make_plan(labels, window=4, max_region_tokens=256)
    assert max(plan.sizes) <= 256
    assert 16 in plan.sizes
    assert sum(plan.sizes) == 1024


def test_a_limit_that_no_region_reaches_changes_nothing() -> None:
    labels = label_maps()["many regions"]
    free, limited = make_plan(labels, 4), make_plan(labels, 4, max_region_tokens=64)
    assert free.sizes == limited.sizes
    assert torch.equal(free.order, limited.order)


def test_window_order_comes_back() -> None:
    grid = torch.arange(2 * 8 * 12 * 3).view(2, 8, 12, 3)
    assert torch.equal(from_windows(to_windows(grid, 4), (2, 8, 12), 4), grid)
