"""The history of settings: every change by every door, with who and why; and nothing of what trading writes."""

import getpass
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.access import history, services
from apps.access.history import signing
from apps.access.history.watched import TABLES, watch
from apps.access.models import ApiToken, Change, Scope, User
from apps.market.models import Instrument
from apps.reporting.control import speaking
from apps.strategies.models import Strategy
from apps.trading.models import Account, Allocation, Position, RiskLimit
from tests.access.conftest import Person

Make = Callable[..., Person]
pytestmark = pytest.mark.django_db


def last() -> Change:
    found = Change.objects.first()
    assert found is not None
    return found


@pytest.fixture
def limit(db: None) -> RiskLimit:
    return RiskLimit.objects.create(rule="max_drawdown", parameters={"rate": 0.2})


def test_every_table_with_a_history_has_its_trigger_and_setting_it_again_does_nothing() -> None:
    tables = {model._meta.db_table for app in apps.get_app_configs() for model in app.get_models(True)}
    assert TABLES.keys() <= tables, "a table of the list is no more"
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'note_change'")
        assert {name for (name,) in cursor.fetchall()} == TABLES.keys()
        assert watch(tables) == []
        cursor.execute("DROP TRIGGER note_change ON auth_group")
        cursor.execute(
            "CREATE OR REPLACE TRIGGER note_change AFTER UPDATE ON access_user FOR EACH ROW "
            "EXECUTE FUNCTION access_note_change('', '', '', '')"
        )
    assert watch(tables) == ["access_user", "auth_group"], "missing, and told something else"
    assert watch(tables) == []


def test_columns_that_a_history_names_exist() -> None:
    with connection.cursor() as cursor:
        for table, told in TABLES.items():
            columns = {field.name for field in connection.introspection.get_table_description(cursor, table)}
            named = {*told.spared, *told.secret, *([told.column] if told.column else []), "id"}
            assert named <= columns, table


def test_what_trading_writes_to_has_no_history() -> None:
    hot = ("position", "exit", "exitleg", "order", "fill", "ledgerentry", "decision", "violation", "riskmetric")
    assert not {f"trading_{name}" for name in hot} & TABLES.keys()
    assert not {"market_quote", "journal_event", "journal_pulse", "strategies_signal"} & TABLES.keys()


def test_a_change_keeps_who_when_the_old_the_new_and_why(limit: RiskLimit) -> None:
    with history.by("ann", source="admin"):
        history.because("the 'week' was % bad; DROP")
        limit.parameters = {"rate": 0.1}
        limit.enabled = False
        limit.save()
    row = last()
    assert (row.actor, row.source, row.reason) == ("ann", "admin", "the 'week' was % bad; DROP")
    assert (row.subject, row.action) == (f"trading_risklimit:{limit.pk}", "changed")
    assert row.old == {"parameters": {"rate": 0.2}, "enabled": True}
    assert row.new == {"parameters": {"rate": 0.1}, "enabled": False}
    assert abs((row.at - datetime.now(UTC)).total_seconds()) < 3600


def test_added_and_deleted_are_written_too_and_what_stays_the_same_is_not(limit: RiskLimit) -> None:
    assert (last().action, last().new["rule"]) == ("added", "max_drawdown")
    count = Change.objects.count()
    limit.save()
    assert Change.objects.count() == count
    limit.delete()
    assert (last().action, last().old["rule"], last().new) == ("deleted", "max_drawdown", {})


def test_an_update_of_many_rows_and_one_outside_any_transaction_are_signed(limit: RiskLimit) -> None:
    RiskLimit.objects.create(rule="max_leverage")
    with history.by("ann", source="api", reason="why not"):
        assert RiskLimit.objects.update(enabled=False) == 2
    assert list(Change.objects.values_list("actor", "reason")[:2]) == [("ann", "why not")] * 2


@pytest.mark.django_db(transaction=True)
def test_a_signature_ends_with_its_statement_and_with_its_block() -> None:
    with history.by("ann", source="api"):
        row = RiskLimit.objects.create(rule="max_drawdown")
        RiskLimit.objects.filter(pk=row.pk).update(note="100 %")
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('tradingsite.actor', true)")
        assert cursor.fetchone() in [("",), (None,)], "the next who uses the connection is not ann"
    RiskLimit.objects.filter(pk=row.pk).update(note="by nobody")
    assert list(Change.objects.values_list("actor", flat=True)[:3]) == ["", "ann", "ann"]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE trading_risklimit SET note = 'by hand'")
    assert (last().old, last().new) == ({"note": "by nobody"}, {"note": "by hand"})


def test_what_is_undone_leaves_nothing(limit: RiskLimit) -> None:
    count = Change.objects.count()
    with suppress(ZeroDivisionError), transaction.atomic():
        RiskLimit.objects.update(enabled=False)
        raise ZeroDivisionError
    assert Change.objects.count() == count


def test_nobody_changes_the_history() -> None:
    RiskLimit.objects.create(rule="max_drawdown")
    for act in (lambda: Change.objects.update(actor="bob"), lambda: Change.objects.all().delete()):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            act()


def test_secrets_are_not_in_it(person: Make) -> None:
    ann = person("ann").user
    ann.set_password("another-long-password")
    ann.save()
    assert (last().old, last().new) == ({"password": "(secret)"}, {"password": "(secret)"})
    token = services.create_token(user=ann, scope=Scope.READ, now=datetime.now(UTC)).token
    assert last().new["digest"] == "(secret)"
    told = str(list(Change.objects.values_list("old", "new")))
    assert token.digest not in told
    assert "pbkdf2" not in told
    assert User.objects.get(pk=ann.pk).password not in told


def test_what_processes_write_by_themselves_is_not_in_it(person: Make, account: Account) -> None:
    now = datetime.now(UTC)
    user = person("ann").user
    strategy = Strategy.objects.create(name="s", plugin="sma_cross")
    token = services.create_token(user=user, scope=Scope.READ, now=now).token
    count = Change.objects.count()
    Strategy.objects.update(failures=3, busy_until=now, failed_bar_at=now)
    User.objects.update(last_login=now)
    ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    assert Change.objects.count() == count
    strategy.enabled = True
    strategy.save()
    assert last().new == {"enabled": True}


def test_rows_of_another_rows_page_are_shown_there(account: Account, instrument: Instrument) -> None:
    strategy = Strategy.objects.create(name="s", plugin="sma_cross")
    strategy.instruments.add(instrument)
    assert last().subject == f"strategies_strategy:{strategy.pk}"
    assert last().new["instrument_id"] == instrument.pk
    Allocation.objects.create(strategy=strategy, account=account, notional=Decimal(100))
    assert (last().subject, last().source_table) == (f"strategies_strategy:{strategy.pk}", "trading_allocation")


def test_trading_pays_nothing(open_position: Callable[..., Position]) -> None:
    with CaptureQueriesContext(connection) as seen:
        open_position()
    assert not [query["sql"] for query in seen if "set_config" in query["sql"]]


def test_a_change_by_the_api_names_the_tokens_owner_and_the_header_says_why(person: Make) -> None:
    root = person("root", superuser=True).user
    text = services.create_token(user=root, scope=Scope.ADMIN, now=datetime.now(UTC)).text
    strategy = Strategy.objects.create(name="s", plugin="sma_cross", stage="paper", enabled=True)
    headers = {
        "authorization": f"Bearer {text}",
        "x-change-reason": "too many losses",
        "idempotency-key": "key-of-a-test-1",
    }
    answer = Client().post(f"/api/v1/strategies/{strategy.pk}/stop", {}, "application/json", headers=headers)
    assert answer.status_code == 200, answer.content
    row = Change.objects.filter(subject=f"strategies_strategy:{strategy.pk}").first()
    assert row is not None
    assert (row.actor, row.source, row.reason) == ("root", "api", "too many losses")


def test_a_change_by_telegram_names_the_person(person: Make) -> None:
    root = person("root", superuser=True).user
    speaking.run(speaking.commands()["stop"], speaking.Asked(person=root, words=(), now=datetime.now(UTC)))
    row = last()
    assert (row.source_table, row.action, row.source) == ("trading_restriction", "added", "telegram")
    assert row.actor == "root (telegram)"


@pytest.mark.parametrize(
    ("argv", "process", "source", "someone"),
    [
        (["/site/manage.py", "configure"], "", "manage.py configure", True),
        (["manage.py", "sweeper"], "sweeper", "sweeper", False),
        (["pytest"], "", "python", False),
    ],
    ids=["a person's command", "a process of the site", "something else"],
)
def test_a_change_by_a_command_names_who_started_it(
    monkeypatch: pytest.MonkeyPatch, argv: list[str], process: str, source: str, someone: bool
) -> None:
    monkeypatch.setattr("sys.argv", argv)
    monkeypatch.setenv("PROCESS_NAME", process)
    signing._of_process.cache_clear()
    RiskLimit.objects.create(rule="max_drawdown")
    signing._of_process.cache_clear()
    assert last().source == source
    assert last().actor == (f"os:{getpass.getuser()}" if someone else "")
