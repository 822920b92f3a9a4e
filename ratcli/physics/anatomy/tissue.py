"""What tissues look like: Hounsfield units on CT, uptake of FDG on PET."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Tissue:
    """A tissue's range of values; a structure draws one of them.

    Attributes:
        hu: lowest and highest Hounsfield units, with and without contrast medium.
        texture_hu: standard deviation of its structure.
        texture: name of the canvas's field that structure follows: `fine`, `medium` or `coarse`.
        suv: lowest and highest uptake of FDG an hour after injection, by body weight.
    """

    hu: tuple[float, float]
    texture_hu: float
    texture: str
    suv: tuple[float, float]


# Hounsfield units: Hofer, CT Teaching Manual; Kalender, Computed Tomography, ch. 1.
# Uptake: Wang et al., J. Nucl. Med. 48:1462, 2007; Zincirkeser et al., 2007 (normal organs).
TISSUES: MappingProxyType[str, Tissue] = MappingProxyType(
    {
        "air": Tissue((-1000, -1000), 0, "fine", (0, 0)),
        "gas": Tissue((-1000, -930), 0, "fine", (0.1, 0.2)),
        "skin": Tissue((0, 60), 10, "fine", (0.4, 0.7)),
        "fat": Tissue((-118, -85), 5, "medium", (0.2, 0.4)),
        "muscle": Tissue((42, 72), 7, "medium", (0.5, 0.9)),
        "liver": Tissue((40, 125), 4, "fine", (1.7, 2.8)),
        "spleen": Tissue((42, 140), 3, "fine", (1.4, 2.2)),
        "pancreas": Tissue((30, 110), 10, "medium", (1.0, 1.8)),
        "kidney": Tissue((28, 200), 4, "fine", (2.0, 5.0)),
        "organ": Tissue((10, 90), 5, "medium", (0.8, 2.2)),
        "blood": Tissue((35, 60), 2, "medium", (1.2, 1.8)),
        "enhanced": Tissue((100, 340), 3, "medium", (1.2, 1.8)),
        "heart": Tissue((50, 130), 4, "medium", (1.0, 10.0)),
        "fluid": Tissue((-5, 22), 1, "medium", (0.3, 1.0)),
        "urine": Tissue((-5, 15), 1, "medium", (8.0, 40.0)),
        "wall": Tissue((25, 85), 5, "medium", (0.8, 2.5)),
        "contents": Tissue((-10, 60), 25, "medium", (0.5, 1.5)),
        "oral": Tissue((120, 420), 20, "coarse", (0.5, 1.5)),
        "lung": Tissue((-905, -760), 22, "fine", (0.25, 0.6)),
        "cartilage": Tissue((70, 140), 8, "medium", (0.5, 0.9)),
        "cortical": Tissue((650, 1500), 40, "medium", (0.5, 1.0)),
        "trabecular": Tissue((90, 320), 55, "fine", (0.9, 1.8)),
        "disc": Tissue((60, 110), 6, "medium", (0.5, 1.0)),
        "grey": Tissue((34, 42), 1.5, "medium", (6.0, 9.0)),
        "white": Tissue((24, 31), 1.0, "medium", (1.6, 2.2)),
        "csf": Tissue((0, 12), 1, "medium", (0.1, 0.4)),
        "lesion": Tissue((-10, 110), 4, "medium", (3.0, 18.0)),
        "calcification": Tissue((200, 1300), 0, "fine", (0.3, 0.8)),
        "metal": Tissue((2200, 3071), 0, "fine", (0.1, 0.3)),
        "table": Tissue((-250, 60), 0, "fine", (0, 0)),
        "foam": Tissue((-980, -880), 0, "fine", (0, 0)),
    }
)
