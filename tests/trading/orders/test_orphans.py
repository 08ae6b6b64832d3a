"""Orders of a position that was closed without them are taken back, once."""

import pytest

from apps.market.models import Instrument
from apps.trading.models import Account
from apps.trading.services import orphans, sending
from tests import factories
from tests.factories import fresh, now, stop
from tests.trading.orders import venue
from tests.trading.orders.venue import fill, say, sound

pytestmark = pytest.mark.django_db


def test_the_rest_of_an_entry_is_taken_back_once_its_lot_was_closed_at_once(
    account: Account, instrument: Instrument
) -> None:
    Account.objects.filter(pk=account.pk).update(instant=True)
    order = venue.entry(account, instrument, stop("95"), quantity="2")
    say(order, "partially_filled", fill("a", "1"))
    lot = fresh(order).position
    factories.cross(lot.legs.all(), "94")
    assert fresh(lot).status == "closed"
    assert fresh(order).cancel_asked_at is None
    assert orphans.take_back(now=now(), limit=10) == 1
    assert fresh(order).cancel_asked_at is not None
    assert orphans.take_back(now=now(), limit=10) == 0
    assert sound(account)


def test_an_order_of_an_open_position_and_one_without_are_left_alone(account: Account, instrument: Instrument) -> None:
    venue.entry(account, instrument)
    order = venue.entry(account, instrument, quantity="2")
    say(order, "partially_filled", fill("a", "1"))
    assert orphans.take_back(now=now(), limit=10) == 0


def test_every_round_of_the_senders_looks_for_orphans(account: Account, instrument: Instrument) -> None:
    Account.objects.filter(pk=account.pk).update(instant=True)
    order = venue.entry(account, instrument, stop("95"), quantity="2")
    say(order, "partially_filled", fill("a", "1"))
    factories.cross(fresh(order).position.legs.all(), "94")
    sending.send_due("test", 10, clock=now)  # no broker is called: the venue of this account does not exist
    assert fresh(order).cancel_asked_at is not None
