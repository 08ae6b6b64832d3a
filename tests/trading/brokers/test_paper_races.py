"""The paper venue under several processes at once: one order per client id, one fill per print."""

from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from django.db.models import F

from apps.domain.states import OrderStatus
from apps.market.store import Store
from apps.trading.brokers import paper_book
from apps.trading.brokers.base import Access
from apps.trading.brokers.paper import PaperBroker
from apps.trading.models import Order, PaperOrder
from apps.trading.services import paper_matching
from tests import factories
from tests.trading import racing
from tests.trading.brokers.paper_world import World, at

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def venue(tick_store: Store) -> World:
    return World(factories.make_account(), factories.make_instrument(), tick_store)


def test_one_client_id_is_one_order_whoever_sends_it(venue: World) -> None:
    account = venue.account.pk
    brokers = [PaperBroker(Access(address=""), account, now=venue.clock) for _ in range(6)]
    reports = racing.race(*[lambda broker=broker: broker.place(venue.ticket()) for broker in brokers])
    assert {report.venue_id for report in reports} == {reports[0].venue_id}
    assert PaperOrder.objects.get().filled == 1
    assert len(PaperOrder.objects.get().executions) == 1


def _waiting(venue: World) -> PaperOrder:
    """Let an order wait that five prints fill by fifths."""
    venue.options(pieces=5, pause_ms=0)
    venue.place(kind="limit", limit_price="95")
    venue.traded(*[(number / 10, "94") for number in range(1, 6)])
    return PaperOrder.objects.get()


def _looked() -> None:
    racing.race(*[lambda: paper_matching.match_due(at(1), 10) for _ in range(6)])


def test_prints_fill_once_however_many_look_at_them(venue: World) -> None:
    before = _waiting(venue).version
    _looked()
    row = PaperOrder.objects.get()
    assert (row.status, row.filled, len(row.executions)) == (OrderStatus.FILLED, Decimal(1), 5)
    assert row.version == before + 1


def test_without_the_guard_every_look_would_have_filled_it(venue: World, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _waiting(venue).version
    all_have_read = Barrier(6)

    def unguarded(row: PaperOrder, **values: Any) -> bool:
        all_have_read.wait(30)
        return bool(PaperOrder.objects.filter(pk=row.pk).update(version=F("version") + 1, **values))

    monkeypatch.setattr(paper_book, "write", unguarded)
    _looked()
    assert PaperOrder.objects.get().version == before + 6


def test_a_cancel_and_a_fill_agree_on_what_happened(venue: World) -> None:
    for number in range(10):
        name = f"e{number}-1"
        venue.place(name, "limit", limit_price="95")
        venue.traded((0.5 + number / 100, "94"))
        venue.clock.to(1)
        _, report = racing.race(
            lambda: paper_matching.match_due(at(1), 10), lambda name=name: venue.broker.cancel(name, "")
        )
        row = PaperOrder.objects.get(client_id=name)
        assert (row.status, row.filled) == (report.status, report.filled)
        assert (row.status == OrderStatus.FILLED) == (row.filled == 1)


def test_our_order_is_asked_about_at_once_when_the_venue_changed_its_own(venue: World) -> None:
    venue.place(kind="limit", limit_price="95")
    wish = {"buy": True, "kind": "limit", "quantity": Decimal(1), "limit_price": Decimal(95), "purpose": "entry"}
    ours = Order.objects.create(
        account=venue.account, instrument=venue.instrument, client_id="e1-1", status=OrderStatus.ACCEPTED, **wish
    )
    paper_matching.match_due(at(0.5), 10)
    ours.refresh_from_db()
    assert ours.look_at is None
    venue.traded((0.7, "94"))
    assert paper_matching.match_due(at(1), 10).changed == ("e1-1",)
    ours.refresh_from_db()
    assert ours.look_at == at(1)
