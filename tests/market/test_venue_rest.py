"""What the venues answer by REST becomes ticks and candles: complete, exact, oldest first."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from apps.market.feeds.alpaca_rest import AlpacaRest
from apps.market.feeds.base import VenueRest
from apps.market.feeds.binance_rest import BinanceRest
from apps.market.feeds.coinbase_advanced_rest import AdvancedRest
from apps.market.feeds.kraken_rest import KrakenRest
from apps.market.feeds.rest import FeedUnavailable, RestTimings
from tests.market.answering import Answer, answering, good

FAST = RestTimings(
    connect_timeout=0.3, read_timeout=0.5, deadline=1.0, attempts=2, backoff_base=0.01, per_second=1000, burst=1000
)
SINCE = datetime(2026, 1, 5, 12, tzinfo=UTC)
BEGAN = int(SINCE.timestamp())
NEWEST = 9000  # the venue's last trade; one a second before it, two in every tenth second


def at(number: int) -> int:
    """Return when a trade was made: every tenth shares its instant with the one before it."""
    return BEGAN + number - (1 if number % 10 == 0 else 0)


def price(number: int) -> str:
    return f"{100 + number % 7}.50"


def binance_trades(query: dict[str, str]) -> Answer:
    first, limit = int(query.get("fromId", NEWEST)), int(query["limit"])
    numbers = range(first, min(first + limit, NEWEST + 1))
    return good(
        [
            {
                "id": n,
                "price": price(n),
                "qty": "0.50",
                "quoteQty": "1",
                "time": int(at(n) * 1000),
                "isBuyerMaker": n % 2 == 0,
                "isBestMatch": True,
            }
            for n in numbers
        ]
    )


def kraken_trades(query: dict[str, str]) -> Answer:
    count = int(query.get("count", 1000))
    numbers = [
        n for n in range(1, NEWEST + 1) if "since" not in query or int((at(n) + 0.5) * 1e9) > int(query["since"])
    ]
    chosen = numbers[:count] if "since" in query else numbers[-count:]
    rows = ",".join(f'["{price(n)}","0.50",{at(n)}.5,"{"bs"[n % 2 == 0]}","l","",{n}]' for n in chosen)
    return 200, {}, f'{{"error":[],"result":{{"XXBTZUSD":[{rows}],"last":"1"}}}}'.encode()


def advanced_trades(query: dict[str, str]) -> Answer:
    limit = int(query["limit"])
    numbers = [n for n in range(NEWEST, 0, -1) if "end" not in query or at(n) <= int(query["end"])]
    trades = [
        {
            "trade_id": str(n),
            "product_id": "BTC-USD",
            "price": price(n),
            "size": "0.50",
            "time": datetime.fromtimestamp(at(n), UTC).isoformat().replace("+00:00", "Z"),
            "side": "SELL" if n % 2 else "BUY",
        }
        for n in numbers[:limit]
    ]
    return good({"trades": trades, "best_bid": "99.00", "best_ask": "110.00"})


def trading(path: str, query: dict[str, str], number: int) -> Answer:
    del number
    if path.endswith(("historicalTrades", "/v3/trades")):
        return binance_trades(query)
    if path.endswith("bookTicker"):
        return good({"symbol": "BTCUSDT", "bidPrice": "99.00", "askPrice": "110.00"})
    if path.endswith("/public/Trades"):
        return kraken_trades(query)
    if path.endswith("/public/Ticker"):
        return good({"error": [], "result": {"XXBTZUSD": {"a": ["110.00", "1", "1"], "b": ["99.00", "1", "1"]}}})
    return advanced_trades(query)


COUNTING: list[object] = [
    pytest.param(lambda url: BinanceRest(url, timings=FAST), "BTCUSDT", id="binance"),
    pytest.param(lambda url: KrakenRest(url, FAST), "BTC/USD", id="kraken"),
    pytest.param(lambda url: AdvancedRest(url, FAST), "BTC-USD", id="coinbase_advanced"),
]


@pytest.mark.parametrize(("client", "symbol"), COUNTING)
@pytest.mark.parametrize(
    ("first", "last"), [(8990, 9000), (7000, 8500), (8500, 8500), (6995, 7010), (1, 30), (8999, 9050)]
)
def test_trades_come_by_their_numbers(client: Callable[[str], VenueRest], symbol: str, first: int, last: int) -> None:
    with answering(trading) as venue:
        rest = client(venue.url)
        ticks = rest.trades(symbol, first, last)
        rest.close()
    assert [tick.trade_id for tick in ticks] == list(range(first, min(last, NEWEST) + 1))
    assert all(tick.refilled and tick.symbol == symbol for tick in ticks)
    assert [tick.text for tick in ticks] == [price(tick.trade_id) for tick in ticks]
    assert [tick.side for tick in ticks] == [("buy", "sell")[tick.trade_id % 2 == 0] for tick in ticks]
    first_at = datetime.fromisoformat(ticks[0].venue_time)
    assert abs(first_at.timestamp() - at(first)) < 1


@pytest.mark.parametrize(("client", "symbol"), COUNTING)
def test_trades_that_are_not_there_are_left_out(client: Callable[[str], VenueRest], symbol: str) -> None:
    with answering(trading) as venue:
        rest = client(venue.url)
        assert rest.trades(symbol, NEWEST + 5, NEWEST + 10) == []
        rest.close()
    assert len(venue.asked) < 20


@pytest.mark.parametrize(("client", "symbol"), COUNTING)
def test_the_last_trade_comes_with_its_quote(client: Callable[[str], VenueRest], symbol: str) -> None:
    with answering(trading) as venue:
        rest = client(venue.url)
        tick = rest.ticker(symbol)
        rest.close()
    assert (tick.trade_id, tick.text, tick.bid, tick.ask, tick.refilled) == (
        NEWEST,
        price(NEWEST),
        "99.00",
        "110.00",
        True,
    )


def binance_bars(path: str, query: dict[str, str], _: int) -> Answer:
    start, end = int(query["startTime"]), int(query["endTime"])
    first = -(-start // 60_000) * 60_000
    bars = [[ms, "1.10", "4.40", "0.90", "3.30", "0.00000001", ms + 59_999] for ms in range(first, end + 1, 60_000)]
    return good(bars[: int(query["limit"])])


def advanced_bars(path: str, query: dict[str, str], _: int) -> Answer:
    start, end = int(query["start"]), int(query["end"])
    assert (end - start) // 60 < 350
    stamps = range(end - end % 60, start - 1, -60)
    row = {"low": "0.90", "high": "4.40", "open": "1.10", "close": "3.30", "volume": "0.00000001"}
    return good({"candles": [{"start": str(stamp), **row} for stamp in stamps]})


def alpaca_bars(path: str, query: dict[str, str], _: int) -> Answer:
    assert query["feed"] == "iex"
    since = int(datetime.fromisoformat(query["start"]).timestamp())
    until = int(datetime.fromisoformat(query["end"]).timestamp())
    start = int(query.get("page_token", since))
    stamps = range(start, min(start + 300 * 60, until + 1), 60)
    bars = ",".join(
        f'{{"t":"{datetime.fromtimestamp(stamp, UTC):%Y-%m-%dT%H:%M:%SZ}","o":1.10,"h":4.40,"l":0.90,"c":3.30,'
        '"v":0.00000001,"n":3,"vw":2.2}'
        for stamp in stamps
    )
    token = f'"{stamps[-1] + 60}"' if stamps[-1] + 60 <= until else "null"
    return 200, {}, f'{{"bars":[{bars}],"symbol":"AAPL","next_page_token":{token}}}'.encode()


@pytest.mark.parametrize(
    ("client", "symbol", "respond"),
    [
        (lambda url: BinanceRest(url, timings=FAST), "BTCUSDT", binance_bars),
        (lambda url: AdvancedRest(url, FAST), "BTC-USD", advanced_bars),
        (lambda url: AlpacaRest(url, key="K", secret="S", timings=FAST), "AAPL", alpaca_bars),
    ],
    ids=["binance", "coinbase_advanced", "alpaca"],
)
def test_candles_of_any_span_come_complete_and_exact(
    client: Callable[[str], VenueRest], symbol: str, respond: object
) -> None:
    with answering(respond) as venue:
        rest = client(venue.url)
        bars = rest.candles(symbol, 60, SINCE, SINCE + timedelta(minutes=2500))
        with pytest.raises(ValueError, match="no candle of this venue"):
            rest.candles(symbol, 61, SINCE, SINCE + timedelta(hours=1))
        rest.close()
    assert [bar.opened_at for bar in bars] == [SINCE + timedelta(minutes=n) for n in range(2500)]
    first = bars[0]
    assert (first.open, first.high, first.low, first.close) == tuple(map(Decimal, ("1.10", "4.40", "0.90", "3.30")))
    assert first.volume == Decimal("0.00000001")
    assert str(first.open) == "1.10"


def test_kraken_gives_its_latest_candles_and_says_when_a_span_is_older_than_them() -> None:
    def respond(path: str, query: dict[str, str], _: int) -> Answer:
        newest = BEGAN + 60 * 1000
        oldest = newest - 60 * 719
        first = max(int(query["since"]) + 1, oldest)
        bars = [[t, "1.10", "4.40", "0.90", "3.30", "2.2", "0.5", 9] for t in range(first, newest + 1, 60)]
        return good({"error": [], "result": {"XXBTZUSD": bars, "last": newest}})

    with answering(respond) as venue:
        rest = KrakenRest(venue.url, FAST)
        since = SINCE + timedelta(minutes=500)
        bars = rest.candles("BTC/USD", 60, since, since + timedelta(minutes=100))
        assert [bar.opened_at for bar in bars] == [since + timedelta(minutes=n) for n in range(100)]
        with pytest.raises(FeedUnavailable, match="keeps 720 candles") as refused:
            rest.candles("BTC/USD", 60, SINCE, since)
        rest.close()
    assert refused.value.permanent
    assert venue.asked[0][1]["pair"] == "XBTUSD"


@pytest.mark.parametrize(
    ("words", "permanent"), [("EAPI:Rate limit exceeded", False), ("EQuery:Unknown asset pair", True)]
)
def test_krakens_errors_come_in_good_answers(words: str, permanent: bool) -> None:
    with answering(lambda path, query, _: good({"error": [words]})) as venue:
        rest = KrakenRest(venue.url, FAST)
        with pytest.raises(FeedUnavailable, match=words.split(":")[1]) as refused:
            rest.time()
        rest.close()
    assert refused.value.permanent is permanent


def test_a_ban_of_binance_is_not_answered_with_more_questions() -> None:
    with answering(lambda path, query, _: (418, {"Retry-After": "120"}, b"banned")) as venue:
        rest = BinanceRest(venue.url, timings=FAST)
        with pytest.raises(FeedUnavailable, match="418") as refused:
            rest.time()
        rest.close()
    assert refused.value.permanent
    assert len(venue.asked) == 1


def test_alpacas_trades_come_by_time_page_after_page() -> None:
    def respond(path: str, query: dict[str, str], _: int) -> Answer:
        start = int(query.get("page_token", "0"))
        trades = ",".join(
            f'{{"t":"{datetime.fromtimestamp(BEGAN + n, UTC):%Y-%m-%dT%H:%M:%SZ}","x":"V","p":{price(n)},"s":100,'
            f'"c":["{"W" if n == 3 else "@"}"],"i":{900 - n},"z":"C"}}'
            for n in range(start, min(start + 4, 10))
        )
        token = f'"{start + 4}"' if start + 4 < 10 else "null"
        return 200, {}, f'{{"trades":[{trades}],"next_page_token":{token}}}'.encode()

    with answering(respond) as venue:
        rest = AlpacaRest(venue.url, key="K", secret="S", timings=FAST)
        ticks = rest.trades_between("AAPL", SINCE, SINCE + timedelta(seconds=9))
        assert rest.trades("AAPL", 1, 10) == []
        rest.close()
    assert [tick.trade_id for tick in ticks] == [900 - n for n in (0, 1, 2, 4, 5, 6, 7, 8)]
    assert all(tick.refilled for tick in ticks)


def test_alpacas_assets_and_clock_are_asked_where_the_trading_is() -> None:
    def respond(path: str, query: dict[str, str], _: int) -> Answer:
        if path == "/v2/clock":
            return good({"timestamp": "2026-01-05T09:30:00.5-05:00", "is_open": True})
        return good([{"symbol": "AAPL", "status": "active", "tradable": True, "fractionable": True}])

    with answering(respond) as trading_venue, answering(lambda path, query, _: (404, {}, b"")) as prices:
        rest = AlpacaRest(prices.url, key="K", secret="S", trading_url=trading_venue.url, timings=FAST)
        assert rest.time() == datetime(2026, 1, 5, 14, 30, 0, 500000, tzinfo=UTC)
        assert [(p.symbol, p.quote, p.is_trading) for p in rest.products()] == [("AAPL", "USD", True)]
        rest.close()
    assert prices.asked == []


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b"null", b'{"trades":7}', b"[" * 100_000])
@pytest.mark.parametrize(
    "client",
    [
        lambda url: BinanceRest(url, timings=FAST),
        lambda url: KrakenRest(url, FAST),
        lambda url: AdvancedRest(url, FAST),
        lambda url: AlpacaRest(url, timings=FAST),
    ],
    ids=["binance", "kraken", "coinbase_advanced", "alpaca"],
)
def test_an_answer_that_makes_no_sense_is_one_typed_error(client: Callable[[str], VenueRest], body: bytes) -> None:
    with answering(lambda path, query, _: (200, {}, body)) as venue:
        rest = client(venue.url)
        with pytest.raises(FeedUnavailable) as refused:
            rest.ticker("BTC-USD")
        assert not refused.value.permanent
        with pytest.raises(FeedUnavailable):
            rest.time()
        rest.close()


def test_a_believable_page_is_read_around_a_trade_that_is_not() -> None:
    page = [{"id": n, "price": text, "qty": "1", "time": BEGAN * 1000} for n, text in ((1, "NaN"), (2, "5"), (3, "-1"))]
    with answering(lambda path, query, _: (200, {}, json.dumps(page).encode())) as venue:
        rest = BinanceRest(venue.url, timings=FAST)
        assert [tick.trade_id for tick in rest.trades("BTCUSDT", 1, 3)] == [2]
        rest.close()
