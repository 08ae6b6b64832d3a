"""What a person hands in of a broker's key, mended of what files and forms do to it, and what may be wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from apps.domain.errors import Problem, Refused
from apps.domain.plugins import PluginError
from apps.domain.strategies import parameters
from apps.domain.strategies.parameters import Parameters
from apps.trading import masking
from apps.trading.brokers import registry
from apps.trading.models import Credential
from apps.trading.services import switches

LONGEST: Final = 8192  # characters of a secret: a key in PEM is some 3,000
SHORTEST: Final = 8  # of a key: its last four are shown
LONGEST_NAME: Final = 80
LONGEST_ADDRESS: Final = 200
_PEM: Final = "-----"
_PEM_LINE: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What a venue gave: never shown, not even by mistake in a log."""

    key: str = field(repr=False)
    secret: str = field(repr=False)
    passphrase: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Mask them in whatever this process writes from now on."""
        masking.register(self.key, self.secret, self.passphrase)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCredential:
    """A credential to be stored; `address` is for another server of the venue than its usual one."""

    owner_id: int
    name: str
    broker: str
    secrets: Secrets
    address: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)  # the words a broker asks for, such as an exchange


def mended(secrets: Secrets) -> Secrets:
    """Return the secrets without stray spaces, a PEM key with the line breaks it loses in files and on forms."""
    return Secrets(
        key=secrets.key.strip(), secret=_pem(secrets.secret.strip()), passphrase=secrets.passphrase.strip("\r\n")
    )


def wrong_with_new(wanted: NewCredential, secrets: Secrets) -> list[Problem]:
    """Return everything that is wrong with a credential before the venue is asked."""
    found = [*wrong(wanted.broker, wanted.address, secrets), *_wrong_options(wanted)]
    name = wanted.name.strip()
    if not 0 < len(name) <= LONGEST_NAME:
        found.append(_problem("name", name[:LONGEST_NAME], f"must have 1 to {LONGEST_NAME} characters", "choose one"))
    elif Credential.objects.filter(owner_id=wanted.owner_id, name=name).exists():
        found.append(taken(name))
    return found


def declared(broker: str) -> type[Parameters] | None:
    """Return what a broker lets one choose; None when it is nothing, or there is no such broker."""
    if broker not in registry.names():
        return None
    return registry.get(broker).options


def words(broker: str) -> dict[str, str]:
    """Return the options of a broker that are words, with their defaults: they say whom a key is for.

    Raises Refused when the broker lacks what it needs to tell, such as a library.
    """
    fields = declared(broker)
    if fields is None or broker == switches.PAPER:
        return {}
    try:
        known = parameters.properties(fields)
    except PluginError as error:
        raise Refused(_problem("broker", broker, f"cannot be used here ({error})", "choose another broker")) from None
    return {name: item["default"] for name, item in known.items() if item["type"] == "string"}


def _wrong_options(wanted: NewCredential) -> list[Problem]:
    known, fields = words(wanted.broker), declared(wanted.broker)
    found = [
        _problem(name[:40], "this option", "does not belong to a key of that broker", "leave it out")
        for name in wanted.options.keys() - known.keys()
    ]
    if found or fields is None:
        return found
    try:
        parameters.chosen(fields, wanted.options)
    except Refused as refused:
        return list(refused.problems)
    return []


def wrong(broker: str, address: str, secrets: Secrets) -> list[Problem]:
    """Return what is wrong with a broker, an address and secrets; no value of a secret is repeated."""
    found = []
    if broker == switches.PAPER:
        found.append(_problem("broker", broker, "is built in and asks for no key", "choose another broker"))
    elif broker not in registry.names():
        found.append(unknown_broker(broker))
    if address and not _is_address(address):
        found.append(
            _problem(
                "address",
                "this address",
                "must be https://HOST[:PORT][/PATH] (http only on this machine), without a password or a query",
                "leave it empty for the venue's usual one",
            )
        )
    if not SHORTEST <= len(secrets.key) <= LONGEST:
        found.append(_problem("key", "this key", f"must have {SHORTEST} to {LONGEST} characters", "copy it again"))
    for name in ("secret", "passphrase"):
        if len(getattr(secrets, name)) > LONGEST:
            rule = f"must have at most {LONGEST} characters"
            found.append(_problem(name, f"this {name}", rule, "copy it again"))
    return found


def unknown_broker(name: str) -> Problem:
    """Say that there is no such broker, and which there are."""
    known = ", ".join(registry.names()) or "none"
    try:
        registry.get(name)
        rule = "is no broker here"
    except PluginError as error:
        rule = f"is no broker here ({error})"
    return _problem("broker", name[:40], rule, f"use one of {known}")


def taken(name: str) -> Problem:
    """Say that the owner has a credential of that name."""
    return _problem("name", name, "is the name of another credential of this owner", "choose another name")


def may_withdraw(name: str) -> Problem:
    """Say that a key may do more than trade."""
    return _problem(
        "key",
        name,
        "may withdraw money, which trading never needs and a thief would use",
        "make a key at the venue that may only view and trade",
    )


def rejected(name: str, said: str) -> Problem:
    """Say that the venue does not take a key; `said` is masked."""
    return _problem("key", name, f"is not accepted by the venue ({said[:300]})", "copy it again, or make a new one")


def _is_address(text: str) -> bool:
    if len(text) > LONGEST_ADDRESS or not text.isascii() or any(sign in text for sign in "?#@\\ \t\r\n"):
        return False
    try:
        parts = urlsplit(text)
        hostname, port = parts.hostname, parts.port
    except ValueError:
        return False
    if not hostname or port == 0:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and switches.is_loopback(text))


def _pem(text: str) -> str:
    if not text.startswith(_PEM):
        return text
    parts = text.replace("\\n", "\n").split(_PEM)
    if len(parts) != 5:
        return text
    body = "".join(parts[2].split())
    lines = [body[start : start + _PEM_LINE] for start in range(0, len(body), _PEM_LINE)]
    return "\n".join((f"{_PEM}{parts[1]}{_PEM}", *lines, f"{_PEM}{parts[3]}{_PEM}", ""))


def _problem(name: str, value: str, rule: str, remedy: str) -> Problem:
    return Problem(field=name, value=value, rule=rule, remedy=remedy)
