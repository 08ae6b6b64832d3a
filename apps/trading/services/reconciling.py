"""Comparing accounts with their venues: at the start of the site, and then again and again.

It learns and reports. It opens nothing, closes nothing and moves no order by itself: what differs is a row that a
person decides about (`resolving`). A second look at the same thing writes no row.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q

from apps.domain.errors import Refused, Unavailable
from apps.domain.states import OrderStatus
from apps.journal import services as journal
from apps.trading import bell
from apps.trading.models import Account, Discrepancy, Order, Resolution, Standing
from apps.trading.services import comparing, differences, keys
from apps.trading.services.comparing import Look
from apps.trading.services.differences import Noted

SIGN_OF_LIFE: Final = timedelta(minutes=1)  # how often an account that agrees is written down as looked at
_UNKNOWN_FOR: Final = timedelta(
    seconds=10
)  # an order that nobody knows about for so long is worth a look at everything
_TRY = "SELECT pg_try_advisory_lock(hashtextextended('reconcile.' || %s, 0))"
_RELEASE = "SELECT pg_advisory_unlock(hashtextextended('reconcile.' || %s, 0))"

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """How an account stands with its venue after a look."""

    account_id: int
    clean: bool = False
    open: int = 0  # differences that a person has to decide about
    suspects: int = 0  # differences seen once
    opened: int = 0
    gone: int = 0
    busy: bool = False  # somebody else is comparing it at this moment
    trouble: str = ""  # why there was no answer


def begin(now: datetime) -> int:
    """Let every account at a broker only leave positions until it agrees with its venue; return how many.

    For the start of the site: nobody knows what happened at the venues meanwhile.
    """
    with transaction.atomic():
        rows = Standing.objects.filter(account__instant=False, clean_at__isnull=False)
        doubted = list(rows.values_list("pk", flat=True))
        rows.filter(pk__in=doubted).update(clean_at=None, suspects={}, trouble="", looked_at=None)
        for account_id in doubted:
            _record("account.doubted", account_id, {"why": "the site started", "at": now.isoformat()})
    return len(doubted)


def due(*, now: datetime, doubtful: bool) -> list[int]:
    """Return the accounts to compare, all or only those about which something is not known."""
    rows = Account.objects.filter(instant=False).order_by("pk")
    if doubtful:
        lost = Order.objects.filter(account=OuterRef("pk"), status=OrderStatus.UNKNOWN, sent_at__lt=now - _UNKNOWN_FOR)
        unsure = Q(standing=None) | Q(standing__clean_at=None) | ~Q(standing__suspects={})
        rows = rows.filter(unsure | Exists(lost))
    return list(rows.values_list("pk", flat=True))


def reconcile(account_id: int, *, clock: Clock) -> Reconciled:
    """Compare one account with its venue and write down what changed. Never raises what a broker does."""
    with _alone(account_id) as mine:
        if not mine:
            return Reconciled(account_id=account_id, busy=True)
        account = Account.objects.select_related("credential").get(pk=account_id)
        standing = _standing(account, clock())
        try:
            with keys.broker_of(account) as broker:
                look = comparing.look(broker, account, standing, clock)
        except (Unavailable, Refused) as error:
            return _unanswered(standing, str(error))
        return _conclude(account, standing, look, clock())


@contextmanager
def _alone(account_id: int) -> Iterator[bool]:
    """Hold what keeps two from comparing one account at a time; the server lets go of it if this process dies."""
    with connection.cursor() as cursor:
        cursor.execute(_TRY, [str(account_id)])
        mine = bool(cursor.fetchone()[0])
    try:
        yield mine
    finally:
        if mine:
            with connection.cursor() as cursor:
                cursor.execute(_RELEASE, [str(account_id)])


def _standing(account: Account, now: datetime) -> Standing:
    """Return where an account stands; fills from before its first order are none of ours."""
    first = Order.objects.filter(account=account).order_by("pk").values_list("created_at", flat=True).first()
    standing, _ = Standing.objects.get_or_create(account=account, defaults={"fills_from": first or now})
    if standing.fills_from is None:
        standing.fills_from = first or now
        standing.save(update_fields=["fills_from"])
    return standing


def _unanswered(standing: Standing, why: str) -> Reconciled:
    if standing.trouble != why[:300]:
        Standing.objects.filter(pk=standing.pk).update(trouble=why[:300])
    clean = standing.clean_at is not None
    return Reconciled(account_id=standing.pk, clean=clean, trouble=why, open=_open(standing.pk))


def _open(account_id: int) -> int:
    return Discrepancy.objects.filter(account_id=account_id, resolution=Resolution.OPEN).count()


def _conclude(account: Account, standing: Standing, look: Look, now: datetime) -> Reconciled:
    with transaction.atomic():
        noted = differences.note(account, look.found, look.scope, standing.suspects, now)
        clean = _is_clean(standing, look, noted)
        _write(standing, look, noted, clean=clean, now=now)
    return Reconciled(
        account_id=account.pk,
        clean=clean,
        open=noted.open,
        suspects=len(noted.suspects),
        opened=noted.opened,
        gone=noted.gone,
    )


def _is_clean(standing: Standing, look: Look, noted: Noted) -> bool:
    """Say whether both agree; what was seen once, or is on its way, is no reason to doubt an account that was clean."""
    if noted.open:
        return False
    return standing.clean_at is not None or not (noted.suspects or look.scope.in_flight or look.scope.unsettled)


def _write(standing: Standing, look: Look, noted: Noted, *, clean: bool, now: datetime) -> None:
    """Write where the account stands, if that is news or was not written for a while."""
    was_clean = standing.clean_at is not None
    trouble = f"{noted.open} differences with its venue are open" if noted.open else ""
    said = (clean, noted.suspects, trouble)
    fresh = standing.looked_at is not None and now - standing.looked_at < SIGN_OF_LIFE
    if fresh and said == (was_clean, standing.suspects, standing.trouble):
        return
    standing.clean_at = now if clean else None
    standing.looked_at, standing.fills_through, standing.skew = now, look.through, look.skew
    standing.suspects, standing.trouble = noted.suspects, trouble
    standing.save()
    if clean != was_clean:
        kind = "account.agreed" if clean else "account.doubted"
        _record(kind, standing.pk, {"why": trouble or "both sides agree", "at": now.isoformat()})


def _record(kind: str, account_id: int, payload: dict[str, str]) -> None:
    journal.record(kind, f"account:{account_id}", account_id=account_id, payload=payload)
    bell.announce_after_commit()
