"""Provenance: what the writers of a restored scan, its residual and its uncertainty record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

from ratcli import __version__
from ratcli.network.registry import WeightsEntry
from ratcli.partition import Partitioner
from ratcli.pipeline.cutting import Cut
from ratcli.pipeline.prepared import CONSTANT_PX
from ratcli.pipeline.settings import RestoreSettings
from ratcli.pipeline.uncertainty import Calibration
from ratcli.scan import Derivation


@dataclass(frozen=True)
class RestoreProvenance:
    """What was done to the pixels of a scan.

    Attributes:
        settings: of the restoration.
        entries: the weights.
        partitioner: labels planes.
        cut: how planes are cut.
        planes_seen: planes of the scan from which each plane is restored, itself included; fewer
            at the ends of a series and beside gaps.
    """

    settings: RestoreSettings
    entries: Sequence[WeightsEntry]
    partitioner: Partitioner
    cut: Cut
    planes_seen: int = 1

    def restored(self) -> Derivation:
        """Return what the writer of the restored scan records."""
        task, views, seen = self.settings.task, self.settings.views, self.planes_seen
        target = self.settings.target
        weights = " and ".join(f"{entry.name} (SHA-256 {entry.sha256})" for entry in self.entries)
        return Derivation(
            task=task.name,
            description=(
                f"rat {__version__}, {task.name}, weights {weights}, "
                f"strength {self.settings.strength:g}"
                f"{f' chosen for {target.text}' if target else ''}"
                f", regions by {self.partitioner.name}"
                f"{f', mean of {views} views' if views > 1 else ''}"
                f"{f', each from {seen} neighbouring planes' if seen > 1 else ''}"
            ),
            label=task.label,
            method=task.method,
            scale=task.scale,
            version=__version__,
            weights_sha256=self.entries[0].sha256,
            settings=tuple(self._settings()),
        )

    def residual(self) -> Derivation:
        """Return what the writer of input minus output records."""
        whole = self.restored()
        return replace(
            whole,
            description=f"input minus output of: {whole.description}",
            label=f"{whole.label} residual",
            settings=(*whole.settings, "residual"),
        )

    def uncertainty(self) -> Derivation:
        """Return what the writer of the standard deviations records."""
        whole, calibration = self.restored(), Calibration.of(self.entries)
        views = f"{self.settings.views} view{'s' if self.settings.views > 1 else ''}"
        several = len(self.entries) > 1
        weights = f" by each of {len(self.entries)} weights" if several else ""
        numbers = calibration.describe(self.settings.task.units[0])
        return replace(
            whole,
            description=(
                f"standard deviation of each pixel, from {views}{weights}, {numbers}: "
                f"{whole.description}"
            ),
            label=f"{whole.label} uncertainty",
            method="uncertainty",
            settings=(*whole.settings, calibration.recorded),
        )

    def _settings(self) -> list[str]:
        """List all that changes the result."""
        settings, first = self.settings, self.entries[0]
        listed = [
            settings.task.name,
            f"strength={settings.strength!r}",
            f"precision={settings.engine.precision}",
        ]
        if settings.task.scale == 1:
            listed.append(f"constant_kept_px={CONSTANT_PX}")
        if settings.engine.tile:
            listed.append(f"tile={settings.engine.tile}")
        listed += self.cut.recorded
        if self.planes_seen > 1:
            listed.append(f"planes={self.planes_seen}")
        if settings.views > 1:
            listed.append(f"views={settings.views}")
        if first.mean_kept_px:
            listed.append(f"mean_kept_px={first.mean_kept_px!r}")
        if first.consistent_below:
            listed.append(f"consistent_below={first.consistent_below!r}")
        if first.residual_kept:
            numbers = ",".join(map(repr, astuple(first.residual_kept)))
            listed.append(f"residual_kept={numbers}")
        listed += [f"beside={entry.sha256}" for entry in self.entries[1:]]
        return [*listed, *self.partitioner.settings]
