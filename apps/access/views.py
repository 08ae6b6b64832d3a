"""Pages of one's own: signing in, and where one is signed in."""

from typing import Any

from allauth.account.views import LoginView
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import logout
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from apps.access import second_factor, sessions
from apps.access.desk import pages


class SignInPage(LoginView):  # type: ignore[misc] # the library has no types
    """Asks for name and password; the second factor is asked for on the next page."""

    template_name = "account/login.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Answer in words who is signed in and still was sent here: signing in again would send them in circles."""
        wanted = request.GET.get("next", "")
        if request.user.is_authenticated and not request.user.is_staff and wanted.startswith(reverse("admin:index")):
            raise PermissionDenied(f"You are signed in as {request.user}, who is not of the staff of this site.")
        response: HttpResponse = super().dispatch(request, *args, **kwargs)
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the site's look, and what ends a session."""
        wanted = self.request.GET.get("next", "")
        return {
            **admin.site.each_context(self.request),
            **super().get_context_data(**kwargs),
            "title": "Sign in",
            "sent_here": bool(wanted) and wanted != reverse("admin:index"),
            "idle_minutes": int(settings.SESSION_IDLE.total_seconds() // 60),
            "longest_hours": int(settings.SESSION_LONGEST.total_seconds() // 3600),
            "single_sign_on": settings.SOCIALACCOUNT_PROVIDERS.get("openid_connect", {}).get("APPS", []),
        }


sign_in = SignInPage.as_view()


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
    wanted = request.GET.get("next", "")
    safe = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    logout(request)
    address = reverse(settings.LOGIN_URL)
    return HttpResponseRedirect(f"{address}?{urlencode({'next': wanted})}" if safe else address)
