"""A search is rows: begun once, resumed after any crash, and the same whatever happened on the way."""

from typing import Any

import pytest
from django.db import IntegrityError, transaction
from pytest_django import DjangoAssertNumQueries

from apps.backtests import locks
from apps.backtests.models import Dataset, Study, Trial
from apps.backtests.services import benches, studies, sweeps, trials
from apps.domain.backtests.search import Search
from apps.domain.errors import Refused
from apps.domain.strategies.sma_cross import SmaCross
from tests.backtests import searching
from tests.backtests.searching import ME, NOW, begun, claims, finished, loaded, results, silence

pytestmark = pytest.mark.usefixtures("patient")


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


# --- what it costs ---------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_search_needs_few_statements(django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    study = begun(space=searching.WIDE)
    with django_assert_max_num_queries(60):
        finished(study)
    assert Trial.objects.filter(study=study, state="done").count() > 450
