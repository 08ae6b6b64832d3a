"""Rows of money are read-only on every page of the admin, for everybody: the registry is walked, and tried."""

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import models
from django.test import Client, RequestFactory
from django.urls import reverse

from apps.access import roles
from apps.access.models import User
from apps.market.models import Instrument
from apps.trading.models import Account, Position
from tests.access.conftest import Person, ensure_roles, person
from tests.admin.conftest import LEGS, close, open_position

__all__ = ["person"]
pytestmark = pytest.mark.django_db
Make = Callable[..., Person]
# Settings, and the few tables whose pages have forms of their own that call one service. All else is money or record.
SETTINGS = {
    *("trading.account", "trading.allocation", "trading.credential", "trading.riskprofile", "trading.risklimit"),
    "trading.restriction",
}
OWN_FORM = {"trading.position", "trading.order"}  # "add" opens through a service
MONEY = ("trading.", "journal.event")
FORBIDDEN = ("add", "change", "delete")


def money() -> list[type[models.Model]]:
    assert reverse("admin:index"), "reading the addresses registers the pages"
    labels = {model._meta.label_lower: model for model in admin.site._registry}
    found = [model for label, model in labels.items() if label.startswith(MONEY) and label not in SETTINGS]
    assert {"trading.order", "trading.fill", "trading.ledgerentry", "trading.exit", "trading.decision"} <= {
        model._meta.label_lower for model in found
    }
    return found


def everything() -> list[Any]:
    tables = [*apps.get_app_config("trading").get_models(), apps.get_model("journal", "Event")]
    return [(model.__name__, sorted(map(str, model._default_manager.values_list()))) for model in tables]


@pytest.fixture
def rows(account: Account, btc: Instrument) -> Position:
    close(open_position(account, btc, *LEGS))
    return open_position(account, btc, *LEGS)


@pytest.fixture
def people(person: Make) -> dict[str, Person]:
    ensure_roles()
    named = {role: person(role.split()[0].lower(), role, signed_in=True) for role in roles.ROLES}
    return {**named, "superuser": person("hermione", superuser=True, signed_in=True)}


def test_nobody_has_the_right_to_write_rows_of_money(people: dict[str, Person]) -> None:
    request = RequestFactory().get("/admin/")
    for model in money():
        page = admin.site._registry[model]
        for role, each in people.items():
            request.user = each.user
            rights = {verb: getattr(page, f"has_{verb}_permission")(request) for verb in FORBIDDEN}
            if model._meta.label_lower in OWN_FORM:
                rights.pop("add")
            assert not any(rights.values()), (model, role, rights)
            assert not page.get_actions(request).keys() & {"delete_selected"}, (model, role)
            assert not page.list_editable, model
        names = [getattr(each, "__name__", each) for each in page.get_fields(request)]
        fixed = [getattr(each, "__name__", each) for each in page.get_readonly_fields(request)]
        assert set(names) <= set(fixed), f"{model} has a field to type in"
        assert not hasattr(page, "import_csv"), model


def test_inlines_on_pages_of_settings_show_no_money_to_write(people: dict[str, Person]) -> None:
    known = set(money())
    request = RequestFactory().get("/admin/")
    request.user = people["superuser"].user
    for page in admin.site._registry.values():
        for inline in page.get_inline_instances(request):
            if inline.model in known:
                assert not inline.has_change_permission(request), inline
                assert not inline.has_add_permission(request, None), inline
                assert not inline.has_delete_permission(request), inline


@pytest.mark.usefixtures("rows")
def test_whoever_posts_to_pages_of_money_changes_none_of_it(people: dict[str, Person]) -> None:
    before = everything()
    for model in money():
        name, row = f"{model._meta.app_label}_{model._meta.model_name}", model._default_manager.first()
        key = row.pk if row else 1
        fields = {field.name: "1" for field in model._meta.fields if field.editable and not field.primary_key}
        for role in ("superuser", roles.TRADER):
            browser: Client = people[role].browser
            for address, values in (
                (reverse(f"admin:{name}_change", args=[key]), fields),
                (reverse(f"admin:{name}_delete", args=[key]), {"post": "yes"}),
                (
                    reverse(f"admin:{name}_changelist"),
                    {"action": "delete_selected", "_selected_action": [key], "post": "yes"},
                ),
            ):
                answer = browser.post(address, values)
                assert answer.status_code in (200, 302, 403, 404), (address, role)
    assert everything() == before


def test_the_walk_would_notice_a_page_that_writes(people: dict[str, Person]) -> None:
    request = RequestFactory().get("/admin/")
    request.user = people["superuser"].user
    assert admin.site._registry[Account].has_change_permission(request), "settings are writable, so the walk can fail"
    assert User in admin.site._registry
