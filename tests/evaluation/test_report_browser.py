"""The report in a real browser, without a display: Debian's chromium through Playwright."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from arrays import ArrayReader
from test_report import _scans

from ratcli.evaluation.comparison import Comparison
from ratcli.evaluation.evaluate import EvaluationSettings, evaluate
from ratcli.evaluation.patients import PatientFigures, over_patients
from ratcli.evaluation.report import IndexEntry, PageFacts, render, render_index

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from ratcli.evaluation.results import Evaluation

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
def found() -> Evaluation:
    return evaluate(Comparison(**_scans()), EvaluationSettings(phantom=True))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def file(found: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
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


@pytest.fixture
def exact(browser: Browser, found: Evaluation, tmp_path: Path) -> Iterator[_Opened]:
    """The page with all values."""
    path = tmp_path / "exact.html"
    path.write_text(render(found, PageFacts("Phantom", "9.9"), exact_values=True))
    opened = _Opened(browser, path, viewport={"width": 1200, "height": 900})
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
        "tool",
        "closer",
        "invert",
        "patches",
    }
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert wanted <= reached


def test_the_window_changes_the_picture(opened: _Opened) -> None:
    page = opened.page
    before = _pixels(page, "under")
    page.click("text=bone")
    _wait_for(page, "document.getElementById('low').value === '-450'")
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


def _wait_for(page: Page, condition: str) -> None:
    """Wait until an expression holds; the page's policy forbids Playwright's own way."""
    for _ in range(100):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(condition)


def _middle(page: Page, x: float = 0.5, y: float = 0.5) -> tuple[float, float]:
    """Return the place on the screen of a share of the picture, with the mouse moved there."""
    page.locator("#stage").scroll_into_view_if_needed()
    box = page.locator("#sheet").bounding_box()
    assert box is not None
    place = (box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.mouse.move(*place)
    return place


def _drag(page: Page, start: tuple[float, float], end: tuple[float, float], button: Any) -> None:
    first, last = _middle(page, *start), _middle(page, *end)
    page.mouse.move(*first)
    page.mouse.down(button=button)
    page.mouse.move(*last, steps=4)
    page.mouse.up(button=button)


def test_the_wheel_changes_the_plane(opened: _Opened) -> None:
    page = opened.page
    _middle(page)
    page.mouse.wheel(0, 100)
    _settled(page, "2 input restored")
    page.mouse.wheel(0, -100)
    _settled(page, "1 input restored")


def test_the_wheel_zooms_with_the_control_key_about_the_pointer(opened: _Opened) -> None:
    page = opened.page
    _middle(page, 0.25, 0.25)
    told = page.inner_text("#probe")
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    page.wait_for_selector("#stage[data-zoom='1.25']")
    before = page.locator("#sheet").bounding_box()
    _drag(page, (0.5, 0.5), (0.55, 0.5), "middle")
    after = page.locator("#sheet").bounding_box()
    assert before is not None
    assert after is not None
    assert after["x"] > before["x"]
    assert page.inner_text("#probe") != told
    page.click("#whole")
    page.wait_for_selector("#stage[data-zoom='1.00']")


def test_the_right_button_changes_the_window(opened: _Opened) -> None:
    page = opened.page
    before = _pixels(page, "under")
    _drag(page, (0.5, 0.5), (0.6, 0.5), "right")
    page.wait_for_timeout(200)
    assert float(page.input_value("#high")) > 240.0
    assert float(page.input_value("#low")) < -160.0
    assert _pixels(page, "under") != before


def test_the_value_under_the_pointer_is_told_of_every_picture(exact: _Opened) -> None:
    page = exact.page
    _middle(page)
    _wait_for(page, "document.getElementById('probe').textContent.startsWith('row')")
    text = page.inner_text("#probe")
    row, column = (int(part) for part in re.findall(r"(?:row|column) (\d+)", text))
    for name, scan in _scans().items():
        if name != "uncertainty":
            found = re.search(rf"{name} (-?[\d.]+) HU", text)
            assert found is not None
            # Four digits of a value below 1000 HU.
            value = scan.volume[1, 0, row - 1, column - 1]
            assert float(found[1]) == pytest.approx(value, abs=0.06)


def test_a_drawn_region_tells_mean_and_standard_deviation(exact: _Opened) -> None:
    page = exact.page
    page.select_option("#tool", "region")
    _drag(page, (0.4, 0.68), (0.6, 0.88), "left")
    page.wait_for_selector("#measured td")
    cells = page.locator("#measured tbody tr").nth(0).locator("td").all_inner_texts()
    assert cells[0] == "input"
    told = page.evaluate("viewer.slide().box")
    count = int(cells[3])
    assert count == pytest.approx(0.2 * told["width"] * 0.2 * told["height"] * 3.14159 / 4, rel=0.1)
    # The disc of 20 HU with noise of 20 HU: three standard errors of mean and deviation.
    assert float(cells[1].split()[0]) == pytest.approx(20.0, abs=3 * 20 / count**0.5)
    assert float(cells[2].split()[0]) == pytest.approx(20.0, abs=3 * 20 / (2 * count) ** 0.5)
    page.focus("#stage")
    page.keyboard.press("Escape")
    assert page.locator("#measured td").count() == 0


def test_a_profile_is_drawn_of_each_image(opened: _Opened) -> None:
    page = opened.page
    page.focus("#stage")
    page.keyboard.press("l")
    assert page.input_value("#tool") == "profile"
    _drag(page, (0.2, 0.5), (0.8, 0.5), "left")
    page.wait_for_selector("#measured polyline")
    names = page.locator("#measured polyline title").all_text_contents()
    assert names == ["input", "restored", "reference"]


def test_keys_zoom_invert_and_move_the_cursor(opened: _Opened) -> None:
    page = opened.page
    page.focus("#stage")
    page.keyboard.press("+")
    page.wait_for_selector("#stage[data-zoom='1.25']")
    page.keyboard.press("0")
    page.wait_for_selector("#stage[data-zoom='1.00']")
    before = _pixels(page, "under")
    page.keyboard.press("i")
    page.wait_for_timeout(200)
    assert [255 - level for level in before[0::4]] == pytest.approx(
        _pixels(page, "under")[0::4], abs=1
    )
    page.keyboard.press("Shift+ArrowDown")
    _wait_for(page, "document.getElementById('probe').textContent.startsWith('row')")
    first = page.inner_text("#probe")
    page.keyboard.press("Shift+ArrowRight")
    _wait_for(page, f"document.getElementById('probe').textContent !== {first!r}")


def test_a_row_of_a_table_shows_its_place_in_the_picture(opened: _Opened) -> None:
    page = opened.page
    page.click("tr[data-slide='2'] button >> nth=0")
    _settled(page, "2 input restored")
    page.wait_for_selector("#stage[data-zoom='3.00']")
    ring = page.locator("#spots ellipse").last.bounding_box()
    stage = page.locator("#stage").bounding_box()
    assert ring is not None
    assert stage is not None
    assert stage["x"] < ring["x"] + ring["width"] / 2 < stage["x"] + stage["width"]
    assert stage["y"] < ring["y"] + ring["height"] / 2 < stage["y"] + stage["height"]


def test_pet_opens_in_inverted_gray_and_shows_its_projection(
    browser: Browser, tmp_path: Path
) -> None:
    volume = np.full((9, 1, 32, 40), 0.5)
    volume[4, 0, 10:20, 10:20] = 6.0
    scan = ArrayReader(volume, "SUV", (4.0, 2.0, 2.0))
    (tmp_path / "pet.html").write_text(
        render(evaluate(Comparison(scan, scan)), PageFacts("PET", "9.9"))
    )
    opened = _Opened(browser, tmp_path / "pet.html")
    page = opened.page
    assert page.is_checked("#invert")
    page.select_option("#view", "maximum projection")
    _wait_for(page, "document.getElementById('caption').textContent.startsWith('Maximum')")
    assert page.is_visible("#under")
    assert opened.problems == []
    page.close()


@pytest.mark.parametrize("width", [360, 420])
def test_slides_zoom_with_the_wheel_and_fit_a_phone(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    rgb = np.random.default_rng(0).uniform(0.3, 0.9, (1, 3, 64, 64))
    scan = ArrayReader(rgb, "RGB", (None, None, None))
    (tmp_path / "he.html").write_text(
        render(evaluate(Comparison(scan, scan)), PageFacts("slide", "9.9"))
    )
    opened = _Opened(browser, tmp_path / "he.html", viewport={"width": width, "height": 700})
    page = opened.page
    _middle(page)
    page.mouse.wheel(0, -100)
    page.wait_for_selector("#stage[data-zoom='1.25']")
    _wait_for(page, "document.getElementById('probe').textContent.includes('R G B')")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not page.is_visible("#invert")
    assert opened.problems == []
    page.close()


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


def test_the_first_page_of_a_print_holds_the_pictures(opened: _Opened) -> None:
    page = opened.page
    page.emulate_media(media="print")
    # A4 with margins of 1 cm, in pixels of 1/96 inch.
    page.set_viewport_size({"width": 718, "height": 1047})
    box = page.locator(".viewer").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < 1047


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
