"""Crossings become Exit rows: durable, once, and only under the epoch that leads."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from apps.domain.legs import ExitReason
from apps.trading.models import Exit, Position
from apps.trading.services import exits
from apps.trading.services.exits import AlreadyLeaving, Fence, Fenced
from tests import factories
from tests.factories import crossing, leg_of, now, record, stop, target

pytestmark = pytest.mark.django_db
Open = Callable[..., Position]


def test_a_crossing_is_written_with_everything_that_was_seen(open_position: Open) -> None:
    position = open_position(stop("95"))
    leg, at = leg_of(position, "stop_loss"), now()
    times = {"tick_at": at - timedelta(milliseconds=3), "seen_at": at - timedelta(milliseconds=1), "venue_at": None}
    assert record([crossing(leg, "94.5", at=at, trade_id=12, peak="101.25", **times)], factories.lead(7)) == {leg.pk}
    (exit_,) = factories.exits_of(position)
    assert (exit_.status, exit_.reason, exit_.leg_id, exit_.source) == ("triggered", "stop_loss", leg.pk, "listener")
    assert (exit_.trigger_price, exit_.peak, exit_.trade_id) == (Decimal("94.5"), Decimal("101.25"), 12)
    assert (exit_.tick_at, exit_.seen_at, exit_.venue_at) == (*list(times.values())[:2], None)
    assert (exit_.epoch, exit_.late, exit_.closed_at) == (7, False, None)


def test_a_repeat_writes_nothing_and_the_first_price_stays(open_position: Open) -> None:
    leg = leg_of(open_position(stop("95")), "stop_loss")
    assert record([crossing(leg, "94")]) == {leg.pk}
    assert record([crossing(leg, "93")]) == set()
    assert record([crossing(leg, "92"), crossing(leg, "91")]) == set()
    assert Exit.objects.get().trigger_price == 94


def test_a_leg_named_twice_in_one_batch_is_written_once(open_position: Open) -> None:
    leg = leg_of(open_position(stop("95")), "stop_loss")
    later = now() + timedelta(milliseconds=5)
    assert record([crossing(leg, "93", at=later), crossing(leg, "94")]) == {leg.pk}
    assert Exit.objects.get().trigger_price == 94  # the earlier tick of the two


def test_an_epoch_that_has_passed_writes_nothing(open_position: Open) -> None:
    leg = leg_of(open_position(stop("95")), "stop_loss")
    old = factories.lead(1)
    factories.lead(2)
    with pytest.raises(Fenced):
        record([crossing(leg, "94")], old)
    assert Exit.objects.count() == 0


def test_a_role_that_nobody_ever_led_writes_nothing(open_position: Open) -> None:
    leg = leg_of(open_position(stop("95")), "stop_loss")
    with pytest.raises(Fenced):
        record([crossing(leg, "94")], Fence("listener:9", 0))
    assert Exit.objects.count() == 0


def test_a_leg_made_after_the_price_is_not_triggered_by_it(open_position: Open) -> None:
    old, young = open_position(stop("95")), open_position(stop("95"), at=now())
    at = young.opened_at - timedelta(microseconds=1)
    legs = [leg_of(old, "stop_loss"), leg_of(young, "stop_loss")]
    assert record([crossing(leg, "94", at=at) for leg in legs]) == {legs[0].pk}
    assert record([crossing(legs[1], "94", at=young.opened_at)]) == {legs[1].pk}


@pytest.mark.parametrize("status", ["done", "cancelled"])
def test_a_leg_that_is_not_live_is_not_triggered(open_position: Open, status: str) -> None:
    leg = leg_of(open_position(stop("95")), "stop_loss")
    leg.status = status
    leg.save()
    assert record([crossing(leg, "94")]) == set()


def test_a_leg_nobody_knows_is_passed_over(open_position: Open) -> None:
    leg = leg_of(open_position(stop("95")), "stop_loss")
    assert record([crossing(leg.pk + 1000, "94"), crossing(leg, "94")]) == {leg.pk}


def test_a_superseded_exit_does_not_stand_in_the_way_of_the_next(open_position: Open) -> None:
    leg = leg_of(open_position(stop("95")), "stop_loss")
    factories.cross([leg], "96")  # the locked row does not confirm it
    assert Exit.objects.get().status == "superseded"
    assert record([crossing(leg, "94")]) == {leg.pk}


def test_nothing_crossed_asks_nothing() -> None:
    assert exits.record_crossings([], fence=Fence("nobody", 0), source="listener") == set()


# --- requests -------------------------------------------------------------------------------------------------------


def ask(position: Position, reason: ExitReason = ExitReason.MANUAL) -> Exit:
    return exits.request_exit(position_id=position.pk, reason=reason, source="api", now=now(), actor="ada", note="why")


def test_a_request_is_an_exit_of_everything_at_the_market(open_position: Open) -> None:
    position = open_position(stop("95"))
    exit_ = ask(position)
    assert (exit_.status, exit_.leg_id, exit_.trigger_price) == ("triggered", None, None)
    assert (exit_.actor, exit_.note, exit_.reason) == ("ada", "why", "manual")
    assert factories.fresh(position).status == "open"


def test_a_second_request_is_told_the_first_exit(open_position: Open) -> None:
    position = open_position()
    first = ask(position)
    with pytest.raises(AlreadyLeaving, match="already being closed") as refusal:
        ask(position, ExitReason.RISK)
    assert refusal.value.exit_id == first.pk
    factories.drain()
    with pytest.raises(AlreadyLeaving, match="already closed") as refusal:
        ask(position)
    assert refusal.value.exit_id == first.pk
    assert Exit.objects.count() == 1


def test_a_position_closed_by_its_stop_answers_with_that_exit(open_position: Open) -> None:
    position = open_position(stop("95"))
    factories.cross(position.legs.all(), "94")
    with pytest.raises(AlreadyLeaving) as refusal:
        ask(position)
    assert refusal.value.exit_id == factories.exits_of(position)[0].pk


def test_a_stop_that_waits_does_not_keep_a_person_from_closing(open_position: Open) -> None:
    position = open_position(stop("95", "0.5"), target("110"))
    record([crossing(leg_of(position, "stop_loss"), "94")])
    ask(position)
    assert factories.drain().done == 2
    assert factories.fresh(position).status == "closed"


def test_a_request_for_nothing_is_not_found() -> None:
    with pytest.raises(Position.DoesNotExist):
        exits.request_exit(position_id=1, reason=ExitReason.API, source="api", now=now())
