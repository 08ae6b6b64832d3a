"""What follows from signing in and out, and from a new password."""

from typing import Any

from allauth.mfa import signals as factors
from allauth.mfa.models import Authenticator
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db.models.signals import post_save
from django.http import HttpRequest

from apps.access import sessions
from apps.access.desk import pages
from apps.access.models import User
from apps.journal import services as journal


def connect() -> None:
    """Begin to listen."""
    user_logged_in.connect(_signed_in, dispatch_uid="apps.access.signed_in")
    user_logged_out.connect(_signed_out, dispatch_uid="apps.access.signed_out")
    # The library tells of a new factor after the commit; its row tells within it.
    post_save.connect(_factor_added, sender=Authenticator, dispatch_uid="apps.access.factor_added")
    factors.authenticator_removed.connect(_factor_removed, dispatch_uid="apps.access.factor_removed")


def _signed_in(sender: Any, request: HttpRequest, user: User, **_later: Any) -> None:
    sessions.begin(request, user, now=pages.now())


def _signed_out(sender: Any, request: HttpRequest, **_later: Any) -> None:
    sessions.closed(request.session.session_key, now=pages.now())


def _factor_added(sender: Any, instance: Authenticator, created: bool, **_later: Any) -> None:
    if created and instance.type != Authenticator.Type.RECOVERY_CODES:
        _record("access.factor_added", instance.user, instance)


def _factor_removed(sender: Any, user: User, authenticator: Authenticator, **_later: Any) -> None:
    _record("access.factor_removed", user, authenticator)


def _record(kind: str, user: User, authenticator: Authenticator) -> None:
    what = Authenticator.Type(authenticator.type).label
    journal.record(kind, f"user:{user.pk}", actor=user.get_username(), payload={"factor": str(what)})
