"""Trading that is stopped: nothing is opened from then on, what was open is still left, and only a word undoes it."""

import json
import threading
import time
from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from apps.domain.errors import Refused
from apps.domain.restrictions import Scope, TradingState, most_severe
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.strategies.models import Signal, Strategy
from apps.trading.models import Account, Exit, Position, Restriction
from apps.trading.services import positions, restrictions
from tests import factories
from tests.factories import drain, fresh, now, stop, wish

Open = Callable[..., Position]


def order(state: TradingState, scope: Scope = Scope.SITE, target: int = 0, **more: object) -> int:
    wanted = restrictions.Order(
        state=state, scope=scope, target=target, **{"reason": "a test", "actor": "ann", "source": "test", **more}
    )
    return restrictions.order(wanted, now=now())


@pytest.fixture
def strategy() -> Strategy:
    return Strategy.objects.create(name="follower", plugin="momentum", enabled=True)


def signal(strategy: Strategy, instrument: Instrument) -> Signal:
    return Signal.objects.create(
        strategy=strategy, instrument=instrument, bar_at=now(), stance=1, price=100, made_at=now()
    )


def test_the_most_severe_word_counts() -> None:
    assert most_severe([]) is TradingState.ACTIVE
    assert most_severe(TradingState) is TradingState.HALTED
    assert most_severe([TradingState.REDUCING, TradingState.ACTIVE]) is TradingState.REDUCING


@pytest.mark.django_db
@pytest.mark.parametrize("state", [TradingState.REDUCING, TradingState.HALTED])
@pytest.mark.parametrize("scope", Scope)
def test_nothing_is_opened_in_the_scope_and_the_refusal_says_who_and_why(
    account: Account, instrument: Instrument, strategy: Strategy, open_position: Open, scope: Scope, state: TradingState
) -> None:
    open_position(stop("95"))
    target = {Scope.ACCOUNT: account.pk, Scope.STRATEGY: strategy.pk, Scope.INSTRUMENT: instrument.pk}.get(scope, 0)
    order(state, scope, target)
    asked = wish(account, instrument, signal_id=signal(strategy, instrument).pk)
    with pytest.raises(Refused, match=f"is {state}: a test \\(ann, since") as caught:
        positions.open_position(asked, now=now())
    assert [problem.field for problem in caught.value.problems] == ["trading_state"]
    assert Position.objects.count() == 1
    order(TradingState.ACTIVE, scope, target)
    assert positions.open_position(asked, now=now()).created


@pytest.mark.django_db
def test_another_account_strategy_or_instrument_is_not_concerned(
    account: Account, instrument: Instrument, strategy: Strategy, open_position: Open
) -> None:
    other = factories.make_account(account.owner, name="other")
    idle = Strategy.objects.create(name="idle", plugin="momentum")
    for scope, target in ((Scope.ACCOUNT, other.pk), (Scope.STRATEGY, idle.pk)):
        order(TradingState.HALTED, scope, target)
    assert open_position(stop("95")).pk
    assert positions.open_position(
        wish(account, instrument, signal_id=signal(strategy, instrument).pk), now=now()
    ).created


@pytest.mark.django_db
def test_what_is_open_is_still_left(open_position: Open) -> None:
    position = open_position(stop("95"))
    order(TradingState.HALTED)
    factories.cross(position.legs.all(), "94")
    assert fresh(position).status == "closed"


@pytest.mark.django_db
def test_flattening_leaves_everything_in_the_scope_once(
    open_position: Open, account: Account, instrument: Instrument
) -> None:
    rows = [open_position(stop("95")) for _ in range(3)]
    assert order(TradingState.HALTED, Scope.ACCOUNT, account.pk, flatten=True) == 3
    assert order(TradingState.HALTED, flatten=True) == 0, "they are leaving already"
    drain()
    assert {(fresh(row).status, fresh(row).exit_reason) for row in rows} == {("closed", "kill_switch")}
    assert set(Exit.objects.values_list("note", "actor", "source")) == {("a test", "ann", "test")}


@pytest.mark.django_db
def test_it_is_recorded_with_who_and_why_and_what_was_before(account: Account) -> None:
    order(TradingState.REDUCING, Scope.ACCOUNT, account.pk)
    order(TradingState.HALTED, Scope.ACCOUNT, account.pk, reason="worse")
    order(TradingState.ACTIVE, Scope.ACCOUNT, account.pk, actor="bob")
    told = Event.objects.filter(kind="trading.state_changed").order_by("id")
    assert [(row.payload["before"], row.payload["state"], row.actor) for row in told] == [
        ("active", "reducing", "ann"),
        ("reducing", "halted", "ann"),
        ("halted", "active", "bob"),
    ]
    assert {(row.subject, row.account_id) for row in told} == {(f"account:{account.pk}", account.pk)}
    assert not Restriction.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("scope", "target", "more", "field"),
    [
        (Scope.SITE, 0, {"reason": "  "}, "reason"),
        (Scope.SITE, 7, {}, "target"),
        (Scope.ACCOUNT, 4711, {}, "target"),
        (Scope.STRATEGY, 0, {}, "target"),
    ],
)
def test_nonsense_changes_nothing(scope: Scope, target: int, more: dict[str, str], field: str) -> None:
    with pytest.raises(Refused) as caught:
        order(TradingState.HALTED, scope, target, **more)
    assert field in [problem.field for problem in caught.value.problems]
    assert not Restriction.objects.exists()


@pytest.mark.django_db
def test_closing_everything_while_allowing_everything_is_refused() -> None:
    with pytest.raises(Refused, match="flatten"):
        order(TradingState.ACTIVE, flatten=True)


@pytest.mark.django_db(transaction=True)
def test_of_those_who_open_all_the_time_nobody_opens_after_it(account: Account, instrument: Instrument) -> None:
    """Four at once; without the restriction, before and after it, they go on opening: the control."""
    factories.set_quote(instrument, "100")
    ending = threading.Event()

    def open_on_and_on() -> None:
        while not ending.is_set():
            try:
                positions.open_position(wish(account, instrument), now=now())
            except Refused:
                time.sleep(0.001)
        connection.close()

    def opened_meanwhile() -> int:
        before = Position.objects.count()
        time.sleep(0.5)
        return Position.objects.count() - before

    threads = [threading.Thread(target=open_on_and_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        assert opened_meanwhile() > 0
        order(TradingState.HALTED)
        time.sleep(0.2)  # for those that had read the state before it was set
        assert opened_meanwhile() == 0
        order(TradingState.ACTIVE)
        assert opened_meanwhile() > 0
    finally:
        ending.set()
        for thread in threads:
            thread.join(10)


@pytest.mark.django_db(transaction=True)
def test_flattening_also_leaves_what_was_being_opened_in_that_moment(account: Account, instrument: Instrument) -> None:
    """A slow opening has read the state and not yet committed when the switch is pressed."""
    begun, finish = threading.Event(), threading.Event()

    def open_slowly() -> None:
        with transaction.atomic():
            positions.open_position(wish(account, instrument), now=now())
            begun.set()
            finish.wait(10)
        connection.close()

    asked: list[int] = []
    slow = threading.Thread(target=open_slowly)
    slow.start()
    assert begun.wait(10)

    def flatten() -> None:
        asked.append(order(TradingState.HALTED, flatten=True))
        connection.close()

    switch = threading.Thread(target=flatten)
    switch.start()
    deadline = time.monotonic() + 10
    while not Restriction.objects.exists():  # it is stopped at once, although that opening still holds its locks
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert asked == []
    finish.set()
    slow.join(10)
    switch.join(10)
    assert asked == [1]
    drain()
    assert not Position.objects.exclude(status="closed").exists()


def run(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_the_commands_stop_and_allow(account: Account, instrument: Instrument, open_position: Open) -> None:
    open_position(stop("95"))
    said = json.loads(run("halt", "--reason", "storm", "--flatten", "--json"))
    assert said == {"scope": "site", "target": 0, "state": "halted", "exits": 1}
    assert "Instrument #" in run("halt", "--reduce", "--instrument", instrument.symbol, "--reason", "thin book")
    assert "In force: instrument" in run("resume", "--reason", "over")
    assert "Nothing is restricted" in run("resume", "--instrument", instrument.symbol, "--reason", "over")
    with pytest.raises(CommandError, match="no strategy called 'nobody'"):
        run("halt", "--strategy", "nobody", "--reason", "x")
