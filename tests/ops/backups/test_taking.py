"""A backup is whole or none: taken beside a writing site, cleared when killed, refused when the disk is full."""

import contextlib
import json
import signal
import stat
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from django.db import connection

from apps.journal.models import Event
from apps.ops.backups import cipher, manifest, programs, restoring, services, shelf, survey, taking
from apps.ops.backups.errors import BackupBusy, BackupFailed, BackupUnusable
from apps.ops.backups.models import BackupRun, Status
from apps.ops.backups.servers import Target
from apps.ops.backups.taking import Plan, Taken, hold, take
from tests import factories
from tests.ops.backups.conftest import AT, command
from tests.ops.holders import query


def test_a_backup_says_what_it_holds_and_nobody_else_can_read_it(taken: Taken) -> None:
    found = manifest.read(taken.folder, None)
    assert found == taken.manifest
    assert found.contents.tables["public.trading_position"][0] == 2
    assert found.contents.books["USD"]["capital"].startswith("-1000000")
    last = Event.objects.order_by("-id").values_list("id", flat=True).first()
    assert found.contents.journal == {"last": last, "events": Event.objects.count()}
    assert "ops.0001_backups" in found.contents.site_migrations
    assert found.contents.market_migrations
    assert [dump.file for dump in found.dumps] == ["site.dump"]
    assert stat.S_IMODE(taken.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in taken.folder.iterdir()} == {0o600}


def test_counts_are_of_the_very_snapshot_although_the_site_goes_on_writing(plan: Plan, db: None) -> None:
    stop, written = threading.Event(), 0

    def trade() -> None:
        nonlocal written
        while not stop.is_set():
            query(
                plan.site.url, "INSERT INTO journal_event (kind, subject, actor, payload) VALUES ('a.b','c:1','','{}')"
            )
            written += 1

    thread = threading.Thread(target=trade)
    thread.start()
    try:
        with hold(plan) as held:
            taken = take(held, at=AT)
    finally:
        stop.set()
        thread.join()
    assert written > 5
    tool = programs.find("pg_restore", at_least=18)
    argv = [tool, "--data-only", "--table=journal_event", "--file=-", taken.folder / "site.dump"]
    copied = b"".join(programs.read(argv, {})).decode()
    rows = copied.partition("FROM stdin;\n")[2].partition("\n\\.")[0].splitlines()
    assert len(rows) == taken.manifest.contents.journal["events"]


def test_a_store_of_its_own_is_a_dump_of_its_own(plan: Plan) -> None:
    # Spelled differently it counts as another server; the parts do not overlap either way.
    apart = replace(plan, market=Target(url=f"{plan.site.url}?application_name=other"))
    with hold(apart) as held:
        taken = take(held, at=AT)
    site, market = taken.manifest.dumps
    assert (site.file, market.file) == ("site.dump", "market.dump")
    tool = programs.find("pg_restore", at_least=18)
    lists = [
        b"".join(programs.read([tool, "--list", taken.folder / dump.file], {})).decode() for dump in (site, market)
    ]
    assert " TABLE market ticks " not in lists[0]
    assert " TABLE public trading_position " in lists[0]
    assert " TABLE market ticks " in lists[1]
    assert " TABLE public " not in lists[1]
    assert taken.manifest.contents.market_migrations
    assert "market.ticks" in taken.manifest.contents.tables


def test_two_at_once_are_one(plan: Plan) -> None:
    with hold(plan):
        with pytest.raises(BackupBusy, match="under way in"), hold(plan):
            pass
        elsewhere = replace(plan, shelf=plan.shelf.with_name("elsewhere"))
        with pytest.raises(BackupBusy, match="another machine"), hold(elsewhere):
            pass
    with hold(plan):
        pass


def test_one_killed_in_the_middle_is_no_backup_and_the_next_one_clears_it(plan: Plan) -> None:
    plan.shelf.mkdir(parents=True)
    # The dump waits for this lock, so that the kill always comes in the middle of it.
    with contextlib.closing(taking.servers.connect(plan.site)) as link:
        link.cursor().execute("LOCK TABLE market_quote IN ACCESS EXCLUSIVE MODE")
        process = command(plan, "backup")
        deadline = time.monotonic() + 30
        while not list(plan.shelf.glob("*.part/site.dump")) and time.monotonic() < deadline:
            time.sleep(0.05)
        children = psutil.Process(process.pid).children()
        assert [child.name() for child in children] == ["pg_dump"]
        process.send_signal(signal.SIGKILL)
        process.communicate()
        (left,) = plan.shelf.glob("*.part")
        assert shelf.finished(plan.shelf) == {}
        with pytest.raises(BackupUnusable, match="never finished"):
            restoring.opened(left, None)
    psutil.wait_procs(children, timeout=20)
    assert not any(child.is_running() for child in children)
    taken = services.back_up(plan, clock=factories.now)
    assert taken.cleared == [left.name]
    assert list(shelf.finished(plan.shelf)) == [taken.folder.name]
    newest, killed = BackupRun.objects.all()
    assert (newest.status, killed.status, killed.sentence) == (Status.DONE, Status.FAILED, services.KILLED)


def test_a_full_disk_leaves_nothing_and_says_so(plan: Plan) -> None:
    process = command(plan, "backup", limit=40_000)
    _, words = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"does not take the backup" in words
    assert list(plan.shelf.glob("tradingsite-*")) == []
    run = BackupRun.objects.get()
    assert run.status == Status.FAILED
    assert Event.objects.get(kind="backup.failed").payload["sentence"] == run.sentence


def test_a_database_that_is_away_is_one_sentence(plan: Plan) -> None:
    away = replace(plan, site=Target(url="postgres://app:secretword@127.0.0.1:1/site"))
    with pytest.raises(BackupFailed, match="/site does not answer") as caught:
        services.back_up(away, clock=factories.now)
    assert "secretword" not in str(caught.value)


def test_no_password_shows_in_a_process_list(plan: Plan) -> None:
    password = plan.site.parts["password"]
    seen: list[str] = []
    with contextlib.closing(taking.servers.connect(plan.site)) as link:
        link.cursor().execute("LOCK TABLE market_quote IN ACCESS EXCLUSIVE MODE")
        process = command(plan, "backup", "--json")
        deadline = time.monotonic() + 30
        while not seen and time.monotonic() < deadline:
            time.sleep(0.05)
            seen = [" ".join(child.cmdline()) for child in psutil.Process(process.pid).children()]
            seen = [line for line in seen if "--snapshot" in line]
    out, _ = process.communicate(timeout=60)
    assert seen
    assert password not in "".join(seen)
    assert json.loads(out)["ok"] is True


def test_old_backups_are_deleted_by_the_rule_and_a_foreign_file_is_left(plan: Plan) -> None:
    one_day = replace(plan, keep=replace(plan.keep, days=1, weeks=0, months=0))
    plan.shelf.mkdir(parents=True)
    (plan.shelf / "tradingsite-notes.txt").write_text("mine")
    names = []
    for hours in (0, 1):
        with hold(one_day) as held:
            names.append(take(held, at=AT + timedelta(hours=hours)).folder.name)
    assert sorted(path.name for path in plan.shelf.glob("tradingsite*")) == [names[1], "tradingsite-notes.txt"]


def test_a_sealed_backup_holds_no_plain_word(plan: Plan, key_file: Path) -> None:
    with hold(replace(plan, key_file=key_file)) as held:
        taken = take(held, at=AT)
    stored = (taken.folder / "site.dump").read_bytes()
    assert stored.startswith(cipher.MAGIC)
    assert b"PGDMP" not in stored
    assert taken.manifest.key
    assert restoring.opened(taken.folder, key_file).manifest == taken.manifest


def test_what_is_counted_sees_a_changed_row(plan: Plan) -> None:
    with contextlib.closing(taking.servers.connect(plan.site)) as link:
        before = survey.survey(link, (survey.SITE, survey.MARKET))
        link.rollback()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE market_instrument SET enabled = NOT enabled")
        after = survey.survey(link, (survey.SITE, survey.MARKET))
    history, said = survey.differences(before, after)
    assert history.startswith("public.access_change: ")  # who changed it is written down, too
    assert said.startswith("public.market_instrument: 1 rows")
