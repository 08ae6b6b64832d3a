"""Rows of reports: wanted once, claimed by one, made anew, taken back, given up, sent with their PDF, forgotten."""

import email
import email.policy
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier, Thread

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from apps.access.models import User
from apps.domain.errors import Refused
from apps.journal.models import Event
from apps.market import selectors as market
from apps.market.store import Store
from apps.reporting.models import FileFormat, Report, ReportFile, ReportKind, ReportState
from apps.reporting.reports import keeping, making, periods, selectors, snapshots
from apps.reporting.reports.making import Wish
from apps.reporting.reports.subjects import Subject
from apps.reporting.services import keeping as channels
from apps.reporting.services.keeping import NewChannel
from apps.trading.models import Account
from tests.factories import make_account, make_instrument, make_user
from tests.reporting import providers, world
from tests.reporting import reports_world as trades
from tests.reporting.providers import Post, Web
from tests.reporting.world import Clock

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 21, 0, 1, tzinfo=UTC)  # a Saturday: a day and a week have just ended
START = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture(autouse=True)
def stored(tick_store: Store) -> Iterator[None]:
    market.market_store.cache_clear()
    yield
    market.market_store().close()
    market.market_store.cache_clear()


@pytest.fixture
def account() -> Account:
    """One that was opened at the begin of the day and traded once."""
    made = trades.account(START)
    trades.round_trip(made, make_instrument(), "1", "100", "110", at=START + timedelta(hours=2))
    return made


def at_now() -> datetime:
    return NOW


def wished(account: Account, kind: ReportKind = ReportKind.DAILY, now: datetime = NOW) -> Wish:
    return Wish(subject=Subject(account=account), period=making.period_of(account, kind, now))


def wanted(account: Account) -> Report:
    return making.want(wished(account), actor="boss", now=NOW)


def test_what_is_due_is_wanted_once_and_made(account: Account) -> None:
    strategy = trades.followed(account, account.positions.get())
    assert making.want_due(NOW - timedelta(seconds=40)) == 0, "what happened before midnight may not be committed yet"
    assert making.want_due(NOW) == 4
    assert making.want_due(NOW) == 0, "asked again, nothing is added"
    found = set(Report.objects.values_list("kind", "strategy", "day"))
    day = START.date()
    assert found == {(kind, key, day) for kind in ("daily", "weekly") for key in (None, strategy.pk)}
    assert making.make_waiting(at_now, seconds=60) == 4
    assert set(Report.objects.values_list("state", flat=True)) == {"made"}
    assert Event.objects.filter(kind="report.completed", account_id=account.pk).count() == 4
    assert making.want_due(NOW + timedelta(days=1)) == 1, "the next day, where the strategy did nothing"


def test_the_first_day_of_an_account_is_told_and_no_day_before_it() -> None:
    late = make_account(name="late")
    Account.objects.filter(pk=late.pk).update(opened_at=NOW - timedelta(minutes=30))
    making.want_due(NOW)
    assert {row.day for row in Report.objects.filter(account=late)} == {START.date()}
    Report.objects.all().delete()
    Account.objects.filter(pk=late.pk).update(opened_at=NOW)
    assert making.want_due(NOW) == 0


def test_days_without_workers_are_made_up_for_and_old_mornings_are_not(account: Account) -> None:
    Account.objects.filter(pk=account.pk).update(opened_at=START - timedelta(days=400))
    making.want_due(NOW)
    count = {kind: Report.objects.filter(kind=kind).count() for kind in ReportKind}
    assert count == {"daily": 7, "weekly": 4, "monthly": 2, "morning": 0}


def test_it_is_made_anew_in_place_with_another_checksum(account: Account) -> None:
    row = wanted(account)
    assert making.make_one(row.pk, at_now)
    before = {each.format: each.sha256 for each in selectors.files(row)}
    content = selectors.file(row, FileFormat.PDF)
    assert content is not None
    assert hashlib.sha256(content).hexdigest() == before["pdf"]
    assert not making.make_one(row.pk, at_now), "nobody wants it again"
    trades.round_trip(account, account.positions.get().instrument, "2", "100", "90", at=START + timedelta(hours=3))
    again = wanted(account)
    assert again.pk == row.pk
    assert making.make_one(row.pk, at_now)
    again.refresh_from_db()
    assert again.figures["money"]["books"][0]["net_pnl"] == "-10.59"
    after = {each.format: each.sha256 for each in selectors.files(again)}
    assert set(after) == {"html", "pdf"}
    assert after["html"] != before["html"]


def test_a_file_that_was_changed_is_not_handed_out(account: Account) -> None:
    row = wanted(account)
    making.make_one(row.pk, at_now)
    other = ReportFile.packed(row, FileFormat.HTML, b"forged")
    ReportFile.objects.filter(report=row, format="html").update(content=other.content)
    with pytest.raises(ValueError, match="not the file that was stored"):
        selectors.file(row, FileFormat.HTML)


def test_a_time_that_has_not_ended_is_refused(account: Account) -> None:
    around = periods.of_day(making.calendars.of("24/7"), ReportKind.WEEKLY, NOW.date())
    assert around is not None
    with pytest.raises(Refused, match="ends at 2026-11-28"):
        making.want(Wish(subject=Subject(account=account), period=around), actor="boss", now=NOW)


def test_a_maker_that_died_is_followed_three_times_then_a_person_is_told(account: Account) -> None:
    row, clock = wanted(account), Clock()
    clock.at = NOW
    for _ in range(making.MOST_TRIES):
        assert making.claim(clock()) is not None
        assert making.claim(clock()) is None, "while it is being made nobody else takes it"
        clock.move(minutes=8)
    assert making.claim(clock()) is None
    row.refresh_from_db()
    assert row.state == ReportState.FAILED
    assert Event.objects.get(kind="report.failed").payload["report"] == row.pk
    assert making.renew(row, actor="boss", now=clock())
    assert making.make_one(row.pk, clock)


def test_who_was_taken_for_dead_stores_nothing(account: Account) -> None:
    wanted(account)
    slow = making.claim(NOW)
    assert slow is not None
    quick = making.claim(NOW + timedelta(minutes=8))
    assert quick is not None
    assert not making.make(slow, at_now)
    assert ReportFile.objects.count() == 0
    assert making.make(quick, at_now)
    assert Event.objects.filter(kind="report.completed").count() == 1


@pytest.mark.django_db(transaction=True)
def test_one_of_many_claims_it() -> None:
    account = make_account()
    wanted(account)
    barrier, taken = Barrier(4), []

    def claim() -> None:
        barrier.wait()
        try:
            taken.append(making.claim(NOW))
        finally:
            connection.close()

    threads = [Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(row is not None for row in taken) == 1


@pytest.mark.django_db(transaction=True)
def test_figures_are_of_one_moment_while_trading_goes_on() -> None:
    def another() -> None:
        make_user("meanwhile")
        connection.close()

    with snapshots.one():
        before = User.objects.count()
        thread = Thread(target=another)
        thread.start()
        thread.join()
        assert User.objects.count() == before
    assert User.objects.count() == before + 1


def test_each_person_sees_the_reports_of_their_accounts(account: Account) -> None:
    stranger = make_user("stranger")
    row = wanted(account)
    making.make_one(row.pk, at_now)
    assert selectors.report(stranger, row.pk) is None
    assert list(selectors.reports(account.owner)) == [row]
    assert list(selectors.reports(stranger)) == []
    mine, theirs = Client(), Client()
    mine.force_login(account.owner)
    theirs.force_login(stranger)
    for path, kind in (
        ("", "text/html"),
        ("/html", "text/html"),
        ("/pdf", "application/pdf"),
        ("/csv", "application/zip"),
        ("/tables/trades", "text/csv"),
    ):
        answer = mine.get(f"/desk/reports/{row.pk}{path}")
        assert (answer.status_code, answer["Content-Type"].partition(";")[0]) == (200, kind)
        assert theirs.get(f"/desk/reports/{row.pk}{path}").status_code == 404
    assert mine.get(f"/desk/reports/{row.pk}/exe").status_code == 404
    assert mine.get(f"/desk/reports/{row.pk}/tables/nothing").status_code == 404
    assert theirs.post(f"/desk/reports/{row.pk}/anew").status_code == 404
    assert b"daily" in mine.get("/desk/reports").content
    assert f"/desk/reports/{row.pk}" not in theirs.get("/desk/reports").content.decode()


def test_the_button_wants_a_report_of_an_own_account_only(account: Account) -> None:
    other = make_account(make_user("other"), name="other")
    person = Client()
    person.force_login(account.owner)
    answer = person.post("/desk/reports/make", {"account": account.pk, "kind": "daily"})
    row = Report.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/desk/reports/{row.pk}")
    assert (row.state, row.wanted_by) == ("wanted", account.owner.username)
    assert "makes it within a minute" in person.get(answer["Location"]).content.decode()
    assert person.post("/desk/reports/make", {"account": other.pk, "kind": "daily"}).status_code == 422
    future = {"account": account.pk, "kind": "monthly", "day": f"{datetime.now(UTC) + timedelta(days=9):%Y-%m-%d}"}
    assert person.post("/desk/reports/make", future).status_code == 422
    assert Report.objects.count() == 1


def test_the_admin_shows_it_and_asks_before_it_makes_it_anew(
    account: Account, person: User, settings: Settings, tmp_path: Path
) -> None:
    settings.STATIC_ROOT, settings.SECOND_FACTOR, settings.REAUTHENTICATE_BEFORE = tmp_path, "offered", ()
    row = wanted(account)
    making.make_one(row.pk, at_now)
    desk = Client()
    desk.force_login(person)
    listed = desk.get(reverse("admin:reporting_report_changelist")).content.decode()
    assert f"/desk/reports/{row.pk}/pdf" in listed
    shown = desk.get(reverse("admin:reporting_report_change", args=[row.pk])).content.decode()
    assert "+9.79 USD realised after fees" in shown
    assert ReportFile.objects.get(report=row, format="pdf").sha256 in shown
    anew = reverse("admin:reporting_report_make_anew", args=[row.pk])
    assert "its files are replaced" in desk.get(anew).content.decode()
    row.refresh_from_db()
    assert row.state == "made", "it only asked"
    assert desk.post(anew).status_code == 302
    row.refresh_from_db()
    assert (row.state, row.wanted_by) == ("wanted", "boss")


def test_mail_and_telegram_carry_the_pdf(account: Account, key_file: Path, web: Web, post: Post, clock: Clock) -> None:
    boss = make_user("boss", is_superuser=True)
    web.answer = lambda _: providers.ok({"ok": True, "result": {"message_id": 5}})
    given = {"host": "127.0.0.1", "port": str(post.port), "security": "none"}
    given |= {"sender": "site@example.org", "recipient": "me@example.org"}
    mail = channels.store(NewChannel(name="mail", kind="email", owner_id=boss.pk, given=given, per_minute=1000))
    for channel in (mail, world.telegram(boss, web.url)):
        world.route(channel, boss, kinds="report.*")
    world.begin(clock)
    row = wanted(account)
    making.make_one(row.pk, at_now)
    content = selectors.file(row, FileFormat.PDF)
    assert content is not None
    world.work(clock)
    (asked,) = web.asked
    assert asked.path.endswith("/sendDocument")
    assert content in asked.body
    assert f'filename="{row.file_name}.pdf"'.encode() in asked.body
    assert b"Daily report, paper, 2026-11-20" in asked.body
    message = email.message_from_bytes(_sent(post), policy=email.policy.default)
    (attached,) = message.iter_attachments()
    assert (attached.get_content(), attached.get_filename()) == (content, f"{row.file_name}.pdf")
    assert f"/desk/reports/{row.pk}" in message.get_body().get_content()


def _sent(post: Post) -> bytes:
    (mail,) = post.mails
    return mail if isinstance(mail, bytes) else mail.encode()


def test_the_command_makes_it_and_writes_files(
    account: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("report", account=account.pk, kind="daily", day="2026-11-20", output=str(tmp_path))
    told = capsys.readouterr().out
    assert told.startswith("Daily report, paper, 2026-11-20")
    assert "+9.79 USD realised after fees, 1 lot closed." in told
    name = Report.objects.get().file_name
    assert {f"{name}.html", f"{name}.pdf", f"{name}-trades.csv"} <= {path.name for path in tmp_path.iterdir()}


def test_the_finer_a_report_the_sooner_it_is_forgotten(account: Account) -> None:
    old = START - timedelta(days=401)
    for kind in ReportKind:
        values = {"kind": kind, "account": account, "state": "made"}
        Report.objects.create(day=START.date(), since=START, until=NOW, **values)
        Report.objects.create(day=old.date(), since=old, until=old + timedelta(days=1), **values)
    assert keeping.prune(NOW) == 2
    assert set(Report.objects.filter(day=old.date()).values_list("kind", flat=True)) == {"weekly", "monthly"}


def test_figures_are_decimals_as_text(account: Account, person: User) -> None:
    row = wanted(account)
    making.make_one(row.pk, at_now)
    found = selectors.report(person, row.pk)
    assert found is not None
    assert Decimal(found.figures["money"]["books"][0]["net_pnl"]) == Decimal("9.79")
