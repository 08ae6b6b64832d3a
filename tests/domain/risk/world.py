"""Facts for tests of rules: an account with 10,000 that wants 1 BTC at 100."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from apps.domain.errors import Problem
from apps.domain.risk import contract
from apps.domain.risk.contract import Verdict
from apps.domain.risk.facts import Closing, Facts, History, Holding, Price, Session, Wish
from apps.domain.risk.registry import RULES

NOW = datetime(2026, 3, 4, 15, 0, tzinfo=UTC)
BTC, ETH = 1, 2
SYMBOLS = {BTC: "BTC-USD", ETH: "ETH-USD"}


def wish(quantity: str = "1", price: str = "100", *, sign: int = 1, of: int = BTC, strategy: int | None = None) -> Wish:
    symbol = SYMBOLS[of]
    return Wish(
        instrument_id=of,
        symbol=symbol,
        asset=symbol.partition("-")[0],
        sign=sign,
        quantity=Decimal(quantity),
        price=Decimal(price),
        strategy_id=strategy,
    )


def held(value: str, *, sign: int = 1, of: int = BTC, lots: int = 1, strategy: int | None = None) -> Holding:
    symbol = SYMBOLS[of]
    return Holding(
        instrument_id=of,
        symbol=symbol,
        asset=symbol.partition("-")[0],
        sign=sign,
        quantity=Decimal(value) / 100,
        value=Decimal(value),
        lots=lots,
        strategy_id=strategy,
    )


def closing(net: str, *, ago: timedelta = timedelta(minutes=5), stopped: bool = False, of: int = BTC) -> Closing:
    return Closing(at=NOW - ago, net=Decimal(net), stopped=stopped, instrument_id=of)


def history(day_start: str = "10000", worst: str = "0", peak: str = "10000") -> History:
    return History(day_start=Decimal(day_start), worst_today=Decimal(worst), peak=Decimal(peak))


def quote(last: str = "100", bid: str | None = "99.9", ask: str | None = "100.1", age: float = 1) -> Price:
    best = [None if text is None else Decimal(text) for text in (bid, ask)]
    return Price(last=Decimal(last), bid=best[0], ask=best[1], age=timedelta(seconds=age))


def facts(**more: Any) -> Facts:
    given: dict[str, Any] = {
        "now": NOW,
        "account_id": 7,
        "currency": "USD",
        "wish": wish(),
        "cash": Decimal(10_000),
        "equity": Decimal(10_000),
        "history": history(),
        "price": quote(),
        "session": Session(phase="open", calendar="24/7"),
    }
    return Facts(**{**given, **more})


def judged(rule: str, seen: Facts, **parameters: Any) -> Verdict:
    plugin = RULES.get(rule)
    return plugin().judge(seen, contract.build(plugin, parameters))


def problem(verdict: Verdict) -> Problem:
    assert not verdict.allowed
    return verdict.problem
