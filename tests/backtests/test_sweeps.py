"""A search is rows: begun once, computed by whoever claims, resumed after any crash, and never computed twice."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from pytest_django import DjangoAssertNumQueries

from apps.backtests import locks
from apps.backtests.models import Dataset, Study, Trial
from apps.backtests.services import benches, studies, sweeps, trials
from apps.domain.backtests.search import Search
from apps.domain.errors import Refused
from apps.domain.strategies.sma_cross import SmaCross
from tests.backtests import searching
from tests.backtests.searching import NOW, begun, finished, loaded, results
from tests.trading.racing import race

ME = f"worker test:{os.getpid()}"


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch, compiled: None) -> None:
    """On a busy machine a test may take seconds between two steps; what is silent is said by `silence`."""
    monkeypatch.setattr(locks, "STALE", 600.0)


def claims(study: Study, limit: int = 10, worker: str = ME) -> list[locks.Claim]:
    return locks.claim(study.pk, worker, limit)


def silence(*numbers: int) -> None:
    """Let the workers of trials have been silent for longer than is waited."""
    rows = Trial.objects.filter(number__in=numbers) if numbers else Trial.objects.all()
    rows.filter(state="running").update(beat_at=Now() - timedelta(seconds=locks.STALE + 1))


# --- from the beginning to the end ----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_grid_is_computed_and_its_best_is_the_best() -> None:
    study = finished(begun(objective="return_pct"))
    told = sweeps.report(study)
    assert (told["state"], told["trials"], told["done"], told["refused"]) == ("done", 53, 53, 7)
    values = [each["value"] for each in sweeps.every_trial(study) if each["measures"]["closed_trades"]]
    assert told["best"]["value"] == max(values)
    assert [row["value"] for row in told["top"]] == sorted(values, reverse=True)[:10]


@pytest.mark.django_db
def test_a_trial_has_the_figures_of_a_backtest_of_its_own() -> None:
    from apps.backtests import outcomes

    data = loaded()
    row = Trial.objects.filter(study=finished(begun(data)), parameters={"fast": 4, "slow": 20}).get()
    conventions = benches.of(row.study).conventions
    outcome = outcomes.compute("sma_cross", row.parameters, conventions, data)
    assert row.measures
    assert {name: outcome.statistics[name] for name in row.measures} == row.measures


@pytest.mark.django_db
def test_the_best_of_many_is_judged_as_the_best_of_many() -> None:
    told = sweeps.report(finished(begun()))
    assert told["statistics"]["trials"] == 53
    assert told["statistics"]["sharpe"] == told["best"]["value"]
    assert told["statistics"]["sharpe_deflated_pct"] < told["statistics"]["sharpe_probabilistic_pct"]
    assert "overlap" in {remark["code"] for remark in told["critique"]}
    assert told["bounds"]["stop_first"] == told["bounds"]["target_first"]


@pytest.mark.django_db
@pytest.mark.parametrize("how", Search)
def test_the_same_seed_gives_the_same_search(how: Search) -> None:
    wanted: dict[str, Any] = {"search": how, "trials": 45, "seed": 5, "again": True}
    one, other = finished(begun(**wanted)), finished(begun(**wanted))
    assert len(results(one)) == 45
    assert results(one) == results(other)


@pytest.mark.django_db
@pytest.mark.parametrize("how", [Search.RANDOM, Search.BAYESIAN])
def test_another_seed_gives_another_search(how: Search) -> None:
    one, other = (finished(begun(search=how, trials=30, seed=seed)) for seed in (1, 2))
    assert [row[2] for row in results(one)] != [row[2] for row in results(other)]


@pytest.mark.django_db
def test_a_bayesian_search_finds_more_than_a_random_one_of_the_same_size() -> None:
    wide = ("fast=2:200", "slow=3:400")
    data = loaded(1500, seed=3)
    best: dict[Search, list[float]] = {Search.RANDOM: [], Search.BAYESIAN: []}
    for how, values in best.items():
        for seed in range(3):
            study = finished(begun(data, space=wide, search=how, trials=80, seed=seed, objective="final_equity"))
            values.append(sweeps.report(study)["best"]["value"])
    assert sum(best[Search.BAYESIAN]) > sum(best[Search.RANDOM])


@pytest.mark.django_db
def test_a_bayesian_search_of_a_small_space_ends_when_all_is_tried() -> None:
    study = finished(begun(search=Search.BAYESIAN, space=("fast=2:6:2", "slow=8:12:2"), trials=50))
    assert sorted(row[2]["fast"] * 100 + row[2]["slow"] for row in results(study)) == [
        fast * 100 + slow for fast in (2, 4, 6) for slow in (8, 10, 12)
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("wanted", "rule"),
    [
        pytest.param({"plugin": "no_such"}, "no Strategy is called", id="no strategy"),
        pytest.param({"objective": "luck"}, "nothing a search can look for", id="no objective"),
        pytest.param({"space": ()}, "nothing to search", id="no parameters"),
        pytest.param({"space": ("fast=50:60:1", "slow=5:9:1")}, "no combination", id="nothing allowed"),
        pytest.param({"trials": 0}, "must be from 1", id="no trials"),
        pytest.param({"least_trades": -1}, "must not be negative", id="fewer than no trades"),
    ],
)
def test_what_cannot_be_searched_leaves_no_row(wanted: dict[str, Any], rule: str) -> None:
    with pytest.raises(Refused, match=rule):
        begun(**wanted)
    assert not Study.objects.exists()
    assert not Dataset.objects.exists()


@pytest.mark.django_db
def test_a_strategy_that_breaks_fails_its_trials_and_not_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SmaCross.stances

    def breaks(self: SmaCross, candles: Any) -> Any:
        if self._parameters.fast == 4:
            raise ZeroDivisionError("no bars")
        return whole(self, candles)

    monkeypatch.setattr(SmaCross, "stances", breaks)
    told = sweeps.report(finished(begun()))
    assert (told["state"], told["done"], told["failed"]) == ("done", 47, 6)
    assert told["errors"] == [{"error": "ZeroDivisionError: no bars", "trials": 6}]
    assert told["best"]["parameters"]["fast"] != 4


# --- nothing is computed twice --------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_what_an_earlier_search_computed_is_taken_over() -> None:
    first = finished(begun(space=("fast=2:20:2", "slow=30,40")))
    second = begun(space=("fast=2:20:4", "slow=30,50"), objective="final_equity")
    assert sweeps.progress(second.pk).reused == 5
    again = finished(second)
    known = {tuple(row[2].values()): row[4] for row in results(first)}
    shared = [row for row in results(again) if tuple(row[2].values()) in known]
    assert len(shared) == 5
    assert all(row[4] == known[tuple(row[2].values())] for row in shared)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"data": loaded(600, seed=2)}, id="other candles"),
        pytest.param({"data": loaded(599)}, id="a bar less"),
        pytest.param({"again": True}, id="asked for again"),
        pytest.param({"conventions": searching.conventions(fee_rate=0.001)}, id="another fee"),
        pytest.param({"conventions": searching.conventions(seed=1)}, id="another seed"),
    ],
)
def test_what_differs_in_anything_is_computed(other: dict[str, Any]) -> None:
    finished(begun())
    assert sweeps.progress(begun(**other).pk).reused == 0


@pytest.mark.django_db
def test_other_code_is_computed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    finished(begun())
    monkeypatch.setattr("apps.domain.strategies.contract.code_hash", lambda plugin: "0" * 64)
    assert sweeps.progress(begun().pk).reused == 0


@pytest.mark.django_db
def test_failed_trials_are_not_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(SmaCross, "stances", lambda self, candles: [])
        assert sweeps.report(finished(begun()))["failed"] == 53
    assert sweeps.report(finished(begun()))["done"] == 53


@pytest.mark.django_db
def test_the_same_combination_cannot_be_there_twice() -> None:
    study = begun()
    row = Trial.objects.filter(study=study).first()
    assert row is not None
    row.pk, row.number = None, 999
    with pytest.raises(IntegrityError, match="trial_once_per_window"), transaction.atomic():
        row.save()


# --- claims ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_each_gets_trials_of_its_own() -> None:
    study = begun()
    found = race(*(lambda n=n: claims(study, 9, f"worker test:{n}") for n in range(8)))
    numbers = [claim.number for part in found for claim in part]
    assert len(numbers) == len(set(numbers)) == 53


@pytest.mark.django_db(transaction=True)
def test_without_the_guard_trials_are_computed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: the same race with the guard off sees duplicates, so the race is one."""
    monkeypatch.setattr(locks, "_CLAIM", locks._CLAIM.replace("FOR UPDATE SKIP LOCKED", ""))
    for _ in range(20):
        study = begun(again=True)
        found = race(*(lambda n=n, s=study: claims(s, 30, f"worker test:{n}") for n in range(8)))
        numbers = [claim.number for part in found if isinstance(part, list) for claim in part]
        if len(numbers) > len(set(numbers)):
            return
    pytest.fail("no trial was claimed twice in twenty races without a guard")


@pytest.mark.django_db(transaction=True)
def test_of_two_workers_with_one_trial_one_result_counts() -> None:
    study = begun()
    (early,) = claims(study, 1)
    silence()
    late = next(claim for claim in claims(study, 60) if claim.id == early.id)
    settled = race(
        lambda: locks.settle([locks.Settlement(early, {"sharpe": 1.0})]),
        lambda: locks.settle([locks.Settlement(late, {"sharpe": 2.0})]),
    )
    assert sorted(settled) == [0, 1]
    row = Trial.objects.get(pk=early.id)
    assert (row.measures, row.results) == ({"sharpe": 2.0}, 1)


@pytest.mark.django_db(transaction=True)
def test_without_the_fence_a_second_result_is_stopped_by_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: with the checks of the UPDATE off, a late worker would write, and the table refuses."""
    open_ended = locks._SETTLE.replace("AND t.attempt = s.attempt AND t.state = 'running'", "")
    monkeypatch.setattr(locks, "_SETTLE", open_ended)
    (claim,) = claims(begun(), 1)
    assert locks.settle([locks.Settlement(claim, {"sharpe": 1.0})]) == 1
    with pytest.raises(IntegrityError, match="trial_has_one_result"):
        locks.settle([locks.Settlement(claim, {"sharpe": 2.0})])


@pytest.mark.django_db
def test_a_silent_worker_loses_its_trials_and_a_beating_one_keeps_them() -> None:
    study = begun()
    first = claims(study, 60)
    assert claims(study, 60) == []
    silence()
    locks.beat(first[:50])
    again = claims(study, 60)
    assert [claim.number for claim in again] == [claim.number for claim in first[50:]]
    assert all(claim.attempt == 2 for claim in again)


@pytest.mark.django_db
def test_what_a_dead_process_of_this_machine_had_is_free_at_once() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    study = begun()
    claims(study, 5, f"worker test:{gone.pid}")
    claims(study, 5, f"worker elsewhere:{gone.pid}")
    claims(study, 5, f"worker test:{os.getppid()}")
    assert trials.free_the_dead(study.pk, ME) == 5
    assert locks.workers(study.pk) == {f"worker elsewhere:{gone.pid}", f"worker test:{os.getppid()}"}


@pytest.mark.django_db
def test_a_trial_that_ends_every_worker_is_given_up() -> None:
    study = begun(space=("fast=2,3", "slow=30"))
    for _ in range(locks.MOST_ATTEMPTS):
        found = claims(study)
        assert found
        silence(0)
        locks.settle([locks.Settlement(claim, {"closed_trades": 1}) for claim in found if claim.number])
    assert claims(study) == []
    assert locks.give_up(study.pk) == 1
    told = sweeps.report(finished(study))
    assert (told["done"], told["failed"]) == (1, 1)
    assert "ended 10 times" in told["errors"][0]["error"]


@pytest.mark.django_db
def test_trials_that_were_in_trouble_are_claimed_one_by_one() -> None:
    study = begun()
    for _ in range(locks.TROUBLED):
        assert len(claims(study, 60)) == 53
        silence()
    assert len(claims(study, 60)) == 1


@pytest.mark.django_db
def test_a_worker_that_is_told_to_end_gives_back_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    study = begun()

    def ends(self: benches.Bench, parameters: Any, window: int) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(benches.Bench, "measured", ends)
    with pytest.raises(KeyboardInterrupt):
        trials.work(study, benches.of(study), ME, seconds=1)
    assert set(Trial.objects.values_list("state", flat=True)) == {"queued"}


@pytest.mark.django_db(transaction=True)
def test_a_heart_beats_while_a_long_trial_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "BEAT", 0.05)
    study = begun()
    found = claims(study, 2)
    silence()
    with trials.Heart() as heart:
        heart.hold(found)
        late = Trial.objects.filter(beat_at__lt=Now() - timedelta(seconds=locks.STALE))
        searching.eventually(lambda: not late.exists())
        assert not {0, 1} & {claim.number for claim in claims(study, 60, "worker other:1")}


@pytest.mark.django_db(transaction=True)
def test_two_deciders_at_once_think_of_one_round() -> None:
    study = begun(search=Search.BAYESIAN, trials=40)
    bench = benches.of(study)
    race(*(lambda: sweeps.advance(study, bench, NOW) for _ in range(4)))
    assert Trial.objects.filter(study=study).count() == 20
    finished(study)
    assert Trial.objects.filter(study=study).count() == 40


# --- stopping and going on ------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("how", Search)
def test_a_search_that_was_cut_off_anywhere_ends_like_one_that_was_not(how: Search) -> None:
    wanted: dict[str, Any] = {"search": how, "trials": 45, "again": True}
    whole = finished(begun(**wanted))
    study = begun(**wanted)
    while Study.objects.get(pk=study.pk).state == "running":
        bench = benches.of(study)
        lost = claims(study, 7)  # by a worker that dies
        settled = [locks.Settlement(each, bench.measured(each.parameters, each.window)) for each in lost[:3]]
        locks.settle(settled)
        silence()
        trials.work(study, bench, ME, seconds=0.01)
        if not Trial.objects.exclude(state="done").filter(study=study).exists():
            sweeps.advance(study, bench, NOW)
    assert results(study) == results(whole)
    assert set(Trial.objects.filter(study=study).values_list("results", flat=True)) == {1}


@pytest.mark.django_db
def test_a_cancelled_search_stands_still_until_it_is_resumed() -> None:
    study = begun()
    assert studies.cancel(study.pk, NOW)
    assert not studies.cancel(study.pk, NOW)
    assert claims(study) == []
    assert sweeps.turn(study.pk, ME, seconds=1, now=NOW).settled == 0
    assert finished(studies.resume(study.pk)).state == "done"


@pytest.mark.django_db
def test_a_search_that_is_not_there_cannot_be_resumed() -> None:
    with pytest.raises(Refused, match="no search of this site"):
        studies.resume(404)


@pytest.mark.django_db
def test_changed_code_stops_a_search_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    study = begun()
    with monkeypatch.context() as patch:
        patch.setattr("apps.domain.strategies.contract.code_hash", lambda plugin: "0" * 64)
        sweeps.turn(study.pk, ME, seconds=1, now=NOW)
    found = Study.objects.get(pk=study.pk)
    assert found.state == "failed"
    assert "begun with" in found.error
    assert finished(studies.resume(study.pk)).state == "done"


# --- how many workers -----------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_workers_are_called_for_what_is_left() -> None:
    study = begun()
    assert sweeps.workers_wanted(study.pk, 8) == 8
    claims(study, 10, "worker a:1")
    claims(study, 10, "worker b:2")
    assert sweeps.workers_wanted(study.pk, 8) == 6
    claims(study, 29, "worker c:3")
    assert sweeps.workers_wanted(study.pk, 8) == 1
    claims(study, 4, "worker d:4")
    assert sweeps.workers_wanted(study.pk, 8) == 0
    silence()
    assert sweeps.workers_wanted(study.pk, 8) == 8
    Trial.objects.update(state="done", measures={}, finished_at=NOW)
    assert sweeps.workers_wanted(study.pk, 8) == 1, "somebody has to write down the result"


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "walk.csv"
    path.write_text(searching.as_csv(searching.candles()))
    return str(path)


def command(*words: str) -> Any:
    out = StringIO()
    call_command("sweep", *words, stdout=out)
    return json.loads(out.getvalue()) if "--json" in words else out.getvalue()


@pytest.mark.django_db
def test_the_command_tells_the_result_in_json(file: str) -> None:
    words = ("sma_cross", "--candles", file, "--param", "fast=2:20:2", "--param", "slow=10:60:10", "--inline")
    told = command(*words, "--fee", "0.1%", "--objective", "return_pct", "--json", "--all")
    assert (told["state"], told["trials"], told["done"], len(told["all"])) == ("done", 53, 53, 53)
    assert told["conventions"]["fee_rate"] == 0.001
    assert told["best"] == told["top"][0]
    assert told["best"]["value"] == told["best"]["measures"]["return_pct"]
    again = command("--resume", str(told["study"]), "--json")
    assert again["best"] == told["best"]
    assert "search" in command(*words)


@pytest.mark.django_db
def test_the_command_tells_every_mistake(file: str) -> None:
    with pytest.raises(CommandError) as caught:
        command("--candles", file, "--search", "luck", "--fee", "lots")
    assert caught.value.returncode == 2
    assert all(word in str(caught.value) for word in ("strategy", "search: luck", "fee_rate"))
    with pytest.raises(CommandError, match="no parameter of this strategy"):
        command("sma_cross", "--candles", file, "--param", "pace=1:9:1")


@pytest.mark.django_db
def test_the_command_stops_a_search(file: str) -> None:
    study = begun()
    assert command("--cancel", str(study.pk), "--json") == {"study": study.pk, "cancelled": True}
    assert Study.objects.get(pk=study.pk).state == "cancelled"


@pytest.mark.django_db
def test_a_search_needs_few_statements(django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    study = begun(space=searching.WIDE)
    with django_assert_max_num_queries(60):
        finished(study)
    assert Trial.objects.filter(study=study, state="done").count() > 450
