"""What every page of the desk begins with: a signed-in person, their time zone, and the frame around the page."""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Concatenate, Final, NamedTuple, ParamSpec
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from apps.access.desk import pages
from apps.domain.restrictions import Scope, TradingState, most_severe
from apps.trading import selectors
from apps.trading.models import Account, Position, Restriction

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]
ZONE: Final = "desk_zone"  # names of cookies
THEME: Final = "desk_theme"
THEMES: Final = ("auto", "light", "dark")
ACT: Final = "trading.change_position"
STOP: Final = "trading.restrict"
ALLOW: Final = "trading.rearm"


class Section(NamedTuple):
    """An entry of the navigation: the key that leads there after g, and the right it takes, if any."""

    title: str
    name: str
    key: str
    right: str = ""


SECTIONS: Final = (
    Section("Overview", "overview", "o"),
    Section("Positions", "positions", "p"),
    Section("Instruments", "instruments", "i"),
    Section("Orders", "orders", "r"),
    Section("Strategies", "strategies", "s"),
    Section("Risk", "risk", "k"),
    Section("Exits", "exits", "e"),
    Section("Backtests", "backtests", "b", "backtests.view_run"),
    Section("Statistics", "statistics", "t", "trading.view_ledgerentry"),
    Section("Reports", "reports", "w"),
    Section("Discrepancies", "discrepancies", "d"),
    Section("System", "system", "y"),
)


def page(view: View[P]) -> View[P]:
    """Let a view be reached by people who are signed in, in their own time zone; nothing of it is kept by a cache."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        with timezone.override(zone_of(request)):
            answer = view(request, *args, **kwargs)
        answer.setdefault("Cache-Control", "no-store")
        return answer

    return login_required(guarded)


def show(request: HttpRequest, name: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    """Show a page of the desk inside its frame."""
    return render(request, f"desk/{name}.html", {**frame(request), **context}, status=status)


def ask(request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
    """Show a question: as a dialog to the desk's own script, as a page of its own to everybody else."""
    within = "desk/dialog.html" if "HX-Request" in request.headers else "desk/page.html"
    return show(request, name, {"within": within, "back": back(request), **context})


def frame(request: HttpRequest) -> dict[str, Any]:
    """Return what the frame of every page shows."""
    accounts = list(selectors.for_user(request.user).order_by("id"))
    rows = [row for row in selectors.restrictions() if _concerns(row, accounts)]
    match = request.resolver_match
    return {
        "now": pages.now(),
        "accounts": accounts,
        "restrictions": rows,
        "state": most_severe(TradingState(row.state) for row in rows),
        "may_act": request.user.has_perm(ACT),
        "may_stop": request.user.has_perm(STOP),
        "may_allow": request.user.has_perm(ALLOW),
        "sections": [(section, _address(section)) for section in SECTIONS if _may_see(request, section)],
        "here": match.url_name if match else "",
        "zone": timezone.get_current_timezone_name(),
        "theme": theme_of(request),
        "themes": THEMES,
    }


def zone_of(request: HttpRequest) -> ZoneInfo:
    """Return the time zone the person chose; UTC until then."""
    named = request.COOKIES.get(ZONE, "")
    return ZoneInfo(named if named in available_timezones() else "UTC")


def theme_of(request: HttpRequest) -> str:
    """Return light or dark where the person chose one, auto to follow their machine."""
    named = request.COOKIES.get(THEME, "")
    return named if named in THEMES else THEMES[0]


def require(request: HttpRequest, right: str) -> None:
    """Raise PermissionDenied when the person lacks a right."""
    if not request.user.has_perm(right):
        raise PermissionDenied


def own_position(request: HttpRequest, position_id: int) -> Position:
    """Return a position the person may see, with its account and quote. Raises Http404."""
    rows = selectors.positions(request.user).select_related("account", "instrument__quote")
    position = rows.filter(pk=position_id).first()
    if position is None:
        raise Http404
    return position


def chosen_account(request: HttpRequest, accounts: Iterable[Account]) -> Account | None:
    """Return the account that the address names, or else the first; None when there is none."""
    found = list(accounts)
    named = request.GET.get("account", "")
    return next((account for account in found if str(account.pk) == named), found[0] if found else None)


def back(request: HttpRequest, otherwise: str = "desk:positions") -> str:
    """Return where the person came from, if that is a page of the desk; anything else would be an open door."""
    current = urlsplit(request.headers.get("HX-Current-URL", ""))
    came_from = f"{current.path}?{current.query}" if current.query else current.path
    named = request.POST.get("next") or request.GET.get("next") or came_from
    home = reverse("desk:overview")
    is_ours = named.startswith(home) and "\\" not in named and "//" not in named and named.isprintable()
    return named if is_ours else reverse(otherwise)


def _concerns(row: Restriction, accounts: Iterable[Account]) -> bool:
    return row.scope != Scope.ACCOUNT or any(account.pk == row.target for account in accounts)


def _may_see(request: HttpRequest, section: Section) -> bool:
    if section.name == "statistics" and not getattr(request.user, "is_staff", False):
        return False  # it stands in the admin's frame
    return not section.right or request.user.has_perm(section.right)


def _address(section: Section) -> str:
    return reverse("statistics" if section.name == "statistics" else f"desk:{section.name}")
