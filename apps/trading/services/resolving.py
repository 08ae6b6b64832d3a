"""What a person does about a difference between a venue and us: adopt, write off, ignore, undo.

Of two people who resolve one row only one succeeds: the row is claimed by an UPDATE that asks for its old state, in the
transaction that writes the books. Each step is an event with who and why.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from django.db import transaction

from apps.domain import numbers
from apps.domain.errors import Refused
from apps.domain.states import ENDED_ORDERS
from apps.market.models import Instrument
from apps.trading import locks
from apps.trading.models import Discrepancy, DiscrepancyKind, Resolution
from apps.trading.services import adopting, differences, keys, outside
from apps.trading.services.adopting import Choice
from apps.trading.services.outside import Act

__all__ = ["AlreadyResolved", "Choice", "actions", "adopt", "cancel", "ignore", "undo", "write_off"]

UNDOABLE: Final = (DiscrepancyKind.UNKNOWN_FILL, DiscrepancyKind.POSITION, DiscrepancyKind.BALANCE)

Clock = Callable[[], datetime]


class AlreadyResolved(Refused):
    """Somebody else was first, or both sides agree again: the row is not what it was."""


def actions(row: Discrepancy) -> list[str]:
    """Return what may be done about a difference now."""
    if row.resolution == Resolution.OPEN:
        more = {
            DiscrepancyKind.UNKNOWN_ORDER: ["adopt", "cancel"],
            DiscrepancyKind.LOST_ORDER: ["adopt"],
            DiscrepancyKind.UNKNOWN_FILL: ["adopt"],
            DiscrepancyKind.POSITION: ["adopt", *(["write_off"] if adopting.shrinks(row) else [])],
            DiscrepancyKind.BALANCE: ["adopt", "write_off"],
        }
        return [*more[DiscrepancyKind(row.kind)], "ignore"]
    booked = row.resolution in (Resolution.ADOPTED, Resolution.WRITTEN_OFF) and row.kind in UNDOABLE
    return ["undo"] if booked or row.resolution == Resolution.IGNORED else []


# --- the four things that may be done --------------------------------------------------------------------------------
def adopt(row_id: int, choice: Choice, *, now: datetime) -> Discrepancy:
    """Let our books follow the venue. Raises Refused, AlreadyResolved."""
    acts = {
        DiscrepancyKind.UNKNOWN_ORDER: adopting.adopt_order,
        DiscrepancyKind.LOST_ORDER: adopting.give_up_order,
        DiscrepancyKind.UNKNOWN_FILL: adopting.adopt_fill,
        DiscrepancyKind.POSITION: adopting.adopt_position,
        DiscrepancyKind.BALANCE: adopting.adopt_balance,
    }
    return _resolve(row_id, choice, Resolution.ADOPTED, now, lambda row: acts[DiscrepancyKind(row.kind)])


def write_off(row_id: int, choice: Choice, *, now: datetime) -> Discrepancy:
    """Book a difference as a loss or a gain. Raises Refused, AlreadyResolved."""
    acts = {DiscrepancyKind.POSITION: adopting.write_off_position, DiscrepancyKind.BALANCE: adopting.write_off_balance}

    def act_for(row: Discrepancy) -> "_Booking":
        found = acts.get(DiscrepancyKind(row.kind))
        if found is None:
            raise Refused(adopting.problem("kind", row.kind, "cannot be written off", "adopt or ignore it"))
        return found

    return _resolve(row_id, choice, Resolution.WRITTEN_OFF, now, act_for)


def ignore(row_id: int, choice: Choice, *, now: datetime) -> Discrepancy:
    """Leave a difference alone until it changes; it stands in nobody's way any more. Raises Refused."""
    return _resolve(row_id, choice, Resolution.IGNORED, now, lambda _row: _nothing)


def cancel(row_id: int, choice: Choice, *, clock: Clock) -> Discrepancy:
    """Take an order that is not ours back at its venue.

    Raises Refused, and Unavailable when the venue did not answer: then the row stays, and asking again does no harm.
    """
    with transaction.atomic():
        row = _row(row_id)
        _may_resolve(row, choice)
        if row.kind != DiscrepancyKind.UNKNOWN_ORDER:
            raise Refused(adopting.problem("kind", row.kind, "is no order at the venue", "adopt or ignore it"))
        differences.record(differences.CANCEL_ASKED, row, actor=choice.actor, more={"reason": choice.reason})
    with keys.broker_of(row.account) as broker:
        report = broker.cancel(row.facts.get("client_id", ""), row.facts.get("venue_id", ""))
    if report.status not in ENDED_ORDERS:
        return row  # the next comparison sees when it is gone
    facts = {"status": str(report.status), "filled": numbers.plain(report.filled)}
    return _resolve(row_id, choice, Resolution.WRITTEN_OFF, clock(), lambda _row: _nothing, more=facts)


def undo(row_id: int, *, actor: str, reason: str, now: datetime) -> Discrepancy:
    """Take back what was done about a difference: the opposite lines are written and the row is open again.

    Raises Refused where what was done cannot be taken back, AlreadyResolved when somebody was first.
    """
    with transaction.atomic():
        row = _row(row_id)
        _has_reason(reason)
        if "undo" not in actions(row):
            rule = f"a {row.kind} that is {row.resolution} cannot be undone"
            raise AlreadyResolved(adopting.problem("discrepancy", f"#{row.pk}", rule, "look at it again"))
        before = Resolution(row.resolution)
        state = _state_after_undo(row)
        _claim(row, before, state, actor=actor, reason=reason, now=now)
        locks.account(row.account_id)
        _reverse(row, actor=actor, reason=reason, now=now)
        row.undo = {"undone": True} if state == Resolution.OPEN and before != Resolution.IGNORED else None
        row.save(update_fields=["undo"])
        differences.record(differences.UNDONE, row, actor=actor, more={"reason": reason, "was": str(before)})
    return row


def _state_after_undo(row: Discrepancy) -> Resolution:
    """Return where an undone row goes: open, unless the same difference has another row by now."""
    same = Discrepancy.objects.filter(account=row.account, kind=row.kind, subject=row.subject)
    return Resolution.GONE if same.filter(resolution=Resolution.OPEN).exists() else Resolution.OPEN


def _reverse(row: Discrepancy, *, actor: str, reason: str, now: datetime) -> None:
    what = row.undo or {}
    if what.get("parts"):
        instrument = Instrument.objects.get(pk=what["instrument"])
        key = f"undo:{row.pk}"
        act = Act(account=row.account, instrument=instrument, key=key, actor=actor, reason=reason, at=now, now=now)
        outside.undo(act, what["parts"])
    for line_id in what.get("lines", ()):
        outside.unadjust(line_id, now)


# --- one claim for all -----------------------------------------------------------------------------------------------
_Booking = Callable[[Discrepancy, Choice, datetime], dict[str, Any] | None]


def _resolve(
    row_id: int,
    choice: Choice,
    resolution: Resolution,
    now: datetime,
    act_for: Callable[[Discrepancy], _Booking],
    more: dict[str, Any] | None = None,
) -> Discrepancy:
    kinds = {
        Resolution.ADOPTED: differences.ADOPTED,
        Resolution.WRITTEN_OFF: differences.WRITTEN_OFF,
        Resolution.IGNORED: differences.IGNORED,
    }
    with transaction.atomic():
        row = _row(row_id)
        _may_resolve(row, choice)
        act = act_for(row)
        _claim(row, Resolution.OPEN, resolution, actor=choice.actor, reason=choice.reason, now=now)
        row.account = locks.account(row.account_id)
        row.undo = act(row, choice, now)
        row.save(update_fields=["undo"])
        told = {"reason": choice.reason, "wrote": row.undo, **(more or {})}
        differences.record(kinds[resolution], row, actor=choice.actor, more=told)
    return row


def _row(row_id: int) -> Discrepancy:
    return Discrepancy.objects.select_related("account").get(pk=row_id)


def _may_resolve(row: Discrepancy, choice: Choice) -> None:
    _has_reason(choice.reason)
    if row.resolution != Resolution.OPEN:
        raise AlreadyResolved(adopting.problem("discrepancy", f"#{row.pk}", f"is {row.resolution}", "look at it again"))
    if choice.gap and choice.gap != row.gap:
        raise Refused(adopting.problem("discrepancy", f"#{row.pk}", f"has changed: {row}", "look at it again"))


def _has_reason(reason: str) -> None:
    if not reason.strip():
        raise Refused(adopting.problem("reason", "empty", "is needed", "say why in one line"))


def _claim(row: Discrepancy, before: Resolution, after: Resolution, *, actor: str, reason: str, now: datetime) -> None:
    """Be the first: the row becomes ours if it still is what it was, and stays locked until the books are written."""
    mine = Discrepancy.objects.filter(pk=row.pk, resolution=before, gap=row.gap)
    resolved_at = None if after == Resolution.OPEN else now
    said = {"resolution": after, "actor": actor, "reason": reason[:300], "resolved_at": resolved_at}
    if not mine.update(**said):
        raise AlreadyResolved(
            adopting.problem("discrepancy", f"#{row.pk}", "was resolved or has changed", "look at it again")
        )
    for name, value in said.items():
        setattr(row, name, value)


def _nothing(row: Discrepancy, choice: Choice, now: datetime) -> dict[str, Any] | None:
    return None
