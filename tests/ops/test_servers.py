"""The embedded servers: started, adopted, revived and stopped for real, in throw-away directories."""

import json
import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg2
import pytest
import redis

from apps.ops import servers
from apps.ops.servers import ServersUnavailable, holding, identity, places
from tests.ops.holders import ROOT, Holder, query, redis_client
from tests.servers import PrivateServers


def test_both_servers_answer_and_say_what_they_are(pair: PrivateServers) -> None:
    found = pair.addresses
    assert query(found.database_url, "SELECT current_user, current_database()") == [("app", "tradingsite")]
    with redis_client(found.redis_url) as client:
        assert client.ping()
    assert found.postgresql.startswith("PostgreSQL ")
    assert found.postgresql.endswith("(embedded)")
    assert found.redis.split()[0] in {"Valkey", "Redis"}
    assert found.embedded == ("postgresql", "redis")


def test_a_wrong_password_is_refused(pair: PrivateServers) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(pair.database_url.replace("app:", "app:x"))
    for url in (pair.redis_url.replace("redis://:", "redis://:x"), "redis://" + pair.redis_url.partition("@")[2]):
        with redis_client(url) as client, pytest.raises(redis.AuthenticationError):
            client.ping()


def test_nothing_listens_beyond_loopback_and_no_password_shows_in_a_command_line(pair: PrivateServers) -> None:
    passwords = json.loads((places.settle(pair.state).home / identity.PASSWORDS).read_text()).values()
    for pid in (pair.postgres_pid, pair.redis_pid):
        process = psutil.Process(pid)
        listening = [link.laddr.ip for link in process.net_connections() if link.status == psutil.CONN_LISTEN]
        assert listening == ["127.0.0.1"]
        assert not any(password in part for password in passwords for part in process.cmdline())


def test_servers_are_in_sessions_of_their_own_so_that_ctrl_c_misses_them(pair: PrivateServers) -> None:
    for pid in (pair.postgres_pid, pair.redis_pid):
        assert os.getsid(pid or 0) == pid


def test_nobody_else_can_look_into_the_state_directory(pair: PrivateServers) -> None:
    home = places.settle(pair.state).home
    assert stat.S_IMODE(pair.state.stat().st_mode) in {0o700, 0o710}
    for name in ("secrets.json", "ports.json", "redis/redis.conf", "servers.holders"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600, name
    for name in ("postgres", "redis", "servers-log"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o700, name


@pytest.mark.skipif(not ROOT, reason="only root has privileges to drop")
def test_root_lets_an_unprivileged_user_run_the_servers(pair: PrivateServers) -> None:
    for pid in (pair.postgres_pid, pair.redis_pid):
        assert psutil.Process(pid).username() in {"postgres", "nobody"}
        assert set(psutil.Process(pid).gids()) != {0}


def test_postgresql_is_set_to_lose_nothing(pair: PrivateServers) -> None:
    wanted = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "TimeZone": "UTC"}
    wanted |= {"max_connections": "200", "data_checksums": "on", "password_encryption": "scram-sha-256"}
    found = query(pair.database_url, f"SELECT name, setting FROM pg_settings WHERE name IN {tuple(wanted)}")
    assert dict(found) == wanted


def test_redis_is_set_to_evict_nothing_and_to_keep_a_log(pair: PrivateServers) -> None:
    with redis_client(pair.redis_url) as client:
        found = client.config_get("maxmemory-policy", "appendonly", "appendfsync", "bind")
        memory = client.config_get("maxmemory")
    assert found == {
        "maxmemory-policy": "noeviction",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "bind": "127.0.0.1",
    }
    assert int(memory["maxmemory"]) > 0


def test_the_site_is_not_a_superuser(pair: PrivateServers) -> None:
    assert query(pair.database_url, "SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = 'app'") == [
        (False, True)
    ]


def test_a_second_process_adopts_the_servers_and_the_last_one_stops_them(state: Path) -> None:
    first = Holder(state)
    told = first.told()
    second = Holder(state)
    assert second.told() == told
    first.leave()
    assert query(str(told["database_url"]), "SELECT 1") == [(1,)]
    second.leave()
    assert servers.pid("postgresql", state) is None
    assert servers.pid("redis", state) is None


def test_processes_that_start_at_once_end_up_with_one_pair(state: Path) -> None:
    holders = [Holder(state) for _ in range(3)]
    told = [holder.told() for holder in holders]
    assert told[0] == told[1] == told[2]
    for holder in holders:
        holder.leave()


def test_servers_of_a_killed_holder_are_adopted_with_their_data_and_then_stopped(state: Path) -> None:
    first = Holder(state)
    told = first.told()
    query(str(told["database_url"]), "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
    first.kill()
    with servers.lease(state) as found:
        assert [servers.pid(name, state) for name in ("postgresql", "redis")] == told["pids"]
        assert query(found.database_url, "SELECT n FROM kept") == [(7,)]
    assert servers.pid("postgresql", state) is None
    assert servers.pid("redis", state) is None


def test_ctrl_c_in_one_terminal_leaves_the_servers_to_the_other_holder(state: Path) -> None:
    with servers.lease(state) as found:
        other = Holder(state)
        other.told()
        os.killpg(other.process.pid, signal.SIGINT)
        other.process.communicate(timeout=30)
        assert query(found.database_url, "SELECT 1") == [(1,)]


@pytest.mark.faults
def test_killed_servers_come_back_with_data_port_and_password(
    private_servers: Callable[[], PrivateServers],
) -> None:
    own = private_servers()
    query(own.database_url, "CREATE TABLE kept (n int); INSERT INTO kept SELECT generate_series(1, 1000)")
    with redis_client(own.redis_url) as client:
        client.set("kept", "7")
        time.sleep(1.2)  # appendfsync everysec
    own.stop_postgres("kill")
    own.kill_redis()
    assert not servers.alive("postgresql", own.state)
    assert not servers.answers("redis", own.state)
    own.start_postgres()
    own.restart_redis()
    assert query(own.database_url, "SELECT count(*) FROM kept") == [(1000,)]
    with redis_client(own.redis_url) as client:
        assert client.get("kept") == b"7"
    assert servers.answers("postgresql", own.state)
    assert servers.answers("redis", own.state)


@pytest.mark.faults
@pytest.mark.parametrize("mode", ["smart", "fast", "immediate", "kill"])
def test_postgresql_survives_every_way_of_stopping(pair: PrivateServers, mode: str) -> None:
    pair.stop_postgres(mode)
    assert pair.postgres_pid is None
    pair.start_postgres()
    assert query(pair.database_url, "SELECT 1") == [(1,)]


def test_a_running_server_is_not_started_twice(pair: PrivateServers) -> None:
    before = (pair.postgres_pid, pair.redis_pid)
    pair.start_postgres()
    pair.restart_redis()
    assert (pair.postgres_pid, pair.redis_pid) == before


def test_a_redis_whose_pid_file_is_lost_is_found_and_not_started_twice(pair: PrivateServers) -> None:
    place = places.settle(pair.state)
    server = holding._server(place, identity.establish(place), "redis")
    record = server.data / "redis.pid"
    text = record.read_text()
    record.unlink()
    try:
        assert server.pid() == int(text)
        assert server.occupied()
        with pytest.raises(BlockingIOError):
            server.launch()
    finally:
        record.write_text(text)


def test_a_pid_file_that_names_a_stranger_is_not_believed(state: Path) -> None:
    with servers.lease(state):
        pass
    place = places.settle(state)
    drop = {"user": place.account.uid, "group": place.account.gid, "extra_groups": []} if place.account else {}
    stranger = subprocess.Popen(["sleep", "60"], cwd="/", **drop)
    try:
        (place.home / "postgres" / "postmaster.pid").write_text(f"{stranger.pid}\n{place.home}/postgres\n")
        (place.home / "redis" / "redis.pid").write_text(f"{stranger.pid}\n")
        assert servers.pid("postgresql", state) is None
        assert servers.pid("redis", state) is None
        with servers.lease(state) as found:
            assert query(found.database_url, "SELECT 1") == [(1,)]
        assert stranger.poll() is None, "a process that is not ours was ended"
    finally:
        stranger.kill()
        stranger.wait()


def test_ports_are_remembered_and_a_taken_one_is_exchanged(state: Path) -> None:
    with servers.lease(state) as first:
        query(first.database_url, "CREATE TABLE kept (n int)")
    with servers.lease(state) as again:
        assert again == first
    port = int(first.database_url.rpartition(":")[2].split("/")[0])
    with socket.create_server(("127.0.0.1", port)), servers.lease(state) as moved:
        assert moved.database_url != first.database_url
        assert moved.redis_url == first.redis_url
        assert query(moved.database_url, "SELECT count(*) FROM kept") == [(0,)]


def test_a_port_taken_while_others_hold_the_servers_is_an_error_that_says_so(
    private_servers: Callable[[], PrivateServers],
) -> None:
    own = private_servers()
    own.kill_redis()
    port = int(own.redis_url.rpartition(":")[2].split("/")[0])
    taken = pytest.raises(ServersUnavailable, match=f"Port {port} .* in use by another program")
    with socket.create_server(("127.0.0.1", port)), taken:
        own.restart_redis()


def test_data_of_another_major_version_is_refused(state: Path) -> None:
    with servers.lease(state):
        pass
    version = places.settle(state).home / "postgres" / "PG_VERSION"
    text = version.read_text()
    version.write_text("9\n")
    refused = pytest.raises(ServersUnavailable, match=r"written by PostgreSQL 9, but the programs found are \d+")
    with refused, servers.lease(state):
        pass
    assert servers.pid("redis", state) is None, "the other server must not stay behind"
    version.write_text(text)


def test_lost_passwords_are_not_replaced_while_there_is_data(state: Path) -> None:
    with servers.lease(state):
        pass
    path = places.settle(state).home / identity.PASSWORDS
    text = path.read_text()
    path.unlink()
    with pytest.raises(ServersUnavailable, match="restore that file"), servers.lease(state):
        pass
    path.write_text(text)
