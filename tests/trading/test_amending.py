"""Changing the ways out of an open position."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from apps.domain.errors import Refused
from apps.domain.legs import LegKind
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.trading.models import LevelChange, Position, Watermark
from apps.trading.services.positions import PositionClosed, amend_levels
from tests import factories
from tests.factories import break_even, now, stop, target, time_stop, trailing

pytestmark = pytest.mark.django_db
Open = Callable[..., Position]
STOP, TARGET, TRAILING = LegKind.STOP_LOSS, LegKind.TAKE_PROFIT, LegKind.TRAILING_STOP


def live(position: Position) -> list[tuple[str, Decimal | None]]:
    return list(position.legs.filter(status="live").order_by("id").values_list("kind", "level"))


def test_an_amendment_cancels_the_old_leg_and_makes_a_new_one(open_position: Open) -> None:
    position = open_position(stop("95"), target("110"))
    at = now()
    amended = amend_levels(position_id=position.pk, legs={STOP: [stop("97")]}, now=at, actor="ada")
    assert amended.version == 2
    assert live(position) == [("take_profit", Decimal(110)), ("stop_loss", Decimal(97))]
    assert position.legs.get(level=95).status == "cancelled"
    assert factories.leg_of(position, STOP).since == at
    assert LevelChange.objects.filter(position_id=position.pk).count() == 2
    event = Event.objects.get(kind="position.amended")
    assert (event.actor, event.account_id) == ("ada", position.account_id)
    assert [leg["level"] for leg in event.payload["legs"]] == ["110", "97"]


def test_an_empty_list_removes_a_kind_and_others_stay(open_position: Open) -> None:
    position = open_position(stop("95"), target("110"))
    amend_levels(position_id=position.pk, legs={STOP: []}, now=now())
    assert live(position) == [("take_profit", Decimal(110))]


def test_a_kind_may_be_split_into_parts(open_position: Open) -> None:
    position = open_position(target("110"))
    parts = [target("105", "0.5"), target("120", "0.5")]
    amend_levels(position_id=position.pk, legs={TARGET: parts}, now=now())
    assert live(position) == [("take_profit", Decimal(105)), ("take_profit", Decimal(120))]


def test_a_trail_set_later_starts_from_the_present_price(open_position: Open, instrument: Instrument) -> None:
    position = open_position()
    factories.set_quote(instrument, "120")
    amend_levels(position_id=position.pk, legs={TRAILING: [trailing("5")]}, now=now())
    assert Watermark.objects.get(leg__position=position).peak == 120


def test_levels_are_judged_by_the_present_price(open_position: Open, instrument: Instrument) -> None:
    position = open_position(stop("95"))
    factories.set_quote(instrument, "120")
    amend_levels(position_id=position.pk, legs={STOP: [stop("110")]}, now=now())
    assert live(position) == [("stop_loss", Decimal(110))]


REFUSED = {
    "stop on the wrong side": {STOP: [stop("100")]},
    "off the grid": {STOP: [stop("95.001")]},
    "not a number": {TARGET: [target("NaN")]},
    "time in the past": {LegKind.TIME_STOP: [time_stop(now() - timedelta(days=1))]},
    "more than all": {TARGET: [target("110"), target("120")]},
    "one fine and one wrong": {TARGET: [target("110")], LegKind.BREAK_EVEN: [break_even("90", "95")]},
}


@pytest.mark.parametrize("legs", REFUSED.values(), ids=REFUSED)
def test_a_wrong_level_changes_nothing(open_position: Open, legs: dict) -> None:
    position = open_position(stop("95"))
    with pytest.raises(Refused):
        amend_levels(position_id=position.pk, legs=legs, now=now())
    assert live(position) == [("stop_loss", Decimal(95))]
    assert factories.fresh(position).version == 1
    assert not Event.objects.filter(kind="position.amended").exists()
    assert LevelChange.objects.count() == 1


def test_a_closed_position_is_amended_no_more(open_position: Open) -> None:
    position = open_position(stop("95"))
    factories.cross(position.legs.all(), "95")
    with pytest.raises(PositionClosed):
        amend_levels(position_id=position.pk, legs={STOP: [stop("90")]}, now=now())


def test_an_unknown_position_is_not_found() -> None:
    with pytest.raises(Position.DoesNotExist):
        amend_levels(position_id=1, legs={STOP: [stop("90")]}, now=now())


def test_an_exit_of_a_leg_that_was_amended_away_is_superseded_and_the_new_leg_lives(open_position: Open) -> None:
    position = open_position(stop("95"))
    old = factories.leg_of(position, STOP)
    factories.record([factories.crossing(old, "94")])
    amend_levels(position_id=position.pk, legs={STOP: [stop("90")]}, now=now())
    drained = factories.drain()
    assert (drained.done, drained.superseded) == (0, 1)
    (exit_,) = factories.exits_of(position)
    assert (exit_.status, exit_.note) == ("superseded", "the leg is no longer live")
    assert live(position) == [("stop_loss", Decimal(90))]
    assert factories.fresh(position).status == "open"
