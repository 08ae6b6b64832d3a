"""The second look: what the listener missed, what no worker executed, and what waits too long."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection

from apps.journal.models import Event, Pulse
from apps.market.models import Instrument
from apps.trading import sweeping
from apps.trading.models import Exit, Position, Watermark
from tests import factories
from tests.factories import (
    break_even,
    crossing,
    fresh,
    leg_of,
    now,
    record,
    set_quote,
    stop,
    target,
    time_stop,
    trailing,
)
from tests.trading.racing import race
from workers.sweeper import Sweeper

Open = Callable[..., Position]


@pytest.fixture
def sweeper() -> Iterator[Sweeper]:
    yield Sweeper()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock_all()")


# --- levels the quote has passed ------------------------------------------------------------------------------------
BEYOND = {
    "long stop": ("long", stop("95"), "95", True),
    "long stop not reached": ("long", stop("95"), "95.01", False),
    "long target": ("long", target("110"), "111", True),
    "long target not reached": ("long", target("110"), "109.99", False),
    "short stop": ("short", stop("105"), "105", True),
    "short stop not reached": ("short", stop("105"), "104.99", False),
    "short target": ("short", target("90"), "89", True),
    "short target not reached": ("short", target("90"), "90.01", False),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("side", "leg", "price", "passed"), BEYOND.values(), ids=BEYOND)
def test_a_level_the_quote_has_passed_is_seen(
    open_position: Open, instrument: Instrument, side: str, leg, price: str, passed: bool
) -> None:
    position = open_position(leg, side=side)
    set_quote(instrument, price, trade_id=9)
    found = sweeping.beyond()
    assert list(found) == ([position.legs.get().pk] if passed else [])
    if passed:
        (seen,) = found.values()
        assert (Decimal(seen.price), seen.trade_id, seen.peak) == (Decimal(price), 9, None)


TRAILED = {
    "long trail": ("long", trailing("2"), "106", "104", True),
    "long trail not reached": ("long", trailing("2"), "106", "104.01", False),
    "short trail": ("short", trailing("2"), "94", "96", True),
    "short trail not reached": ("short", trailing("2"), "94", "95.99", False),
    "long rate": ("long", trailing("0.02", rate=True), "110", "107.8", True),
    "long rate not reached": ("long", trailing("0.02", rate=True), "110", "107.81", False),
    "short rate": ("short", trailing("0.02", rate=True), "90", "91.8", True),
    "short rate not reached": ("short", trailing("0.02", rate=True), "90", "91.79", False),
    "asleep": ("long", trailing("2", activation="110"), None, "50", False),
    "break-even awake": ("long", break_even("100.5", "105"), "105", "100.5", True),
    "break-even asleep": ("long", break_even("100.5", "105"), None, "100", False),
    "short break-even awake": ("short", break_even("99.5", "95"), "95", "99.5", True),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("side", "leg", "peak", "price", "passed"), TRAILED.values(), ids=TRAILED)
def test_a_trailing_level_the_quote_has_passed_is_seen_with_its_best_price(
    open_position: Open, instrument: Instrument, side: str, leg, peak: str | None, price: str, passed: bool
) -> None:
    position = open_position(leg, side=side)
    Watermark.objects.update(peak=peak)
    set_quote(instrument, price)
    found = sweeping.trailed()
    assert list(found) == ([position.legs.get().pk] if passed else [])
    if passed and peak is not None:
        assert Decimal(found[position.legs.get().pk].peak or 0) == Decimal(peak)
        assert sweeping.record(found.values(), fence=factories.lead(1, "sweeper")) == 1
        assert factories.drain().done == 1  # the locked row confirms what the sweeper saw


@pytest.mark.django_db
@pytest.mark.parametrize("status", ["triggered", "done"])
def test_a_leg_that_has_its_exit_is_left_alone(open_position: Open, instrument: Instrument, status: str) -> None:
    position = open_position(stop("95"))
    record([crossing(leg_of(position, "stop_loss"), "94")])
    if status == "done":
        factories.drain()
    set_quote(instrument, "90")
    assert sweeping.beyond() == {}


@pytest.mark.django_db
def test_a_quote_older_than_the_leg_says_nothing_about_it(open_position: Open, instrument: Instrument) -> None:
    open_position(stop("95"), trailing("1"), at=now())
    set_quote(instrument, "90", at=now() - timedelta(seconds=5))
    assert (sweeping.beyond(), sweeping.trailed()) == ({}, {})


@pytest.mark.django_db
def test_an_exit_that_waits_too_long_is_told_once(open_position: Open) -> None:
    position = open_position(stop("95"))
    record([crossing(leg_of(position, "stop_loss"), "94")])
    assert sweeping.complain(timedelta(seconds=5)) == 0
    Exit.objects.update(recorded_at=now() - timedelta(seconds=6))
    assert sweeping.complain(timedelta(seconds=5)) == 1
    assert sweeping.complain(timedelta(seconds=5)) == 0
    event = Event.objects.get(kind="exit.waiting")
    assert (event.account_id, event.payload["position"]) == (position.account_id, position.pk)


# --- the process ----------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_an_exit_nobody_executed_is_executed(sweeper: Sweeper, open_position: Open) -> None:
    position = open_position(stop("95"))
    record([crossing(leg_of(position, "stop_loss"), "94")])
    sweeper.sweep()
    assert fresh(position).status == "open"  # the workers' chance: a quarter of a second
    Exit.objects.update(recorded_at=now() - timedelta(seconds=1))
    sweeper.sweep()
    assert fresh(position).status == "closed"


@pytest.mark.django_db(transaction=True)
def test_a_stop_that_nobody_saw_is_found_on_the_second_look(
    sweeper: Sweeper, open_position: Open, instrument: Instrument, caplog: pytest.LogCaptureFixture
) -> None:
    position = open_position(stop("95"))
    set_quote(instrument, "90")
    sweeper.sweep()
    assert Exit.objects.count() == 0  # the first chance is the listener's
    sweeper.sweep()
    assert fresh(position).status == "closed"
    assert Exit.objects.get().source == "sweeper"
    assert "exits were missing" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_a_price_that_came_back_between_two_looks_is_not_acted_on(
    sweeper: Sweeper, open_position: Open, instrument: Instrument
) -> None:
    position = open_position(stop("95"))
    set_quote(instrument, "90")
    sweeper.sweep()
    set_quote(instrument, "96")
    sweeper.sweep()
    set_quote(instrument, "90")
    sweeper.sweep()
    assert fresh(position).status == "open"


@pytest.mark.django_db(transaction=True)
def test_a_trailing_stop_that_nobody_saw_is_found_within_seven_looks(
    sweeper: Sweeper, open_position: Open, instrument: Instrument
) -> None:
    position = open_position(trailing("2"))
    set_quote(instrument, "97")
    for _ in range(7):
        sweeper.sweep()
    assert fresh(position).exit_reason == "trailing_stop"


@pytest.mark.django_db(transaction=True)
def test_a_time_stop_is_written_and_executed_in_one_sweep(sweeper: Sweeper, open_position: Open) -> None:
    at = now() - timedelta(minutes=1)
    position = open_position(time_stop(at + timedelta(seconds=30)), at=at)
    set_quote(position.instrument, "101")
    sweeper.sweep()
    assert (fresh(position).exit_reason, fresh(position).exit_price) == ("time_stop", 101)


@pytest.mark.django_db(transaction=True)
def test_only_one_sweeper_sweeps_and_both_are_alive(sweeper: Sweeper, open_position: Open) -> None:
    sweeper.sweep()
    position = open_position(stop("95"))
    record([crossing(leg_of(position, "stop_loss"), "94")])
    Exit.objects.update(recorded_at=now() - timedelta(seconds=1))
    other = Sweeper()
    race(other.sweep)
    assert fresh(position).status == "open"  # the other one stands by
    sweeper.sweep()
    assert fresh(position).status == "closed"
    assert Pulse.objects.filter(name="sweeper").exists()
