"""The Procfile says what `manage.py up` starts, and nothing secret is ever on a command line."""

import sys
from pathlib import Path

import pytest
from django.conf import settings

from apps.ops import processes
from apps.ops.supervisor import Child
from workers import queues

ROOT = Path(__file__).parents[2]
DEFAULTS = {
    "SIMULATE": True,
    "SIMULATOR_PORT": 0,
    "LISTENER_SHARDS": 1,
    "LISTENER_STANDBY": True,
    "WEB_HOST": "127.0.0.1",
    "WEB_PORT": 8000,
    "EXIT_WORKERS": 2,
    "ORDER_WORKERS": 2,
    "WORKERS": 2,
    "REPORTING_WORKERS": 1,
    "BACKTEST_WORKERS": 2,
}


@pytest.fixture(autouse=True)
def _defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of a machine whose environment says nothing."""
    for name, value in DEFAULTS.items():
        monkeypatch.setattr(settings, name, value)


@pytest.fixture
def children() -> dict[str, Child]:
    return {child.name: child for child in processes.children(settings, flower_password="a-secret")}


def test_the_procfile_is_what_is_started() -> None:
    assert (ROOT / "Procfile").read_text() == processes.procfile(settings)


def test_every_kind_of_process_is_there_once(children: dict[str, Child]) -> None:
    assert set(processes.KINDS) | {"listener-standby"} == set(children)


def test_a_real_exchange_needs_no_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "SIMULATE", False)
    monkeypatch.setattr(settings, "LISTENER_STANDBY", False)
    names = [child.name for child in processes.children(settings, flower_password="x")]
    assert "simulator" not in names
    assert "listener-standby" not in names


def test_every_shard_has_a_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "LISTENER_SHARDS", 2)
    found = {child.name: child.argv for child in processes.children(settings, flower_password="x")}
    assert found["listener-1"][-2:] == ("--shard", "1")


def test_every_queue_has_exactly_one_worker(children: dict[str, Child]) -> None:
    consumed = [
        name
        for child in children.values()
        if "-Q" in child.argv
        for name in child.argv[child.argv.index("-Q") + 1].split(",")
    ]
    assert sorted(consumed) == sorted(queues.NAMES)


def test_no_secret_is_on_a_command_line(children: dict[str, Child]) -> None:
    words = " ".join(word for child in children.values() for word in child.argv)
    assert "a-secret" not in words
    assert "redis://" not in words
    assert children["flower"].environment["FLOWER_BASIC_AUTH"] == "admin:a-secret"


def test_the_interpreter_is_the_one_that_runs_this(children: dict[str, Child]) -> None:
    assert {child.argv[0] for child in children.values()} == {sys.executable}


def test_workers_have_time_to_end_within_the_total(children: dict[str, Child]) -> None:
    workers = [child for name, child in children.items() if name.startswith("worker")]
    assert len(workers) == 5
    assert all(settings.CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT < child.grace < 10 for child in workers)
