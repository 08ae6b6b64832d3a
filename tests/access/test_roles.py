"""The four roles: what each may do, set again by every migration, and nobody lifts themselves above their role."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.urls import reverse

from apps.access import roles
from apps.access.models import User
from tests.access.conftest import Person, ensure_roles

Make = Callable[..., Person]
# Permission -> the roles that have it. The rows that decide about money, each written down.
HAVE = {
    "trading.view_position": "VTRA",
    "trading.view_decision": "VTRA",
    "trading.view_credential": "A",
    "trading.add_position": "TA",
    "trading.change_position": "TRA",
    "trading.restrict": "TRA",
    "trading.rearm": "RA",
    "trading.resolve": "RA",
    "trading.go_live": "A",
    "trading.add_credential": "A",
    "trading.change_risklimit": "RA",
    "strategies.change_strategy": "TA",
    "backtests.add_run": "TA",
    "access.add_apitoken": "TA",
    "access.change_user": "A",
    "market.change_instrument": "A",
    "django_celery_beat.change_periodictask": "A",
}
LETTERS = {"V": roles.VIEWER, "T": roles.TRADER, "R": roles.RISK_OFFICER, "A": roles.ADMINISTRATOR}


@pytest.mark.parametrize("permission", HAVE)
@pytest.mark.parametrize("which", LETTERS)
def test_a_role_has_what_it_needs_and_no_more(person: Make, permission: str, which: str) -> None:
    holder = person("ann", LETTERS[which]).user
    assert holder.has_perm(permission) is (which in HAVE[permission])


def test_no_role_names_a_permission_that_does_not_exist() -> None:
    rows = Permission.objects.values_list("content_type__app_label", "codename")
    exist = {f"{app}.{codename}" for app, codename in rows}
    assert (roles._TRADES | roles._WATCHES | roles._HIDDEN) - exist == set()


def test_a_migration_makes_roles_what_they_are_and_leaves_other_groups_alone() -> None:
    ensure_roles()
    viewer = Group.objects.get(name=roles.VIEWER)
    viewer.permissions.set([Permission.objects.get(codename="go_live")])
    ours = Group.objects.create(name="Ours")
    ours.permissions.set(Permission.objects.filter(codename="go_live"))
    call_command("migrate", verbosity=0)
    held = set(viewer.permissions.values_list("codename", flat=True))
    assert "go_live" not in held
    assert "view_position" in held
    assert [row.codename for row in ours.permissions.all()] == ["go_live"]


def test_setting_roles_twice_writes_nothing(django_assert_num_queries: Callable[..., object]) -> None:
    ensure_roles()
    with django_assert_num_queries(1 + 2 + 2 * len(roles.ROLES)):  # read what exists, and each role's rows; no write
        ensure_roles()


def test_an_administrator_makes_no_superuser_and_touches_none(person: Make) -> None:
    boss = person("boss", roles.ADMINISTRATOR, signed_in=True)
    root, ann = person("root", superuser=True), person("ann", roles.VIEWER)
    values = {"username": "ann", "is_active": "on", "is_staff": "on", "is_superuser": "on", "_save": "Save"}
    assert boss.post(reverse("admin:access_user_change", args=[ann.user.pk]), values).status_code == 302
    assert User.objects.get(username="ann").is_superuser is False
    assert boss.post(reverse("admin:access_user_change", args=[boss.user.pk]), values | {"username": "boss"})
    assert User.objects.get(username="boss").is_superuser is False
    new = {"password1": "a-long-enough-new-one", "password2": "a-long-enough-new-one"}
    for name, given in (("access_user_change", values), ("auth_user_password_change", new)):
        assert boss.post(reverse(f"admin:{name}", args=[root.user.pk]), given).status_code == 403
    assert boss.post(reverse("admin:access_user_delete", args=[root.user.pk]), {"post": "yes"}).status_code == 403
    assert boss.post(reverse("admin:access_user_reset_factor", args=[root.user.pk])).status_code == 403
    assert User.objects.get(username="root").check_password("long-enough-4-a-test")


def test_an_administrator_shapes_no_group_and_nobody_a_role(person: Make) -> None:
    boss, root = person("boss", roles.ADMINISTRATOR, signed_in=True), person("r", superuser=True, signed_in=True)
    role = Group.objects.get(name=roles.VIEWER)
    own = Group.objects.create(name="Ours")
    everything = {"name": "Ours", "permissions": [row.pk for row in Permission.objects.all()[:5]]}
    assert boss.post(reverse("admin:auth_group_change", args=[own.pk]), everything).status_code == 403
    assert root.post(reverse("admin:auth_group_change", args=[role.pk]), everything).status_code == 403
    assert root.post(reverse("admin:auth_group_change", args=[own.pk]), everything).status_code == 302
    assert own.permissions.count() == 5


def test_a_role_is_given_on_the_users_page(person: Make) -> None:
    boss, ann = person("boss", roles.ADMINISTRATOR, signed_in=True), person("ann")
    group = Group.objects.get(name=roles.TRADER)
    values = {"username": "ann", "is_active": "on", "is_staff": "on", "groups": [group.pk], "_save": "Save"}
    assert boss.post(reverse("admin:access_user_change", args=[ann.user.pk]), values).status_code == 302
    assert User.objects.get(username="ann").has_perm("trading.add_position")
