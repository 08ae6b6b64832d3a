"""Rows that addresses of the API show, made as they are needed."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from apps.backtests import plain
from apps.backtests.models import Run
from apps.domain.backtests.result import Trades
from apps.domain.restrictions import Scope
from apps.market.models import Instrument
from apps.reporting.models import FileFormat, Report, ReportFile, ReportKind, ReportState
from apps.strategies.models import Signal, Strategy
from apps.trading.models import Account, Decision, RiskLimit
from tests.web.conftest import PRICE, Caller, set_price

LIMIT_ORDER = {"instrument": "BTC-USD", "side": "long", "quantity": "0.01", "kind": "limit", "limit_price": "61000"}
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def order(caller: Caller, **more: Any) -> dict[str, Any]:
    """Place a limit order below the market and return it."""
    answer = caller.post("/api/v1/orders", {**LIMIT_ORDER, **more})
    assert answer.status_code == 201, answer.content
    found: dict[str, Any] = answer.json()["order"]
    return found


def at_broker(caller: Caller) -> Account:
    """Let the caller's account send its market orders to the paper venue as orders."""
    account = caller.user.accounts.get()
    account.instant, account.broker_options = False, {"latency_ms": 100}
    account.save()
    return account


def limit(rule: str = "max_gross_exposure", scope: Scope = Scope.SITE, target: int = 0, **parameters: Any) -> RiskLimit:
    chosen = parameters or {"rate": 1000.0}
    return RiskLimit.objects.get_or_create(rule=rule, scope=scope, target=target, defaults={"parameters": chosen})[0]


def strategy(name: str = "follower", **more: Any) -> Strategy:
    values = {"plugin": "momentum", "stage": "paper", "enabled": True, **more}
    return Strategy.objects.get_or_create(name=name, defaults=values)[0]


def signal(of: Strategy, instrument: Instrument) -> Signal:
    return Signal.objects.create(
        strategy=of, instrument=instrument, bar_at=BEGAN, stance=1, price=Decimal(100), made_at=BEGAN
    )


def run(caller: Caller, **more: Any) -> Run:
    """Make a finished backtest of the caller's."""
    count = 2500
    empty = Trades(*(np.zeros(0) for _ in Trades._fields))
    values: dict[str, Any] = {
        "state": Run.State.DONE,
        "plugin": "momentum",
        "source": "BTC-USD",
        "made_by": caller.user,
        "made_at": BEGAN,
        "finished_at": BEGAN + timedelta(minutes=1),
        "statistics": {"sharpe": 1.5, "return_pct": 12.0, "name": "x", "empty": None},
        "trades": plain.packed_trades(empty),
        "equity": plain.packed(at=np.arange(count) * 60, value=np.linspace(100.0, 200.0, count)),
        **more,
    }
    return Run.objects.create(**values)


def report(caller: Caller, **more: Any) -> Report:
    """Make a report of the caller's account with a page; there is one of each kind and day."""
    values = {"since": BEGAN, "until": BEGAN + timedelta(days=1), "state": ReportState.MADE, **more}
    keys = {"account": caller.user.accounts.get(), "kind": ReportKind.DAILY, "day": BEGAN.date(), "strategy": None}
    row, made = Report.objects.get_or_create(**keys, defaults=values)
    if made:
        ReportFile.packed(row, FileFormat.HTML, b"<p>A good day.</p>").save()
    return row


def filled(route: str, caller: Caller, *, make: bool = True) -> str:
    """Return an address with the number of a row of the caller's where it names one; without `make`, of no row."""
    if route.endswith("backtests/compare"):
        return f"{route}?runs={run(caller).pk},{run(caller).pk}"
    address = route.replace("<path:symbol>", "BTC-USD").replace("<str:kind>", "html")
    if "<int:id>" not in address or not make:
        return address.replace("<int:id>", "1")
    set_price(Instrument.objects.get(symbol="BTC-USD"), PRICE)  # however long it took to come here
    return address.replace("<int:id>", str(_number(route.split("/")[2], caller)))


def _number(kind: str, caller: Caller) -> int:
    if kind == "orders":
        return int(order(caller)["id"])
    rows = {"risk": limit, "strategies": strategy, "backtests": lambda: run(caller), "reports": lambda: report(caller)}
    if kind in rows:
        return int(rows[kind]().pk)
    id_ = int(caller.open(quantity="0.01")["id"])
    if kind == "exits":
        return int(caller.post(f"/api/v1/positions/{id_}/close").json()["id"])
    return Decision.objects.get(position_id=id_).pk if kind == "decisions" else id_
