"""Differences as rows: opened when they were seen twice, closed by themselves when both sides agree again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.domain import reconciling
from apps.domain.reconciling import Difference, Scope, Suspects
from apps.journal import services as journal
from apps.trading import bell
from apps.trading.models import Account, Discrepancy, DiscrepancyKind, Fill, Order, Resolution
from apps.trading.services import order_books

# What the journal calls what a look saw, and what a person did.
FOUND, CHANGED, GONE = "discrepancy.noticed", "discrepancy.changed", "discrepancy.vanished"
ADOPTED, WRITTEN_OFF, IGNORED = "discrepancy.adopted", "discrepancy.expensed", "discrepancy.ignored"
UNDONE, CANCEL_ASKED = "discrepancy.reverted", "discrepancy.cancel_asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """What a look changed of the rows, and what it left."""

    opened: int
    changed: int
    gone: int
    open: int
    suspects: Suspects


def note(account: Account, found: Sequence[Difference], scope: Scope, earlier: Suspects, now: datetime) -> Noted:
    """Bring the rows of an account in line with what a look found; call it in a transaction, alone for the account.

    What is found again as it was writes nothing.
    """
    rows = Discrepancy.objects.filter(account=account, resolution__in=(Resolution.OPEN, Resolution.IGNORED))
    standing = {_key(row): row for row in rows.order_by("pk")}
    known = {one.key: one for one in found if _is_noted(standing.get(one.key), one)}
    sifted = reconciling.sift((one for one in found if one.key not in known), earlier, now=now)
    changed = sum(_follow(standing[key], one, now) for key, one in known.items())
    present = {one.key for one in found}
    fresh = {one.key for one in sifted.confirmed}  # of these, a row that was ignored has changed
    gone = sum(_end(row, now) for key, row in standing.items() if key in fresh or _is_gone(row, present, scope))
    for one in sifted.confirmed:
        _open(account, one, now)
    still = Discrepancy.objects.filter(account=account, resolution=Resolution.OPEN).count()
    return Noted(opened=len(fresh), changed=changed, gone=gone, open=still, suspects=sifted.suspects)


def _key(row: Discrepancy) -> str:
    return f"{row.kind}:{row.subject}"


def _is_noted(row: Discrepancy | None, one: Difference) -> bool:
    return row is not None and (row.resolution == Resolution.OPEN or row.gap == one.gap)


def _is_gone(row: Discrepancy, present: set[str], scope: Scope) -> bool:
    if row.kind == DiscrepancyKind.UNKNOWN_FILL:
        if was_undone(row):
            return False  # its fill is there, and the one that takes it back
        name = order_books.key(Order(account=row.account), row.facts["id"])
        return Fill.objects.filter(client_id=name).exists()
    return _key(row) not in present and scope.covers(row.kind, row.subject)


def was_undone(row: Discrepancy) -> bool:
    """Say whether a person has taken back what was done about a difference."""
    return bool(row.undo and row.undo.get("undone"))


def _open(account: Account, one: Difference, now: datetime) -> None:
    row = Discrepancy.objects.create(
        account=account,
        kind=one.kind,
        subject=one.subject,
        ours=one.ours,
        theirs=one.theirs,
        gap=one.gap,
        facts=dict(one.facts),
        found_at=now,
        seen_at=now,
    )
    record(FOUND, row)


def _follow(row: Discrepancy, one: Difference, now: datetime) -> bool:
    """Let a row say what the two sides say now; True when the gap between them is another."""
    said = {"ours": one.ours, "theirs": one.theirs, "gap": one.gap, "facts": dict(one.facts)}
    before = {name: getattr(row, name) for name in said}
    if before == said:
        return False
    for name, value in said.items():
        setattr(row, name, value)
    row.seen_at = now
    row.save(update_fields=[*said, "seen_at"])
    moved = bool(before["gap"] != one.gap)
    if moved:
        record(CHANGED, row)
    return moved


def _end(row: Discrepancy, now: datetime) -> bool:
    row.resolution, row.resolved_at = Resolution.GONE, now
    # Somebody may be resolving it in this very moment: of two only one is first.
    mine = Discrepancy.objects.filter(pk=row.pk, resolution__in=(Resolution.OPEN, Resolution.IGNORED))
    if not mine.update(resolution=Resolution.GONE, resolved_at=now):
        return False
    record(GONE, row)
    return True


def record(kind: str, row: Discrepancy, *, actor: str = "", more: Mapping[str, Any] | None = None) -> None:
    """Write an event about a difference; call it inside the transaction it belongs to."""
    payload = {
        "discrepancy": row.pk,
        "account": row.account_id,
        "kind": str(row.kind),
        "subject": row.subject,
        "ours": row.ours,
        "theirs": row.theirs,
        **(more or {}),
    }
    journal.record(kind, f"discrepancy:{row.pk}", account_id=row.account_id, actor=actor, payload=payload)
    bell.announce_after_commit()
