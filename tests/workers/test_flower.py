"""Flower: behind a password, on loopback, without Django's weight."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import redis
import requests

from tests.workers.conftest import ROOT, eventually, running


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("password", ["", "admin", "admin:", ":secret"])
def test_without_a_password_nothing_is_served(password: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "workers.flower"],
        cwd=ROOT,
        env={**os.environ, "FLOWER_BASIC_AUTH": password},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 2
    assert "FLOWER_BASIC_AUTH" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_the_page_asks_for_the_password_and_loads_no_django_apps(
    port: int, broker: "redis.Redis", tmp_path: Path
) -> None:
    environment = {"FLOWER_BASIC_AUTH": "admin:s3cret", "FLOWER_PORT": str(port)}
    log = tmp_path / "flower.log"
    with running("-m", "workers.flower", environment=environment, log=log) as process:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: _answers(url), 20, log.read_text)
        assert requests.get(f"{url}/workers", timeout=5).status_code == 401
        assert requests.post(f"{url}/api/task/async-apply/ops.prune", timeout=5).status_code == 401
        assert requests.get(f"{url}/workers", auth=("admin", "s3cret"), timeout=5).status_code == 200
        listening = [c for c in psutil.Process(process.pid).net_connections("inet") if c.status == "LISTEN"]
        assert {c.laddr.ip for c in listening} == {"127.0.0.1"}
        assert "s3cret" not in " ".join(psutil.Process(process.pid).cmdline())
        assert not [m.path for m in psutil.Process(process.pid).memory_maps() if "psycopg2" in m.path]


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=1).status_code == 401
    except requests.ConnectionError:
        return False
