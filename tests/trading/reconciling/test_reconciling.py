"""Comparing with a venue over real sockets: what is settled, what is reported, and what is left alone."""

from decimal import Decimal

import pytest

from apps.journal.models import Event
from apps.ops import invariants
from apps.trading.models import Discrepancy, Fill, Order, Position
from apps.trading.services import reconciling
from tests import factories
from tests.trading.orders.wishes import enter
from tests.trading.reconciling.site import Site, order_of, snapshot

pytestmark = pytest.mark.django_db(transaction=True)


def broken() -> list[tuple[str, object]]:
    return [(one.id, one.examples) for one in invariants.check() if one.violations]


# --- both agree ------------------------------------------------------------------------------------------------------
def test_an_account_that_agrees_is_clean_and_a_second_look_writes_no_row(site: Site) -> None:
    assert site.look().clean
    before = snapshot()
    assert site.look().clean
    assert snapshot() == before


def test_a_snapshot_sees_a_write_that_changes_nothing(site: Site) -> None:
    site.look()
    before = snapshot()
    site.standing.save()
    assert snapshot() != before


def test_a_trade_of_ours_is_no_difference(site: Site) -> None:
    site.look()
    enter(site.account, site.instrument, factories.stop("90"))
    site.send()
    assert order_of(site).status == "filled"
    assert site.look_twice().clean
    assert site.rows() == []


# --- the start of the site -------------------------------------------------------------------------------------------
def test_after_a_start_nothing_is_opened_until_the_venue_was_compared(site: Site) -> None:
    site.look()
    assert reconciling.begin(site.clock()) == 1
    assert site.standing.clean_at is None
    assert reconciling.begin(site.clock()) == 0
    assert reconciling.due(now=site.clock(), doubtful=True) == [site.account.pk]
    assert site.look().clean
    assert reconciling.due(now=site.clock(), doubtful=True) == []


def test_a_difference_keeps_the_account_from_opening_after_a_start(site: Site) -> None:
    site.look()
    reconciling.begin(site.clock())
    site.by_hand("mine1")
    assert not site.look().clean
    assert site.rows() == []  # seen once
    site.ahead += factories.timedelta(seconds=4)
    assert site.look().open == 1
    assert site.standing.trouble == "1 differences with its venue are open"


# --- what happened while we were away --------------------------------------------------------------------------------
def test_a_fill_during_downtime_is_booked_once(site: Site) -> None:
    site.look()
    enter(site.account, site.instrument, factories.stop("90"), kind="limit", limit_price=Decimal(95))
    site.send()
    site.trade("94.00")
    before = site.look()
    assert (order_of(site).status, Fill.objects.count()) == ("filled", 1)
    assert before.clean
    site.look()
    assert Fill.objects.count() == 1
    assert Position.objects.get().legs.get().level == 90
    assert broken() == []


def test_a_fill_whose_order_lost_its_answer_is_found_by_client_id(site: Site) -> None:
    site.look()
    enter(site.account, site.instrument, factories.stop("90"))
    site.exchange.fault("order_timeout:after=1")
    site.send()
    assert order_of(site).status == "unknown"
    site.look()
    assert (order_of(site).status, Fill.objects.count()) == ("filled", 1)


def test_fills_that_are_reported_twice_are_booked_once(site: Site) -> None:
    site.look()
    enter(site.account, site.instrument, factories.stop("90"), kind="limit", limit_price=Decimal(95))
    site.send()
    site.trade("94.00")
    site.exchange.fault("order_duplicate")
    site.look()
    assert Fill.objects.count() == 1
    assert site.look_twice().clean


def test_an_order_taken_back_by_hand_ends_here_and_is_no_difference(site: Site) -> None:
    site.look()
    enter(site.account, site.instrument, factories.stop("90"), kind="limit", limit_price=Decimal(95))
    site.send()
    order = order_of(site)
    site.hand.cancel("", order.venue_id)
    site.look()
    assert order_of(site).status == "cancelled"
    assert site.look_twice().clean


# --- trades past us --------------------------------------------------------------------------------------------------
def test_a_manual_trade_is_one_difference_seen_twice_and_nothing_is_opened_or_flattened(site: Site) -> None:
    site.look()
    site.by_hand("mine1")
    assert (site.look().suspects, site.rows()) == (1, [])
    site.ahead += factories.timedelta(seconds=4)
    site.look()
    assert [(kind, gap) for kind, _, gap in site.rows()] == [("unknown_fill", "1 at 100")]
    assert not Position.objects.exists()
    assert not Order.objects.exists()
    assert site.standing.clean_at is None


def test_a_manual_order_is_reported_and_gone_once_it_is_taken_back_by_hand(site: Site) -> None:
    site.look()
    placed = site.by_hand("mine2", price="90")
    site.look_twice()
    assert site.rows() == [("unknown_order", placed.venue_id, "no order")]
    site.hand.cancel("", placed.venue_id)
    assert site.look().clean
    assert (site.rows(), Discrepancy.objects.get().resolution) == ([], "gone")
    kinds = Event.objects.filter(kind__startswith="discrepancy").order_by("pk").values_list("kind", flat=True)
    assert list(kinds) == ["discrepancy.noticed", "discrepancy.vanished"]


def test_a_repeated_look_at_an_open_difference_writes_no_row(site: Site) -> None:
    site.look()
    site.by_hand("mine3", price="90")
    site.look_twice()
    before = snapshot()
    site.look()
    assert snapshot() == before


def test_money_that_came_at_the_venue_is_a_difference(site: Site) -> None:
    site.look()
    factories.accounts.pay_in(account_id=site.account.pk, amount=Decimal(-500), now=factories.now())
    site.look_twice()
    assert site.rows() == [("balance", "USD", "500")]


# --- no false alarms -------------------------------------------------------------------------------------------------
def test_an_order_in_flight_is_no_difference_however_often_one_looks(site: Site) -> None:
    site.look()
    enter(site.account, site.instrument, factories.stop("90"))
    site.exchange.fault("order_timeout:after=1")
    site.exchange.fault("order_lost:seconds=30")
    site.send()
    site.look_twice()
    site.look()
    assert order_of(site).status in ("unknown", "filled")
    assert [row for row in site.rows() if row[0] in ("position", "balance")] == []


def test_a_venue_that_does_not_answer_leaves_everything_as_it_was(site: Site) -> None:
    site.look()
    site.exchange.fault("order_status:status=503,call=read")
    answer = site.look()
    assert answer.trouble
    assert site.standing.clean_at is not None
    assert site.look().clean
