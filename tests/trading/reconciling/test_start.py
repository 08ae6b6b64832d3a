"""The start of the site, the timetable's tasks and the command."""

import json
import os
import subprocess
import sys
import threading
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from apps.journal.models import Pulse
from apps.trading.models import Standing
from apps.trading.services import reconciling
from tests import factories
from tests.trading.racing import race
from tests.trading.reconciling.site import Site
from workers import queues, starting
from workers.tasks import trading as tasks

pytestmark = pytest.mark.django_db(transaction=True)
ROLE, NAMES = "worker:orders", ["orders"]


@pytest.fixture
def clean(site: Site) -> Site:
    assert site.look().clean
    return site


def alive_elsewhere(names: list[str], host: str = "elsewhere") -> None:
    now = factories.now()
    Pulse.objects.create(name=ROLE, host=host, pid=1, beat_at=now, started_at=now, facts={"queues": names})


def test_the_first_worker_that_takes_orders_doubts_every_account(clean: Site) -> None:
    assert starting.begin(ROLE, NAMES, factories.now())
    assert clean.standing.clean_at is None


@pytest.mark.parametrize("names", [["exits"], ["backtests", "ops"]])
def test_workers_of_other_queues_are_no_start(clean: Site, names: list[str]) -> None:
    assert not starting.begin("worker:x", names, factories.now())
    assert clean.standing.clean_at is not None


def test_a_worker_that_joins_others_is_no_start(clean: Site) -> None:
    alive_elsewhere(["exits", "orders"])
    assert not starting.begin(ROLE, NAMES, factories.now())
    assert clean.standing.clean_at is not None


def test_the_last_sign_of_a_dead_process_on_this_machine_does_not_count(clean: Site) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    now = factories.now()
    dead = {"host": settings.HOST_NAME, "pid": child.pid, "beat_at": now, "started_at": now}
    Pulse.objects.create(name=ROLE, facts={"queues": NAMES}, **dead)
    assert starting.begin(ROLE, NAMES, now)


def test_of_workers_that_start_together_one_is_first(clean: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each in a process of its own, as far as the table says; a thread's number is one the system knows.
    monkeypatch.setattr(os, "getpid", threading.get_native_id)
    done = threading.Barrier(4)

    def begin() -> bool:
        first = starting.begin(ROLE, NAMES, factories.now())
        done.wait(30)  # nobody ends, and with that dies, before all have looked
        return first

    answers = race(*[begin] * 4)
    assert sorted(answers) == [False, False, False, True]


def test_one_account_is_compared_by_one_at_a_time(clean: Site) -> None:
    answers = race(*[clean.look] * 3)
    assert all(one.busy or one.clean for one in answers)
    with reconciling._alone(clean.account.pk) as mine:
        assert mine
        assert race(clean.look)[0].busy


def test_the_task_compares_an_account_and_every_task_has_its_queue(site: Site) -> None:
    tasks.reconcile_account(account_id=site.account.pk)
    assert Standing.objects.get(pk=site.account.pk).clean_at is not None
    for name in ("trading.reconcile", "trading.reconcile_doubtful", "trading.reconcile_account"):
        assert queues.of(name) == queues.ORDERS


def test_the_command_says_what_differs_with_its_status(site: Site) -> None:
    out = StringIO()
    call_command("reconcile", "--account", str(site.account.pk), stdout=out)
    assert "agrees with its venue" in out.getvalue()
    factories.accounts.pay_in(account_id=site.account.pk, amount=factories.Decimal(-5), now=factories.now())
    site.look_twice()
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("reconcile", "--json", stdout=out)
    assert ended.value.code == 1
    (told,) = json.loads(out.getvalue())
    assert [one["kind"] for one in told["differences"]] == ["balance"]


def test_the_command_refuses_an_account_without_a_venue(site: Site) -> None:
    other = factories.make_account(site.account.owner, name="instant")
    with pytest.raises(CommandError, match="filled here at once"):
        call_command("reconcile", "--account", str(other.pk))
