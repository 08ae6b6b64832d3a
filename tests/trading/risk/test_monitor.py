"""The watch over risk: measures, violations that begin and end, and what broken limits lead to."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from apps.domain.errors import Refused
from apps.domain.legs import ExitReason
from apps.domain.orders import OrderKind
from apps.domain.restrictions import Scope, TradingState
from apps.domain.risk import max_gross_exposure
from apps.domain.risk.words import Action
from apps.domain.states import PositionStatus
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.trading.models import (
    Account,
    Exit,
    Order,
    Position,
    Restriction,
    RiskLimit,
    RiskMetric,
    RiskProfile,
    Violation,
)
from apps.trading.services import accounts, acting, entering, measuring, monitoring, positions, restrictions
from tests import factories
from tests.factories import now, set_quote, wish
from tests.trading.risk.world import limit, signal, strategy

pytestmark = pytest.mark.django_db(transaction=True)
NOON = datetime(2026, 3, 4, 12, 0, 5, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def acting_limit(rule: str, action: Action, scope: Scope = Scope.SITE, target: int = 0, **parameters: Any) -> RiskLimit:
    row = limit(rule, scope, target, **parameters)
    row.action = action
    row.save()
    return row


def events(kind: str) -> list[Event]:
    return list(Event.objects.filter(kind=kind).order_by("id"))


def leaving() -> set[int]:
    return set(Exit.objects.filter(reason=ExitReason.RISK).values_list("position_id", flat=True))


# --- measures -------------------------------------------------------------------------------------------------------
def test_a_minute_has_one_row_that_keeps_its_lowest_and_its_highest(
    account: Account, instrument: Instrument, open_position: Callable[..., Position]
) -> None:
    open_position(quantity="100")
    for second, price in enumerate(("100", "70", "130", "110")):
        set_quote(instrument, price)
        monitoring.monitor(NOON + second * SECOND)
    row = RiskMetric.objects.get()
    assert row.at == NOON.replace(second=0)
    assert row.measured_at == NOON + 3 * SECOND
    assert (row.equity, row.lowest, row.peak) == (Decimal(1_001_000), Decimal(997_000), Decimal(1_003_000))
    assert (row.gross, row.net, row.open_positions) == (Decimal(11_000), Decimal(11_000), 1)
    monitoring.monitor(NOON + timedelta(minutes=1))
    assert RiskMetric.objects.count() == 2


def test_a_loss_between_two_minutes_counts_all_day(account: Account, instrument: Instrument) -> None:
    """The price was so low for a second only, and the entry comes a minute later."""
    limit("max_daily_loss", rate=0, amount=2000)
    at = now()
    monitoring.monitor(at)
    factories.opened(account, instrument, quantity="100")
    set_quote(instrument, "75")
    monitoring.monitor(at)
    set_quote(instrument, "100")
    monitoring.monitor(at)
    with pytest.raises(Refused, match="max_daily_loss"):
        positions.open_position(wish(account, instrument), now=at)


def test_a_deposit_within_a_minute_is_no_gain_and_moves_the_lowest_along(account: Account) -> None:
    monitoring.monitor(NOON)
    accounts.pay_in(account_id=account.pk, amount=Decimal(500_000), actor="root", now=NOON)
    monitoring.monitor(NOON + SECOND)
    row = RiskMetric.objects.get()
    assert row.equity == row.lowest == row.peak == row.day_start == Decimal(1_500_000)


def test_old_measures_keep_the_last_of_each_hour(account: Account) -> None:
    old = NOON - measuring.KEPT_IN_FULL - timedelta(days=1)
    values = dict.fromkeys(("equity", "cash", "gross", "net", "peak", "day_start"), Decimal(1))
    for at in (old, old + timedelta(minutes=7), old + timedelta(hours=1), NOON, NOON + timedelta(minutes=1)):
        RiskMetric.objects.create(account=account, at=at, **values)
    assert measuring.thin(NOON) == 1
    assert not RiskMetric.objects.filter(at=old).exists()
    assert measuring.thin(NOON) == 0
    assert RiskMetric.objects.count() == 4


# --- violations -----------------------------------------------------------------------------------------------------
def test_a_breach_is_one_violation_until_the_limit_has_held_for_a_while(
    account: Account, instrument: Instrument, open_position: Callable[..., Position]
) -> None:
    limit("max_gross_exposure", rate=0, amount=1000)
    open_position(quantity="9")
    assert monitoring.monitor(NOON).standing == 0
    set_quote(instrument, "120")
    for second in range(3):
        monitoring.monitor(NOON + second * SECOND)
    row = Violation.objects.get()
    assert (row.began_at, row.seen_at, row.ended_at) == (NOON, NOON + 2 * SECOND, None)
    assert (Decimal(row.number), Decimal(row.bound)) == (1080, 1000)
    assert "gross exposure is 1080 USD, beyond the limit of 1000 USD" in row.sentence
    assert row.acted_at is None, "the limit only refuses"
    (told,) = events("risk.violated")
    assert told.account_id == account.pk
    assert told.payload["rule"] == "max_gross_exposure"
    set_quote(instrument, "100")
    monitoring.monitor(NOON + 5 * SECOND)
    assert factories.fresh(row).ended_at is None, "it may be back in a moment"
    set_quote(instrument, "120")
    monitoring.monitor(NOON + 6 * SECOND)
    set_quote(instrument, "100")
    assert monitoring.monitor(NOON + 16 * SECOND).ended == 1
    assert factories.fresh(row).ended_at == NOON + 16 * SECOND
    assert len(events("risk.recovered")) == len(events("risk.violated")) == 1
    set_quote(instrument, "120")
    assert monitoring.monitor(NOON + 20 * SECOND).opened == 1
    assert Violation.objects.count() == 2


def test_a_limit_that_is_switched_off_or_deleted_is_broken_no_longer(
    account: Account, instrument: Instrument, open_position: Callable[..., Position]
) -> None:
    open_position(quantity="20")
    open_position(quantity="1")
    off, gone = limit("max_gross_exposure", rate=0, amount=1000), limit("max_open_positions", lots=1)
    assert monitoring.monitor(NOON).standing == 2
    RiskLimit.objects.filter(pk=off.pk).update(enabled=False)
    gone.delete()
    assert monitoring.monitor(NOON + 20 * SECOND).ended == 2
    assert not Violation.objects.filter(ended_at=None).exists()


def test_what_cannot_be_judged_opens_nothing_and_ends_nothing(
    account: Account,
    instrument: Instrument,
    open_position: Callable[..., Position],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A drawdown of an account without money, parameters that do not fit, and a rule that fails."""
    open_position(quantity="20")
    acting_limit("max_gross_exposure", Action.FLATTEN, rate=0, amount=1000)
    limit("max_drawdown", rate="much")
    factories.make_account(factories.make_user("poor"), deposit="0.01", name="poor")
    assert monitoring.monitor(NOON).standing == 1
    Exit.objects.all().delete()
    monkeypatch.setattr(max_gross_exposure.MaxGrossExposure, "judge", lambda *_: 1 / 0)
    assert monitoring.monitor(NOON + 60 * SECOND).standing == 0
    assert "cannot be judged" in caplog.text
    assert Violation.objects.get().ended_at is None


def test_a_profile_binds_the_accounts_that_have_it(instrument: Instrument) -> None:
    careful = RiskProfile.objects.create(name="careful")
    bound, free = (factories.make_account(factories.make_user(name), name=name) for name in ("bound", "free"))
    bound.risk_profile = careful
    bound.save()
    for one in (bound, free):
        factories.opened(one, instrument, quantity="20")
    row = limit("max_gross_exposure", rate=0, amount=1000)
    row.profile = careful
    row.save()
    monitoring.monitor(NOON)
    assert list(Violation.objects.values_list("account_id", flat=True)) == [bound.pk]


# --- acts -----------------------------------------------------------------------------------------------------------
def test_block_stops_entries_of_the_account_that_broke_a_limit_of_the_site(
    account: Account, instrument: Instrument, open_position: Callable[..., Position]
) -> None:
    other = factories.make_account(factories.make_user("other"), name="other")
    open_position(quantity="20")
    acting_limit("max_gross_exposure", Action.BLOCK, rate=0, amount=1000)
    monitoring.monitor(NOON)
    (row,) = Restriction.objects.all()
    assert (row.scope, row.target, row.state) == (Scope.ACCOUNT, account.pk, TradingState.REDUCING)
    assert "max_gross_exposure" in row.reason
    assert Violation.objects.get().acted_at == NOON
    assert not Exit.objects.exists()
    assert positions.open_position(wish(other, instrument), now=now()).created
    with pytest.raises(Refused, match="reducing"):
        positions.open_position(wish(account, instrument), now=now())
    restrictions.order(
        restrictions.Order(
            state=TradingState.ACTIVE, scope=Scope.ACCOUNT, target=account.pk, reason="seen", actor="root", source="x"
        ),
        now=NOON,
    )
    monitoring.monitor(NOON + 5 * SECOND)
    assert not Restriction.objects.exists(), "a person has allowed it again: a breach blocks once"
    assert len(events("risk.acted")) == 1


def test_block_never_softens_what_a_person_stopped(account: Account, open_position: Callable[..., Position]) -> None:
    open_position(quantity="20")
    row = acting_limit("max_gross_exposure", Action.BLOCK, Scope.ACCOUNT, account.pk, rate=0, amount=1000)
    restrictions.order(
        restrictions.Order(
            state=TradingState.HALTED, scope=Scope.ACCOUNT, target=account.pk, reason="no", actor="root", source="x"
        ),
        now=NOON,
    )
    monitoring.monitor(NOON)
    stopped = Restriction.objects.get()
    assert (stopped.state, stopped.actor) == (TradingState.HALTED, "root")
    assert Violation.objects.get(limit=row).acted_at == NOON


def test_reduce_leaves_the_largest_losses_until_the_limit_holds(
    account: Account, open_position: Callable[..., Position]
) -> None:
    symbols = {"AAA-USD": "90", "BBB-USD": "95", "CCC-USD": "110"}  # from 100 each
    instruments = {symbol: factories.make_instrument(symbol) for symbol in symbols}
    lots = {symbol: factories.opened(account, each, quantity="10") for symbol, each in instruments.items()}
    for symbol, price in symbols.items():
        set_quote(instruments[symbol], price)
    acting_limit("max_gross_exposure", Action.REDUCE, rate=0, amount=1500)
    monitoring.monitor(NOON)
    assert leaving() == {lots["AAA-USD"].pk, lots["BBB-USD"].pk}, "2,950 less 900 and 950 is 1,100"
    assert factories.drain().done == 2
    assert Restriction.objects.get().state == TradingState.REDUCING
    monitoring.monitor(NOON + 20 * SECOND)
    assert Violation.objects.get().ended_at is not None
    (told,) = events("risk.acted")
    assert told.payload["exits"] == 2
    assert factories.books_balance(account)


def test_reduce_leaves_no_short_that_balances_longs(account: Account, instrument: Instrument) -> None:
    """Net exposure is 990: to leave the losing short would make it 2,000."""
    longs = [factories.opened(account, instrument, quantity="10") for _ in range(2)]
    worse = factories.make_instrument("AAA-USD")
    factories.opened(account, worse, quantity="10", side="short")
    set_quote(worse, "101")
    acting_limit("max_net_exposure", Action.REDUCE, rate=0, amount=500)
    monitoring.monitor(NOON)
    assert leaving() == {longs[0].pk}, "which leaves 10, and is enough"


def test_reduce_asks_again_when_a_minute_later_the_limit_is_still_broken(
    account: Account, instrument: Instrument
) -> None:
    lots = [factories.opened(account, instrument, quantity="10") for _ in range(3)]
    acting_limit("max_gross_exposure", Action.REDUCE, rate=0, amount=2000)
    monitoring.monitor(NOON)
    assert leaving() == {lots[0].pk}
    for second in range(1, 60, 20):
        monitoring.monitor(NOON + second * SECOND)
    set_quote(instrument, "150")
    monitoring.monitor(NOON + 50 * SECOND)
    assert len(leaving()) == 1, "what was asked for is given a minute"
    monitoring.monitor(NOON + 60 * SECOND)
    assert leaving() == {lots[0].pk, lots[1].pk}
    assert len(events("risk.acted")) == 2


def test_flatten_leaves_everything_of_the_account_in_the_scope_and_nothing_of_others(instrument: Instrument) -> None:
    mine, other = (factories.make_account(factories.make_user(name), name=name) for name in ("mine", "other"))
    follower = strategy()
    given = signal(follower, instrument)
    followed = positions.open_position(wish(mine, instrument, quantity="20", signal_id=given.pk), now=now()).position
    by_hand = factories.opened(mine, instrument, quantity="30")
    theirs = positions.open_position(wish(other, instrument, quantity="5", signal_id=given.pk), now=now()).position
    acting_limit("max_gross_exposure", Action.FLATTEN, Scope.STRATEGY, follower.pk, rate=0, amount=1000)
    monitoring.monitor(NOON)
    assert leaving() == {followed.pk}
    assert Restriction.objects.get().scope == Scope.STRATEGY
    factories.drain()
    states = {one.pk: factories.fresh(one).status for one in (followed, by_hand, theirs)}
    assert states[followed.pk] == PositionStatus.CLOSED
    assert states[by_hand.pk] == states[theirs.pk] == PositionStatus.OPEN
    (exit_,) = Exit.objects.all()
    assert (exit_.source, exit_.actor) == ("monitor", "risk monitor")
    assert "max_gross_exposure" in exit_.note


def test_a_crash_between_the_block_and_the_exits_is_made_up_for(
    account: Account, open_position: Callable[..., Position], monkeypatch: pytest.MonkeyPatch
) -> None:
    lot = open_position(quantity="20")
    acting_limit("max_gross_exposure", Action.FLATTEN, rate=0, amount=1000)
    with monkeypatch.context() as patch:
        patch.setattr(acting, "_LOTS", "SELECT FROM nowhere WHERE %s")
        with pytest.raises(Exception, match="nowhere"):
            monitoring.monitor(NOON)
    assert Restriction.objects.count() == 1
    assert Violation.objects.get().acted_at is None
    monitoring.monitor(NOON + 5 * SECOND)
    assert leaving() == {lot.pk}
    assert len(events("trading.state_changed")) == 1


def test_a_breach_takes_back_entry_orders_that_work(account: Account, instrument: Instrument) -> None:
    asked = wish(account, instrument, quantity="10")
    entering.enter(entering.Entry(opening=asked, kind=OrderKind.LIMIT, limit_price=Decimal(90)), now=now())
    factories.opened(account, instrument, quantity="20")
    acting_limit("max_gross_exposure", Action.BLOCK, rate=0, amount=1000)
    monitoring.monitor(NOON)
    assert Order.objects.get().status == "cancelled"


def test_nobody_looked_for_a_while_is_seen(account: Account) -> None:
    assert monitoring.is_overdue(10 * SECOND, NOON)
    monitoring.monitor(NOON)
    assert not monitoring.is_overdue(10 * SECOND, NOON + 9 * SECOND)
    assert monitoring.is_overdue(10 * SECOND, NOON + 10 * SECOND)


def test_the_last_closings_are_read_from_their_index(account: Account) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        cursor.execute(
            "EXPLAIN SELECT 1 FROM trading_position WHERE account_id = %s AND status = 'closed' "
            "ORDER BY closed_at DESC, id DESC LIMIT 100",
            [account.pk],
        )
        plan = "\n".join(row[0] for row in cursor)
        cursor.execute("SET enable_seqscan = on")
    assert "position_last_closed" in plan
    assert "Sort" not in plan
