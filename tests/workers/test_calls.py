"""Calls to rows of backtests: one message each, never more waiting than are of use, and never an error."""

import base64
import json

import pytest
import redis

from apps.backtests import bell as port
from apps.backtests.services import studies
from tests.workers.conftest import PREFIX
from workers import bell, calls, queues


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_breaker", bell.Breaker())


def waiting(broker: "redis.Redis") -> list[tuple[str, dict[str, int]]]:
    """Return the tasks in the queue with what they take."""
    found = [json.loads(message) for message in broker.lrange(f"{PREFIX}{queues.BACKTESTS}", 0, -1)]
    return [(each["headers"]["task"], json.loads(base64.b64decode(each["body"]))[1]) for each in found]


def test_a_call_names_its_row(broker: "redis.Redis") -> None:
    calls.call("backtests.run", 7)
    calls.call("backtests.trials", 9)
    assert sorted(waiting(broker)) == [("backtests.run", {"run_id": 7}), ("backtests.trials", {"study_id": 9})]


def test_calls_for_trials_do_not_pile_up(broker: "redis.Redis") -> None:
    for _ in range(30):
        calls.call(studies.TASK, 9)
    assert len(waiting(broker)) == calls.MOST_WAITING[studies.TASK]
    calls.call("backtests.run", 7)
    assert ("backtests.run", {"run_id": 7}) in waiting(broker), "a backtest is never left out"


@pytest.mark.django_db(transaction=True)
def test_services_call_through_the_port(broker: "redis.Redis") -> None:
    port.call_after_commit(studies.TASK, 5)
    assert waiting(broker) == [(studies.TASK, {"study_id": 5})]


def test_a_dead_broker_costs_a_call_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = bell.Celery("dead", set_as_current=False, fixups=[], broker="redis://127.0.0.1:1/0")
    monkeypatch.setattr(calls, "_publisher", lambda: dead)
    calls.call(studies.TASK, 5)
    assert calls._breaker.is_open


def test_every_call_has_its_task() -> None:
    assert calls.NAMES.keys() >= calls.MOST_WAITING.keys() | {port.RUN, studies.TASK}
    assert {queues.of(task) for task in calls.NAMES} == {queues.BACKTESTS, queues.REPORTING}
