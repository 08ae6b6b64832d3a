"""Commands about what is: positions, exits, limits, the state of trading, why something was done."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from django.db.models import Q

from apps.domain import numbers
from apps.domain.sides import Side
from apps.domain.states import PositionStatus
from apps.market import selectors as market
from apps.reporting.control.contract import Answer, Asked, Command, number
from apps.trading import selectors
from apps.trading.models import Decision, Position, RiskLimit, Violation

_MOST: Final = 20
_LINES: Final = 10
_ID: Final = 10**12


def status(asked: Asked) -> Answer:
    """Say whether trading is allowed, how much is open, and what accounts are worth."""
    accounts = {row.pk: row.name for row in selectors.for_user(asked.person)}
    open_ = selectors.positions(asked.person).exclude(status=PositionStatus.CLOSED).count()
    lines = [_state(), f"{open_} positions are open."]
    for key, balances in selectors.balances(list(accounts)).items():
        worth = ", ".join(f"{_money(each.equity)} {each.currency}" for each in balances) or "nothing"
        lines.append(f"{accounts[key]}: {worth}")
    return Answer(text="\n".join(lines), buttons=((("Positions", "positions"), ("Profit", "profit")),))


def positions(asked: Asked) -> Answer:
    """List open positions with what they have gained, and a button to close each."""
    rows = list(selectors.positions(asked.person).exclude(status=PositionStatus.CLOSED).order_by("-id")[: _MOST + 1])
    if not rows:
        return Answer(text="No position is open.")
    quotes = market.quotes([row.instrument_id for row in rows])
    lines = [_position(row, getattr(quotes.get(row.instrument_id), "price", None)) for row in rows[:_MOST]]
    if len(rows) > _MOST:
        lines.append("... and more")
    closing = tuple(((f"Close #{row.pk}", f"close {row.pk}"),) for row in rows[:_LINES])
    may = asked.person.has_perm("trading.change_position")
    return Answer(text="\n".join(lines), buttons=closing if may else ())


def exits(asked: Asked) -> Answer:
    """List the last exits with their latency."""
    rows = selectors.exits(asked.person).order_by("-id")[: number(asked.words, usual=_LINES, most=_MOST)]
    lines = []
    for row in rows:
        took = selectors.tick_to_close_ms(row)
        latency = f", {took:.0f} ms" if took is not None else ""
        lines.append(f"#{row.position_id} {row.position.instrument.symbol} {row.reason} {row.status}{latency}")
    return Answer(text="\n".join(lines) or "There was no exit yet.")


def balance(asked: Asked) -> Answer:
    """Say what each account holds, owes and is worth, per currency."""
    accounts = {row.pk: row.name for row in selectors.for_user(asked.person)}
    lines = []
    for key, balances in selectors.balances(list(accounts)).items():
        lines += [
            f"{accounts[key]} {each.currency}: worth {_money(each.equity)}, cash {_money(each.cash)}, "
            f"positions {_money(each.holdings)}, unrealised {_money(each.unrealised_pnl)}"
            for each in balances
        ]
    return Answer(text="\n".join(lines) or "There is no account.")


def limits(asked: Asked) -> Answer:
    """List the limits that apply, and those that are broken now."""
    mine = selectors.for_user(asked.person).values("pk")
    broken = Violation.objects.filter(ended_at=None, account__in=mine).order_by("-id")[:_MOST]
    lines = [f"BROKEN: {row.sentence}" for row in broken]
    everybody = Q(scope="site") | Q(scope="account", target__in=mine) | Q(scope__in=("strategy", "instrument"))
    for row in RiskLimit.objects.filter(everybody, enabled=True).order_by("pk")[: _MOST * 2]:
        told = ", ".join(f"{name} {value}" for name, value in row.parameters.items())
        lines.append(f"{row}: {told}" if told else str(row))
    return Answer(text="\n".join(lines) or "There are no limits.")


def why(asked: Asked) -> Answer:
    """Say why a position was opened and why it was left: every rule with its number and its limit."""
    wanted = number(asked.words, usual=0, most=_ID)
    row = selectors.positions(asked.person).filter(pk=wanted).first() if wanted else None
    if row is None:
        return Answer(text="Name a position of yours by its number, like: why 12")
    lines = [_position(row, None)]
    decision = _decision(row)
    if decision is None:
        lines.append("No decision is stored for it.")
    else:
        lines.append(f"Asked for by {decision.actor or decision.source or 'its strategy'}: {_verdict(decision)}")
        lines += [str(each.get("sentence") or each.get("rule")) for each in decision.verdicts[:_MOST]]
    for each in row.exits.order_by("id")[:_LINES]:
        by = f" by {each.actor}" if each.actor else ""
        lines.append(f"Exit {each.pk}: {each.reason}, {each.status}{by}. {each.note}".strip())
    return Answer(text="\n".join(lines))


def _decision(row: Position) -> Decision | None:
    found = row.decisions.order_by("-id").first()
    if found is not None or row.signal_id is None:
        return found
    return Decision.objects.filter(account_id=row.account_id, signal_id=row.signal_id).order_by("-id").first()


def _verdict(decision: Decision) -> str:
    return "approved." if decision.approved else f"refused: {decision.reason}"


def _state() -> str:
    rows = selectors.restrictions()
    if not rows:
        return "Trading is active."
    return "\n".join(f"Trading is {row.state}: {row} since {row.since:%m-%d %H:%M} UTC, {row.reason}" for row in rows)


def _position(row: Position, price: Decimal | None) -> str:
    text = f"#{row.pk} {row.side} {numbers.plain(row.remaining or row.quantity)} {row.instrument.symbol}"
    text += f" at {numbers.plain(row.entry_price)}"
    if row.status == PositionStatus.CLOSED:
        return f"{text}, closed: {_money(row.realised_pnl)}"
    if price is None:
        return text
    sign = 1 if row.side == Side.LONG else -1
    return f"{text}, now {numbers.plain(price)}: {_money(sign * (price - row.entry_price) * row.remaining)}"


def _money(value: Decimal | None) -> str:
    return "unknown" if value is None else f"{value:,.2f}"


def commands() -> Iterable[Command]:
    """Return the commands of this page."""
    return (
        Command(name="status", help="whether trading is allowed, what is open, what accounts are worth", run=status),
        Command(name="positions", help="open positions, with buttons to close them", run=positions),
        Command(name="exits", help="[n] the last exits with their latency", run=exits),
        Command(name="balance", help="what accounts hold and are worth", run=balance),
        Command(name="limits", help="risk limits, and those that are broken", run=limits),
        Command(name="why", help="<id> why a position was opened and left", run=why),
    )
