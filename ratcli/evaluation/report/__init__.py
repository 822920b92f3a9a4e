"""The report: one HTML file that needs nothing else, or a PDF; and an index of several.

It loads nothing from the network and has no patient data: only figures, pictures, and the title
that the caller gives.
"""

from __future__ import annotations

import importlib.resources
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape
from markupsafe import Markup

from ratcli.evaluation.patients import PatientFigures
from ratcli.evaluation.report.cards import cards
from ratcli.evaluation.report.curves import plots
from ratcli.evaluation.report.pictures import Gallery, make_gallery
from ratcli.evaluation.report.plots import colours, draw
from ratcli.evaluation.results import AXIAL, Evaluation
from ratcli.evaluation.tables import tables
from ratcli.evaluation.tables.patients import patients_table
from ratcli.evaluation.tables.table import FigureTable

_WINDOWS: dict[str, dict[str, tuple[float, float]]] = {
    "HU": {
        "soft tissue": (-160, 240),
        "lung": (-1350, 150),
        "brain": (0, 80),
        "bone": (-450, 1050),
        "full": (-1024, 3072),
    },
    "SUV": {"0 to 5": (0, 5), "0 to 10": (0, 10), "0 to 20": (0, 20)},
}


@dataclass(frozen=True)
class PageFacts:
    """Where a report comes from.

    Attributes:
        title: of the scan, nothing about the patient.
        version: of this software.
        facts: more rows for the table: task, weights and their SHA-256, settings, libraries.
    """

    title: str
    version: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class IndexEntry:
    """A report in an index.

    Attributes:
        title: of the scan.
        link: relative path of its report.
        found: its figures.
    """

    title: str
    link: str
    found: Evaluation


def render(found: Evaluation, provenance: PageFacts, *, exact_values: bool = False) -> str:
    """Return the report as one HTML text, below 5 MB for 20 planes and 12 MB for 40.

    Args:
        found: the figures and the sample planes.
        provenance: title, version, settings.
        exact_values: hold the images in 16 bits and all pixels, whatever their size.
    """
    gallery = make_gallery(found.samples, found.unit, found.spacing_mm, exact=exact_values)
    return _template("page.html.jinja").render(
        title=provenance.title,
        cards=cards(found),
        tables=[(table, _places(table, gallery)) for table in tables(found)],
        plots=[(plot, draw(plot), colours(plot)) for plot in plots(found)],
        found=found,
        size=_size(found),
        gallery=gallery,
        windows=_windows(found),
        data="" if gallery is None else _data(gallery),
        provenance=provenance,
        style=_text("report.css"),
        script=Markup("\n").join(map(_text, ("report.js", "viewer.js", "measure.js"))),
    )


def render_pdf(found: Evaluation, provenance: PageFacts) -> bytes:
    """Return the report as a PDF of a few pages, with the main rows of the tables.

    Args:
        found: the figures and the sample planes.
        provenance: title, version, settings.
    """
    from ratcli.evaluation.report import pdf

    samples = [sample for sample in found.samples if sample.view == AXIAL]
    gallery = make_gallery(samples, found.unit, found.spacing_mm)
    made_by = f"Made by rat {provenance.version}; not a medical device; a physicist must judge."
    unit = found.unit or "an unknown unit"
    parts: list[Any] = [
        pdf.heading(provenance.title, 16),
        pdf.paragraph(f"{_size(found)}, values in {unit}. {made_by}"),
        pdf.gap(),
        pdf.verdicts(cards(found)),
    ]
    if gallery is not None:
        scale = gallery.scales["image"].values
        window = next(iter(_windows(found).values()), (float(scale[0]), float(scale[-1])))
        parts.append(pdf.pictures(gallery, samples, window))
    if found.notes:
        parts += [pdf.heading("Not measured, and how regions were found")]
        parts += [pdf.paragraph(note) for note in found.notes]
    parts += pdf.curves([(plot, colours(plot)) for plot in plots(found)])
    parts += [pdf.heading("Figures")]
    parts += [part for table in tables(found) for part in pdf.figures(table)]
    rows = [("rat", provenance.version), *provenance.facts.items()]
    parts += [pdf.heading("Provenance"), pdf.facts(rows)]
    return pdf.pdf_document(provenance.title, parts)


def render_file(
    suffix: str, found: Evaluation, provenance: PageFacts, *, exact_values: bool = False
) -> bytes:
    """Return the report as the content of a file: PDF if the suffix says so, else HTML."""
    if suffix.lower() == ".pdf":
        return render_pdf(found, provenance)
    page = render(found, provenance, exact_values=exact_values)
    return page.encode("utf-8", "backslashreplace")


def render_index(
    entries: Sequence[IndexEntry],
    provenance: PageFacts,
    over: PatientFigures | None = None,
) -> str:
    """Return a page that lists reports with their verdicts and first figures.

    Args:
        entries: the reports, in order.
        provenance: title, version, settings.
        over: figures over patients, shown above the list.
    """
    rows = [
        {"title": entry.title, "link": quote(os.fsencode(entry.link)), "cards": cards(entry.found)}
        for entry in entries
    ]
    return _template("index.html.jinja").render(
        title=provenance.title,
        rows=rows,
        over=patients_table(over) if over is not None and over.figures else None,
        provenance=provenance,
        style=_text("report.css"),
    )


def _windows(found: Evaluation) -> dict[str, tuple[float, float]]:
    return _WINDOWS.get(found.unit or "", {})


def _size(found: Evaluation) -> str:
    planes = "1 plane" if found.planes == 1 else f"{found.planes} planes"
    size = f"{planes} of {found.height} × {found.width} pixels"
    between, *pitch = found.spacing_mm
    if None in pitch:
        return f"{size}, spacing unknown"
    size += f" of {pitch[0]:.3g} × {pitch[1]:.3g} mm"
    return size if between is None else f"{size}, {between:.3g} mm apart"


def _places(table: FigureTable, gallery: Gallery | None) -> list[tuple[int, float, float] | None]:
    """Return for each row of a table the picture that shows it, and where in it."""
    slides = () if gallery is None else gallery.slides
    return [
        next(
            (
                (index, *at)
                for index, slide in enumerate(slides)
                if slide.view == AXIAL
                and where.plane in (None, slide.plane)
                and (at := slide.find(where.label, where.row, where.column)) is not None
            ),
            None,
        )
        for where in table.where
    ] or [None] * len(table.rows)


def _data(gallery: Gallery) -> Markup:
    """Return the pictures as JSON that is safe inside a script element."""
    content = {
        "inverted": gallery.inverted,
        "scales": {
            name: {"values": [round(float(v), 5) for v in scale.values], "unit": scale.unit}
            for name, scale in gallery.scales.items()
        },
        "slides": [
            {
                **asdict(slide),
                "title": slide.title,
                "box": slide.box._asdict(),
                "layers": {layer.name: asdict(layer) for layer in slide.layers},
            }
            for slide in gallery.slides
        ],
    }
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))


def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("ratcli.evaluation.report", package_path=""),
        autoescape=select_autoescape(("jinja",), default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _text(name: str) -> Markup:
    file = importlib.resources.files("ratcli.evaluation.report") / name
    return Markup(file.read_text(encoding="utf-8"))
