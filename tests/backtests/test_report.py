"""The report of a backtest: complete, self-contained, escaped, small, and readable by everybody."""

import re
from collections import Counter
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from apps.backtests import report
from apps.backtests.report import charts, page, scales, tables, tags, wording
from apps.domain.backtests import catalogue, engine, statistics
from apps.domain.backtests.conventions import Conventions
from apps.domain.strategies.contract import Candles
from tests.backtests import reports, spells
from tests.domain import curves

NASTY = '<script>alert("x")</script>&amp;\'"'
LARGEST = 2 << 20


@pytest.fixture(scope="module")
def subject() -> report.Subject:
    return reports.subject()


@pytest.fixture(scope="module")
def text(subject: report.Subject) -> str:
    return page.html(subject)


def body(text: str) -> ET.Element:
    """Return the body as a tree: it is well-formed, or this raises."""
    return ET.fromstring("<body>" + text.partition("<body>")[2].partition("</body>")[0] + "</body>")


def words(element: ET.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def test_it_fetches_nothing_and_runs_nothing(text: str) -> None:
    assert not re.search(r"https?:|//\w|url\(|@import|<script|<iframe|<img|<link|javascript:|\son\w+=", text)
    assert "default-src 'none'" in text


def test_it_is_well_formed_with_one_heading_and_no_name_twice(text: str) -> None:
    tree = body(text)
    assert len(tree.findall(".//h1")) == 1
    names = Counter(element.get("id") for element in tree.iter() if element.get("id"))
    assert [name for name, count in names.items() if count > 1] == []
    targets = [element.get("href", "")[1:] for element in tree.iter("a")]
    assert targets
    assert set(targets) <= set(names)


def test_every_drawing_and_table_says_what_it_is(text: str) -> None:
    tree = body(text)
    drawings, found = list(tree.iter("svg")), list(tree.iter("table"))
    assert len(drawings) >= 9
    for drawing in drawings:
        assert words(drawing[0]), "the title"
        assert words(drawing[1]), "the description"
        assert (drawing[0].tag, drawing[1].tag, drawing.get("role")) == ("title", "desc", "img")
        assert drawing.get("aria-labelledby", "").split() == [drawing[0].get("id"), drawing[1].get("id")]
    assert len(found) >= 14
    for table in found:
        assert words(table.find("caption")), "the caption"
        assert all(head.get("scope") for head in table.iter("th"))


def test_it_holds_all_that_was_asked_for(text: str, subject: report.Subject) -> None:
    tree = body(text)
    parts = {section.get("id"): words(section) for section in tree.iter("section")}
    order = ["critique", "equity-section", "bounds", "calendar", "trades-on-prices", "spread", "steadiness", "trades"]
    assert list(parts)[: len(order)] == order
    for remark in subject.critique:
        assert remark["sentence"] in parts["critique"]
        assert remark["remedy"] in parts["critique"]
    for key, entry in catalogue.ENTRIES.items():
        assert f"{entry.label}{key} " in parts["statistics"]
        assert wording.figure(subject.statistics[key], entry.unit).lstrip("+") in parts["statistics"]
    for name in subject.result.conventions.as_json():
        assert name in parts["conventions"]
    for each in (subject.code_hash, subject.data_hash, subject.version, "bars = 7"):
        assert each in parts["reproduction"]


def test_both_bounds_and_what_hangs_on_them_are_told(text: str, subject: report.Subject) -> None:
    section = next(each for each in body(text).iter("section") if each.get("id") == "bounds")
    assert subject.bounds is not None
    assert subject.bounds["ambiguous_bars"] > 0, "the walk is wide enough"
    assert f"{subject.bounds['ambiguous_bars']:,} bar" in words(section)
    for name in ("stop_first", "target_first"):
        assert wording.money(subject.bounds[name]["final_equity"]) in words(section)
    told = page.html(replace(subject, bounds={**subject.bounds, "differing_trades": 17}))
    assert "17 trades of the list below would differ" in told


def test_months_in_the_table_are_those_of_the_curve(text: str, subject: report.Subject) -> None:
    table = next(each for each in body(text).iter("table") if each.get("class") == "months")
    rows = [[words(cell) for cell in row] for row in table.findall("tbody/tr")]
    assert [row[0] for row in rows] == ["2020", "2021", "2022"]
    years = [float(row[-1].replace(wording.MINUS, "-")) / 100 for row in rows]
    total = subject.result.equity[-1] / subject.result.equity[0]
    assert np.prod([1 + year for year in years]) == pytest.approx(total, abs=0.003)
    shades = [cell.get("style") for cell in table.iter("td") if cell.get("style")]
    assert all(re.fullmatch(r"--share:\d+%", shade or "") for shade in shades)


def test_what_people_wrote_is_escaped_everywhere(subject: report.Subject) -> None:
    remark = {**subject.critique[0], "sentence": NASTY, "remedy": NASTY, "code": NASTY}
    told = page.html(
        replace(
            subject,
            title=NASTY,
            plugin=NASTY,
            names=(NASTY,),
            parameters={NASTY: NASTY},
            notes=(NASTY,),
            version=NASTY,
            code_hash=NASTY,
            data_hash=NASTY,
            critique=[remark],
            result=replace(subject.result, rejected={NASTY: 2}),
        )
    )
    assert "<script" not in told
    assert words(body(told).find(".//h1")) == NASTY
    assert told.count("&lt;script&gt;") >= 10


def test_a_dollar_in_a_name_is_no_slot_of_the_template(subject: report.Subject) -> None:
    assert "$style and $nothing" in page.html(replace(subject, title="$style and $nothing"))


def test_a_tag_escapes_its_text_and_attributes_and_nothing_twice() -> None:
    inner = tags.tag("b", "a < b & c")
    assert tags.tag("p", inner, title='"x"', class_="k", aria_hidden="true", id=None) == (
        '<p title="&quot;x&quot;" class="k" aria-hidden="true"><b>a &lt; b &amp; c</b></p>'
    )
    assert tags.tag("line", x1=1) == '<line x1="1"/>'


def test_a_million_bars_stay_small_and_keep_their_extremes() -> None:
    rng = np.random.default_rng(5)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 2e-4, 1_000_000)))
    opened = np.concatenate((close[:1], close[:-1]))
    at = curves.every(60, len(close))
    candles = Candles(at, opened, np.maximum(opened, close) * 1.0002, np.minimum(opened, close) * 0.9998, close, close)
    told = page.html(reports.subject(candles, Conventions(fee_rate=1e-5, sizing="percent", size=0.5)))
    assert len(told.encode()) < LARGEST // 2
    assert "The first 50 and the last 50 of" in told
    kept = scales.extremes(close)
    assert len(kept) <= 2 * scales.WIDTH + 2
    assert {int(close.argmin()), int(close.argmax()), 0, len(close) - 1} <= set(kept.tolist())


def test_a_single_spike_survives_the_thinning() -> None:
    values = np.zeros(500_000)
    values[123_457] = 7.0
    assert values[scales.extremes(values)].max() == 7.0


@pytest.mark.parametrize("bars", [1, 2, 3, 40])
def test_a_run_without_a_trade_is_a_report_as_well(bars: int) -> None:
    candles = spells.candles(bars)
    result = engine.run(candles, np.zeros(bars, np.int8), Conventions())
    told = page.html(report.Subject(plugin="idle", result=result, statistics=statistics.of(result, candles)))
    assert "No trade was closed." in words(body(told))


def test_without_candles_the_charts_of_prices_are_left_out(subject: report.Subject) -> None:
    told = page.html(replace(subject, candles=(), bounds=None))
    sections = [each.get("id") for each in body(told).iter("section")]
    assert "trades-on-prices" not in sections
    assert {"trades", "statistics", "equity-section"} <= set(sections)
    assert "was not computed for this run" in told


def test_several_instruments_name_theirs_in_the_list() -> None:
    one, other = spells.candles(300, seed=2), spells.candles(300, seed=3)
    wanted = np.column_stack([reports.stances(one), reports.stances(other)])
    result = engine.run([one, other], wanted, Conventions(sizing="percent", size=0.3))
    told = page.html(
        report.Subject(
            plugin="pair",
            names=("ONE", "OTHER"),
            candles=(one, other),
            result=result,
            statistics=statistics.of(result, [one, other]),
        )
    )
    listed = next(each for each in body(told).iter("table") if each.get("class") == "trades")
    assert {row[1].text for row in listed.findall("tbody/tr")} == {"ONE", "OTHER"}


def test_the_listed_trades_are_those_of_the_result(text: str, subject: report.Subject) -> None:
    listed = next(each for each in body(text).iter("table") if each.get("class") == "trades")
    rows = listed.findall("tbody/tr")
    trades = subject.result.trades
    assert len(rows) == min(trades.closed, 100)
    first = [words(cell) for cell in rows[0]]
    assert first[0] == "1"
    assert first[2] == wording.moment(int(subject.result.at[trades.entry_bar[0]]), with_time=False)
    assert first[8] == wording.money(float(trades.pnl[0]), signed=True)


def test_the_sign_of_a_gain_is_told_without_its_colour(text: str) -> None:
    coloured = [each for each in body(text).iter("td") if {"gain", "loss"} & set((each.get("class") or "").split())]
    assert len(coloured) > 50
    for cell in coloured:
        shown = words(cell)
        assert shown[0] in f"+{wording.MINUS}0123456789", shown
        if "loss" in (cell.get("class") or "").split():
            assert shown.startswith(wording.MINUS) or not re.search(r"[1-9]", shown), shown


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (None, "ratio", wording.NOTHING),
        (-1234.5, "money", f"{wording.MINUS}1,234.50"),
        (0.001, "%", "0.00 %"),
        (-0.001, "%", "0.00 %"),
        (12, "count", "12"),
        (1.5, "days", "1.5 d"),
        (597.0, "days", "597 d"),
        (60.0, "seconds", "60 s"),
        ("2020-01-01T00:00:00Z", "text", "2020-01-01"),
        ("2020-01-01T09:30:00Z", "text", "2020-01-01 09:30:00"),
    ],
)
def test_figures_are_written_in_their_unit(value: object, unit: str, expected: str) -> None:
    assert wording.figure(value, unit) == expected


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 10.0, ["0.0", "2.5", "5.0", "7.5", "10.0"]),
        (-3.0, 4.0, [f"{wording.MINUS}4", f"{wording.MINUS}2", "0", "2", "4"]),
        (98_000.0, 640_000.0, ["0", "0.2M", "0.4M", "0.6M", "0.8M"]),
        (1.05, 1.0501, None),
        (5.0, 5.0, None),
        (0.0, 0.0, None),
        (-1e-9, 1e-9, None),
    ],
)
def test_axes_have_round_ticks_around_their_values(low: float, high: float, ticks: list[str] | None) -> None:
    span = scales.around(low, high)
    found = scales.value_ticks(span)
    assert span.low <= low
    assert high <= span.high
    assert 2 <= len(found) <= 7
    assert [tick.where for tick in found] == sorted((tick.where for tick in found), reverse=True)
    if ticks is not None:
        assert [tick.text for tick in found] == ticks
    assert len({tick.text for tick in found}) == len(found)


@pytest.mark.parametrize(
    ("at", "first"),
    [
        (curves.every(86_400, 900), "2021"),
        (curves.every(86_400, 100), "1 Feb"),
        (curves.every(3_600, 48), "4 Jan 06:00"),
        (curves.every(60, 120), "00:15"),
        (curves.every(86_400 * 7, 1_500), "2025"),
    ],
    ids=["years", "months", "hours", "minutes", "decades"],
)
def test_time_ticks_fall_on_calendar_boundaries(at: np.ndarray, first: str) -> None:
    found = scales.time_ticks(at)
    assert 2 <= len(found) <= scales.MOST_TICKS
    assert any(first.split()[0] in tick.text for tick in found), [tick.text for tick in found]
    assert [tick.where for tick in found] == sorted(tick.where for tick in found)
    assert all(0 <= tick.where <= 1 for tick in found)


def test_a_table_heads_its_rows_and_columns() -> None:
    made = ET.fromstring(tables.table("T", ("A", "B"), [("x", tables.signed(-1.0, "1 down")), ("y", "2")]))
    assert [head.get("scope") for head in made.iter("th")] == ["col", "col", "row", "row"]
    assert [cell.get("class") for cell in made.iter("td")] == ["number loss", "number"]


def test_a_gap_in_a_curve_is_not_drawn_over() -> None:
    path = charts.line(np.array([0.0, 1.0, np.nan, 1.0]), scales.Range(0.0, 1.0, 1.0), "own")
    assert path.count("M") == 2
    assert "nan" not in path


def test_the_same_subject_gives_the_same_bytes(text: str, subject: report.Subject) -> None:
    assert page.html(subject) == text
