"""Five hundred trials while a worker is killed with -9 every second: each is there once, as if nothing had happened.

`SWEEP_KILL_EVERY=10 SWEEP_PAUSE=1 pytest tests/flow/test_sweep_kill.py` takes ten times as long, with a kill every ten
seconds.
"""

import itertools
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from apps.backtests import locks
from apps.backtests.models import Study, Trial
from tests.backtests import searching
from tests.flow.worlds import ROOT, World, as_json, eventually

KILL_EVERY = float(os.environ.get("SWEEP_KILL_EVERY", "1"))
PAUSE = float(os.environ.get("SWEEP_PAUSE", "0.03"))  # seconds that a trial takes, beside its computing
PATIENCE = 120 * KILL_EVERY
WORTH_A_KILL = 40  # trials
WORKERS = 2  # of two processes each
# A strategy that an operator has installed: like the cross of two means, but it takes its time.
PLUGIN = '''"""A slow cross."""
import os, time
from apps.domain.strategies.sma_cross import SmaCross

class SlowCross(SmaCross):
    """The cross of two means, and a pause."""
    name = "slow_cross"

    def stances(self, candles):
        time.sleep(float(os.environ["SWEEP_TEST_PAUSE"]))
        return super().stances(candles)
'''
SPACE = ("--param", "fast=2:26:1", "--param", "slow=30:68:2")  # 25 times 20


@dataclass
class Site:
    """Workers that come and go, and the files they need."""

    world: World
    folder: Path
    candles: Path
    workers: list[str] = field(default_factory=list)
    kills: int = 0
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def environment(self, pause: float) -> dict[str, str]:
        return {"PYTHONPATH": f"{ROOT}:{self.folder}", "SWEEP_TEST_PAUSE": str(pause)}

    def start_worker(self) -> None:
        name = f"worker-{next(self.numbers)}"
        child = self.world.child("worker-backtests")
        argv = [word.replace("backtests@", f"{name}@") for word in child.argv]
        self.world.spawn(name, argv, {**child.environment, **self.environment(PAUSE)})
        self.workers.append(name)

    def kill(self, study: Study) -> None:
        """Kill a process that computes, or every third time its worker with all it has, and start another worker."""
        busy = {int(name.rpartition(":")[2]) for name in locks.workers(study.pk)}
        children = {child.pid: name for name in self.workers for child in self._children(name)}
        found = sorted(busy & children.keys())
        if not found:
            return
        self.kills += 1
        victim = found[self.kills % len(found)]
        if self.kills % 3:
            os.kill(victim, signal.SIGKILL)
            return
        name = children[victim]
        self.workers.remove(name)
        os.killpg(self.world.running[name].pid, signal.SIGKILL)
        self.world.stop(name)
        self.start_worker()

    def _children(self, name: str) -> list[psutil.Process]:
        return psutil.Process(self.world.running[name].pid).children()

    def sweep(self, *words: str, pause: float = PAUSE) -> dict[str, Any]:
        done = self.world.manage("sweep", *words, "--json", "--all", **self.environment(pause))
        assert done.returncode == 0, done.stderr + done.stdout
        return as_json(done.stdout)

    def begin(self, *words: str) -> "subprocess.Popen[bytes]":
        argv = (sys.executable, str(ROOT / "manage.py"), "sweep", *words, "--json", "--all")
        return self.world.spawn("sweep", argv, self.environment(PAUSE))


@pytest.fixture
def site(world: World, tmp_path: Path) -> Site:
    folder = tmp_path / "plugins"
    about = folder / "slow_cross-1.dist-info"
    about.mkdir(parents=True)
    (folder / "slow_cross.py").write_text(PLUGIN)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: slow-cross\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[tradingsite.strategies]\nslow_cross = slow_cross:SlowCross\n")
    candles = tmp_path / "walk.csv"
    candles.write_text(searching.as_csv(searching.candles(800)))
    return Site(world, folder, candles)


def test_killed_workers_and_a_killed_command_leave_every_trial_exactly_once(site: Site) -> None:
    words = ("slow_cross", "--candles", str(site.candles), *SPACE, "--fee", "0.001")
    undisturbed = site.sweep(*words, "--inline", pause=0)
    assert (undisturbed["trials"], undisturbed["done"], undisturbed["reused"]) == (500, 500, 0)
    for _ in range(WORKERS):
        site.start_worker()
    site.world.wait_for(*site.workers)

    first = site.begin(*words, "--again")
    study = eventually(lambda: Study.objects.exclude(pk=undisturbed["study"]).first(), explain=lambda: log(site))
    assert isinstance(study, Study)
    eventually(lambda: _settled(study) >= 50, PATIENCE, explain=lambda: log(site))
    first.kill()
    first.wait(10)
    site.world.running.pop("sweep")
    second = site.begin("--resume", str(study.pk))
    _kill_until_done(site, study, second)

    assert second.returncode == 0, log(site)
    disturbed = as_json((site.world.folder / "sweep.log").read_text().splitlines()[-1])
    print(f"\n{site.kills} kills, {_attempts(study) - 500} trials begun again, {disturbed['seconds']} s")
    rows = Trial.objects.filter(study=study)
    assert rows.count() == rows.values("parameters").distinct().count() == 500
    assert set(rows.values_list("state", "results", "reused")) == {("done", 1, False)}
    assert _told(disturbed["all"]) == _told(undisturbed["all"])
    assert disturbed["best"] == undisturbed["best"]
    assert site.kills >= 5
    assert _attempts(study) > 500, "no kill has hit a trial under way"


def _kill_until_done(site: Site, study: Study, command: "subprocess.Popen[bytes]") -> None:
    """Kill every now and then, once a few trials more are done: on a busy machine a worker needs time to begin."""
    ends = time.monotonic() + PATIENCE
    kill_at, settled = time.monotonic(), 0
    while command.poll() is None:
        assert time.monotonic() < ends, log(site)
        if time.monotonic() >= kill_at and _settled(study) >= settled:
            site.kill(study)
            kill_at, settled = time.monotonic() + KILL_EVERY, _settled(study) + WORTH_A_KILL
        time.sleep(0.05)


def _settled(study: Study) -> int:
    return Trial.objects.filter(study=study, results=1).count()


def _attempts(study: Study) -> int:
    return sum(Trial.objects.filter(study=study).values_list("attempt", flat=True))


def _told(trials: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(each["number"], each["parameters"], each["state"], each["measures"]) for each in trials]


def log(site: Site) -> str:
    return "\n".join(worlds_log for name in ("sweep", *site.workers) if (worlds_log := site.world.log(name)))


def test_a_search_by_earlier_results_is_the_same_in_workers_as_in_one_process(site: Site) -> None:
    words = ("slow_cross", "--candles", str(site.candles), "--search", "bayesian", "--trials", "60", "--seed", "7")
    space = ("--param", "fast=2:60", "--param", "slow=61:200")
    alone = site.sweep(*words, *space, "--inline", pause=0)
    site.start_worker()
    site.world.wait_for(*site.workers)
    spread = site.sweep(*words, *space, "--again", pause=0)
    assert spread["state"] == "done"
    assert _told(spread["all"]) == _told(alone["all"])
    assert {row["number"] for row in spread["all"]} == set(range(60))
    assert set(Trial.objects.filter(study=spread["study"]).values_list("results", flat=True)) == {1}
