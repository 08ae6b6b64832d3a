"""Candles and ticks travel through files without losing a digit, and a file with one bad line changes nothing."""

import gzip
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from apps.domain.errors import Refused
from apps.market import store
from apps.market.models import Instrument
from apps.market.services import interchange
from apps.market.store import Timeframe
from apps.market.store import candles as store_candles
from apps.market.store import ticks as store_ticks
from apps.market.store.candles import CandleRow
from apps.market.store.ticks import TickRow
from tests import factories
from tests.market.history import NOON, at

pytestmark = pytest.mark.django_db(transaction=True)
DATA = Path(__file__).parents[3] / "shared/data/candles"
EVER = datetime(2000, 1, 1, tzinfo=UTC)
HEADER = "time,open,high,low,close,volume\n"


@pytest.fixture
def coin(market: store.Store) -> Instrument:
    return factories.make_instrument(price=None)


def stored(market: store.Store, instrument: Instrument, timeframe: Timeframe = Timeframe.MINUTE) -> list[CandleRow]:
    return store_candles.rows(market, instrument.pk, timeframe, since=EVER)


def told(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def take(path: Path, instrument: Instrument, **more: object) -> interchange.Imported:
    return interchange.import_candles(path, instrument, Timeframe.MINUTE, **more)


EXACT = [
    ("100.10", "100.123456789012", "0.000000000001", "99.9", "12345678901234567890.12345678", 0),
    ("7", "7.5", "6", "6.5", "0", 42),
]


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz"])
def test_every_digit_survives_csv(market: store.Store, coin: Instrument, tmp_path: Path, name: str) -> None:
    rows = [CandleRow(coin.pk, at(minute), *values) for minute, values in enumerate(EXACT)]
    store_candles.write(market, Timeframe.MINUTE, rows)
    before = stored(market, coin)
    assert interchange.export_candles(tmp_path / name, coin, Timeframe.MINUTE, EVER, at(10)) == 2
    _forget(market)
    assert take(tmp_path / name, coin).changed == 2
    assert list(map(str, stored(market, coin))) == list(map(str, before))
    assert take(tmp_path / name, coin).changed == 0


@pytest.mark.parametrize("name", ["out.parquet", "out.feather"])
@pytest.mark.parametrize("floats", [False, True])
def test_values_survive_parquet_and_feather(
    market: store.Store, coin: Instrument, tmp_path: Path, name: str, floats: bool
) -> None:
    rows = [CandleRow(coin.pk, at(m), "100.10", "101.123456", "0.5", "99.9", "12345.12345678", m) for m in range(300)]
    store_candles.write(market, Timeframe.MINUTE, rows)
    before = stored(market, coin)
    span = (EVER, at(1000))
    assert interchange.export_candles(tmp_path / name, coin, Timeframe.MINUTE, *span, floats=floats) == 300
    _forget(market)
    take(tmp_path / name, coin)
    assert stored(market, coin) == before


def _forget(market: store.Store) -> None:
    with market.engine.begin() as link:
        link.exec_driver_sql("TRUNCATE market.candles")


def test_a_number_too_long_for_parquet_is_refused_and_leaves_no_file(
    market: store.Store, coin: Instrument, tmp_path: Path
) -> None:
    store_candles.write(market, Timeframe.MINUTE, [CandleRow(coin.pk, NOON, *["1." + "1" * 30] * 4, "1")])
    with pytest.raises(Refused, match="cannot be written"):
        interchange.export_candles(tmp_path / "out.parquet", coin, Timeframe.MINUTE, EVER, at(10))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("time,open,high,low,close,volume", "2026-11-10T12:00:00Z,1,2,0.5,1.5,10"),
        ("Date,Open,High,Low,Close,Volume", "2026-11-10 12:00:00+00:00,1,2,0.5,1.5,10"),
        ("timestamp,o,h,l,c,v", "1794312000,1,2,0.5,1.5,10"),
        ("Open time,open,high,low,close,vol", "1794312000000,1,2,0.5,1.5,10"),
        ("t,O,H,L,C,V", "1794312000000000000,1,2,0.5,1.5,10"),
        ("\ufeffvolume,close,low,high,open,datetime,extra", "10,1.5,0.5,2,1,2026-11-10T07:00:00-05:00,x"),
    ],
    ids=["plain", "pandas", "short, seconds", "Binance, milliseconds", "nanoseconds", "any order, offset, BOM"],
)
def test_columns_are_known_by_many_names_and_times_in_many_forms(
    market: store.Store, coin: Instrument, tmp_path: Path, header: str, line: str
) -> None:
    take(told(tmp_path / "in.csv", f"{header}\n{line}\n"), coin)
    assert stored(market, coin) == [
        CandleRow(coin.pk, NOON, Decimal(1), Decimal(2), Decimal("0.5"), Decimal("1.5"), Decimal(10), 0)
    ]


GOOD = "2026-11-10T12:00:00Z,1,2,0.5,1.5,10\n"


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("2026-11-10T12:01:00,1,2,0.5,1.5,10", "has no offset"),
        ("soon,1,2,0.5,1.5,10", "is no instant"),
        ("2026-11-10T12:01:30Z,1,2,0.5,1.5,10", "does not start a candle"),
        ("2026-11-10T12:01:00Z,NaN,2,0.5,1.5,10", "no number that a market prints"),
        ("2026-11-10T12:01:00Z,Infinity,2,0.5,1.5,10", "no number that a market prints"),
        ("2026-11-10T12:01:00Z,1e30,2,0.5,1.5,10", "no number that a market prints"),
        ("2026-11-10T12:01:00Z,one,2,0.5,1.5,10", "is no number"),
        ("2026-11-10T12:01:00Z,0,2,0,1.5,10", "above zero"),
        ("2026-11-10T12:01:00Z,1,0.9,0.5,0.8,10", "must lie between"),
        ("2026-11-10T12:01:00Z,1,2,0.5,1.5,-1", "below zero"),
        ("2026-11-10T12:01:00Z,1,2,0.5,1.5", "as many values"),
        ("2026-11-10T12:01:00Z,1,2,0.5,1.5,10,11", "as many values"),
        ("2026-11-10T12:00:00Z,1,2,0.5,1.6,10", "something else about .* than line 2"),
    ],
)
def test_one_bad_line_is_named_and_nothing_is_stored(
    market: store.Store, coin: Instrument, tmp_path: Path, line: str, rule: str
) -> None:
    path = told(tmp_path / "in.csv", HEADER + GOOD + line + "\n")
    with pytest.raises(Refused, match=rule) as refused:
        take(path, coin)
    assert [problem.field for problem in refused.value.problems] == ["line 3"]
    assert stored(market, coin) == []


def test_every_bad_line_is_named_up_to_a_number(market: store.Store, coin: Instrument, tmp_path: Path) -> None:
    path = told(tmp_path / "in.csv", HEADER + "x,1,2,0.5,1.5,10\n" * 50)
    with pytest.raises(Refused) as refused:
        take(path, coin)
    assert [problem.field for problem in refused.value.problems] == [f"line {number}" for number in range(2, 22)]


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        ("in.csv", b"", "holds no rows"),
        ("in.csv", b"a,b\n1,2\n", "no column for at, open, high, low, close"),
        ("in.csv", b"\xff\xfe\x00", "cannot be read"),
        ("in.csv.gz", b"not gzip", "cannot be read"),
        ("in.parquet", b"not parquet", "cannot be read"),
        ("in.feather", b"not feather", "cannot be read"),
        ("in.json", b"{", "cannot be read"),
        ("in.json", b'{"a": 1}', "no list of rows"),
        ("in.xlsx", b"", "no known kind"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(
    market: store.Store, coin: Instrument, tmp_path: Path, name: str, content: bytes, rule: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Refused, match=rule):
        take(tmp_path / name, coin)


def test_a_line_said_twice_is_one_candle(market: store.Store, coin: Instrument, tmp_path: Path) -> None:
    done = take(told(tmp_path / "in.csv", HEADER + GOOD + GOOD), coin)
    assert (done.rows, done.doubled) == (1, 1)


def test_times_without_an_offset_are_taken_when_told_that_they_are_utc(
    market: store.Store, coin: Instrument, tmp_path: Path
) -> None:
    path = told(tmp_path / "in.csv", HEADER + "2026-11-10 12:00:00,1,2,0.5,1.5,10\n")
    take(path, coin, zone=UTC)
    assert [row.at for row in stored(market, coin)] == [NOON]


def test_shorter_candles_make_longer_ones_only_when_they_are_complete(
    market: store.Store, coin: Instrument, tmp_path: Path
) -> None:
    bars = [{"t": 1794312000 + 14400 * n, "o": n + 1, "h": n + 9, "l": 0.5, "c": n + 2, "v": "0.1"} for n in range(9)]
    with gzip.open(tmp_path / "in.json.gz", "wt") as file:
        json.dump({"candles": bars}, file)
    done = interchange.import_candles(tmp_path / "in.json.gz", coin, Timeframe.DAY, bars=timedelta(hours=4))
    assert (done.rows, done.left_out) == (1, 3)
    (row,) = stored(market, coin, Timeframe.DAY)
    assert row[1:7] == (datetime(2026, 11, 11, tzinfo=UTC), 4, 17, Decimal("0.5"), 10, Decimal("0.6"))
    with pytest.raises(Refused, match="divides"):
        interchange.import_candles(tmp_path / "in.json.gz", coin, Timeframe.HOUR, bars=timedelta(hours=4))


def prints(coin: Instrument, now: datetime) -> list[TickRow]:
    quotes = [(None, None), (Decimal("99.99"), Decimal("100.01"))]
    return [
        TickRow(
            coin.pk, now - timedelta(seconds=60 - n), n + 1, now, Decimal("100.10"), Decimal(n), "buy", *quotes[n % 2],
            False,
        )
        for n in range(60)
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "out.feather"])
def test_ticks_survive_a_file(market: store.Store, coin: Instrument, tmp_path: Path, name: str) -> None:
    now = datetime.now(UTC)
    store_ticks.write(market, prints(coin, now))
    before = store_ticks.between(market, coin.pk, EVER, now)
    assert interchange.export_ticks(tmp_path / name, coin, EVER, now) == 60
    with market.engine.begin() as link:
        link.exec_driver_sql("TRUNCATE market.ticks")
    assert interchange.import_ticks(tmp_path / name, coin, now=now).changed == 60
    after = store_ticks.between(market, coin.pk, EVER, now)
    assert [row._replace(received_at=now, refilled=False) for row in after] == [
        row._replace(received_at=now) for row in before
    ]
    assert interchange.import_ticks(tmp_path / name, coin, now=now).changed == 0


def test_what_comes_in_by_file_makes_longer_candles_too(market: store.Store, coin: Instrument, tmp_path: Path) -> None:
    lines = "".join(
        f"{at(minute).isoformat()},{minute + 1},{minute + 2},{minute + 1},{minute + 1},1\n" for minute in range(60)
    )
    take(told(tmp_path / "in.csv", HEADER + lines), coin)
    (hour,) = stored(market, coin, Timeframe.HOUR)
    assert (hour.at, hour.open, hour.high, hour.low, hour.close, hour.volume) == (NOON, 1, 61, 1, 60, 60)
    assert [row.open for row in stored(market, coin, Timeframe.QUARTER)] == [1, 16, 31, 46]


def test_ticks_that_come_in_by_file_make_candles(market: store.Store, coin: Instrument, tmp_path: Path) -> None:
    lines = "".join(f"{at(minute).isoformat()},{minute + 1},{minute + 5},1\n" for minute in range(20))
    path = told(tmp_path / "in.csv", "time,trade_id,price,size\n" + lines)
    interchange.import_ticks(path, coin, now=at(60))
    assert [row.close for row in stored(market, coin)] == [minute + 5 for minute in range(20)]
    assert [row.open for row in stored(market, coin, Timeframe.QUARTER)] == [5, 20]


def test_ticks_that_would_be_dropped_at_once_are_refused(
    market: store.Store, coin: Instrument, tmp_path: Path, settings: Settings
) -> None:
    now = datetime.now(UTC)
    old = now - timedelta(days=settings.TICK_RETENTION_DAYS + 1)
    path = told(tmp_path / "in.csv", f"time,price\n{old.isoformat()},100\n{now.isoformat()},100\n")
    with pytest.raises(Refused, match="TICK_RETENTION_DAYS"):
        interchange.import_ticks(path, coin, now=now)
    assert store_ticks.count(market, coin.pk, EVER, now + timedelta(days=1)) == 0


def test_the_commands_say_what_they_did(market: store.Store, coin: Instrument, tmp_path: Path) -> None:
    path = told(tmp_path / "in.csv", HEADER + GOOD)
    said = io.StringIO()
    call_command("candles", "import", str(path), "--instrument", coin.symbol, "--json", stdout=said)
    assert json.loads(said.getvalue())["changed"] == 1
    said = io.StringIO()
    call_command("candles", "export", coin.symbol, str(tmp_path / "out.csv"), stdout=said)
    assert "1 candles written to" in said.getvalue()
    assert (tmp_path / "out.csv").read_text() == (
        "at,open,high,low,close,volume,trades\n2026-11-10T12:00:00Z,1,2,0.5,1.5,10,0\n"
    )
    with pytest.raises(CommandError, match="NOPE is no instrument"):
        call_command("candles", "export", "NOPE", str(tmp_path / "out.csv"))
    span = ("--since", at(1).isoformat(), "--until", at(0).isoformat())
    with pytest.raises(CommandError, match="--since must be before --until"):
        call_command("ticks", "export", coin.symbol, str(tmp_path / "out.csv"), *span)


@pytest.mark.skipif(not DATA.exists(), reason="the recorded candles are not here; the generated ones above are")
@pytest.mark.parametrize("symbol", ["BTC", "ETH"])
def test_a_year_of_recorded_candles_is_taken_in(market: store.Store, coin: Instrument, symbol: str) -> None:
    done = interchange.import_candles(DATA / f"2023_MIT_{symbol}_USDT-5m.feather", coin, Timeframe.FIVE_MINUTES)
    assert done.rows == done.changed == 104_816
    assert (done.since.year, done.until.year) == (2023, 2023)


@pytest.mark.skipif(not DATA.exists(), reason="the recorded candles are not here; the generated ones above are")
def test_ten_years_of_recorded_bars_of_four_hours_make_days(market: store.Store, coin: Instrument) -> None:
    (path,) = DATA.glob("Coinbase-BTC-USD-PT4H-*.json.gz")
    done = interchange.import_candles(path, coin, Timeframe.DAY, bars=timedelta(hours=4))
    assert done.rows * 6 + done.left_out == 20_695
    assert done.rows > 3_400
