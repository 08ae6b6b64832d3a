"""`manage.py replay` as a person runs it: figures, the same closes for the same seed, errors, and nothing left over."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psycopg2
import pytest

from apps.domain.legs import Leg, LegKind
from apps.domain.sides import Side
from apps.journal.models import Lease
from apps.market.models import Quote
from apps.trading.models import Exit, Position
from apps.trading.services import positions
from tests.flow import worlds
from tests.flow.worlds import ROOT, World, as_json, eventually

FIRST = "100.00"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two minutes of two products as the simulated exchange would have sent them."""
    path = tmp_path_factory.mktemp("ticks") / "ticks.jsonl.gz"
    words = ("simulator", "--record", str(path), "--ticks", "4000", "--rate", "40", "--products", "BTC-USD,ETH-USD")
    subprocess.run([sys.executable, str(ROOT / "manage.py"), *words], cwd=ROOT, check=True, capture_output=True)
    return path


def databases(world: World) -> list[str]:
    with closing(psycopg2.connect(world.database_url)) as raw, raw.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE 'tradingsite_replay%'")
        return [name for (name,) in cursor]


def test_a_replay_ends_with_its_figures_and_leaves_no_database(world: World, recording: Path) -> None:
    done = world.manage("replay", str(recording), "--positions", "300", "--json")
    assert done.returncode == 0, done.stderr
    found = as_json(done.stdout)
    assert found["ticks"] == 4000
    assert found["accepted"] + found["refused"]["snapshots"] == 4000
    assert found["positions"] == 300
    assert found["closes"] > 100
    assert set(found["exits_by_reason"]) >= {"stop_loss", "take_profit", "trailing_stop"}
    assert found["tick_to_close_ms"]["p50"] > 0
    assert found["ok"] is True
    assert set(found["invariants"].values()) == {0}
    assert databases(world) == []
    assert not Position.objects.exists(), "the present database was touched"


def test_one_file_and_one_seed_give_the_same_closes(world: World, recording: Path, tmp_path: Path) -> None:
    lists = []
    for number in range(2):
        path = tmp_path / f"closes-{number}.csv"
        done = world.manage("replay", str(recording), "--positions=200", "--seed=7", f"--closes={path}")
        assert done.returncode == 0, done.stderr
        lists.append(path.read_bytes())
    assert lists[0].startswith(b"position,leg,trade_id,price\n")
    assert lists[0].count(b"\n") > 50
    assert lists[0] == lists[1]


def line(trade_id: int, price: str, at_ns: int = 0) -> str:
    message = {"type": "ticker", "product_id": "BTC-USD", "price": price, "trade_id": trade_id, "last_size": "0.01"}
    return json.dumps({"at_ns": at_ns or 1_700_000_000_000_000_000 + trade_id * 1_000_000, "msg": message})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file or directory"),
        (b"", "is empty: nothing to replay"),
        (f"{line(1, FIRST)}\nnot json\n".encode(), "line 2: not a recorded tick"),
        (f"{line(1, FIRST)}\n{line(2, FIRST)}\n{{}}\n".encode(), "line 3: not a recorded tick"),
        (b'{"at_ns": 5, "msg": {"type": "heartbeat"}}\n', "holds no ticker with a price"),
        (b"\xff\xfe\x00\x01\n", "line 1: not a recorded tick"),
        (gzip.compress(f"{line(1, FIRST)}\n".encode() * 50)[:-20], "the compressed file is damaged or cut short"),
        ("folder", "Is a directory"),
    ],
    ids=["missing", "empty", "no JSON", "no tick", "no prices", "binary", "cut short", "folder"],
)
def test_a_file_that_cannot_be_replayed_is_one_line(
    world: World, tmp_path: Path, content: bytes | str | None, said: str
) -> None:
    path = tmp_path / "ticks.jsonl"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        path.mkdir()
    done = world.manage("replay", str(path))
    assert done.returncode == 1
    assert done.stdout == ""
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert str(path) in done.stderr


@pytest.mark.parametrize("word", ["--speed=fast", "--speed=-1", "--positions=many", "--seed=x", "--positions=1_000"])
def test_a_wrong_option_names_its_value(world: World, word: str) -> None:
    done = world.manage("replay", "file", word)
    assert done.returncode == 2
    assert repr(word.partition("=")[2]) in done.stderr


def test_a_replay_that_is_interrupted_drops_its_database(world: World, recording: Path) -> None:
    words = [sys.executable, str(ROOT / "manage.py"), "replay", str(recording), "--speed=1", "--positions=10"]
    run = subprocess.Popen(words, cwd=ROOT, env=world.environment, start_new_session=True)
    try:
        eventually(lambda: databases(world))
        time.sleep(2)
        os.killpg(run.pid, signal.SIGINT)
        assert run.wait(15) == 130
    finally:
        run.kill()
        run.wait()
    assert databases(world) == []


def test_what_a_killed_replay_left_is_dropped_by_the_next_one(world: World, recording: Path) -> None:
    words = [sys.executable, str(ROOT / "manage.py"), "replay", str(recording), "--speed=1", "--positions=10"]
    run = subprocess.Popen(words, cwd=ROOT, env=world.environment)
    eventually(lambda: databases(world))
    eventually(lambda: len(worlds.family(run.pid)) > 1)
    (child,) = worlds.family(run.pid)[1:]
    run.kill()
    run.wait()
    eventually(lambda: not child.is_running(), 10)
    assert world.manage("replay", str(recording), "--positions=0").returncode == 0
    assert databases(world) == []


@pytest.fixture
def long(world: World) -> Position:
    """A position in the present database with a stop a little below the price."""
    (btc,) = worlds.instruments("BTC-USD")
    now = datetime.now(UTC)
    price = Decimal(FIRST)
    values = {"price": price, "low": price, "high": price, "trade_id": 900_000}
    Quote.objects.create(instrument=btc, at=now, received_at=now, heard_at=now, **values)
    stop = Leg(kind=LegKind.STOP_LOSS, level=Decimal("95.00"))
    wish = positions.Opening(
        account_id=worlds.account().pk, instrument_id=btc.pk, side=Side.LONG, quantity=Decimal(1), legs=(stop,)
    )
    return positions.open_position(wish, now=now).position


def test_here_uses_the_positions_that_are_there(world: World, long: Position, tmp_path: Path) -> None:
    path = tmp_path / "ticks.jsonl"
    path.write_text("".join(f"{line(n, price)}\n" for n, price in enumerate((FIRST, "97.00", "94.99", "90.00"), 1)))
    done = world.manage("replay", str(path), "--here", "--json")
    assert done.returncode == 0, done.stderr
    assert as_json(done.stdout)["closes"] == 1
    exit_ = Exit.objects.get(position=long)
    assert (exit_.reason, exit_.trigger_price, exit_.trade_id, exit_.status) == (
        "stop_loss",
        Decimal("94.99"),
        3,
        "done",
    )


def test_here_refuses_while_a_listener_leads(world: World, long: Position, tmp_path: Path) -> None:
    path = tmp_path / "ticks.jsonl"
    path.write_text(f"{line(1, FIRST)}\n{line(2, '90.00')}\n")
    alive = datetime.now(UTC) + timedelta(minutes=5)  # still, when a command has started on a busy machine
    Lease.objects.create(name="listener:0", epoch=4, holder="there:17", renewed_at=alive)
    done = world.manage("replay", str(path), "--here")
    assert done.returncode == 1
    assert done.stderr.startswith("CommandError: A listener leads here (there:17): stop it")
    assert done.stderr.count("\n") == 1
    assert not Exit.objects.exists()


def test_a_broken_invariant_is_exit_status_1(world: World, long: Position, tmp_path: Path) -> None:
    path = tmp_path / "ticks.jsonl"
    path.write_text(f"{line(1, FIRST)}\n{line(2, '99.00')}\n")
    Position.objects.filter(pk=long.pk).update(fees=long.fees + 1)
    done = world.manage("replay", str(path), "--here", "--json")
    assert done.returncode == 1
    found = as_json(done.stdout)
    assert found["ok"] is False
    assert found["invariants"]["I3"] == 1
