"""Changing the live configuration: judged as a whole, stored as one more version, told in the same transaction."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db import connection, transaction

from apps.domain.errors import Problem, Refused
from apps.journal import services as journal
from apps.ops.configuration.models import ConfigurationVersion
from apps.ops.configuration.options import BY_NAME, Value, WrongValue

REASON_LENGTH: Final = 300
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('ops.configuration', 0))"


def newest() -> ConfigurationVersion | None:
    """Return the version in force; None when nothing was ever set here."""
    return ConfigurationVersion.objects.first()


def judge(asked: Mapping[str, str | None], reason: str) -> dict[str, Value]:
    """Return the values as the code reads them, without those to be unset. Raises Refused with every problem."""
    found: dict[str, Value] = {}
    problems = list(_judged(asked, found))
    if not reason.strip():
        problems.append(Problem(field="reason", value="", rule="is empty", remedy="say why, for the history"))
    if len(reason) > REASON_LENGTH:
        problems.append(
            Problem(field="reason", value=f"{len(reason)} signs", rule="is too long", remedy=f"use {REASON_LENGTH}")
        )
    if problems:
        raise Refused(*problems)
    return found


def change(
    asked: Mapping[str, str | None], *, actor: str, reason: str, now: datetime, seen: int | None = None
) -> ConfigurationVersion:
    """Store a version with these values set, or unset where None. Raises Refused, with every problem at once.

    `seen` is the version that the person looked at: when another one is in force meanwhile, nothing is stored.
    """
    judged = judge(asked, reason)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_LOCK)
        before = newest()
        number, chosen = (before.version, dict(before.chosen)) if before else (0, {})
        if seen is not None and seen != number:
            raise Refused(
                Problem(
                    field="version",
                    value=str(seen),
                    rule=f"version {number} is in force meanwhile",
                    remedy="look at it, then change it",
                )
            )
        after = _after(chosen, asked, judged)
        changes = {
            name: [chosen.get(name, ""), after.get(name, "")]
            for name in sorted({*chosen, *after})
            if chosen.get(name) != after.get(name)
        }
        if not changes:
            raise Refused(Problem(field="values", value="", rule="nothing would change", remedy="name another value"))
        row = ConfigurationVersion.objects.create(
            version=number + 1, at=now, actor=actor, reason=reason.strip(), chosen=after, changes=changes
        )
        journal.record(
            "configuration.changed",
            f"configuration:{row.version}",
            actor=actor,
            payload={"version": row.version, "reason": row.reason, "changes": changes},
        )
    return row


def _judged(asked: Mapping[str, str | None], found: dict[str, Value]) -> Iterator[Problem]:
    for name, text in asked.items():
        option = BY_NAME.get(name)
        if option is None:
            yield Problem(field=name, value=text or "", rule="may not change live", remedy=_remedy(name))
            continue
        if name in settings.PINNED and text is not None:
            remedy = f"change it there ({settings.PINNED[name]}) and start anew, or take it out there"
            yield Problem(field=name, value=text, rule=f"is set by the {settings.PINNED[name]}", remedy=remedy)
            continue
        if text is not None:
            try:
                found[name] = option.read(text.strip())
            except WrongValue as error:
                yield Problem(field=name, value=text, rule="is not allowed", remedy=str(error))


def _remedy(name: str) -> str:
    known = hasattr(settings, name)
    return "set it in the environment and start anew" if known else f"use one of {', '.join(sorted(BY_NAME))}"


def _after(chosen: Mapping[str, str], asked: Mapping[str, str | None], judged: Mapping[str, Value]) -> dict[str, str]:
    """Return what is set afterwards; options that this code does not have any more are dropped."""
    kept = {name: text for name, text in chosen.items() if name in BY_NAME and name not in asked}
    return {**kept, **{name: BY_NAME[name].write(value) for name, value in judged.items()}}
