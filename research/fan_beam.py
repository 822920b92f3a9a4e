"""The geometry of fan beams, for the slow reconstruction that the simulation is checked against.

A view `beta` has its source at `source_mm (-sin(beta), cos(beta))`; its bin at fan angle `gamma` is
the ray `(beta + gamma, source_mm sin(gamma))`: an equiangular detector, as in third-generation
scanners.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ratcli.physics.ct import PITCH_MM, VIEWS
from ratcli.physics.projector import Geometry


@dataclass(frozen=True)
class FanGeometry(Geometry):
    """Fan beams: views and detector.

    Attributes:
        views: projections over 360 degrees; a multiple of 4.
        source_mm: distance of the source from the centre of rotation.
    """

    source_mm: float

    @property
    def turns(self) -> int:
        """Quadrants that the views cover."""
        return 4

    def rays(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return angle and offset in mm of all rays of the first quadrant's views, flat."""
        gamma = self.bin_positions(device)[None, :] / self.source_mm
        theta = self.first_quadrant(device)[:, None] + gamma
        return theta.flatten(), (self.source_mm * gamma.sin()).expand_as(theta).flatten()

    def ramp_distance(self, bins: Tensor) -> Tensor:
        """Return distances that turn the ramp over offsets into one over fan angles.

        Source: Kak and Slaney, Principles of Computerized Tomographic Imaging, ch. 3, eq. 99.
        """
        return self.source_mm * torch.sin(bins * self.pitch_mm / self.source_mm)


FAN = FanGeometry(views=VIEWS, bins=736, pitch_mm=PITCH_MM, source_mm=595.0)
"""736 bins of 1.2856 mm at 1085.6 mm from a source 595 mm away: a common 64-row scanner."""

FAN_FAST = replace(FAN, views=576)
"""Half the views: with twice the photons in each, noise of the same power and spectrum."""
