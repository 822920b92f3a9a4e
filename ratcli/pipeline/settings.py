"""What decides how scans are restored. Needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from ratcli.errors import UsageError
from ratcli.network.settings import EngineSettings
from ratcli.task import Task

Context = Literal["auto", "none"]

VIEWS = 8
"""Ways to turn and mirror a plane."""


@dataclass(frozen=True)
class NoiseTarget:
    """Noise that a restored CT scan should have; one of both is given.

    Attributes:
        noise_hu: standard deviation in soft tissue.
        dose: times the dose of the scan at which a scan has this noise.
    """

    noise_hu: float | None
    dose: float | None

    def noise_of(self, input_hu: float) -> float:
        """Return the noise in HU that is wanted of a scan with a given noise."""
        if self.noise_hu is not None:
            return self.noise_hu
        assert self.dose is not None
        return input_hu / math.sqrt(self.dose)

    @property
    def text(self) -> str:
        """The target in words, as provenance records it."""
        if self.noise_hu is not None:
            return f"a noise of {self.noise_hu:g} HU"
        return f"the noise of {self.dose:g} times the dose"


@dataclass(frozen=True, kw_only=True)
class RestoreSettings:
    """What decides how scans are restored.

    Attributes:
        task: the task.
        partition: name of the partitioner; empty for the task's default.
        weights: names of the weights, whose results are averaged; empty for the task's default.
        strength: share of the restoration that is applied, from 0 to 1.
        target: noise from which the strength of each scan is chosen; None for `strength` itself.
        views: 1, or 8 for the mean over the eight ways to turn and mirror a plane.
        pane: side in pixels, on the output's grid, of the panes that planes are cut into; 0 to
            cut only planes that are too large (see `ratcli.pipeline.cutting`).
        pane_overlap: pixels of the input by which a pane reaches into its neighbours.
        context: `auto` for as many neighbouring planes of a series as the weights use; `none` to
            restore each plane alone.
        engine: how the network is run.

    Raises:
        UsageError: a value is out of range, or weights are named twice.
    """

    task: Task
    partition: str = ""
    weights: tuple[str, ...] = ()
    strength: float = 1.0
    target: NoiseTarget | None = None
    views: int = 1
    pane: int = 0
    pane_overlap: int = 64
    context: Context = "auto"
    engine: EngineSettings = field(default_factory=EngineSettings)

    @property
    def weights_names(self) -> tuple[str, ...]:
        """The names of the weights, with the task's default filled in."""
        return self.weights or (self.task.weights,)

    @property
    def partition_name(self) -> str:
        """The name of the partitioner, with the task's default filled in."""
        return self.partition or self.task.partition

    @property
    def samples(self) -> int:
        """How often a plane is restored: views times weights. One sample has no uncertainty."""
        return self.views * len(self.weights_names)

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise UsageError(f"strength must be from 0 to 1, not {self.strength:g}")
        if self.views not in (1, VIEWS):
            raise UsageError(f"views must be 1 or {VIEWS}, not {self.views}")
        if self.context not in get_args(Context):
            raise UsageError(f"context must be auto or none, not '{self.context}'")
        if self.pane < 0 or self.pane_overlap < 0:
            raise UsageError("the side and the overlap of panes must be 0 or more pixels")
        if len(set(self.weights_names)) < len(self.weights_names):
            raise UsageError("the same weights are named twice; averaging them changes nothing")
