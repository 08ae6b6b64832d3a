"""The pages of risk in the admin: limits on forms, decisions that explain themselves, violations, gauges, orders."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.access.models import Change, User
from apps.domain.errors import Refused
from apps.domain.orders import OrderKind
from apps.domain.restrictions import Scope
from apps.domain.risk.words import Action
from apps.domain.sides import Side
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.strategies.models import Signal, Strategy
from apps.trading.models import Account, Decision, Order, RiskLimit, RiskProfile, Violation
from apps.trading.services import accounts, entering, monitoring, positions
from tests.admin.conftest import LEGS, close, open_position

pytestmark = pytest.mark.django_db
Staff = Callable[..., tuple[User, Client]]
MOST = 15
LIMITS, ADD = "/admin/trading/risklimit/", "/admin/trading/risklimit/add/"


def now() -> datetime:
    return datetime.now(UTC)


def page(browser: Client, address: str) -> str:
    answer = browser.get(address)
    assert answer.status_code == 200, (address, answer.status_code)
    return str(answer.content.decode())


def counted(browser: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as seen:
        page(browser, address)
    return len(seen)


def given(rule: str, where: str = "site:0", **parameters: Any) -> dict[str, Any]:
    fields = {f"parameter_{name}": value for name, value in parameters.items()}
    return {
        "rule": rule,
        "where": where,
        "profile": "",
        "action": "refuse",
        "enabled": "on",
        "note": "",
        "change_reason": "",
        **fields,
    }


def limit(rule: str, scope: Scope = Scope.SITE, target: int = 0, **more: Any) -> RiskLimit:
    return RiskLimit.objects.create(rule=rule, scope=scope, target=target, **more)


@pytest.fixture
def refused(account: Account, btc: Instrument) -> Decision:
    """A wish for 0.5 bitcoin that one of two limits refused."""
    limit("max_order_value", parameters={"amount": 1000.0})
    limit("max_open_positions", parameters={"lots": 5})
    with pytest.raises(Refused):
        open_position(account, btc)
    return Decision.objects.get(approved=False)


@pytest.fixture
def order(account: Account, btc: Instrument) -> Order:
    """A limit order to buy, far below the market."""
    wish = positions.Opening(
        account_id=account.pk, instrument_id=btc.pk, side=Side.LONG, quantity=Decimal("0.5"), legs=(), actor="root"
    )
    entry = entering.Entry(opening=wish, kind=OrderKind.LIMIT, limit_price=Decimal("60000"))
    made = entering.enter(entry, now=now()).order
    assert made is not None
    return made


@pytest.fixture
def broken(account: Account, btc: Instrument) -> Violation:
    """Gross exposure of 30,900 where 10,000 are allowed, and what the limit does about it."""
    open_position(account, btc)
    limit("max_gross_exposure", parameters={"rate": 0.0, "amount": 10_000.0}, action=Action.REDUCE)
    monitoring.monitor(now())
    return Violation.objects.get()


# --- limits ---------------------------------------------------------------------------------------------------------
def test_a_limit_is_made_on_a_form_of_its_rule_and_the_journal_says_by_whom(desk: Client, account: Account) -> None:
    form = page(desk, f"{ADD}?rule=max_gross_exposure")
    for words in ('name="parameter_rate"', 'name="parameter_amount"', f"account {account}", "the whole site"):
        assert words in form, words
    answer = desk.post(ADD, given("max_gross_exposure", f"account:{account.pk}", rate="0.5", amount="0"))
    assert answer.status_code == 302, answer.content.decode()
    row = RiskLimit.objects.get()
    assert (row.scope, row.target, row.parameters) == (Scope.ACCOUNT, account.pk, {"rate": 0.5})
    (event,) = Event.objects.filter(kind="risk.limit_added")
    assert (event.actor, event.payload["parameters"]) == ("root", {"rate": 0.5})
    change = f"{LIMITS}{row.pk}/change/"
    assert 'value="0.5"' in page(desk, change)
    wish = given("max_gross_exposure", f"account:{account.pk}", rate="0.4", amount="0")
    assert "This field is required" in desk.post(change, wish).content.decode(), "a change says why"
    desk.post(change, wish | {"change_reason": "a bad week"})
    row.refresh_from_db()
    assert row.parameters == {"rate": 0.4}
    assert f"account {account}" in page(desk, LIMITS)
    past = page(desk, f"{LIMITS}{row.pk}/history/")
    for words in ("root", "admin", "a bad week", "rate 0.5", "rate 0.4", "changed", "added"):
        assert words in past, words
    desk.post(f"{LIMITS}{row.pk}/delete/", {"post": "yes", "change_reason": "no use"})
    assert not RiskLimit.objects.exists()
    told = Change.objects.filter(subject=f"trading_risklimit:{row.pk}").values_list("action", "actor", "reason")
    assert list(told) == [("deleted", "root", "no use"), ("changed", "root", "a bad week"), ("added", "root", "")]
    assert "no use" in page(desk, "/admin/access/change/?what=trading_risklimit")
    assert [event.kind for event in Event.objects.filter(kind__startswith="risk.limit").order_by("id")] == [
        "risk.limit_added",
        "risk.limit_changed",
        "risk.limit_deleted",
    ]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (given("max_gross_exposure", rate="0", amount="0"), "a rate or an amount must be above 0"),
        (given("max_drawdown", rate="7"), "less than or equal to 1"),
        (given("max_drawdown", "account:999999", rate="0.2"), "not one of the available choices"),
        (given("no_such_rule"), "not one of the available choices"),
        (given("max_drawdown", rate="0.2", profile="x"), "max_drawdown"),
    ],
    ids=["the rule refuses", "out of bounds", "no such place", "no such rule", "no such parameter is ignored"],
)
def test_a_wrong_limit_comes_back_with_what_is_wrong(desk: Client, form: dict[str, Any], words: str) -> None:
    answer = desk.post(ADD, form)
    assert answer.status_code in (200, 302)
    if answer.status_code == 200:
        assert words in answer.content.decode()
        assert not RiskLimit.objects.exists()
    else:
        assert RiskLimit.objects.get().parameters == {}


def test_a_second_limit_alike_is_refused_in_words(desk: Client) -> None:
    limit("max_drawdown")
    answer = desk.post(ADD, given("max_drawdown", rate="0.3"))
    assert "There is a limit of this rule for this place" in answer.content.decode()


def test_a_limit_whose_rule_is_gone_can_be_seen_and_deleted(desk: Client) -> None:
    row = limit("rule_of_a_package_that_is_gone")
    assert "rule not installed" in page(desk, LIMITS)
    page(desk, f"{LIMITS}{row.pk}/change/")
    assert desk.post(f"{LIMITS}{row.pk}/delete/", {"post": "yes"}).status_code == 302


def test_a_profile_shows_its_limits_and_is_chosen_on_the_account(desk: Client, account: Account) -> None:
    profile = RiskProfile.objects.create(name="Careful")
    row = limit("max_drawdown", profile=profile)
    address = reverse("admin:trading_riskprofile_change", args=[profile.pk])
    shown = page(desk, address)
    assert f"/admin/trading/risklimit/{row.pk}/change/" in shown
    assert f"{ADD}?profile={profile.pk}" in shown
    assert "Careful" in page(desk, reverse("admin:trading_account_change", args=[account.pk]))
    formset = {
        "limits-TOTAL_FORMS": "1",
        "limits-INITIAL_FORMS": "1",
        "limits-0-id": row.pk,
        "limits-0-profile": profile.pk,
    }
    assert (
        desk.post(address, {"name": "Careful", "description": "", "change_reason": "x", **formset}).status_code == 302
    )
    row.refresh_from_db()
    assert not row.enabled, "the box was not ticked"
    assert Event.objects.filter(kind="risk.limit_changed", subject=f"risklimit:{row.pk}").exists()


# --- why and why not ------------------------------------------------------------------------------------------------
def test_a_refusal_says_what_every_limit_said(desk: Client, refused: Decision) -> None:
    shown = page(desk, reverse("admin:trading_decision_change", args=[refused.pk]))
    for words in ("refused", "max order value", "max open positions", "max_order_value", "Why not", "1000", "Decision"):
        assert words in shown, words
    assert shown.index("max order value") < shown.index("max open positions"), "refusals first"
    assert "refused" in page(desk, reverse("admin:trading_decision_changelist"))


def test_position_exit_order_and_signal_lead_to_the_decision(
    desk: Client, account: Account, btc: Instrument, order: Order
) -> None:
    lot = open_position(account, btc, *LEGS)
    decision = Decision.objects.get(position=lot)
    link = reverse("admin:trading_decision_change", args=[decision.pk])
    close(lot)
    assert link in page(desk, reverse("admin:trading_position_change", args=[lot.pk]))
    left = lot.exits.get().pk
    assert link in page(desk, reverse("admin:trading_exit_change", args=[left]))
    page(desk, f"{reverse('admin:trading_order_changelist')}?exit__id__exact={left}")
    assert order.decision is not None
    other = reverse("admin:trading_decision_change", args=[order.decision.pk])
    assert other in page(desk, reverse("admin:trading_order_change", args=[order.pk]))
    assert reverse("admin:trading_order_change", args=[order.pk]) in page(desk, other)
    strategy = Strategy.objects.create(name="s", plugin="momentum")
    signal = Signal.objects.create(
        strategy=strategy, instrument=btc, bar_at=now(), stance=1, price=Decimal(1), made_at=now()
    )
    listed = f"{reverse('admin:trading_decision_changelist')}?signal__id__exact={signal.pk}"
    assert listed in page(desk, reverse("admin:strategies_signal_change", args=[signal.pk]))
    page(desk, listed)


# --- orders ---------------------------------------------------------------------------------------------------------
def test_an_order_tells_its_life_and_is_changed_and_taken_back(desk: Client, order: Order) -> None:
    address = reverse("admin:trading_order_change", args=[order.pk])
    shown = page(desk, address)
    for words in ("Stored, not sent yet", order.client_id, "limit 60000", "Cancel …", "Change …"):
        assert words in shown, words
    amend = reverse("admin:trading_order_amend", args=[order.pk])
    assert 'name="limit_price"' in page(desk, amend)
    assert 'name="stop_price"' not in page(desk, amend)
    wrong = desk.post(amend, {"quantity": "0.5", "limit_price": "60000.001"})
    assert "must be greater than 0 and on the grid" in wrong.content.decode()
    assert desk.post(amend, {"quantity": "0.5", "limit_price": "59000"}).status_code == 302
    order.refresh_from_db()
    assert order.limit_price == 59000
    cancel = reverse("admin:trading_order_cancel", args=[order.pk])
    page(desk, cancel)
    assert desk.post(cancel, {"reason": "not today"}).status_code == 302
    order.refresh_from_db()
    assert (order.status, order.why) == ("cancelled", "not today")
    shown = page(desk, address)
    assert "not today" in shown
    assert "Cancel …" not in shown
    again = desk.post(cancel, {"reason": "again"})
    assert again.status_code == 200, "a refusal is told on the page"


def test_who_may_only_look_cannot_act(
    staff: Staff, root: User, btc: Instrument, account: Account, order: Order
) -> None:
    person, browser = staff("looker", "trading.view_order")
    account.owner = person
    account.save()
    assert "Cancel …" not in page(browser, reverse("admin:trading_order_change", args=[order.pk]))
    for name in ("cancel", "amend"):
        assert browser.post(reverse(f"admin:trading_order_{name}", args=[order.pk]), {}).status_code == 403
    address = reverse("admin:trading_order_change", args=[order.pk])
    assert browser.post(address, {"status": "filled"}).status_code == 403


# --- violations and gauges ------------------------------------------------------------------------------------------
def test_a_violation_says_by_how_much_and_what_was_done(desk: Client, broken: Violation) -> None:
    shown = page(desk, reverse("admin:trading_violation_change", args=[broken.pk]))
    for words in ("gross exposure is 30900.15", "10000", "reduce", "stands"):
        assert words in shown, words
    assert "stands" in page(desk, f"{reverse('admin:trading_violation_changelist')}?state=open")
    assert "gross exposure" not in page(desk, f"{reverse('admin:trading_violation_changelist')}?state=ended")


def test_the_gauges_show_number_words_and_a_bar(desk: Client, account: Account, broken: Violation) -> None:
    limit("max_open_positions", parameters={"lots": 4})
    limit("price_band")
    for minute in range(5):
        monitoring.monitor(now() - timedelta(minutes=minute))
    shown = page(desk, f"/gauges?account={account.pk}")
    for words in ("309.00 %", "broken", "25.00 %", "holds", "Judged with each entry alone", "price band", "stands"):
        assert words in shown, words
    assert shown.count('<figure class="curves">') == 3
    assert "There is no account" not in shown
    for odd in ("?account=x", "?account=999999", "?span=year", "?account=٣"):
        assert desk.get(f"/gauges{odd}").status_code == 200


def test_each_person_sees_their_own(
    staff: Staff, desk: Client, order: Order, broken: Violation, refused: Decision
) -> None:
    rights = ("decision", "order", "violation", "risklimit", "riskprofile")
    person, browser = staff("other", *(f"trading.view_{name}" for name in rights))
    mine = limit("max_drawdown", Scope.ACCOUNT, refused.account_id)
    for name, row in (("decision", refused), ("order", order), ("violation", broken), ("risklimit", mine)):
        address = reverse(f"admin:trading_{name}_change", args=[row.pk])
        assert browser.get(address).status_code in (302, 404), name
        assert desk.get(address).status_code == 200, name
        assert f"/{row.pk}/change/" not in page(browser, reverse(f"admin:trading_{name}_changelist"))
    assert "There is no account yet" in page(browser, f"/gauges?account={refused.account_id}")
    _, stranger = staff("clerk")
    assert stranger.get("/gauges").status_code == 403
    accounts.open_account(owner_id=person.pk, name="hers", deposit=Decimal(10), now=now())
    assert "hers" in page(browser, "/gauges")
    assert "account paper" not in page(browser, LIMITS)


def test_no_page_takes_more_than_fifteen_queries_however_much_there_is(
    desk: Client, account: Account, btc: Instrument, order: Order, broken: Violation, refused: Decision
) -> None:
    def addresses() -> list[str]:
        rows = (refused, order, broken, RiskLimit.objects.first(), RiskProfile.objects.first())
        pages = [f"admin:trading_{row._meta.model_name}_change" for row in rows if row is not None]
        lists = [reverse(f"admin:trading_{row._meta.model_name}_changelist") for row in rows if row is not None]
        own = [reverse(name, args=[row.pk]) for name, row in zip(pages, rows, strict=True) if row is not None]
        return [*lists, *own, ADD, "/gauges", reverse("admin:trading_order_cancel", args=[order.pk])]

    profile = RiskProfile.objects.create(name="p0")
    first = Strategy.objects.create(name="first", plugin="momentum")
    for bundle in (None, profile):  # the names of places of one kind are one query
        limit("max_net_exposure", Scope.STRATEGY, first.pk, profile=bundle)
    account.risk_profile = profile
    account.save()
    few = {address: counted(desk, address) for address in addresses()}
    for number in range(12):
        strategy = Strategy.objects.create(name=f"s{number}", plugin="momentum")
        limit("max_open_positions", Scope.STRATEGY, strategy.pk, parameters={"lots": 1})
        limit("max_drawdown", Scope.STRATEGY, strategy.pk, profile=profile)
        monitoring.monitor(now() - timedelta(minutes=number))
        with pytest.raises(Refused):
            open_position(account, btc)
    many = {address: counted(desk, address) for address in few}
    assert {address: count for address, count in many.items() if count > MOST} == {}
    # A prepared statement is planned anew now and then, which is one query more.
    assert {address: (few[address], many[address]) for address in few if many[address] > few[address] + 1} == {}


def test_the_sidebar_leads_there(desk: Client, staff: Staff) -> None:
    shown = page(desk, reverse("admin:index"))
    for address in ("/gauges", "/statistics", LIMITS, "/admin/trading/decision/", "/admin/trading/order/"):
        assert f'href="{address}"' in shown, address
    _, clerk = staff("clerk", "trading.view_order")
    shown = page(clerk, reverse("admin:index"))
    assert 'href="/gauges"' not in shown
    assert 'href="/statistics"' not in shown
