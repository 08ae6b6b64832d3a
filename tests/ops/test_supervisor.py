"""The process supervisor: real children that die, linger, ignore signals or lose their supervisor."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from apps.ops import servers
from apps.ops.supervisor import AlreadyRunning, Child, Snapshot, State, Supervisor, only_one
from apps.ops.supervisor.children import LONGEST_PAUSE, Pauses, rotate
from apps.ops.supervisor.watches import Watch
from tests.servers import PrivateServers

REPOSITORY = Path(__file__).resolve().parents[2]
IGNORES_TERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)
# A supervisor in a process of its own, to be killed: one obedient child with a grandchild, one deaf child.
VICTIM = """
import sys, time
from pathlib import Path
from apps.ops.supervisor import Child, Supervisor
folder = Path(sys.argv[1])
grandchild = "import time; time.sleep(600)"
parent = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', '{grandchild}']); time.sleep(600)"
with Supervisor(folder) as supervisor:
    supervisor.start(
        Child(name="parent", argv=(sys.executable, "-c", parent)),
        Child(name="deaf", argv=(sys.executable, "-c", sys.argv[2])),
    )
    while True:
        supervisor.tick()
        pids = [seen.pid for seen in supervisor.snapshot()]
        print(*pids, supervisor.warden_pid, flush=True)
        time.sleep(0.05)
"""


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(tmp_path / "log", chance=random.Random(1)) as made:
        yield made


def python(name: str, code: str, **more: object) -> Child:
    return Child(name=name, argv=(sys.executable, "-c", code), **more)


def run_until(supervisor: Supervisor, condition: Callable[[], object], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {supervisor.snapshot()}"
        supervisor.tick()
        time.sleep(0.02)


def seen(supervisor: Supervisor, name: str) -> Snapshot:
    return next(item for item in supervisor.snapshot() if item.name == name)


def log(tmp_path: Path, name: str) -> str:
    path = tmp_path / "log" / f"{name}.log"
    return path.read_text() if path.exists() else ""


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_child_runs_with_its_environment_and_its_log(supervisor: Supervisor, tmp_path: Path) -> None:
    code = "import os, time; print(os.environ['WORD'], flush=True); time.sleep(600)"
    supervisor.start(python("one", code, environment={"WORD": "hello"}))
    run_until(supervisor, lambda: "hello" in log(tmp_path, "one"))
    found = seen(supervisor, "one")
    assert (found.state, found.restarts, found.last_exit) == (State.RUNNING, 0, "")
    assert found.uptime > 0
    assert psutil.Process(found.pid).cmdline()[-1] == code, "the child must be the program itself, not a wrapper"


def test_a_child_has_a_session_of_its_own_so_that_ctrl_c_misses_it(supervisor: Supervisor) -> None:
    supervisor.start(python("one", "import time; time.sleep(600)"))
    pid = seen(supervisor, "one").pid
    assert pid is not None
    assert os.getsid(pid) == os.getpgid(pid) == pid


def test_a_dying_child_is_restarted_after_growing_pauses_and_its_reason_is_kept(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    code = "import sys, time; print(time.time(), flush=True); sys.exit('no such exchange')"
    supervisor.start(python("one", code))
    run_until(supervisor, lambda: seen(supervisor, "one").restarts >= 4 and seen(supervisor, "one").pid is None)
    found = seen(supervisor, "one")
    assert found.last_exit == "exit 1: no such exchange"
    assert found.state is State.WAITING
    starts = [float(line) for line in log(tmp_path, "one").splitlines() if line[0].isdigit()]
    pauses = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert pauses == sorted(pauses)
    assert pauses[3] > 4 * pauses[0] * 0.8


def test_a_killed_child_is_restarted_and_the_signal_is_named(supervisor: Supervisor) -> None:
    supervisor.start(python("one", "import time; time.sleep(600)"))
    first = seen(supervisor, "one").pid
    os.kill(first or 0, signal.SIGKILL)
    run_until(supervisor, lambda: seen(supervisor, "one").restarts == 1)
    found = seen(supervisor, "one")
    assert found.pid not in {None, first}
    assert found.last_exit.startswith("signal SIGKILL")


def test_a_program_that_does_not_exist_says_so(supervisor: Supervisor) -> None:
    supervisor.start(Child(name="one", argv=("/nonexistent/program",)))
    run_until(supervisor, lambda: seen(supervisor, "one").last_exit)
    assert (
        seen(supervisor, "one").last_exit == "exit 1: /nonexistent/program cannot be started: No such file or directory"
    )


def test_what_a_dead_child_left_in_its_group_is_ended(supervisor: Supervisor, tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "print(p.pid, flush=True)"
    )
    supervisor.start(python("one", code))
    run_until(supervisor, lambda: seen(supervisor, "one").last_exit)
    orphan = int(log(tmp_path, "one").split()[0])
    run_until(supervisor, lambda: gone(orphan), 5)


def test_pauses_double_to_ten_seconds_and_start_over_after_a_healthy_run() -> None:
    pauses = Pauses(random.Random(7))
    found = [pauses.after(1.0) for _ in range(10)]
    assert 0.16 <= found[0] <= 0.2
    assert all(1.5 < later / earlier < 2.6 for earlier, later in itertools.pairwise(found[:6]))
    assert max(found) <= LONGEST_PAUSE
    assert found[-1] >= 0.8 * LONGEST_PAUSE
    assert pauses.after(30.0) <= 0.2
    assert pauses.after(1.0) > 0.2


def test_a_stubborn_child_is_killed_with_its_group_when_its_grace_is_over(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.start(python("deaf", IGNORES_TERM, grace=0.5))
    run_until(supervisor, lambda: "deaf" in log(tmp_path, "deaf"))
    begun = time.monotonic()
    supervisor.stop()
    assert 0.4 < time.monotonic() - begun < 3.0
    found = seen(supervisor, "deaf")
    assert found.state is State.STOPPED
    assert found.last_exit.startswith("signal SIGKILL")


def test_children_stop_in_reverse_order_each_after_the_later_ones_are_gone(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    code = (
        "import signal, sys, time\n"
        "def say(word): print(word, time.time(), flush=True)\n"
        "def stop(*_): say('told'); time.sleep(0.3); say('gone'); sys.exit()\n"
        "signal.signal(signal.SIGUSR1, stop); print('up', flush=True)\n"
        "while True: time.sleep(0.01)"
    )
    names = ("database", "worker", "web")
    children = [python(name, code, order=order, stop_signal=signal.SIGUSR1) for order, name in enumerate(names)]
    supervisor.start(*reversed(children))
    run_until(supervisor, lambda: all("up" in log(tmp_path, name) for name in names))
    supervisor.stop()
    told, left = (
        {name: float(line.split()[1]) for name in names for line in log(tmp_path, name).splitlines() if word in line}
        for word in ("told", "gone")
    )
    assert left["web"] <= told["worker"]
    assert left["worker"] <= told["database"]
    assert all(seen(supervisor, name).last_exit.startswith("exit 0") for name in names)


def test_stopping_takes_no_longer_than_the_total_whatever_the_graces(tmp_path: Path) -> None:
    with Supervisor(tmp_path / "log", stop_seconds=2.0) as supervisor:
        supervisor.start(*(python(f"deaf{order}", IGNORES_TERM, order=order, grace=30) for order in range(3)))
        run_until(supervisor, lambda: all("deaf" in log(tmp_path, f"deaf{order}") for order in range(3)))
        begun = time.monotonic()
        supervisor.stop()
        assert time.monotonic() - begun < 2.6
        assert {item.state for item in supervisor.snapshot()} == {State.STOPPED}


def test_nothing_is_restarted_once_the_stop_has_begun(supervisor: Supervisor, tmp_path: Path) -> None:
    code = "import time; print('up', flush=True); time.sleep(600)"
    supervisor.start(python("dead", "raise SystemExit(3)"), python("deaf", IGNORES_TERM, grace=1.5, order=1))
    supervisor.start(python("fine", code))
    run_until(supervisor, lambda: "deaf" in log(tmp_path, "deaf") and seen(supervisor, "dead").pid is None)
    supervisor.begin_stop()
    os.kill(seen(supervisor, "fine").pid or 0, signal.SIGKILL)
    restarts = seen(supervisor, "dead").restarts
    run_until(supervisor, lambda: supervisor.stopped)
    assert seen(supervisor, "fine").restarts == 0
    assert seen(supervisor, "dead").restarts == restarts
    assert {item.state for item in supervisor.snapshot()} == {State.STOPPED}


@pytest.mark.faults
def test_no_process_outlives_a_supervisor_killed_with_9(tmp_path: Path) -> None:
    victim = subprocess.Popen(
        [sys.executable, "-c", VICTIM, str(tmp_path), IGNORES_TERM],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        start_new_session=True,
    )
    pids: list[int] = []
    try:
        assert victim.stdout is not None
        for line in victim.stdout:
            pids = [int(word) for word in line.split()]
            grandchildren = psutil.Process(pids[0]).children()
            if grandchildren and "deaf" in (tmp_path / "deaf.log").read_text():
                pids += [child.pid for child in grandchildren]
                break
        victim.kill()
        deadline = time.monotonic() + 10
        while not all(map(gone, pids)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert [pid for pid in pids if not gone(pid)] == []
    finally:
        victim.kill()
        victim.communicate()


@pytest.mark.faults
def test_a_killed_warden_is_replaced_and_knows_every_child(supervisor: Supervisor) -> None:
    supervisor.start(python("one", "import time; time.sleep(600)"))
    run_until(supervisor, lambda: "sleep(600)" in " ".join(psutil.Process(seen(supervisor, "one").pid).cmdline()))
    first = supervisor.warden_pid
    os.kill(first, signal.SIGKILL)
    run_until(supervisor, lambda: supervisor.warden_pid != first)
    one = seen(supervisor, "one").pid or 0
    supervisor._warden.close()  # what happens when the supervisor is gone
    assert not psutil.pid_exists(one) or psutil.Process(one).status() == psutil.STATUS_ZOMBIE
    supervisor._warden = type(supervisor._warden)()


def test_a_long_log_is_put_aside_and_emptied_in_place(tmp_path: Path) -> None:
    path = tmp_path / "one.log"
    with path.open("ab", buffering=0) as writer:
        for word in (b"a", b"b", b"c", b"d", b"e"):
            writer.write(word * 100)
            rotate(path, limit=50)
        writer.write(b"new")
    assert path.read_bytes() == b"new"
    assert [(tmp_path / f"one.log.{n}").read_bytes()[:1] for n in (1, 2, 3)] == [b"e", b"d", b"c"]
    assert not (tmp_path / "one.log.4").exists()


def test_a_second_supervisor_learns_who_the_first_one_is(tmp_path: Path) -> None:
    with only_one(tmp_path / "up.lock") as claim:
        claim.announce("http://127.0.0.1:8000/")
        expected = f"pid {os.getpid()}, address http://127.0.0.1:8000/"
        with pytest.raises(AlreadyRunning, match=expected), only_one(tmp_path / "up.lock"):
            pass
    with only_one(tmp_path / "up.lock"):
        pass


def test_a_failing_revival_is_told_and_repeated_after_growing_pauses(supervisor: Supervisor) -> None:
    calls: list[float] = []

    def fail() -> None:
        calls.append(time.monotonic())
        raise servers.ServersUnavailable("Port 1 is in use.")

    supervisor.watch("redis", pid=lambda: None, revive=fail)
    run_until(supervisor, lambda: len(calls) >= 4)
    found = seen(supervisor, "redis")
    assert (found.state, found.last_exit, found.restarts) == (State.WAITING, "Port 1 is in use.", 0)
    assert calls[3] - calls[2] > calls[1] - calls[0]


def test_a_slow_revival_does_not_hold_up_the_loop() -> None:
    released = threading.Event()
    watch = Watch("postgresql", lambda: None, lambda: released.wait(10), Pauses(random.Random(1)))
    begun = time.monotonic()
    for _ in range(20):
        watch.tick(time.monotonic())
    assert time.monotonic() - begun < 0.5
    released.set()
    watch.close()


@pytest.mark.faults
def test_embedded_servers_are_revived(supervisor: Supervisor, private_servers: Callable[[], PrivateServers]) -> None:
    own = private_servers()
    for name in own.addresses.embedded:
        supervisor.watch(
            name, pid=partial(servers.pid, name, own.state), revive=partial(servers.revive, name, own.state)
        )
    before = {item.name: item.pid for item in supervisor.snapshot()}
    own.kill_redis()
    own.stop_postgres("kill")
    begun = time.monotonic()
    run_until(supervisor, lambda: all(item.restarts == 1 for item in supervisor.snapshot()))
    assert time.monotonic() - begun < 10
    after = {item.name: item.pid for item in supervisor.snapshot()}
    assert not set(before.values()) & {*after.values(), None}
    assert all(servers.answers(name, own.state) for name in own.addresses.embedded)
    assert seen(supervisor, "redis").last_exit == f"pid {before['redis']} is gone"


def test_a_snapshot_can_be_shown_as_json(supervisor: Supervisor) -> None:
    supervisor.start(python("one", "import time; time.sleep(600)"))
    found = seen(supervisor, "one")
    shown = json.loads(json.dumps({name: getattr(found, name) for name in Snapshot.__slots__}))
    assert shown["state"] == "running"
