"""A small world for the API: two traders, an administrator, an instrument with a fresh price."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.http import HttpResponse
from django.test import Client
from pytest_django import Settings

from apps.access import services as access
from apps.access.models import Scope, User
from apps.access.roles import TRADER
from apps.market.models import Instrument, Quote
from apps.trading.models import Account
from apps.trading.services import accounts, exits

PRICE = Decimal("61800")


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Caller:
    """A program with a token."""

    user: User
    token: str

    def __post_init__(self) -> None:
        self.client = Client(raise_request_exception=False)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = headers.pop("content_type", "application/json")
        if self.token:
            headers = {"authorization": f"Bearer {self.token}", **headers}
        return self.client.generic(method, path, raw, content_type=kind, headers=headers)

    def get(self, path: str, **headers: str) -> HttpResponse:
        return self.send("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> HttpResponse:
        return self.send("POST", path, body, **headers)

    def delete(self, path: str, **headers: str) -> HttpResponse:
        return self.send("DELETE", path, **headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> HttpResponse:
        return self.send("PATCH", path, body, **headers)

    def open(self, **more: Any) -> dict[str, Any]:
        """Open a long position of 0.5 BTC with a stop, unless told otherwise; return the answer."""
        body = {"instrument": "BTC-USD", "side": "long", "quantity": "0.5", "stop_loss": "60000", **more}
        answer = self.post("/api/v1/positions", {k: v for k, v in body.items() if v is not None})
        assert answer.status_code == 201, answer.content
        return answer.json()


def make_user(name: str, role: str = "", **more: Any) -> User:
    user = User.objects.create_user(name, **more)
    if role:
        user.groups.add(Group.objects.get(name=role))
    return user


def caller_for(user: User, scope: Scope = Scope.TRADE) -> Caller:
    return Caller(user, access.create_token(user=user, scope=scope, now=now()).text)


def make_instrument(symbol: str = "BTC-USD", price: Decimal = PRICE) -> Instrument:
    base, _, quote = symbol.partition("-")
    instrument = Instrument.objects.create(
        symbol=symbol,
        base_currency=base,
        quote_currency=quote,
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.00000001"),
        min_quantity=Decimal("0.0001"),
    )
    set_price(instrument, price)
    return instrument


def set_price(instrument: Instrument, price: Decimal, at: datetime | None = None) -> None:
    at = at or now()
    values = {"price": price, "bid": price, "ask": price, "low": price, "high": price}
    Quote.objects.update_or_create(
        instrument=instrument, defaults={**values, "at": at, "received_at": at, "heard_at": at}
    )


def make_account(user: User, deposit: str = "1000000") -> Account:
    return accounts.open_account(owner_id=user.pk, name=f"{user.username}'s", deposit=Decimal(deposit), now=now())


def drain() -> None:
    exits.drain(worker="test", limit=1000)


@pytest.fixture(autouse=True)
def _static_files(settings: Settings, tmp_path: Path) -> None:
    """Give the site the folder of collected static files that a checkout does not have."""
    settings.STATIC_ROOT = tmp_path


@pytest.fixture(autouse=True)
def _uncounted(settings: Settings) -> None:
    """Let tests ask as often as they like; those of the limits set their own."""
    settings.API_LIMITS = dict.fromkeys(settings.API_LIMITS, 0)


@pytest.fixture
def btc(db: None) -> Instrument:
    return make_instrument()


@pytest.fixture
def ada(btc: Instrument) -> Caller:
    """A trader with a million on a paper account."""
    caller = caller_for(make_user("ada", TRADER))
    make_account(caller.user)
    return caller


@pytest.fixture
def bob(btc: Instrument) -> Caller:
    caller = caller_for(make_user("bob", TRADER))
    make_account(caller.user)
    return caller


@pytest.fixture
def root(btc: Instrument) -> Caller:
    return caller_for(make_user("root", is_staff=True, is_superuser=True), Scope.ADMIN)


@pytest.fixture
def stranger() -> Caller:
    return Caller(User(), "")
