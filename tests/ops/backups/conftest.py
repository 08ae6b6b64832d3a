"""A site with something in its books, committed, and a shelf for its backups."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings as site_settings
from pytest_django import Settings

from apps.market import store
from apps.ops.backups import keyfile
from apps.ops.backups.retention import Keep
from apps.ops.backups.servers import Target
from apps.ops.backups.taking import Plan, Taken, hold, take
from apps.ops.servers.places import REPOSITORY
from tests import factories
from tests.servers import temporary_folder

AT = datetime(2026, 11, 20, 2, 0, 5, tzinfo=UTC)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the unprivileged user of embedded servers can reach."""
    with temporary_folder("tradingsite-backups-") as made:
        yield made


@pytest.fixture
def books(transactional_db: None, tick_store: store.Store) -> None:
    """An account with an open position and one that was left by its stop."""
    instrument, account = factories.make_instrument(), factories.make_account()
    factories.opened(account, instrument, factories.stop("90"))
    left = factories.opened(account, instrument, factories.stop("95"), quantity="2")
    factories.cross([factories.leg_of(left, "stop_loss")], "94")


@pytest.fixture
def plan(books: None, folder: Path, settings: Settings) -> Plan:
    """What the settings would say, with everything in the test's own folder."""
    settings.BACKUP_DIR, settings.VAR = folder / "shelf", folder / "var"
    site = Target(url=site_settings.DATABASE_URL)
    return Plan(site=site, market=site, shelf=folder / "shelf", keep=Keep(days=7, weeks=5, months=12))


@pytest.fixture
def key_file(folder: Path) -> Path:
    path = folder / "keys" / "backup.key"
    keyfile.create(path)
    return path


@pytest.fixture
def taken(plan: Plan) -> Taken:
    with hold(plan) as held:
        return take(held, at=AT)


def command(plan: Plan, *argv: str, limit: int | None = None, **more: str) -> "subprocess.Popen[bytes]":
    """Run `manage.py` on the test's database and shelf."""
    own = {
        "DATABASE_URL": plan.site.url,
        "MARKET_DATABASE_URL": plan.market.url,
        "BACKUP_DIR": str(plan.shelf),
        "TRADINGSITE_VAR": str(plan.shelf.parent / "var"),
        "TRADINGSITE_EMBEDDED": "",
    }
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "manage.py"), *argv],
        env={**os.environ, **own, **more},
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    if limit is not None:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    return process
