"""Every page of the desk: it is there, asks the database a bounded number of times, and shows each person their own."""

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.web.desk.urls import urlpatterns
from tests import factories
from tests.web.desk.conftest import Desk, allow

MOST_QUERIES = 15
LISTS = (
    "reports",
    "overview",
    "positions",
    "instruments",
    "orders",
    "strategies",
    "risk",
    "exits",
    "backtests",
    "discrepancies",
    "system",
    "stop",
    "preferences",
)


def addresses(desk: Desk) -> dict[str, str]:
    """Return one address for each page that is looked at."""
    found = {name: reverse(f"desk:{name}") for name in LISTS}
    own = {
        "close": desk.position.pk,
        "levels": desk.position.pk,
        "instrument": desk.instrument.pk,
        "order": desk.order.pk,
        "decision": desk.decision.pk,
        "switch": desk.strategy.pk,
    }
    return found | {name: reverse(f"desk:{name}", args=[key]) for name, key in own.items()}


def test_every_page_is_looked_at_by_these_tests(desk: Desk) -> None:
    named = {pattern.name for pattern in urlpatterns}
    reports = {"make_report", "report", "report_anew", "report_table", "report_file"}  # see tests/reporting
    assert named == {*addresses(desk), "compare", "allow", *reports}, "a new page needs its row here"


def test_every_page_answers_in_few_queries(desk: Desk) -> None:
    factories.many(desk.account, desk.instrument, 30, factories.stop("90"), factories.trailing("5"))
    browser = desk.browser()
    for name, address in addresses(desk).items():
        browser.get(address)  # what is made once per process
        with CaptureQueriesContext(
            connection,
        ) as asked:
            answer = browser.get(address)
        assert answer.status_code == 200, (name, answer)
        statements = "\n".join(query["sql"][:140] for query in asked.captured_queries)
        assert len(asked) <= MOST_QUERIES, f"{name} takes {len(asked)} queries:\n{statements}"


def test_nothing_inline_that_a_strict_policy_refuses(desk: Desk) -> None:
    browser = desk.browser()
    for name, address in addresses(desk).items():
        page = browser.get(address).content.decode()
        assert not re.search(r"<style|<script(?![^>]*\bsrc=)|\sstyle=|\son[a-z]+=|javascript:", page), name
        assert not re.search(r"""(?:src|href)=["']https?://(?!www\.tradingview\.com)""", page), name


def test_who_is_not_signed_in_is_asked_to(desk: Desk) -> None:
    for name, address in addresses(desk).items():
        answer = Client().get(address)
        assert answer.status_code == 302, name
        assert "login" in answer["Location"], name


def test_the_front_page_leads_to_the_desk(desk: Desk) -> None:
    answer = desk.browser().get("/", follow=True)
    assert answer.redirect_chain[0][0] == reverse("desk:overview")
    assert "Overview" in answer.content.decode()


@pytest.mark.parametrize("name", ["order", "decision", "levels", "close"])
def test_what_belongs_to_others_is_not_there(desk: Desk, name: str) -> None:
    stranger = allow(desk.other, "trading.change_position")
    assert desk.browser(stranger).get(addresses(desk)[name]).status_code == 404


def test_lists_show_only_ones_own(desk: Desk) -> None:
    for name in ("overview", "positions", "orders", "exits", "risk", "discrepancies"):
        page = desk.browser(desk.other).get(reverse(f"desk:{name}")).content.decode()
        assert f"#{desk.position.pk} " not in page, name
        assert "nest egg" not in page, name
    rows = desk.browser(desk.other).get(reverse("desk:positions")).content.decode()
    assert f'data-held="{desk.elsewhere.pk}"' in rows


def test_a_position_shows_its_gain_and_the_room_to_its_levels(desk: Desk) -> None:
    factories.set_quote(desk.instrument, "108")
    page = desk.browser().get(reverse("desk:positions")).content.decode()
    assert "+8.00" in page
    assert "16.67 %" in page  # to the stop at 90: 18 of 108
    assert "11.11 %" in page  # to the target at 120: 12 of 108
    assert 'cx="60.00%"' in page  # 18 of the 30 between the two


def test_a_position_without_a_stop_says_so(desk: Desk) -> None:
    factories.opened(desk.account, desk.instrument)
    assert "no stop" in desk.browser().get(reverse("desk:positions")).content.decode()


def test_an_order_says_why(desk: Desk) -> None:
    page = desk.browser().get(reverse("desk:order", args=[desk.order.pk])).content.decode()
    assert "beyond the limit of 10 USD" in page
    assert "price * quantity" in page
    refused = desk.browser().get(reverse("desk:orders") + "?show=refused").content.decode()
    assert "too large" in refused


def test_backtests_are_for_those_who_may_look_at_them(desk: Desk) -> None:
    assert desk.browser(desk.viewer).get(reverse("desk:backtests")).status_code == 403
    assert reverse("desk:backtests") not in desk.browser(desk.viewer).get(reverse("desk:overview")).content.decode()


def test_a_comparison_takes_two_to_four_runs(desk: Desk) -> None:
    browser = desk.browser()
    address = reverse("desk:compare")
    assert browser.get(f"{address}?run=1")["Location"] == reverse("desk:backtests")
    assert browser.get(f"{address}?run=1&run=2")["Location"].endswith("compare/?runs=1,2")


def test_times_are_shown_in_the_zone_the_person_chose(desk: Desk) -> None:
    browser = desk.browser()
    address = reverse("desk:decision", args=[desk.decision.pk])
    wanted = {"zone": "Asia/Tokyo", "theme": "dark"}
    assert "+00:00" in browser.get(address).content.decode()
    assert browser.post(reverse("desk:preferences"), wanted).status_code == 302
    page = browser.get(address).content.decode()
    assert "Times in Asia/Tokyo" in page
    assert re.search(r'title="[^"]+\+09:00"', page)
    assert 'data-theme="dark"' in page
    chart = reverse("desk:instrument", args=[desk.instrument.pk])
    assert "Candles in Asia/Tokyo." in browser.get(chart, {"timeframe": "1h"}).content.decode()
    assert "Candles in UTC." in browser.get(chart, {"timeframe": "1d"}).content.decode()


def test_a_zone_that_does_not_exist_is_utc(desk: Desk) -> None:
    browser = desk.browser()
    browser.cookies["desk_zone"] = "../../etc/passwd"
    assert "Times in UTC" in browser.get(reverse("desk:overview")).content.decode()


def test_strategies_nobody_of_ones_own_follows_are_not_shown(desk: Desk) -> None:
    assert "calm" not in desk.browser(desk.viewer).get(reverse("desk:strategies")).content.decode()
    assert "▲ long" in desk.browser().get(reverse("desk:strategies")).content.decode()
