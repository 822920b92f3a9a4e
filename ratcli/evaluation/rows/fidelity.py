"""Rows of fidelity to the reference, by plane and pooled. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field

from ratcli.evaluation.comparison import RESTORED
from ratcli.evaluation.fidelity import ErrorMaps, Fidelity, FidelityTally, error_maps, studio_luma
from ratcli.evaluation.views import ComparedView
from ratcli.evaluation.window import Window
from ratcli.scan import BoolArray, FloatArray

NATIVE, RAT_PAPER = "native", "rat-paper"


@dataclass(frozen=True)
class FidelityRow:
    """Fidelity of one image to the reference.

    Attributes:
        image: `restored`, `input`, or a baseline's name.
        plane: which, None for all of them pooled.
        fidelity: the figures, with their window.
    """

    image: str
    plane: int | None
    fidelity: Fidelity


@dataclass
class FidelityRows:
    """Fidelity of every image, by plane and pooled."""

    windows: tuple[Window, ...]
    protocol: str
    _tallies: dict[tuple[str, int | None, Window], FidelityTally] = field(default_factory=dict)

    def add(self, compared: ComparedView) -> tuple[ErrorMaps, ...]:
        """Score a view; return the restored image's maps, one for each window."""
        if compared.reference is None:
            return ()
        kept = []
        for window in self.windows:
            for name, image in compared.images.items():
                maps = self._maps(image, compared.reference, compared.mask, window)
                for plane in (compared.view.plane, None):
                    key = (name, plane, maps.window)
                    self._tallies.setdefault(key, FidelityTally(maps.window)).add_maps(maps)
                if name == RESTORED:
                    kept.append(maps)
        return tuple(kept)

    def rows(self) -> tuple[FidelityRow, ...]:
        """Return a row for each image, plane and window, and for all planes pooled."""
        return tuple(
            FidelityRow(name, plane, tally.result())
            for (name, plane, _), tally in self._tallies.items()
        )

    def _maps(
        self, image: FloatArray, reference: FloatArray, mask: BoolArray, window: Window
    ) -> ErrorMaps:
        if self.protocol == NATIVE:
            return error_maps(image, reference, window, mask)
        luma = Window(f"rat-paper of {window}", 0.0, 255.0, "8-bit Y")
        return error_maps(studio_luma(image, window), studio_luma(reference, window), luma, mask)
