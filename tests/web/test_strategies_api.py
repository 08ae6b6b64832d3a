"""Strategies, signals and backtests over the API."""

from typing import Any

import pytest

from apps.backtests.models import Run
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.strategies.models import Strategy
from apps.trading.models import Allocation
from tests.web import worlds
from tests.web.conftest import Caller, caller_for, make_account, make_user

URL, RUNS = "/api/v1/strategies", "/api/v1/backtests"
RUN = {"plugin": "momentum", "instruments": ["BTC-USD"], "bar_seconds": 60}


@pytest.fixture
def nora(btc: Instrument) -> Caller:
    """A person without any role, with an account."""
    caller = caller_for(make_user("nora"))
    make_account(caller.user)
    return caller


def test_a_strategy_is_stopped_and_started_with_a_reason(ada: Caller) -> None:
    row = worlds.strategy()
    stopped = ada.post(f"{URL}/{row.pk}/stop", {"reason": "holiday"})
    assert (stopped.status_code, stopped.json()["stage"], stopped.json()["paused_from"]) == (200, "paused", "paper")
    started = ada.post(f"{URL}/{row.pk}/start", {"reason": "back"})
    assert (started.json()["stage"], started.json()["enabled"]) == ("paper", True)
    moves = Event.objects.filter(kind="strategy.moved").order_by("id")
    assert [event.payload["reason"] for event in moves] == ["holiday", "back"]


def test_a_strategy_nobody_follows_does_not_start(ada: Caller) -> None:
    row = worlds.strategy(stage="draft", enabled=False)
    answer = ada.post(f"{URL}/{row.pk}/start")
    assert answer.status_code == 400
    assert "promote it at the gate" in answer.json()["errors"][0]["remedy"]
    assert not Strategy.objects.get().enabled


def test_a_strategy_that_is_switched_off_is_switched_on(ada: Caller) -> None:
    row = worlds.strategy(enabled=False, failures=3)
    assert ada.post(f"{URL}/{row.pk}/start").json()["enabled"] is True
    assert Strategy.objects.get().failures == 0


def test_other_parameters_are_checked_and_void_what_was_proven(ada: Caller) -> None:
    row = worlds.strategy()
    plugins = {one["name"]: one for one in ada.get(f"{URL}/plugins").json()}
    name, known = next(iter(plugins["momentum"]["parameters"]["properties"].items()))
    for parameters, field in (({"nonsense": 1}, "parameters.nonsense"), ({name: -(10**9)}, f"parameters.{name}")):
        answer = ada.patch(f"{URL}/{row.pk}", {"parameters": parameters})
        assert answer.status_code == 400
        assert field in [problem["field"] for problem in answer.json()["errors"]]
    ada.post(f"{URL}/{row.pk}/start")  # what it is now is what its stage rests on
    changed = ada.patch(f"{URL}/{row.pk}", {"parameters": {name: known["default"] + 1}})
    assert (changed.status_code, changed.json()["stage"]) == (200, "draft"), changed.content
    assert changed.json()["parameters"] == {name: known["default"] + 1}


def test_who_has_no_right_sees_what_their_accounts_follow_and_switches_nothing(nora: Caller, btc: Instrument) -> None:
    followed, other = worlds.strategy("mine"), worlds.strategy("not mine")
    Allocation.objects.create(account=nora.user.accounts.get(), strategy=followed, notional=100)
    for row in (followed, other):
        worlds.signal(row, btc)
    assert [row["name"] for row in nora.get(URL).json()["results"]] == ["mine"]
    (signal,) = nora.get("/api/v1/signals?stance=1&instrument=BTC-USD").json()["results"]
    assert (signal["strategy"], signal["price"]) == (followed.pk, "100")
    assert nora.get(f"{URL}/{other.pk}").status_code == 404
    assert nora.post(f"{URL}/{followed.pk}/stop").status_code == 403


def test_a_backtest_is_asked_for_followed_and_cancelled(ada: Caller) -> None:
    made = ada.post(RUNS, {**RUN, "conventions": {"fee_rate": "0.1%"}, "since": "2026-01-01T00:00:00Z"})
    assert made.status_code == 202, made.content
    id_ = made.json()["id"]
    assert made.headers["Location"].endswith(f"{RUNS}/{id_}")
    shown = ada.get(f"{RUNS}/{id_}").json()
    assert (shown["state"], shown["progress"], shown["conventions"]["fee_rate"]) == ("queued", 0.0, 0.001)
    assert ada.get(f"{RUNS}/{id_}/equity").status_code == 404
    assert ada.post(f"{RUNS}/{id_}/cancel").json()["state"] == "cancelled"
    assert Run.objects.get().made_by == ada.user


def test_a_backtest_of_a_strategy_takes_its_settings(ada: Caller) -> None:
    row = worlds.strategy(bar_seconds=300)
    made = ada.post(RUNS, {"strategy": row.pk, "instruments": ["BTC-USD"]}).json()
    assert (made["strategy"], made["plugin"], made["bar_seconds"]) == (row.pk, "momentum", 300)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"plugin": "nothing"}, "strategy"),
        ({"strategy": 1}, "strategy"),
        ({"bar_seconds": None}, "bar_seconds"),
        ({"instruments": []}, "instruments"),
        ({"conventions": {"fee_rate": "a lot"}}, "fee_rate"),
        ({"conventions": {"magic": 1}}, "magic"),
        ({"parameters": {"nonsense": 1}}, "nonsense"),
        ({"since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "until"),
    ],
)
def test_a_wrong_backtest_names_its_field(ada: Caller, change: dict[str, Any], field: str) -> None:
    answer = ada.post(RUNS, {**RUN, **change})
    assert answer.status_code == 400
    assert field in [problem["field"] for problem in answer.json()["errors"]], answer.content
    assert not Run.objects.exists()


def test_one_person_has_four_under_way_at_most(ada: Caller, bob: Caller) -> None:
    assert [ada.post(RUNS, RUN).status_code for _ in range(5)] == [202, 202, 202, 202, 429]
    assert bob.post(RUNS, RUN).status_code == 202


def test_the_result_its_curve_and_two_side_by_side(ada: Caller) -> None:
    one, two = worlds.run(ada), worlds.run(ada, statistics={"sharpe": 0.5})
    assert ada.get(f"{RUNS}/{one.pk}").json()["statistics"]["sharpe"] == 1.5
    curve = ada.get(f"{RUNS}/{one.pk}/equity").json()
    assert (curve["bars"], len(curve["at"]), curve["value"][0], curve["value"][-1]) == (2500, 1000, 100.0, 200.0)
    both = ada.get(f"{RUNS}/compare?runs={two.pk},{one.pk}").json()
    assert both["figures"] == {"sharpe": [0.5, 1.5], "return_pct": [None, 12.0]}
    assert [run["id"] for run in both["runs"]] == [two.pk, one.pk]
    for bad in ("", "?runs=", f"?runs={one.pk}", "?runs=a,b", f"?runs={one.pk},{one.pk}"):
        assert ada.get(f"{RUNS}/compare{bad}").status_code == 400, bad
    assert ada.get(f"{RUNS}/compare?runs={one.pk},{two.pk + 1}").status_code == 404


def test_a_kept_answer_is_not_sent_again(ada: Caller) -> None:
    path = f"{RUNS}/{worlds.run(ada).pk}/equity"
    tag = ada.get(path).headers["ETag"]
    assert ada.get(path, **{"if-none-match": tag}).status_code == 304


def test_runs_of_others_are_seen_by_who_may_see_all(ada: Caller, nora: Caller) -> None:
    own, other = worlds.run(nora), worlds.run(ada)
    assert [row["id"] for row in nora.get(RUNS).json()["results"]] == [own.pk]
    assert nora.get(f"{RUNS}/{other.pk}").status_code == 404
    assert nora.get(f"{RUNS}/{other.pk}/equity").status_code == 404
    assert nora.post(RUNS, RUN).status_code == 403
    assert ada.get(RUNS).json()["total"] == 2
