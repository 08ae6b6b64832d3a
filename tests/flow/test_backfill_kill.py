"""A month of minutes of five products: fetched, killed halfway without a warning, started again, and whole."""

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import requests

from apps.market import store
from apps.market.models import Coverage
from apps.market.store import Timeframe
from apps.market.store import candles as store_candles
from tests.flow import worlds
from tests.flow.worlds import ROOT, Exchange, World, as_json, eventually

SYMBOLS = ("BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD", "ADA-USD")
SINCE, UNTIL = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
MINUTES = (UNTIL - SINCE) // timedelta(minutes=1)
PAGE = timedelta(minutes=300)
Bar = tuple[int, Decimal, Decimal, Decimal, Decimal, Decimal]


def command(symbol: str, *more: str) -> list[str]:
    span = ("--since", SINCE.isoformat(), "--until", UNTIL.isoformat())
    return [sys.executable, str(ROOT / "manage.py"), "backfill", symbol, *span, "--json", *more]


def begin(world: World, symbol: str) -> "subprocess.Popen[bytes]":
    return world.spawn(f"backfill-{symbol}", command(symbol), {})


def truth(exchange: Exchange, symbol: str) -> list[Bar]:
    """Return what the venue says of the month, asked without any of our code."""
    found: dict[int, Bar] = {}
    since = SINCE
    with requests.Session() as session:
        while since < UNTIL:
            # Both ends count at this venue: one minute less asks for exactly a page.
            span = {"start": since.isoformat(), "end": (min(since + PAGE, UNTIL) - timedelta(minutes=1)).isoformat()}
            answer = session.get(
                f"{exchange.rest_url}/products/{symbol}/candles", params={"granularity": "60", **span}, timeout=10
            )
            for at, low, high, opened, close, volume in answer.json(parse_float=Decimal, parse_int=Decimal):
                found[int(at)] = (int(at), opened, high, low, close, volume)
            since += PAGE
    return [found[at] for at in sorted(found)]


def stored(market: store.Store, instrument_id: int) -> list[Bar]:
    rows = store_candles.rows(market, instrument_id, Timeframe.MINUTE, since=SINCE - timedelta(days=2))
    return [(int(row.at.timestamp()), row.open, row.high, row.low, row.close, row.volume) for row in rows]


def test_a_month_of_five_products_killed_halfway_and_resumed_has_no_gap_and_no_duplicate(world: World) -> None:
    rows = {row.symbol: row for row in worlds.instruments(*SYMBOLS)}
    exchange = world.open_exchange("--rate", "none", "--products", ",".join(SYMBOLS))
    market = store.connect(world.database_url)
    try:
        first = {symbol: begin(world, symbol) for symbol in SYMBOLS}
        eventually(lambda: _known() > 5 * MINUTES // 2, 60, explain=lambda: world.log("backfill-BTC-USD"))
        for symbol in SYMBOLS:
            world.kill(f"backfill-{symbol}", signal.SIGKILL)
        assert [process.returncode for process in first.values()] == [-signal.SIGKILL] * 5
        halfway = {symbol: len(stored(market, row.pk)) for symbol, row in rows.items()}
        assert all(0 < number < MINUTES * 0.99 for number in halfway.values())
        _finish(world)
        for symbol, row in rows.items():
            told = truth(exchange, symbol)
            assert len(told) > MINUTES * 0.99
            assert stored(market, row.pk) == told
            assert [(span.since, span.until) for span in Coverage.objects.filter(instrument=row)] == [(SINCE, UNTIL)]
        again = as_json(world.manage(*command("BTC-USD")[2:]).stdout)["backfills"][0]
        assert (again["known_before"], again["candles"], again["changed"]) == (MINUTES, 0, 0)
        _nothing_changes_when_all_is_asked_again(world)
    finally:
        market.close()


def _known() -> int:
    rows = Coverage.objects.values_list("since", "until")
    return sum((until - since) // timedelta(minutes=1) for since, until in rows)


def _finish(world: World) -> None:
    """Run all five to their end; each asks only for what is left."""
    before = _known()
    processes = {symbol: begin(world, symbol) for symbol in SYMBOLS}
    reports: list[dict[str, Any]] = []
    for symbol, process in processes.items():
        assert process.wait(120) == 0, world.log(f"backfill-{symbol}")
        reports.append(as_json(world.log(f"backfill-{symbol}").splitlines()[-1])["backfills"][0])
    assert abs(sum(report["known_before"] for report in reports) - before) <= 5 * 299
    assert sum(report["known_before"] + report["candles"] + report["empty"] for report in reports) == 5 * MINUTES


def _nothing_changes_when_all_is_asked_again(world: World) -> None:
    since = (UNTIL - timedelta(days=3)).isoformat()
    words = ("backfill", "ETH-USD", "--since", since, "--until", UNTIL.isoformat(), "--again", "--json")
    report = as_json(world.manage(*words).stdout)["backfills"][0]
    assert report["candles"] > 4000
    assert report["changed"] == 0
