"""Fixtures of the tests of keys: a key file, a venue that echoes, an account of a person."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from apps.access.models import User
from apps.trading import keyfile
from apps.trading.models import Account, Credential
from apps.trading.services import connecting, keys
from tests.factories import make_account, make_user
from tests.trading import echo_broker
from tests.trading.echo_broker import Venue

KEY, SECRET, PHRASE = "canary-key-8f3a2bde", "canary+secret/77aa90bc==", "canary phrase 4411 xyz"
NOW = datetime(2026, 11, 21, 15, 0, tzinfo=UTC)


@pytest.fixture
def key_file(settings: Settings, tmp_path: Path) -> Path:
    """A key file of the test's own."""
    path = tmp_path / "keys" / "broker_keys"
    settings.KEY_FILE = path
    keyfile.create(path)
    return path


@pytest.fixture
def venue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Venue]:
    """A venue on loopback, and the broker that speaks to it."""
    echo_broker.install(monkeypatch)
    with echo_broker.venue() as made:
        yield made


@pytest.fixture
def owner(db: None) -> User:
    return make_user("owner")


def new(owner: User, address: str, **more: Any) -> keys.NewCredential:
    values = {"key": KEY, "secret": SECRET, "passphrase": PHRASE} | {
        name: more.pop(name) for name in ("key", "secret", "passphrase") if name in more
    }
    given = {"name": "main", "broker": "echo", "address": address, **more}
    return keys.NewCredential(owner_id=owner.pk, secrets=keys.Secrets(**values), **given)


def stored(owner: User, address: str, **more: Any) -> Credential:
    return keys.store(new(owner, address, **more), now=NOW, actor=owner.username).credential


def connected(owner: User, credential: Credential, **options: Any) -> Account:
    """Open an account and let its orders go to the echo."""
    account = make_account(owner, name=f"at {credential.name}")
    route = connecting.Route(broker="echo", credential_id=credential.pk, options=options)
    return connecting.connect(account.pk, route, actor=owner.username)
