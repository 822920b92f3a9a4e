"""The precision of the products: which is chosen, and how far the result is from float32."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ratcli.network.device import choose_precision
from ratcli.network.settings import EngineSettings
from ratcli.physics.anatomy.ct import ct_slice
from ratcli.pipeline import RestoreSettings
from ratcli.pipeline.model import Model
from ratcli.scan import FloatArray
from ratcli.tasks import get_task

CPU = torch.device("cpu")
CHECKS = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")


@pytest.mark.parametrize("has", [(False, False), (True, False), (False, True)])
def test_auto_uses_bfloat16_where_the_processor_multiplies_it(
    has: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in zip(CHECKS, has, strict=True):
        monkeypatch.setattr(torch.cpu, name, lambda value=value: value, raising=False)
    assert choose_precision("auto", CPU) == ("mixed" if any(has) else "fp32")
    assert choose_precision("bf16", CPU) == "bf16"


def test_auto_is_float32_where_torch_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CHECKS:
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert choose_precision("auto", CPU) == "fp32"


def restored(precision: str, plane: FloatArray) -> FloatArray:
    engine = EngineSettings(device="cpu", threads=1, precision=precision)
    model = Model.load(RestoreSettings(task=get_task("ct-denoise"), engine=engine))
    assert model.settings.engine.precision == precision
    return model.restore([plane], [np.zeros(plane.shape[1:], bool)])[0].values


def test_mixed_is_within_a_quarter_of_a_hounsfield_unit_of_float32() -> None:
    rng = np.random.default_rng(0)
    hu, _ = ct_slice(rng, size=160, spacing_mm=2.4, region="abdomen")
    plane = (hu + rng.normal(0, 25, hu.shape)).astype(np.float32)[None]
    difference = restored("mixed", plane) - restored("fp32", plane)
    assert 0 < float(np.sqrt((difference**2).mean())) < 0.25
    assert float(np.abs(difference).max()) < 1.5
