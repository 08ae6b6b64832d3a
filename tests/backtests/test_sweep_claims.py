"""The trials of a search are computed by whoever claims them, and none of them twice."""

import os
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError
from django.db.models.functions import Now

from apps.backtests import locks
from apps.backtests.models import Trial
from apps.backtests.services import benches, sweeps, trials
from apps.domain.backtests.search import Search
from tests.backtests import searching
from tests.backtests.searching import ME, NOW, begun, claims, finished, silence
from tests.trading.racing import race

pytestmark = pytest.mark.usefixtures("patient")


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
