"""The paper venue: its book, what it refuses, how its orders fill from stored prints and the quote."""

from dataclasses import fields
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from apps.domain.states import OrderStatus
from apps.market.models import Gap, Instrument
from apps.market.store import Store
from apps.trading.brokers import registry
from apps.trading.brokers.base import Access, BrokerRefused, BrokerUnclear, Holding
from apps.trading.brokers.ccxt_broker import CcxtOptions
from apps.trading.brokers.paper import PaperBroker, database_now
from apps.trading.brokers.paper_options import PaperOptions
from apps.trading.models import Account, PaperOrder
from apps.trading.services import paper_matching
from tests import factories
from tests.trading.brokers.paper_world import World, at, fills


@pytest.fixture
def venue(account: Account, instrument: Instrument, tick_store: Store) -> World:
    return World(account, instrument, tick_store)


def test_it_is_a_broker_by_its_name() -> None:
    assert registry.get("paper") is PaperBroker


def test_a_market_order_fills_at_once_at_the_other_side_of_the_quote(venue: World) -> None:
    report = venue.place()
    assert (report.status, report.filled, report.venue_id[:6]) == (OrderStatus.FILLED, Decimal(1), "paper-")
    assert fills(report) == [("1", "101", 0.0)]
    assert report.executions[0].fee_asset == "USD"


def test_a_second_order_of_the_same_client_id_is_the_first(venue: World) -> None:
    first = venue.place()
    venue.quote(1, "200", "199", "201")
    venue.clock.to(2)
    assert venue.place(quantity="5") == first
    assert PaperOrder.objects.count() == 1


def test_a_client_id_of_another_account_is_refused(venue: World) -> None:
    venue.place()
    other = factories.make_account(factories.make_user("other"), name="other")
    with pytest.raises(BrokerRefused, match="another account"):
        PaperBroker(Access(address=""), other.pk).place(venue.ticket())
    assert PaperBroker(Access(address=""), other.pk).find("e1-1") is None


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"symbol": "NOPE-USD"}, "lists no NOPE-USD"),
        ({"quantity": "0.00001"}, "out of bounds"),
        ({"quantity": "0.00015"}, "multiple of 0.0001"),
        ({"kind": "limit"}, "has a limit price"),
        ({"limit_price": "90"}, "has no limit price"),
        ({"kind": "stop", "stop_price": "90.001"}, "multiple of 0.01"),
        ({"kind": "stop_limit", "stop_price": "90"}, "has a limit price"),
        ({"tif": "gtd"}, "names the date"),
        ({"expires_at": at(9)}, "names the date"),
        ({"reduce_only": True}, "reduce-only"),
    ],
)
def test_what_is_wrong_is_refused_and_not_kept(venue: World, wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(BrokerRefused, match=why):
        venue.place(**wrong)
    assert venue.broker.find("e1-1") is None


def test_an_order_has_no_effect_before_its_latency_is_over(venue: World) -> None:
    venue.options(latency_ms=300)
    assert venue.place().status == OrderStatus.ACCEPTED
    venue.quote(0.2, "110", "109", "111", number=2)
    venue.clock.to(0.29)
    assert venue.found().executions == ()
    venue.quote(0.4, "120", "119", "121", number=3)
    venue.traded((0.2, "110"), (0.4, "120"))
    venue.clock.to(1)
    assert fills(venue.found()) == [("1", "110", 0.3)]  # the price in force then, whenever one looks


def test_a_waiting_order_is_filled_by_a_print_between_two_looks(venue: World) -> None:
    venue.place(kind="limit", limit_price="95")
    venue.traded((0.5, "96"), (0.7, "94.99"), (0.9, "100"))
    venue.quote(0.9, "100", "99", "101", number=2)  # whoever looks at the quote only sees nothing
    venue.clock.to(1)
    assert fills(venue.found()) == [("1", "95", 0.7)]


def test_a_print_from_before_the_order_does_not_fill_it(venue: World) -> None:
    venue.traded((-0.5, "90"), (-0.1, "94"))
    venue.place(kind="limit", limit_price="95")
    venue.clock.to(1)
    assert venue.found().status == OrderStatus.ACCEPTED


def test_a_print_of_a_venue_whose_clock_is_ahead_counts_from_when_it_was_here(venue: World) -> None:
    venue.traded((0.5, "90"), late=-0.6)  # dated half a second after the order, received before it
    venue.place(kind="limit", limit_price="95")
    venue.clock.to(2)
    assert venue.found().status == OrderStatus.ACCEPTED


def test_a_print_that_is_stored_late_is_found_by_a_later_look(venue: World) -> None:
    venue.place(kind="limit", limit_price="95")
    for seconds in range(1, 100, 7):
        venue.clock.to(seconds)
        venue.quote(seconds, "100", "99", "101", number=seconds)
        assert venue.found().status == OrderStatus.ACCEPTED
    venue.traded((3, "94"), late=90, refilled=True)
    report = venue.found()
    assert fills(report) == [("1", "95", 3.0)]
    assert "late" in report.reason


def test_a_look_after_an_outage_fills_by_the_prices_of_that_time_and_says_so(venue: World) -> None:
    venue.place("e1-1", "limit", limit_price="95")
    venue.place("x1-1", "stop", buy=False, stop_price="90")
    venue.traded((600, "94"), (1200, "89"), (1500, "100"))
    venue.quote(1500, "100", "99", "101", number=9)
    venue.clock.to(1800)
    assert fills(venue.found()) == [("1", "95", 600.0)]
    assert fills(venue.found("x1-1")) == [("1", "89", 1200.0)]
    assert "late" in venue.found("x1-1").reason


def test_an_open_gap_is_waited_for(venue: World) -> None:
    venue.place(kind="limit", limit_price="95")
    values = {"instrument": venue.instrument, "kind": Gap.Kind.TRADES, "found_at": at(20)}
    gap = Gap.objects.create(since=at(10), until=at(20), **values)
    venue.clock.to(1000)
    venue.found()
    assert PaperOrder.objects.get().looked_at == at(10)
    gap.state = Gap.State.FILLED
    gap.save()
    venue.traded((15, "94"), refilled=True)
    assert fills(venue.found()) == [("1", "95", 15.0)]


def test_without_new_prices_the_book_remembers_how_far_it_looked(venue: World) -> None:
    venue.place(kind="limit", limit_price="95")
    venue.clock.to(1000)
    venue.found()
    assert PaperOrder.objects.get().looked_at == at(1000) - timedelta(seconds=150)


def test_a_site_that_keeps_no_prints_fills_from_its_quotes(venue: World, settings: Settings) -> None:
    settings.RECORD_TICKS = False
    venue.place(kind="limit", limit_price="95")
    venue.quote(1, "94", "93", "96", number=2)
    venue.clock.to(1.5)
    assert fills(venue.found()) == [("1", "95", 1.0)]


def test_pieces_fees_and_slippage_are_the_accounts_choice(venue: World) -> None:
    venue.options(pieces=4, pause_ms=1000, slippage_rate=0.01, fee_rate=0.001)
    first = venue.place()
    assert (first.status, fills(first)) == (OrderStatus.PARTIALLY_FILLED, [("0.25", "102.01", 0.0)])
    assert first.executions[0].fee == Decimal("0.02550250")
    venue.clock.to(10)
    whole = venue.found()
    assert whole.status == OrderStatus.FILLED
    assert [one.id for one in whole.executions] == [f"e1-1.{number}" for number in (1, 2, 3, 4)]
    assert whole.executions[0] == first.executions[0]


def test_some_orders_are_refused_and_always_the_same(venue: World) -> None:
    venue.options(reject_rate=0.3)

    def refused() -> list[int]:
        found = []
        for number in range(100):
            try:
                venue.place(f"e{number}-1")
            except BrokerRefused:
                found.append(number)
        return found

    first = refused()
    assert 15 < len(first) < 45
    assert refused() == first
    assert PaperOrder.objects.count() == 100 - len(first)


def test_wrong_options_are_refused_with_the_rule(venue: World) -> None:
    venue.options(latency_ms=-1, moods=3)
    with pytest.raises(BrokerRefused, match=r"moods.*latency_ms"):
        venue.place()


def test_a_cancel_takes_the_rest_back_and_keeps_what_was_filled(venue: World) -> None:
    venue.options(pieces=2, pause_ms=10_000)
    venue.place()
    report = venue.broker.cancel("e1-1", "")
    assert (report.status, report.filled) == (OrderStatus.CANCELLED, Decimal("0.5"))
    venue.clock.to(60)
    assert venue.found().filled == Decimal("0.5")
    assert venue.broker.cancel("e1-1", "").status == OrderStatus.CANCELLED


def test_a_cancel_that_comes_after_the_fill_says_filled(venue: World) -> None:
    venue.place(kind="limit", limit_price="95")
    venue.traded((0.5, "94"))
    venue.clock.to(1)
    assert venue.broker.cancel("e1-1", "").status == OrderStatus.FILLED
    with pytest.raises(BrokerRefused, match="has no order"):
        venue.broker.cancel("e9-1", "")


def test_an_amended_order_acts_anew(venue: World) -> None:
    placed = venue.place(kind="limit", limit_price="95")
    venue.traded((5, "96"))
    venue.clock.to(10)
    ticket = venue.ticket(kind="limit", limit_price="96.5", quantity="2")
    report = venue.broker.amend("e1-1", placed.venue_id, ticket)
    assert (report.limit_price, report.quantity, report.executions) == (Decimal("96.5"), Decimal(2), ())
    venue.quote(10, "100", "99", "101", number=2)
    venue.traded((12, "96"))
    venue.clock.to(20)
    assert fills(venue.found()) == [("2", "96.5", 12.0)]
    with pytest.raises(BrokerRefused, match="has ended"):
        venue.broker.amend("e1-1", placed.venue_id, ticket)


def test_a_day_order_ends_with_the_day_and_one_till_a_date_with_the_date(venue: World) -> None:
    venue.place("e1-1", "limit", limit_price="95", tif="day")
    venue.place("e2-1", "limit", limit_price="95", tif="gtd", expires_at=at(60))
    venue.clock.to(61)
    assert venue.found("e2-1").status == OrderStatus.ACCEPTED  # a print of its time may still arrive
    venue.clock.to(63)
    assert venue.found("e2-1").status == OrderStatus.EXPIRED
    venue.clock.to(12 * 3600 + 3)
    assert venue.found("e1-1").status == OrderStatus.EXPIRED


def test_working_orders_executions_and_holdings(venue: World) -> None:
    venue.place("e1-1")
    venue.place("e2-1", "limit", limit_price="95")
    venue.place("x1-1", buy=False, quantity="0.4")
    assert [report.client_id for report in venue.broker.working()] == ["e2-1"]
    assert [(owner, one.quantity) for owner, one in venue.broker.executions(at(0))] == [
        ("e1-1", Decimal(1)),
        ("x1-1", Decimal("0.4")),
    ]
    assert venue.broker.executions(at(0.001)) == []
    assert venue.broker.positions() == [Holding(asset="BTC-USD", quantity=Decimal("0.6"))]
    (cash,) = venue.broker.balances()
    assert (cash.asset, cash.quantity) == ("USD", Decimal(1_000_000) - 101 + Decimal("0.4") * 99)


def test_what_was_filled_without_an_order_is_held_as_well(venue: World) -> None:
    factories.opened(venue.account, venue.instrument, quantity="2", at=at(-1))
    venue.place()
    assert venue.broker.positions() == [Holding(asset="BTC-USD", quantity=Decimal(3))]


def test_an_order_is_found_by_the_venues_number_too(venue: World) -> None:
    placed = venue.place()
    assert venue.broker.find("", placed.venue_id) == placed
    assert venue.broker.find("", "paper-999999999") is None


def test_all_due_orders_are_looked_at_in_turn(venue: World) -> None:
    for number in range(5):
        venue.place(f"e{number}-1", "limit", limit_price="95")
    venue.traded((0.5, "94"))
    first = paper_matching.match_due(at(1), 3)
    second = paper_matching.match_due(at(1), 3)
    assert (len(first.changed), first.more, len(second.changed), second.more) == (3, True, 2, False)
    assert paper_matching.match_due(at(1), 3) == paper_matching.Matched()


def test_the_venues_clock_is_the_databases(venue: World) -> None:
    assert abs(PaperBroker(Access(address=""), venue.account.pk).clock() - factories.now()) < timedelta(seconds=5)
    assert database_now().utcoffset() == timedelta(0)


def test_a_dead_database_is_unclear_not_a_refusal(venue: World, settings: Settings) -> None:
    from django.db import OperationalError

    def dead() -> Any:
        raise OperationalError("server closed the connection unexpectedly")

    with pytest.raises(BrokerUnclear, match="server closed"):
        PaperBroker(Access(address=""), venue.account.pk, now=dead).place(venue.ticket())


def test_every_option_is_documented_with_its_bounds() -> None:
    lines = (Path(__file__).parents[3] / "docs" / "brokers.md").read_text().splitlines()
    for item in [*fields(PaperOptions), *(one for one in fields(CcxtOptions) if one.name != "exchange")]:
        facts = item.metadata
        bounds = f" {facts['lowest']} to {facts['highest']} " if "lowest" in facts else " "
        assert any(line.startswith(f"| `{item.name}` | {item.default} |{bounds}|") for line in lines), item.name
