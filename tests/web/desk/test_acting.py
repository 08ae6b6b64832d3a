"""What can be done on the desk, and by whom: closing, amending, switching, stopping, allowing again."""

from decimal import Decimal

import pytest
from django.urls import reverse

from apps.domain.legs import ExitReason
from apps.journal.models import Event
from apps.strategies.models import Strategy
from apps.trading.models import Exit, Restriction
from tests import factories
from tests.web.desk.conftest import Desk, allow

STOP = {"where": "site:0", "state": "halted", "reason": "too wild", "sure": "on"}


def levels(desk: Desk, **changed: str) -> dict[str, str]:
    """Return the form of a position's levels as a browser sends it back, with changes."""
    names = ("stop_loss", "take_profit", "trailing_stop", "break_even", "time_stop")
    return dict.fromkeys(names, "") | {"stop_loss": "90", "take_profit": "120"} | changed


def test_closing_asks_and_then_writes_one_exit(desk: Desk) -> None:
    browser, address = desk.browser(), reverse("desk:close", args=[desk.position.pk])
    assert "cannot be undone" in browser.get(address).content.decode()
    assert not Exit.objects.filter(position=desk.position).exists(), "looking at the question does nothing"
    answer = browser.post(address, {"note": "enough", "next": reverse("desk:overview")})
    assert answer["Location"] == reverse("desk:overview")
    written = Exit.objects.get(position=desk.position)
    assert (written.reason, written.source, written.actor, written.note) == (
        ExitReason.MANUAL,
        "desk",
        "trader",
        "enough",
    )
    again = browser.post(address, follow=True).content.decode()
    assert "was being left already" in again
    assert Exit.objects.filter(position=desk.position).count() == 1


def test_only_levels_that_were_changed_are_amended(desk: Desk) -> None:
    address = reverse("desk:levels", args=[desk.position.pk])
    target = factories.leg_of(desk.position, "take_profit")
    assert desk.browser().post(address, levels(desk, stop_loss="92")).status_code == 302
    assert factories.leg_of(desk.position, "stop_loss").level == Decimal(92)
    assert factories.leg_of(desk.position, "take_profit") == target


def test_a_level_on_the_wrong_side_is_refused_beside_its_field(desk: Desk) -> None:
    address = reverse("desk:levels", args=[desk.position.pk])
    answer = desk.browser().post(address, levels(desk, stop_loss="150"))
    assert answer.status_code == 200
    assert "refused" in answer.content.decode()
    assert factories.leg_of(desk.position, "stop_loss").level == Decimal(90)


def test_a_drag_proposes_and_changes_nothing(desk: Desk) -> None:
    address = reverse("desk:levels", args=[desk.position.pk]) + "?stop_loss=91.5&take_profit=nonsense"
    page = desk.browser().get(address, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in page, "the desk's script gets the question alone"
    assert 'value="91.5"' in page
    assert ">90<" in page
    assert 'value="120"' in page
    assert factories.leg_of(desk.position, "stop_loss").level == Decimal(90)


@pytest.mark.parametrize(("name", "data"), [("close", {}), ("levels", {"stop_loss": "92"})])
def test_a_viewer_cannot_trade(desk: Desk, name: str, data: dict[str, str]) -> None:
    own = factories.opened(desk.viewer.accounts.get(), desk.instrument, factories.stop("90"))
    browser, address = desk.browser(desk.viewer), reverse(f"desk:{name}", args=[own.pk])
    assert browser.get(address).status_code == 403
    assert browser.post(address, data).status_code == 403
    assert not Exit.objects.filter(position=own).exists()
    assert factories.leg_of(own, "stop_loss").level == Decimal(90)
    page = browser.get(reverse("desk:positions")).content.decode()
    assert f'data-held="{own.pk}"' in page
    assert address not in page
    assert reverse("desk:stop") not in page


def test_a_form_without_its_token_does_nothing(desk: Desk) -> None:
    browser = desk.browser()
    browser.handler.enforce_csrf_checks = True
    assert browser.post(reverse("desk:close", args=[desk.position.pk])).status_code == 403
    assert browser.post(reverse("desk:stop"), STOP).status_code == 403
    assert not Exit.objects.filter(position=desk.position).exists()
    assert not Restriction.objects.exists()


def test_stopping_takes_both_steps(desk: Desk) -> None:
    browser, address = desk.browser(), reverse("desk:stop")
    page = browser.post(address, {**STOP, "sure": ""}).content.decode()
    assert "Nothing was stopped" in page
    assert not Restriction.objects.exists()
    assert browser.post(address, STOP).status_code == 302
    row = Restriction.objects.get()
    assert (row.scope, row.state, row.actor, row.reason) == ("site", "halted", "trader", "too wild")
    assert Event.objects.filter(kind="trading.state_changed", actor="trader").exists()
    assert "halted" in browser.get(reverse("desk:overview")).content.decode()


def test_stopping_can_close_everything_too(desk: Desk) -> None:
    desk.browser().post(reverse("desk:stop"), {**STOP, "where": f"account:{desk.account.pk}", "flatten": "on"})
    assert Exit.objects.filter(position=desk.position, reason=ExitReason.KILL_SWITCH).exists()
    assert not Exit.objects.filter(position=desk.elsewhere).exists()


def test_the_account_of_another_is_not_offered(desk: Desk) -> None:
    browser = desk.browser()
    answer = browser.post(reverse("desk:stop"), {**STOP, "where": f"account:{desk.foreign.pk}"})
    assert answer.status_code == 200
    assert not Restriction.objects.exists()


def test_only_who_has_the_right_allows_trading_again(desk: Desk) -> None:
    browser = desk.browser()
    browser.post(reverse("desk:stop"), STOP)
    address = reverse("desk:allow", args=[Restriction.objects.get().pk])
    browser.post(address, {"reason": "calm again"})
    assert Restriction.objects.exists()
    officer = allow(desk.trader, "trading.rearm")
    session = desk.browser(officer)
    answer = session.post(address, {"reason": "calm again"})
    assert answer.status_code == 302
    assert not Restriction.objects.exists()


def test_a_strategy_is_paused_and_goes_on_where_it_was(desk: Desk) -> None:
    browser, address = desk.browser(), reverse("desk:switch", args=[desk.strategy.pk])
    assert browser.post(address, {"wanted": "paused", "reason": "a look"}).status_code == 302
    assert Strategy.objects.get().stage == "paused"
    stale = browser.post(address, {"wanted": "paused", "reason": "again"})
    assert "meanwhile" in stale.content.decode()
    assert browser.post(address, {"wanted": "paper", "reason": "fine"}).status_code == 302
    assert Strategy.objects.get().stage == "paper"
    assert desk.browser(desk.viewer).get(address).status_code == 403


@pytest.mark.parametrize("where", ["https://elsewhere.example/", "//elsewhere.example", "/desk/\\elsewhere", "/admin/"])
def test_nobody_is_led_elsewhere(desk: Desk, where: str) -> None:
    answer = desk.browser().post(reverse("desk:close", args=[desk.position.pk]), {"next": where})
    assert answer["Location"] == reverse("desk:positions")
