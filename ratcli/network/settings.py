"""How a network is run: device, precision, tiles, batch. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ratcli.errors import UsageError

Precision = Literal["auto", "fp32", "mixed", "bf16"]


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """How a network is run. Only the precision changes the result by more than rounding.

    Attributes:
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        threads: CPU threads; 0 for torch's choice.
        precision: of the products; sums are in float32. `fp32`; `mixed` for bfloat16 in the
            layers of attention; `bf16` for bfloat16 everywhere; `auto` for mixed where the
            device multiplies bfloat16 faster, else fp32.
        tile: side in pixels, on the output's grid, of the tiles that go to the device one after
            the other; 0 for whole planes.
        batch: planes or panes that go through the network together; 0 for the device's default.
        compile: whether torch compiles the convolution blocks and MLPs. The first plane then takes
            a minute; the result is kept on disk.

    Raises:
        UsageError: a value is out of range.
    """

    device: str = "auto"
    threads: int = 0
    precision: Precision = "fp32"
    tile: int = 0
    batch: int = 0
    compile: bool = False

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise UsageError(f"precision must be auto, fp32, mixed or bf16, not '{self.precision}'")
        if self.tile < 0:
            raise UsageError(f"tile must be 0 or more pixels, not {self.tile}")
