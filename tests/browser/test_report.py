"""The report of a backtest in a real browser: on a wide and a narrow page, by day and by night, and on paper."""

import io
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from apps.backtests.report import page
from tests.backtests import reports

pytestmark = pytest.mark.browser

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 780}
# The contrast that WCAG 2.1 AA asks of text of ordinary size.
CONTRAST = 4.5
READ = (
    ".about span, .verdict, .headline dt, .headline dd, nav a, .remarks p, .badge, .caption, .chart span, td, th, small"
)

# Walks up to the first opaque background; a washed cell is laid over what lies behind it.
CONTRASTS = """(selector) => {
  const parse = (text) => {
    const numbers = text.match(/[-.0-9]+%?/g).map(parseFloat);
    const scale = text.startsWith('color(') ? 255 : 1;
    const [r, g, b] = numbers.map((each) => each * scale);
    return [r, g, b, numbers.length > 3 ? numbers[3] : 1];
  };
  const over = (top, under) => top.slice(0, 3).map((each, n) => each * top[3] + under[n] * (1 - top[3]));
  const behind = (element) => {
    if (!element) return [255, 255, 255];
    const own = parse(getComputedStyle(element).backgroundColor);
    return own[3] >= 1 ? own.slice(0, 3) : over(own, behind(element.parentElement));
  };
  const light = (color) => {
    const [r, g, b] = color.map((each) => {
      const share = each / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const element of document.querySelectorAll(selector)) {
    if (!element.textContent.trim() || element.closest('.marks')) continue;
    const back = behind(element);
    const front = over(parse(getComputedStyle(element).color), back);
    const [high, low] = [light(front), light(back)].sort((a, b) => b - a);
    found.push([(high + 0.05) / (low + 0.05), element.className, element.textContent.slice(0, 30)]);
  }
  return found.sort((a, b) => a[0] - b[0]);
}"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page.html(reports.subject()), encoding="utf-8")
    return path


def opened(browser: Browser, file: Path, size: dict[str, int], scheme: str) -> tuple[Page, list[str]]:
    """Open the file; the list fills with whatever it asks for beyond itself, and with what the console says."""
    shown = browser.new_page(viewport=size, color_scheme=scheme)
    odd: list[str] = []
    shown.on("request", lambda request: odd.append(request.url) if request.url != file.as_uri() else None)
    shown.on("console", lambda message: odd.append(message.text))
    shown.on("pageerror", lambda error: odd.append(str(error)))
    shown.goto(file.as_uri())
    return shown, odd


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_it_fits_the_page_and_asks_for_nothing(file: Path, size: dict[str, int], scheme: str, browser: Browser) -> None:
    shown, odd = opened(browser, file, size, scheme)
    assert odd == []
    assert shown.evaluate("document.documentElement.scrollWidth") <= size["width"]
    heights = shown.evaluate("[...document.querySelectorAll('svg')].map(e => e.getBoundingClientRect().height)")
    assert len(heights) >= 9
    assert min(heights) >= 70
    clipped = "e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX === 'visible'"
    assert shown.evaluate(f"[...document.querySelectorAll('.headline > div')].filter({clipped}).length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_its_text_can_be_read(file: Path, scheme: str, browser: Browser) -> None:
    shown, _ = opened(browser, file, WIDE, scheme)
    found = shown.evaluate(CONTRASTS, READ)
    assert len(found) > 500
    assert [each for each in found if each[0] < CONTRAST] == []


def test_night_is_dark_and_day_is_light(file: Path, browser: Browser) -> None:
    lights = []
    for scheme in ("light", "dark"):
        shown, _ = opened(browser, file, WIDE, scheme)
        color = shown.evaluate("getComputedStyle(document.body).backgroundColor")
        lights.append(sum(int(each) for each in color[4:-1].split(",")[:3]))
    assert lights[0] > 700
    assert lights[1] < 120


def test_curves_and_marks_lie_where_the_labels_say(file: Path, browser: Browser) -> None:
    """Labels are text beside the drawing: a chart whose top label is not at its top line would lie."""
    shown, _ = opened(browser, file, WIDE, "light")
    apart = shown.evaluate(
        """[...document.querySelectorAll('.chart')].map(chart => {
          const lines = [...chart.querySelectorAll('line.grid')].map(e => e.getBoundingClientRect().top);
          const labels = [...chart.querySelectorAll('.left span')].map(e => {
            const box = e.getBoundingClientRect(); return (box.top + box.bottom) / 2;});
          return Math.max(...labels.map((y, n) => Math.abs(y - lines[n])));
        })"""
    )
    assert len(apart) >= 9
    assert max(apart) < 2


def test_it_prints(file: Path, browser: Browser) -> None:
    shown, _ = opened(browser, file, WIDE, "dark")
    paper = shown.pdf(format="A4", print_background=True)
    assert paper.startswith(b"%PDF")
    assert 3 <= paper.count(b"/Type /Page\n") + paper.count(b"/Type /Page ") + paper.count(b"/Type/Page/") <= 40
    shown.emulate_media(media="print")
    assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_its_picture_is_not_empty(file: Path, browser: Browser) -> None:
    shown, _ = opened(browser, file, WIDE, "light")
    picture = io.BytesIO(shown.locator("#equity-section .chart").first.screenshot()).getvalue()
    assert len(picture) > 8_000, "a chart without its curve is a few lines"
