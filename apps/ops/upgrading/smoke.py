"""Is the upgraded site whole? Tables fit, every model reads, pages load, every invariant holds; run as `python -m`."""

import os
import sys
from typing import Final

import django
from django.core.management import call_command

DESPITE: Final = "--despite-verify"


def main() -> None:
    """End with status 1 and a sentence when something is not as it should be."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradingsite.settings")
    django.setup()
    wrong = _tables() or _rows() or _code() or ("" if DESPITE in sys.argv else _invariants())
    if wrong:
        sys.exit(wrong)


def _tables() -> str:
    from apps.ops import schema

    return schema.mismatch()


def _rows() -> str:
    """Read a row of every table of ours: a column that is not there says so."""
    from django.apps import apps
    from django.db import DatabaseError

    for model in apps.get_models():
        if not model._meta.managed or not model.__module__.startswith("apps."):
            continue
        try:
            model._default_manager.first()
        except DatabaseError as error:
            return f"{model._meta.db_table} cannot be read: {str(error).strip().splitlines()[0]}"
    return ""


def _code() -> str:
    """Load every page of the site and let Django check it."""
    from django.core.management import CommandError

    try:
        call_command("check", stdout=sys.stderr)
    except CommandError as error:
        return f"Django's own check failed: {' '.join(str(error).split())[:300]}"
    return ""


def _invariants() -> str:
    from apps.ops import invariants

    broken = [found for found in invariants.check(examples=1) if found.violations]
    return "; ".join(f"{found.id} {found.name}: {found.violations} times" for found in broken)


if __name__ == "__main__":
    main()
