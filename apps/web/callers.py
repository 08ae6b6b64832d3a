"""Who may see how the site is doing inside: the machine itself, and staff."""

from ipaddress import ip_address

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from apps.access.authentication import TokenAuthentication

_FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")


def is_trusted(request: HttpRequest) -> bool:
    """Say whether a request comes from this machine, or from a person or token of the staff."""
    return is_local(request) or _is_staff(request)


def is_local(request: HttpRequest) -> bool:
    """Say whether a request comes from this machine itself and was not passed on by a proxy on it."""
    if any(header in request.META for header in _FORWARDED):
        return False
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


def _is_staff(request: HttpRequest) -> bool:
    try:
        signed_in = TokenAuthentication().authenticate(Request(request))
        user = signed_in[0] if signed_in else request.user
        return bool(user.is_active and user.is_staff)
    except (AuthenticationFailed, OperationalError, InterfaceError):
        return False
