"""Several monitors at once act once; the guard has a test without it."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from apps.domain.errors import Refused
from apps.domain.restrictions import Scope, TradingState
from apps.domain.risk.words import Action
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.trading.models import Account, Exit, Restriction, RiskMetric, Violation
from apps.trading.services import acting, monitoring, positions, restrictions
from apps.trading.services.positions import Opened
from tests import factories
from tests.factories import now
from tests.trading.racing import race, without_row_locks
from tests.trading.risk.world import limit

pytestmark = pytest.mark.django_db(transaction=True)
MONITORS = 6


@pytest.fixture
def broken(account: Account, instrument: Instrument) -> Callable[[Action], None]:
    """Three lots of 1,000 each, and a limit of 1,500 that says what to do."""
    for _ in range(3):
        factories.opened(account, instrument, quantity="10")

    def make(action: Action) -> None:
        row = limit("max_gross_exposure", rate=0, amount=1500)
        row.action = action
        row.save()

    return make


def many_look() -> None:
    at = now()
    answers = race(*[lambda: monitoring.monitor(at)] * MONITORS)
    assert all(isinstance(each, monitoring.Watched) for each in answers), answers


def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give everybody time to read that nothing was done yet."""
    standing = acting._standing

    def slow(*args: Any) -> Any:
        found = standing(*args)
        time.sleep(0.3)
        return found

    monkeypatch.setattr(acting, "_standing", slow)


@pytest.mark.parametrize(("action", "exits"), [(Action.BLOCK, 0), (Action.REDUCE, 2), (Action.FLATTEN, 3)], ids=str)
def test_many_monitors_act_once(
    broken: Callable[[Action], None], monkeypatch: pytest.MonkeyPatch, action: Action, exits: int
) -> None:
    broken(action)
    slowly(monkeypatch)
    many_look()
    assert Violation.objects.count() == 1
    assert RiskMetric.objects.count() == 1
    assert Exit.objects.count() == exits
    for kind in ("risk.violated", "risk.acted", "trading.state_changed"):
        assert Event.objects.filter(kind=kind).count() == 1, kind


@pytest.mark.parametrize("action", [Action.BLOCK, Action.FLATTEN], ids=str)
def test_without_the_lock_several_act(
    broken: Callable[[Action], None], monkeypatch: pytest.MonkeyPatch, action: Action
) -> None:
    """The negative control of the test above."""
    broken(action)
    slowly(monkeypatch)
    with without_row_locks(monkeypatch):
        many_look()
    assert Event.objects.filter(kind="risk.acted").count() > 1


def test_a_person_who_halts_at_that_moment_is_not_overruled(broken: Callable[[Action], None], account: Account) -> None:
    broken(Action.BLOCK)
    said = restrictions.Order(
        state=TradingState.HALTED, scope=Scope.ACCOUNT, target=account.pk, reason="stop", actor="root", source="admin"
    )
    at = now()
    answers = race(*[lambda: monitoring.monitor(at)] * 3, lambda: restrictions.order(said, now=at))
    assert not any(isinstance(each, Exception) for each in answers), answers
    row = Restriction.objects.get()
    assert (row.state, row.actor) == (TradingState.HALTED, "root")


def test_openings_in_flight_are_left_as_well(
    broken: Callable[[Action], None], account: Account, instrument: Instrument
) -> None:
    """Whatever is opened while the account is flattened is either refused or left."""
    broken(Action.FLATTEN)
    at = now()

    def open_one() -> Opened:
        return positions.open_position(factories.wish(account, instrument, quantity="1"), now=now())

    answers = race(lambda: monitoring.monitor(at), *[open_one] * 4)
    assert all(isinstance(each, monitoring.Watched | Opened | Refused) for each in answers), answers
    held = set(account.positions.exclude(status="closed").values_list("pk", flat=True))
    assert set(Exit.objects.values_list("position_id", flat=True)) == held
