"""Plots as SVG text: lines, scatter, bars; colours come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

_WIDTH, _HEIGHT = 460, 286
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 24, 16, 52
_COLOURS = 6
_LETTER = 6.2  # mean width of a letter
# The same image has the same colour in every plot.
_COLOUR_OF = {"input": 0, "restored": 1, "reference": 2}


@dataclass(frozen=True)
class Trace:
    """One curve or cloud of points.

    Attributes:
        name: for the legend.
        x: values along the horizontal axis.
        y: as many along the vertical one.
        dots: draw points instead of a line.
        mark: place on the horizontal axis that is marked by a short line, or None.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dots: bool = False
    mark: float | None = None


@dataclass(frozen=True)
class Rule:
    """A straight line across the plot: at a height, or along y = x where `height` is None."""

    name: str
    height: float | None


@dataclass(frozen=True)
class Plot:
    """A plot to draw.

    Attributes:
        title: what it shows.
        x_label: with its unit.
        y_label: with its unit.
        series: at least one.
        rules: reference lines.
        from_zero: whether the vertical axis begins at 0.
    """

    title: str
    x_label: str
    y_label: str
    series: Sequence[Trace]
    rules: Sequence[Rule] = field(default=())
    from_zero: bool = True

    @property
    def dots(self) -> list[tuple[float, float]]:
        """All points that are drawn as such."""
        clouds = [series for series in self.series if series.dots]
        return [pair for each in clouds for pair in zip(each.x, each.y, strict=True)]


def draw(plot: Plot) -> Markup:
    """Return the plot as an SVG element with a title and a description for screen readers.

    Raises:
        ValueError: there is nothing finite to draw.
    """
    points = [
        (x, y)
        for series in plot.series
        for x, y in zip(series.x, series.y, strict=True)
        if math.isfinite(x) and math.isfinite(y)
    ]
    if not points:
        raise ValueError(f"the plot '{plot.title}' has no finite point")
    heights = [y for _, y in points] + [
        rule.height for rule in plot.rules if rule.height is not None
    ]
    x_ticks = ticks(min(x for x, _ in points), max(x for x, _ in points))
    y_ticks = ticks(0.0 if plot.from_zero else min(heights), max(heights))
    frame = _Frame((x_ticks[0], x_ticks[-1]), (y_ticks[0], y_ticks[-1]))
    parts = [
        *_axes(frame, x_ticks, y_ticks, plot),
        *(_rule(frame, rule, plot.dots) for rule in plot.rules),
        *(
            _series(frame, series, colour)
            for series, colour in zip(plot.series, colours(plot), strict=True)
        ),
    ]
    names = ", ".join(series.name for series in plot.series)
    label = escape(f"{plot.title}: {names}; {plot.x_label} across, {plot.y_label} up")
    body = "".join(parts)
    return Markup(
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">'
        f"<title>{escape(plot.title)}</title>{body}</svg>"
    )


def colours(plot: Plot) -> list[int]:
    """Return the number of each series' colour in the style sheet."""
    free = iter(range(len(_COLOUR_OF), len(_COLOUR_OF) + len(plot.series)))
    alone = len(plot.series) == 1
    return [
        1 if alone else _COLOUR_OF[name] if name in _COLOUR_OF else next(free) % _COLOURS
        for name in (series.name.partition(" (")[0] for series in plot.series)
    ]


def ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers that span a range, at least two."""
    if high <= low:
        low, high = low - max(abs(low), 1.0) * 0.5, low + max(abs(low), 1.0) * 0.5
    rough = (high - low) / 5.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= rough)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


class _Frame:
    """Maps values to places in the picture."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x, self.y = x, y

    def across(self, value: float) -> float:
        share = (value - self.x[0]) / (self.x[1] - self.x[0])
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def up(self, value: float) -> float:
        share = (value - self.y[0]) / (self.y[1] - self.y[0])
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _axes(
    frame: _Frame, x_ticks: Sequence[float], y_ticks: Sequence[float], plot: Plot
) -> list[str]:
    left, right = _LEFT, _WIDTH - _RIGHT
    top, bottom = _TOP, _HEIGHT - _BOTTOM
    parts = []
    for value in y_ticks:
        y = frame.up(value)
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(left - 6, y + 4, _label(value), "end"))
    for value in x_ticks:
        x = frame.across(value)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>')
        parts.append(_text(x, bottom + 21, _label(value), "middle"))
    parts.append(_text((left + right) / 2, _HEIGHT - 8, plot.x_label, "middle"))
    middle = (top + bottom) / 2
    parts.append(
        f'<text class="axis" text-anchor="middle" transform="translate(14 {middle:.0f}) '
        f'rotate(-90)">{escape(plot.y_label)}</text>'
    )
    return parts


def _rule(frame: _Frame, rule: Rule, dots: Sequence[tuple[float, float]]) -> str:
    """Draw a rule, with its name at that end where it covers the fewest points."""
    if rule.height is None:
        low, high = max(frame.x[0], frame.y[0]), min(frame.x[1], frame.y[1])
        ends = ((low, low), (high, high))
    else:
        ends = ((frame.x[0], rule.height), (frame.x[1], rule.height))
    (x1, y1), (x2, y2) = ((frame.across(x), frame.up(y)) for x, y in ends)
    line = f'<line class="rule" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
    wide = _LETTER * len(rule.name)
    shown = [(frame.across(x), frame.up(y)) for x, y in dots if math.isfinite(x + y)]

    def covered(place: tuple[float, float, str]) -> int:
        x, y, anchor = place
        left = x if anchor == "start" else x - wide
        return sum(
            left - 3 <= across <= left + wide + 3 and y - 13 <= up <= y + 5 for across, up in shown
        )

    places = [
        (x, y + down, anchor)
        for down in (-5, 13)
        for x, y, anchor in ((x2 - 4, y2, "end"), (x1 + 4, y1, "start"))
    ]
    x, y, anchor = min(places, key=covered)
    return line + _text(x, y, rule.name, anchor)


def _series(frame: _Frame, series: Trace, colour: int) -> str:
    pairs = [
        (frame.across(x), frame.up(y))
        for x, y in zip(series.x, series.y, strict=True)
        if math.isfinite(x) and math.isfinite(y)
    ]
    if series.dots:
        return "".join(
            f'<circle class="dot c{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in pairs
        )
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)
    line = f'<polyline class="line c{colour}" points="{path}"/>'
    if series.mark is None:
        return line
    x, y = frame.across(series.mark), _HEIGHT - _BOTTOM
    return line + f'<polyline class="line c{colour}" points="{x:.1f},{y} {x:.1f},{y - 14}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text class="axis" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _label(value: float) -> str:
    """Return a tick's number, without a power of ten where a few zeros are enough."""
    text = f"{value:.4g}" if abs(value) < 1e4 or abs(value) >= 1e6 else f"{value:.0f}"
    return text.replace("-", "\N{MINUS SIGN}")
