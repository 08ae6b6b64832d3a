"""Who is at the other end of a socket, and what that person may see now: asked again every two seconds for all at once.

A handful of queries answers for any number of sockets.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session as StoredSession
from django.utils.crypto import constant_time_compare

from apps.access import pairs, second_factor
from apps.access import selectors as tokens
from apps.access import services as access
from apps.access.models import ApiToken, Pair, User
from apps.trading import selectors
from apps.trading.models import Account, Allocation

_MODEL_BACKEND: Final = "django.contrib.auth.backends.ModelBackend"
_SIGNED: Final = "eyJ"  # how every signed token begins
_SEE_STRATEGIES: Final = ("strategies.view_strategy", "strategies.change_strategy")


class Token(NamedTuple):
    """An API token by the digest that is stored of it, and where it is used from; its text is never kept."""

    digest: str
    address: str | None = None


class Paired(NamedTuple):
    """A pair of signed tokens (JWT): a socket that its short one opened stays for as long as the pair counts."""

    number: int
    address: str | None = None


class Session(NamedTuple):
    """A browser session by its key."""

    key: str


Credential = Token | Paired | Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What a person may see: the events of some accounts and the signals of some strategies, or of all."""

    user_id: int
    name: str
    sees_all: bool
    accounts: frozenset[int]
    sees_strategies: bool = False
    strategies: frozenset[str] = frozenset()  # as subjects of events: strategy:3


def of_text(text: str, address: str | None, now: datetime) -> Credential | None:
    """Return the credential a bearer's text stands for, valid or not; None for a signed one that does not count."""
    if not text.startswith(_SIGNED):
        return Token(ApiToken.digest_of(text), address)
    try:
        return Paired(pairs.of_access(text, address=address, now=now).pk, address)
    except pairs.PairRefused:
        return None


def rights(credential: Credential, now: datetime) -> Rights | None:
    """Return what a credential gives right now; None once it is revoked, expired, logged out or its user inactive."""
    return rights_of([credential], now)[credential]


def rights_of(credentials: Collection[Credential], now: datetime) -> dict[Credential, Rights | None]:
    """Return the same for many credentials."""
    users: dict[Credential, User] = {
        **_of_tokens([one for one in credentials if isinstance(one, Token)], now),
        **_of_pairs([one for one in credentials if isinstance(one, Paired)], now),
        **_of_sessions([one for one in credentials if isinstance(one, Session)], now),
    }
    given = _given({user.pk: user for user in users.values() if user.is_active})
    return {one: given.get(users[one].pk) if one in users else None for one in credentials}


def _of_tokens(wanted: Collection[Token], now: datetime) -> dict[Credential, User]:
    rows = tokens.tokens().filter(digest__in={one.digest for one in wanted}) if wanted else ()
    held = {row.digest: row for row in rows}
    found: dict[Credential, User] = {}
    for one in wanted:
        row = held.get(one.digest)
        if row is not None and not tokens.why_unusable(row, now, one.address):
            access.record_use(row, now=now, address=one.address)
            found[one] = row.user
    return found


def _of_pairs(wanted: Collection[Paired], now: datetime) -> dict[Credential, User]:
    rows = Pair.objects.select_related("user", "token__user").filter(pk__in={one.number for one in wanted})
    held = {row.pk: row for row in rows} if wanted else {}
    valid = (one for one in wanted if one.number in held and not tokens.why_ended(held[one.number], now, one.address))
    return {one: held[one.number].user for one in valid}


def _of_sessions(wanted: Collection[Session], now: datetime) -> dict[Credential, User]:
    rows = StoredSession.objects.filter(session_key__in={one.key for one in wanted}, expire_date__gt=now)
    held = {row.session_key: row.get_decoded() for row in rows} if wanted else {}
    users = User.objects.in_bulk([int(data[SESSION_KEY]) for data in held.values() if SESSION_KEY in data])
    found: dict[Credential, User] = {}
    for key, data in held.items():
        user = users.get(int(data.get(SESSION_KEY, 0)))
        if user is not None and _is_same(data, user) and not second_factor.is_missing(user):
            found[Session(key)] = user
    return found


def _is_same(data: Mapping[str, str], user: User) -> bool:
    """Say whether the password is still the one: the hash changes with it, and the session is over."""
    return constant_time_compare(data.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash())


def _given(users: Mapping[int, User]) -> dict[int, Rights]:
    """Return by user what each may see: what `selectors.for_user` and the API say, for many people at once."""
    overseers = _holders(users, selectors.SEES_ALL)
    plain = users.keys() - overseers
    accounts = _pairs(Account.objects.filter(owner_id__in=plain).values_list("owner_id", "id"))
    followed = Allocation.objects.filter(account__owner_id__in=plain).values_list("account__owner_id", "strategy_id")
    strategies, everywhere = _pairs(followed), _holders(plain, *_SEE_STRATEGIES)
    return {
        user.pk: Rights(
            user_id=user.pk,
            name=user.username,
            sees_all=user.pk in overseers,
            accounts=frozenset(accounts.get(user.pk, ())),
            sees_strategies=user.pk in everywhere,
            strategies=frozenset(f"strategy:{number}" for number in strategies.get(user.pk, ())),
        )
        for user in users.values()
    }


def _holders(user_ids: Collection[int], *rights: str) -> frozenset[int]:
    """Return which of some people have one of these rights, by role, by themselves, or as superusers."""
    found: set[int] = set()
    for right in rights if user_ids else ():
        holders = User.objects.with_perm(right, backend=_MODEL_BACKEND).filter(pk__in=user_ids)
        found.update(holders.values_list("pk", flat=True))
    return frozenset(found)


def _pairs(rows: Iterable[tuple[int, int]]) -> dict[int, set[int]]:
    held: dict[int, set[int]] = {}
    for owner, number in rows:
        held.setdefault(owner, set()).add(number)
    return held
