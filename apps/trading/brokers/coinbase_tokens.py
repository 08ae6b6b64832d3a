"""How is a request to Coinbase Advanced Trade signed? With a token (JWT) of its own, good for two minutes.

Reference: https://docs.cdp.coinbase.com/coinbase-app/authentication-authorization/api-key-authentication. A secret in
PEM is an ECDSA key (ES256); 64 bytes in base64 are an Ed25519 key (EdDSA).
"""

import base64
import binascii
import secrets
import time
from collections.abc import Callable, Mapping

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

from apps.trading.brokers.base import BrokerRefused

LIFETIME = 120  # seconds, the longest the venue takes
CLOCK_OFF = 5.0  # seconds between the clocks that explain a refused token

_offsets: dict[str, float] = {}  # by host: what its clock is ahead of ours, in seconds; for all brokers of a process


class Signer:
    """Signs requests to one host as one key, by the venue's clock as far as we know it."""

    def __init__(self, key: str, secret: str, host: str) -> None:
        self._key = key
        self._host = host
        self._alg, self._sign = _loaded(secret)

    def headers(self, method: str, target: str, _: bytes) -> Mapping[str, str]:
        """Return the header that proves who asks; the query is not part of what is signed."""
        now = int(_ours() + _offsets.get(self._host, 0.0))
        path = target.partition("?")[0]
        head = {"alg": self._alg, "typ": "JWT", "kid": self._key, "nonce": secrets.token_hex(16)}
        claims = {
            "sub": self._key,
            "iss": "cdp",
            "nbf": now,
            "exp": now + LIFETIME,
            "uri": f"{method} {self._host}{path}",
        }
        signed = f"{_packed(msgspec.json.encode(head))}.{_packed(msgspec.json.encode(claims))}"
        return {"Authorization": f"Bearer {signed}.{_packed(self._sign(signed.encode()))}"}

    def set_clock(self, venue: float) -> bool:
        """Take over the venue's clock (seconds since the epoch); says whether it was another than we believed."""
        offset = venue - _ours()
        was_off = abs(offset - _offsets.get(self._host, 0.0)) > CLOCK_OFF
        _offsets[self._host] = offset
        return was_off


def _ours() -> float:
    return time.time_ns() / 1e9


def _loaded(secret: str) -> tuple[str, Callable[[bytes], bytes]]:
    """Return the algorithm of a secret and what signs with it. Raises BrokerRefused without showing the secret."""
    try:
        if "BEGIN" not in secret:
            own = ed25519.Ed25519PrivateKey.from_private_bytes(base64.b64decode(secret, validate=True)[:32])
            return "EdDSA", own.sign
        found = serialization.load_pem_private_key(secret.replace("\\n", "\n").encode(), password=None)
    except (ValueError, TypeError, binascii.Error, UnsupportedAlgorithm):
        found = None
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise BrokerRefused("the secret is neither an EC private key in PEM nor an Ed25519 key in base64")
    return "ES256", lambda content: _es256(found, content)


def _es256(key: ec.EllipticCurvePrivateKey, content: bytes) -> bytes:
    r, s = utils.decode_dss_signature(key.sign(content, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _packed(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
