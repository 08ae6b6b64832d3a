"""The live configuration: judged as a whole, kept as versions, followed and confirmed by every process."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.conf import settings as site_settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from apps.access.models import User
from apps.domain.errors import Refused
from apps.journal import pulses
from apps.journal.models import Event, Pulse
from apps.ops.configuration import board, following, services, standing
from apps.ops.configuration.models import ConfigurationVersion
from apps.ops.configuration.options import BY_NAME, OPTIONS, WrongValue
from workers.tasks import backtests, reporting, strategies

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Whatever a test applies to this process is taken back."""
    yield
    following.apply(0, {})
    following._state.board = None


def change(reason: str = "because", seen: int | None = None, **asked: str | None) -> ConfigurationVersion:
    return services.change(asked, actor="ann", reason=reason, now=NOW, seen=seen)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_an_option_reads_what_it_writes_and_knows_the_value_in_force(option: object) -> None:
    present = option.now()
    assert option.read(option.write(present)) == present
    assert option.meaning.endswith(".")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("EXIT_BATCH", "0"),
        ("EXIT_BATCH", "1e3"),
        ("EXIT_BATCH", "5" * 30),
        ("EXIT_BATCH", "\uff15"),
        ("QUOTE_STALE_SECONDS", "-1"),
        ("PAPER_FEE_RATE", "NaN"),
        ("PAPER_FEE_RATE", "0.2"),
        ("PAPER_FEE_RATE", "1_0"),
        ("LOG_LEVEL", "loud"),
        ("SEND_MESSAGES", "perhaps"),
        ("BACKUP_KEEP", "7,5"),
        ("BACKUP_KEEP", "7,5,x"),
        ("NOTIFY_ALLOWED_NETWORKS", "10.1.0.0/99"),
    ],
)
def test_what_is_no_value_is_refused(name: str, text: str) -> None:
    with pytest.raises(WrongValue):
        BY_NAME[name].read(text)


@pytest.mark.django_db
def test_every_problem_is_said_at_once_and_nothing_is_stored(settings: Settings) -> None:
    settings.PINNED = {"GATE_PAPER_DAYS": "environment"}
    with pytest.raises(Refused) as refused:
        change("", EXIT_BATCH="0", PAPER_FEE_RATE="2", GATE_PAPER_DAYS="3", DATABASE_URL="x", NONSENSE="1")
    fields = [problem.field for problem in refused.value.problems]
    assert fields == ["EXIT_BATCH", "PAPER_FEE_RATE", "GATE_PAPER_DAYS", "DATABASE_URL", "NONSENSE", "reason"]
    assert "environment" in str(refused.value)
    assert not ConfigurationVersion.objects.exists()
    assert not Event.objects.exists()


@pytest.mark.django_db
def test_versions_count_up_and_keep_who_why_and_what() -> None:
    change(EXIT_BATCH="500", QUOTE_STALE_SECONDS="20")
    second = change("calmer", EXIT_BATCH=None)
    assert (second.version, second.actor, second.reason) == (2, "ann", "calmer")
    assert second.chosen == {"QUOTE_STALE_SECONDS": "20"}
    assert second.changes == {"EXIT_BATCH": ["500", ""]}
    told = Event.objects.filter(kind="configuration.changed").order_by("id")
    assert [event.payload["version"] for event in told] == [1, 2]
    assert told[1].actor == "ann"
    with pytest.raises(Refused, match="nothing would change"):
        change(EXIT_BATCH=None)
    with pytest.raises(Refused, match="version 2 is in force"):
        change(EXIT_BATCH="9", seen=1)


@pytest.mark.django_db
def test_a_process_follows_with_its_sign_of_life_and_confirms() -> None:
    was = site_settings.EXIT_BATCH
    change(
        EXIT_BATCH="123",
        QUOTE_STALE_SECONDS="33",
        BACKUP_KEEP="1,2,3",
        PAPER_FEE_RATE="0.002",
        API_READS_PER_MINUTE="7",
    )
    Pulse.objects.create(name="old", host="h", pid=1, started_at=NOW, beat_at=NOW, facts={})
    pulses.beat("sweeper", {"rounds": 1}, started_at=NOW, now=NOW)
    assert (site_settings.EXIT_BATCH, site_settings.BACKUP_KEEP) == (123, (1, 2, 3))
    assert site_settings.API_LIMITS["read"] == 7
    assert timedelta(seconds=33) == site_settings.QUOTE_STALE_AFTER
    assert Decimal("0.002") == site_settings.PAPER_FEE_RATE
    found = standing.look(NOW)
    assert {(each.name, each.version) for each in found.processes} == {("old", None), ("sweeper", 1)}
    assert [each.name for each in found.behind] == ["old"]
    change(EXIT_BATCH=None, PAPER_FEE_RATE=None)
    pulses.beat("sweeper", {}, started_at=NOW, now=NOW)
    assert was == site_settings.EXIT_BATCH, "unset means what environment and default say"
    assert Pulse.objects.get(name="sweeper").facts["configuration"] == 2


@pytest.mark.django_db
def test_nothing_new_costs_one_question(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    change(EXIT_BATCH="123")
    following.follow()
    with django_assert_num_queries(1):
        following.follow()


@pytest.mark.django_db
def test_the_environment_goes_before_the_database(settings: Settings) -> None:
    change(EXIT_BATCH="123", GATE_PAPER_DAYS="3")
    settings.PINNED = {"EXIT_BATCH": "file"}
    before = site_settings.EXIT_BATCH
    following.follow()
    assert (before, 3) == (site_settings.EXIT_BATCH, site_settings.GATE_PAPER_DAYS)


@pytest.mark.django_db
def test_an_option_of_newer_code_is_passed_over() -> None:
    row = change(EXIT_BATCH="123")
    ConfigurationVersion.objects.filter(pk=row.pk).update(
        chosen={"FROM_THE_FUTURE": "1", "EXIT_BATCH": "lots", "GATE_PAPER_DAYS": "5"}
    )
    following.follow()
    assert (site_settings.EXIT_BATCH, site_settings.GATE_PAPER_DAYS) == (1000, 5)
    assert change(GATE_PAPER_DAYS="6", EXIT_BATCH="7").chosen == {"EXIT_BATCH": "7", "GATE_PAPER_DAYS": "6"}


def test_forked_processes_read_the_board_of_their_parent() -> None:
    following.share()
    reading, writing = os.pipe()
    telling, asking = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(telling, 1)
        following.catch_up()
        os.write(writing, f"{site_settings.EXIT_BATCH} {following.version()}".encode())
        os._exit(0)
    following.apply(7, {"EXIT_BATCH": "77"})
    os.write(asking, b".")
    assert os.read(reading, 100) == b"77 7"
    assert os.waitpid(child, 0)[1] == 0
    for end in (reading, writing, telling, asking):
        os.close(end)


def test_a_half_written_board_is_not_believed() -> None:
    made = board.Board()
    assert made.read() == (0, "")
    made.post(3, '{"a": "1"}')
    assert made.read() == (3, '{"a": "1"}')
    made._memory[board._HEAD.size] = 0
    assert made.read() is None
    with pytest.raises(ValueError, match="do not fit"):
        made.post(4, "x" * board.SIZE)


@pytest.mark.django_db
def test_a_silent_database_costs_the_look_not_the_sign_of_life(caplog: pytest.LogCaptureFixture) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SAVEPOINT gone; ALTER TABLE ops_configurationversion RENAME TO elsewhere; SAVEPOINT broken")
        assert following.told(NOW) == {"configuration": 0}
        cursor.execute("ROLLBACK TO SAVEPOINT gone")
    assert "could not be read" in caplog.text


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "run", "spied"),
    [
        ("RUN_STRATEGIES", strategies.run_due, "apps.strategies.services.run_due"),
        ("RUN_BACKTESTS", lambda: backtests.run(run_id=1), "apps.backtests.services.runs.execute"),
        ("RUN_BACKTESTS", lambda: backtests.trials(study_id=1), "apps.backtests.services.sweeps.turn"),
        ("SEND_MESSAGES", reporting.notify, "apps.reporting.services.sending.send_due"),
    ],
)
def test_what_is_switched_off_does_not_begin(
    name: str, run: object, spied: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Begun(Exception):
        """It was begun."""

    def begin(*_args: object, **_kwargs: object) -> None:
        raise Begun

    monkeypatch.setattr(spied, begin)
    with pytest.raises(Begun):
        run()
    change(**{name: "0"})
    following.follow()
    run()


def configure(*words: str) -> dict[str, object]:
    out = StringIO()
    call_command("configure", *words, "--json", stdout=out, stderr=StringIO())
    return dict(json.loads(out.getvalue()))


@pytest.mark.django_db
def test_the_command_changes_shows_and_waits() -> None:
    Pulse.objects.create(
        name="web", host="h", pid=1, started_at=NOW, beat_at=datetime.now(UTC), facts={"configuration": 0}
    )
    answer = configure("EXIT_BATCH=600", "--reason", "try it")
    assert (answer["version"], answer["confirmed"]) == (1, False)
    shown = {each["name"]: each for each in answer["options"]}
    assert (shown["EXIT_BATCH"]["value"], shown["EXIT_BATCH"]["source"]) == ("600", "database")
    assert shown["GATE_PAPER_DAYS"]["source"] == "default"
    with pytest.raises(SystemExit):
        configure("--status", "--wait", "0.1")
    Pulse.objects.update(facts={"configuration": 1})
    assert configure("--status", "--wait", "5")["confirmed"] is True
    history = configure("--history")["history"]
    assert [(each["version"], each["reason"]) for each in history] == [(1, "try it")]
    with pytest.raises(CommandError, match=r"EXIT_BATCH[\s\S]*PAPER_FEE_RATE[\s\S]*reason"):
        configure("EXIT_BATCH=0", "PAPER_FEE_RATE=7")
    out = StringIO()
    call_command("configure", "--status", stdout=out)
    assert "ok      web" in out.getvalue()


@pytest.mark.django_db
def test_the_admin_changes_it_with_a_reason_and_shows_every_error(admin_client: Client, admin_user: User) -> None:
    page = reverse("admin:ops_configurationversion_add")
    fields = dict.fromkeys(BY_NAME, "")
    shown = admin_client.get(page)
    assert b"QUOTE_STALE_SECONDS" in shown.content
    wrong = admin_client.post(page, {**fields, "seen": "0", "reason": "", "EXIT_BATCH": "0", "PAPER_FEE_RATE": "9"})
    errors = wrong.context["adminform"].form.errors
    assert errors.keys() == {"EXIT_BATCH", "PAPER_FEE_RATE", "reason"}
    done = admin_client.post(page, {**fields, "seen": "0", "reason": "slow market", "EXIT_BATCH": "50"})
    assert done.status_code == 302
    row = ConfigurationVersion.objects.get()
    assert (row.version, row.actor, row.reason, row.chosen) == (
        1,
        admin_user.username,
        "slow market",
        {"EXIT_BATCH": "50"},
    )
    late = admin_client.post(page, {**fields, "seen": "0", "reason": "x", "EXIT_BATCH": "60"})
    assert "Somebody changed it meanwhile" in late.content.decode()
    listed = admin_client.get(reverse("admin:ops_configurationversion_changelist")).content.decode()
    assert "slow market" in listed
    assert "EXIT_BATCH" in admin_client.get(reverse("admin:ops_configurationversion_change", args=[1])).content.decode()
