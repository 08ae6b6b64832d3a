"""People with roles and second factors, and a browser for each."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.totp.internal import auth as totp
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from apps.access import roles
from apps.access.models import User

PASSWORD = "long-enough-4-a-test"
SIGN_IN = "/account/login/"


@pytest.fixture(autouse=True)
def _fresh(settings: Settings, tmp_path: Path, db: None) -> None:
    """Give the site its folder of static files, and forget what limits counted in other tests."""
    settings.STATIC_ROOT = tmp_path
    cache.clear()


@pytest.fixture
def required(settings: Settings) -> None:
    """The site requires a second factor of its staff."""
    settings.SECOND_FACTOR = "required"


@dataclass
class Person:
    """A user at a browser."""

    user: User
    browser: Client = field(default_factory=Client)
    secret: str = ""
    steps: int = 0

    def get(self, path: str, **headers: str) -> HttpResponse:
        return self.browser.get(path, headers=headers)

    def post(self, path: str, values: Any = None) -> HttpResponse:
        return self.browser.post(path, values or {})

    def gives_password(self, password: str = PASSWORD, path: str = SIGN_IN) -> HttpResponse:
        return self.browser.post(path, {"username": self.user.username, "password": password})

    def enrols(self) -> HttpResponse:
        """Set up an authenticator app, as the page tells."""
        address = reverse("mfa_activate_totp")
        page = self.browser.get(address)
        assert page.status_code == 200, page
        self.secret = page.context["form"].secret
        return self.browser.post(address, {"code": self.code()})

    def code(self) -> str:
        """Return the next code of the app: each is taken once."""
        self.steps += 1
        counter = int(time.time()) // 30 + self.steps - 2
        return totp.format_hotp_value(totp.hotp_value(self.secret, counter))

    def gives_code(self, code: str = "") -> HttpResponse:
        return self.browser.post(reverse("mfa_authenticate"), {"code": code or self.code()})


@pytest.fixture
def person(db: None) -> Callable[..., Person]:
    """Make a member of staff with a role; `person("ann", roles.VIEWER)`."""

    def make(name: str, role: str = "", *, superuser: bool = False, signed_in: bool = False, **more: Any) -> Person:
        values = {"is_staff": True, "is_superuser": superuser, **more}
        user = User.objects.create_user(name, password=PASSWORD, **values)
        if role:
            ensure_roles()
            user.groups.add(Group.objects.get(name=role))
        made = Person(user)
        if signed_in:
            made.browser.force_login(user)
        return made

    return make


def ensure_roles() -> None:
    """Set the roles: a test that commits empties the groups away."""
    roles.set_all(roles.APPS)


def now() -> datetime:
    return datetime.now(UTC)


def text_of(answer: HttpResponse) -> str:
    return answer.content.decode()
