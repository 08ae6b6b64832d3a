"""Pages of one's own: signing in, a new password, and where one is signed in."""

from typing import Any

from allauth.account.views import LoginView, PasswordChangeView
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import REDIRECT_FIELD_NAME, logout
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse, reverse_lazy
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from apps.access import second_factor, sessions
from apps.access.desk import pages


class SignInPage(LoginView):  # type: ignore[misc] # the library has no types
    """Asks for name and password; the second factor is asked for on the next page."""

    template_name = "account/login.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the site's look, and what ends a session."""
        wanted = self.request.GET.get("next", "")
        return {
            **admin.site.each_context(self.request),
            **super().get_context_data(**kwargs),
            "title": "Sign in",
            "sent_here": bool(wanted) and wanted not in (reverse("admin:index"), reverse("desk:overview")),
            "idle_minutes": int(settings.SESSION_IDLE.total_seconds() // 60),
            "longest_hours": int(settings.SESSION_LONGEST.total_seconds() // 3600),
            "single_sign_on": settings.SOCIALACCOUNT_PROVIDERS.get("openid_connect", {}).get("APPS", []),
        }


sign_in = SignInPage.as_view()


@never_cache
def admin_door(request: HttpRequest, extra_context: object = None) -> HttpResponse:
    """Lead from the admin to the one page where everybody signs in; tell who is not staff that the admin is."""
    wanted = _wanted(request) or reverse("admin:index")
    if not request.user.is_authenticated:
        return HttpResponseRedirect(f"{reverse('account_login')}?{urlencode({REDIRECT_FIELD_NAME: wanted})}")
    if not request.user.is_staff:
        return TemplateResponse(request, "account/not_staff.html", _look(request, "Not for you"), status=403)
    return HttpResponseRedirect(wanted)


class PasswordPage(PasswordChangeView):  # type: ignore[misc] # the library has no types
    """Asks for the password and the new one; sessions elsewhere end."""

    template_name = "account/password_change.html"
    success_url = reverse_lazy("account-sessions")

    def form_valid(self, form: Any) -> HttpResponse:
        """Set the password, which gives this session another key, and end the other sessions."""
        before = self.request.session.session_key
        response: HttpResponse = super().form_valid(form)
        here = self.request.session.session_key
        sessions.renamed(before, here)
        user, now = self.request.user, pages.now()
        sessions.end_others(user, but=here, now=now, actor=pages.actor(self.request))
        messages.success(self.request, "The new password counts from now on; sessions elsewhere are over.")
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the site's look."""
        return {**_look(self.request, "Change password"), **super().get_context_data(**kwargs)}


change_password = PasswordPage.as_view()


@never_cache
def show_sessions(request: HttpRequest) -> HttpResponse:
    """List where the person is signed in."""
    context = {
        **admin.site.each_context(request),
        "title": "Where you are signed in",
        "rows": sessions.listed(request.user, now=pages.now()),
        "here": request.session.session_key,
        "has_factor": second_factor.has(request.user),
        "idle_minutes": int(settings.SESSION_IDLE.total_seconds() // 60),
        "longest_hours": int(settings.SESSION_LONGEST.total_seconds() // 3600),
    }
    return TemplateResponse(request, "account/sessions.html", context)


@require_POST
def end_session(request: HttpRequest, pk: int) -> HttpResponse:
    """End one of the person's own sessions."""
    now = pages.now()
    rows = [row for row in sessions.listed(request.user, now=now) if row.pk == pk]
    if not rows:
        raise Http404
    sessions.end(rows, now=now, actor=pages.actor(request))
    messages.success(request, "That session is over.")
    return HttpResponseRedirect(reverse("account-sessions"))


@require_POST
def end_other_sessions(request: HttpRequest) -> HttpResponse:
    """End all of the person's sessions but this one."""
    key = request.session.session_key
    count = sessions.end_others(request.user, but=key, now=pages.now(), actor=pages.actor(request))
    messages.success(request, f"{count} other session{'' if count == 1 else 's'} ended.")
    return HttpResponseRedirect(reverse("account-sessions"))


def sign_in_again(request: HttpRequest) -> HttpResponse:
    """Sign out and in again: the only proof of who signs in with a provider and has nothing else."""
    wanted = _wanted(request)
    logout(request)
    address = reverse("account_login")
    return HttpResponseRedirect(f"{address}?{urlencode({REDIRECT_FIELD_NAME: wanted})}" if wanted else address)


def _wanted(request: HttpRequest) -> str:
    """Return where the person wants to go; empty where that is not on this site."""
    wanted = request.GET.get(REDIRECT_FIELD_NAME, "")
    safe = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return wanted if safe else ""


def _look(request: HttpRequest, title: str) -> dict[str, Any]:
    return {**admin.site.each_context(request), "title": title}
