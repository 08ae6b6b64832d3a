"""Checks the signed tokens (JWT) of the Advanced Trade dialect: ES256, one per request, at most two minutes old."""

import base64
import binascii

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from apps.simulator.orders.accounts import Account
from apps.simulator.orders.engine import Engine

LIFETIME = 120  # seconds
LEEWAY = 30  # seconds a client's clock may be off
ISSUERS = ("cdp", "coinbase-cloud")
HOST = "api.coinbase.com"


class Unauthorized(Exception):
    """The token does not prove who asks; the text says why, for the person who debugs a client."""


class _Head(msgspec.Struct):
    alg: str
    kid: str
    nonce: str


class _Claims(msgspec.Struct):
    sub: str
    iss: str
    nbf: int
    exp: int
    uri: str


def caller(engine: Engine, authorization: str, method: str, host: str, path: str, now: int) -> Account:
    """Return the account that signed this request; `now` in seconds. Raises Unauthorized."""
    scheme, _, token = authorization.partition(" ")
    parts = token.split(".")
    if scheme != "Bearer" or len(parts) != 3:
        raise Unauthorized("a bearer token is needed")
    try:
        head = msgspec.json.decode(_unpacked(parts[0]), type=_Head)
        claims = msgspec.json.decode(_unpacked(parts[1]), type=_Claims)
        signature = _unpacked(parts[2])
    except (ValueError, binascii.Error):
        raise Unauthorized("the token cannot be read") from None
    account = engine.account_of(head.kid)
    if account is None or claims.sub != head.kid or claims.iss not in ISSUERS:
        raise Unauthorized("the key is unknown")
    _check_signature(account, head.alg, f"{parts[0]}.{parts[1]}".encode(), signature)
    if not (claims.nbf - LEEWAY <= now <= claims.exp + LEEWAY and claims.exp - claims.nbf <= LIFETIME):
        raise Unauthorized("the token is not valid at this time")
    if claims.uri not in (f"{method} {host}{path}", f"{method} {HOST}{path}"):
        raise Unauthorized("the token is for another request")
    return account


def _check_signature(account: Account, alg: str, signed: bytes, signature: bytes) -> None:
    if alg != "ES256" or len(signature) != 64:
        raise Unauthorized("the token must be signed with ES256")
    encoded = utils.encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        account.public().verify(encoded, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Unauthorized("the signature is wrong") from None


def _unpacked(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
