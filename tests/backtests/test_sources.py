"""Candles of files and arrays: what is read, what is refused and how it is said, what is only noted."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from apps.backtests import api, candle_lengths, moments, sources
from apps.backtests.sources import Spec
from apps.domain.errors import Refused
from apps.domain.strategies.contract import Candles
from tests.backtests import spells

Lines = list[list[str]]


def load(path: Path, **more: object) -> sources.Loaded:
    return sources.load(Spec(files=(str(path),), **more))


def said(*paths: Path, **more: object) -> list[str]:
    with pytest.raises(Refused) as refused:
        sources.load(Spec(files=tuple(map(str, paths)), **more))
    return [str(problem) for problem in refused.value.problems]


def test_a_file_gives_the_very_numbers_it_holds(tmp_path: Path) -> None:
    loaded = load(spells.file(tmp_path))
    for got, put in zip(loaded.candles[0], spells.candles(), strict=True):
        assert np.array_equal(got, put)
    assert (loaded.bars, loaded.bar_seconds, loaded.names, loaded.notes) == (400, spells.DAY, ("walk",), ())


@pytest.mark.parametrize(
    "spelt",
    [
        pytest.param(lambda day: day, id="a date"),
        pytest.param(lambda day: f"{day} 00:00:00", id="a naive time counts as UTC"),
        pytest.param(lambda day: f"{day}T02:00:00+02:00", id="an offset"),
        pytest.param(lambda day: f"{day}T00:00:00Z", id="Z"),
        pytest.param(lambda day: day.replace("-", "/"), id="slashes"),
        pytest.param(lambda day: day.replace("-", ""), id="eight digits are a day"),
        pytest.param(lambda day: str(moments.of(day)), id="seconds"),
        pytest.param(lambda day: f"{moments.of(day)}.0", id="seconds with a fraction"),
        pytest.param(lambda day: str(moments.of(day) * 1000), id="milliseconds"),
        pytest.param(lambda day: str(moments.of(day) * 10**9), id="nanoseconds"),
    ],
)
def test_times_are_read_however_they_are_spelt(tmp_path: Path, spelt: Callable[[str], str]) -> None:
    lines = [[spelt(row[0]), *row[1:]] for row in spells.rows(spells.candles(40))]
    assert np.array_equal(load(spells.write(tmp_path / "a.csv", lines)).candles[0].at, spells.candles(40).at)


@pytest.mark.parametrize(
    "header", [("", "OPEN", "high", "Low", "cLose", "VOLUME"), ("t", " open ", "high", "low", "close", "volume")]
)
def test_columns_are_found_in_any_case(tmp_path: Path, header: tuple[str, ...]) -> None:
    loaded = load(spells.write(tmp_path / "a.csv", spells.rows(spells.candles(30)), header))
    assert loaded.candles[0].volume[0] == spells.candles(30).volume[0]


def test_columns_may_stand_in_any_order_among_others_and_volume_may_be_absent(tmp_path: Path) -> None:
    lines = [[row[0], row[4], "x", row[1], row[3], row[2]] for row in spells.rows(spells.candles(30))]
    loaded = load(spells.write(tmp_path / "a.csv", lines, ("time", "Close", "Adj Close", "Open", "Low", "High")))
    assert np.array_equal(loaded.candles[0].high, spells.candles(30).high)
    assert not loaded.candles[0].volume.any()


@pytest.mark.parametrize("ending", [".parquet", ".feather", ".csv.gz"])
def test_other_kinds_of_files_hold_the_same(tmp_path: Path, ending: str) -> None:
    put = spells.candles(50)
    table = pd.DataFrame(dict(zip(spells.HEADER[1:], put[1:], strict=True)), pd.to_datetime(put.at, unit="s"))
    table.index.name = "at"
    path = tmp_path / f"a{ending}"
    write = {".parquet": table.to_parquet, ".csv.gz": table.to_csv, ".feather": table.reset_index().to_feather}
    write[ending](path)
    loaded = load(path)
    assert loaded.data_hash == sources.hash_of([put])


def changed(at: int, column: int, cell: str) -> Callable[[Lines], Lines]:
    def change(lines: Lines) -> Lines:
        lines[at][column] = cell
        return lines

    return change


IMPOSSIBLE = {
    "a price that is no number": (changed(3, 1, "abc"), "line 5: abc: Open must be a number above zero"),
    "an empty price": (changed(3, 2, ""), "line 5: an empty cell: High must be a number above zero"),
    "NaN": (changed(3, 4, "NaN"), "line 5: nan: Close must be a number above zero"),
    "infinity": (changed(3, 2, "inf"), "line 5: inf: High must be a number above zero"),
    "zero": (changed(3, 3, "0"), "line 5: 0.0: Low must be a number above zero"),
    "a negative price": (changed(3, 3, "-1"), "line 5: -1.0: Low must be a number above zero"),
    "high below low": (changed(3, 2, "1"), "line 5: High 1.0, Low "),
    "negative volume": (changed(3, 5, "-2"), "line 5: -2.0: Volume must be zero or more"),
    "no time": (changed(3, 0, "soon"), "line 5: soon: is no time"),
    "a missing cell": (lambda lines: [*lines[:3], lines[3][:5], *lines[4:]], "line 5: 5 values: must have one value"),
    "a doubled time": (lambda lines: [*lines[:4], lines[3], *lines[4:]], "line 6: 2020-01-04T00:00:00Z: the bar"),
    "a step back": (lambda lines: [*lines[:5], lines[2], *lines[5:]], "line 7: 2020-01-03T00:00:00Z: comes after"),
    "newest first": (lambda lines: lines[::-1], "time: 2020-01-30T00:00:00Z is first"),
}  # fmt: skip


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_an_impossible_file_is_refused_with_the_line_and_the_value(tmp_path: Path, name: str) -> None:
    change, sentence = IMPOSSIBLE[name]
    found = said(spells.write(tmp_path / "a.csv", change(spells.rows(spells.candles(30)))))
    assert len(found) == 1
    assert found[0].startswith(sentence)
    assert found[0].count("; ") >= 1, "it says what to do"


def test_everything_wrong_is_told_at_once_and_a_flood_is_counted(tmp_path: Path) -> None:
    lines = spells.rows(spells.candles(90))
    for row in lines[10:60]:
        row[1] = "x"
    lines[80][4], lines[85][0] = "-1", "2020-01-01"
    found = said(spells.write(tmp_path / "a.csv", lines), tmp_path / "absent.csv")
    assert sum("x: Open" in one for one in found) == 20
    assert "30 more problems: a.csv: are not listed; mend these first" in found
    assert any("-1.0: Close" in one for one in found)
    assert any("comes after" in one for one in found)
    assert any("No such file" in one for one in found)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("Date,Open,High,Low,Close\n", "holds a header and no bars"),
        ("Date,Open,Hi,Low,Close\n2020-01-01,1,1,1,1\n", "has no column High; found: Date, Open, Hi, Low, Close"),
        ("Date,Open,Open,High,Low,Close\n", "has the column Open 2 times"),
        ("Open,High,Low,Close\n1,1,1,1\n", "has no time: its first column is Open"),
        ('Date,Open,High,Low,Close\n"2020-01-01,1,1,1,1\n', "cannot be read"),
    ],
)
def test_a_file_that_holds_no_candles_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    found = said(path)
    assert len(found) == 1
    assert sentence in found[0]


def test_a_file_without_a_header_is_refused_column_by_column(tmp_path: Path) -> None:
    found = said(
        spells.write(tmp_path / "a.csv", spells.rows(spells.candles(3))[1:], spells.rows(spells.candles(3))[0])
    )
    assert [one for one in found if "found: 2020-01-01" in one] == found
    assert len(found) == 4


def test_a_binary_file_called_csv_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(bytes(range(256)))
    assert "cannot be read" in said(path)[0]
    assert "is of no known kind" in said(tmp_path / "a.xls")[0]


@pytest.fixture(scope="module")
def long() -> Lines:
    """Rows of a file that is large enough to be read in haste."""
    return spells.rows(spells.candles(27_000))


@pytest.mark.parametrize("spelt", [lambda day: day, lambda day: day.replace("-", ""), lambda day: str(moments.of(day))])
def test_a_large_file_holds_the_same_numbers(tmp_path: Path, long: Lines, spelt: Callable[[str], str]) -> None:
    path = spells.write(tmp_path / "a.csv", [[spelt(row[0]), *row[1:]] for row in long])
    assert path.stat().st_size > 1_000_000
    assert load(path).data_hash == sources.hash_of([spells.candles(27_000)])


def test_a_large_file_without_volumes_counts_them_as_zero(tmp_path: Path, long: Lines) -> None:
    path = spells.write(tmp_path / "a.csv", [[*row[:5], ""] for row in long])
    assert not load(path).candles[0].volume.any()


@pytest.mark.parametrize("cell", ["-3.0", "", "x", "nan", "inf"])
def test_a_large_file_names_the_very_line_that_is_wrong(tmp_path: Path, long: Lines, cell: str) -> None:
    lines = [*long[:9], [], [], *long[9:]]
    lines[12_000] = [*lines[12_000][:3], cell, *lines[12_000][4:]]
    (found,) = said(spells.write(tmp_path / "a.csv", lines))
    assert found.startswith("line 12002: ")
    assert "Low must be a number above zero" in found


def test_oddities_are_noted_not_refused(tmp_path: Path) -> None:
    lines = changed(3, 1, "150")(spells.rows(spells.candles(30)))
    (note,) = load(spells.write(tmp_path / "a.csv", lines)).notes
    assert note == "a: 1 bars open or close outside of their own low and high, the first at 2020-01-04T00:00:00Z"


def test_a_span_is_half_open_and_one_without_bars_is_refused(tmp_path: Path) -> None:
    path = spells.file(tmp_path)
    since, until = datetime(2020, 2, 1, tzinfo=UTC), datetime(2020, 3, 1, tzinfo=UTC)
    loaded = load(path, since=since, until=until)
    assert (loaded.since, loaded.until, loaded.bars) == (since, datetime(2020, 2, 29, tzinfo=UTC), 29)
    assert "has no bar from" in said(path, since=datetime(2030, 1, 1, tzinfo=UTC))[0]
    assert "must be before until" in said(path, since=until, until=since)[0]


def test_several_files_keep_the_bars_that_all_have(tmp_path: Path) -> None:
    first = spells.file(tmp_path, 40, name="one.csv")
    second = spells.write(tmp_path / "two.csv", spells.rows(spells.candles(50, seed=2))[5:])
    loaded = sources.load(Spec(files=(str(first), str(second))))
    assert loaded.bars == 35
    assert loaded.names == ("one", "two")
    assert np.array_equal(loaded.candles[1].close, spells.candles(50, seed=2).close[5:40])
    assert loaded.notes == ("15 bars were left out that not every instrument has",)


def test_bars_are_joined_into_longer_ones(tmp_path: Path) -> None:
    put = spells.candles(70)
    loaded = load(spells.file(tmp_path, 70), bar_seconds=7 * spells.DAY)
    week = put.at // (7 * spells.DAY) == put.at[10] // (7 * spells.DAY)
    bar = int(np.flatnonzero(loaded.candles[0].at == put.at[10] // (7 * spells.DAY) * 7 * spells.DAY)[0])
    got = [float(part[bar]) for part in loaded.candles[0][1:]]
    wanted = [put.open[week][0], put.high[week].max(), put.low[week].min(), put.close[week][-1], put.volume[week].sum()]
    assert got == pytest.approx(wanted, rel=1e-15)
    assert "do not make up" in said(spells.file(tmp_path), bar_seconds=3600)[0]


def test_holes_count_by_how_the_market_trades() -> None:
    always = spells.candles(100, step=3600).at
    assert candle_lengths.missing_bars(np.delete(always, [50, 51, 52]), 3600) == 3
    days = spells.candles(100).at
    weekdays = days[(days // spells.DAY + 3) % 7 < 5]
    assert candle_lengths.missing_bars(weekdays, spells.DAY) == 0
    assert candle_lengths.missing_bars(np.delete(weekdays, slice(20, 30)), spells.DAY) > 10


def test_the_hash_is_of_the_numbers_alone(tmp_path: Path) -> None:
    hashes = {load(spells.file(tmp_path, name=name)).data_hash for name in ("one.csv", "two.csv")}
    assert len(hashes) == 1
    lines = changed(3, 4, "100.01")(spells.rows(spells.candles()))
    assert load(spells.write(tmp_path / "a.csv", lines)).data_hash not in hashes


def test_a_spec_survives_json(tmp_path: Path) -> None:
    spec = Spec(files=(str(tmp_path / "a.csv"),), since=datetime(2020, 1, 1, tzinfo=UTC), bar_seconds=60)
    assert Spec.from_json(spec.as_json()) == spec


def test_tables_and_arrays_are_read_like_files() -> None:
    put = spells.candles(30)
    for index in (pd.to_datetime(put.at, unit="s"), pd.to_datetime(put.at, unit="s").tz_localize("Asia/Tokyo"), put.at):
        table = pd.DataFrame(dict(zip(spells.HEADER[1:], put[1:], strict=True)), index)
        shift = 9 * 3600 if getattr(index, "tz", None) is not None else 0
        assert np.array_equal(api.loaded(table).candles[0].at, put.at - shift)
    assert api.loaded(put).data_hash == sources.hash_of([put])
    with pytest.raises(Refused, match="has no column High, Low"):
        api.loaded(pd.DataFrame({"Open": [1.0], "Close": [1.0]}))


def test_arrays_are_checked_like_files() -> None:
    put = spells.candles(30)
    broken = Candles(*put[:4], np.where(np.arange(30) == 7, np.nan, put.close), put.volume)
    with pytest.raises(Refused, match="line 7: nan: Close"):
        api.loaded(broken)
