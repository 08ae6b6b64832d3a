"""Who may see how the site is doing inside: the machine itself, and staff."""

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from apps.access import nearness
from apps.access.authentication import TokenAuthentication


def is_trusted(request: HttpRequest) -> bool:
    """Say whether a request comes from this machine, or from a person or token of the staff."""
    return nearness.is_local(request) or _is_staff(request)


def _is_staff(request: HttpRequest) -> bool:
    try:
        signed_in = TokenAuthentication().authenticate(Request(request))
        user = signed_in[0] if signed_in else request.user
        return bool(user.is_active and user.is_staff)
    except (AuthenticationFailed, OperationalError, InterfaceError):
        return False
