"""A site that died in any state of an order, and what happened at the venue meanwhile: both sides agree in the end."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from apps.domain.orders import Purpose, Ticket
from apps.domain.states import ENDED_ORDERS
from apps.ops import invariants
from apps.trading.models import Account, Fill, Order, Position
from apps.trading.services import keys, reconciling, tickets
from tests import factories
from tests.trading.orders.wishes import close, enter
from tests.trading.reconciling.site import Site, snapshot

pytestmark = pytest.mark.django_db(transaction=True)
STATES = ("new", "submitting", "unknown", "accepted", "partially_filled", "cancelling")
Meanwhile = Callable[[Site, Order], None]


def nothing(site: Site, order: Order) -> None:
    """Let the venue be as it was."""


def filled(site: Site, order: Order) -> None:
    """Let the market come to the order."""
    site.trade("94.00")


def taken_back(site: Site, order: Order) -> None:
    """Let a person cancel it at the venue."""
    there = next((one for one in site.hand.working() if one.client_id == order.client_id), None)
    if there is not None:
        site.hand.cancel("", there.venue_id)


def died_in(site: Site, status: str, *, reached: bool) -> Order:
    """Leave an entry order as a site that was killed in this state would: it reached the venue, or it did not."""
    order = enter(site.account, site.instrument, factories.stop("80"), kind="limit", limit_price=Decimal(95))
    venue_id = ""
    if reached:
        account = Account.objects.select_related("credential").get(pk=site.account.pk)
        with keys.broker_of(account) as broker:
            ticket: Ticket = tickets.of_order(order, broker.abilities)
            venue_id = broker.place(ticket).venue_id
    long_ago = factories.now() - factories.timedelta(minutes=1)
    known = status in ("accepted", "partially_filled", "cancelling")
    values = {"status": status, "venue_id": venue_id if known else ""}
    if status != "new":
        values |= {"sent_at": long_ago, "look_at": long_ago}
    if known:
        values["accepted_at"] = long_ago
    if status == "cancelling":
        values["cancel_asked_at"] = long_ago
    Order.objects.filter(pk=order.pk).update(**values)
    return factories.fresh(order)


def start_again(site: Site) -> None:
    """Start the site and let it work until nothing changes any more."""
    reconciling.begin(site.clock())
    for _ in range(6):
        site.send()
        site.look()
        site.ahead += factories.timedelta(seconds=15)


def agreed(site: Site) -> None:
    broken = [(one.id, one.examples) for one in invariants.check() if one.violations]
    assert broken == []
    assert site.rows() == []
    assert site.standing.clean_at is not None
    there = {one["client_id"]: Decimal(one["filled"]) for one in site.exchange.orders()}
    here = {one.client_id: one.filled for one in Order.objects.all()}
    assert {name: amount for name, amount in here.items() if amount} == {
        name: amount for name, amount in there.items() if amount
    }
    assert len(there) == len(set(there))  # no client id twice


CASES = [
    (status, reached, meanwhile)
    for status in STATES
    for reached in (True, False)
    for meanwhile in (nothing, filled, taken_back)
    if (reached or status in ("new", "submitting", "unknown")) and not (status == "new" and reached)
]


@pytest.mark.parametrize(
    ("status", "reached", "meanwhile"),
    CASES,
    ids=[f"{s}-{'there' if r else 'absent'}-{m.__name__}" for s, r, m in CASES],
)
def test_after_a_restart_both_sides_agree(site: Site, status: str, reached: bool, meanwhile: Meanwhile) -> None:
    site.look()
    order = died_in(site, status, reached=reached)
    meanwhile(site, order)
    start_again(site)
    agreed(site)
    before = snapshot()
    site.look()
    order = factories.fresh(order)
    if order.status in ENDED_ORDERS:
        assert snapshot() == before
    assert Fill.objects.count() == (1 if order.filled else 0)


@pytest.mark.parametrize("sold", [True, False], ids=["sold", "not sold"])
def test_an_exit_whose_answer_was_lost_is_not_sold_again(site: Site, sold: bool) -> None:
    site.look()
    entry = enter(site.account, site.instrument, factories.stop("80"))
    site.send()
    position = factories.fresh(entry).position
    close(position)
    site.exchange.fault(f"order_timeout:after={int(sold)}")
    site.send()
    start_again(site)
    agreed(site)
    assert factories.fresh(position).status == "closed"
    sales = [one for one in site.exchange.orders() if Decimal(one["filled"]) and one["client_id"] != entry.client_id]
    assert len(sales) == 1
    assert Order.objects.filter(purpose=Purpose.EXIT).count() == 1
    assert Position.objects.count() == 1


def test_a_start_flattens_nothing_and_opens_nothing(site: Site) -> None:
    site.look()
    entry = enter(site.account, site.instrument, factories.stop("80"))
    site.send()
    site.by_hand("past1", quantity="2")
    start_again(site)
    assert len(site.exchange.orders()) == 2  # ours and the person's
    assert factories.fresh(entry).position.remaining == 1
    assert site.standing.clean_at is None
