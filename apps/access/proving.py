"""Is this the person they say they are: name, password and, where there is one, the second factor, in one request."""

from allauth.core import ratelimit
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth import authenticate
from django.http import HttpRequest

from apps.access import second_factor
from apps.access.models import User


class NotProved(Exception):
    """Name, password or code are wrong; the sentence says what to do."""


class TryLater(Exception):
    """Too many wrong ones came before."""

    def __init__(self, detail: str, seconds: int) -> None:
        super().__init__(detail)
        self.seconds = seconds


def by_password(request: HttpRequest, *, username: str, password: str, code: str) -> User:
    """Return the person. Raises NotProved, TryLater; failures count for the lockout like those of the pages."""
    user = authenticate(request, username=username, password=password)
    if getattr(request, "axes_locked_out", False):
        request.axes_locked_out = False  # type: ignore[attr-defined] # else the answer becomes the page of a lockout
        seconds = int(settings.AXES_COOLOFF_TIME.total_seconds())
        raise TryLater("Too many failed attempts by this name from here.", seconds)
    if not isinstance(user, User) or not user.is_active:
        raise NotProved("The name or the password is wrong.")
    if second_factor.has(user):
        _check_code(request, user, code)
    elif second_factor.is_missing(user):
        raise NotProved("This site requires a second factor: sign in with a browser first and add one.")
    return user


def _check_code(request: HttpRequest, user: User, code: str) -> None:
    if not code:
        raise NotProved("Send the code of your authenticator app, or a recovery code, as `code`.")
    counted = {"action": "login_failed", "key": f"mfa-auth-user-{user.pk}"}  # as the page of codes counts them
    if not ratelimit.consume(request, **counted):
        raise TryLater("Too many wrong codes.", 15 * 60)
    for factor in Authenticator.objects.filter(user=user).exclude(type=Authenticator.Type.WEBAUTHN):
        if factor.wrap().validate_code(code):
            factor.record_usage()
            ratelimit.clear(request, **counted)
            return
    raise NotProved("This code is not right. Codes change every 30 seconds; check the clock of your phone.")
