"""Changing the key: killed at any moment, beside others who store, two at once; every credential opens at all times."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from cryptography.fernet import Fernet
from django.db import connection

from apps.access.models import User
from apps.journal.models import Event as Fact
from apps.trading import keyfile, sealing
from apps.trading.models import Credential
from apps.trading.sealing import KeyUnusable
from apps.trading.services import keys, rotating
from tests.conftest import database_url
from tests.trading.echo_broker import Venue
from tests.trading.keys_world import NOW, key_file, new, owner, stored, venue

__all__ = ["key_file", "owner", "venue"]
ROOT = Path(__file__).parents[2]
FOREVER = """
import django; django.setup()
from apps.trading.services import rotating
print("ready", flush=True)
while True:
    rotating.rotate()
    print("rotated", flush=True)
"""
pytestmark = pytest.mark.django_db(transaction=True)


def all_open() -> int:
    """Open every credential with the file as it is; return how many there are."""
    rows = list(Credential.objects.all())
    for row in rows:
        keys.open_only(row)
    return len(rows)


@pytest.fixture
def many(owner: User, venue: Venue, key_file: Path) -> int:
    row = stored(owner, venue.url)
    copies = [Credential(**{**values_of(row), "name": f"copy {number}"}) for number in range(150)]
    Credential.objects.bulk_create(copies)
    return len(copies) + 1


def values_of(row: Credential) -> dict[str, object]:
    names = ("owner_id", "broker", "address", "options", "sealed", "ending")
    return {name: getattr(row, name) for name in names}


class Rotators:
    """Processes that rotate without end."""

    def __init__(self, path: Path) -> None:
        self._env = {**os.environ, "DATABASE_URL": database_url(), "KEY_FILE": str(path)}
        self._running: list[subprocess.Popen[str]] = []

    def start(self) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", FOREVER]
        made = subprocess.Popen(command, cwd=ROOT, env=self._env, stdout=subprocess.PIPE, text=True)
        self._running.append(made)
        assert made.stdout is not None
        assert made.stdout.readline() == "ready\n"
        return made

    def close(self) -> None:
        for process in self._running:
            kill(process)


def kill(process: "subprocess.Popen[str]") -> int:
    """Kill a process with -9 and return how often it had rotated."""
    process.send_signal(signal.SIGKILL)
    text, _ = process.communicate(timeout=30)
    return text.count("rotated")


@pytest.fixture
def rotators(key_file: Path) -> Iterator[Rotators]:
    made = Rotators(key_file)
    yield made
    made.close()


def test_everything_is_sealed_with_a_new_key_and_the_old_one_goes(many: int, key_file: Path) -> None:
    (old,) = keyfile.read(key_file)
    before = set(Credential.objects.values_list("sealed", flat=True))
    done = rotating.rotate(actor="root")
    assert (done.made, done.resealed, done.retired) == (True, many, 1)
    (new_key,) = keyfile.read(key_file)
    assert new_key != old
    assert all_open() == many
    after = set(Credential.objects.values_list("sealed", flat=True))
    assert {bytes(each) for each in before} & {bytes(each) for each in after} == set()
    fact = Fact.objects.get(kind="credential.rotated")
    assert (fact.actor, fact.payload) == ("root", {"credentials": many, "retired": 1})
    keyfile.replace(key_file, [old])
    with pytest.raises(KeyUnusable):
        all_open()


@pytest.mark.parametrize("after", ["the new key is in the file", "some rows are new", "all rows are new"])
def test_left_half_done_everything_opens_and_a_second_run_completes_it(many: int, key_file: Path, after: str) -> None:
    rotating.prepare()
    first, _ = keyfile.read(key_file)
    if after == "some rows are new":
        for row in Credential.objects.all()[:10]:
            Credential.objects.filter(pk=row.pk).update(sealed=sealing.resealed(row.sealed, what=row.name))
    elif after == "all rows are new":
        rotating.reseal()
    assert all_open() == many
    assert len(keyfile.read(key_file)) == 2
    done = rotating.rotate()
    assert (done.made, done.retired) == (False, 1)
    assert keyfile.read(key_file) == [first]
    assert all_open() == many


def test_the_old_key_stays_while_a_row_needs_it(many: int, key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotating, "reseal", lambda: many)
    with pytest.raises(KeyUnusable, match="Others change the keys at the same time"):
        rotating.rotate()
    assert len(keyfile.read(key_file)) == 2
    monkeypatch.undo()
    assert all_open() == many


def test_a_change_that_begins_in_the_middle_of_another_is_caught_up_with(
    many: int, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reseal, times = rotating.reseal, []

    def overtaken() -> int:
        count = reseal()
        if not times:  # another process ends this change and begins the next
            sealing.retire()
            rotating.prepare()
        times.append(count)
        return count

    monkeypatch.setattr(rotating, "reseal", overtaken)
    done = rotating.rotate()
    assert (len(times), done.retired) == (2, 1)
    assert all_open() == many


def test_a_foreign_row_stops_it_before_anything_changes(many: int, key_file: Path) -> None:
    before = keyfile.read(key_file)
    Credential.objects.filter(name="copy 7").update(sealed=Fernet(Fernet.generate_key()).encrypt(b"{}"))
    with pytest.raises(KeyUnusable, match="opens credential 'copy 7'"):
        rotating.rotate()
    assert keyfile.read(key_file) == before


def test_a_process_killed_again_and_again_loses_nothing(many: int, key_file: Path, rotators: Rotators) -> None:
    chance = random.Random(5)
    halfway = rotated = 0
    for _ in range(8):
        process = rotators.start()
        time.sleep(chance.uniform(0.0, 0.4))
        rotated += kill(process)
        halfway += len(keyfile.read(key_file)) == 2
        assert all_open() == many
    assert rotated, "it never got as far as one change"
    assert halfway, "it was never killed midway: the test shows nothing"
    rotating.rotate()
    assert len(keyfile.read(key_file)) == 1
    assert all_open() == many


def test_two_at_once_and_somebody_who_stores(
    many: int, owner: User, venue: Venue, key_file: Path, rotators: Rotators
) -> None:
    both = [rotators.start(), rotators.start()]
    for number in range(25):
        keys.store(new(owner, venue.url, name=f"meanwhile {number}"), now=NOW)
    assert all(process.poll() is None for process in both)
    counts = [kill(process) for process in both]
    assert sum(counts) > 1, counts
    rotating.rotate()
    assert all_open() == many + 25
    assert len(keyfile.read(key_file)) == 1


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "negative control"])
def test_a_key_does_not_leave_while_somebody_seals_with_it(
    owner: User, venue: Venue, key_file: Path, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    if not guarded:
        monkeypatch.setattr(keys, "hold", lambda **_: None)
    sealed, go_on = Event(), Event()
    save = Credential.save

    def late(row: Credential, **more: object) -> None:
        sealed.set()
        assert go_on.wait(20)
        save(row, **more)

    monkeypatch.setattr(Credential, "save", late)
    storing = Thread(target=_then_close, args=(lambda: stored(owner, venue.url),))
    rotation = Thread(target=_then_close, args=(rotating.rotate,))
    storing.start()
    assert sealed.wait(20)
    rotation.start()
    rotation.join(1.0)
    assert rotation.is_alive() is guarded, "the guard makes it wait for whoever seals"
    go_on.set()
    storing.join(20)
    rotation.join(20)
    if guarded:
        assert all_open() == 1
    else:
        with pytest.raises(KeyUnusable):
            all_open()


def _then_close(run: object) -> None:
    try:
        run()  # type: ignore[operator]
    finally:
        connection.close()
