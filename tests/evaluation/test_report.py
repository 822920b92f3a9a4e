from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import imagecodecs
import numpy as np
import pytest
from arrays import ArrayReader
from scipy.ndimage import gaussian_filter

from ratcli.errors import MeasurementError
from ratcli.evaluation.comparison import Comparison
from ratcli.evaluation.evaluate import EvaluationSettings, evaluate
from ratcli.evaluation.given_regions import Disc, regions_from_json
from ratcli.evaluation.report import IndexEntry, PageFacts, render, render_index
from ratcli.evaluation.report.cards import Card, cards
from ratcli.evaluation.report.pictures import make_gallery
from ratcli.evaluation.report.plots import Plot, Rule, Trace, colours, draw, ticks
from ratcli.evaluation.results import Evaluation, Sample
from ratcli.evaluation.tables.table import interval, number, signed

SIDE = 128


def _scans(planes: int = 3) -> dict[str, ArrayReader]:
    plane = np.full((SIDE, SIDE), -1000.0)
    plane[Disc(64, 64, 52).mask(plane.shape)] = 20.0
    plane[Disc(54, 50, 18).mask(plane.shape)] = 90.0
    clean = np.repeat(gaussian_filter(plane, 0.8)[None, None], planes, axis=0)
    noise = np.random.default_rng(0).normal(0.0, 20.0, clean.shape)
    deleted = clean.copy()
    deleted[1, 0] += 90.0 * Disc(80, 84, 3.0).mask(plane.shape)
    return {
        "restored": ArrayReader(clean + 0.2 * noise),
        "reference": ArrayReader(clean),
        "input": ArrayReader(deleted + noise),
        "uncertainty": ArrayReader(np.full_like(clean, 4.0)),
    }


@pytest.fixture(scope="module")
def found() -> Evaluation:
    return evaluate(Comparison(**_scans()), EvaluationSettings(phantom=True))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def page(found: Evaluation) -> str:
    facts = {"weights, SHA-256": "0123456789abcdef", "settings": "strength 1 & <no> script"}
    return render(found, PageFacts("Phantom <script>alert(1)</script>", "9.9", facts))


class _Tags(HTMLParser):
    """Gathers tags with their attributes, and those left open."""

    VOID = frozenset({"meta", "link", "input", "img", "br", "i"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_every_element_is_closed(page: str) -> None:
    assert _Tags(page).open == []


def test_the_page_names_nothing_outside_itself(page: str) -> None:
    outside = [
        value
        for _, attributes in _Tags(page).tags
        for name, value in attributes.items()
        if name in ("src", "href") and value and not value.startswith("data:")
    ]
    assert outside == []
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", page)


def test_titles_and_facts_are_escaped(page: str) -> None:
    assert "<script>alert(1)" not in page
    assert "strength 1 &amp; &lt;no&gt; script" in page


def test_provenance_and_verdicts_are_on_the_page(page: str) -> None:
    assert "0123456789abcdef" in page
    assert "does not look like noise" in page
    assert "spots stand out (1 removed, 0 added)" in page


def test_every_plot_has_units_and_a_text_for_screen_readers(page: str) -> None:
    labels = [
        attributes["aria-label"] or ""
        for tag, attributes in _Tags(page).tags
        if tag == "svg" and attributes.get("viewbox", "").startswith("0 0 460")
    ]
    assert any("power in HU² mm²" in label and "1/mm" in label for label in labels)
    assert any("Bland-Altman" in label for label in labels)
    assert any("transfer" in label for label in labels)
    assert len(labels) >= 5


def test_the_pictures_are_jpeg_data_and_the_suspicious_place_is_marked(page: str) -> None:
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert text is not None
    slides = json.loads(text[1])["slides"]
    assert [slide["plane"] for slide in slides] == [0, 1, 2]
    layers = slides[1]["layers"]
    assert set(layers) == {
        "input", "restored", "reference", "residual", "error", "noise map", "suspicion",
        "uncertainty",
    }  # fmt: skip
    assert all(layer["uri"].startswith("data:image/jpeg;base64,/9j/") for layer in layers.values())
    assert "spot removed" in slides[1]["places"][0][2]


def test_pictures_shrink_until_they_fit_the_budget() -> None:
    noise = np.random.default_rng(0).normal(0.0, 30.0, (1, 256, 256)).astype(np.float32)
    sample = Sample(
        0, {"restored": noise, "input": noise}, np.ones((256, 256), bool),
        np.full((256, 256), -1, np.int32), None, None, None, (),
    )  # fmt: skip
    full, small = (make_gallery([sample] * 3, "HU", (None,) * 3, size) for size in (10**7, 40_000))
    assert full is not None
    assert small is not None
    total = sum(len(layer.uri) for slide in small.slides for layer in slide.layers)
    assert total <= 40_000
    assert small.fineness.longest_px < full.fineness.longest_px


def test_forty_noisy_planes_stay_below_12_mb(found: Evaluation) -> None:
    noise = np.random.default_rng(0).normal(0.0, 30.0, (1, 256, 256)).astype(np.float32)
    images = {"restored": noise, "input": 2 * noise, "reference": noise}
    whole = np.ones((256, 256), bool)
    planes = [Sample(n, images, whole, np.full(whole.shape, -1, np.int32)) for n in range(40)]
    text = render(replace(found, samples=tuple(planes)), PageFacts("large", "9.9"))
    assert 4_000_000 < len(text) < 12_000_000


def test_slides_keep_all_pixels_and_fewer_are_shown() -> None:
    rgb = np.random.default_rng(0).uniform(0.0, 1.0, (3, 128, 128)).astype(np.float32)
    whole = np.ones((128, 128), bool)
    none = np.full(whole.shape, -1, np.int32)
    samples = [Sample(n, {"restored": rgb, "input": rgb}, whole, none) for n in range(6)]
    one, few, every = (
        make_gallery(samples, "RGB", (None,) * 3, budget) for budget in (60_000, 150_000, 10**7)
    )
    assert one is not None
    assert few is not None
    assert every is not None
    assert 1 <= len(one.slides) < len(few.slides) < len(every.slides) == 6
    for gallery in (one, few, every):
        assert _size_of(gallery.slides[0].layers[0].uri) == (128, 128, 3)


@pytest.mark.parametrize("values", ["whole", "fractions", "constant"])
def test_exact_pictures_hold_every_value(values: str) -> None:
    plane = np.random.default_rng(0).normal(40.0, 300.0, (1, 64, 48)).astype(np.float32)
    plane = {"whole": np.rint(plane), "fractions": plane, "constant": 0 * plane + 0.5}[values]
    whole = np.ones(plane.shape[1:], bool)
    sample = Sample(0, {"restored": plane}, whole, np.full(whole.shape, -1, np.int32))
    gallery = make_gallery([sample], "HU", (None,) * 3, exact=True)
    assert gallery is not None
    (slide,) = gallery.slides
    high, low, _ = np.moveaxis(_decoded(slide.layers[0].uri).astype(float), -1, 0)
    read = slide.layers[0].first + slide.layers[0].step * (256 * high + low)
    # Half of a step: the range over 65535, or nothing for whole numbers.
    most = 0.0 if values == "whole" else 0.51 * np.ptp(plane) / 65535
    np.testing.assert_allclose(read, plane[0][slide.box.slices], rtol=0, atol=most + 1e-6)


def _decoded(uri: str) -> np.ndarray:
    data = base64.b64decode(uri.partition(",")[2])
    return imagecodecs.png_decode(data) if "png" in uri[:20] else imagecodecs.jpeg8_decode(data)


def _size_of(uri: str) -> tuple[int, ...]:
    return _decoded(uri).shape


def test_a_pet_volume_is_shown_in_inverted_gray_with_coronal_and_projection() -> None:
    volume = np.full((9, 1, 32, 40), 0.5)
    volume[7, 0, 16, 8] = 6.0
    volume[2, 0, 4, 30] = 9.0
    scan = ArrayReader(volume, "SUV", (4.0, 2.0, 2.0))
    found = evaluate(Comparison(scan, scan))
    coronal, highest = found.samples[-2:]
    # The last plane, that nearest the head, is on top.
    assert np.argwhere(coronal.images["restored"][0] > 5).tolist() == [[1, 8]]
    assert np.argwhere(highest.images["restored"][0] > 5).tolist() == [[1, 8], [6, 30]]
    gallery = make_gallery(found.samples, "SUV", scan.info.spacing_mm)
    assert gallery is not None
    assert gallery.inverted
    side = gallery.slides[-1]
    assert side.aspect == pytest.approx(2.0 * side.box.width / (4.0 * side.box.height))


def test_ct_has_a_coronal_plane_and_no_projection() -> None:
    scan = ArrayReader(np.zeros((9, 1, 32, 32)))
    views = {sample.view for sample in evaluate(Comparison(scan, scan)).samples}
    assert views == {"planes", "coronal"}


def test_rows_of_places_and_regions_point_into_a_picture(found: Evaluation, page: str) -> None:
    rows = [attributes for tag, attributes in _Tags(page).tags if "data-slide" in attributes]
    (place,) = found.residual[1].check.places
    assert any(row["data-slide"] == "1" for row in rows)
    assert len(rows) > sum(len(each.check.places) for each in found.residual)
    for row in rows:
        assert 0.0 <= float(row["data-x"] or -1) <= 1.0
        assert 0.0 <= float(row["data-y"] or -1) <= 1.0
    assert "Suspicious places" in page
    assert place.kind == "spot"


def test_a_scan_without_samples_has_a_page_without_pictures(found: Evaluation) -> None:
    text = render(replace(found, samples=()), PageFacts("bare", "9.9"))
    assert 'id="stage"' not in text
    assert "Figures" in text


@pytest.mark.parametrize(("share", "status"), [(0.95, "good"), (0.8, "look")])
def test_uptake_that_falls_is_judged(share: float, status: str) -> None:
    volume = np.full((9, 1, 64, 64), 0.5)
    volume[:, 0][:, Disc(30, 30, 8).mask((64, 64))] = 4.0
    scans = [ArrayReader(scan, "SUV", (4.0, 4.0, 4.0)) for scan in (share * volume, volume)]
    regions = regions_from_json('{"regions": [{"name": "lesion", "disc": [30, 30, 6]}]}')
    result = evaluate(Comparison(*scans, regions=regions))
    card = next(card for card in cards(result) if card.title == "Uptake")
    assert card.status == status
    assert "lesion" in card.text


def test_slides_are_shown_in_colour() -> None:
    rgb = gaussian_filter(np.random.default_rng(0).uniform(0.3, 0.9, (1, 3, 64, 64)), (0, 0, 1, 1))
    scan = ArrayReader(rgb, "RGB", (None, None, None))
    text = render(evaluate(Comparison(scan, scan)), PageFacts("slide", "9.9"))
    assert '"kind":"colour"' in text
    assert "Stain, colour and sharpness" in text
    assert '"kind":"heat"' not in text


def test_the_uncertainty_of_a_slide_is_shown_as_a_map() -> None:
    rgb = gaussian_filter(np.random.default_rng(0).uniform(0.3, 0.9, (1, 3, 64, 64)), (0, 0, 1, 1))
    scan, told = (ArrayReader(v, "RGB", (None, None, None)) for v in (rgb, 0.1 * rgb))
    text = render(evaluate(Comparison(scan, scan, uncertainty=told)), PageFacts("slide", "9.9"))
    assert text.count('"kind":"heat"') == 1
    assert re.search(r'"uncertainty"[^{}]*"kind":"heat"|"kind":"heat"[^{}]*"uncertainty"', text)


def test_the_index_links_every_report(found: Evaluation) -> None:
    entries = [IndexEntry(f"scan {n}", f"scan{n}.html", found) for n in range(2)]
    text = render_index(entries, PageFacts("Reports", "9.9"))
    links = [attributes.get("href") for tag, attributes in _Tags(text).tags if tag == "a"]
    assert links == ["scan0.html", "scan1.html"]


def test_an_image_has_the_same_colour_in_every_plot() -> None:
    names = ("reference", "restored", "gaussian", "input")
    plot = Plot("t", "x", "y", [Trace(name, [0, 1], [1.0, 2.0]) for name in names])
    assert colours(plot) == [2, 1, 3, 0]
    assert colours(Plot("t", "x", "y", [Trace("regions", [0, 1], [1.0, 2.0])])) == [1]


def test_a_curve_and_its_legend_have_the_colour_of_its_image(page: str) -> None:
    plot = Plot(
        "t", "x", "y", [Trace("input", [0, 1], [2.0, 2.0]), Trace("restored", [0, 1], [1.0, 1.0])]
    )
    curves = re.findall(r'class="line c(\d)" points="[\d.]+,([\d.]+) ', draw(plot))
    # Heights grow downwards in SVG: the input, twice as high, has the smaller one.
    assert [number for number, _ in sorted(curves, key=lambda curve: float(curve[1]))] == ["0", "1"]
    legend = set(re.findall(r'<i class="c(\d)"></i>(input|restored|reference)<', page))
    assert legend == {("0", "input"), ("1", "restored"), ("2", "reference")}


def test_ticks_are_round_and_span_the_range() -> None:
    assert ticks(0.0, 0.62) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8])
    assert ticks(3.0, 3.0)[0] < 3.0 < ticks(3.0, 3.0)[-1]


def test_values_that_are_not_finite_are_left_out_of_plots() -> None:
    plot = Plot("t", "x", "y", [Trace("a", [0, 1, 2], [1.0, float("nan"), 3.0])], [Rule("r", 2.0)])
    assert "nan" not in draw(plot)
    with pytest.raises(ValueError, match="no finite point"):
        draw(Plot("t", "x", "y", [Trace("a", [0], [float("inf")])]))


def test_numbers_are_written_for_readers() -> None:
    assert number(-1.234) == "−1.23"
    assert number(float("nan")) == "–"
    assert number(float("inf")) == "∞"
    assert signed(0.5, 1) == "+0.5"
    assert interval(float("nan"), 1.0) == "–"


@pytest.mark.parametrize(
    ("bad", "where"),
    [(np.nan, "a pixel"), (np.inf, "a row"), (-np.inf, "a quarter"), (np.nan, "a plane")],
)
def test_pixels_that_are_not_finite_change_no_figure_of_the_others(bad: float, where: str) -> None:
    places = {
        "a pixel": np.s_[1, 0, 64, 64],
        "a row": np.s_[1, 0, 40],
        "a quarter": np.s_[1, 0, :64, :64],
        "a plane": np.s_[1],
    }
    scans = _scans()
    whole = evaluate(Comparison(**scans))  # type: ignore[arg-type]
    for scan in ("restored", "input"):
        scans[scan].volume[places[where]] = bad
    found = evaluate(Comparison(**scans))  # type: ignore[arg-type]
    assert "<img" in render(found, PageFacts("T", "1"))
    for row, other in zip(found.noise, whole.noise, strict=True):
        assert row.noise == pytest.approx(other.noise, rel=0.1, nan_ok=True)
    assert all(np.isfinite(row.fidelity.rmse) for row in found.fidelity)


def test_scans_without_any_measured_pixel_are_refused() -> None:
    scans = _scans()
    scans["restored"].volume[:] = np.nan
    with pytest.raises(MeasurementError, match="no pixel is measured in all scans"):
        evaluate(Comparison(**scans))  # type: ignore[arg-type]


def _card(result: Evaluation, title: str) -> Card:
    return next(card for card in cards(result) if card.title == title)


def _noises(restored: float, reference: float | None, noisy: float = 60.0) -> Evaluation:
    """Measure a disc of water with these standard deviations in HU."""
    water = np.full((2, 1, SIDE, SIDE), -1000.0)
    water[:, 0, Disc(64, 64, 56).mask((SIDE, SIDE))] = 30.0
    white = np.random.default_rng(1).normal(0.0, 1.0, (2, *water.shape))
    scans = {
        "restored": ArrayReader(water + restored * white[0]),
        "input": ArrayReader(water + noisy * white[0]),
    }
    if reference is not None:
        scans["reference"] = ArrayReader(water + reference * white[1])
    return evaluate(Comparison(**scans))


@pytest.mark.parametrize(
    ("restored", "reference", "status"),
    [
        (5.9, 19.3, "look"),
        (12.0, 19.3, "good"),
        (2.0, 0.0, "good"),
        (5.0, None, "look"),
        (20.0, None, "good"),
        (70.0, None, "look"),
    ],
)
def test_too_little_and_too_much_noise_are_judged_by_limits_that_are_stated(
    restored: float, reference: float | None, status: str
) -> None:
    card = _card(_noises(restored, reference), "Noise")
    assert card.status == status
    assert "limits:" in card.text
    assert ("smoothing" in card.text) == (status == "look" and restored < 60.0)


def test_every_verdict_within_limits_states_its_limit(found: Evaluation) -> None:
    for result in (found, _noises(12.0, 19.3)):
        for card in cards(result):
            assert card.status == "neutral" or "imit" in card.text, card


def test_fidelity_that_is_compared_with_nothing_is_no_verdict() -> None:
    scan = ArrayReader(np.full((1, 1, 64, 64), 40.0))
    assert _card(evaluate(Comparison(scan, scan)), "Fidelity").status == "neutral"


def test_uptake_of_air_raises_no_alarm() -> None:
    volume = np.full((9, 1, 64, 64), 0.08)
    volume[:, 0][:, Disc(30, 30, 8).mask((64, 64))] = 5.0
    moved = np.where(volume < 1.0, 0.5 * volume, volume)
    scans = [ArrayReader(scan, "SUV", (4.0, 4.0, 4.0)) for scan in (moved, volume)]
    regions = regions_from_json(
        '{"regions": [{"name": "lesion", "disc": [30, 30, 6]}, '
        '{"name": "air", "disc": [8, 55, 4]}]}'
    )
    card = _card(evaluate(Comparison(*scans, regions=regions)), "Uptake")
    assert card.status == "good"
    assert "10 %" in card.text.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize("covered", ["right", "left"])
def test_the_name_of_a_rule_covers_no_point(covered: str) -> None:
    sides = {"right": 10.0, "left": 0.0}
    x = [sides[covered] + (-0.3 if covered == "right" else 0.3) * n for n in range(9)]
    ends = [0.0, 10.0]
    plot = Plot(
        "t", "x", "y",
        [Trace("regions", [*x, *ends], [5.2] * 9 + [0.0, 10.0], dots=True)],
        [Rule("bias +2.06 and more", 5.0)],
    )  # fmt: skip
    text = draw(plot)
    name = re.search(r'x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)">bias', text)
    assert name is not None
    dots = [float(up) for up in re.findall(r'<circle [^>]*cy="([\d.]+)"', text)[:9]]
    # The points lie above the line: the name is below it, or at the other end.
    other = "start" if covered == "right" else "end"
    assert name[3] == other or float(name[2]) - 13 > max(dots)
