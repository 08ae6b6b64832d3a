"""A plug-in that hangs, dies or eats memory is cut off, recorded, and never hurts another."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from django.db import connection
from pytest_django import Settings

from apps.domain.strategies.registry import STRATEGIES
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.strategies import services
from apps.strategies.host.pool import Host, HostLost, NotYet, Pool
from apps.strategies.models import Signal, Strategy
from apps.strategies.services import running
from tests.strategies import bars
from tests.strategies.conftest import NOW, make_strategy

Trade = Callable[..., None]
PLUGIN = """
import ctypes, os, re, sys, time
from dataclasses import dataclass
import numpy as np
from apps.domain.strategies.contract import Strategy

class Base(Strategy):
    name = "base"

    @dataclass(frozen=True)
    class Parameters:
        pass

    def __init__(self, parameters):
        pass

    @property
    def warmup(self):
        return 1

    def stances(self, candles):
        self.misbehave()
        return np.ones(len(candles.at), np.int8)

class Looping(Base):
    name = "looping"
    def misbehave(self):
        while True:
            pass

class Frozen(Base):
    name = "frozen"
    def misbehave(self):
        ctypes.PyDLL(None).sleep(1000)  # holds the interpreter's lock: no Python line is reached again

class Early(Base):
    name = "early"
    @property
    def warmup(self):
        time.sleep(1000)

class Dying(Base):
    name = "dying"
    def misbehave(self):
        os._exit(7)

class Faulting(Base):
    name = "faulting"
    def misbehave(self):
        os.kill(os.getpid(), 11)

class Greedy(Base):
    name = "greedy"
    def misbehave(self):
        self.kept = bytearray(1 << 36)

class Leaving(Base):
    name = "leaving"
    def misbehave(self):
        sys.exit("enough")

class Slow(Base):
    name = "slow"
    def misbehave(self):
        time.sleep(1.2)

class Chatty(Base):
    name = "chatty"
    def misbehave(self):
        print("x" * 1_000_000, flush=True)
        os.write(1, b"y" * 1000)

class Nosy(Base):
    name = "nosy"
    def misbehave(self):
        raise ValueError(sorted(set(os.environ) & {"SECRET_KEY", "DATABASE_URL", "REDIS_URL"}))
"""
NAMES = ["Looping", "Frozen", "Early", "Dying", "Faulting", "Greedy", "Leaving", "Slow", "Chatty", "Nosy"]


@pytest.fixture(autouse=True)
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install a package of plug-ins that misbehave."""
    (tmp_path / "odd_strategies.py").write_text(PLUGIN)
    offers = "\n".join(f"{name.lower()} = odd_strategies:{name}" for name in NAMES)
    (tmp_path / "odd_strategies-1.dist-info").mkdir()
    (tmp_path / "odd_strategies-1.dist-info" / "entry_points.txt").write_text(f"[tradingsite.strategies]\n{offers}\n")
    (tmp_path / "odd_strategies-1.dist-info" / "METADATA").write_text("Name: odd_strategies\nVersion: 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    vars(STRATEGIES).pop("_found", None)
    yield
    vars(STRATEGIES).pop("_found", None)


@pytest.fixture(autouse=True)
def quick(settings: Settings, hosts: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds for an answer, half of one before others go on."""
    settings.STRATEGY_TIME_LIMIT = 2
    monkeypatch.setattr(running, "PATIENCE", 0.5)


def error() -> str:
    return str(Event.objects.get(kind="strategy.failed").payload["error"])


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children() if "apps.strategies.host" in child.cmdline()}


@pytest.mark.parametrize("plugin", ["looping", "frozen", "early"])
def test_one_that_hangs_is_cut_off_and_holds_up_nobody(
    plugin: str, hosts: Pool, instrument: Instrument, strategy: Strategy, trade: Trade, settings: Settings
) -> None:
    settings.STRATEGY_TIME_LIMIT = 5
    make_strategy("A bad one", plugin, {}, [instrument])
    trade(instrument, 100, 101, 102)
    with hosts.host():  # one is running already
        pass
    begun = time.monotonic()
    heard: list[tuple[float, list[int]]] = []
    ids = services.run_due(NOW, deliver=lambda found: heard.append((time.monotonic() - begun, found)))
    took = time.monotonic() - begun
    assert [found for _, found in heard] == [ids]
    assert ids == [Signal.objects.get(strategy=strategy).pk]
    assert took < 4.5, "the task did not wait for the time limit"
    assert services.settle(20)
    assert "did not answer within 5 s" in error()
    assert len(children()) <= 1, "the process that hung is gone"


def test_a_hanging_one_is_not_asked_twice_at_once(instrument: Instrument, trade: Trade) -> None:
    bad = make_strategy("A bad one", "frozen", {}, [instrument])
    trade(instrument, 100, 101, 102)
    services.run_due(NOW)
    bad.refresh_from_db()
    assert bad.busy_until is not None
    before = children()
    services.run_due(NOW + timedelta(seconds=1))
    assert children() == before
    assert services.settle(20)
    bad.refresh_from_db()
    assert (bad.busy_until, bad.failures) == (None, 1)


def test_one_that_failed_lately_is_asked_last(
    hosts: Pool, instrument: Instrument, strategy: Strategy, trade: Trade
) -> None:
    first = make_strategy("A bad one", "looping", {}, [instrument])
    Strategy.objects.filter(pk=strategy.pk).delete()
    Strategy.objects.filter(pk=first.pk).update(failures=1)
    good = make_strategy("Made later", "momentum", {"lookback": 2}, [instrument])
    trade(instrument, 100, 101, 102)
    with hosts.host():
        pass
    waited_for: list[object] = []
    services.run_due(NOW, deliver=lambda _: waited_for.append(Strategy.objects.get(pk=first.pk).busy_until))
    assert waited_for == [None], "nobody had waited for the bad one when the good one was heard"
    assert Signal.objects.get().strategy_id == good.pk
    assert services.settle(20)


def test_a_slow_one_is_heard_late_but_heard(instrument: Instrument, trade: Trade) -> None:
    slow = make_strategy("Takes its time", "slow", {}, [instrument])
    trade(instrument, 100, 101, 102)
    heard: list[tuple[str, list[int]]] = []
    ids = services.run_due(NOW, deliver=lambda found: heard.append((threading.current_thread().name, found)))
    assert ids == []
    assert services.settle(20)
    signal_ = Signal.objects.get()
    assert heard == [(f"strategy-{slow.pk}", [signal_.pk])]
    assert not Event.objects.filter(kind="strategy.failed").exists()
    slow.refresh_from_db()
    assert slow.busy_until is None


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        ("dying", "ended with status 7"),
        ("faulting", "ended by signal 11"),
        ("greedy", "MemoryError"),
        ("leaving", "SystemExit: enough"),
    ],
)
def test_one_that_takes_its_process_down_is_a_failure_of_its_own(
    plugin: str, words: str, instrument: Instrument, strategy: Strategy, trade: Trade
) -> None:
    make_strategy("A bad one", plugin, {}, [instrument])
    trade(instrument, 100, 101, 102)
    services.run_due(NOW)
    assert services.settle(20)
    assert words in error()
    assert Signal.objects.get().strategy_id == strategy.pk
    assert len(children()) <= 1


def test_one_that_prints_disturbs_nobody(
    instrument: Instrument, trade: Trade, capfd: pytest.CaptureFixture[str]
) -> None:
    make_strategy("Talks", "chatty", {}, [instrument])
    trade(instrument, 100, 101, 102)
    assert len(services.run_due(NOW)) == 1
    assert capfd.readouterr().out == ""


def test_a_plugin_is_told_none_of_the_sites_secrets(instrument: Instrument, trade: Trade) -> None:
    assert os.environ["DATABASE_URL"]
    make_strategy("Looks around", "nosy", {}, [instrument])
    trade(instrument, 100, 101, 102)
    services.run_due(NOW)
    assert error() == "ValueError: []"


def test_five_cut_offs_switch_a_strategy_off(instrument: Instrument, trade: Trade, settings: Settings) -> None:
    settings.STRATEGY_TIME_LIMIT = 1
    bad = make_strategy("A bad one", "frozen", {}, [instrument])
    for bar in range(5):
        now = NOW + timedelta(seconds=10 * bar)
        trade(instrument, 100 + bar, now=now)
        services.run_due(now)
        assert services.settle(20)
    bad.refresh_from_db()
    assert not bad.enabled
    assert Event.objects.filter(kind="strategy.failed").count() == 5
    assert Event.objects.get(kind="strategy.disabled").payload["in_a_row"] == 5


def test_a_failure_is_counted_once_per_bar_however_many_saw_it(instrument: Instrument, trade: Trade) -> None:
    bad = make_strategy("A bad one", "dying", {}, [instrument])
    trade(instrument, 100, 101, 102)

    def run(_: int) -> None:
        try:
            services.run_due(NOW)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(8)))
    assert services.settle(20)
    bad.refresh_from_db()
    assert bad.failures == 1
    assert Event.objects.filter(kind="strategy.failed").count() == 1


def test_a_host_whose_asker_died_is_ended_by_the_kernel(tmp_path: Path) -> None:
    """The asker is killed while compiled code hangs in the host: nobody is left to kill it but its own alarm."""
    script = tmp_path / "asker.py"
    script.write_text(
        "import sys\n"
        "from apps.strategies.host.pool import Host\n"
        "host = Host()\n"
        "host.allow(1.0)\n"
        "host.ask({'plugin': 'frozen', 'parameters': {}, 'do': 'describe'})\n"
        "host.answer(1.0)\n"
        "from tests.strategies import bars\n"
        "host.ask({'plugin': 'frozen', 'parameters': {}, 'do': 'judge'}, [bars.walk(5)])\n"
        "print(host.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path), os.getcwd()])}
    with subprocess.Popen(
        [sys.executable, str(script)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as asker:
        assert asker.stdout is not None
        host = psutil.Process(int(asker.stdout.readline()))
        time.sleep(0.3)  # it has read the question and hangs
        asker.send_signal(signal.SIGKILL)
    gone, alive = psutil.wait_procs([host], timeout=10)
    for process in alive:
        process.kill()
    assert gone


def test_an_idle_host_ends_with_its_asker() -> None:
    host = Host()
    process = psutil.Process(host.pid)
    host.forget()  # as when the asker is killed: its end of the line closes
    gone, _ = psutil.wait_procs([process], timeout=10)
    assert gone
    host.kill()


def test_no_more_hosts_than_allowed(hosts: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.strategies.host.pool.MOST", 1)
    taken = hosts.take()
    assert taken is not None
    assert hosts.take() is None
    hosts.give_back(taken)
    assert hosts.take() is taken


def test_patience_is_not_the_end_of_a_question(hosts: Pool) -> None:
    host = hosts.take()
    assert host is not None
    host.allow(5)
    host.ask({"plugin": "slow", "parameters": {}, "do": "describe"})
    host.answer(5)
    host.ask({"plugin": "slow", "parameters": {}, "do": "judge"}, [bars.walk(3)])
    with pytest.raises(NotYet):
        host.answer(0.2)
    assert host.answer(5)["told"][0]["stance"] == 1


def test_a_killed_host_says_by_what(hosts: Pool) -> None:
    host = hosts.take()
    assert host is not None
    os.kill(host.pid, signal.SIGKILL)
    host.allow(5)
    with pytest.raises(HostLost, match="signal 9"):
        told(host, {"plugin": "slow", "parameters": {}, "do": "describe"})


def told(host: Host, question: dict[str, object]) -> object:
    host.ask(question)
    return host.answer(5)
