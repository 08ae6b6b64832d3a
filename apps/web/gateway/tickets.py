"""One-time tickets: what a page or program that may not show its token to a socket shows instead, once, within 30 s.

They live on Redis under their digest, sealed with themselves: neither Redis nor a copy of it opens a socket. Without
Redis there are none, and whoever asks is told so; tokens and sessions go on working.
"""

import base64
import hashlib
import json
import secrets
from contextlib import closing
from typing import Final

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from apps.domain.errors import Unavailable
from apps.web.gateway.grants import Credential, Paired, Session, Token

PREFIX: Final = "tt_"
SECONDS: Final = 30
PATIENCE: Final = 2.0  # seconds Redis may take
_LENGTH: Final = len(PREFIX) + 43  # 256 random bits
_NAME: Final = "tradingsite:ticket:"
_KINDS: Final[dict[str, type[Token] | type[Paired] | type[Session]]] = {
    "token": Token,
    "pair": Paired,
    "session": Session,
}
AWAY: Final = "Redis does not answer, and tickets are kept there: try again, or show the token itself"


def give(credential: Credential) -> str:
    """Return a new ticket for whoever holds a credential. Raises Unavailable."""
    text = PREFIX + secrets.token_urlsafe(32)
    sealed = _seal(text).encrypt(json.dumps([_kind(credential), credential[0]]).encode())
    try:
        with closing(_connect()) as client:
            client.set(_name(text), sealed, ex=SECONDS)
    except RedisError as error:
        raise Unavailable(AWAY) from error
    return text


def take(text: str, address: str | None) -> Credential | None:
    """Return what a ticket stands for and use it up; None if there is no such ticket (any more). Raises Unavailable."""
    if len(text) != _LENGTH or not text.startswith(PREFIX):
        return None
    try:
        with closing(_connect()) as client:
            sealed = client.getdel(_name(text))
    except RedisError as error:
        raise Unavailable(AWAY) from error
    return _opened(text, sealed, address) if isinstance(sealed, bytes) else None


def _opened(text: str, sealed: bytes, address: str | None) -> Credential | None:
    try:
        kind, value = json.loads(_seal(text).decrypt(sealed, ttl=SECONDS))
    except InvalidToken:  # somebody else wrote there
        return None
    if kind == "token":
        return Token(value, address)
    return Paired(value, address) if kind == "pair" else Session(value)


def _kind(credential: Credential) -> str:
    if isinstance(credential, Token):
        return "token"
    return "pair" if isinstance(credential, Paired) else "session"


def _seal(text: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"tradingsite ticket v1" + text.encode()).digest()))


def _name(text: str) -> str:
    return _NAME + hashlib.sha256(text.encode()).hexdigest()


def _connect() -> Redis:
    return Redis.from_url(settings.REDIS_URL, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)
