"""What an exchange answers through ccxt: the same values as without it, digit by digit."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from apps.market.feeds import FEEDS
from apps.market.feeds.base import FeedConfig, VenueRest
from apps.market.feeds.rest import FeedUnavailable
from tests.market.answering import Answer, RestVenue, answering, good
from tests.market.following import QUICK, Recorder
from tests.market.stages import listed

SINCE = datetime(2026, 1, 5, 12, tzinfo=UTC)


def respond(path: str, query: dict[str, str], _: int) -> Answer:
    if path == "/products":
        return good([listed("BTC/USD")])
    if path == "/time":
        return good({"iso": "2026-01-05T12:00:00.500Z", "epoch": 1767614400.5})
    if path.endswith("/candles"):
        start, end = (int(datetime.fromisoformat(query[name]).timestamp()) for name in ("start", "end"))
        rows = [f"[{at},1.10,4.40,2.20,3.30,0.00000001]" for at in range(end, start - 1, -60)]
        return 200, {}, f"[{','.join(rows)}]".encode()
    if path.endswith("/trades"):
        return good(
            [
                {
                    "trade_id": n,
                    "price": f"10{n}.10",
                    "size": "0.50",
                    "side": "sell",
                    "time": (SINCE + timedelta(seconds=n)).isoformat().replace("+00:00", "Z"),
                }
                for n in (5, 4, 3, 2, 1)
            ]
        )
    return good([])


@pytest.fixture
def venue() -> Iterator[RestVenue]:
    with answering(respond) as found:
        yield found


@pytest.fixture
def rest(venue: RestVenue) -> Iterator[VenueRest]:
    options = {"exchange": "coinbaseexchange"}
    config = FeedConfig(ws_url="", rest_url=venue.url, timings=QUICK, options=options)
    client = FEEDS.get("ccxt")(config, Recorder()).rest()
    yield client
    client.close()


def test_products_carry_ccxts_names(rest: VenueRest) -> None:
    (product,) = rest.products()
    assert (product.symbol, product.base, product.quote, product.is_trading) == ("BTC/USD", "BTC", "USD", True)
    assert (product.price_increment, product.size_increment) == ("0.01", "0.00000001")


def test_candles_come_complete_and_exact(rest: VenueRest) -> None:
    bars = rest.candles("BTC/USD", 60, SINCE, SINCE + timedelta(minutes=700))
    assert [bar.opened_at for bar in bars] == [SINCE + timedelta(minutes=n) for n in range(700)]
    assert (bars[0].low, bars[0].high, bars[0].open, bars[0].close) == tuple(
        map(Decimal, ("1.10", "4.40", "2.20", "3.30"))
    )
    assert bars[0].volume == Decimal("0.00000001")
    with pytest.raises(ValueError, match="no candle"):
        rest.candles("BTC/USD", 61, SINCE, SINCE + timedelta(hours=1))


def test_trades_come_by_time(rest: VenueRest) -> None:
    found = rest.trades_between("BTC/USD", SINCE, SINCE + timedelta(seconds=4))
    assert [tick.text for tick in found] == ["101.10", "102.10", "103.10"]
    assert all(tick.refilled and tick.size == "0.50" for tick in found)
    assert rest.trades("BTC/USD", 1, 5) == []


def test_the_clock_and_what_is_not_there(rest: VenueRest) -> None:
    assert rest.time() == SINCE + timedelta(seconds=0.5)
    with pytest.raises(FeedUnavailable) as refused:
        rest.ticker("NOPE/USD")
    assert refused.value.permanent
