"""The admin's pages of jobs, the cleaning, the doctor, and a worker that runs one."""

import contextlib
import os
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.access.models import ApiToken
from apps.domain.errors import Unavailable
from apps.journal.models import Event, Pulse
from apps.ops.backups.models import BackupRun, Kind, Status
from apps.ops.doctor import jobs as doctor
from apps.ops.doctor.finding import Level
from apps.ops.jobs import ages, asking, cleaning, nightly, running
from apps.ops.jobs.models import Job, JobRun
from apps.trading.models import Credential
from tests import factories
from tests.ops.jobs_world import make_job
from tradingsite.celery import app
from workers import job_runs

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(factories.make_user("root", is_staff=True, is_superuser=True))
    return client


def backdated(job: Job, days: int, **more: object) -> JobRun:
    at = NOW - days * DAY
    values = {"state": "done", "started_at": at, "ended_at": at, "duration": timedelta(seconds=2), **more}
    return JobRun.objects.create(job=job, slot=at, due_at=at, **values)


def test_the_list_shows_when_each_is_due_and_how_the_last_run_went(staff: Client) -> None:
    job = make_job("clean up", "at 03:00 UTC on Sun", calendar="24/7", next_at=NOW)
    backdated(job, 9, state="failed", error="the disk is full")
    make_job("paused", "at 03:00", enabled=False)
    make_job("lost", "at close", problem="run calendars refresh")
    page = staff.get(reverse("admin:ops_job_changelist")).content.decode()
    for word in ("at 03:00 UTC on Sun", "2026-03-02 12:00:00", "2.00 s", "failed", "paused", "run calendars refresh"):
        assert word in page
    page = staff.get(reverse("admin:ops_job_change", args=[job.pk])).content.decode()
    for word in ("the disk is full", "Run now", "Pause or resume", "All runs"):
        assert word in page
    page = staff.get(reverse("admin:ops_jobrun_changelist")).content.decode()
    assert "the disk is full" in page


def test_run_now_and_pause_ask_and_then_do(staff: Client) -> None:
    job = make_job("clean up", "at 03:00", calendar="24/7")
    ask = reverse("admin:ops_job_run_now", args=[job.pk])
    assert not JobRun.objects.exists()
    assert staff.get(ask).status_code == 200
    assert not JobRun.objects.exists(), "a question does nothing"
    staff.post(ask)
    assert JobRun.objects.get().asked_by == "root"
    assert "asked already" in staff.post(ask).content.decode()
    staff.post(reverse("admin:ops_job_pause_or_resume", args=[job.pk]))
    assert not Job.objects.get().enabled
    staff.post(reverse("admin:ops_job_pause_or_resume", args=[job.pk]))
    assert Job.objects.get().enabled


def test_a_job_is_deleted_with_who_did(staff: Client) -> None:
    job = make_job("clean up", "at 03:00", calendar="24/7")
    backdated(job, 1)
    staff.post(reverse("admin:ops_job_delete", args=[job.pk]), {"post": "yes"})
    assert not Job.objects.exists()
    assert Event.objects.get(kind="job.deleted").actor == "root"


def test_a_form_refuses_what_can_never_be_due_and_says_why(staff: Client) -> None:
    given = {"name": "mine", "task": "ops.prune", "kwargs": "{}", "calendar": "24/7", "missed": "skip"}
    given |= {"grace": "00:05:00", "attempts": 3, "zone": "", "description": ""}
    add = reverse("admin:ops_job_add")
    for rule, sentence in (
        ("0 2 * * *", "looks like cron"),
        ("at 25:00", "names no time of day"),
        ("every 1h in pre-market", "no known pre-market"),
    ):
        assert sentence in staff.post(add, given | {"rule": rule}).content.decode()
    assert "like {}" in staff.post(add, given | {"rule": "at 02:00", "kwargs": "[1]"}).content.decode()
    assert not Job.objects.exists()
    answer = staff.post(add, given | {"rule": "at 02:00 America/New_York"})
    assert answer.status_code == 302, answer.content.decode()
    job = Job.objects.get()
    assert job.served_until is not None, "due from now on"
    assert Event.objects.get(kind="job.changed").actor == "root"


def test_a_worker_runs_a_job_and_keeps_its_result(tmp_path: Path) -> None:
    app.loader.import_default_modules()
    run = asking.run_now(make_job("clean up", "at 03:00", task="ops.clean").pk, actor="ann", now=timezone.now())
    assert job_runs.run(run.pk)
    assert not job_runs.run(run.pk), "a second message finds nothing to do"
    run.refresh_from_db()
    assert (run.state, run.result) == ("done", '{"runs": 0, "sessions": 0, "log_files": 0}')


def test_a_task_that_nobody_knows_fails_the_run() -> None:
    run = asking.run_now(make_job("odd", "at 03:00", task="ops.nothing").pk, actor="ann", now=timezone.now())
    with pytest.raises(app.tasks.NotRegistered):
        job_runs.run(run.pk)
    run.refresh_from_db()
    assert run.state == "failed"
    assert "ops.nothing" in run.error


def test_a_backup_is_asked_after_until_it_is_over() -> None:
    """Without beginning one: each row here stands for what the backup's own process wrote."""

    def ask(now: datetime = NOW + MINUTE) -> str:
        return nightly.see_to(Kind.BACKUP, slot=NOW, now=now)

    older = BackupRun.objects.create(kind=Kind.BACKUP, status=Status.DONE, started_at=NOW - DAY, name="last night's")
    run = BackupRun.objects.create(kind=Kind.BACKUP, started_at=NOW, name="tonight's")
    with pytest.raises(running.NotYet, match="runs since 12:00:00") as waiting:
        ask()
    assert not waiting.value.counts, "asking is no attempt"
    BackupRun.objects.filter(pk=run.pk).update(status=Status.FAILED, sentence="No space.")
    with pytest.raises(running.NotYet, match="No space") as waiting:
        ask()
    assert waiting.value.after == nightly.TRY_AGAIN - MINUTE
    BackupRun.objects.filter(pk=older.pk).update(status=Status.FAILED, started_at=NOW)
    BackupRun.objects.create(kind=Kind.BACKUP, status=Status.FAILED, started_at=NOW, sentence="Still none.")
    with pytest.raises(Unavailable, match="failed 3 times: Still none"):
        ask()
    BackupRun.objects.filter(pk=run.pk).update(status=Status.DONE, sentence="12 MB.")
    assert ask() == "tonight's: 12 MB."


def test_cleaning_keeps_what_is_young_what_waits_and_the_last_run_of_each_job(tmp_path: Path) -> None:
    job, rare = make_job("often", "at 03:00"), make_job("rare", "at 04:00")
    kept = [backdated(job, 29), backdated(job, 40, state="waiting", ended_at=None), backdated(rare, 400)]
    gone = [backdated(job, 31), backdated(job, 32, state="skipped"), backdated(rare, 401, state="failed")]
    for days in (1, 31):
        Session.objects.create(session_key=f"s{days}", session_data="", expire_date=NOW - days * DAY)
        log = tmp_path / f"beat.log.{days}"
        log.write_text("x")
        os.utime(log, ((NOW - days * DAY).timestamp(),) * 2)
    (tmp_path / "other.txt").write_text("x")
    os.utime(tmp_path / "other.txt", (0, 0))
    assert cleaning.clean(NOW, tmp_path) == {"runs": len(gone), "sessions": 1, "log_files": 1}
    assert set(JobRun.objects.values_list("pk", flat=True)) == {run.pk for run in kept}
    assert {path.name for path in tmp_path.iterdir()} == {"beat.log.1", "other.txt"}
    assert cleaning.clean(NOW, tmp_path) == {"runs": 0, "sessions": 0, "log_files": 0}


def wrong(now: datetime = NOW) -> dict[str, str]:
    return {one.name: one.seen for one in doctor.look(now) if one.level is Level.WRONG}


def test_the_doctor_says_what_is_wrong_with_jobs() -> None:
    assert "no job is planned" in wrong()["rows"]
    job = make_job("clean up", "at 03:00", next_at=NOW + DAY)
    Pulse.objects.create(name="beat", host="h", pid=1, started_at=NOW, beat_at=NOW, facts={"leads": True})
    assert wrong() == {}
    assert "1 jobs are overdue" in wrong(NOW + 2 * DAY)["beat"]
    backdated(job, 1, state="failed", error="the disk is full")
    assert wrong()["clean up"] == "the last run failed: the disk is full"
    backdated(job, 0)
    assert wrong() == {}, "a later run went well"
    backdated(job, 2, state="waiting", started_at=None, ended_at=None)
    assert "has waited 2 days for a worker" in wrong()["clean up"] or "48 h" in wrong()["clean up"]
    JobRun.objects.all().delete()
    Job.objects.update(problem="run 'manage.py calendars refresh XNYS'")
    assert "calendars refresh" in wrong()["clean up"]


@pytest.fixture
def expiring(tmp_path: Path) -> Iterator[int]:
    """A server on loopback with a certificate that nobody signed; its port."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(NOW - DAY).not_valid_after(NOW + 9000 * DAY)
    both = made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    both += key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "both.pem").write_bytes(both)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            caller, _ = server.accept()
            with contextlib.suppress(OSError), caller:
                context.wrap_socket(caller, server_side=True).close()

        thread = Thread(target=answer)
        thread.start()
        yield server.getsockname()[1]
        thread.join(10)


def test_what_grows_old_is_said_once_a_week(expiring: int) -> None:
    user = factories.make_user("ann")
    now = timezone.now()
    values = {"user": user, "created_at": now - 400 * DAY}
    for prefix, ends in (("soon", now + 3 * DAY), ("never", None), ("later", now + 90 * DAY), ("over", now - DAY)):
        ApiToken.objects.create(prefix=prefix, digest=prefix, expires_at=ends, **values)
    ApiToken.objects.create(prefix="revoked", digest="revoked", revoked_at=now, **values)
    old, young = (
        Credential.objects.create(name=name, owner=user, broker="alpaca", sealed=b"", ending="1234")
        for name in ("old", "young")
    )
    Credential.objects.update(created_at=now - 200 * DAY)
    Event.objects.create(kind="credential.replaced", subject=f"credential:{young.pk}", payload={})
    found = ages.look(now, [f"https://localhost:{expiring}", "http://plain", "https://*.example.com"])
    assert [sentence.split(":")[0] for sentence in found] == [
        f"the broker key {old.name} is 200 days old",
        f"the API token soon of ann ends on {now + 3 * DAY:%Y-%m-%d}",
        "the API token never of ann is 400 days old and never ends",
        "the certificate of localhost is not accepted",
    ]
    assert Event.objects.get(kind="site.keys_aged").payload["found"] == found
    assert ages.look(now - 399 * DAY, []) == []
