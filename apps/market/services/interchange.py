"""Candles and ticks in and out of files: every line is checked first, then all are stored or none."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.domain.errors import Problem, Refused
from apps.market import selectors
from apps.market.models import Instrument
from apps.market.services import candles, columns, files
from apps.market.services.columns import Unfit
from apps.market.services.files import Record
from apps.market.store import Timeframe, partitions, quality
from apps.market.store import candles as store_candles
from apps.market.store import ticks as store_ticks
from apps.market.store.candles import CandleRow
from apps.market.store.ticks import TickRow
from apps.market.store.timeframes import floor

CANDLE_COLUMNS = ("at", "open", "high", "low", "close", "volume", "trades")
TICK_COLUMNS = ("at", "trade_id", "price", "size", "side", "bid", "ask")
MOST_PROBLEMS = 20  # shown at once; the file is refused anyway
PAGE = 50_000
SIDES = {"buy": "buy", "b": "buy", "bid": "buy", "sell": "sell", "s": "sell", "ask": "sell", "": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of a file: its rows, how many were new or different, which time they span, what was left out."""

    rows: int
    changed: int
    since: datetime
    until: datetime
    left_out: int = 0  # rows of a longer candle that is not complete in the file
    doubled: int = 0  # lines that say the same as an earlier one


def import_candles(
    path: Path,
    instrument: Instrument,
    timeframe: Timeframe,
    *,
    bars: timedelta | None = None,
    zone: tzinfo | None = None,
) -> Imported:
    """Store the candles of a file, all or none; they count as the venue's own word.

    `bars` is the length of the file's candles when it is another one: they are combined, and a candle that the file
    does not hold completely is left out. `zone` is where times without an offset are from. Raises Refused with the
    lines that are wrong, and StoreUnavailable.
    """
    length = bars or timeframe.width
    if timeframe.width % length:
        raise Refused(_wrong("bars", str(bars), f"do not make up {timeframe}", "name a length that divides it"))
    read = _Reader(columns.CANDLES, lambda row: _candle(row, instrument.pk, length, zone))
    found = read.all(path)
    rows = found if bars is None else _combined(found, timeframe.width, length)
    if not rows:
        raise Refused(_wrong("file", str(path), "holds no complete candle", "name the length of its candles"))
    store = selectors.market_store()
    partitions.ensure(store, partitions.CANDLES[timeframe], rows[0].at, rows[-1].at + timeframe.width)
    changed = store_candles.write(store, timeframe, rows)
    since, until = rows[0].at, rows[-1].at + timeframe.width
    candles.lengthen(instrument.pk, timeframe, since, until)
    left_out = len(found) - len(rows) * (timeframe.width // length)
    return Imported(rows=len(rows), changed=changed, since=since, until=until, left_out=left_out, doubled=read.doubled)


def import_ticks(path: Path, instrument: Instrument, *, now: datetime, zone: tzinfo | None = None) -> Imported:
    """Store the trade prints of a file, all or none. Raises Refused with the lines that are wrong."""
    read = _Reader(columns.TICKS, lambda row: _tick(row, instrument.pk, zone))
    rows = read.all(path)
    kept_since = now - timedelta(days=settings.TICK_RETENTION_DAYS)
    if rows[0].at < kept_since:
        rule = f"begins at {rows[0].at.isoformat()}, and ticks are kept for {settings.TICK_RETENTION_DAYS} days"
        raise Refused(_wrong("file", str(path), rule, "raise TICK_RETENTION_DAYS, or import candles"))
    store, until = selectors.market_store(), rows[-1].at + timedelta.resolution
    partitions.ensure(store, partitions.TICKS, rows[0].at, until)
    changed = store_ticks.write_whole(store, rows)
    _make_candles(instrument.pk, rows[0].at, until)
    return Imported(rows=len(rows), changed=changed, since=rows[0].at, until=until, doubled=read.doubled)


def _make_candles(one: int, since: datetime, until: datetime) -> None:
    store, timeframe = selectors.market_store(), Timeframe.MINUTE
    partitions.ensure(store, partitions.CANDLES[timeframe], since, until)
    store_candles.roll_up(store, [one], timeframe, since, until)
    candles.lengthen(one, timeframe, since, until)


def export_candles(
    path: Path, instrument: Instrument, timeframe: Timeframe, since: datetime, until: datetime, *, floats: bool = False
) -> int:
    """Write the stored candles of [since, until) to a file and return how many. Raises Refused."""
    rows = (row[1:] for row in _stored_candles(instrument.pk, timeframe, since, until))
    return files.write(path, CANDLE_COLUMNS, rows, floats=floats)


def export_ticks(path: Path, instrument: Instrument, since: datetime, until: datetime, *, floats: bool = False) -> int:
    """Write the stored trade prints of [since, until) to a file and return how many. Raises Refused."""
    rows = (
        (row.at, row.trade_id, row.price, row.size, row.side, row.bid, row.ask)
        for row in _stored_ticks(instrument.pk, since, until)
    )
    return files.write(path, TICK_COLUMNS, rows, floats=floats)


def _stored_candles(one: int, timeframe: Timeframe, since: datetime, until: datetime) -> Iterator[CandleRow]:
    store = selectors.market_store()
    first = quality.first_price(store, one, timeframe)
    start = floor(max(since, first), timeframe.width) if first else until
    while start < until:
        end = min(start + PAGE * timeframe.width, until)
        yield from store_candles.rows(store, one, timeframe, since=max(start, since), until=end)
        start = end


def _stored_ticks(one: int, since: datetime, until: datetime) -> Iterator[TickRow]:
    store = selectors.market_store()
    page = store_ticks.between(store, one, since, until, limit=PAGE)
    while page:
        yield from page
        page = store_ticks.after(store, one, page[-1].at, page[-1].trade_id, until=until, limit=PAGE)


class _Reader:
    """Reads the rows of a file, gathers what is wrong with them, and refuses the file when anything is."""

    def __init__(self, known: Any, make: Callable[[dict[str, object]], Any]) -> None:
        self.doubled = 0
        self._known = known
        self._make = make
        self._names: dict[str, str] | None = None
        self._problems: list[Problem] = []
        self._seen: dict[Any, tuple[int, Any]] = {}

    def all(self, path: Path) -> list[Any]:
        """Return the rows in order of time. Raises Refused."""
        for line, record in files.read(path):
            try:
                self._take(line, record)
            except Unfit as error:
                self._problems.append(columns.problem(line, path.name, error))
            if len(self._problems) >= MOST_PROBLEMS:
                break
        if self._problems:
            raise Refused(*self._problems)
        if not self._seen:
            raise Refused(_wrong("file", str(path), "holds no rows", "check the file"))
        return sorted((row for _, row in self._seen.values()), key=lambda row: row.at)

    def _take(self, line: int, record: Record) -> None:
        if not record:
            raise Unfit("the line has not as many values as there are columns")
        if self._names is None:
            self._names = columns.named(record, self._known)
        row = self._make({ours: record.get(theirs) for theirs, ours in self._names.items()})
        key = (row.at, row.trade_id or row) if isinstance(row, TickRow) else row.at
        before, same = self._seen.setdefault(key, (line, row))
        if before != line:
            if same != row:
                raise Unfit(f"says something else about {row.at.isoformat()} than line {before}")
            self.doubled += 1


def _candle(row: dict[str, object], one: int, width: timedelta, zone: tzinfo | None) -> CandleRow:
    at = columns.instant(row["at"], zone)
    if floor(at, width) != at:
        raise Unfit(f"{at.isoformat()} does not start a candle of {width}")
    opened, high, low, close = (columns.price(row[name]) for name in ("open", "high", "low", "close"))
    if not low <= min(opened, close) <= max(opened, close) <= high:
        raise Unfit(f"open {opened} and close {close} must lie between low {low} and high {high}")
    volume = columns.amount(row["volume"]) if _is_there(row, "volume") else Decimal(0)
    trades = columns.whole(row["trades"]) if _is_there(row, "trades") else 0
    return CandleRow(one, at, opened, high, low, close, volume, trades)


def _tick(row: dict[str, object], one: int, zone: tzinfo | None) -> TickRow:
    at = columns.instant(row["at"], zone)
    side = str(row.get("side") or "").strip().lower()
    if side not in SIDES:
        raise Unfit(f"{side[:40]!r} is no side; write buy or sell")
    size = columns.amount(row["size"]) if _is_there(row, "size") else Decimal(0)
    trade_id = columns.whole(row["trade_id"]) if _is_there(row, "trade_id") else 0
    bid, ask = (columns.price(row[name]) if _is_there(row, name) else None for name in ("bid", "ask"))
    return TickRow(one, at, trade_id, at, columns.price(row["price"]), size, SIDES[side], bid, ask, True)


def _is_there(row: dict[str, object], name: str) -> bool:
    return row.get(name) not in (None, "")


def _combined(rows: Iterable[CandleRow], width: timedelta, length: timedelta) -> list[CandleRow]:
    """Return the longer candles that are complete."""
    groups: dict[datetime, list[CandleRow]] = {}
    for row in rows:
        groups.setdefault(floor(row.at, width), []).append(row)
    return [_joined(start, parts) for start, parts in groups.items() if len(parts) == width // length]


def _joined(start: datetime, parts: list[CandleRow]) -> CandleRow:
    first, last = parts[0], parts[-1]
    return CandleRow(
        first.instrument_id,
        start,
        first.open,
        max(Decimal(row.high) for row in parts),
        min(Decimal(row.low) for row in parts),
        last.close,
        sum((Decimal(row.volume) for row in parts), Decimal(0)),
        0 if any(row.trades == 0 for row in parts) else sum(row.trades for row in parts),
    )


def _wrong(field: str, value: str, rule: str, remedy: str) -> Problem:
    return Problem(field=field, value=value, rule=rule, remedy=remedy)
