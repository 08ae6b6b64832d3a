"""Do the tables fit the code? Asked by every process before it begins: on other tables nothing works as it should."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, connection

from apps.ops.servers.places import REPOSITORY

REVISIONS: Final = REPOSITORY / "migrations" / "versions"
UPGRADE: Final = "Stop the site and run `manage.py upgrade` (it takes a backup first), or start it with `manage.py up`."
_APPLIED: Final = "SELECT app, name FROM django_migrations"
_THERE: Final = "SELECT to_regclass('django_migrations') IS NOT NULL"
_REVISIONS: Final = "SELECT version_num FROM market.alembic_version"


class SchemaMismatch(Exception):
    """The tables are older or newer than this code; the sentence says which and what to do."""


def check() -> None:
    """Raise SchemaMismatch unless the tables are those of this code. Raises DatabaseError when that cannot be asked."""
    wrong = mismatch()
    if wrong:
        raise SchemaMismatch(wrong)


def mismatch() -> str:
    """Say in plain words what does not fit; empty when all does. Raises DatabaseError."""
    with connection.cursor() as cursor:
        cursor.execute(_THERE)
        if not cursor.fetchone()[0]:
            return f"The database is empty: it has no tables of this site yet. {UPGRADE}"
        cursor.execute(_APPLIED)
        applied = {(str(app), str(name)) for app, name in cursor.fetchall()}
    known = known_migrations()
    return _older(known - applied) or _newer(_ours(applied - known)) or _market()


def known_migrations() -> set[tuple[str, str]]:
    """Return the migrations of the code by their files' names, without loading any."""
    found = set()
    for config in apps.get_app_configs():
        for path in (Path(config.path) / "migrations").glob("[!_]*.py"):
            found.add((config.label, path.stem))
    return found


def _older(missing: Iterable[tuple[str, str]]) -> str:
    names = sorted(map(".".join, missing))
    if not names:
        return ""
    changes = "1 change of them is" if len(names) == 1 else f"{len(names)} changes of them are"
    return f"The tables are older than this code: {changes} not applied, first {names[0]}. {UPGRADE}"


def _newer(strange: Iterable[tuple[str, str]]) -> str:
    names = sorted(map(".".join, strange))
    if not names:
        return ""
    return (
        f"The tables are newer than this code, which does not know {names[0]}: install the code that made them. "
        "Older code on newer tables loses what it does not know."
    )


def _ours(names: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Leave out packages that were taken out: their tables do no harm."""
    labels = {config.label for config in apps.get_app_configs() if config.name.startswith("apps.")}
    return {(app, name) for app, name in names if app in labels}


def _market() -> str:
    """Compare the market store when it lies in the same database. None yet, or one elsewhere, is for the doctor."""
    if settings.MARKET_DATABASE_URL != settings.DATABASE_URL:
        return ""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('market.alembic_version') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return ""
        cursor.execute(_REVISIONS)
        applied = {str(row[0]) for row in cursor.fetchall()}
    files = sorted(path.name.partition("_")[0] for path in REVISIONS.glob("*.py"))
    if not applied <= set(files):
        return f"The market store is newer than this code, which does not know {', '.join(sorted(applied))}."
    if files[-1:] != sorted(applied):
        return f"The tables of the market store are older than this code. {UPGRADE}"
    return ""


def say_unknown(error: DatabaseError) -> str:
    """Word that nothing could be asked."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"Whether the tables fit this code could not be asked: {first}"
