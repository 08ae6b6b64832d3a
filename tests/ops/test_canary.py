"""A canary per queue: sent by whoever serves it, answered by a worker, missed when nobody is there."""

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.management import call_command

from apps.journal import canaries, pulses
from apps.journal.models import Canary, TaskTally
from apps.ops.logs import context
from apps.web import checking
from tests.workers.conftest import PREFIX, broker, database_url, eventually, start_worker
from workers import bell, calls, canary, observing, queues

__all__ = ["broker", "database_url", "start_worker"]
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


# --- rows -------------------------------------------------------------------------------------------------------------
def test_of_many_workers_one_sends_each_half_minute(db: None) -> None:
    assert canaries.claim(["exits", "orders"], NOW) == ["exits", "orders"]
    assert canaries.claim(["exits", "orders"], after(29)) == []
    assert canaries.claim(["exits"], after(30)) == ["exits"]
    assert canaries.claim(["exits", "orders"], after(31)) == ["orders"]


def test_a_queue_is_late_a_minute_after_the_first_canary_that_did_not_come_back(db: None) -> None:
    canaries.claim(["exits"], NOW)
    canaries.answer("exits", NOW, after(0.2))
    canaries.claim(["exits"], after(30))
    canaries.claim(["exits"], after(60))
    assert canaries.late(after(90)) == {}
    assert canaries.late(after(91)) == {"exits": timedelta(seconds=61)}
    canaries.answer("exits", after(60), after(92))
    assert canaries.late(after(200)) == {}
    assert Canary.objects.get().took == timedelta(seconds=32)


def test_one_that_was_lost_alone_makes_no_queue_late(db: None) -> None:
    canaries.claim(["exits"], NOW)
    canaries.claim(["exits"], after(30))
    canaries.answer("exits", after(30), after(30.1))
    assert canaries.late(after(61)) == {}


def test_a_night_without_the_site_makes_no_queue_late(db: None) -> None:
    canaries.claim(["exits"], NOW)
    canaries.answer("exits", NOW, after(0.2))
    morning = after(8 * 3600)
    assert canaries.late(morning) == {}
    assert canaries.age(Canary.objects.get(), morning) > timedelta(hours=7), "the alert knows that nobody sends"
    canaries.claim(["exits"], morning)
    assert canaries.late(morning + timedelta(seconds=5)) == {}


def test_backtests_may_take_their_time(db: None) -> None:
    canaries.claim(["backtests"], NOW)
    assert canaries.claim(["backtests"], after(400)) == [], "as long as one is on its way, few are sent"
    assert canaries.claim(["backtests"], after(600)) == ["backtests"]
    assert canaries.late(after(34 * 60)) == {}
    assert "backtests" in canaries.late(after(36 * 60))


def test_a_queue_that_is_not_served_turns_its_check_red(db: None) -> None:
    def check() -> checking.Check:
        (found,) = (each for each in checking.checks(datetime.now(UTC)) if each.name == "canaries")
        return found

    assert check().ok
    old = datetime.now(UTC) - timedelta(seconds=70)
    Canary.objects.create(queue="orders", sent_at=old, since=old)
    assert not check().ok
    assert "orders for 70 s" in check().seen


# --- the broker -------------------------------------------------------------------------------------------------------
@pytest.fixture
def sent(db: None, broker: "redis.Redis") -> Callable[[str], list[dict[str, Any]]]:
    """Read the messages that wait in a queue."""
    return lambda queue: [json.loads(entry) for entry in broker.lrange(f"{PREFIX}{queue}", 0, -1)]


def test_each_queue_gets_its_own_canary(sent: Callable[[str], list[dict[str, Any]]]) -> None:
    assert canary.send_due(queues.NAMES, datetime.now(UTC), bell.Breaker()) == sorted(queues.NAMES)
    for name in queues.NAMES:
        (message,) = sent(name)
        assert message["headers"]["task"] == canary.TASK
        assert message["headers"]["expires"] is not None
        assert message["properties"]["delivery_info"]["routing_key"] == name


def test_a_broker_that_is_away_costs_a_warning(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(names: object, now: object) -> None:
        raise ConnectionRefusedError("nobody listens")

    monkeypatch.setattr(canary, "_send", refuse)
    breaker = bell.Breaker()
    assert canary.send_due(["exits"], datetime.now(UTC), breaker) == ["exits"]
    assert breaker.is_open
    assert canary.send_due(["orders"], datetime.now(UTC), breaker) == [], "the row stays as it was: it is not late yet"


def test_a_task_belongs_to_the_request_it_was_sent_in(sent: Callable[[str], list[dict[str, Any]]]) -> None:
    with context.bound(request_id="of-the-request"):
        calls._publisher().send_task("ops.prune", queue="ops")
    calls._publisher().send_task("ops.prune", queue="ops")
    alone, within = (message["headers"] for message in sent("ops"))
    assert within[context.REQUEST_ID] == "of-the-request"
    assert alone[context.REQUEST_ID] == alone["id"], "a task that nobody asked for begins a story of its own"
    assert alone[observing.SENT_AT] >= within[observing.SENT_AT]


@pytest.mark.faults
def test_a_worker_is_seen_from_all_sides(
    start_worker: Callable[..., "subprocess.Popen[bytes]"], tmp_path: Path
) -> None:
    """One real worker: its canaries come back, its tasks are counted with their wait, its lines name the request."""
    start_worker("worker", LOG_FORMAT="json", LOG_LEVEL="INFO")
    served = {"market", "ops", "strategies"}
    with context.bound(request_id="of-the-request"):
        calls._publisher().send_task("ops.canary", kwargs={"queue": "ops", "sent_at": "no time"}, queue="ops")
        calls._publisher().send_task("ops.prune", queue="ops")
    eventually(lambda: set(Canary.objects.filter(took__isnull=False).values_list("queue", flat=True)) >= served, 60)
    eventually(lambda: TaskTally.objects.filter(task="ops.prune", done=1).exists(), 60)
    row = TaskTally.objects.get(task="ops.prune")
    assert (sum(row.runs), sum(row.waits), row.queue) == (1, 1, "ops")
    log = (tmp_path / "worker.log").read_text()
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    failed = [line for line in lines if line["level"] == "ERROR" and "no time" in line.get("trace", "")]
    assert {line.get(context.REQUEST_ID) for line in failed} == {"of-the-request"}
    assert {line["process"] for line in lines} == {"worker"}


# --- one process ------------------------------------------------------------------------------------------------------
def health(*argv: str) -> tuple[int, str]:
    said = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("health", *argv, stdout=said)
    return int(str(ended.value.code)), said.getvalue()


def test_a_process_is_well_when_it_lives_here_and_its_servers_answer(db: None) -> None:
    now = datetime.now(UTC)
    pulses.beat("worker:exits", {}, started_at=now, now=now)
    status, said = health("worker:exits")
    assert status == 0, said
    assert "ok  alive" in said
    assert health("listener")[0] == 1
    assert json.loads(health("listener", "--json")[1])["checks"]["alive"]["ok"] is False


def test_a_process_elsewhere_does_not_make_this_machine_well(db: None) -> None:
    now = datetime.now(UTC)
    pulses.Pulse.objects.create(name="sweeper", host="elsewhere", pid=1, started_at=now, beat_at=now)
    assert health("sweeper")[0] == 1
    assert health("sweeper", "--anywhere")[0] == 0


def test_only_who_needs_redis_asks_for_it(db: None) -> None:
    now = datetime.now(UTC)
    assert "redis" in {check.name for check in checking.of_process("worker:exits", now)}
    assert "redis" not in {check.name for check in checking.of_process("listener:0", now)}


def test_the_whole_site_can_be_asked_for(db: None) -> None:
    status, said = health()
    assert status == 1
    assert all(name in said for name in checking.names())
