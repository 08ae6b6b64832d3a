"""Which tables have a history: settings only, never tables that trading writes to all day."""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from django.apps import AppConfig
from django.db import connection

FUNCTION: Final = "access_note_change"
TRIGGER: Final = "note_change"
_ARGUMENTS: Final = (
    "SELECT c.relname, t.tgargs FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
    "WHERE t.tgname = %s AND c.relname = ANY(%s) AND c.relnamespace = current_schema()::regnamespace"
)


class Watched(NamedTuple):
    """A table with a history."""

    spared: tuple[str, ...] = ()  # columns that processes write by themselves
    secret: tuple[str, ...] = ()  # columns of which only that they changed is kept
    parent: str = ""  # the table of the row on whose page it is shown, if not its own
    column: str = ""  # and the column that names that row

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the trigger is told."""
        return (",".join(self.spared), ",".join(self.secret), self.parent, self.column)


TABLES: Final[dict[str, Watched]] = {
    "access_user": Watched(spared=("last_login",), secret=("password",)),
    "access_user_groups": Watched(parent="access_user", column="user_id"),
    "access_user_user_permissions": Watched(parent="access_user", column="user_id"),
    "access_apitoken": Watched(spared=("last_used_at", "seen_from"), secret=("digest",)),
    "auth_group": Watched(),
    "market_instrument": Watched(),
    "strategies_strategy": Watched(spared=("failures", "failed_bar_at", "busy_until", "proven")),
    "strategies_strategy_instruments": Watched(parent="strategies_strategy", column="strategy_id"),
    "trading_account": Watched(),
    "trading_allocation": Watched(parent="strategies_strategy", column="strategy_id"),
    "trading_credential": Watched(spared=("checked_at", "changed_at"), secret=("sealed",)),
    "trading_restriction": Watched(),
    "trading_riskprofile": Watched(),
    "trading_risklimit": Watched(),
    "reporting_channel": Watched(spared=("failures", "paused_until", "last_error", "changed_at"), secret=("sealed",)),
    "reporting_chat": Watched(),
    "reporting_route": Watched(),
    "reporting_habit": Watched(),
    "reporting_wording": Watched(),
    "django_celery_beat_periodictask": Watched(spared=("last_run_at", "total_run_count", "date_changed")),
    "django_celery_beat_intervalschedule": Watched(),
    "django_celery_beat_crontabschedule": Watched(),
    "django_celery_beat_clockedschedule": Watched(),
    "django_celery_beat_solarschedule": Watched(),
}


def after_migrate(sender: AppConfig, **_later: Any) -> None:
    """Follow a migration of an app: its tables exist now."""
    watch(model._meta.db_table for model in sender.get_models(include_auto_created=True))


def watch(tables: Iterable[str]) -> list[str]:
    """Set the trigger on those of the tables that have a history and lack it, and return them; safe to repeat."""
    wanted = {name: TABLES[name].arguments for name in sorted(set(tables) & TABLES.keys())}
    if not wanted:
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regproc(%s) IS NOT NULL", [FUNCTION])
        if cursor.fetchone() != (True,):  # the site is being migrated only so far
            return []
        cursor.execute(_ARGUMENTS, [TRIGGER, list(wanted)])
        there = {name: tuple(bytes(told).decode().split("\0")[:-1]) for name, told in cursor.fetchall()}
        missing = [name for name, arguments in wanted.items() if there.get(name) != arguments]
        for name in missing:
            cursor.execute(
                f'CREATE OR REPLACE TRIGGER {TRIGGER} AFTER INSERT OR UPDATE OR DELETE ON "{name}" '
                f"FOR EACH ROW EXECUTE FUNCTION {FUNCTION}(%s, %s, %s, %s)",
                wanted[name],
            )
    return missing
