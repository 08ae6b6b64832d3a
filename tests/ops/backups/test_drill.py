"""The drill: a real restore into a real server that nobody else knows, and nothing of it left afterwards."""

import contextlib
import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from django.conf import settings

from apps.journal.models import Event
from apps.ops.backups import manifest, scratch, selectors, services
from apps.ops.backups.drilling import Drill
from apps.ops.backups.errors import BackupBusy, BackupUnusable
from apps.ops.backups.models import BackupRun, Kind, Status
from apps.ops.backups.taking import Plan, Taken
from apps.ops.servers import places, processes
from tests import factories
from tests.ops.backups.conftest import command


def running(folder: Path) -> list[psutil.Process]:
    """Return the servers whose data lies below a folder, wherever root had to put it."""
    homes = [places.settle(state).home for state in folder.glob("server-*")]
    pids = [pid for home in homes if (pid := processes.recorded_pid(home / "postgres" / "postmaster.pid"))]
    return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]


def wanted(taken: Taken, **more: Path) -> Drill:
    return Drill(shelf=taken.folder.parent, scratch=Path(settings.VAR) / "drill", **more)


def test_the_newest_backup_is_proven_and_the_proof_is_kept(taken: Taken, plan: Plan) -> None:
    process = command(plan, "backup", "--drill", "--json")
    out, words = process.communicate(timeout=120)
    assert process.returncode == 0, words.decode()
    assert json.loads(out) == {"ok": True, "name": taken.folder.name, "differences": [], "broken": []}
    run = BackupRun.objects.get(kind=Kind.DRILL)
    assert (run.status, run.name) == (Status.DONE, taken.folder.name)
    assert "every invariant holds" in run.sentence
    assert Event.objects.get(kind="backup.drilled").payload["rows"] == run.facts["rows"] > 0
    assert selectors.last_drill().good == run
    assert list(plan.shelf.parent.glob("var/drill/server-*")) == []


def test_a_drill_finds_what_is_otherwise_and_books_that_do_not_balance(plan: Plan) -> None:
    with contextlib.closing(services.taking.servers.connect(plan.site)) as link, link, link.cursor() as ask:
        ask.execute("UPDATE trading_position SET fees = fees + 1")  # copied well, and wrong all the same
    taken = services.back_up(plan, clock=factories.now)
    contents = taken.manifest.contents
    changed = replace(taken.manifest, contents=replace(contents, journal={**contents.journal, "last": 10**9}))
    (taken.folder / manifest.FILE).write_text(manifest.text(changed, None))
    tried = services.drill(wanted(taken), clock=factories.now)
    assert not tried.ok
    (said,) = tried.differences
    assert said.startswith("journal: ")
    assert [line.partition(" ")[0] for line in tried.broken] == ["I3"]
    assert selectors.last_drill().failing
    assert selectors.last_drill().good is None
    assert Event.objects.get(kind="backup.drill_failed").payload["differences"] == [said]


def test_a_damaged_backup_fails_the_drill_before_a_server_starts(taken: Taken) -> None:
    with (taken.folder / "site.dump").open("r+b") as file:
        file.seek(100)
        file.write(b"\0\1\2")
    with pytest.raises(BackupUnusable, match="is damaged"):
        services.drill(wanted(taken), clock=factories.now)
    assert BackupRun.objects.get(kind=Kind.DRILL).status == Status.FAILED


def test_a_drill_killed_in_the_middle_leaves_nothing_for_long(taken: Taken, plan: Plan) -> None:
    folder = plan.shelf.parent / "var" / "drill"
    process = command(plan, "backup", "--drill")
    deadline = time.monotonic() + 60
    while not BackupRun.objects.filter(kind=Kind.DRILL).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (server,) = running(folder)
    assert server.is_running()
    assert scratch.leftovers(folder)
    services.back_up(plan, clock=factories.now)
    assert psutil.wait_procs([server], timeout=30)[1] == []
    assert list(folder.glob("server-*")) == []
    assert BackupRun.objects.get(kind=Kind.DRILL).status == Status.RUNNING
    services._Story(Kind.DRILL, factories.now(), factories.now, "").bury()  # as the next drill begins
    assert BackupRun.objects.get(kind=Kind.DRILL).sentence == services.KILLED


def test_two_drills_do_not_meet(taken: Taken, folder: Path) -> None:
    place = Path(settings.VAR) / "drill"
    with services.drilling.shelf.held(place, lock=scratch.LOCK):
        with pytest.raises(BackupBusy, match="A drill is under way"):
            services.drill(wanted(taken), clock=factories.now)
        assert scratch.clear_if_idle(place) == []
    assert not BackupRun.objects.filter(kind=Kind.DRILL).exists()
    assert os.listdir(place) == [scratch.LOCK]


def test_without_a_backup_there_is_nothing_to_try(plan: Plan) -> None:
    with pytest.raises(BackupUnusable, match="There is no backup in"):
        services.drill(Drill(shelf=plan.shelf, scratch=Path(settings.VAR) / "drill"), clock=factories.now)
    assert selectors.last_drill().failing
