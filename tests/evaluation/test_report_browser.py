"""The report in a real browser, without a display: Debian's chromium through Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from test_report import _scans

from ratcli.evaluation.comparison import Comparison
from ratcli.evaluation.evaluate import EvaluationSettings, evaluate
from ratcli.evaluation.patients import PatientFigures, over_patients
from ratcli.evaluation.report import IndexEntry, PageFacts, render, render_index

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    # Playwright's own event loop is closed by the interpreter, after the last test.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = evaluate(Comparison(**_scans()), EvaluationSettings(phantom=True))  # type: ignore[arg-type]
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(found, PageFacts("Phantom", "9.9", {"task": "ct-denoise"})))
    return path


class _Opened:
    """The page, with what it asked for and what went wrong in it."""

    def __init__(self, browser: Browser, file: Path, **options: Any) -> None:
        self.page: Page = browser.new_page(**options)
        self.requests: list[str] = []
        self.problems: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("#stage[data-ready]")


@pytest.fixture
def opened(browser: Browser, file: Path) -> Iterator[_Opened]:
    opened = _Opened(browser, file, viewport={"width": 1200, "height": 900})
    yield opened
    opened.page.close()


def _pixels(page: Page, canvas: str) -> list[int]:
    return page.evaluate(
        f"Array.from(document.getElementById('{canvas}').getContext('2d')"
        ".getImageData(0, 0, 40, 40).data)"
    )


def _settled(page: Page, words: str) -> None:
    page.wait_for_selector(f"#stage[data-ready='{words}']")


def test_no_request_leaves_the_file_and_nothing_goes_wrong(opened: _Opened, file: Path) -> None:
    page = opened.page
    page.select_option("#left", "residual")
    page.check("#regions")
    page.click("#theme")
    _settled(page, "1 residual restored")
    outside = [url for url in opened.requests if not url.startswith("data:")]
    assert outside == [file.as_uri()]
    assert opened.problems == []


def test_the_slider_moves_the_divider(opened: _Opened) -> None:
    page = opened.page
    page.fill("#split", "20")
    clip = page.evaluate("document.getElementById('over').style.clipPath")
    assert clip == "inset(0px 80% 0px 0px)"
    box = page.locator("#stage").bounding_box()
    assert box is not None
    place = page.locator("#divider").bounding_box()
    assert place is not None
    assert place["x"] + 1 == pytest.approx(box["x"] + 0.2 * box["width"], abs=2)


def test_dragging_on_the_picture_moves_the_divider(opened: _Opened) -> None:
    page = opened.page
    page.locator("#stage").scroll_into_view_if_needed()
    box = page.locator("#stage").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.5 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], middle)
    page.mouse.up()
    assert int(page.input_value("#split")) == pytest.approx(75, abs=1)


def test_the_keyboard_moves_divider_and_plane(opened: _Opened) -> None:
    page = opened.page
    page.focus("#stage")
    page.keyboard.press("ArrowLeft")
    assert page.input_value("#split") == "48"
    page.keyboard.press("ArrowUp")
    _settled(page, "2 input restored")
    assert "Plane 3" in page.inner_text("#caption")


def test_every_control_is_reached_with_the_tabulator(opened: _Opened) -> None:
    page = opened.page
    wanted = {
        "theme",
        "left",
        "right",
        "plane",
        "low",
        "high",
        "regions",
        "places",
        "stage",
        "split",
    }
    reached = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert wanted <= reached


def test_the_window_changes_the_picture(opened: _Opened) -> None:
    page = opened.page
    before = _pixels(page, "under")
    page.click("text=bone")
    page.wait_for_function("document.getElementById('low').value === '-450'")
    page.wait_for_timeout(200)
    assert _pixels(page, "under") != before
    assert page.inner_text("#right-legend").startswith("restored: -450")


def test_the_picture_shows_the_values_at_the_window(opened: _Opened) -> None:
    page = opened.page
    page.select_option("#right", "reference")
    page.fill("#low", "-180")
    page.fill("#high", "220")
    page.press("#high", "Enter")
    _settled(page, "1 input reference")
    page.wait_for_timeout(200)
    middle = page.evaluate(
        "(() => { const c = document.getElementById('under'); return c.getContext('2d')"
        ".getImageData(Math.round(c.width * 0.5), Math.round(c.height * 0.75), 1, 1).data[0]; })()"
    )
    # 20 HU lies in the middle of the window; levels are 4 HU apart and JPEG adds a few.
    assert middle == pytest.approx(127, abs=8)


def test_suspicious_places_are_marked_and_can_be_hidden(opened: _Opened) -> None:
    page = opened.page
    assert page.locator("#marks ellipse").count() == 1
    page.uncheck("#places")
    assert page.locator("#marks ellipse").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_legible_in_light_and_dark(browser: Browser, file: Path, scheme: Any) -> None:
    opened = _Opened(browser, file, color_scheme=scheme)
    colours = opened.page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    opened.page.close()
    assert _contrast(*colours) > 7.0


def test_the_button_changes_the_theme(opened: _Opened) -> None:
    page = opened.page
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    assert page.get_attribute("#theme", "aria-pressed") == "true"


def test_pictures_have_text_alternatives(opened: _Opened) -> None:
    page = opened.page
    assert page.get_attribute("#over", "aria-label") == "input of plane 2"
    bare = page.evaluate(
        "Array.from(document.querySelectorAll('img, canvas, svg[role=img]')).filter("
        "e => !(e.alt || e.getAttribute('aria-label'))).length"
    )
    assert bare == 0


def test_nothing_is_wider_than_a_narrow_window(browser: Browser, file: Path) -> None:
    opened = _Opened(browser, file, viewport={"width": 420, "height": 800})
    wide = opened.page.evaluate("document.documentElement.scrollWidth")
    opened.page.close()
    assert wide <= 420


def test_the_page_prints_without_controls(opened: _Opened, tmp_path: Path) -> None:
    page = opened.page
    page.emulate_media(media="print")
    assert not page.is_visible("#split")
    assert page.is_visible("#under")
    pdf = page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 20_000


def _contrast(first: str, second: str) -> float:
    """Contrast of two CSS colours as WCAG 2 has it."""
    lights = []
    for colour in (first, second):
        levels = [float(part) / 255 for part in colour[4:-1].split(",")]
        linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in levels]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


_OVERLAPS = """
(() => {
  const found = [];
  for (const plot of document.querySelectorAll('.plot')) {
    const texts = [...plot.querySelectorAll('svg text')].filter(t => t.textContent);
    const boxes = texts.map(t => t.getBoundingClientRect());
    for (let i = 0; i < boxes.length; i++)
      for (let j = i + 1; j < boxes.length; j++) {
        const a = boxes[i], b = boxes[j];
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 1 && high > 2) found.push(texts[i].textContent + ' / ' + texts[j].textContent);
      }
    const frame = plot.querySelector('svg').getBoundingClientRect();
    boxes.forEach((box, i) => {
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1)
        found.push(texts[i].textContent + ' leaves its plot');
    });
  }
  return found;
})()
"""


def test_no_text_of_a_plot_covers_another_or_leaves_it(opened: _Opened) -> None:
    assert opened.page.locator(".plot").count() >= 5
    assert opened.page.evaluate(_OVERLAPS) == []


def test_the_index_opens_without_script_or_request(browser: Browser, tmp_path: Path) -> None:
    found = evaluate(Comparison(**_scans()), EvaluationSettings(shown=1))  # type: ignore[arg-type]
    (tmp_path / "a #1.html").write_text(render(found, PageFacts("a #1", "9.9")))
    index = tmp_path / "index.html"
    over = PatientFigures(over_patients([("a", found), ("b", found)]), "scan")
    index.write_text(
        render_index([IndexEntry("a #1", "a #1.html", found)], PageFacts("Reports", "9.9"), over)
    )
    page, requests = browser.new_page(), []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(index.as_uri())
    assert [url for url in requests if not url.startswith("data:")] == [index.as_uri()]
    assert "patients" in page.inner_text("#over + p + div")
    page.click("text=a #1")
    page.wait_for_selector("#stage[data-ready]")
    assert page.title().startswith("a #1")
    page.close()
