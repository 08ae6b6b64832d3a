"""The remote control as real processes: one polls, the other waits; whoever is killed, every order is done once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apps.access.models import User
from apps.journal.models import Event, Lease, Pulse
from apps.reporting.models import Chat, Update
from tests.conftest import database_url
from tests.factories import now
from tests.reporting import botapi
from tests.reporting.botapi import CHAT, BotApi
from tests.reporting.providers import Web
from tests.reporting.world import controlled

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]
ROOT = Path(__file__).parents[2]
Start = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def api(web: Web) -> Iterator[BotApi]:
    with botapi.serve(web) as made:
        yield made


@pytest.fixture
def start(key_file: Path) -> Iterator[Start]:
    """Start the command against the test's database; whatever still runs afterwards is killed."""
    running: list[subprocess.Popen[bytes]] = []
    url = database_url()
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "MARKET_DATABASE_URL": url,
        "KEY_FILE": str(key_file),
        "NOTIFY_ALLOWED_NETWORKS": "127.0.0.0/8",
        "SINGLE_USER": "0",
    }

    def make() -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "manage.py", "telegram"], cwd=ROOT, env=environment)
        running.append(process)
        return process

    yield make
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait(20)


def until(found: Callable[[], object], *, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, found
        time.sleep(0.05)


def leader() -> int:
    """Return the process that leads; 0 before there is one."""
    row = Lease.objects.filter(name__startswith="telegram:").first()
    return int(row.holder.rpartition(":")[2]) if row else 0


def test_a_killed_poller_is_followed_by_the_next_and_every_order_is_done_once(
    api: BotApi, web: Web, person: User, start: Start
) -> None:
    channel = controlled(person, web.url)
    Chat.objects.create(channel=channel, chat_id=CHAT, person=person, bound_at=now())
    processes = {process.pid: process for process in (start(), start())}
    until(lambda: Pulse.objects.filter(name="telegram").count() == 2)
    until(leader)
    orders = 0
    for _ in range(2):
        for _ in range(4):
            api.write("/stop" if orders % 2 else "/reduce")
            orders += 1
        until(lambda: len(api.said) >= 1)
        pid = leader()
        processes[pid].send_signal(signal.SIGKILL)
        processes.pop(pid).wait(20)
        api.write("/version")
        orders += 1
        new = start()
        processes[new.pid] = new
        until(lambda pid=pid: leader() != pid)
    until(lambda: Update.objects.filter(answered_at=None).count() == 0 and Update.objects.count() == orders)
    interrupted = Update.objects.filter(status="interrupted").count()
    done = Event.objects.filter(kind="trading.state_changed").count()
    assert 8 - interrupted <= done <= 8
    assert len(api.said) >= orders  # an answer whose receipt was lost is given again, an order never
    until(lambda: Pulse.objects.filter(pid__in=list(processes)).count() == 2)
    for process in processes.values():
        process.send_signal(signal.SIGTERM)
    assert [process.wait(15) for process in processes.values()] == [0, 0]
