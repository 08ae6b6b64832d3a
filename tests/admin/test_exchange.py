"""Settings as CSV: out, and in again through the forms that people fill; never formulas, never rows of money."""

import csv
import io
from collections.abc import Callable
from decimal import Decimal

import pytest
from django.contrib import admin
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client
from django.urls import NoReverseMatch, reverse

from apps.access.desk import sheets
from apps.access.models import Change, User
from apps.domain.errors import Refused
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.reporting.models import Channel, Route
from apps.strategies.models import Strategy
from apps.trading.models import Account, RiskLimit, RiskProfile

pytestmark = pytest.mark.django_db
Staff = Callable[..., tuple[User, Client]]
EXCHANGED = {"market_instrument", "strategies_strategy", "trading_risklimit", "reporting_route"}


def at(model: str, what: str) -> str:
    return reverse(f"admin:{model}_{what}_csv")


def exported(browser: Client, model: str) -> list[dict[str, str]]:
    answer = browser.get(at(model, "export"))
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/csv")
    assert "attachment" in answer["Content-Disposition"]
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


def sheet(*lines: dict[str, str]) -> str:
    """Return a sheet as a spreadsheet saves it: cells as they are."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]))
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def sent(browser: Client, model: str, text: str, **more: str) -> HttpResponse:
    file = SimpleUploadedFile("sheet.csv", text.encode())
    return browser.post(at(model, "import"), {"file": file, "reason": "from the other site", **more})


def confirmed(browser: Client, model: str, shown: HttpResponse) -> HttpResponse:
    """Press the button of the preview."""
    form = shown.context["form"]
    given = {"text": form["text"].value(), "seen": form["seen"].value(), "reason": form["reason"].value()}
    return browser.post(at(model, "import"), given)


def brought_in(browser: Client, model: str, text: str) -> None:
    shown = sent(browser, model, text)
    assert [row.problems for row in shown.context["rows"] if row.problems] == [], shown.content.decode()[:200]
    answer = confirmed(browser, model, shown)
    assert answer.status_code == 302, answer.content.decode()


def problems(answer: HttpResponse) -> str:
    return " ".join(words for row in answer.context["rows"] for words in row.problems)


# --- which tables ---------------------------------------------------------------------------------------------------
def test_only_settings_are_exchanged_and_money_never() -> None:
    assert reverse("admin:index"), "reading the addresses registers the pages"
    found = set()
    for model in admin.site._registry:
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        for what in ("export", "import"):
            try:
                at(name, what)
            except NoReverseMatch:
                continue
            found.add(name)
    assert found == EXCHANGED


# --- cells ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", "+1-1", "-2+3", "\t=1", " =HYPERLINK(1)", "|cmd", "'=1", "plain"])
def test_a_formula_is_disarmed_and_comes_back_as_it_was(text: str) -> None:
    written = sheets.write(["name"], [{"name": text}])
    (cells,) = csv.reader(io.StringIO(written.split("\r\n", 1)[1]))
    assert cells[0][0] not in "=+-@|\t " or text == "plain"
    assert sheets.read(written, ["name"]) == [{"name": text}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no heading"),
        ("nmae\nx\n", "no heading"),
        ("name,name\nx,y\n", "no heading"),
        ("name,note\nx\n", "another number of cells"),
        ('name\n"x\n', "no CSV"),
        ("name\n" + "x\n" * 501, "more than 500"),
        ("name\n" + "x" * 200_001, "more than 200000"),
    ],
    ids=["empty", "wrong heading", "twice", "short line", "open quote", "too many", "too long"],
)
def test_what_is_no_sheet_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        sheets.read(text, ["name", "note"])


def test_semicolons_part_cells_where_the_heading_says_so() -> None:
    assert sheets.read("\ufeffname;note\r\na;1,5\r\n\r\n", ["name", "note"]) == [{"name": "a", "note": "1,5"}]


# --- instruments ----------------------------------------------------------------------------------------------------
def test_an_instrument_goes_out_and_in_and_only_what_differs_changes(desk: Client, btc: Instrument) -> None:
    (row,) = exported(desk, "market_instrument")
    assert (row["symbol"], row["tick_size"], row["enabled"]) == ("BTC-USD", "0.01", "yes")
    eth = {**row, "symbol": "ETH-USD", "base_currency": "ETH"}
    text = sheet({**row, "tick_size": "0.05"}, eth)
    shown = sent(desk, "market_instrument", text)
    assert [(each.name, each.word) for each in shown.context["rows"]] == [("BTC-USD", "changed"), ("ETH-USD", "new")]
    assert shown.context["rows"][0].differences == [("tick_size", "0.01", "0.05")]
    assert Instrument.objects.get().tick_size == Decimal("0.01"), "nothing is stored yet"
    assert confirmed(desk, "market_instrument", shown).status_code == 302
    btc.refresh_from_db()
    assert btc.tick_size == Decimal("0.05")
    assert Instrument.objects.get(symbol="ETH-USD").base_currency == "ETH"
    row = Change.objects.filter(subject=f"market_instrument:{btc.pk}").first()
    assert row is not None
    assert (row.actor, row.reason, list(row.new)) == ("root", "from the other site", ["tick_size"])
    assert set(Event.objects.values_list("kind", flat=True)) >= {"instrument.changed", "instrument.added"}
    again = sent(desk, "market_instrument", text)
    assert {each.word for each in again.context["rows"]} == {"unchanged"}
    assert not again.context["may_go_on"]


def test_one_wrong_row_keeps_all_of_them_out(desk: Client, btc: Instrument) -> None:
    (row,) = exported(desk, "market_instrument")
    good, bad = {**row, "jump_band": "0.3"}, {**row, "symbol": "eth", "lot_size": "1e-3"}
    shown = sent(desk, "market_instrument", sheet(good, bad))
    assert "Use capitals" in problems(shown)
    assert "not a plain decimal" in problems(shown)
    assert confirmed(desk, "market_instrument", shown).status_code == 200
    btc.refresh_from_db()
    assert btc.jump_band == Decimal("0.2")
    twice = sent(desk, "market_instrument", sheet(good, good))
    assert "has this row twice" in problems(twice)
    fixed = sent(desk, "market_instrument", sheet({**row, "base_currency": "XBT"}))
    assert "base currency: stays BTC" in problems(fixed)


def test_columns_that_are_missing_stay_as_they_are(desk: Client, btc: Instrument) -> None:
    brought_in(desk, "market_instrument", "symbol,jump_band\nBTC-USD,0.4\n")
    fresh = Instrument.objects.get()
    assert (fresh.jump_band, fresh.tick_size, fresh.enabled) == (Decimal("0.4"), btc.tick_size, True)


def test_what_changed_after_the_preview_is_shown_again(desk: Client, btc: Instrument) -> None:
    shown = sent(desk, "market_instrument", "symbol,jump_band\nBTC-USD,0.4\n")
    Instrument.objects.update(jump_band=Decimal("0.1"))
    again = confirmed(desk, "market_instrument", shown)
    assert again.status_code == 200
    assert "somebody changed something meanwhile" in again.content.decode()
    assert Instrument.objects.get().jump_band == Decimal("0.1")
    assert confirmed(desk, "market_instrument", again).status_code == 302
    assert Instrument.objects.get().jump_band == Decimal("0.4")


def test_a_reason_and_a_file_are_asked_for(desk: Client) -> None:
    assert "This field is required" in desk.post(at("market_instrument", "import"), {}).content.decode()
    answer = sent(desk, "market_instrument", "symbol,tea\nx,y\n")
    assert "tea is no heading of such a sheet" in answer.content.decode()
    file = SimpleUploadedFile("sheet.csv", b"\xff\xfe\x00")
    answer = desk.post(at("market_instrument", "import"), {"file": file, "reason": "x"})
    assert "no text in UTF-8" in answer.content.decode()


# --- strategies, limits, routes -------------------------------------------------------------------------------------
def test_a_strategy_brings_instruments_by_symbol_and_parameters_that_its_plug_in_checks(
    desk: Client, btc: Instrument
) -> None:
    strategy = Strategy.objects.create(name="cross", plugin="sma_cross", parameters={"fast": 7})
    strategy.instruments.add(btc)
    (row,) = exported(desk, "strategies_strategy")
    assert row["instruments"] == "BTC-USD"
    assert '"fast": 7' in row["parameters"]
    changed = {**row, "parameters": row["parameters"].replace('"fast": 7', '"fast": 8')}
    brought_in(desk, "strategies_strategy", sheet(changed, {**row, "name": "second"}))
    strategy.refresh_from_db()
    assert strategy.parameters == {"fast": 8}
    second = Strategy.objects.get(name="second")
    assert (second.parameters, [one.symbol for one in second.instruments.all()]) == ({"fast": 7}, ["BTC-USD"])
    for bad, words in (
        ({"parameters": '{"fast": -5}'}, "fast"),
        ({"parameters": '{"tea": 1}'}, "no parameter of this plug-in"),
        ({"parameters": "fast=5"}, "no JSON object"),
        ({"instruments": "BTC-USD; NO-SUCH"}, "NO-SUCH"),
        ({"enabled": "perhaps"}, "neither yes nor no"),
        ({"plugin": "no_such"}, "no_such"),
    ):
        answer = sent(desk, "strategies_strategy", sheet({**row, **bad}))
        assert words in problems(answer), (bad, problems(answer))


def test_a_limit_names_its_place_and_profile(desk: Client, account: Account) -> None:
    profile = RiskProfile.objects.create(name="Careful")
    RiskLimit.objects.create(rule="max_drawdown", parameters={"rate": 0.2})
    RiskLimit.objects.create(rule="max_drawdown", scope="account", target=account.pk, profile=profile, note="=1+1")
    site, own = exported(desk, "trading_risklimit")
    assert (site["where"], own["where"], own["profile"]) == ("the whole site", f"account {account}", "Careful")
    assert own["note"] == "'=1+1"
    lower = {**site, "parameters": '{"rate": 0.1}'}
    new = {**site, "rule": "max_open_positions", "parameters": '{"lots": 3}'}
    brought_in(desk, "trading_risklimit", sheet(lower, own, new))
    assert RiskLimit.objects.get(rule="max_drawdown", scope="site").parameters == {"rate": 0.1}
    assert RiskLimit.objects.get(rule="max_open_positions").parameters == {"lots": 3}
    assert RiskLimit.objects.get(scope="account").note == "=1+1"
    assert "less than or equal to 1" in problems(
        sent(desk, "trading_risklimit", sheet({**site, "parameters": '{"rate": 7}'}))
    )


def test_a_route_names_its_channel_and_person(desk: Client, root: User) -> None:
    channel = Channel.objects.create(name="mail", kind="email", owner=root, sealed=b"")
    Route.objects.create(name="all", channel=channel, person=root)
    (row,) = exported(desk, "reporting_route")
    assert (row["channel"], row["person"]) == ("mail", "root")
    brought_in(desk, "reporting_route", sheet({**row, "kinds": "exit.*"}, {**row, "name": "more"}))
    assert Route.objects.get(name="all").kinds == "exit.*"
    assert Route.objects.get(name="more").channel == channel
    assert "no kind of event" in problems(sent(desk, "reporting_route", sheet({**row, "kinds": "Tea!"})))


# --- who ------------------------------------------------------------------------------------------------------------
def test_who_may_only_look_exports_and_imports_nothing(staff: Staff, btc: Instrument) -> None:
    _, browser = staff("clerk", "market.view_instrument")
    assert len(exported(browser, "market_instrument")) == 1
    assert sent(browser, "market_instrument", "symbol,jump_band\nBTC-USD,0.4\n").status_code == 403
    _, stranger = staff("stranger")
    assert stranger.get(at("market_instrument", "export")).status_code == 403


def test_who_may_change_but_not_add_is_told_so(staff: Staff, btc: Instrument) -> None:
    _, browser = staff("clerk", "market.view_instrument", "market.change_instrument")
    (row,) = exported(browser, "market_instrument")
    assert "may not add" in problems(sent(browser, "market_instrument", sheet({**row, "symbol": "ETH-USD"})))
    brought_in(browser, "market_instrument", "symbol,jump_band\nBTC-USD,0.4\n")


def test_a_sheet_reaches_nothing_that_its_person_may_not_see(staff: Staff, root: User, account: Account) -> None:
    RiskLimit.objects.create(rule="max_drawdown", scope="account", target=account.pk)
    rights = (f"trading.{verb}_risklimit" for verb in ("view", "add", "change"))
    _, browser = staff("officer", *rights)
    assert exported(browser, "trading_risklimit") == []
    line = {"rule": "max_leverage", "where": f"account {account}", "enabled": "yes"}
    assert "not one of the available choices" in problems(sent(browser, "trading_risklimit", sheet(line)))
    assert RiskLimit.objects.count() == 1
