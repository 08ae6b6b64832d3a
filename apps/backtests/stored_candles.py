"""How are candles read from the market store? Stored ones of the asked length, else finer ones joined, else ticks."""

from datetime import UTC, datetime, timedelta
from typing import Final

from apps.backtests import candle_lengths
from apps.domain.errors import Problem, Refused
from apps.domain.strategies.contract import Candles
from apps.market.models import Instrument
from apps.market.selectors import market_store
from apps.market.store import Timeframe, quality
from apps.market.store import candles as store_candles
from apps.market.store.candles import CandleArrays

_START: Final = datetime(1970, 1, 1, tzinfo=UTC)


def find(symbols: tuple[str, ...]) -> list[Instrument]:
    """Return the instruments in the order asked for. Raises Refused with each one that is not there."""
    rows = {row.symbol: row for row in Instrument.objects.filter(symbol__in=symbols)}
    absent = [symbol for symbol in symbols if symbol not in rows]
    if absent:
        known = ", ".join(Instrument.objects.values_list("symbol", flat=True)[:20]) or "there are none yet"
        rule, remedy = "is no instrument of this site", f"use one of: {known}"
        raise Refused(*(Problem(field="instrument", value=symbol, rule=rule, remedy=remedy) for symbol in absent))
    return [rows[symbol] for symbol in symbols]


def read(instrument: Instrument, seconds: int, since: datetime | None, until: datetime) -> Candles:
    """Return the bars of `seconds` that lie in [since, until) as a whole; buckets without a trade are absent.

    Raises Refused when there are none, and StoreUnavailable.
    """
    width = timedelta(seconds=seconds)
    found = _stored(instrument.pk, width, since or _START, until)
    if found is None:
        found = _of_ticks(instrument.pk, width, since, until)
    whole = found.at + seconds <= until.timestamp()
    if since is not None:
        whole &= found.at >= since.timestamp()
    candles = Candles._make(part[whole] for part in found)
    if not len(candles.at):
        raise Refused(_nothing(instrument, seconds, since, until))
    return candles


def _stored(instrument_id: int, width: timedelta, since: datetime, until: datetime) -> Candles | None:
    for timeframe in sorted(Timeframe, key=lambda one: one.width, reverse=True):
        if timeframe.width > width or width % timeframe.width:
            continue
        rows = store_candles.window(market_store(), instrument_id, timeframe, since=since, until=until)
        if len(rows):
            return candle_lengths.joined(_plain(rows), int(width.total_seconds()))
    return None


def _of_ticks(instrument_id: int, width: timedelta, since: datetime | None, until: datetime) -> Candles:
    first = quality.first_from(market_store(), instrument_id, since or _START)
    start = max(since or _START, first.at) if first else until
    count = max(-((start - until) // width), 0)
    found = store_candles.from_ticks_window(market_store(), instrument_id, width, buckets_back=count + 1, until=until)
    return _plain(found)


def _plain(rows: CandleArrays) -> Candles:
    return Candles(rows.at, rows.open, rows.high, rows.low, rows.close, rows.volume)


def _nothing(instrument: Instrument, seconds: int, since: datetime | None, until: datetime) -> Problem:
    span = f"between {since.isoformat() if since else 'the beginning'} and {until.isoformat()}"
    return Problem(
        field="instrument",
        value=instrument.symbol,
        rule=f"has no bar of {seconds} seconds {span}",
        remedy=f"fetch its history with `manage.py backfill {instrument.symbol}` or name another span",
    )
