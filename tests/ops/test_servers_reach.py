"""The embedded servers run as whoever may run them, from wherever that user can reach."""

import multiprocessing
import os
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

from apps.ops import servers
from apps.ops.servers import places, processes, programs
from tests.ops.holders import ROOT, query
from tests.servers import temporary_folder


@pytest.mark.skipif(not ROOT, reason="only root can start what another user could not reach")
def test_servers_below_an_unreachable_folder_move_elsewhere_and_loosen_nothing(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    modes = {path: path.stat().st_mode for path in closed.parents}
    home = None
    try:
        with servers.lease(closed / "var") as found:
            home = places.settle(closed / "var").home
            assert home.parent == places.ELSEWHERE
            assert query(found.database_url, "SELECT 1") == [(1,)]
        with servers.lease(closed / "var") as again:
            assert again == found
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert {path: path.stat().st_mode for path in closed.parents} == modes
    finally:
        if home is not None:
            subprocess.run(["rm", "-rf", str(home)], check=True)
        if places.ELSEWHERE.is_dir() and not any(places.ELSEWHERE.iterdir()):
            places.ELSEWHERE.rmdir()


@pytest.mark.skipif(not ROOT, reason="only root can start what another user could not reach")
def test_programs_below_an_unreachable_folder_are_copied_whole(tmp_path: Path, state: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    hidden = programs.postgres().copied_to(closed)
    original = programs.postgres()
    assert original.root is not None
    program = programs.Program(path=hidden.path, origin="embedded", root=closed, parts=original.parts)
    place = places.settle(state)
    assert place.account is not None
    assert not places.can_reach(program.path, place.account)
    copy = place.reachable(program)
    told = processes.run([copy.path.parent / "initdb", "--version"], account=place.account)
    assert told.returncode == 0, told.stderr
    assert place.reachable(program) == copy


def test_an_ordinary_user_can_do_all_of_it() -> None:
    with temporary_folder("tradingsite-user-") as folder:
        user = places.Account(name="nobody", uid=65534, gid=65534) if ROOT else None
        home = folder / "home"
        home.mkdir(mode=0o700)
        if user is not None:
            os.chown(home, user.uid, user.gid)
        _check_reach(user, folder)
        # A fork keeps the modules that are loaded: the interpreter itself may lie where that user cannot go.
        child = multiprocessing.get_context("fork").Process(target=_as_user, args=(user, home / "var"))
        child.start()
        child.join(60)
        assert child.exitcode == 0
        owners = {path.stat().st_uid for path in home.rglob("*")}
        assert owners == {user.uid if user else os.geteuid()}


def _check_reach(user: places.Account | None, folder: Path) -> None:
    for variable, find in (("PG_BINDIR", programs.postgres), ("VALKEY_BIN", programs.valkey)):
        program = find()
        if user is not None and not places.can_reach(program.path, user):
            (folder / variable).mkdir()
            path = program.copied_to(folder / variable).path
            os.environ[variable] = str(path.parent if variable == "PG_BINDIR" else path)


def _as_user(user: places.Account | None, state: Path) -> None:
    if user is not None:
        os.setgroups([])
        os.setgid(user.gid)
        os.setuid(user.uid)
    with servers.lease(state) as found:
        query(found.database_url, "CREATE TABLE kept (n int)")
        os.kill(servers.pid("postgresql", state) or 0, signal.SIGKILL)
        os.kill(servers.pid("redis", state) or 0, signal.SIGKILL)
        while servers.alive("postgresql", state) or servers.alive("redis", state):
            time.sleep(0.01)
        servers.revive("postgresql", state)
        servers.revive("redis", state)
        assert query(found.database_url, "SELECT count(*) FROM kept") == [(0,)]
    assert not servers.alive("postgresql", state)
    assert not servers.alive("redis", state)
