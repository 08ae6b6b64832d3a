"""Two workers and one limit: what one of them takes, the other no longer has. Each guard has a test without it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest

from apps.domain.errors import Refused
from apps.domain.orders import OrderKind
from apps.market.models import Instrument
from apps.trading.models import Account, Decision, Order, Position
from apps.trading.services import deciding, entering, positions, risk
from apps.trading.services.positions import Opened
from tests import factories
from tests.factories import now, wish
from tests.trading.racing import race, without_row_locks
from tests.trading.risk.world import limit, signal, strategy

pytestmark = pytest.mark.django_db(transaction=True)
WORKERS = 6


@pytest.fixture
def last_thousand(account: Account, instrument: Instrument) -> Callable[[], Opened]:
    """2,000 may be at stake and 1,000 are: each of the workers wants the other 1,000."""
    limit("max_gross_exposure", rate=0, amount=2000)
    factories.opened(account, instrument, quantity="10")
    return lambda: positions.open_position(wish(account, instrument, quantity="10"), now=now())


@contextmanager
def slowly_judged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give everybody time to read the same facts before anybody stores what it takes."""
    decide = deciding.Sitting.decide

    def slow(*args: Any) -> Any:
        answer = decide(*args)
        time.sleep(0.3)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(deciding.Sitting, "decide", slow)
        yield


def granted(answers: list[Any]) -> int:
    assert all(isinstance(each, Opened | Refused) for each in answers), answers
    return sum(isinstance(each, Opened) for each in answers)


def test_the_last_of_an_exposure_goes_to_exactly_one(last_thousand: Callable[[], Opened], account: Account) -> None:
    assert granted(race(*[last_thousand] * WORKERS)) == 1
    assert Position.objects.count() == 2
    rows = Decision.objects.filter(account=account)
    assert rows.filter(approved=True).count() == 2
    refused = rows.filter(approved=False)
    assert refused.count() == WORKERS - 1, "each of the others is told why not"
    assert {row.verdicts[0]["number"] for row in refused} == {"3000"}


def test_without_the_lock_several_take_it(last_thousand: Callable[[], Opened], monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control of the test above."""
    with without_row_locks(monkeypatch), slowly_judged(monkeypatch):
        assert granted(race(*[last_thousand] * WORKERS)) > 1


@pytest.mark.parametrize("locked", [True, False], ids=["with the lock", "without it, the control"])
def test_the_last_money_goes_to_exactly_one(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch, locked: bool
) -> None:
    poor = factories.make_account(deposit="1000")

    def run() -> Opened:
        return positions.open_position(wish(poor, instrument, quantity="10"), now=now())

    if locked:
        assert granted(race(*[run] * WORKERS)) == 1
    else:
        with without_row_locks(monkeypatch), slowly_judged(monkeypatch):
            assert granted(race(*[run] * WORKERS)) > 1


@pytest.mark.parametrize(
    ("rule", "parameters"),
    [("max_open_positions", {"lots": 3}), ("max_order_rate", {"orders": 3}), ("max_position_size", {"units": 3.0})],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_limit_is_overrun_by_many_at_once(
    account: Account, instrument: Instrument, rule: str, parameters: dict[str, Any]
) -> None:
    limit(rule, **parameters)
    answers = race(*[lambda: positions.open_position(wish(account, instrument), now=now())] * WORKERS)
    assert granted(answers) == 3


def test_orders_and_positions_share_one_limit(account: Account, instrument: Instrument) -> None:
    """Half of the workers open at the market, half store a limit order: both are judged by the same sum."""
    limit("max_gross_exposure", rate=0, amount=2000)

    def at_once() -> Opened:
        return positions.open_position(wish(account, instrument, quantity="10"), now=now())

    def by_order() -> entering.Entered:
        asked = wish(account, instrument, quantity="10")
        return entering.enter(entering.Entry(opening=asked, kind=OrderKind.LIMIT, limit_price=Decimal(100)), now=now())

    answers = race(*[at_once, by_order] * 4)
    assert all(isinstance(each, Opened | entering.Entered | Refused) for each in answers), answers
    assert sum(not isinstance(each, Refused) for each in answers) == 2
    assert Position.objects.count() + Order.objects.count() == 2
    rows = Decision.objects.filter(approved=True)
    assert all((row.position is None) == row.orders.exists() for row in rows), "each hangs on a lot, or an order on it"


def test_one_signal_delivered_to_many_workers_is_granted_once(account: Account, instrument: Instrument) -> None:
    limit("max_open_positions", lots=5)
    given = signal(strategy(), instrument).pk
    answers = race(*[lambda: positions.open_position(wish(account, instrument, signal_id=given), now=now())] * WORKERS)
    assert [each.created for each in answers].count(True) == 1
    assert Decision.objects.filter(approved=True).count() == 1


def test_a_limit_set_in_the_same_moment_binds_whoever_comes_after(account: Account, instrument: Instrument) -> None:
    """A limit is read under the lock: once it is committed, the next in line sees it."""
    factories.opened(account, instrument)
    row = limit("max_open_positions", lots=1)
    with pytest.raises(Refused):
        positions.open_position(wish(account, instrument), now=now())
    row.delete()
    assert positions.open_position(wish(account, instrument), now=now()).created
    assert risk.limits(account) == []
    assert Decimal(Position.objects.filter(account=account).count()) == 2
