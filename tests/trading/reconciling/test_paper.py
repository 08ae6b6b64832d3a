"""The built-in venue is compared like any other, and always agrees with what it filled."""

import pytest
from pytest_django import Settings

from apps.domain.errors import Refused
from apps.trading.models import Account, Credential, Order
from apps.trading.services import connecting, keys, reconciling, sending
from apps.trading.services.connecting import Route
from tests import factories
from tests.trading.orders.wishes import close, enter
from tests.trading.reconciling.site import Site

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_paper_account_with_a_book_agrees_before_and_after_its_trades(settings: Settings) -> None:
    settings.MARKET_DATABASE_URL = "postgres://elsewhere"
    instrument = factories.make_instrument()
    account = factories.make_account(fee_rate="0.001", deposit="1000")
    connecting.connect(account.pk, Route(broker="paper", options={"pieces": 2}))
    assert not Account.objects.get(pk=account.pk).instant
    assert reconciling.reconcile(account.pk, clock=factories.now).clean
    enter(factories.fresh(account), instrument, factories.stop("90"))
    for number in range(2, 5):
        factories.set_quote(instrument, "100", bid="100", ask="100", trade_id=number)
        sending.send_due("test", 50, clock=lambda: factories.now() + factories.timedelta(seconds=3))
    order = Order.objects.get()
    assert order.filled > 0
    position = factories.fresh(order).position
    close(position)
    sending.send_due("test", 50, clock=lambda: factories.now() + factories.timedelta(seconds=6))
    found = reconciling.reconcile(account.pk, clock=lambda: factories.now() + factories.timedelta(seconds=9))
    assert (found.trouble, found.suspects, found.open, found.clean) == ("", 0, 0, True)


def test_an_account_with_positions_keeps_its_key(site: Site) -> None:
    """A fill is known by account, broker and execution: elsewhere the same name would mean something else."""
    first = site.account.credential
    assert first is not None
    there = site.exchange.open_account("other", {"USD": "1"})
    secrets = keys.Secrets(key=there["key"], secret=there["pem"])
    wanted = keys.NewCredential(
        owner_id=first.owner_id, name="other", broker=first.broker, secrets=secrets, address=first.address
    )
    other = Credential.objects.get(pk=keys.store(wanted, now=factories.now()).credential.pk)
    site.look()
    enter(site.account, site.instrument, factories.stop("90"))
    site.send()
    with pytest.raises(Refused, match="close them first"):
        connecting.connect(site.account.pk, Route(broker=other.broker, credential_id=other.pk))
    connecting.connect(site.account.pk, Route(broker=first.broker, credential_id=first.pk))  # options may change
