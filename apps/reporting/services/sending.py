"""Deliveries go out: claimed in one transaction, handed over with none open, settled in another.

A worker that dies between claim and settle leaves a row that says so: it is tried again, and counted as one that may
have arrived twice, because most providers cannot tell a repeat. A provider that is down costs one try per wait,
whatever waits for it, and none of those that wait is given up for it.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import F

from apps.domain.plugins import PluginError
from apps.journal import services as journal
from apps.reporting import locks
from apps.reporting.channels.base import Message, Undeliverable
from apps.reporting.models import Attempt, Channel, Delivery, DeliveryStatus, Outcome
from apps.reporting.pace import DELIVERY, LONGEST_ASKED, Policy
from apps.reporting.reports import attaching
from apps.reporting.services import keeping
from apps.reporting.services.routing import FAILED
from apps.trading import masking
from apps.trading.sealing import KeyUnusable

log = logging.getLogger(__name__)

SILENT: Final = timedelta(minutes=3)  # longer than any channel takes: whoever claimed before has ended
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What a turn came to; `more` says that the time was up before the work was."""

    tries: int = 0
    sent: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Try:
    """How one try ended."""

    outcome: Outcome
    said: str = ""
    reference: str = ""
    wait: timedelta | None = None


def send_due(clock: Clock, *, seconds: float, policy: Policy = DELIVERY) -> Sent:
    """Send what is due, one message after the other, for about so many seconds."""
    recover(clock(), policy=policy)
    until = time.monotonic() + seconds
    tries = sent = 0
    while time.monotonic() < until:
        claimed = claim(clock())
        if claimed is None:
            return Sent(tries=tries, sent=sent)
        began = clock()
        ended = hand_over(claimed)
        settle(claimed, ended, began=began, now=clock(), policy=policy)
        tries, sent = tries + 1, sent + (ended.outcome is Outcome.SENT)
    return Sent(tries=tries, sent=sent, more=True)


def claim(now: datetime) -> Delivery | None:
    """Take the oldest delivery that is due on a channel that may send; None when there is nothing to do."""
    with transaction.atomic():
        channel = locks.ready_channel(now)
        if channel is None or not _may_still_send(channel, now):
            return None
        due = Delivery.objects.filter(channel=channel, status=DeliveryStatus.WAITING, due_at__lte=now)
        row = due.order_by("id").first()
        if row is None:
            return None
        row.status, row.claimed_at = DeliveryStatus.SENDING, now
        row.tries, row.claims = row.tries + 1, row.claims + 1
        row.save(update_fields=["status", "claimed_at", "tries", "claims"])
        row.channel = channel
    return row


def _may_still_send(channel: Channel, now: datetime) -> bool:
    """Ask again under the lock: somebody may have claimed between the look and the lock."""
    busy = Delivery.objects.filter(channel=channel, status=DeliveryStatus.SENDING).exists()
    lately = Attempt.objects.filter(channel=channel, began_at__gt=now - timedelta(minutes=1)).count()
    paused = channel.paused_until is not None and channel.paused_until > now
    return channel.enabled and not busy and not paused and lately < channel.per_minute


def hand_over(row: Delivery) -> _Try:
    """Give a claimed delivery to its provider and say how that ended."""
    try:
        channel = keeping.opened(row.channel)
        return _Try(outcome=Outcome.SENT, reference=channel.send(message_of(row))[:200])
    except Undeliverable as error:
        wait = min(error.retry_after, LONGEST_ASKED) if error.retry_after else None
        return _Try(outcome=_outcome(error), said=_words(error), wait=wait)
    except (PluginError, KeyUnusable) as error:  # mended by a person; nothing left the site meanwhile
        return _Try(outcome=Outcome.RETRY, said=_words(error))


def message_of(row: Delivery) -> Message:
    """Return a delivery as its channel takes it."""
    more = f"\nThis happened {row.repeats} more times." if row.repeats else ""
    return Message(
        key=row.key,
        kind=row.kind,
        severity=row.severity,
        subject=row.subject,
        account_id=row.account_id,
        at=row.happened_at,
        title=row.title,
        body=f"{row.body}{more}".strip(),
        attachment=attaching.of(row),
    )


def settle(row: Delivery, ended: _Try, *, began: datetime, now: datetime, policy: Policy = DELIVERY) -> bool:
    """Store how a try ended; False when the row was taken back meanwhile and its try is stored as unclear."""
    with transaction.atomic():
        locks.channel(row.channel_id)
        held = locks.delivery(row.pk)
        if held.claims != row.claims or held.status not in {DeliveryStatus.SENDING, DeliveryStatus.WAITING}:
            log.warning("delivery %s was settled by somebody else: %s", row.pk, ended.outcome)
            return False
        _note(held, ended, began=began, now=now)
        if ended.outcome is Outcome.SENT:
            held.status, held.sent_at, held.reference, held.last_error = (
                DeliveryStatus.SENT,
                now,
                ended.reference,
                "",
            )
            Channel.objects.filter(pk=held.channel_id).update(failures=0, paused_until=None, last_error="")
        else:
            _fail(held, ended, now, policy)
        held.save()
    return True


def recover(now: datetime, *, policy: Policy = DELIVERY) -> int:
    """Take back deliveries whose sender fell silent, and return how many; each may have arrived."""
    with transaction.atomic():
        rows = locks.sending_since(now - SILENT, limit=100)
        for row in rows:
            ended = _Try(outcome=Outcome.UNCLEAR, said="The process that was sending it ended.")
            _note(row, ended, began=row.claimed_at or now, now=now)
            _fail(row, ended, now, policy, blame=False)
            row.save()
    return len(rows)


def _note(row: Delivery, ended: _Try, *, began: datetime, now: datetime) -> None:
    values = {
        "began_at": began,
        "ended_at": now,
        "outcome": ended.outcome,
        "said": ended.said,
        "channel_id": row.channel_id,
    }
    Attempt.objects.update_or_create(delivery_id=row.pk, number=row.claims, defaults=values)


def _fail(row: Delivery, ended: _Try, now: datetime, policy: Policy, *, blame: bool = True) -> None:
    """Put a delivery back, or give it up; a channel that fails is left alone for a while."""
    row.last_error = ended.said
    row.doubtful += ended.outcome is Outcome.UNCLEAR
    if ended.outcome is Outcome.PERMANENT or policy.gives_up(row.tries):
        _give_up(row)
    else:
        row.status = DeliveryStatus.WAITING
        row.due_at = now + policy.wait(row.tries, ended.wait)
    if blame and ended.outcome is not Outcome.PERMANENT:
        failures = Channel.objects.values_list("failures", flat=True).get(pk=row.channel_id) + 1
        paused = now + policy.wait(failures, ended.wait)
        Channel.objects.filter(pk=row.channel_id).update(
            failures=F("failures") + 1, paused_until=paused, last_error=ended.said
        )


def _give_up(row: Delivery) -> None:
    row.status = DeliveryStatus.DEAD
    if row.kind == FAILED:
        return  # two channels that both fail would tell each other for ever
    payload = {
        "delivery": row.pk,
        "channel": row.channel_id,
        "name": row.channel.name,
        "about": row.kind,
        "title": row.title,
        "tries": row.tries,
        "error": row.last_error,
    }
    journal.record(FAILED, f"delivery:{row.pk}", account_id=row.account_id, payload=payload)


def _outcome(error: Undeliverable) -> Outcome:
    if error.permanent:
        return Outcome.PERMANENT
    return Outcome.UNCLEAR if error.unclear else Outcome.RETRY


def _words(error: Exception) -> str:
    return masking.mask(" ".join(str(error).split()))[:500]
