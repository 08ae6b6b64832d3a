"""Which deliveries does an event lead to? The rows that routes, rights, habits and words make of it."""

import fnmatch
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import F

from apps.domain.errors import Refused
from apps.journal.models import Event
from apps.reporting import templating, wording
from apps.reporting.calm import Hours
from apps.reporting.models import Delivery, DeliveryStatus, Habit, Route, Wording
from apps.reporting.severity import Severity
from apps.trading import selectors
from apps.trading.models import Account

log = logging.getLogger(__name__)

FAILED = "delivery.failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An event in words."""

    severity: Severity
    title: str
    body: str


@dataclass(slots=True)
class Map:
    """Everything that decides where events go, read once for a batch."""

    routes: list[Route]
    words: dict[str, Wording]
    hours: dict[int, Hours]
    accounts: dict[int, tuple[str, int]]  # name and owner
    last: dict[tuple[int, str, str], Delivery] = field(default_factory=dict)  # said last, in this batch or before

    @classmethod
    def read(cls) -> "Map":
        """Read routes, words, habits and owners as they are."""
        routes = Route.objects.filter(enabled=True).select_related("channel", "person").order_by("id")
        accounts = Account.objects.values_list("pk", "name", "owner_id")
        return cls(
            routes=list(routes),
            words={row.kind: row for row in Wording.objects.all()},
            hours={habit.person_id: hours_of(habit) for habit in Habit.objects.all()},
            accounts={key: (name, owner) for key, name, owner in accounts},
        )


def deliveries(events: Sequence[Event], *, now: datetime) -> list[Delivery]:
    """Return the deliveries that these events lead to, not stored yet."""
    found: list[Delivery] = []
    if not events:
        return found
    known = Map.read()
    for event in events:
        wanted = [route for route in known.routes if wants(route, event, known)]
        said = in_words(event, known) if wanted else None
        for route in wanted:
            if said is not None and said.severity.rank >= Severity(route.severity).rank:
                found.append(_delivery(route, event, said, known, now))
    return found


def wants(route: Route, event: Event, known: Map) -> bool:
    """Say whether an event is of a kind and account that a route asks for, and its person may see it."""
    if not any(fnmatch.fnmatchcase(event.kind, pattern) for pattern in patterns(route.kinds)):
        return False
    if route.account_id is not None and route.account_id != event.account_id:
        return False
    if event.kind == FAILED and event.payload.get("channel") == route.channel_id:
        return False  # it would be told where it cannot be told
    return may_see(route, event, known.accounts)


def patterns(kinds: str) -> list[str]:
    """Return the patterns of kinds that a route names."""
    return [word for word in kinds.replace(",", " ").split() if word]


def may_see(route: Route, event: Event, accounts: Mapping[int, tuple[str, int]]) -> bool:
    """Say whether a route's person may see an event: the same rule as everywhere else."""
    person = route.person
    if not person.is_active:
        return False
    if selectors.sees_all(person):
        return True
    _, owner = accounts.get(event.account_id or 0, ("", None))
    return owner == person.pk


def in_words(event: Event, known: Map) -> Said:
    """Return an event in the words of its kind; words that cannot be used give way to the built-in ones."""
    usual = wording.of(event.kind)
    own = known.words.get(event.kind)
    facts = facts_of(event, known.accounts)
    severity = Severity(own.severity) if own and own.severity else usual.severity
    facts["severity"] = str(severity)
    if own is not None:
        try:
            return Said(severity=severity, **_rendered(own.title, own.body, facts))
        except Refused as refused:
            log.warning("the words for %s cannot be used: %s", event.kind, refused)
    return Said(severity=severity, **_rendered(usual.title, usual.body, facts))


def facts_of(event: Event, accounts: Mapping[int, tuple[str, int]]) -> dict[str, Any]:
    """Return what a template may say of an event: its payload, and what the journal knows besides."""
    name, _ = accounts.get(event.account_id or 0, ("", 0))
    return {
        **event.payload,
        "event": event.pk,
        "kind": event.kind,
        "subject": event.subject,
        "actor": event.actor,
        "account": event.account_id,
        "account_name": name,
        "happened_at": event.at.isoformat(),
        "facts": json.dumps(event.payload, ensure_ascii=False, sort_keys=True),
    }


def hours_of(habit: Habit) -> Hours:
    """Return a person's habits; a time zone that is not known is UTC."""
    try:
        zone = ZoneInfo(habit.time_zone)
    except (KeyError, ValueError, OSError):
        zone = ZoneInfo("UTC")
    return Hours(zone=zone, quiet_from=habit.quiet_from, quiet_until=habit.quiet_until, digest_at=habit.digest_at)


def _rendered(title: str, body: str, facts: Mapping[str, Any]) -> dict[str, str]:
    line = " ".join(templating.render(title, facts).split())
    return {"title": line[:200] or str(facts["kind"]), "body": templating.render(body, facts)}


def _delivery(route: Route, event: Event, said: Said, known: Map, now: datetime) -> Delivery:
    status, due = _when(route, said, known, now)
    made = Delivery(
        event_id=event.pk,
        route=route,
        channel_id=route.channel_id,
        kind=event.kind,
        subject=event.subject,
        account_id=event.account_id,
        severity=said.severity,
        title=said.title,
        body=said.body,
        happened_at=event.at,
        status=status,
        due_at=due,
    )
    if _is_repeat(made, known):
        made.status = DeliveryStatus.REPEATED
    return made


def _when(route: Route, said: Said, known: Map, now: datetime) -> tuple[DeliveryStatus, datetime]:
    """Return whether a delivery waits for the digest, for the end of quiet hours, or for nothing."""
    hours = known.hours.get(route.person_id) or Hours(zone=ZoneInfo("UTC"))
    if said.severity is Severity.CRITICAL:
        return DeliveryStatus.WAITING, now
    if route.digest:
        return DeliveryStatus.HELD, hours.digest_after(now)
    quiet_until = hours.quiet_until_after(now)
    return (DeliveryStatus.HELD, quiet_until) if quiet_until else (DeliveryStatus.WAITING, now)


def _is_repeat(made: Delivery, known: Map) -> bool:
    """Say whether the same was said on this route shortly before, and count it there; else it begins a new span."""
    if not made.route.repeat_seconds:
        return False
    key = (made.route_id, made.kind, made.subject)
    since = made.happened_at - timedelta(seconds=made.route.repeat_seconds)
    before = known.last.get(key) or _said_since(made, since)
    if before is None or before.happened_at <= since:
        known.last[key] = made
        return False
    known.last[key] = before
    before.repeats += 1
    if before.pk:
        Delivery.objects.filter(pk=before.pk).update(repeats=F("repeats") + 1)
    return True


def _said_since(made: Delivery, since: datetime) -> Delivery | None:
    rows = Delivery.objects.filter(route_id=made.route_id, kind=made.kind, subject=made.subject)
    said = rows.filter(happened_at__gt=since).exclude(status=DeliveryStatus.REPEATED).exclude(event_id=made.event_id)
    return said.order_by("-id").first()
