"""What a person does about a difference: what it writes, that it can be undone exactly, and that one of two wins."""

from decimal import Decimal

import pytest
from django.db.models import Sum

from apps.domain.errors import Refused
from apps.journal.models import Event
from apps.ops import invariants
from apps.trading.models import Discrepancy, Exit, Fill, LedgerEntry, Order, Position
from apps.trading.services import resolving
from apps.trading.services.resolving import AlreadyResolved
from tests import factories
from tests.trading.orders.wishes import enter
from tests.trading.racing import race
from tests.trading.reconciling.site import Site, snapshot

pytestmark = pytest.mark.django_db(transaction=True)
STOP = Decimal(90)


def sound() -> bool:
    broken = [(one.id, one.examples) for one in invariants.check() if one.violations]
    assert broken == []
    return True


def sums(site: Site) -> dict[str, Decimal]:
    names = ("cash", "holdings", "fees", "pnl", "capital")
    found = LedgerEntry.objects.filter(account=site.account).aggregate(**{name: Sum(name) for name in names})
    return {name: found[name] for name in names}


def held(site: Site) -> Decimal:
    lots = Position.objects.filter(account=site.account).exclude(status="closed")
    return sum((lot.remaining if lot.side == "long" else -lot.remaining for lot in lots), Decimal(0))


def bought(site: Site, quantity: str = "1") -> Position:
    """Let an entry of ours fill."""
    order = enter(site.account, site.instrument, factories.stop("90"), quantity=quantity)
    site.send()
    found = factories.fresh(order).position
    assert found is not None
    return found


# --- fills -----------------------------------------------------------------------------------------------------------
def test_an_adopted_fill_is_a_lot_with_a_stop_and_the_account_agrees_again(site: Site) -> None:
    site.look()
    site.by_hand("hand1")
    site.look_twice()
    resolving.adopt(site.row("unknown_fill").pk, site.choice(stop=STOP), now=site.clock())
    lot = Position.objects.get()
    assert (lot.side, lot.remaining, lot.entry_price, lot.legs.get().level) == ("long", 1, 100, 90)
    assert site.look().clean
    assert sound()


def test_a_lot_sold_by_hand_is_closed_by_adopting_the_fill(site: Site) -> None:
    site.look()
    lot = bought(site)
    site.trade("110.00")
    site.by_hand("hand2", buy=False)
    site.look_twice()
    resolving.adopt(site.row("unknown_fill").pk, site.choice(), now=site.clock())
    lot = factories.fresh(lot)
    assert (lot.status, lot.realised_pnl, lot.legs.get().status) == ("closed", Decimal("9.99"), "cancelled")
    assert site.look().clean
    assert sound()


def test_without_a_stop_nothing_is_adopted(site: Site) -> None:
    site.look()
    site.by_hand("hand3")
    site.look_twice()
    before = snapshot()
    with pytest.raises(Refused, match="stop"):
        resolving.adopt(site.row("unknown_fill").pk, site.choice(), now=site.clock())
    assert snapshot() == before


def test_undoing_an_adopted_fill_writes_the_opposite_lines_and_opens_the_row_again(site: Site) -> None:
    site.look()
    before = sums(site)
    site.by_hand("hand4")
    site.look_twice()
    row = site.row("unknown_fill")
    resolving.adopt(row.pk, site.choice(stop=STOP), now=site.clock())
    lines = LedgerEntry.objects.count()
    resolving.undo(row.pk, actor="root", reason="too early", now=site.clock())
    assert sums(site) == before
    assert LedgerEntry.objects.count() == lines + 1
    assert held(site) == 0
    assert site.look().open == 1
    assert [kind for kind, _, _ in site.rows()] == ["unknown_fill"]
    assert sound()
    resolving.adopt(row.pk, site.choice(stop=STOP), now=site.clock())
    assert held(site) == 1
    assert site.look().clean
    assert sound()


def test_an_adopted_lot_that_has_changed_is_not_undone(site: Site) -> None:
    site.look()
    site.by_hand("hand5")
    site.look_twice()
    row = site.row("unknown_fill")
    resolving.adopt(row.pk, site.choice(stop=STOP), now=site.clock())
    lot = Position.objects.get()
    Exit.objects.create(position=lot, reason="manual", source="test", tick_at=site.clock(), seen_at=site.clock())
    before = snapshot()
    with pytest.raises(Refused, match="has changed since it was made"):
        resolving.undo(row.pk, actor="root", reason="too late", now=site.clock())
    assert snapshot() == before


# --- positions -------------------------------------------------------------------------------------------------------
def test_coins_that_were_there_before_are_adopted_as_a_lot(site: Site) -> None:
    site.by_hand("early")
    site.look_twice()
    assert [(kind, gap) for kind, _, gap in site.rows()] == [("balance", "-100.2"), ("position", "1")]
    resolving.adopt(site.row("position").pk, site.choice(price=Decimal(100), stop=STOP), now=site.clock())
    site.look()
    assert site.rows() == [("balance", "USD", "-0.2")]  # the fee, of which nothing here knows
    resolving.write_off(site.row("balance").pk, site.choice(), now=site.clock())
    assert site.look().clean
    assert sound()
    assert held(site) == 1


def test_coins_that_nobody_paid_for_do_not_move_the_cash(site: Site) -> None:
    site.by_hand("early")
    site.look_twice()
    before = sums(site)["cash"]
    choice = site.choice(price=Decimal(100), stop=STOP, paid=False)
    row = resolving.adopt(site.row("position").pk, choice, now=site.clock())
    assert sums(site)["cash"] == before
    assert sound()
    resolving.undo(row.pk, actor="root", reason="no", now=site.clock())
    assert (sums(site)["cash"], held(site)) == (before, 0)
    assert sound()


def test_a_part_sold_by_hand_comes_back_as_a_lot_with_its_legs_when_that_is_undone(site: Site) -> None:
    site.look()
    lot = bought(site, "2")
    site.by_hand("gone", buy=False)
    site.look_twice()
    fill = site.row("unknown_fill")
    before = sums(site)
    resolving.adopt(fill.pk, site.choice(), now=site.clock())
    assert (factories.fresh(lot).remaining, held(site)) == (1, 1)
    resolving.undo(fill.pk, actor="root", reason="no", now=site.clock())
    assert sums(site) == before
    assert held(site) == 2
    assert [one.legs.get(status="live").level for one in Position.objects.exclude(status="closed")] == [90, 90]
    assert sound()


def test_a_position_written_off_costs_what_it_had_cost(site: Site) -> None:
    site.look()
    lot = bought(site)
    row = Discrepancy.objects.create(
        account=site.account, kind="position", subject="BTC", ours="1", theirs="0.4", gap="-0.6", facts={}
    )
    before = sums(site)
    assert resolving.actions(row) == ["adopt", "write_off", "ignore"]
    resolving.write_off(row.pk, site.choice(), now=site.clock())
    after = sums(site)
    assert (after["cash"], after["holdings"]) == (before["cash"], before["holdings"] - 60)
    assert after["pnl"] == before["pnl"] + 60  # a loss
    assert factories.fresh(lot).remaining == Decimal("0.4")
    assert sound()
    resolving.undo(row.pk, actor="root", reason="they are back", now=site.clock())
    assert sums(site) == before
    assert held(site) == 1
    assert sound()


# --- money -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("act", "book"), [("adopt", "capital"), ("write_off", "pnl")])
def test_a_cash_difference_is_an_adjustment_and_undone_by_its_opposite(site: Site, act: str, book: str) -> None:
    site.look()
    factories.accounts.pay_in(account_id=site.account.pk, amount=Decimal(-500), now=factories.now())
    site.look_twice()
    row, before = site.row("balance"), sums(site)
    getattr(resolving, act)(row.pk, site.choice(), now=site.clock())
    after = sums(site)
    assert (after["cash"] - before["cash"], after[book] - before[book]) == (500, -500)
    assert site.look().clean
    assert sound()
    resolving.undo(row.pk, actor="root", reason="no", now=site.clock())
    assert sums(site) == before
    assert site.look().open == 1


# --- orders ----------------------------------------------------------------------------------------------------------
def test_an_adopted_order_is_ours_and_its_fills_become_a_lot_with_the_stop(site: Site) -> None:
    site.look()
    site.by_hand("hand6", price="95")
    site.look_twice()
    resolving.adopt(site.row("unknown_order").pk, site.choice(stop=STOP), now=site.clock())
    assert site.look().clean
    site.trade("94.00")
    site.look()
    order = Order.objects.get()
    assert (order.status, order.position.legs.get().level) == ("filled", 90)
    assert site.look_twice().clean
    assert sound()


def test_an_order_of_nobody_is_taken_back_at_the_venue(site: Site) -> None:
    site.look()
    site.by_hand("hand7", price="95")
    site.look_twice()
    row = resolving.cancel(site.row("unknown_order").pk, site.choice(), clock=site.clock)
    assert row.resolution == "written_off"
    assert site.hand.working() == []
    assert site.look().clean
    assert not Order.objects.exists()


def test_a_lost_order_is_given_up(site: Site) -> None:
    site.look()
    order = enter(site.account, site.instrument, factories.stop("90"), kind="limit", limit_price=Decimal(95))
    Order.objects.filter(pk=order.pk).update(
        status="accepted", venue_id="nowhere", sent_at=site.clock(), accepted_at=site.clock()
    )
    site.ahead += factories.timedelta(seconds=10)
    site.look_twice()
    assert [kind for kind, _, _ in site.rows()] == ["lost_order"]
    resolving.adopt(site.row("lost_order").pk, site.choice(), now=site.clock())
    assert factories.fresh(order).status == "cancelled"
    assert site.look().clean


# --- ignoring --------------------------------------------------------------------------------------------------------
def test_what_is_ignored_stands_in_nobodys_way_until_it_changes(site: Site) -> None:
    site.by_hand("early")
    site.look_twice()
    for kind in ("position", "balance"):
        resolving.ignore(site.row(kind).pk, site.choice(), now=site.clock())
    assert site.look().clean
    bought(site)  # both sides move together: it is the same difference
    site.ahead += factories.timedelta(seconds=5)
    assert site.look_twice().clean
    factories.accounts.pay_in(account_id=site.account.pk, amount=Decimal(-7), now=factories.now())
    site.look_twice()
    assert site.rows() == [("balance", "USD", "-93.2")]


def test_an_ignored_fill_makes_no_other_difference(site: Site) -> None:
    site.look()
    site.by_hand("hand8")
    site.look_twice()
    resolving.ignore(site.row("unknown_fill").pk, site.choice(), now=site.clock())
    assert site.look_twice().clean
    row = Discrepancy.objects.get()
    resolving.undo(row.pk, actor="root", reason="no", now=site.clock())
    assert site.look().open == 1


# --- who is first ----------------------------------------------------------------------------------------------------
def test_of_two_people_who_resolve_one_row_one_succeeds(site: Site) -> None:
    site.look()
    site.by_hand("hand9")
    site.look_twice()
    row, now = site.row("unknown_fill"), site.clock()
    answers = race(*[lambda: resolving.adopt(row.pk, site.choice(stop=STOP), now=now)] * 4)
    assert sorted(type(one).__name__ for one in answers) == [*["AlreadyResolved"] * 3, "Discrepancy"]
    assert (Position.objects.count(), Fill.objects.count()) == (1, 1)
    assert Event.objects.filter(kind="discrepancy.adopted").count() == 1


def test_without_the_claim_two_people_book_one_difference_twice(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.look()
    factories.accounts.pay_in(account_id=site.account.pk, amount=Decimal(-500), now=factories.now())
    site.look_twice()
    row, now = site.row("balance"), site.clock()
    monkeypatch.setattr(resolving, "_claim", lambda row, _before, _after, **_: None)
    monkeypatch.setattr(resolving, "_may_resolve", lambda *_: None)
    race(*[lambda: resolving.adopt(row.pk, site.choice(), now=now)] * 2)
    assert LedgerEntry.objects.filter(kind="adjust").count() == 2


def test_a_row_that_changed_since_it_was_seen_is_not_resolved(site: Site) -> None:
    site.by_hand("early")
    site.look_twice()
    row = site.row("balance")
    with pytest.raises(Refused, match="has changed"):
        resolving.adopt(row.pk, site.choice(gap="-99"), now=site.clock())
    with pytest.raises(Refused, match="needed"):
        resolving.ignore(row.pk, resolving.Choice(actor="root", reason=" "), now=site.clock())
    resolving.ignore(row.pk, site.choice(), now=site.clock())
    with pytest.raises(AlreadyResolved):
        resolving.adopt(row.pk, site.choice(), now=site.clock())


def test_each_step_says_who_and_why(site: Site) -> None:
    site.by_hand("early")
    site.look_twice()
    row = site.row("balance")
    resolving.adopt(row.pk, site.choice(), now=site.clock())
    resolving.undo(row.pk, actor="ann", reason="not yet", now=site.clock())
    told = Event.objects.filter(subject=f"discrepancy:{row.pk}").order_by("pk")
    assert [(one.kind, one.actor) for one in told] == [
        ("discrepancy.noticed", ""),
        ("discrepancy.adopted", "root"),
        ("discrepancy.reverted", "ann"),
    ]
    assert [one.payload.get("reason") for one in told] == [None, "as the venue says", "not yet"]
