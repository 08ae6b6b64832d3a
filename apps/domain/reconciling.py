"""What differs between a venue and us, and since when: a difference counts only once it was seen twice.

Fills are on their way all the time, so one look proves nothing. The gap between both sides is what is compared from
one look to the next: while it stays the same, both move together and it is the same difference.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from apps.domain import numbers
from apps.domain.executions import Traded, traded
from apps.domain.orders import Execution, Report
from apps.domain.states import ENDED_ORDERS, OrderStatus

CONFIRM_AFTER: Final = timedelta(seconds=3)  # between the two looks that make a difference
CASH_RATE: Final = Decimal("0.000001")  # of the larger side: rounding of a venue that is no difference
_LOST = (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)


class DiscrepancyKind(StrEnum):
    """What does not agree."""

    UNKNOWN_ORDER = "unknown_order"  # works at the venue, is not ours
    LOST_ORDER = "lost_order"  # we hold it to be working, the venue does not have it
    UNKNOWN_FILL = "unknown_fill"  # filled at the venue, belongs to no order of ours
    POSITION = "position"  # the net quantity differs
    BALANCE = "balance"  # an amount differs


class Resolution(StrEnum):
    """What a person did about it."""

    OPEN = "open"
    ADOPTED = "adopted"  # our books follow the venue
    WRITTEN_OFF = "written_off"  # booked as a loss or gain
    IGNORED = "ignored"  # known and left alone until it changes
    GONE = "gone"  # it agreed again by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing the two sides see differently; `gap` stays the same while both move together."""

    kind: DiscrepancyKind
    subject: str
    ours: str
    theirs: str
    gap: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Name it among the differences of an account."""
        return f"{self.kind}:{self.subject}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An order as we have it."""

    order_id: int
    client_id: str
    venue_id: str
    status: OrderStatus
    in_flight: bool  # something about it is on its way: what it looks like says nothing yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """An execution at the venue that belongs to no order of ours; without a side nobody can book it."""

    execution: Execution
    order: str  # as the venue calls it
    symbol: str = ""
    buy: bool | None = None


def symbol_key(symbol: str) -> str:
    """Return a symbol in one spelling: venues write BTC-USD, BTC/USD and btc-usd for the same thing."""
    return symbol.upper().replace("/", "-")


# --- orders ----------------------------------------------------------------------------------------------------------
def compare_orders(ours: Sequence[Known], theirs: Sequence[Report]) -> list[Difference]:
    """Return the orders that work at the venue only, and those that work here only.

    `ours` must hold every order of ours that the venue named, also those that have ended.
    """
    names = {name: one for one in ours for name in (one.client_id, one.venue_id) if name}
    found, seen = [], set()
    for report in theirs:
        known = names.get(report.client_id) or names.get(report.venue_id)
        if known is not None:
            seen.add(known.order_id)
        if known is None or (known.status in ENDED_ORDERS and not known.in_flight):
            found.append(_unknown_order(report, known))
    lost = (one for one in ours if one.status in _LOST and not one.in_flight and one.order_id not in seen)
    return [*found, *(_lost_order(one) for one in lost)]


def _unknown_order(report: Report, known: Known | None) -> Difference:
    ours = "no order" if known is None else f"order {known.order_id}, {known.status}"
    return Difference(
        kind=DiscrepancyKind.UNKNOWN_ORDER,
        subject=(report.venue_id or report.client_id)[:120],
        ours=ours,
        theirs=describe(report)[:120],
        gap=ours,
        facts=facts_of(report),
    )


def _lost_order(one: Known) -> Difference:
    return Difference(
        kind=DiscrepancyKind.LOST_ORDER,
        subject=one.client_id,
        ours=f"order {one.order_id}, {one.status}",
        theirs="no working order",
        gap="lost",
        facts={"order": one.order_id, "venue_id": one.venue_id},
    )


def describe(report: Report) -> str:
    """Say in a few words what order a report is about."""
    side = {True: "buy", False: "sell", None: "order"}[report.buy]
    price = report.limit_price or report.stop_price
    told = [side, "" if report.quantity is None else numbers.plain(report.quantity), report.symbol]
    told += [str(report.kind or ""), "" if price is None else f"at {numbers.plain(price)}"]
    return " ".join(word for word in told if word)


def facts_of(report: Report) -> dict[str, Any]:
    """Return what a report says of an order as JSON values, without what it does not say."""
    amounts = {name: getattr(report, name) for name in ("quantity", "limit_price", "stop_price", "filled")}
    return {
        "client_id": report.client_id,
        "venue_id": report.venue_id,
        "status": str(report.status),
        "symbol": report.symbol,
        **{name: numbers.plain(value) for name, value in amounts.items() if value is not None},
        **({"buy": report.buy} if report.buy is not None else {}),
        **({"kind": str(report.kind)} if report.kind is not None else {}),
    }


# --- fills -----------------------------------------------------------------------------------------------------------
def unknown_fill(one: Foreign) -> Difference:
    """Return the difference that an execution of nobody's order is."""
    execution = one.execution
    verb = {True: "bought", False: "sold", None: "traded"}[one.buy]
    amount, price = numbers.plain(execution.quantity), numbers.plain(execution.price)
    return Difference(
        kind=DiscrepancyKind.UNKNOWN_FILL,
        subject=execution.id[:120],
        ours="no fill",
        theirs=f"{verb} {amount} {one.symbol} at {price}"[:120],
        gap=f"{amount} at {price}",
        facts=facts_of_fill(one),
    )


def facts_of_fill(one: Foreign) -> dict[str, Any]:
    """Return an execution as JSON values; `fill_of_facts` reads it back."""
    amounts = {name: numbers.plain(getattr(one.execution, name)) for name in ("quantity", "price", "fee")}
    return {
        "id": one.execution.id,
        **amounts,
        "fee_asset": one.execution.fee_asset,
        "at": one.execution.at.isoformat(),
        "order": one.order,
        "symbol": one.symbol,
        "buy": one.buy,
    }


def fill_of_facts(facts: Mapping[str, Any]) -> Foreign:
    """Return the execution that `facts_of_fill` wrote."""
    execution = Execution(
        id=facts["id"],
        quantity=Decimal(facts["quantity"]),
        price=Decimal(facts["price"]),
        fee=Decimal(facts["fee"]),
        fee_asset=facts["fee_asset"],
        at=datetime.fromisoformat(facts["at"]),
    )
    return Foreign(execution=execution, order=facts["order"], symbol=facts["symbol"], buy=facts["buy"])


# --- what is held ----------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class Sheet:
    """What one side holds: net quantities by instrument or base asset, amounts by currency."""

    held: dict[str, Decimal] = field(default_factory=dict)
    cash: dict[str, Decimal] = field(default_factory=dict)


def add_fill(sheet: Sheet, one: Foreign, *, name: str, base: str, quote: str) -> None:
    """Add what an execution did, so that a fill that is a difference itself does not make two more of it."""
    if one.buy is None:
        return
    made: Traded = traded(one.execution, buy=one.buy, base=base, quote=quote)
    sign = 1 if one.buy else -1
    sheet.held[name] = sheet.held.get(name, Decimal(0)) + sign * made.net
    paid = numbers.money(made.price * made.net) * sign + made.fee
    sheet.cash[quote] = sheet.cash.get(quote, Decimal(0)) - paid
    if made.third:
        sheet.cash[made.fee_asset] = sheet.cash.get(made.fee_asset, Decimal(0)) - made.third


def compare_held(
    ours: Mapping[str, Decimal], theirs: Mapping[str, Decimal], least: Mapping[str, Decimal]
) -> list[Difference]:
    """Return where net quantities differ by a lot or more; what is less than a lot cannot be traded anyway."""
    found = []
    for name in sorted({*ours, *theirs}):
        here, there = ours.get(name, Decimal(0)), theirs.get(name, Decimal(0))
        gap = there - here
        if gap and abs(gap) >= least.get(name, Decimal(0)):
            found.append(_amounts(DiscrepancyKind.POSITION, name, here, there))
    return found


def compare_cash(ours: Mapping[str, Decimal], theirs: Mapping[str, Decimal]) -> list[Difference]:
    """Return the currencies whose amounts differ by more than a millionth of the larger; `ours` says which count."""
    found = []
    for name in sorted(ours):
        here, there = ours[name], theirs.get(name, Decimal(0))
        if abs(there - here) > max(abs(here), abs(there)) * CASH_RATE:
            found.append(_amounts(DiscrepancyKind.BALANCE, name, here, there))
    return found


def _amounts(kind: DiscrepancyKind, name: str, here: Decimal, there: Decimal) -> Difference:
    gap = numbers.plain(numbers.stored(there - here))
    return Difference(
        kind=kind,
        subject=name[:120],
        ours=numbers.plain(here),
        theirs=numbers.plain(there),
        gap=gap,
        facts={"gap": gap},
    )


# --- seen twice ------------------------------------------------------------------------------------------------------
Suspects = dict[str, dict[str, str]]  # by the key of a difference: its gap, and since when it was seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Sifted:
    """Differences seen twice, and those that have to be seen again."""

    confirmed: list[Difference]
    suspects: Suspects


def sift(found: Iterable[Difference], earlier: Suspects, *, now: datetime) -> Sifted:
    """Part what was seen with the same gap `CONFIRM_AFTER` ago from what was not."""
    confirmed, suspects = [], {}
    for one in found:
        last = earlier.get(one.key)
        same = last is not None and last["gap"] == one.gap
        since = last["since"] if last is not None and same else now.isoformat()
        if same and now - datetime.fromisoformat(since) >= CONFIRM_AFTER:
            confirmed.append(one)
        else:
            suspects[one.key] = {"gap": one.gap, "since": since}
    return Sifted(confirmed=confirmed, suspects=suspects)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a look could compare: what has an order in flight says nothing of what is held."""

    in_flight: Collection[str] = ()  # instruments or base assets
    unsettled: bool = False  # something moved while the venue was asked: amounts say nothing at all

    def covers(self, kind: str, subject: str) -> bool:
        """Say whether the absence of such a difference means that both agree."""
        if kind == DiscrepancyKind.POSITION:
            return not self.unsettled and subject not in self.in_flight
        if kind == DiscrepancyKind.BALANCE:
            return not self.unsettled and not self.in_flight
        return kind != DiscrepancyKind.UNKNOWN_FILL  # a fill stays what it is; only booking it makes it known
