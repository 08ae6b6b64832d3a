"""What the tests of history start from: an instrument, prints with numbers, and a venue that remembers its past."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from apps.market import store
from apps.market.models import Gap, Instrument
from apps.market.store import Timeframe
from apps.market.store import candles as store_candles
from apps.market.store import ticks as store_ticks
from apps.market.store.candles import CandleRow
from apps.market.store.ticks import TickRow
from apps.market.store.timeframes import floor
from tests.market.answering import Answer, good

NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def at(minutes: float) -> datetime:
    """Return an instant some minutes after noon."""
    return NOON + timedelta(minutes=minutes)


def tick(instrument: Instrument, minutes: float, trade_id: int, price: str = "100") -> TickRow:
    moment = at(minutes)
    return TickRow(instrument.pk, moment, trade_id, moment, Decimal(price), Decimal(1), "buy", None, None, False)


def put_ticks(market: store.Store, instrument: Instrument, *prints: tuple[float, int]) -> None:
    """Store prints given as minutes after noon and number."""
    store_ticks.write(market, [tick(instrument, minutes, trade_id) for minutes, trade_id in prints])


def candle(instrument: Instrument, minutes: float, close: str = "100") -> CandleRow:
    price = Decimal(close)
    return CandleRow(instrument.pk, at(minutes), price, price, price, price, Decimal(1), 1)


def put_candles(market: store.Store, instrument: Instrument, minutes: Iterable[float]) -> None:
    store_candles.write(market, Timeframe.MINUTE, [candle(instrument, minute) for minute in minutes])


def minutes_stored(market: store.Store, instrument: Instrument) -> list[float]:
    """Return the minutes after noon that have a candle."""
    rows = store_candles.rows(market, instrument.pk, Timeframe.MINUTE, since=datetime(2000, 1, 1, tzinfo=UTC))
    return [(row.at - NOON) / MINUTE for row in rows]


def listed(instrument: Instrument) -> list[tuple[str, str, float, float, int | None, int | None]]:
    """Return every gap as kind, state, minutes after noon, and numbers."""
    return [
        (row.kind, row.state, (row.since - NOON) / MINUTE, (row.until - NOON) / MINUTE, row.first_id, row.last_id)
        for row in Gap.objects.filter(instrument=instrument).order_by("since", "kind", "first_id")
    ]


class Past:
    """A venue's memory of one product: all its candles, and the trades it still shows. Answers like Coinbase."""

    def __init__(self, *trades: tuple[float, int, str]) -> None:
        self.trades = {trade_id: (at(minutes), price) for minutes, trade_id, price in trades}
        self.forgotten: set[int] = set()
        self.silent = False
        self.asked: list[str] = []

    def respond(self, path: str, query: dict[str, str], number: int) -> Answer:
        kind = path.rpartition("/")[2]
        self.asked.append(kind)
        if self.silent:
            return 404, {}, b"{}"
        return good(self._page(query) if kind == "trades" else self._candles(query))

    def _page(self, query: dict[str, str]) -> list[dict[str, object]]:
        ids = [one for one in sorted(self.trades, reverse=True) if one < int(query["after"])]
        return [self._trade(one) for one in ids[: int(query["limit"])] if one not in self.forgotten]

    def _trade(self, trade_id: int) -> dict[str, object]:
        moment, price = self.trades[trade_id]
        return {"trade_id": trade_id, "time": moment.isoformat(), "price": price, "size": "1", "side": "sell"}

    def _candles(self, query: dict[str, str]) -> list[list[float]]:
        since, until = (datetime.fromisoformat(query[name]) for name in ("start", "end"))
        buckets: dict[datetime, list[float]] = {}
        for trade_id in sorted(self.trades):
            moment, price = self.trades[trade_id]
            buckets.setdefault(floor(moment, MINUTE), []).append(float(price))
        return [
            [int(start.timestamp()), min(prices), max(prices), prices[0], prices[-1], float(len(prices))]
            for start, prices in buckets.items()
            if since <= start <= until
        ]
