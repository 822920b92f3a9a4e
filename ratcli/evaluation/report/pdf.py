"""The report as a PDF of a few pages for an archive: verdicts, pictures, curves, main tables."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import imagecodecs
import numpy as np
from markupsafe import escape
from reportlab.graphics.shapes import Circle, Drawing, Line, PolyLine, String
from reportlab.lib.colors import HexColor
from reportlab.lib.fonts import addMapping
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Image, KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table

from ratcli.evaluation.comparison import INPUT, REFERENCE, RESTORED
from ratcli.evaluation.report.cards import GOOD, LOOK, NEUTRAL, Card
from ratcli.evaluation.report.layers import resized
from ratcli.evaluation.report.pictures import Gallery, Slide
from ratcli.evaluation.report.plots import Plot, draw
from ratcli.evaluation.results import Sample
from ratcli.evaluation.tables.table import FigureTable

_MARGIN, _WIDE = 42, A4[0] - 84
# Vera comes with reportlab and has the minus and the root; archives need fonts in the file.
_FONT, _BOLD = "Vera", "VeraBd"
for _name in (_FONT, _BOLD):
    pdfmetrics.registerFont(TTFont(_name, f"{_name}.ttf"))
    addMapping(_name, 0, 0, _name)
_INK, _SOFT, _LINE = HexColor("#1b2330"), HexColor("#566072"), HexColor("#d5dae2")
_COLOURS = ["#c2410c", "#1d4ed8", "#15803d", "#7e22ce", "#0e7490", "#6b4f00"]
_VERDICTS = {
    GOOD: ("within limits", "#1a6b3a"),
    LOOK: ("look closer", "#a33c00"),
    NEUTRAL: ("for information", "#566072"),
}
_PICTURES_PX = 420


def pdf_document(title: str, parts: Sequence[Any]) -> bytes:
    """Return a PDF of flowing parts, with the title and a page number below each page."""

    def foot(canvas: Any, document: Any) -> None:
        canvas.setFont(_FONT, 7)
        canvas.drawString(_MARGIN, 24, f"{title[:90]} · page {document.page}")

    file = io.BytesIO()
    document = SimpleDocTemplate(
        file, pagesize=A4, leftMargin=_MARGIN, rightMargin=_MARGIN, topMargin=36, bottomMargin=42,
        title=title, author="rat", invariant=1,
    )  # fmt: skip
    document.build(list(parts), onFirstPage=foot, onLaterPages=foot)
    return file.getvalue()


def heading(text: str, size: int = 12) -> Paragraph:
    """Return a heading that stays with what follows."""
    style = ParagraphStyle(
        "heading", fontName=_BOLD, fontSize=size, leading=1.3 * size, spaceBefore=8,
        spaceAfter=4, textColor=_INK, keepWithNext=1,
    )  # fmt: skip
    return Paragraph(str(escape(text)), style)


def paragraph(text: str, size: float = 8) -> Paragraph:
    """Return plain text."""
    style = ParagraphStyle(
        "text", fontName=_FONT, fontSize=size, leading=1.35 * size, textColor=_INK, splitLongWords=1
    )
    return Paragraph(str(escape(text)), style)


def verdicts(cards: Sequence[Card]) -> Table:
    """Return the verdicts, one in a row."""
    rows = []
    for card in cards:
        words, colour = _VERDICTS[card.status]
        name = f'<font name="{_BOLD}">{escape(card.title)}</font><br/>'
        label = paragraph("")
        label = Paragraph(f'{name}<font color="{colour}">{words}</font>', label.style)
        rows.append([label, paragraph(card.text)])
    return Table(rows, [95, _WIDE - 95], style=_rules(len(rows)), hAlign="LEFT")


def pictures(
    gallery: Gallery, samples: Sequence[Sample], window: tuple[float, float]
) -> KeepTogether:
    """Return the images of the middle plane side by side, in a window."""
    slide = gallery.slides[(len(gallery.slides) - 1) // 2]
    sample = next(one for one in samples if (one.plane, one.view) == (slide.plane, slide.view))
    names = [name for name in (INPUT, "bicubic", RESTORED, REFERENCE) if name in sample.images]
    wide = min(_WIDE / len(names) - 6, 300.0 * slide.aspect)
    images = [
        Image(io.BytesIO(_jpeg(sample, name, slide, window, gallery)), wide, wide / slide.aspect)
        for name in names
    ]
    texts = [paragraph(name) for name in names]
    low, high = window
    shown = f"{slide.title}" + (
        "" if gallery.scales["image"].unit == "RGB"
        else f", from {low:.4g} to {high:.4g} {gallery.scales['image'].unit}"
    )  # fmt: skip
    table = Table([images, texts], [wide + 6] * len(names), hAlign="LEFT")
    return KeepTogether([heading("Pictures"), table, paragraph(shown)])


def curves(plots: Sequence[tuple[Plot, Sequence[int]]]) -> list[Any]:
    """Return plots with their legends, two in a row."""
    cells = [
        [
            paragraph(plot.title),
            _drawing(plot, 0.5 * _WIDE - 8),
            Paragraph(
                " ".join(
                    f'<font color="{_COLOURS[colour]}">— {escape(series.name)}</font>'
                    for series, colour in zip(plot.series, numbers, strict=True)
                ),
                paragraph("", 7).style,
            ),
        ]
        for plot, numbers in plots
    ]
    rows = [cells[at : at + 2] for at in range(0, len(cells), 2)]
    rows = [row + [""] * (2 - len(row)) for row in rows]  # type: ignore[list-item]
    return [heading("Curves"), *(Table([row], [0.5 * _WIDE] * 2) for row in rows)] if rows else []


def figures(table: FigureTable) -> list[Any]:
    """Return the main columns and rows of a table."""
    short = table.narrow()
    if not short.rows:
        return []
    cells = [[paragraph(cell, 7) for cell in row] for row in (short.header, *short.rows)]
    return [
        heading(table.title, 9),
        Table(cells, [_WIDE / len(short.columns)] * len(short.columns), repeatRows=1,
              style=_rules(len(cells))),
    ]  # fmt: skip


def facts(rows: Sequence[tuple[str, str]]) -> Table:
    """Return names and values."""
    cells = [[paragraph(name, 7), paragraph(value, 7)] for name, value in rows]
    return Table(cells, [95, _WIDE - 95], style=_rules(len(cells)), hAlign="LEFT")


def gap() -> Spacer:
    """Return some room."""
    return Spacer(1, 6)


def _rules(rows: int) -> list[tuple[Any, ...]]:
    """Return the style of a table: a line below each row."""
    line = [("LINEBELOW", (0, at), (-1, at), 0.4, _LINE) for at in range(rows)]
    return [*line, ("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (0, -1), 0)]


def _jpeg(
    sample: Sample, name: str, slide: Slide, window: tuple[float, float], gallery: Gallery
) -> bytes:
    rows, columns = slide.box.slices
    image = sample.images[name][:, rows, columns]
    shrink = min(_PICTURES_PX / max(image.shape[1:]), 1.0)
    size = tuple(max(round(side * shrink), 1) for side in image.shape[1:])
    low, high = (0.0, 1.0) if image.shape[0] == 3 else window
    share = [(resized(channel, size) - low) / (high - low) for channel in image]
    levels = np.clip(np.stack(share, axis=-1), 0.0, 1.0)
    levels = 1.0 - levels if gallery.inverted else levels
    pixels = np.rint(255.0 * levels).astype(np.uint8)
    return bytes(imagecodecs.jpeg8_encode(pixels.squeeze(-1) if len(share) == 1 else pixels, 88))


def _drawing(plot: Plot, wide: float) -> Drawing:
    """Return a plot as `draw` makes it: lines, polylines, points and texts."""
    svg = ElementTree.fromstring(str(draw(plot)))
    _, _, width, height = (float(part) for part in svg.attrib["viewBox"].split())
    drawing = Drawing(wide, wide * height / width)
    drawing.scale(wide / width, wide / width)
    for element in svg:
        if (shape := _shape(element, height)) is not None:
            drawing.add(shape)
    return drawing


def _shape(element: ElementTree.Element, height: float) -> Any:
    """Return an element of SVG, whose heights grow downwards, as a shape of reportlab."""
    at = element.attrib
    kind, *rest = at.get("class", "title").split()
    colour = HexColor(_COLOURS[int(rest[0][1:])]) if rest else _LINE if kind == "grid" else _SOFT
    if element.tag == "line":
        x1, y1, x2, y2 = (float(at[name]) for name in ("x1", "y1", "x2", "y2"))
        dash = [5, 4] if kind == "rule" else None
        return Line(x1, height - y1, x2, height - y2, strokeColor=colour, strokeDashArray=dash)
    if element.tag == "polyline":
        pairs = [pair.split(",") for pair in at["points"].split()]
        points = [part for x, y in pairs for part in (float(x), height - float(y))]
        return PolyLine(points, strokeColor=colour, strokeWidth=2)
    if element.tag == "circle":
        x, y = float(at["cx"]), height - float(at["cy"])
        return Circle(x, y, 3, fillColor=colour, strokeColor=None)
    if element.tag == "text" and "x" in at:
        x, y = float(at["x"]), height - float(at["y"])
        return String(x, y, element.text or "", fontName=_FONT, fontSize=10, fillColor=_INK,
                      textAnchor=at["text-anchor"])  # fmt: skip
    if element.tag == "text":  # the upright name of an axis, above the frame
        return String(2, height - 10, element.text or "", fontName=_FONT, fontSize=10,
                      fillColor=_INK)  # fmt: skip
    return None
