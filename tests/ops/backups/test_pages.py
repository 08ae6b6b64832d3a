"""The first page says when the last backup and drill were; the list says how each went."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import get_resolver, reverse

from apps.ops.backups.models import BackupRun, Kind, Status
from tests import factories


@pytest.fixture(scope="module")
def loaded() -> None:
    """All pages are imported before a transaction is open, which may not be idle for long."""
    _ = get_resolver().url_patterns


@pytest.fixture
def client(loaded: None, db: None) -> Client:
    found = Client()
    found.force_login(factories.make_user("boss", is_staff=True, is_superuser=True))
    return found


def page(client: Client) -> str:
    return client.get(reverse("admin:index"), follow=True).content.decode()


def test_a_new_site_says_that_there_is_none(client: Client) -> None:
    assert page(client).count("none yet") == 2


def test_the_age_is_shown_and_what_is_too_old_or_failed_is_said(client: Client) -> None:
    now = factories.now()
    for kind, status, age in (
        (Kind.BACKUP, Status.DONE, timedelta(hours=3)),
        (Kind.DRILL, Status.DONE, timedelta(days=12)),
        (Kind.DRILL, Status.FAILED, timedelta(days=5)),
    ):
        BackupRun.objects.create(kind=kind, status=status, started_at=now - age, sentence="It says why.")
    text = page(client)
    assert "3\u00a0hours ago" in text
    assert "too old" in text
    assert "the newest failed" in text
    listed = client.get(reverse("admin:ops_backuprun_changelist")).content.decode()
    assert listed.count("It says why.") == 3
    assert client.get(reverse("admin:ops_backuprun_add")).status_code == 403
