"""Who is signed in where, for administrators: seen, and ended."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.access import sessions
from apps.access.desk import cells, pages
from apps.access.desk.rows import ReadOnlyPage
from apps.access.models import SignIn


@cells.computed("state")
def state(row: SignIn) -> str:
    """Say whether the session goes on as far as its row knows."""
    return cells.tag("signed out", "idle") if row.ended_at else cells.tag("open", "good")


@admin.register(SignIn)
class SignInAdmin(ReadOnlyPage):
    """Browsers people signed in with; their own are on the page of their account."""

    list_display = (
        cells.text("user"),
        state,
        cells.text("address"),
        cells.text("agent", "browser"),
        cells.instant("signed_in_at"),
        cells.instant("seen_at"),
        cells.instant("ended_at"),
    )
    list_filter = (("ended_at", admin.EmptyFieldListFilter),)
    search_fields = ("user__username", "address", "agent")
    list_select_related = ("user",)
    actions = ("end",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[SignIn]:
        """Show those who look after users all, others their own."""
        rows: QuerySet[SignIn] = super().get_queryset(request)
        return rows if request.user.has_perm("access.change_user") else rows.filter(user__username=pages.actor(request))

    def has_end_permission(self, request: HttpRequest) -> bool:
        """Ending somebody's session is for those who look after users."""
        return request.user.has_perm("access.change_user")

    @admin.action(description="End at once", permissions=["end"])
    def end(self, request: HttpRequest, queryset: QuerySet[SignIn]) -> None:
        """End the chosen sessions; those of superusers only a superuser ends."""
        rows = queryset if request.user.is_superuser else queryset.filter(user__is_superuser=False)
        count = sessions.end(rows.filter(ended_at=None), now=pages.now(), actor=pages.actor(request))
        messages.success(request, f"{count} session{'' if count == 1 else 's'} ended.")
