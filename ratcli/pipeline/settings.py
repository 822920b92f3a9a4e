"""Settings of a restoration, and what it reports."""

from __future__ import annotations

from dataclasses import dataclass

from ratcli.errors import UsageError
from ratcli.pipeline.views import VIEWS
from ratcli.scan import FloatArray
from ratcli.task import Task


@dataclass(frozen=True)
class RestoreSettings:
    """What decides how scans are restored.

    Attributes:
        task: the task.
        partition: name of the partitioner; empty for the task's default.
        weights: name of the weights; empty for the task's default.
        beside: names of further weights of the task, whose results are averaged with those.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        strength: 0 gives the input back, 1 the restored scan.
        precision: `fp32` or `bf16`.
        tile: side of the tiles in pixels, which change rounding alone; 0 for whole planes.
        tile_overlap: pixels that neighbouring panes share.
        threads: CPU threads; 0 for torch's choice.
        batch: planes or tiles that go through the network together; 0 for the device's default.
        compile: whether torch compiles what it can; changes the result by rounding alone.
        views: 1, or 8: the mean over the eight ways to turn and mirror a plane.
    """

    task: Task
    partition: str = ""
    weights: str = ""
    device: str = "auto"
    strength: float = 1.0
    precision: str = "fp32"
    tile: int = 0
    tile_overlap: int = 64
    threads: int = 0
    batch: int = 0
    compile: bool = False
    views: int = 1
    beside: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        """How often a plane is restored: views times weights. One sample has no spread."""
        return self.views * (1 + len(self.beside))

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise UsageError(f"strength must be from 0 to 1, not {self.strength:g}")
        if self.precision not in ("fp32", "bf16"):
            raise UsageError(f"precision must be fp32 or bf16, not '{self.precision}'")
        if self.views not in (1, VIEWS):
            raise UsageError(f"views must be 1 or {VIEWS}, not {self.views}")
        if self.tile and not 0 <= self.tile_overlap < self.tile:
            raise UsageError(
                f"tiles of {self.tile} pixels cannot overlap by {self.tile_overlap} pixels"
            )
        names = (self.weights or self.task.weights, *self.beside)
        if len(set(names)) < len(names):
            raise UsageError("the same weights are named twice, which tells nothing more")


@dataclass(frozen=True)
class RestoreSummary:
    """What became of a scan.

    Attributes:
        planes: planes restored.
        seconds: time for the whole scan.
        network_seconds: time in the network alone.
        partition_seconds: time in the partitioner alone.
        regions: mean number of regions of a plane.
        mean_change: mean of output minus input over restored pixels, in the scan's unit.
        noise_removed: standard deviation of output minus input over them, in the scan's unit.
    """

    planes: int
    seconds: float
    network_seconds: float
    partition_seconds: float
    regions: float
    mean_change: float
    noise_removed: float


@dataclass(frozen=True)
class RestoredBlock:
    """A restored plane or block.

    Attributes:
        values: `(C, s*H, s*W)` in the task's first unit.
        regions: regions it was restored in.
        partition_seconds: time in the partitioner.
        network_seconds: time in the network.
        deviation: standard deviation of each value, of the same shape and unit, from the views
            that were averaged; None where there was one view.
    """

    values: FloatArray
    regions: int
    partition_seconds: float
    network_seconds: float
    deviation: FloatArray | None = None
