"""What the exchange remembers of one product: last trade, recent trades, today's candles and the 24-hour figures."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

import numpy as np

from apps.simulator import history
from apps.simulator.products import Product, trim
from apps.simulator.protocol import Trade

Row = tuple[int, int, str, str, str]
"""trade id, time in microseconds, price, size, taker side"""

KEPT_BARS = 20_000  # minutes, about a fortnight
MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US


class Window:
    """Open, high, low and volume of the last 24 hours, kept in whole hours."""

    def __init__(self, product: Product, hours: list[list[float]], hour: int) -> None:
        """`hours` are rows of open, high, low and volume, oldest first; `hour` is the running one since the epoch."""
        self._format = f"%.{product.quote_decimals}f"
        self._hours = hours
        self._hour = hour
        self._sum_up()
        self.volume_30d = 30.0 * self.volume

    def add(self, price: float, size: float, hour: int) -> None:
        """Count one trade."""
        if hour > self._hour:
            self._turn(price, hour)
        self.volume += size
        self.volume_30d += size
        now = self._hours[-1]
        now[3] += size
        if price > now[1]:
            now[1] = price
            self._show_range()
        if price < now[2]:
            now[2] = price
            self._show_range()

    def _turn(self, price: float, hour: int) -> None:
        self._hour = hour
        self._hours.append([price, price, price, 0.0])
        del self._hours[:-24]
        self._sum_up()

    def _sum_up(self) -> None:
        self.volume = sum(row[3] for row in self._hours)
        self.open = trim(self._format % self._hours[0][0])
        self._show_range()

    def _show_range(self) -> None:
        self.high = trim(self._format % max(row[1] for row in self._hours))
        self.low = trim(self._format % min(row[2] for row in self._hours))


class Tape:
    """The record of one product. Truth lives here: what faults do to messages leaves it untouched."""

    def __init__(self, product: Product, past: history.History, *, first_id: int, sequence: int, keep: int) -> None:
        """`first_id` is the id of the next trade; `keep` is how many trades REST can look back."""
        self.product = product
        self.past = past
        self.trade_id = first_id - 1
        self.sequence = sequence
        self.last: Trade | None = None
        self._keep = keep
        self._rows: list[Row] = []
        self._bars: dict[int, list[float]] = {}
        self._minute = -1
        self._bar: list[float] = []
        self._day = Window(product, _hours(past, product), past.end_minute // 60)

    def add(
        self, price: float, price_text: str, size: float, size_text: str, side: str,
        bid: str, bid_size: str, ask: str, ask_size: str, step: int, time_us: int,
    ) -> Trade:  # fmt: skip
        """Book the next trade; the id rises by one, the sequence by `step`."""
        self.trade_id += 1
        self.sequence += step
        day = self._day
        day.add(price, size, time_us // HOUR_US)
        self._count(price, size, time_us // MINUTE_US)
        self._rows.append((self.trade_id, time_us, price_text, size_text, side))
        if len(self._rows) > 2 * self._keep:
            del self._rows[: self._keep]
        self.last = Trade(
            self.product.id, self.trade_id, self.sequence, time_us, price_text, size_text, side, bid, bid_size,
            ask, ask_size, day.open, day.low, day.high, day.volume, day.volume_30d,
        )  # fmt: skip
        return self.last

    def jump_to(self, trade_id: int, sequence: int) -> None:
        """Let the next trade have this id, and a sequence above this one (a recording brings its own)."""
        self.trade_id = max(self.trade_id, trade_id - 1)
        self.sequence = max(self.sequence, sequence)

    def trades(self, *, newer_than: int | None, older_than: int | None, limit: int) -> list[Row]:
        """Recent trades with ids strictly between the two, newest first, at most `limit`."""
        start = 0 if newer_than is None else bisect_right(self._rows, newer_than, key=_row_id)
        end = len(self._rows) if older_than is None else bisect_left(self._rows, older_than, key=_row_id)
        return self._rows[max(start, end - limit) : end][::-1]

    def candles(self, first: int, last: int, minutes: int) -> history.Bars:
        """Candles of `minutes` minutes that begin between the minutes `first` and `last`, oldest first."""
        end = last + minutes - 1
        past = self.past.bars(first, end)
        live = _arrays((minute, bar) for minute, bar in self._bars.items() if first <= minute <= end)
        return history.aggregate(history.joined([past, live]), minutes)

    def _count(self, price: float, size: float, minute: int) -> None:
        if minute > self._minute:
            self._minute = minute
            self._bar = self._bars[minute] = [price, price, price, price, 0.0]
            if len(self._bars) > KEPT_BARS:
                del self._bars[next(iter(self._bars))]
        bar = self._bar
        if price < bar[0]:
            bar[0] = price
        elif price > bar[1]:
            bar[1] = price
        bar[3] = price
        bar[4] += size


def _row_id(row: Row) -> int:
    return row[0]


def _arrays(rows: Iterable[tuple[int, list[float]]]) -> history.Bars:
    """Live bars (low, high, open, close, volume) as arrays."""
    table = [(minute, *bar) for minute, bar in rows]
    if not table:
        return history.empty()
    minutes, low, high, opened, close, volume = (np.array(column) for column in zip(*table, strict=True))
    return (minutes.astype(np.int64), low, high, opened, close, np.round(volume, 8))


def _hours(past: history.History, product: Product) -> list[list[float]]:
    """The day before the start as rows of open, high, low and volume, with a row for the running hour at the end."""
    price = float(product.start_price)
    bars = history.aggregate(past.bars(past.end_minute - history.DAY, past.end_minute - 1), 60)
    rows = [
        [opened, high, low, volume]
        for low, high, opened, volume in zip(
            bars[1].tolist(), bars[2].tolist(), bars[3].tolist(), bars[5].tolist(), strict=True
        )
    ]
    if not rows or int(bars[0][-1]) // 60 < past.end_minute // 60:
        rows.append([price, price, price, 0.0])
    return rows[-24:]
