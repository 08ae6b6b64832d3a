"""What the terminal knows of the site at one moment, and what follows from it: gains at live prices, sums, ages."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from apps.domain.sides import Side

Row = Mapping[str, Any]
MOST_EVENTS: Final = 500
OPEN: Final = ("open", "closing", "opening")
LIST: Final = 50  # rows of orders, exits and events
MOST_POSITIONS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """The last price of an instrument, and whether its feed spoke lately."""

    price: Decimal
    fresh: bool
    trade_id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """What the accounts of one currency are worth together; unknown where a price is missing."""

    currency: str
    equity: Decimal | None
    unrealised: Decimal | None
    realised: Decimal
    fees: Decimal
    cash: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One reading of the API, as it answered."""

    at: datetime
    system: Row
    state: Row
    accounts: Sequence[Row]
    positions: Sequence[Row]
    total: int  # positions that are open, of which at most MOST_POSITIONS were read
    orders: Sequence[Row]
    exits: Sequence[Row]
    quotes: Sequence[Row]
    events: Sequence[Row]
    today: Mapping[str, Decimal]  # what was taken since 00:00 UTC after fees, by currency


@dataclass(slots=True)
class Board:
    """Everything on the screen; the reader replaces a reading, the gateway adds prices and events to it."""

    reading: Reading | None = None
    prices: dict[str, Priced] = field(default_factory=dict)
    events: dict[int, Row] = field(default_factory=dict)

    def take(self, reading: Reading) -> None:
        """Replace what was read before; prices that came over the gateway meanwhile stay if they are newer."""
        self.reading = reading
        for row in reading.quotes:
            known = self.prices.get(str(row["instrument"]))
            trade = int(row["trade_id"] or 0)
            price = known.price if known and known.trade_id > trade else Decimal(str(row["price"]))
            self.prices[str(row["instrument"])] = Priced(
                price=price, fresh=bool(row["fresh"]), trade_id=max(trade, known.trade_id if known else 0)
            )
        self._add(reading.events)

    def quoted(self, message: Row) -> None:
        """Take a price of the gateway; what is no number changes nothing."""
        try:
            price, trade = Decimal(str(message["price"])), int(message.get("trade_id") or 0)
        except (InvalidOperation, KeyError, ValueError):
            return
        if price.is_finite() and price > 0:
            self.prices[str(message["instrument"])] = Priced(price=price, fresh=True, trade_id=trade)

    def happened(self, event: Row) -> None:
        """Add an event of the gateway."""
        self._add([event])

    def newest(self) -> list[Row]:
        """Return the events, newest first."""
        return [self.events[key] for key in sorted(self.events, reverse=True)]

    def position(self, number: int) -> Row | None:
        """Return an open position by its number."""
        rows = self.reading.positions if self.reading else ()
        return next((row for row in rows if row["id"] == number), None)

    def price(self, row: Row) -> Priced | None:
        """Return the last price of a row's instrument."""
        return self.prices.get(str(row["instrument"]))

    def gain(self, row: Row) -> Decimal | None:
        """Return what leaving a position now would bring before fees, in quote currency; None without a price."""
        price = self.price(row)
        if price is None:
            return None
        moved = price.price - Decimal(row["entry_price"])
        return moved * Decimal(row["remaining"]) * Side(row["side"]).sign

    def sums(self) -> list[Sum]:
        """Return what the accounts are worth, one sum for each currency."""
        sheets: dict[str, list[Row]] = defaultdict(list)
        for account in self.reading.accounts if self.reading else ():
            for balance in account["balances"]:
                sheets[balance["currency"]].append(balance)
        return [_sum(currency, rows) for currency, rows in sorted(sheets.items())]

    def age(self, now: datetime) -> float | None:
        """Return the seconds since the site was last read in full; None when it never was."""
        return None if self.reading is None else (now - self.reading.at).total_seconds()

    def _add(self, rows: Sequence[Row]) -> None:
        self.events |= {int(row["id"]): row for row in rows}
        for key in sorted(self.events)[:-MOST_EVENTS]:
            del self.events[key]


def level(row: Row, *kinds: str) -> Decimal | None:
    """Return the level of a position's live leg of one of these kinds that is nearest to being reached."""
    found = [
        Decimal(leg["level"])
        for leg in row["legs"]
        if leg["status"] == "live" and leg["kind"] in kinds and leg["level"]
    ]
    if not found:
        return None
    nearest = max if (row["side"] == Side.LONG) == ("stop_loss" in kinds) else min
    return nearest(found)


def instant(text: str | None) -> datetime | None:
    """Return an instant of the API in UTC."""
    return None if not text else datetime.fromisoformat(text).astimezone(UTC)


def _sum(currency: str, rows: Sequence[Row]) -> Sum:
    def together(name: str) -> Decimal | None:
        values = [row[name] for row in rows]
        return None if None in values else sum((Decimal(value) for value in values), Decimal(0))

    return Sum(
        currency=currency,
        equity=together("equity"),
        unrealised=together("unrealised_pnl"),
        realised=together("pnl") or Decimal(0),
        fees=together("fees") or Decimal(0),
        cash=together("cash") or Decimal(0),
    )
