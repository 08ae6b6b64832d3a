"""Rows of money cannot be written by hand, and each person sees and does only what they may."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME as CHECKBOX
from django.db import connection
from django.test import Client
from django.urls import reverse

from apps.access.models import User
from apps.journal.models import Event, Lease, Pulse
from apps.market.models import FeedStatus, Instrument, Quote
from apps.strategies.models import Signal, Strategy
from apps.trading.models import Account, Exit, Fill, LedgerEntry, Position
from apps.trading.services import accounts
from tests.admin.conftest import LEGS, close, open_position

pytestmark = pytest.mark.django_db
READ_ONLY = (Position, Exit, Fill, LedgerEntry, Event, Quote, Signal, Lease, Pulse, FeedStatus)
Staff = Callable[..., tuple[User, Client]]


@pytest.fixture
def rows(account: Account, btc: Instrument) -> None:
    now = datetime.now(UTC)
    close(open_position(account, btc, *LEGS))
    open_position(account, btc, *LEGS)
    strategy = Strategy.objects.create(name="s", plugin="sma_cross")
    Signal.objects.create(strategy=strategy, instrument=btc, bar_at=now, stance=1, price=Decimal(1), made_at=now)
    Lease.objects.create(name="listener:0")
    Pulse.objects.create(name="sweeper", host="h", pid=1, started_at=now, beat_at=now)
    FeedStatus.objects.create(name="coinbase:0", state="live", since=now)


def everything() -> dict[str, list[Any]]:
    found = {}
    with connection.cursor() as cursor:
        for model in READ_ONLY:
            cursor.execute(f"SELECT * FROM {model._meta.db_table} ORDER BY 1")
            found[model._meta.db_table] = cursor.fetchall()
    return found


def attempts(model: type[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every way the admin knows to write a row, with a value for each of its fields."""
    name = f"{model._meta.app_label}_{model._meta.model_name}"
    row = model.objects.first()
    values = {field.name: "1" for field in model._meta.fields} | {"_save": "Save"}
    yield reverse(f"admin:{name}_change", args=[row.pk]), values
    yield reverse(f"admin:{name}_delete", args=[row.pk]), {"post": "yes"}
    if model is not Position:  # its own page opens one through the service
        yield reverse(f"admin:{name}_add"), values
    yield reverse(f"admin:{name}_changelist"), {"action": "delete_selected", CHECKBOX: [row.pk], "post": "yes"}
    listed = {"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "1", "form-0-id": row.pk, "_save": "Save"}
    yield reverse(f"admin:{name}_changelist"), listed | {f"form-0-{key}": value for key, value in values.items()}


@pytest.mark.usefixtures("rows")
def test_not_even_a_superuser_writes_a_row_that_only_services_write(desk: Client) -> None:
    before = everything()
    for model in READ_ONLY:
        for address, values in attempts(model):
            answer = desk.post(address, values)
            assert answer.status_code in (200, 302, 403), address
    assert everything() == before


@pytest.mark.usefixtures("rows")
def test_a_visitor_is_asked_to_sign_in_everywhere(desk: Client) -> None:
    position = Position.objects.first()
    for address in (
        reverse("admin:index"),
        reverse("admin:trading_position_changelist"),
        reverse("admin:trading_position_change", args=[position.pk]),
        reverse("admin:trading_position_close", args=[position.pk]),
        reverse("admin:trading_position_amend", args=[position.pk]),
        reverse("admin:trading_account_pay_in", args=[1]),
    ):
        for answer in (Client().get(address), Client().post(address, {"note": "x"})):
            assert answer.status_code == 302, address
            assert answer.url.startswith("/admin/login/")


def test_signing_in_leads_to_the_first_page(root: User) -> None:
    given = {"username": "root", "password": "long-enough-4-a-test"}
    browser = Client()
    door = browser.get(browser.get(reverse("admin:index")).url).url
    assert browser.post(door, given).url == reverse("admin:index")


@pytest.mark.usefixtures("rows")
def test_staff_without_a_permission_are_refused(staff: Staff) -> None:
    _, browser = staff("clerk")
    position = Position.objects.first()
    for name in ("position", "exit", "account", "fill", "ledgerentry"):
        assert browser.get(reverse(f"admin:trading_{name}_changelist")).status_code == 403
    assert browser.get(reverse("admin:trading_position_change", args=[position.pk])).status_code == 403
    assert browser.get(reverse("admin:trading_position_add")).status_code == 403


@pytest.mark.usefixtures("rows")
def test_staff_see_only_rows_of_their_own_accounts(staff: Staff, btc: Instrument, account: Account) -> None:
    verbs = [f"trading.view_{name}" for name in ("position", "exit", "account", "fill", "ledgerentry")]
    user, browser = staff("clerk", *verbs, "journal.view_event", "trading.change_position", "trading.change_account")
    theirs = Position.objects.order_by("-id").first()
    assert theirs is not None
    mine = accounts.open_account(owner_id=user.pk, name="mine", deposit=Decimal(1_000_000), now=datetime.now(UTC))
    own = open_position(mine, btc)
    for name, model in (("trading_position", Position), ("trading_account", Account), ("journal_event", Event)):
        page = browser.get(reverse(f"admin:{name}_changelist"))
        shown = {row.pk for row in page.context["cl"].result_list}
        key = "account_id" if model is not Account else "id"
        assert shown == set(model.objects.filter(**{key: mine.pk}).values_list("pk", flat=True)), name
    assert (
        "paper" not in browser.get(reverse("admin:trading_position_changelist")).content.decode().partition("form")[2]
    )
    for name in ("exit", "fill", "ledgerentry"):
        page = browser.get(reverse(f"admin:trading_{name}_changelist"))
        assert all("paper" not in str(row) for row in page.context["cl"].result_list)
    assert browser.get(reverse("admin:trading_position_change", args=[own.pk])).status_code == 200
    for verb, answer in (("change", 404), ("close", 404), ("amend", 404)):
        address = reverse(f"admin:trading_position_{verb}", args=[theirs.pk])
        assert browser.get(address).status_code == answer
        assert browser.post(address, {"note": "mine now", "stop_loss": "1"}).status_code == answer
    assert browser.post(reverse("admin:trading_account_pay_in", args=[account.pk]), {"amount": "5"}).status_code == 404
    chosen = {"action": "close_at_market", CHECKBOX: [theirs.pk], "confirm": "yes", "note": "x"}
    browser.post(reverse("admin:trading_position_changelist"), chosen)
    assert not Exit.objects.filter(position=theirs).exists()


@pytest.mark.usefixtures("rows")
def test_viewing_is_not_acting(staff: Staff, btc: Instrument) -> None:
    user, browser = staff("clerk", "trading.view_position")
    account = accounts.open_account(owner_id=user.pk, name="mine", deposit=Decimal(1_000_000), now=datetime.now(UTC))
    position = open_position(account, btc, *LEGS)
    assert (
        "Change the ways out"
        not in browser.get(reverse("admin:trading_position_change", args=[position.pk])).content.decode()
    )
    for verb in ("close", "amend"):
        address = reverse(f"admin:trading_position_{verb}", args=[position.pk])
        assert browser.post(address, {"note": "x", "stop_loss": ""}).status_code == 403
    chosen = {"action": "close_at_market", CHECKBOX: [position.pk], "confirm": "yes", "note": "x"}
    browser.post(reverse("admin:trading_position_changelist"), chosen)
    assert not Exit.objects.filter(position=position).exists()
    assert position.legs.filter(status="live").count() == 3


@pytest.mark.usefixtures("rows")
def test_a_page_of_another_site_cannot_act(root: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(root)
    position = Position.objects.filter(status="open").get()
    for verb in ("close", "amend"):
        address = reverse(f"admin:trading_position_{verb}", args=[position.pk])
        assert browser.post(address, {"note": "x"}).status_code == 403
    assert not Exit.objects.filter(position=position).exists()


@pytest.mark.parametrize("number", ["0", "x", "9" * 30, "-1", "\uff11"])
def test_a_position_that_is_none_is_not_found(desk: Client, number: str) -> None:
    assert desk.get(f"/admin/trading/position/{number}/change/").status_code == 404
