"""Limits and what hangs on them, for tests."""

from typing import Any

from apps.domain.restrictions import Scope
from apps.market.models import Instrument
from apps.strategies.models import Signal, Strategy
from apps.trading.models import Account, Decision, RiskLimit
from tests.factories import now


def limit(rule: str, scope: Scope = Scope.SITE, target: int = 0, **parameters: Any) -> RiskLimit:
    return RiskLimit.objects.create(rule=rule, scope=scope, target=target, parameters=parameters)


def strategy(name: str = "follower") -> Strategy:
    return Strategy.objects.create(name=name, plugin="momentum", enabled=True)


def signal(of: Strategy, instrument: Instrument) -> Signal:
    return Signal.objects.create(strategy=of, instrument=instrument, bar_at=now(), stance=1, price=100, made_at=now())


def decisions(account: Account) -> list[Decision]:
    return list(Decision.objects.filter(account=account).order_by("id"))


def why_not(account: Account) -> Decision:
    """Return the one decision that refused."""
    (found,) = [each for each in decisions(account) if not each.approved]
    return found
