"""All instruments and all latest quotes, each as one value: there are few, and every screen wants most of them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from apps.market.cache.tiers import Wanted, tiers
from apps.market.models import Instrument, Quote

INSTRUMENTS = "instruments"  # key and tag
QUOTES = "quotes"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedInstrument:
    """An instrument as lists show it; whoever trades reads the row."""

    id: int
    symbol: str
    feed: str
    fallback_feed: str
    shard: int
    base_currency: str
    quote_currency: str
    tick_size: Decimal
    lot_size: Decimal
    min_quantity: Decimal
    max_quantity: Decimal
    calendar: str
    jump_band: Decimal
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestQuote:
    """A price as lists show it, some hundred milliseconds old at most."""

    instrument: str
    price: Decimal
    bid: Decimal | None
    ask: Decimal | None
    trade_id: int
    at: datetime
    received_at: datetime
    heard_at: datetime
    feed: str


_INSTRUMENT_FIELDS = tuple(ListedInstrument.__slots__)
_QUOTE_FIELDS = tuple(LatestQuote.__slots__)


def instruments() -> Sequence[ListedInstrument]:
    """Return every instrument, by symbol."""
    found: Sequence[ListedInstrument] = tiers().get(_INSTRUMENTS)
    return found


def quotes() -> Sequence[LatestQuote]:
    """Return the latest quote of every instrument that has one, by symbol."""
    found: Sequence[LatestQuote] = tiers().get(_QUOTES)
    return found


def _load_instruments() -> tuple[ListedInstrument, ...]:
    rows = Instrument.objects.order_by("symbol").values(*_INSTRUMENT_FIELDS)
    return tuple(ListedInstrument(**row) for row in rows)


def _load_quotes() -> tuple[LatestQuote, ...]:
    columns = ["instrument__symbol" if name == "instrument" else name for name in _QUOTE_FIELDS]
    rows = Quote.objects.order_by("instrument__symbol").values_list(*columns)
    return tuple(LatestQuote(**dict(zip(_QUOTE_FIELDS, row, strict=True))) for row in rows)


def _to_json(rows: Sequence[Any]) -> list[dict[str, Any]]:
    return [{name: _written(value) for name, value in asdict(row).items()} for row in rows]


def _written(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    return value.isoformat() if isinstance(value, datetime) else value


def _instruments_from(rows: Sequence[dict[str, Any]]) -> tuple[ListedInstrument, ...]:
    return tuple(ListedInstrument(**_read(row)) for row in rows)


def _quotes_from(rows: Sequence[dict[str, Any]]) -> tuple[LatestQuote, ...]:
    return tuple(LatestQuote(**_read(row)) for row in rows)


_DECIMALS = frozenset({"tick_size", "lot_size", "min_quantity", "max_quantity", "jump_band", "price", "bid", "ask"})
_INSTANTS = frozenset({"at", "received_at", "heard_at"})


def _read(row: dict[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for name, value in row.items():
        if name in _DECIMALS and value is not None:
            value = Decimal(value)
        elif name in _INSTANTS:
            value = datetime.fromisoformat(value)
        read[name] = value
    return read


_INSTRUMENTS: Wanted[tuple[ListedInstrument, ...]] = Wanted(
    key=INSTRUMENTS,
    tags=(INSTRUMENTS,),
    memory=2.0,
    shared=10.0,
    load=_load_instruments,
    to_json=_to_json,
    from_json=_instruments_from,
)
_QUOTES: Wanted[tuple[LatestQuote, ...]] = Wanted(
    key=QUOTES,
    tags=(QUOTES, INSTRUMENTS),
    memory=0.2,  # the listener writes four times a second
    shared=0.5,
    load=_load_quotes,
    to_json=_to_json,
    from_json=_quotes_from,
)
