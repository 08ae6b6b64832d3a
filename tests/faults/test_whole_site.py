"""The whole site as `manage.py up` runs it, with its own servers killed under it."""

import os
import re
import signal

import pytest
import requests

from apps.ops import servers
from tests.flow.ups import running
from tests.flow.worlds import as_json, eventually
from tests.servers import temporary_folder

pytestmark = pytest.mark.faults


def test_a_site_whose_servers_are_both_killed_starts_them_again_and_misses_nothing() -> None:
    with temporary_folder("tradingsite-up-") as home, running(home, "--for", "300", "--json") as up:
        address = up.address()
        for name in ("postgresql", "redis"):
            pid = servers.pid(name, home)
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: all(servers.answers(name, home) for name in ("postgresql", "redis")), 30)
        eventually(lambda: _is_ready(address), 30, up.said)
        assert up.process.poll() is None
        eventually(lambda: _closes(up.said()) > 5, 40, up.said)
        seconds, out = up.interrupt()
        assert seconds < 15
        assert "Traceback" not in up.said(), up.said()
    found = as_json(out)
    assert (found["missed"], found["doubled"], found["books_balanced"]) == (0, 0, True)
    assert found["restarts"] >= 2


def _closes(said: str) -> int:
    """Return how many closes the last status line counts."""
    return max((int(count) for count in re.findall(r"closes (\d+)", said)), default=0)


def _is_ready(address: str) -> bool:
    try:
        return requests.get(f"{address}/health/ready", timeout=5).status_code == 200
    except requests.RequestException:
        return False
