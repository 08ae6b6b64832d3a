"""The venue's REST answers become exact values, and its failures become one typed error within a bounded time."""

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from apps.market.feeds.coinbase_rest import CoinbaseRest
from apps.market.feeds.rest import Bucket, FeedUnavailable, RestTimings
from tests.market.answering import Answer, RestVenue, answering, good, trade, trades_between

QUICK = RestTimings(
    connect_timeout=0.3,
    read_timeout=0.3,
    deadline=0.6,
    attempts=3,
    backoff_base=0.02,
    backoff_cap=0.3,
    per_second=1000,
    burst=1000,
)
DATA = Path(__file__).parents[3] / "shared" / "data" / "coinbase"


def client(venue: RestVenue, timings: RestTimings = QUICK) -> CoinbaseRest:
    return CoinbaseRest(venue.url, timings)


def test_a_range_of_trades_comes_complete_and_oldest_first() -> None:
    with answering(lambda path, query, _: trades_between(1, 9000, query)) as venue:
        rest = client(venue)
        ticks = rest.trades("BTC-USD", 1200, 4321)
        rest.close()
    assert [tick.trade_id for tick in ticks] == list(range(1200, 4322))
    assert all(tick.refilled and not tick.snapshot for tick in ticks)
    assert [path for path, _, _ in venue.asked] == ["/products/BTC-USD/trades"] * 4
    assert venue.asked[0][1] == {"after": "4322", "limit": "1000"}


def test_a_trade_is_told_with_the_takers_side_while_the_venue_tells_the_makers() -> None:
    with answering(lambda path, query, _: good([trade(7, "61800.30")])) as venue:
        rest = client(venue)
        (tick,) = rest.trades("BTC-USD", 7, 7)
        rest.close()
    assert (tick.text, tick.price, tick.size, tick.side) == ("61800.30", 61800.3, "0.5", "buy")
    assert (tick.venue_time, tick.bid, tick.ask) == ("2026-01-05T12:00:00.5Z", "", "")


def test_trades_the_venue_does_not_have_are_left_out() -> None:
    lost = frozenset({5, 6, 10})
    with answering(lambda path, query, _: trades_between(1, 20, query, lost=lost)) as venue:
        rest = client(venue)
        assert [tick.trade_id for tick in rest.trades("BTC-USD", 5, 10)] == [7, 8, 9]
        assert rest.trades("BTC-USD", 500, 510) == []
        rest.close()


def test_a_venue_that_ignores_the_cursor_does_not_trap_the_client() -> None:
    newest = good([trade(trade_id) for trade_id in range(2000, 1900, -1)])
    with answering(lambda path, query, _: newest) as venue:
        rest = client(venue)
        assert rest.trades("BTC-USD", 1, 50) == []
        rest.close()
    assert len(venue.asked) == 1


def test_a_trade_with_an_unbelievable_price_is_left_out() -> None:
    page = [trade(3, "NaN"), trade(2), trade(1, "1e5")]
    with answering(lambda path, query, _: good(page)) as venue:
        rest = client(venue)
        assert [tick.trade_id for tick in rest.trades("BTC-USD", 1, 3)] == [2]
        rest.close()


def test_a_ticker_is_a_refilled_tick() -> None:
    body = {
        "trade_id": 9,
        "price": "100.10",
        "size": "0.2",
        "bid": "100.09",
        "ask": "100.11",
        "volume": "5",
        "time": "2026-01-05T12:00:00Z",
    }
    with answering(lambda path, query, _: good(body)) as venue:
        rest = client(venue)
        tick = rest.ticker("BTC-USD")
        rest.close()
    assert (tick.trade_id, tick.text, tick.bid, tick.ask, tick.side, tick.refilled) == (
        9,
        "100.10",
        "100.09",
        "100.11",
        "",
        True,
    )


def test_candles_come_in_order_with_exact_numbers_and_are_asked_for_in_pieces() -> None:
    since = datetime(2026, 1, 5, tzinfo=UTC)

    def respond(path: str, query: dict[str, str], _: int) -> Answer:
        start, end = (int(datetime.fromisoformat(query[name]).timestamp()) for name in ("start", "end"))
        # Newest first, the end included, as the venue does.
        return good([[at, 1.1, 4.4, 2.2, 3.3, 0.00000001] for at in range(end, start - 1, -60)])

    with answering(respond) as venue:
        rest = client(venue)
        bars = rest.candles("BTC-USD", 60, since, since + timedelta(minutes=700))
        rest.close()
    assert len(venue.asked) == 3
    assert [bar.opened_at for bar in bars] == [since + timedelta(minutes=number) for number in range(700)]
    first = bars[0]
    assert (first.low, first.high, first.open, first.close) == tuple(map(Decimal, ("1.1", "4.4", "2.2", "3.3")))
    assert first.volume == Decimal("0.00000001")


def test_a_candle_size_the_venue_does_not_have_is_refused_before_asking() -> None:
    rest = CoinbaseRest("http://127.0.0.1:1", QUICK)
    with pytest.raises(ValueError, match="120 s"):
        rest.candles("BTC-USD", 120, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    rest.close()


def test_products_and_time() -> None:
    listed = [
        {
            "id": "BTC-USD",
            "base_currency": "BTC",
            "quote_currency": "USD",
            "quote_increment": "0.01",
            "base_increment": "0.00000001",
            "min_market_funds": "1",
            "status": "online",
            "trading_disabled": False,
            "more": [1],
        },
        {"id": "OLD-USD", "status": "delisted", "trading_disabled": True},
    ]
    bodies = {"/products": listed, "/time": {"iso": "2026-01-05T12:00:00.123Z", "epoch": 1.5}}
    with answering(lambda path, query, _: good(bodies[path])) as venue:
        rest = client(venue)
        one, two = rest.products()
        assert (one.symbol, one.base, one.quote, one.price_increment, one.size_increment, one.min_notional) == (
            "BTC-USD",
            "BTC",
            "USD",
            "0.01",
            "0.00000001",
            "1",
        )
        assert (one.is_trading, two.is_trading) == (True, False)
        assert rest.time() == datetime(2026, 1, 5, 12, 0, 0, 123000, tzinfo=UTC)
        rest.close()


@pytest.mark.skipif(not DATA.exists(), reason="the recorded data is not part of the project")
def test_recorded_answers_of_the_real_venue_are_understood() -> None:
    trades = (DATA / "benny_products_BTC-EUR_trades_GET-200.json").read_bytes()
    bars = (DATA / "benny_products_BTC-USD_candles_GET-200.json").read_bytes()

    def respond(path: str, query: dict[str, str], _: int) -> Answer:
        return 200, {}, trades if path.endswith("trades") else bars

    with answering(respond) as venue:
        rest = client(venue)
        ticks = rest.trades("BTC-EUR", 24169714, 24169717)
        assert [tick.trade_id for tick in ticks] == [24169714, 24169715, 24169716, 24169717]
        assert ticks[-1].text == "9042.88000000"
        found = rest.candles(
            "BTC-USD", 3600, datetime(2020, 3, 15, 20, tzinfo=UTC), datetime(2020, 3, 16, 1, tzinfo=UTC)
        )
        assert (found[-1].low, found[-1].high) == (Decimal("5236.01"), Decimal("5346.05"))
        rest.close()


@pytest.mark.parametrize(
    ("first", "is_permanent", "asked"),
    [
        pytest.param((500, {}, b"oops"), False, 3, id="500"),
        pytest.param((502, {}, b"<html>"), False, 3, id="502 html"),
        pytest.param((429, {"Retry-After": "0"}, b"slow"), False, 3, id="429"),
        pytest.param((404, {}, b'{"message":"NotFound"}'), True, 1, id="404"),
        pytest.param((400, {}, b"bad"), True, 1, id="400"),
        pytest.param((302, {"Location": "http://127.0.0.1:1/"}, b""), True, 1, id="a redirect"),
        pytest.param((200, {}, b"<html>maintenance</html>"), False, 1, id="html"),
        pytest.param((200, {}, b""), False, 1, id="empty"),
        pytest.param((200, {}, b'[{"trade_id":1'), False, 1, id="half an answer"),
        pytest.param((200, {"Content-Length": "9999"}, b"[]"), False, 3, id="a truncated answer"),
        pytest.param((200, {"X-Drip": "0.1"}, b" " * 60), False, 3, id="an answer that drips"),
        pytest.param(None, False, 3, id="hung up"),
    ],
)
def test_every_failure_is_typed_and_bounded(first: Answer | None, is_permanent: bool, asked: int) -> None:
    with answering(lambda path, query, _: first) as venue:
        rest = client(venue)
        started = time.monotonic()
        with pytest.raises(FeedUnavailable) as raised:
            rest.trades("BTC-USD", 1, 5)
        assert raised.value.permanent is is_permanent
        assert len(venue.asked) == asked
        assert time.monotonic() - started < 4
        rest.close()


def test_nobody_listening_is_worth_another_try_later() -> None:
    rest = CoinbaseRest("http://127.0.0.1:1", QUICK)
    with pytest.raises(FeedUnavailable) as raised:
        rest.time()
    assert not raised.value.permanent
    rest.close()


def test_a_failure_that_passes_is_not_told() -> None:
    def respond(path: str, query: dict[str, str], number: int) -> Answer:
        return (503, {}, b"") if number < 3 else good({"iso": "2026-01-05T12:00:00Z"})

    with answering(respond) as venue:
        rest = client(venue)
        assert rest.time().year == 2026
        rest.close()


def test_retry_after_is_obeyed() -> None:
    timings = RestTimings(backoff_base=0.01, backoff_cap=1.0)

    def respond(path: str, query: dict[str, str], number: int) -> Answer:
        return (429, {"Retry-After": "1"}, b"") if number == 1 else good({"iso": "2026-01-05T12:00:00Z"})

    with answering(respond) as venue:
        rest = client(venue, timings)
        rest.time()
        rest.close()
    assert venue.asked[1][2] - venue.asked[0][2] >= 1.0


def test_a_proxy_in_the_environment_is_not_used_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    with answering(lambda path, query, _: good({"iso": "2026-01-05T12:00:00Z"})) as venue:
        rest = client(venue)
        rest.time()
        rest.close()


def test_the_bucket_spaces_what_exceeds_the_burst() -> None:
    now = [0.0]
    bucket = Bucket(per_second=10.0, burst=3.0, clock=lambda: now[0])
    assert [bucket.reserve() for _ in range(3)] == [0.0, 0.0, 0.0]
    assert [round(bucket.reserve(), 6) for _ in range(3)] == [0.1, 0.2, 0.3]
    now[0] = 10.0
    assert [bucket.reserve() for _ in range(3)] == [0.0, 0.0, 0.0]
    assert bucket.reserve() > 0


def test_the_client_stays_below_the_venues_limit() -> None:
    timings = RestTimings(per_second=50, burst=5)
    with answering(lambda path, query, _: good({"iso": "2026-01-05T12:00:00Z"})) as venue:
        rest = client(venue, timings)
        for _ in range(25):
            rest.time()
        rest.close()
    assert venue.asked[-1][2] - venue.asked[0][2] >= 19 / 50
