"""Channels: stored with their secrets encrypted, tried, changed, deleted."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from apps.domain.errors import Problem, Refused
from apps.domain.plugins import PluginError
from apps.journal import services as journal
from apps.reporting.channels import CHANNELS, base
from apps.reporting.models import Channel
from apps.trading import masking, sealing
from apps.trading.services import keys

_TRIAL: Final = "This is a trial message: the channel works."


@dataclass(frozen=True, slots=True, kw_only=True)
class NewChannel:
    """A channel to be stored; `given` holds its settings and its secrets."""

    name: str
    kind: str
    owner_id: int
    given: Mapping[str, str]
    per_minute: int = 20


def store(wanted: NewChannel, *, actor: str = "") -> Channel:
    """Store a channel with its secrets encrypted. Raises Refused with what is wrong, and KeyUnusable."""
    row = Channel(name=wanted.name.strip(), kind=wanted.kind, owner_id=wanted.owner_id, per_minute=wanted.per_minute)
    _fill(row, wanted.given)
    try:
        with transaction.atomic():
            _seal(row, wanted.given)
            row.save(force_insert=True)
            _record("channel.stored", row, actor)
    except IntegrityError:
        taken = Problem(field="name", value=row.name, rule="is the name of another channel", remedy="choose another")
        raise Refused(taken) from None
    return row


def replace(channel_id: int, given: Mapping[str, str], *, actor: str = "") -> Channel:
    """Put other settings and secrets in place of a channel's; what waits goes there. Raises as `store`."""
    with transaction.atomic():
        row = Channel.objects.get(pk=channel_id)
        _fill(row, given)
        _seal(row, given)
        row.failures, row.paused_until, row.last_error = 0, None, ""
        row.save(force_update=True)
        _record("channel.replaced", row, actor)
    return row


def switch(channel_id: int, *, enabled: bool, actor: str = "") -> None:
    """Let a channel send, or let what it should send wait."""
    with transaction.atomic():
        row = Channel.objects.get(pk=channel_id)
        Channel.objects.filter(pk=channel_id).update(enabled=enabled, failures=0, paused_until=None)
        _record("channel.enabled" if enabled else "channel.disabled", row, actor)


def remove(channel_id: int, *, actor: str = "") -> None:
    """Delete a channel. Raises Refused while routes or deliveries hang on it."""
    row = Channel.objects.get(pk=channel_id)
    try:
        with transaction.atomic():
            _record("channel.deleted", row, actor)
            row.delete()
    except (ProtectedError, IntegrityError):
        rule = "has routes, chats or a log of deliveries"
        raise Refused(Problem(field="channel", value=row.name, rule=rule, remedy="switch it off instead")) from None


def attempt(channel_id: int, *, now: datetime) -> str:
    """Send a trial message at once and return what the provider answered. Raises Undeliverable and KeyUnusable."""
    row = Channel.objects.get(pk=channel_id)
    message = base.Message(
        key=f"trial-{row.pk}-{int(now.timestamp())}",
        kind="channel.trial",
        severity="notice",
        subject=f"channel:{row.pk}",
        account_id=None,
        at=now,
        title=f"Trial of {row.name}",
        body=_TRIAL,
    )
    return masking.mask(opened(row).send(message))


def opened(row: Channel) -> base.Channel:
    """Return a channel with its secrets, for one piece of work. Raises KeyUnusable and PluginError."""
    return CHANNELS.get(row.kind)(everything(row))


def everything(row: Channel) -> dict[str, str]:
    """Return settings and secrets. Raises KeyUnusable."""
    secrets = sealing.unseal(row.sealed, bound=_bound(row), what=f"channel {row.name!r}")
    return {**row.options, **secrets}


def plugin_of(kind: str) -> type[base.Channel]:
    """Return the plug-in of that name. Raises Refused with the names there are."""
    try:
        return CHANNELS.get(kind)
    except PluginError as error:
        raise Refused(Problem(field="kind", value=kind, rule="is not known", remedy=str(error))) from None


def _fill(row: Channel, given: Mapping[str, str]) -> None:
    plugin = plugin_of(row.kind)
    problems = base.wrong(plugin, given)
    if not row.name:
        problems.append(Problem(field="name", value="", rule="is missing", remedy="give it one"))
    if problems:
        raise Refused(*problems)
    plain = [each for each in plugin.settings if not each.secret]
    row.options = {each.name: given.get(each.name) or each.default for each in plain}


def _seal(row: Channel, given: Mapping[str, str]) -> None:
    keys.hold()
    secrets = {each.name: given.get(each.name, "") for each in plugin_of(row.kind).settings if each.secret}
    row.sealed = sealing.seal(secrets, bound=_bound(row))


def _bound(row: Channel) -> str:
    """Return what secrets are sealed for: who changes the row cannot have them sent elsewhere."""
    return f"channel {row.owner_id} {row.kind} {json.dumps(row.options, sort_keys=True)}"


def _record(kind: str, row: Channel, actor: str) -> None:
    payload: dict[str, Any] = {"name": row.name, "channel": row.pk, "plugin": row.kind, "options": row.options}
    journal.record(kind, f"channel:{row.pk}", actor=actor, payload=payload)
