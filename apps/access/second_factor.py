"""The second factor beside the password: who needs one, who has one, and how one is taken away when it was lost."""

from datetime import datetime
from typing import Any

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db import transaction

from apps.access import sessions
from apps.journal import services as journal

_FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)  # recovery codes alone are none


def has(user: Any) -> bool:
    """Say whether a person has a second factor."""
    return bool(Authenticator.objects.filter(user_id=user.pk, type__in=_FACTORS).exists())


def is_missing(user: Any) -> bool:
    """Say whether a person has to enrol a second factor before anything else."""
    return settings.SECOND_FACTOR == "required" and not has(user)


def is_offered(user: Any) -> bool:
    """Say whether a person without a second factor should be told of it."""
    return not settings.SINGLE_USER and not has(user)


def reset(user: Any, *, now: datetime, actor: str) -> int:
    """Take a person's factors and recovery codes away, end their sessions, and return how many factors there were.

    They enrol anew when they next sign in.
    """
    with transaction.atomic():
        count: int = Authenticator.objects.filter(user_id=user.pk).delete()[0]
        sessions.end_others(user, but=None, now=now, actor=actor)
        journal.record("access.factor_reset", f"user:{user.pk}", actor=actor, payload={"factors": count})
    return count
