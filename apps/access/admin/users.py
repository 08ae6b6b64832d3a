"""Users and groups. Nobody gains more than they have: superusers are made and changed by superusers alone."""

from typing import Any

from allauth.mfa.models import Authenticator
from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from apps.access import roles, second_factor, sessions
from apps.access.desk import cells, pages
from apps.access.desk.past import AsksWhy
from apps.access.desk.rows import Page
from apps.access.models import User

_ABOVE = ("is_superuser", "user_permissions")  # what only superusers give
_NOTE = (
    "Its factors and recovery codes are removed and its sessions end. At the next sign-in the password is enough, and "
    "a new factor is asked for where the site requires one. Make sure that it is this person who asks you."
)


class NewUserForm(UserCreationForm):  # type: ignore[misc] # Unfold has no types
    """Unfold's form for this site's own user model."""

    class Meta(UserCreationForm.Meta):  # type: ignore[misc]  # stubs are generic, Django is not
        model = User


class UserForm(UserChangeForm):  # type: ignore[misc] # Unfold has no types
    """Unfold's form for this site's own user model."""

    class Meta(UserChangeForm.Meta):  # type: ignore[misc]  # stubs are generic, Django is not
        model = User


@cells.computed("second factor")
def factor(row: User) -> str:
    """Say whether a person has a second factor."""
    has = getattr(row, "has_factor", None)
    return cells.tag("yes", "good") if (second_factor.has(row) if has is None else has) else cells.tag("none", "warn")


@admin.register(User)
class UserAdmin(AsksWhy, BaseUserAdmin, Page):  # type: ignore[type-arg,misc]  # stubs are generic, Django is not
    """People and system accounts; deactivating one ends its sessions and sockets within seconds."""

    form = UserForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "is_active", "is_staff", "is_superuser", factor, cells.instant("last_login"))
    list_filter = ("is_active", "is_staff", "is_superuser", "groups")
    date_hierarchy = None
    readonly_fields = ("last_login", "date_joined")
    actions_detail = ("reset_factor",)
    why_required = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Know of all users on a page in one query whether they have a second factor."""
        rows: QuerySet[User] = super().get_queryset(request)
        theirs = Authenticator.objects.filter(user_id=OuterRef("pk")).exclude(type=Authenticator.Type.RECOVERY_CODES)
        return rows.annotate(has_factor=Exists(theirs))

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Ask why it is changed."""
        return [*super().get_fieldsets(request, obj), *self.why(request, obj)]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Let only superusers make superusers, or give single permissions."""
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if request.user.is_superuser else (*fields, *_ABOVE)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Let only superusers change superusers, their passwords included."""
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Let only superusers delete superusers."""
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Set a password; whoever was signed in with the old one is out."""
        response: HttpResponse = super().user_change_password(request, id, form_url)
        user = self.get_object(request, id)
        if request.method == "POST" and response.status_code == 302 and user is not None:
            here = request.session.session_key if user.pk == request.user.pk else None
            sessions.end_others(user, but=here, now=pages.now(), actor=pages.actor(request))
        return response

    @action(description="Reset second factor", icon="phonelink_erase", url_path="reset-factor")  # type: ignore[untyped-decorator]  # Unfold has no types
    def reset_factor(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Take away the factors of who lost them."""
        user: User | None = self.get_object(request, object_id)
        if user is None:
            raise Http404
        if not self.has_change_permission(request, user):
            raise PermissionDenied
        back = reverse("admin:access_user_change", args=[user.pk])
        title = f"Reset the second factor of {user}"
        question = pages.Question(title, _NOTE, "Reset the second factor", back, dangerous=True)

        def act(given: dict[str, Any]) -> pages.Done:
            second_factor.reset(user, now=pages.now(), actor=pages.actor(request))
            return pages.Done(f"{user} signs in with the password alone next time.", back)

        return pages.ask(self, request, forms.Form(request.POST or None), question, act)


admin.site.unregister(Group)  # Django's own, without the site's look


@admin.register(Group)
class GroupAdmin(BaseGroupAdmin, Page):  # type: ignore[misc]  # both say how pages are counted
    """Groups of permissions; the four roles are what this version of the site says, others are your own."""

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Keep the roles as they are; only superusers shape groups, or they could give what they do not have."""
        return request.user.is_superuser and (obj is None or obj.name not in roles.ROLES)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Groups are made by superusers."""
        return request.user.is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """The roles stay."""
        return self.has_change_permission(request, obj)


def _may_touch(request: HttpRequest, user: User | None) -> bool:
    return user is None or request.user.is_superuser or not user.is_superuser
