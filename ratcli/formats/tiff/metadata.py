"""What the descriptions of a TIFF say about its grid, and the descriptions of a finer grid."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from ratcli.formats.tiff import ome
from ratcli.scan import Derivation

Spacing = tuple[float | None, float | None, float | None]

_MM_PER_IMAGEJ_UNIT = {
    "nm": 1e-6,
    "um": 1e-3,
    "µm": 1e-3,
    "micron": 1e-3,
    "microns": 1e-3,
    "mm": 1.0,
    "cm": 10.0,
    "inch": 25.4,
}
_PRINTER_DPI = (72, 96, 100, 150, 200, 240, 300, 400, 600, 1200)
_INCH, _CENTIMETRE = 2, 3
_MM_PER_RESOLUTION_UNIT = {_INCH: 25.4, _CENTIMETRE: 10.0}


@dataclass(frozen=True)
class Resolution:
    """The resolution tags of a page.

    Attributes:
        x: numerator and denominator, pixels for each unit along a row.
        y: the same along a column.
        unit: 1 none, 2 inch, 3 centimetre.
    """

    x: tuple[int, int]
    y: tuple[int, int]
    unit: int

    @property
    def spacing_mm(self) -> Spacing:
        """Pixel spacing, unless it is only a printer setting (72 or 300 dots per inch)."""
        known = _MM_PER_RESOLUTION_UNIT.get(self.unit)
        along_x, along_y = _ratio(self.x), _ratio(self.y)
        if known is None or not along_x or not along_y or along_x == along_y == 1:
            return None, None, None
        dpi = 25.4 / known * along_x
        if along_x == along_y and any(abs(dpi - usual) < 0.1 for usual in _PRINTER_DPI):
            return None, None, None
        return None, known / along_y, known / along_x

    def finer(self, scale: int) -> Resolution:
        """Return the tags of a grid `scale` times as fine."""
        return Resolution(_times(self.x, scale), _times(self.y, scale), self.unit)

    @classmethod
    def from_spacing(cls, row_mm: float, column_mm: float) -> Resolution:
        """Return tags in pixels for each centimetre."""
        return cls(_per_centimetre(column_mm), _per_centimetre(row_mm), _CENTIMETRE)


def spacing_of(
    kind: str, description: str, resolution: Resolution | None, image: int = 0
) -> Spacing:
    """Return the distance between planes, rows and columns in mm, None if it is unknown.

    Args:
        kind: `svs`, `ome`, `imagej` or `plain`.
        description: the ImageDescription.
        resolution: the resolution tags of the image.
        image: number of the image, since an OME-XML may describe several.
    """
    if kind == "svs":
        mpp = _number(r"MPP\s*=\s*([-+.\deE]+)", description)
        return None, _milli(mpp), _milli(mpp)
    if kind == "ome":
        return tuple(ome.length_mm(description, axis, image) for axis in "ZYX")  # type: ignore[return-value]
    if kind == "imagej":
        return _imagej_spacing(description, resolution)
    return resolution.spacing_mm if resolution else (None, None, None)


def significant_bits(kind: str, description: str, image: int) -> int | None:
    """Return how many bits an OME-XML says that its samples fill, or None."""
    pixels = ome.pixels_element(description, image) if kind == "ome" else ""
    told = ome.attribute(pixels, "SignificantBits")
    return int(told) if told and told.isascii() and told.isdigit() and len(told) < 4 else None


def imagej_calibration(description: str) -> tuple[float, float]:
    """Return what a stored step of an ImageJ TIFF is, and the value of stored 0.

    ImageJ stores signed numbers as unsigned ones with c0=-32768. Only straight lines (cf=0) count.
    """
    facts = _imagej_facts(description)
    step, zero = _float(facts.get("c1")), _float(facts.get("c0"))
    if facts.get("cf", "").strip() != "0" or not step or zero is None:
        return 1.0, 0.0
    return (step, zero) if math.isfinite(step) and math.isfinite(zero) else (1.0, 0.0)


def magnification_of(description: str) -> float | None:
    """Return the magnification of the objective from an Aperio description."""
    return _number(r"AppMag\s*=\s*([-+.\deE]+)", description)


def finer_description(
    kind: str, description: bytes, scale: int, size: tuple[int, int], image: int
) -> bytes:
    """Return an ImageDescription for a grid `scale` times as fine; all else in it stays.

    Args:
        kind: `svs`, `ome`, `imagej`, `shaped` or `plain`.
        description: of the source, as bytes.
        scale: pixels for each source pixel and axis.
        size: height and width of the source.
        image: number of the image that gets finer, in an OME-XML of several.
    """
    if kind == "ome":
        return ome.finer(description, scale, image)
    if kind == "svs":
        return _finer_svs(description, scale, size)
    if kind == "shaped":
        return _finer_shaped(description, scale, size)
    return description


def history(derivation: Derivation, before: bytes) -> bytes:
    """Return the tag Software: who wrote the source, and what was done to it here."""
    facts = [derivation.description, f"task {derivation.task}", f"version {derivation.version}"]
    if derivation.weights_sha256:
        facts.append(f"weights SHA-256 {derivation.weights_sha256}")
    done = "rat: " + "; ".join([*facts, *derivation.settings])
    earlier = before.rstrip(b"\0")
    return (earlier + b"; " if earlier else b"") + done.encode()


def floating_description(kind: str, description: bytes, image: int) -> bytes:
    """Return an ImageDescription for float32 samples in place of the source's own.

    Args:
        kind: `svs`, `ome`, `imagej`, `shaped` or `plain`.
        description: of the derived image, as bytes.
        image: number of the image, in an OME-XML of several.
    """
    if kind == "imagej":  # the range that is shown
        return re.sub(rb"(?m)^(min|max)=.*\n?", b"", description)
    if kind == "ome":
        return ome.floating(description, image)
    return description


def _finer_svs(description: bytes, scale: int, size: tuple[int, int]) -> bytes:
    """Rewrite size, MPP and AppMag of an Aperio description."""
    height, width = size
    text = description.decode("latin-1")
    old, new = f"{width}x{height}", f"{width * scale}x{height * scale}"
    text = re.sub(rf"(?<!\d){old}(?!\d)", new, text)
    text = re.sub(r"(MPP\s*=\s*)([.\deE+-]+)", lambda m: _divided(m, scale), text)
    text = re.sub(r"(AppMag\s*=\s*)([.\d]+)", lambda m: _divided(m, 1 / scale), text)
    return text.encode("latin-1")


def _finer_shaped(description: bytes, scale: int, size: tuple[int, int]) -> bytes:
    """Rewrite the shape in the JSON that tifffile puts into a description."""
    try:
        facts: dict[str, Any] = json.loads(description)
        shape = [int(length) for length in facts["shape"]]
    except (ValueError, KeyError, TypeError):
        return description
    facts.pop("truncated", None)
    for first in (len(shape) - 2, len(shape) - 3):
        if first >= 0 and tuple(shape[first : first + 2]) == size:
            shape[first : first + 2] = [length * scale for length in size]
            facts["shape"] = shape
            return json.dumps(facts).encode()
    return b""


def _imagej_spacing(description: str, resolution: Resolution | None) -> Spacing:
    facts = _imagej_facts(description)
    unit = facts.get("unit", "").strip().replace("\\u00B5", "µ")
    mm = _MM_PER_IMAGEJ_UNIT.get(unit)
    if mm is None or resolution is None:
        return None, None, None
    along_x, along_y = _ratio(resolution.x), _ratio(resolution.y)
    between = _number(r"^spacing=([-+.\deE]+)", description)
    return (
        between * mm if between else None,
        mm / along_y if along_y else None,
        mm / along_x if along_x else None,
    )


def _imagej_facts(description: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in description.splitlines() if "=" in line)


def _number(pattern: str, text: str) -> float | None:
    found = re.search(pattern, text, re.MULTILINE)
    number = _float(found.group(1)) if found else None
    return number if number and number > 0 else None


def _float(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _milli(value: float | None) -> float | None:
    return value / 1000 if value else None


def _divided(match: re.Match[str], divisor: float) -> str:
    number = _float(match.group(2))
    if number is None:
        return match.group(0)
    return f"{match.group(1)}{number / divisor:.10g}"


def _ratio(value: tuple[int, int]) -> float | None:
    return value[0] / value[1] if value[0] > 0 and value[1] > 0 else None


def _times(value: tuple[int, int], scale: int) -> tuple[int, int]:
    numerator, denominator = value[0] * scale, value[1]
    while numerator >= 1 << 32:
        numerator, denominator = numerator // 2, max(1, denominator // 2)
    return numerator, denominator


def _per_centimetre(spacing_mm: float) -> tuple[int, int]:
    denominator = 10_000
    while denominator > 1 and 10 / spacing_mm * denominator >= 1 << 32:
        denominator //= 10
    return round(10 / spacing_mm * denominator), denominator
