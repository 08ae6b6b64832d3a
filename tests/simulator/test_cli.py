"""The command line, as a process of its own."""

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from django.core.management import CommandError, call_command

from tests.simulator.wireclient import WireClient

ROOT = Path(__file__).parents[2]


def start(*flags: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "apps.simulator", *flags], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finished(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "apps.simulator", *flags],
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_tells_its_addresses_serves_and_stops_within_a_second(number):
    with start("--json", "--products", "BTC-USD") as process:
        try:
            addresses = json.loads(process.stdout.readline())
            assert addresses["ws"].removeprefix("ws") == addresses["rest"].removeprefix("http")
            assert requests.get(addresses["rest"] + "/time", timeout=5).status_code == 200
            with WireClient(int(addresses["rest"].rsplit(":", 1)[1])) as client:
                client.listen("ticker")
                began = time.monotonic()
                process.send_signal(number)
                assert process.wait(5) == 0
                assert time.monotonic() - began < 1
                assert client.close_frame()[0] == 1001
            assert process.stderr.read() == ""
        finally:
            process.kill()


def test_the_line_for_people_is_one_line():
    with start("--products", "3", "--rate", "7", "--seed", "9") as process:
        try:
            line = process.stdout.readline()
            assert line.startswith("Simulated exchange on ws://127.0.0.1:")
            assert "3 products, 7 trades/s, seed 9" in line
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--rate", "fast"], "--rate must be a number, not 'fast'"),
        (["--rate", "-3"], "rate must be between 0 and"),
        (["--seed", "x"], "--seed must be a whole number"),
        (["--port", "99999"], "port must be between 0 and 65535"),
        (["--host", "0.0.0.0"], "add --allow-remote if you mean it"),
        (["--products", "nonsense"], "'nonsense' is not a product id like BTC-USD"),
        (["--fault", "bang@1"], "fault 'bang' is unknown"),
        (["--replay", "/nowhere.jsonl"], "replay /nowhere.jsonl: No such file"),
        (["--record", "/nowhere/x.jsonl"], "--record /nowhere/x.jsonl: No such file"),
        (["--record", "x.jsonl", "--rate", "0"], "--rate must be above 0 to record"),
        (["--record", "x.jsonl", "--ticks", "many"], "--ticks must be a whole number"),
    ],
)
def test_a_wrong_flag_gets_one_clear_line(flags, words):
    done = finished(*flags)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert words in done.stderr


def test_it_records_to_a_file(tmp_path):
    path = tmp_path / "made.jsonl.gz"
    done = finished("--record", str(path), "--ticks", "50", "--seed", "3", "--json")
    assert json.loads(done.stdout) == {"file": str(path), "ticks": 50}
    assert path.stat().st_size > 1_000


def test_faults_are_listed_with_their_arguments():
    shown = finished("--list-faults").stdout
    assert "stall:seconds=0.0" in shown
    assert {"drop", "garbage"} <= {row["fault"] for row in json.loads(finished("--list-faults", "--json").stdout)}


def test_the_management_command_is_the_same_command_line(tmp_path):
    out, path = io.StringIO(), tmp_path / "made.jsonl"
    call_command("simulator", record=str(path), ticks="5", json=True, stdout=out)
    assert json.loads(out.getvalue())["ticks"] == 5
    with pytest.raises(CommandError, match="fault 'bang' is unknown"):
        call_command("simulator", fault=["bang"])
