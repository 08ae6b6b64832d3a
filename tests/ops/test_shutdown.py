"""A process that ends says why: which signal, for what reason, who, and one message for the whole site."""

import json
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings

from apps.journal.models import Event, Pulse
from apps.ops import last_words, stopping
from apps.ops.servers.places import REPOSITORY
from apps.ops.stopping import Why
from apps.ops.supervisor import Snapshot, State
from tests.workers.conftest import broker, database_url, eventually, running, start_worker

__all__ = ["broker", "database_url", "start_worker"]

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(settings, "VAR", tmp_path)
    monkeypatch.delenv("INVOCATION_ID", raising=False)
    yield
    stopping._caught.clear()


def test_without_a_signal_it_was_done() -> None:
    assert stopping.explain(NOW) == Why(signal="", reason="it was done", who="")


def test_ctrl_c_was_pressed_by_whoever_sits_there(monkeypatch: pytest.MonkeyPatch) -> None:
    stopping.caught("SIGINT")
    monkeypatch.setenv("SUDO_USER", "ann")
    why = stopping.explain(NOW)
    assert (why.signal, why.reason) == ("SIGINT", "Ctrl-C")
    assert why.who.startswith("ann as ")


def test_a_service_manager_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    stopping.caught("SIGTERM")
    monkeypatch.setenv("INVOCATION_ID", "abc")
    assert stopping.explain(NOW).reason == "the service manager ended it"


def test_a_fresh_note_says_more_than_the_signal_and_an_old_one_nothing() -> None:
    stopping.caught("SIGTERM")
    stopping.announce("an upgrade", "ann", NOW)
    assert stopping.explain(NOW + timedelta(seconds=5)) == Why(
        signal="SIGTERM", reason="an upgrade", who="ann", whole=True
    )
    assert stopping.explain(NOW + timedelta(minutes=2)).reason == "told to end by SIGTERM"
    stopping.forget()
    assert stopping.explain(NOW).reason == "told to end by SIGTERM"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"reason": "x"}', '{"reason": "x", "who": "", "at": "soon"}'])
def test_a_damaged_note_is_none(text: str) -> None:
    (Path(settings.VAR) / stopping.NOTE).write_text(text)
    assert stopping.explain(NOW).reason == "it was done"


@pytest.mark.django_db(transaction=True)
def test_one_process_writes_an_event_and_one_of_many_does_not() -> None:
    stopping.record("sweeper", Why(signal="SIGTERM", reason="because", who="ann"), started_at=NOW, now=NOW)
    stopping.record("beat", Why(signal="SIGTERM", reason="x", who="", whole=True), started_at=NOW, now=NOW)
    event = Event.objects.get(kind="process.stopped")
    assert (event.subject, event.actor) == ("process:sweeper", "ann")
    assert event.payload | {"pid": 0, "host": ""} == {
        "process": "sweeper",
        "signal": "SIGTERM",
        "reason": "because",
        "who": "ann",
        "seconds": 0,
        "pid": 0,
        "host": "",
    }


@pytest.mark.django_db(transaction=True)
def test_the_supervisor_tells_of_the_stop_and_of_a_death() -> None:
    stopping.caught("SIGINT")
    last_words.of_site(NOW, NOW + timedelta(seconds=90), over=False)
    event = Event.objects.get(kind="site.stopped")
    assert (event.payload["reason"], event.payload["seconds"]) == ("Ctrl-C", 90)
    assert json.loads((Path(settings.VAR) / stopping.NOTE).read_text())["reason"] == "Ctrl-C"
    died = Snapshot(name="web", state=State.RUNNING, pid=1, uptime=0.0, restarts=2, last_exit="signal SIGKILL")
    last_words.of_child(died)
    event = Event.objects.get(kind="process.restarted")
    assert (event.subject, event.payload["how"], event.payload["restarts"]) == ("process:web", "signal SIGKILL", 2)


def test_last_words_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "PATIENCE", 0.05)
    released, done = threading.Event(), threading.Event()

    def hang() -> None:
        released.wait(60)
        done.set()

    stopping.in_time(hang)
    assert not done.is_set(), "it did not wait for what hangs"
    released.set()
    assert done.wait(60)


@pytest.mark.django_db(transaction=True)
def test_real_processes_say_why_they_ended(database_url: str, tmp_path: Path) -> None:
    """A sweeper that is told to end, and one whose site is being stopped: an event of the first alone."""
    home = {"DATABASE_URL": database_url, "TRADINGSITE_VAR": str(tmp_path)}
    logs = [tmp_path / "alone.log", tmp_path / "whole.log"]
    for log in logs:
        with running(str(REPOSITORY / "manage.py"), "sweeper", environment=home, log=log) as process:
            eventually(lambda pid=process.pid: beats(pid), 60, log.read_text)
            if log.stem == "whole":
                stopping.announce("the machine is needed", "ann", datetime.now(UTC))
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
    event = Event.objects.get(kind="process.stopped")
    assert event.subject == "process:sweeper"
    assert (event.payload["signal"], event.payload["reason"]) == ("SIGTERM", "told to end by SIGTERM")
    assert "the machine is needed, by ann" in logs[1].read_text()


@pytest.mark.django_db(transaction=True)
def test_a_worker_says_why_it_ended(start_worker: object, tmp_path: Path) -> None:
    worker = start_worker("worker-orders", TRADINGSITE_VAR=str(tmp_path))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    event = Event.objects.get(kind="process.stopped")
    assert event.subject == "process:worker:orders"
    assert event.payload["signal"] in {"SIGTERM", "SIGQUIT"}, "Celery names what it remaps"


def beats(pid: int) -> bool:
    return Pulse.objects.filter(pid=pid).exists()
