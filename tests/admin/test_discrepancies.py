"""The discrepancy inbox: who sees and resolves what, and that each page says what it will write."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.access.models import User
from apps.market.models import Instrument
from apps.trading.models import Account, Discrepancy, LedgerEntry, Position
from tests.admin.conftest import close, open_position

pytestmark = pytest.mark.django_db
Staff = Callable[..., tuple[User, Client]]
LIST = "admin:trading_discrepancy_changelist"


def make(account: Account, kind: str = "balance", subject: str = "USD", **more: Any) -> Discrepancy:
    values = {"ours": "10", "theirs": "15", "gap": "5", "facts": {}, **more}
    return Discrepancy.objects.create(account=account, kind=kind, subject=subject, **values)


def page(row: Discrepancy, deed: str) -> str:
    return reverse(f"admin:trading_discrepancy_{deed}", args=[row.pk])


def post(browser: Client, row: Discrepancy, deed: str, **values: str) -> Any:
    return browser.post(f"{page(row, deed)}?gap={row.gap}", {"reason": "as it is", **values})


def test_open_differences_are_counted_on_the_first_page(desk: Client, account: Account) -> None:
    assert "Discrepancies" in desk.get(reverse("admin:index")).content.decode()  # the sidebar
    assert "only leaves positions" not in desk.get(reverse("admin:index")).content.decode()
    make(account)
    assert "1 open" in desk.get(reverse("admin:index")).content.decode()


def test_the_list_links_to_what_can_be_done(desk: Client, account: Account) -> None:
    row = make(account)
    shown = desk.get(reverse(LIST), {"resolution__exact": "open"}).content.decode()
    for deed in ("adopt", "write_off", "ignore"):
        assert page(row, deed) in shown
    assert page(row, "undo") not in shown
    assert page(row, "adopt") in desk.get(reverse("admin:trading_discrepancy_change", args=[row.pk])).content.decode()


def test_a_page_says_what_will_be_written_before_it_is(desk: Client, account: Account) -> None:
    row = make(account)
    shown = desk.get(page(row, "adopt")).content.decode()
    assert "10 here, 15 at the venue" in shown
    assert "as money paid in or out" in shown
    assert not LedgerEntry.objects.filter(kind="adjust").exists()


def test_adopting_and_undoing_on_the_pages(desk: Client, account: Account) -> None:
    row = make(account)
    assert post(desk, row, "adopt").status_code == 302
    row.refresh_from_db()
    assert (row.resolution, row.actor, row.reason) == ("adopted", "root", "as it is")
    assert LedgerEntry.objects.get(kind="adjust").cash == 5
    assert post(desk, row, "undo").status_code == 302
    assert sum(line.cash for line in LedgerEntry.objects.filter(kind="adjust")) == 0


def test_a_position_is_adopted_with_the_price_and_stop_of_the_form(
    desk: Client, account: Account, btc: Instrument
) -> None:
    row = make(account, "position", "BTC-USD", ours="0", theirs="2", gap="2")
    refused = post(desk, row, "adopt", price="60000", paid="on")
    assert refused.status_code == 200
    assert "nothing is held without one" in refused.content.decode()
    assert post(desk, row, "adopt", price="60000", stop="59000", paid="on").status_code == 302
    lot = Position.objects.get()
    assert (lot.remaining, lot.entry_price, lot.legs.get().level) == (2, 60000, Decimal(59000))


def test_a_page_that_was_left_open_while_the_difference_changed_is_refused(desk: Client, account: Account) -> None:
    row = make(account)
    Discrepancy.objects.filter(pk=row.pk).update(theirs="16", gap="6")
    answer = post(desk, row, "adopt")
    assert answer.status_code == 200
    assert "has changed" in answer.content.decode()
    assert not LedgerEntry.objects.filter(kind="adjust").exists()


def test_a_reason_is_needed(desk: Client, account: Account) -> None:
    row = make(account)
    assert desk.post(page(row, "ignore"), {"reason": ""}).status_code == 200
    row.refresh_from_db()
    assert row.resolution == "open"


def test_who_may_only_look_resolves_nothing(staff: Staff, account: Account) -> None:
    row = make(account)
    user, browser = staff("viewer", "trading.view_discrepancy")
    Account.objects.filter(pk=account.pk).update(owner=user)
    assert browser.get(reverse(LIST)).status_code == 200
    assert post(browser, row, "adopt").status_code == 403
    _, other = staff("other", "trading.view_discrepancy", "trading.resolve")
    assert post(other, row, "adopt").status_code == 404  # somebody else's account
    assert str(row.pk) not in [cell.strip() for cell in other.get(reverse(LIST)).content.decode().split(">")]
    row.refresh_from_db()
    assert row.resolution == "open"


def test_nobody_writes_a_difference_by_hand(desk: Client, account: Account, btc: Instrument) -> None:
    row = make(account)
    close(open_position(account, btc))
    for address in (
        reverse("admin:trading_discrepancy_add"),
        reverse("admin:trading_discrepancy_delete", args=[row.pk]),
    ):
        assert desk.post(address, {"post": "yes"}).status_code == 403
    desk.post(reverse("admin:trading_discrepancy_change", args=[row.pk]), {"ours": "15", "_save": "Save"})
    row.refresh_from_db()
    assert row.ours == "10"
