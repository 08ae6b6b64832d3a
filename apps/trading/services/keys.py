"""Who we are at a broker: stored encrypted, checked at the venue, opened for a call."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError

from apps.domain.errors import Problem, Refused
from apps.domain.plugins import PluginError
from apps.journal import services as journal
from apps.trading import sealing
from apps.trading.brokers import registry
from apps.trading.brokers.base import Access, Broker, BrokerBusy, BrokerRefused, BrokerUnclear, Rights
from apps.trading.models import Account, Credential
from apps.trading.sealing import KeyUnusable
from apps.trading.services import discreet, keying, muzzled
from apps.trading.services.keying import NewCredential, Secrets
from apps.trading.services.switches import PAPER, live_allowed

__all__ = [
    "Checked",
    "KeyUnusable",
    "NewCredential",
    "Secrets",
    "access_of",
    "broker_of",
    "check",
    "live_allowed",
    "remove",
    "replace",
    "store",
]

SHOWN: Final = 4  # characters of a key that stay readable, to recognise it by
# Whoever seals holds this together with others until it is committed; who changes the key file holds it alone.
_TOGETHER: Final = "SELECT pg_advisory_xact_lock_shared(hashtextextended('trading.keys', 0))"
_ALONE: Final = "SELECT pg_advisory_xact_lock(hashtextextended('trading.keys', 0))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What asking the venue came to; `trouble` says what it did not tell, or is empty."""

    credential: Credential
    answered: bool  # the venue took the key, whatever it told of it
    trouble: str = ""


class _Said(NamedTuple):
    answered: bool
    trouble: str


def store(wanted: NewCredential, *, now: datetime, actor: str = "") -> Checked:
    """Ask the venue what the key may do, and store it encrypted.

    Raises Refused when the venue rejects the key, when it may withdraw, or when a field is wrong; KeyUnusable when the
    key file is missing or wrong. A venue that does not answer refuses nothing: the key stays unchecked.
    """
    secrets, name = keying.mended(wanted.secrets), wanted.name.strip()
    problems = keying.wrong_with_new(wanted, secrets)
    if problems:
        raise Refused(*problems)
    row = Credential(owner_id=wanted.owner_id, name=name, broker=wanted.broker, address=wanted.address)
    row.options = {**keying.words(wanted.broker), **wanted.options}
    said = _ask(row, secrets, now)
    try:
        with transaction.atomic():
            _seal(row, secrets)
            row.save(force_insert=True)
            _record("credential.stored", row, actor)
    except IntegrityError:
        raise Refused(keying.taken(name)) from None  # somebody stored that name meanwhile
    return Checked(credential=row, answered=said.answered, trouble=said.trouble)


def replace(
    credential: Credential, secrets: Secrets, *, now: datetime, address: str | None = None, actor: str = ""
) -> Checked:
    """Put other secrets in the place of a credential's, and another address if one is given. Raises as `store`."""
    secrets = keying.mended(secrets)
    row = Credential.objects.get(pk=credential.pk)
    problems = keying.wrong(row.broker, row.address if address is None else address, secrets)
    if address not in (None, row.address) and row.accounts.filter(live=True).exists():
        problems.append(_in_live_use(row))
    if problems:
        raise Refused(*problems)
    row.address = row.address if address is None else address
    row.may_trade = row.may_withdraw = row.checked_at = None
    said = _ask(row, secrets, now)
    with transaction.atomic():
        _seal(row, secrets)
        row.save(force_update=True)
        _record("credential.replaced", row, actor)
    return Checked(credential=row, answered=said.answered, trouble=said.trouble)


def check(credential: Credential, *, now: datetime, actor: str = "") -> Checked:
    """Ask the venue what a stored key may do and keep the answer.

    Raises Refused when the venue rejects the key or it may withdraw; the answer is kept all the same, so that no
    account takes such a key. Raises KeyUnusable.
    """
    row = Credential.objects.get(pk=credential.pk)
    secrets = _open(row)
    try:
        said = _ask(row, secrets, now)
    finally:
        rights = {name: getattr(row, name) for name in ("may_trade", "may_withdraw", "checked_at")}
        with transaction.atomic():
            # Unless it was replaced meanwhile: then the answer is about a key that is gone.
            if Credential.objects.filter(pk=row.pk, sealed=bytes(row.sealed)).update(**rights):
                _record("credential.checked", row, actor)
    return Checked(credential=row, answered=said.answered, trouble=said.trouble)


def remove(credential: Credential, *, actor: str = "") -> None:
    """Delete a credential. Raises Refused while an account uses it."""
    try:
        with transaction.atomic():
            _record("credential.deleted", credential, actor)
            Credential.objects.filter(pk=credential.pk).delete()
    except (ProtectedError, IntegrityError):
        names = ", ".join(credential.accounts.values_list("name", flat=True)) or "an account"
        rule, remedy = f"is used by {names}", "choose another credential there first"
        raise Refused(Problem(field="credential", value=credential.name, rule=rule, remedy=remedy)) from None


def open_only(credential: Credential) -> None:
    """Make sure that a credential opens with the key file there is. Raises KeyUnusable."""
    _open(credential)


def access_of(account: Account) -> Access:
    """Open the account's credential for one piece of work.

    Raises Refused when it cannot serve the account, KeyUnusable when the key file is missing or wrong. Whether an order
    may be sent is another question: ask `live_allowed` before each.
    """
    credential = account.credential
    if credential is None:
        if account.broker != PAPER:
            raise Refused(_unfit(account, "has no credential"))
        return Access(address="", options=dict(account.broker_options))
    if (credential.owner_id, credential.broker) != (account.owner_id, account.broker):
        raise Refused(_unfit(account, f"has a credential of another owner or broker ({credential.name})"))
    return _access(credential, _open(credential), account.broker_options)


@contextmanager
def broker_of(account: Account) -> Iterator[Broker]:
    """Connect to the account's broker for one piece of work. Raises Refused and KeyUnusable as `access_of`.

    What this broker says, in answers and errors, holds no secret and may be stored. Where it would move real money and
    the site's switch is off it only tells how things stand: whatever changes something there raises Silenced.
    """
    with closing(discreet.connect(plugin_of(account.broker), access_of(account), account.pk)) as broker:
        yield muzzled.of(broker, account)


def plugin_of(name: str) -> type[Broker]:
    """Return the broker of that name. Raises Refused with the names there are."""
    try:
        return registry.get(name)
    except PluginError:
        raise Refused(keying.unknown_broker(name)) from None


def broker_names() -> list[str]:
    """Return the brokers there are."""
    return registry.names()


def hold(*, alone: bool = False) -> None:
    """Keep the keys as they are until this transaction ends; `alone` waits for all who do, and keeps them out."""
    with connection.cursor() as cursor:
        cursor.execute(_ALONE if alone else _TOGETHER)


def subject(credential: Credential) -> str:
    """Name a credential in the journal."""
    return f"credential:{credential.pk}"


def _ask(row: Credential, secrets: Secrets, now: datetime) -> _Said:
    """Put the key's rights on the row where the venue tells. Raises Refused for a key not to use."""
    try:
        with closing(discreet.connect(plugin_of(row.broker), _access(row, secrets, {}), 0)) as broker:
            rights = broker.rights()
    except BrokerRefused as error:
        row.may_trade, row.checked_at = False, now
        raise Refused(keying.rejected(row.name, str(error))) from None
    except (BrokerBusy, BrokerUnclear) as error:
        return _Said(answered=False, trouble=f"The venue did not say what the key may do: {error}")
    return _judge(row, rights, now)


def _judge(row: Credential, rights: Rights, now: datetime) -> _Said:
    row.may_trade, row.may_withdraw, row.checked_at = rights.trade, rights.withdraw, now
    if rights.withdraw:
        raise Refused(keying.may_withdraw(row.name))
    silent = "The venue does not tell whether a key may withdraw: look there."
    return _Said(answered=True, trouble=silent if rights.withdraw is None else "")


def _bound(row: Credential) -> str:
    """Return what secrets are sealed for: who changes the row can neither open them nor have them sent elsewhere."""
    return f"{row.owner_id} {row.broker} {row.address} {json.dumps(row.options, sort_keys=True)}"


def _seal(row: Credential, secrets: Secrets) -> None:
    hold()
    row.sealed = sealing.seal(asdict(secrets), bound=_bound(row))
    row.ending = secrets.key[-SHOWN:]


def _open(row: Credential) -> Secrets:
    return Secrets(**sealing.unseal(row.sealed, bound=_bound(row), what=f"credential {row.name!r}"))


def _access(row: Credential, secrets: Secrets, options: dict[str, Any]) -> Access:
    return Access(address=row.address, options={**row.options, **options}, **asdict(secrets))


def _record(kind: str, row: Credential, actor: str) -> None:
    payload = {
        "name": row.name,
        "broker": row.broker,
        "address": row.address,
        "options": row.options,
        "ending": row.ending,
        "may_trade": row.may_trade,
        "may_withdraw": row.may_withdraw,
    }
    journal.record(kind, subject(row), actor=actor, payload=payload)


def _in_live_use(row: Credential) -> Problem:
    rule = "is used by an account that trades real money, and would be sent elsewhere"
    return Problem(field="address", value=row.name, rule=rule, remedy="switch the account's real trading off first")


def _unfit(account: Account, rule: str) -> Problem:
    return Problem(field="credential", value=account.name, rule=rule, remedy="choose one on the account's page")
