"""`manage.py up` as an operator runs it: unattended, refused, interrupted, killed, and against a foreign exchange."""

import re
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.flow import foreign as exchanges
from tests.flow.foreign import Foreign, Habits
from tests.flow.ups import MANAGE, environment, running, survivors
from tests.flow.worlds import ROOT, Cluster, World, as_json, eventually, free_port
from tests.servers import temporary_folder

KEYS = {
    "ready_seconds",
    "ticks",
    "positions_opened",
    "closes",
    "missed",
    "doubled",
    "books_balanced",
    "restarts",
    "tick_to_close_ms",
    "servers",
}


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A state directory that lasts for the module: the first run makes the servers, later ones start warm."""
    with temporary_folder("tradingsite-up-") as folder:
        yield folder


def test_an_unattended_run_ends_with_one_object_and_status_0(home: Path) -> None:
    with running(home, "--for", "15", "--json") as up:
        out, _ = up.process.communicate(timeout=120)
        assert up.process.returncode == 0, up.said()
    assert out.count("\n") == 1
    found = as_json(out)
    assert set(found) == KEYS
    assert set(found["tick_to_close_ms"]) == {"p50", "p95", "p99", "max"}
    assert set(found["servers"]) == {"postgresql", "redis"}
    assert found["ready_seconds"] > 0
    assert found["ticks"] > 200
    assert found["closes"] > 5
    assert found["tick_to_close_ms"]["p50"] > 0
    assert (found["missed"], found["doubled"], found["books_balanced"], found["restarts"]) == (0, 0, True, 0)


def test_a_second_up_is_refused_and_ctrl_c_stops_everything_within_ten_seconds(home: Path) -> None:
    with running(home) as up:
        address = up.address()
        assert requests.get(f"{address}/health/ready", timeout=10).status_code == 200
        second = subprocess.run(
            [*MANAGE, "up", "--headless"], cwd=ROOT, env=environment(home), capture_output=True, text=True, check=False
        )
        assert second.returncode == 1
        assert second.stdout == ""
        assert second.stderr.count("\n") == 1
        assert f"pid {up.process.pid}, address {address}" in second.stderr
        assert requests.get(f"{address}/health/live", timeout=10).status_code == 200
        seconds, out = up.interrupt()
        assert survivors(home) == []
        assert seconds < 12  # ten for the processes, and the servers after them
        assert out == ""
        assert up.process.returncode == 0
        assert "Traceback" not in up.said()


def test_no_process_outlives_an_up_killed_with_9_and_the_next_one_sees_the_market(home: Path) -> None:
    with running(home) as up:
        up.address()
        assert len(survivors(home)) > 10
        up.process.kill()
        eventually(lambda: not survivors(home), 20, lambda: "\n".join(survivors(home)))
    # The simulated exchange counts its trades from the beginning again: what is known of the last run must not deafen.
    with running(home, "--for", "6", "--json") as up:
        out, _ = up.process.communicate(timeout=120)
        assert up.process.returncode == 0, up.said()
    found = as_json(out)
    assert found["ticks"] > 60
    assert found["positions_opened"] > 0


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("DATABASE_URL", "mysql://127.0.0.1/x", "postgres"),
        ("REDIS_URL", "127.0.0.1:6379", "redis://"),
        ("WEB_PORT", "99999", "65535"),
        ("WEB_PORT", "\uff18\uff10\uff10\uff10", "65535"),  # full-width digits
        ("DEMO", "perhaps", "DEMO"),
        ("LISTENER_SHARDS", "0", "1"),
        ("COINBASE_WS_URL", "http://127.0.0.1", "ws://"),
        ("ENVIRONMENT", "staging", "production"),
        ("PAPER_FEE_RATE", "NaN", "PAPER_FEE_RATE"),
        ("LOG_LEVEL", "loud", "WARNING"),
    ],
)
def test_a_wrong_environment_value_is_one_line_and_status_2(
    cluster: Cluster, tmp_path: Path, name: str, value: str, allowed: str
) -> None:
    servers = {"DATABASE_URL": cluster.servers.database_url, "REDIS_URL": cluster.servers.redis_url}
    done = subprocess.run(
        [*MANAGE, "up", "--headless"],
        cwd=ROOT,
        env=environment(tmp_path, **{**servers, name: value}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert name in done.stderr
    assert allowed in done.stderr


def test_a_database_that_is_not_there_is_one_line(tmp_path: Path, cluster: Cluster) -> None:
    nowhere = f"postgresql://somebody:secret@127.0.0.1:{free_port()}/site"
    done = subprocess.run(
        [*MANAGE, "up", "--headless"],
        cwd=ROOT,
        env=environment(tmp_path, DATABASE_URL=nowhere, REDIS_URL=cluster.servers.redis_url),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr
    assert done.stderr.count("\n") <= 2


# -- a foreign exchange ----------------------------------------------------------------------------------------------


def foreign_settings(world: World, exchange: Any) -> dict[str, str]:
    return {
        "DEMO": "0",
        "COINBASE_WS_URL": exchange.ws_url,
        "COINBASE_REST_URL": exchange.rest_url,
        "DATABASE_URL": world.database_url,
        "MARKET_DATABASE_URL": world.database_url,
        "REDIS_URL": world.redis_url,
        "EXIT_WORKERS": "1",
        "WORKERS": "1",
    }


def token(world: World) -> dict[str, str]:
    made = world.manage("apitoken", "create", "--user", "admin", "--scope", "trade")
    assert made.returncode == 0, made.stderr
    return {"Authorization": f"Bearer {made.stdout.strip()}"}


def opened(address: str, headers: dict[str, str], symbol: str, stop: str) -> dict[str, Any]:
    """Open a long position as soon as the site has a fresh price, and return it."""
    body = {"instrument": symbol, "side": "long", "quantity": "0.5", "stop_loss": stop}

    def attempt() -> dict[str, Any] | None:
        answer = requests.post(f"{address}/api/v1/positions", json=body, headers=headers, timeout=10)
        assert answer.status_code in {201, 503}, answer.text
        return dict(answer.json()) if answer.status_code == 201 else None

    found: dict[str, Any] = eventually(attempt, 40)
    return found


def closed(address: str, headers: dict[str, str], position_id: int) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = requests.get(f"{address}/api/v1/positions/{position_id}", headers=headers, timeout=10).json()
        return dict(found) if found["status"] == "closed" else None

    found: dict[str, Any] = eventually(look, 20)
    return found


def test_a_foreign_exchange_is_used_with_the_instruments_it_lists(world: World) -> None:
    exchange = world.open_exchange("--rate", "none", "--products", "BTC-USD=100.00,ETH-USD=50.00")
    with (
        temporary_folder("tradingsite-up-") as home,
        running(home, "--for", "90", "--json", **foreign_settings(world, exchange)) as up,
    ):
        address = up.address()
        headers = token(world)
        listed = requests.get(f"{address}/api/v1/instruments", headers=headers, timeout=10).json()["results"]
        assert {item["symbol"] for item in listed} == {"BTC-USD", "ETH-USD"}
        eventually(lambda: exchange.listeners("BTC-USD"))
        exchange.push("BTC-USD", "100.00")
        position = opened(address, headers, "BTC-USD", "99.00")
        exchange.push("BTC-USD", "98.90")
        found = closed(address, headers, position["id"])
        assert found["exit_reason"] == "stop_loss"
        assert Decimal(found["exit_price"]) == Decimal("98.89")
        assert 0 < float(found["tick_to_close_ms"]) < 5000
        _, out = up.interrupt()
        assert as_json(out)["closes"] == 1
        assert up.process.returncode == 0


def test_an_exchange_that_is_down_at_the_start_is_said_so_and_used_once_it_is_there(world: World) -> None:
    habits = Habits(products_page=False, sequence=False, last_trade_id=False, sizes=False, refuses="silence")
    foreign = Foreign({"BTC-USD": "100.00"}, habits, ws_port=free_port(), rest_port=free_port())
    with (
        temporary_folder("tradingsite-up-") as home,
        running(home, **foreign_settings(world, foreign)) as up,
    ):
        address = up.address()
        assert "the venue did not list its products" in up.said()
        eventually(lambda: re.search(r"feed (down|connecting)", up.said()), 15)
        headers = token(world)
        body = {"instrument": "BTC-USD", "side": "long", "quantity": "0.5", "stop_loss": "99.00"}
        early = requests.post(f"{address}/api/v1/positions", json=body, headers=headers, timeout=10)
        assert early.status_code == 503, early.text
        with exchanges.running(foreign):
            position = opened(address, headers, "BTC-USD", "99.00")
            foreign.prices["BTC-USD"] = "98.50"
            assert closed(address, headers, position["id"])["exit_reason"] == "stop_loss"
            seconds, _ = up.interrupt()
            assert seconds < 12
