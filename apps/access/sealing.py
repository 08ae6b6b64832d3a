"""Seals what a second factor is made of: a copy of the database alone opens nobody's account.

The key is derived from SECRET_KEY; with a new one, the old goes into SECRET_KEY_FALLBACKS until all have enrolled anew.
"""

import base64
import logging
import secrets

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

_PURPOSE = b"tradingsite second factor v1"
_log = logging.getLogger(__name__)


def seal(text: str) -> str:
    """Return a text sealed with the present key."""
    return _keys().encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """Return what was sealed; when no key of ours opens it, something random that no code will ever match."""
    try:
        return _keys().decrypt(sealed.encode()).decode()
    except InvalidToken:
        _log.error("A second factor cannot be opened: SECRET_KEY was changed without SECRET_KEY_FALLBACKS.")
        return base64.b32encode(secrets.token_bytes(20)).decode()


def _keys() -> MultiFernet:
    return MultiFernet([_key(text) for text in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _key(text: str) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(text.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
