"""Who is at the other end of a socket, and what that user may see now; asked again every two seconds."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.utils.crypto import constant_time_compare

from apps.access import second_factor
from apps.access import selectors as tokens
from apps.access import services as access
from apps.access.models import ApiToken, User
from apps.trading import selectors


class Token(NamedTuple):
    """An API token by the digest that is stored of it; its text is never kept."""

    digest: str


class Session(NamedTuple):
    """A browser session by its key."""

    key: str


Credential = Token | Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What a user may see: the events of some accounts, or of all."""

    user_id: int
    name: str
    sees_all: bool
    accounts: frozenset[int]


def of_token(text: str) -> Token:
    """Return the credential a token's text stands for, valid or not."""
    return Token(ApiToken.digest_of(text))


def rights(credential: Credential, now: datetime) -> Rights | None:
    """Return what a credential gives right now; None once it is revoked, expired, logged out or its user inactive."""
    user = _of_token(credential, now) if isinstance(credential, Token) else _of_session(credential)
    if user is None or not user.is_active:
        return None
    everything = selectors.sees_all(user)
    accounts = () if everything else selectors.for_user(user).values_list("id", flat=True)
    return Rights(user_id=user.pk, name=user.username, sees_all=everything, accounts=frozenset(accounts))


def _of_token(token: Token, now: datetime) -> User | None:
    row = tokens.tokens().filter(digest=token.digest).first()
    if row is None or tokens.why_unusable(row, now):
        return None
    access.record_use(row, now=now)
    return row.user


def _of_session(session: Session) -> User | None:
    store = SessionStore(session.key)
    user = User.objects.filter(pk=store.get(SESSION_KEY) or 0).first()
    if user is None or second_factor.is_missing(user):
        return None
    # The hash changes with the password: a session from before the change is over.
    same = constant_time_compare(store.get(HASH_SESSION_KEY) or "", user.get_session_auth_hash())
    return user if same else None
