"""May a working entry order become what is wanted of it? Money, and the limits on risk as for a new entry.

The order is judged as it would be, as a whole, in the place of what it is: nothing gets past a limit in small steps.
What only makes an entry smaller or a purchase cheaper is not judged: it takes nothing up.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from apps.domain import numbers
from apps.domain.errors import Problem, Refused
from apps.domain.risk.facts import Holding
from apps.domain.sides import Side
from apps.market import selectors as market
from apps.trading import books
from apps.trading.models import Account, Decision, Order
from apps.trading.services import deciding

SOURCE = "amend"


def judge(
    order: Order, wanted: Mapping[str, Decimal], account: Account, *, now: datetime, actor: str
) -> Decision | None:
    """Judge a change of a locked order of a locked account; return the approved decision, stored, if one was needed.

    Raises Refused, and Forbidden with what each limit said.
    """
    short = list(_fund_problems(order, wanted, account))
    if not _takes_more(order, wanted):
        if short:
            raise Refused(*short)
        return None
    decision = deciding.decide(_asked(order, wanted, account, actor), now=now, problems=short)
    decision.save()
    return decision


def _takes_more(order: Order, wanted: Mapping[str, Decimal]) -> bool:
    if wanted.get("quantity", order.quantity) > order.quantity:
        return True
    pairs = [(wanted[name], getattr(order, name)) for name in ("limit_price", "stop_price") if name in wanted]
    return any(new > old if order.buy else new != old for new, old in pairs)


def _asked(order: Order, wanted: Mapping[str, Decimal], account: Account, actor: str) -> deciding.Asked:
    """Return the rest of the order as it would be, without signal and request: this entry was granted before."""
    side, quote = (Side.LONG if order.buy else Side.SHORT), market.quote_of(order.instrument_id)
    price = wanted.get("limit_price", order.limit_price) or wanted.get("stop_price", order.stop_price)
    now_at = _price(order)
    rest = order.quantity - order.filled
    strategy_id = order.decision.strategy_id if order.decision else None
    return deciding.Asked(
        account=account,
        instrument=order.instrument,
        side=side,
        quantity=wanted.get("quantity", order.quantity) - order.filled,
        price=price or now_at or (quote.price if quote else None),
        quote=quote,
        strategy_id=strategy_id,
        actor=actor,
        source=SOURCE,
        instead_of=Holding(
            instrument_id=order.instrument_id,
            symbol=order.instrument.symbol,
            asset=order.instrument.base_currency,
            sign=side.sign,
            quantity=-rest,
            value=-rest * (now_at or (quote.price if quote else Decimal(0))),
            lots=-1,
            strategy_id=strategy_id,
            working=True,
        ),
    )


def _price(order: Order) -> Decimal | None:
    """Return the price at which a working order is counted."""
    return order.limit_price or order.stop_price or (order.decision.price if order.decision else None)


def _fund_problems(order: Order, wanted: Mapping[str, Decimal], account: Account) -> Iterable[Problem]:
    """Ask whether there is money for what the change would cost more than the order holds back already."""
    price = order.limit_price or order.stop_price or Decimal(0)
    stop = wanted.get("stop_price") if order.limit_price is None else None
    new_price = wanted.get("limit_price") or stop or price
    quantity = wanted.get("quantity", order.quantity)
    more = (quantity - order.filled) * new_price - (order.quantity - order.filled) * price
    needed, free = numbers.money(more * (1 + account.fee_rate)), books.buying_power(account)
    if needed > max(free, Decimal(0)):
        have, need = numbers.plain(numbers.money(free)), numbers.plain(needed)
        rule = f"needs {need} {account.currency} more, the account has {have} free"
        yield Problem(field="quantity", value=numbers.plain(quantity), rule=rule, remedy="choose less or deposit more")
