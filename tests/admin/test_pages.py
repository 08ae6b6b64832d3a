"""Every page answers, with as many queries for 200 rows as for two."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.access import roles
from apps.access import services as access
from apps.access.models import Scope, User
from apps.journal import services as journal
from apps.journal.models import Event, Lease, Pulse
from apps.market.models import FeedStatus, Instrument, Quote
from apps.reporting.models import Channel, Delivery, Route
from apps.strategies.models import Signal, Strategy
from apps.trading.models import Account, Allocation, Exit, Fill, LedgerEntry, Position, RiskLimit
from apps.trading.services import accounts, monitoring
from apps.web import admin_site
from tests.admin.conftest import LEGS, close, open_position, price_at

pytestmark = pytest.mark.django_db
MOST = 15  # queries of a page


def names() -> Iterator[str]:
    for model in admin.site._registry:
        yield f"{model._meta.app_label}_{model._meta.model_name}"


def many(root: User, count: int) -> None:
    """Fill every table of the sidebar with some rows each, through the services where there are any."""
    now = datetime.now(UTC)
    for index in range(count):
        number = Instrument.objects.count()
        one = Decimal("0.01")
        instrument = Instrument.objects.create(
            symbol=f"C{number}-USD",
            base_currency=f"C{number}",
            quote_currency="USD",
            tick_size=one,
            lot_size=one,
            min_quantity=one,
        )
        price_at(instrument, "100")
        account = accounts.open_account(owner_id=root.pk, name=f"a{number}", deposit=Decimal(100_000), now=now)
        position = open_position(account, instrument, quantity="1")
        if index % 2:
            close(position)
        strategy = Strategy.objects.create(name=f"s{number}", plugin="sma_cross")
        Allocation.objects.create(strategy=strategy, account=account, notional=Decimal(100))
        Signal.objects.create(strategy=strategy, instrument=instrument, bar_at=now, stance=1, price=one, made_at=now)
        access.create_token(user=User.objects.create_user(f"u{number}"), scope=Scope.READ, now=now)
        FeedStatus.objects.create(name=f"coinbase:{number}", state="live", since=now)
        Lease.objects.create(name=f"listener:{number}", holder="host:1", renewed_at=now)
        Pulse.objects.create(name=f"worker:{number}", host="h", pid=number, started_at=now, beat_at=now)


def queries_of(desk: Client, address: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as seen:
        answer = desk.get(address)
        assert answer.status_code == 200, address
        assert answer.content
    return len(seen)


def test_every_list_takes_as_many_queries_for_many_rows_as_for_few(desk: Client, root: User) -> None:
    many(root, 4)
    addresses = [reverse("admin:index"), *(reverse(f"admin:{name}_changelist") for name in names())]
    few = {address: queries_of(desk, address) for address in addresses}
    many(root, 50)
    counts = {address: queries_of(desk, address) for address in addresses}
    assert {address: (few[address], count) for address, count in counts.items() if count > few[address]} == {}
    assert {address: count for address, count in counts.items() if count > MOST} == {}


def test_a_list_of_200_rows_takes_no_more_queries(desk: Client, root: User) -> None:
    many(root, 4)
    address = reverse("admin:trading_position_changelist") + "?all="
    few = queries_of(desk, address)
    account, instrument = Account.objects.first(), Instrument.objects.first()
    assert account is not None
    assert instrument is not None
    for _ in range(190):
        price_at(instrument, "100")  # a slow machine takes longer over this than a price stays fresh
        open_position(account, instrument, quantity="0.1")
    assert Position.objects.count() > 190
    assert queries_of(desk, address) <= min(few, MOST)


def test_every_row_has_a_page(desk: Client, root: User) -> None:
    many(root, 2)
    for model in (User, Instrument, Quote, Account, Position, Exit, Fill, LedgerEntry, Event, Lease, Pulse):
        row = model.objects.first()
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[row.pk])
        assert queries_of(desk, address) <= MOST, address
    for model in (FeedStatus, Strategy, Signal):
        row = model.objects.first()
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[row.pk])
        assert queries_of(desk, address) <= MOST + 5, address


def test_every_form_that_adds_a_row_opens(desk: Client) -> None:
    for name in names():
        answer = desk.get(reverse(f"admin:{name}_add"))
        assert answer.status_code in (200, 403), name


def test_lists_can_be_searched_and_filtered_by_anything(desk: Client, root: User) -> None:
    many(root, 2)
    for name in names():
        for query in ("q=12", "q=no-such", "q=%27%22", "q=%00", "o=1.-2", "account=x", "account=%EF%BC%91", "about=x"):
            answer = desk.get(f"{reverse(f'admin:{name}_changelist')}?{query}")
            assert answer.status_code in (200, 302), (name, query)


def test_the_sidebar_leads_only_to_pages_the_person_may_see(desk: Client, staff) -> None:
    page = desk.get(reverse("admin:index")).content.decode()
    for models in admin_site.SECTIONS.values():
        for _, _, app, model in models:
            assert reverse(f"admin:{app}_{model}_changelist") in page
    _, browser = staff("clerk", "market.view_instrument")
    page = browser.get(reverse("admin:index")).content.decode()
    assert reverse("admin:market_instrument_changelist") in page
    assert reverse("admin:trading_position_changelist") not in page.partition("desk")[0]


def test_nothing_is_asked_of_another_site(desk: Client, root: User) -> None:
    many(root, 1)
    for address in (reverse("admin:index"), reverse("admin:trading_position_changelist"), reverse("admin:login")):
        page = desk.get(address).content.decode()
        for word in ('src="http', 'src="//', 'href="http', "@import", "url(http"):
            assert word not in page, (address, word)


def test_the_first_page_shows_trading_at_a_glance(desk: Client, account: Account, btc: Instrument) -> None:
    open_position(account, btc, *LEGS)
    close(open_position(account, btc))
    now = datetime.now(UTC)
    FeedStatus.objects.create(name="coinbase:0", state="stale", reason="no heartbeat", since=now)
    Pulse.objects.create(name="sweeper", host="h", pid=1, started_at=now, beat_at=now - timedelta(minutes=5))
    answer = desk.get(reverse("admin:index"))
    page = answer.content.decode()
    counts, (worth,) = answer.context["counts"], answer.context["worths"]
    assert (counts.open, counts.closed_today, counts.exits, counts.waiting) == (1, 1, 1, 0)
    assert worth.equity == 10_000_000 + worth.since_deposits
    assert worth.today == worth.since_deposits, "the account was opened today"
    for word in ("Every exit was executed", "Every limit holds", "P&amp;L today", "Stop trading"):
        assert word in page, word
    for word in ("stale", "no heartbeat", "silent for 5"):
        assert word in page.replace("\xa0", " "), word


def test_the_first_page_says_what_needs_a_person(desk: Client, root: User, account: Account, btc: Instrument) -> None:
    open_position(account, btc)
    RiskLimit.objects.create(rule="max_gross_exposure", parameters={"amount": 10_000.0}, action="refuse")
    monitoring.monitor(datetime.now(UTC))
    channel = Channel.objects.create(
        name="mail", kind="email", owner=root, sealed=b"", failures=2, last_error="no route"
    )
    route = Route.objects.create(name="all", channel=channel, person=root)
    at = datetime.now(UTC)
    values = {"route": route, "channel": channel, "kind": "exit.failed", "subject": "exit:1", "severity": "critical"}
    for number, status in enumerate(("dead", "dead", "sent")):
        Delivery.objects.create(**values, event_id=number, title="x", happened_at=at, due_at=at, status=status)
    page = desk.get(reverse("admin:index")).content.decode()
    for word in ("2 not delivered", "by mail: no route", "max gross exposure", "account"):
        assert word in page, word
    root.is_superuser = False
    root.save()
    root.groups.add(Group.objects.get(name=roles.ADMINISTRATOR))
    assert queries_of(desk, reverse("admin:index")) <= MOST, "rights cost two queries more"


def test_the_journal_is_told_in_full(desk: Client, account: Account) -> None:
    number = journal.record("account.noted", "account:1", account_id=account.pk, payload={"why": "<b>because</b>"})
    page = desk.get(reverse("admin:journal_event_change", args=[number])).content.decode()
    assert "account.noted" in page
    assert "&lt;b&gt;because" in page
    assert "<b>because" not in page
