"""Opening, reading, amending and closing positions over the API."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from apps.access.roles import TRADER
from apps.journal.models import Event
from apps.market.models import Instrument, Quote
from apps.trading.models import Exit, ExitLeg, Fill, LedgerEntry, Position
from tests.web.conftest import Caller, caller_for, drain, make_instrument, make_user, now, set_price

URL = "/api/v1/positions"


def levels(answer: dict[str, Any], status: str = "live") -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for leg in answer["legs"]:
        if leg["status"] == status:
            found.setdefault(leg["kind"], []).append(leg)
    return found


def test_an_opened_position_is_answered_in_full(ada: Caller) -> None:
    answer = ada.post(URL, {"instrument": "BTC-USD", "side": "long", "quantity": "0.25", "stop_loss": "60000"})
    assert answer.status_code == 201
    got = answer.json()
    assert answer.headers["Location"].endswith(f"{URL}/{got['id']}")
    assert (got["status"], got["instrument"], got["side"]) == ("open", "BTC-USD", "long")
    assert (got["quantity"], got["remaining"]) == ("0.25", "0.25")
    assert Decimal(got["entry_price"]) > 61800
    assert Decimal(got["fees"]) > 0
    assert [got[k] for k in ("closed_at", "exit_reason", "exit_price", "tick_to_close_ms")] == [None] * 4
    assert got["exits"] == []
    assert [(leg["kind"], leg["level"], leg["status"]) for leg in got["legs"]] == [("stop_loss", "60000", "live")]
    assert datetime.fromisoformat(got["opened_at"]).tzinfo is not None


def test_every_way_out_is_stored_as_asked(ada: Caller) -> None:
    got = ada.open(
        take_profit="65000.50",
        trailing_stop="1.5%",
        break_even={"activation": "62500", "offset": "25"},
        time_stop=3600,
    )
    legs = levels(got)
    entry, opened = Decimal(got["entry_price"]), datetime.fromisoformat(got["opened_at"])
    assert legs["stop_loss"][0]["level"] == "60000"
    assert legs["take_profit"][0]["level"] == "65000.5"
    assert legs["trailing_stop"][0]["trail"] == "1.5%"
    assert legs["break_even"][0]["activation"] == "62500"
    assert Decimal(legs["break_even"][0]["level"]) == entry + 25
    assert datetime.fromisoformat(legs["time_stop"][0]["due_at"]) == opened + timedelta(hours=1)


def test_a_break_even_of_a_short_rests_below_its_entry(ada: Caller) -> None:
    got = ada.open(side="short", stop_loss=None, break_even={"activation": "60000", "offset": "10.5"})
    assert Decimal(levels(got)["break_even"][0]["level"]) == Decimal(got["entry_price"]) - Decimal("10.5")


def test_several_legs_of_a_kind_share_the_position(ada: Caller) -> None:
    halves = [{"kind": "take_profit", "level": level, "fraction": "0.5"} for level in ("63000", "66000")]
    distance = {"kind": "trailing_stop", "trail": "150", "activation": "63000"}
    legs = levels(ada.open(legs=[*halves, distance]))
    assert [(leg["level"], leg["fraction"]) for leg in legs["take_profit"]] == [("63000", "0.5"), ("66000", "0.5")]
    assert (legs["trailing_stop"][0]["trail"], legs["trailing_stop"][0]["activation"]) == ("150", "63000")


def test_an_instant_with_any_offset_is_kept_in_utc(ada: Caller) -> None:
    due = (now() + timedelta(days=2)).replace(microsecond=0)
    local = due.astimezone(datetime.strptime("+05:30", "%z").tzinfo)
    got = ada.open(time_stop=local.isoformat())
    assert datetime.fromisoformat(levels(got)["time_stop"][0]["due_at"]) == due


def test_null_levels_are_like_levels_left_out(ada: Caller) -> None:
    body = {"instrument": "BTC-USD", "side": "long", "quantity": "0.1", "legs": None, "account": None}
    got = ada.post(URL, {**body, **dict.fromkeys(["stop_loss", "take_profit", "trailing_stop", "time_stop"])})
    assert got.status_code == 201
    assert got.json()["legs"] == []


def test_the_journal_says_which_token_asked(ada: Caller) -> None:
    ada.open()
    assert Event.objects.get(kind="position.created").actor == f"ada ({ada.token[:11]})"


def test_a_chosen_account_is_used_and_only_one_s_own(ada: Caller, bob: Caller) -> None:
    own = ada.user.accounts.get().pk
    assert ada.open(account=own)["account"] == own
    foreign = bob.user.accounts.get().pk
    body = {"instrument": "BTC-USD", "side": "long", "quantity": "1", "account": foreign}
    answer = ada.post(URL, body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "account"
    assert not Position.objects.filter(account_id=foreign).exists()


def test_without_an_account_the_remedy_says_how_to_make_one(btc: Instrument) -> None:
    poor = caller_for(make_user("poor", TRADER))
    answer = poor.post(URL, {"instrument": "BTC-USD", "side": "long", "quantity": "1"})
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["field"] == "account"
    assert "admin" in error["remedy"]


@pytest.mark.parametrize("age", [None, timedelta(minutes=1)])
def test_without_a_fresh_price_it_answers_when_to_try_again(
    ada: Caller, btc: Instrument, age: timedelta | None
) -> None:
    if age is None:
        Quote.objects.all().delete()
    else:
        set_price(btc, Decimal(61800), now() - age)
    for extra in ({}, {"break_even": {"activation": "70000"}}):
        answer = ada.post(URL, {"instrument": "BTC-USD", "side": "long", "quantity": "1", **extra})
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert "BTC-USD" in answer.json()["detail"]
    assert not Position.objects.exists()


# --- close ----------------------------------------------------------------------------------------------------------
def test_a_close_is_accepted_and_then_done(ada: Caller) -> None:
    got = ada.open()
    answer = ada.post(f"{URL}/{got['id']}/close", {"note": "enough"})
    assert answer.status_code == 202
    exit_id = answer.json()["id"]
    assert answer.json()["status"] == "triggered"
    assert answer.json()["position"]["status"] == "open"
    drain()
    closed = ada.get(f"{URL}/{got['id']}").json()
    assert (closed["status"], closed["exit_reason"], closed["remaining"]) == ("closed", "api", "0")
    assert Decimal(closed["exit_price"]) < 61800
    assert closed["closed_at"] is not None
    assert closed["tick_to_close_ms"] > 0
    (exit_,) = closed["exits"]
    assert (exit_["id"], exit_["status"], exit_["note"]) == (exit_id, "done", "enough")
    assert exit_["fill_price"] == closed["exit_price"]
    assert exit_["claimed_at"] <= exit_["committed_at"]
    one = ada.get(f"/api/v1/exits/{exit_id}").json()
    assert (one["position"], one["instrument"]) == (got["id"], "BTC-USD")
    assert one["tick_to_close_ms"] == closed["tick_to_close_ms"]


@pytest.mark.parametrize("executed", [False, True], ids=["while it waits", "after it was done"])
def test_a_second_close_is_a_conflict_that_names_the_first_exit(ada: Caller, executed: bool) -> None:
    url = f"{URL}/{ada.open()['id']}/close"
    first = ada.post(url).json()["id"]
    if executed:
        drain()
    again = ada.post(url)
    assert again.status_code == 409
    assert again.headers["Content-Type"] == "application/problem+json"
    assert again.json()["exit_id"] == first
    assert Exit.objects.count() == 1


# --- amend ----------------------------------------------------------------------------------------------------------
def test_an_amendment_replaces_what_it_names_and_leaves_the_rest(ada: Caller) -> None:
    got = ada.open(take_profit="65000", time_stop=3600)
    answer = ada.patch(f"{URL}/{got['id']}/levels", {"stop_loss": "61000", "take_profit": None, "trailing_stop": "2%"})
    assert answer.status_code == 200
    legs = levels(answer.json())
    assert {kind: len(found) for kind, found in legs.items()} == {"stop_loss": 1, "trailing_stop": 1, "time_stop": 1}
    assert legs["stop_loss"][0]["level"] == "61000"
    assert {leg["level"] for leg in levels(answer.json(), "cancelled")["stop_loss"]} == {"60000"}


def test_an_amended_break_even_rests_at_the_entry(ada: Caller) -> None:
    got = ada.open()
    answer = ada.patch(f"{URL}/{got['id']}/levels", {"break_even": {"activation": "63000"}})
    assert levels(answer.json())["break_even"][0]["level"] == got["entry_price"]


def test_legs_in_an_amendment_replace_their_kind(ada: Caller) -> None:
    got = ada.open(take_profit="65000")
    legs = [{"kind": "take_profit", "level": level, "fraction": "0.5"} for level in ("64000", "66000")]
    answer = ada.patch(f"{URL}/{got['id']}/levels", {"legs": legs})
    found = levels(answer.json())
    assert [leg["level"] for leg in found["take_profit"]] == ["64000", "66000"]
    assert len(found["stop_loss"]) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"stop_loss": "70000"}, "stop_loss"),
        ({"stop_loss": "60000.001"}, "stop_loss"),
        ({"take_profit": "100"}, "take_profit"),
        ({"quantity": "1"}, "quantity"),
        ({"legs": "none"}, "legs"),
        ({"legs": [{"kind": "stop_loss", "level": "60000"}], "stop_loss": None}, "legs"),
        ({"stop_loss": 60000}, "stop_loss"),
        ({"break_even": {"activation": "61000"}}, "break_even"),
        ({"break_even": {"activation": "63000", "offset": "5000"}}, "break_even"),
        ([], "body"),
        ("x", "body"),
    ],
)
def test_a_bad_amendment_changes_nothing(ada: Caller, body: Any, field: str) -> None:
    got = ada.open()
    before = list(ExitLeg.objects.order_by("id").values())
    answer = ada.patch(f"{URL}/{got['id']}/levels", body)
    assert answer.status_code == 400
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert list(ExitLeg.objects.order_by("id").values()) == before


def test_a_closed_position_cannot_be_amended(ada: Caller) -> None:
    got = ada.open()
    ada.post(f"{URL}/{got['id']}/close")
    drain()
    answer = ada.patch(f"{URL}/{got['id']}/levels", {"stop_loss": "61000"})
    assert answer.status_code == 409
    assert answer.json()["type"].endswith("position-closed")


# --- idempotency ----------------------------------------------------------------------------------------------------
BODY = {
    "instrument": "BTC-USD",
    "side": "long",
    "quantity": "0.25",
    "stop_loss": "60000",
    "break_even": {"activation": "63000", "offset": "5"},
    "time_stop": 3600,
    "legs": [{"kind": "take_profit", "level": "65000", "fraction": "0.5"}],
}


def send(caller: Caller, body: dict[str, Any], key: str) -> Any:
    return caller.post(URL, body, **{"idempotency-key": key})


def test_the_same_request_again_opens_nothing(ada: Caller, btc: Instrument) -> None:
    first = send(ada, BODY, "k-1")
    set_price(btc, Decimal("59000"))  # by now the stop would be on the wrong side
    again = send(ada, BODY, "k-1")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert Position.objects.count() == Fill.objects.count() == 1


def test_the_same_request_after_an_amendment_and_a_close_is_still_the_same(ada: Caller) -> None:
    id_ = send(ada, BODY, "k-1").json()["id"]
    ada.patch(f"{URL}/{id_}/levels", {"stop_loss": "61000", "break_even": None})
    ada.post(f"{URL}/{id_}/close")
    drain()
    again = send(ada, BODY, "k-1")
    assert (again.status_code, again.json()["id"], again.json()["status"]) == (200, id_, "closed")


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": "0.26"},
        {"side": "short", "stop_loss": None, "break_even": None, "legs": []},
        {"stop_loss": "60001"},
        {"stop_loss": None},
        {"take_profit": "64000"},
        {"break_even": {"activation": "63000", "offset": "6"}},
        {"time_stop": 3601},
        {"legs": [{"kind": "take_profit", "level": "65000", "fraction": "0.6"}]},
        {"instrument": "ETH-USD", "stop_loss": None, "break_even": None, "legs": []},
    ],
    ids=",".join,
)
def test_the_same_key_with_another_body_is_refused(ada: Caller, change: dict[str, Any]) -> None:
    make_instrument("ETH-USD")
    id_ = send(ada, BODY, "k-1").json()["id"]
    answer = send(ada, {**BODY, **change}, "k-1")
    assert answer.status_code == 422
    assert str(id_) in answer.json()["errors"][0]["rule"]
    assert Position.objects.count() == 1


def test_another_key_or_another_person_opens_another(ada: Caller, bob: Caller) -> None:
    answers = [send(ada, BODY, "k-1"), send(ada, BODY, "k-2"), send(bob, BODY, "k-1")]
    assert [answer.status_code for answer in answers] == [201] * 3
    assert Position.objects.count() == 3


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 65, "\x00"])
def test_a_bad_key_is_refused_by_name(ada: Caller, key: str) -> None:
    answer = send(ada, BODY, key)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"
    assert not LedgerEntry.objects.filter(kind="open").exists()


def test_times_are_utc(ada: Caller) -> None:
    assert datetime.fromisoformat(ada.open()["opened_at"]).utcoffset() == UTC.utcoffset(None)
