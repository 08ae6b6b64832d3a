"""Every page of the site x every kind of person x GET and POST, from the resolver: a new page without a row fails.

After adding a page: `WRITE_MATRIX=1 pytest tests/access/test_matrix.py`, then read the new lines of matrix.tsv; the
rules below hold whatever the file says.
"""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from allauth.core.context import request_context
from allauth.core.exceptions import ReauthenticationRequired
from django.apps import apps
from django.contrib.auth.models import AnonymousUser
from django.contrib.messages.storage import default_storage
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.test import RequestFactory
from django.urls import resolve

from apps.access import roles, sessions
from apps.access.models import User
from apps.market.models import Instrument
from apps.trading import selectors
from apps.trading.models import Account
from apps.trading.services import accounts
from tests.access import matrix
from tests.access.conftest import Person
from tests.admin.conftest import LEGS, btc, market_tables, open_position
from tests.conftest import _migrated_store, tick_store

__all__ = ["_migrated_store", "btc", "market_tables", "tick_store"]

Make = Callable[..., Person]
MISSING = 999_999_999
# What anybody who is signed in may do for themselves.
ONESELF = (
    "account/",
    "admin/logout/",
    "admin/password_change/",
    "admin/login/",
    "admin/jsi18n/",
    "admin/autocomplete/",
)
OPEN_TO_ALL = (
    "account/login/", "account/logout/", "account/inactive/", "account/again/", "account/2fa/authenticate/",
    "admin/login/", "admin/logout/", "health/", "metrics", "api/schema", "api/docs", "api/client.ts",
)  # fmt: skip


@pytest.fixture
def people(person: Make, btc: Instrument) -> dict[str, Person | None]:
    """One of each kind, each with an account and an open position of their own."""
    made = {
        "anonymous": None,
        "other user": person("other", is_staff=False, signed_in=True),
        "viewer": person("viewer", roles.VIEWER, signed_in=True),
        "trader": person("trader", roles.TRADER, signed_in=True),
        "risk officer": person("officer", roles.RISK_OFFICER, signed_in=True),
        "administrator": person("administrator", roles.ADMINISTRATOR, signed_in=True),
        "superuser": person("hermione", superuser=True, signed_in=True),
    }
    for each in filter(None, made.values()):
        each.browser.raise_request_exception = False
        at = datetime.now(UTC)
        account = accounts.open_account(owner_id=each.user.pk, name="own", deposit=Decimal(1_000_000), now=at)
        open_position(account, btc, *LEGS)
    return made


def row_for(page: matrix.Page, user: User | None) -> Any:
    """Return the key of a row the page can be about: one's own where rows belong to people."""
    if "<app_label>" in page.route:
        return "trading"
    try:
        model: Any = apps.get_model(page.model.replace("_", ".", 1)) if page.model else None
    except LookupError:
        model = None
    if model is None:
        return MISSING
    names = {field.name for field in model._meta.fields}
    rows = model._default_manager.order_by("pk")
    if model is Account and user:
        rows = rows.filter(owner=user)
    elif "account" in names and user:
        rows = rows.filter(account__owner=user)
    elif "position" in names and user:
        rows = rows.filter(position__account__owner=user)
    elif model is User:
        rows = rows.filter(username="other")
    first = rows.first()
    return MISSING if first is None else first.pk


def asked(person: Person | None, method: str, address: str) -> HttpResponse:
    """Ask a page's own view, let nothing of it last, and spare it the drawing: what counts is who is let in."""
    factory = RequestFactory()
    request = factory.get(address) if method == "GET" else factory.post(address)
    request.user = person.user if person else AnonymousUser()
    request.session = SessionStore()
    request.session[sessions.BEGAN] = time.time()
    request.allauth = SimpleNamespace()
    request._messages = default_storage(request)
    request._dont_enforce_csrf_checks = True
    request.resolver_match = match = resolve(address.partition("?")[0])
    with transaction.atomic(), request_context(request):
        try:
            return match.func(request, *match.args, **match.kwargs)
        except (PermissionDenied, Http404):
            return HttpResponse(status=403)
        except ReauthenticationRequired:  # the library's middleware asks strangers to sign in, others for the proof
            return HttpResponse() if person else HttpResponseRedirect("/admin/login/?next=/")
        finally:
            transaction.set_rollback(True)


def letter(answer: HttpResponse) -> str:
    if answer.status_code == 302 and answer.url.startswith(("/admin/login/?next=", "/account/login/?next=")):
        return "L"
    return "-" if answer.status_code in (401, 403, 404) else "+"


@pytest.mark.timeout(900)
def test_every_page_lets_in_whom_it_should_and_nobody_else(people: dict[str, Person | None]) -> None:
    found: dict[tuple[str, str], str] = {}
    broken = []
    for page in matrix.pages():
        for method in matrix.METHODS:
            letters = ""
            for person in people.values():
                answer = asked(person, method, page.address(row_for(page, person.user if person else None)))
                letters += letter(answer)
                if answer.status_code >= 500 and not page.route.startswith("health/"):
                    broken.append(f"{method} {page.route} as {person and person.user}: {answer.status_code}")
            found[page.route, method] = letters
    if os.environ.get("WRITE_MATRIX"):
        matrix.write(found)
    assert broken == []
    assert wrong(found) == [], "rules that hold whatever the file says"
    meant = matrix.meant()
    assert sorted(found.keys() - meant.keys()) == [], "new pages: say whom they let in"
    assert sorted(meant.keys() - found.keys()) == [], "pages that are no more"
    assert {key: value for key, value in found.items() if meant[key] != value} == {}


def wrong(found: dict[tuple[str, str], str]) -> list[str]:
    """Name what breaks a rule: no stranger is let in, no viewer acts, whoever has more rights sees more."""
    breaks = []
    for (route, method), letters in found.items():
        anonymous, other, viewer, *_, administrator, root = letters
        anybody = route in ("", "account/") or route.startswith(OPEN_TO_ALL)
        if not anybody and (anonymous == "+" or (other == "+" and not mine(route))):
            breaks.append(f"{method} {route} is open to strangers: {letters}")
        if method == "POST" and viewer == "+" and not acts_for_oneself(route) and changes(route):
            breaks.append(f"{route} lets a viewer act: {letters}")
        if administrator == "+" and root == "-":
            breaks.append(f"{method} {route} refuses a superuser what it gives an administrator: {letters}")
    return breaks


def mine(route: str) -> bool:
    """Say whether a page shows whoever is signed in what is theirs."""
    return route.startswith(("account/", "desk/"))


def acts_for_oneself(route: str) -> bool:
    return not route or route.startswith((*ONESELF, *OPEN_TO_ALL))


def changes(route: str) -> bool:
    """Say whether a POST there changes something for certain; the test below posts everywhere and compares all rows."""
    return route.endswith(("/add/", "/delete/", "/close/", "/amend/", "/allow/", "/remove/", "/replace/"))


def test_a_viewer_who_posts_everywhere_changes_nothing_of_trading(people: dict[str, Person | None]) -> None:
    viewer = people["viewer"]
    assert viewer is not None
    before = facts()
    for page in matrix.pages():
        if not acts_for_oneself(page.route) and not page.route.startswith(("health/", "metrics", "api/")):
            values = {"post": "yes", "confirm": "yes", "reason": "x", "note": "x", "typed_name": "own"}
            viewer.browser.post(page.address(row_for(page, viewer.user)), values)
    assert facts() == before


def test_nobody_reaches_rows_of_others_without_the_right_to_see_all(people: dict[str, Person | None]) -> None:
    root = people["superuser"]
    assert root is not None
    pages = [page for page in matrix.pages() if page.model.startswith("trading_") and "<" in page.route]
    theirs = {page: row_for(page, root.user) for page in pages}
    owned = {page for page in pages if theirs[page] != MISSING and belongs(page)}
    assert len(owned) >= 15
    for name in ("viewer", "trader"):
        person = people[name]
        assert person is not None
        assert not selectors.sees_all(person.user)
        for page in owned:
            answer = asked(person, "GET", page.address(theirs[page]))
            assert answer.status_code in (302, 403, 404), f"{name} sees {page.route}"


def belongs(page: matrix.Page) -> bool:
    """Say whether rows of a page's table belong to accounts."""
    model = apps.get_model(page.model.replace("_", ".", 1))
    return model is Account or {"account", "position"} & {field.name for field in model._meta.fields} != set()


def facts() -> list[Any]:
    models = [model for label in ("trading", "strategies", "market", "journal") for model in _models(label)]
    return [(model.__name__, sorted(map(str, model._default_manager.values_list()))) for model in models]


def _models(label: str) -> list[Any]:
    return list(apps.get_app_config(label).get_models())
