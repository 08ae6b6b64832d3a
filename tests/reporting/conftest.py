"""A key file, providers on loopback that may be reached, and a clock that the test sets."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.access.models import User
from apps.trading import keyfile
from tests.factories import make_user
from tests.reporting import providers
from tests.reporting.providers import Post, Web
from tests.reporting.world import Clock


@pytest.fixture
def key_file(settings: Settings, tmp_path: Path) -> Path:
    """A key file of the test's own."""
    path = tmp_path / "keys" / "broker_keys"
    settings.KEY_FILE = path
    keyfile.create(path)
    return path


@pytest.fixture
def loopback(settings: Settings) -> None:
    """Let messages go to this machine."""
    settings.NOTIFY_ALLOWED_NETWORKS = ["127.0.0.0/8"]


@pytest.fixture
def web(loopback: None) -> Iterator[Web]:
    with providers.web() as made:
        yield made


@pytest.fixture
def post(loopback: None) -> Iterator[Post]:
    with providers.post() as made:
        yield made


@pytest.fixture
def person(db: None) -> User:
    """Somebody who sees everything."""
    return make_user("boss", is_superuser=True, is_staff=True)


@pytest.fixture
def clock() -> Clock:
    return Clock()
