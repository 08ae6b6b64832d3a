"""Real money moves only with two switches, and an account goes where its orders can be followed."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from pytest_django import Settings

from apps.access.models import User
from apps.domain.errors import Refused
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.trading.models import Account, Credential
from apps.trading.services import connecting, keys, switches
from apps.trading.services.connecting import Route
from tests import factories
from tests.trading.echo_broker import EchoBroker, Venue
from tests.trading.keys_world import NOW, connected, key_file, owner, stored, venue

__all__ = ["key_file", "owner", "venue"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("key_file")]
REAL = "https://api.echo.example"


@pytest.fixture
def real(owner: User, venue: Venue, monkeypatch: pytest.MonkeyPatch) -> Account:
    """An account whose address is no sandbox; what would be sent there reaches the venue on loopback all the same."""
    get = EchoBroker._get

    def redirected(broker: EchoBroker, path: str) -> Any:
        inner = EchoBroker(
            keys.Access(
                address=venue.url,
                key=broker.access.key,
                secret=broker.access.secret,
                passphrase=broker.access.passphrase,
            ),
            0,
        )
        return get(inner, path)

    monkeypatch.setattr(EchoBroker, "_get", redirected)
    return connected(owner, stored(owner, REAL))


@pytest.mark.parametrize(
    ("site", "own", "entering", "leaving"),
    [
        (False, False, "the site's switch is off", "the site's switch is off"),
        (False, True, "the site's switch is off", "the site's switch is off"),
        (True, False, "its own switch is off; use 'Go live'", ""),
        (True, True, "", ""),
    ],
)
def test_an_entry_of_real_money_needs_both_switches_and_what_leaves_only_the_site_s(
    real: Account, settings: Settings, site: bool, own: bool, entering: str, leaving: str
) -> None:
    settings.LIVE_TRADING, real.live = site, own
    for said, is_leaving in ((entering, False), (leaving, True)):
        if said:
            with pytest.raises(Refused, match=said):
                keys.live_allowed(real, leaving=is_leaving)
        else:
            keys.live_allowed(real, leaving=is_leaving)


def test_the_site_is_on_paper_unless_told(settings: Settings) -> None:
    assert settings.LIVE_TRADING is False


@pytest.mark.parametrize(
    ("address", "real_money"),
    [
        ("", True),
        ("https://api.echo.example", True),
        ("https://sandbox.echo.example", False),
        ("https://sandbox.echo.example/", False),
        ("https://sandbox.echo.example.evil.example", True),
        ("https://sandbox.echo.example/v2", True),
        ("http://127.0.0.1:8080", False),
        ("http://127.9.9.9", False),
        ("http://[::1]:1", False),
        ("http://localhost:1", False),
        ("http://localhost.echo.example", True),
        ("http://127.0.0.1.echo.example", True),
        ("http://x.localhost", True),
        ("http://10.0.0.1", True),
        ("http://0.0.0.0", True),
        ("http://[", True),
        ("https://api.echo.example/?127.0.0.1", True),
        ("127.0.0.1", True),
    ],
)
@pytest.mark.usefixtures("venue")
def test_only_this_machine_and_named_sandboxes_are_no_real_money(
    account: Account, address: str, real_money: bool
) -> None:
    account.broker, account.credential = "echo", Credential(address=address)
    assert switches.is_real(account) is real_money


def test_paper_is_never_real(account: Account) -> None:
    assert not switches.is_real(account)
    keys.live_allowed(account, leaving=False)
    keys.live_allowed(account, leaving=True)


def test_going_live_takes_the_typed_name_and_asks_the_venue(real: Account, venue: Venue) -> None:
    asked = len(venue.asked)
    account = connecting.go_live(real.pk, typed_name=real.name, now=NOW, actor="boss")
    assert Account.objects.get(pk=account.pk).live
    assert len(venue.asked) == asked + 1
    assert Event.objects.get(kind="account.live_enabled").actor == "boss"


@pytest.mark.parametrize("typed", ["", "at", "AT MAIN", "at main ", "at\xa0main"])
def test_another_name_does_not_go_live(real: Account, typed: str) -> None:
    with pytest.raises(Refused, match="is not the account's name"):
        connecting.go_live(real.pk, typed_name=typed, now=NOW, actor="boss")
    assert not Account.objects.get(pk=real.pk).live


def _withdraws(venue: Venue) -> None:
    venue.rights["withdraw"] = True


def _rejects(venue: Venue) -> None:
    venue.status = 401


def _does_not_trade(venue: Venue) -> None:
    venue.rights["trade"] = False


def _is_away(venue: Venue) -> None:
    venue.status = 503


@pytest.mark.parametrize("trouble", [_withdraws, _rejects, _does_not_trade, _is_away])
def test_a_key_that_cannot_be_vouched_for_does_not_go_live(
    real: Account, venue: Venue, trouble: Callable[[Venue], None]
) -> None:
    trouble(venue)
    with pytest.raises(Refused):
        connecting.go_live(real.pk, typed_name=real.name, now=NOW, actor="boss")
    assert not Account.objects.get(pk=real.pk).live
    assert not Event.objects.filter(kind="account.live_enabled").exists()


def test_paper_and_sandboxes_have_no_switch(owner: User, venue: Venue, account: Account) -> None:
    with pytest.raises(Refused, match="moves no real money"):
        connecting.go_live(account.pk, typed_name=account.name, now=NOW, actor="boss")
    sandbox = connected(owner, stored(owner, venue.url))
    with pytest.raises(Refused, match="trades in a sandbox"):
        connecting.go_live(sandbox.pk, typed_name=sandbox.name, now=NOW, actor="boss")


def test_switching_off_is_never_refused_and_says_what_it_leaves(
    real: Account, instrument: Instrument, key_file: Any
) -> None:
    Account.objects.filter(pk=real.pk).update(live=True, instant=False)
    Account.objects.filter(pk=real.pk).update(broker="paper", live=False, instant=True)
    factories.opened(Account.objects.get(pk=real.pk), instrument, factories.stop("90"))
    Account.objects.filter(pk=real.pk).update(broker="echo", live=True, instant=False)
    key_file.unlink()
    assert connecting.leave_live(real.pk, now=NOW, actor="boss") == 1
    assert not Account.objects.get(pk=real.pk).live
    assert Event.objects.get(kind="account.live_disabled").payload["open_positions"] == 1
    assert connecting.leave_live(real.pk, now=NOW, actor="boss") == 1, "twice does no harm"


def test_a_live_account_stays_where_it_is(real: Account, owner: User, venue: Venue) -> None:
    connecting.go_live(real.pk, typed_name=real.name, now=NOW, actor="boss")
    with pytest.raises(Refused, match="trades real money; switch that off first"):
        connecting.connect(real.pk, Route(broker="paper"))
    with pytest.raises(Refused, match="would be sent elsewhere"):
        keys.replace(
            Credential.objects.get(), keys.Secrets(key="another-key-1", secret="x"), now=NOW, address=venue.url
        )
    assert Account.objects.get(pk=real.pk).broker == "echo"


def test_an_instant_account_cannot_be_live(account: Account) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Account.objects.filter(pk=account.pk).update(live=True)


def test_options_are_checked_by_the_broker_and_only_the_unusual_ones_are_kept(owner: User, venue: Venue) -> None:
    row = stored(owner, venue.url)
    account = connected(owner, row, speed=9, loud=False)
    assert (account.broker_options, account.instant) == ({"speed": 9}, False)
    for options, said in (
        ({"speed": 10}, "from 1 to 9"),
        ({"loud": 1}, "true or false"),
        ({"x": 1}, "is not an option of echo"),
        ({"place": "abroad"}, "is not an option of echo"),
    ):
        with pytest.raises(Refused, match=said):
            connecting.connect(account.pk, Route(broker="echo", credential_id=row.pk, options=options))
    assert Account.objects.get(pk=account.pk).broker_options == {"speed": 9}


@pytest.mark.parametrize(
    ("route", "said"),
    [
        pytest.param(Route(broker="echo"), "asks for a key", id="no credential"),
        pytest.param(Route(broker="nowhere"), "is no broker here", id="no such broker"),
        pytest.param(Route(broker="echo", credential_id=10**9), "no credential of the account's owner", id="none"),
    ],
)
def test_a_route_that_leads_nowhere_is_refused(account: Account, venue: Venue, route: Route, said: str) -> None:
    with pytest.raises(Refused, match=said):
        connecting.connect(account.pk, route)
    assert Account.objects.get(pk=account.pk).broker == "paper"


def test_a_key_of_another_person_or_broker_or_with_withdrawal_is_refused(owner: User, venue: Venue) -> None:
    theirs = stored(factories.make_user("other"), venue.url)
    mine = stored(owner, venue.url)
    account = factories.make_account(owner)
    with pytest.raises(Refused, match="no credential of the account's owner"):
        connecting.connect(account.pk, Route(broker="echo", credential_id=theirs.pk))
    with pytest.raises(Refused, match="is for echo, not for paper"):
        connecting.connect(account.pk, Route(broker="paper", credential_id=mine.pk))
    Credential.objects.filter(pk=mine.pk).update(may_withdraw=True)
    with pytest.raises(Refused, match="may withdraw money"):
        connecting.connect(account.pk, Route(broker="echo", credential_id=mine.pk))


def test_an_account_with_open_positions_stays_where_it_is(owner: User, venue: Venue, instrument: Instrument) -> None:
    row = stored(owner, venue.url)
    account = factories.make_account(owner)
    factories.opened(account, instrument)
    with pytest.raises(Refused, match="1 open positions and 0 working orders"):
        connecting.connect(account.pk, Route(broker="echo", credential_id=row.pk))


def test_paper_with_options_goes_through_orders_and_without_is_instant(account: Account) -> None:
    slow = connecting.connect(account.pk, Route(broker="paper", options={"latency_ms": 250}))
    assert (slow.instant, slow.broker_options) == (False, {"latency_ms": 250})
    plain = connecting.connect(account.pk, Route(broker="paper", options={"latency_ms": 0}), actor="root")
    assert (plain.instant, plain.broker_options) == (True, {})
    last = Event.objects.filter(kind="account.connected").order_by("-id")[0]
    assert (last.actor, last.payload["instant"]) == ("root", True)
