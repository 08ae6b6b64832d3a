"""The tables are those of the models: no migration is missing, and none is made twice."""

import re

import pytest
from django.core.management import call_command
from django.db.migrations.loader import MigrationLoader

from tests.shape.source import ROOT


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    try:
        call_command("makemigrations", check=True, dry_run=True, verbosity=3)
    except SystemExit:
        pytest.fail("models changed without a migration: run 'manage.py makemigrations'")


def test_no_app_has_two_newest_migrations() -> None:
    assert MigrationLoader(None).detect_conflicts() == {}


def test_revisions_of_the_market_store_are_one_line() -> None:
    files = sorted((ROOT / "migrations/versions").glob("*.py"))
    assert files
    before = None
    for path in files:
        text = path.read_text()
        told = re.search(r"^down_revision.*=\s*(.+)$", text, re.MULTILINE)
        revision = re.search(r"^revision.*=\s*[\"'](\w+)[\"']", text, re.MULTILINE)
        assert told
        assert revision
        assert told[1].strip("\"'") == (before or "None")
        assert path.name.startswith(f"{revision[1]}_")
        before = revision[1]
