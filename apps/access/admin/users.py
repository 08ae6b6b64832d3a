"""Users and groups."""

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from apps.access.desk import cells
from apps.access.desk.rows import Page
from apps.access.models import User


class NewUserForm(UserCreationForm):  # type: ignore[misc] # Unfold has no types
    """Unfold's form for this site's own user model."""

    class Meta(UserCreationForm.Meta):  # type: ignore[misc]  # stubs are generic, Django is not
        model = User


class UserForm(UserChangeForm):  # type: ignore[misc] # Unfold has no types
    """Unfold's form for this site's own user model."""

    class Meta(UserChangeForm.Meta):  # type: ignore[misc]  # stubs are generic, Django is not
        model = User


@admin.register(User)
class UserAdmin(BaseUserAdmin, Page):  # type: ignore[type-arg]  # stubs are generic, Django is not
    """People and system accounts; deactivating one ends its sessions and sockets within seconds."""

    form = UserForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "is_active", "is_staff", "is_superuser", cells.instant("last_login"))
    list_filter = ("is_active", "is_staff", "is_superuser", "groups")
    date_hierarchy = None
    readonly_fields = ("last_login", "date_joined")


admin.site.unregister(Group)  # Django's own, without the site's look


@admin.register(Group)
class GroupAdmin(BaseGroupAdmin, Page):
    """Groups of permissions."""
