"""Keeping a stop at the venue for every lot of accounts that ask for it, in step with the levels here.

The site executes its own stops; the one at the venue is for the time it may be away. It follows slowly on purpose: a
trailing stop must not become hundreds of orders.
"""

import logging
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db import transaction

from apps.domain import numbers
from apps.domain.errors import Refused
from apps.domain.orders import OrderKind, Purpose, TimeInForce, client_id
from apps.domain.states import LIVE_EXITS, PositionStatus
from apps.trading import bell, locks, protection
from apps.trading.brokers.base import Abilities
from apps.trading.models import Account, Exit, Order
from apps.trading.protection import Protection
from apps.trading.services import keys, ordering, switches

PACE: Final = timedelta(seconds=30)  # between two changes of one lot's stop at the venue
_DOUBLINGS: Final = 6  # how often the pace is doubled at most while the venue refuses
_LIMIT_RATE: Final = Decimal("0.05")  # how far beyond its stop a stop-limit order may fill, where a venue has no other

log = logging.getLogger(__name__)


def keep(*, now: datetime) -> int:
    """Bring the stops at the venues nearer to what is wanted and return how many changes were asked for."""
    rows = Account.objects.filter(instant=False, **{f"broker_options__{protection.OPTION}": True})
    ordered = rows.select_related("credential").order_by("pk")
    accounts = {account.pk: account for account in ordered if not switches.is_silenced(account)}
    able = {key: found for key, account in accounts.items() if (found := _abilities(account)) and found.protects}
    changes = 0
    for wanted in protection.protections(list(able)) if able else ():
        if not wanted.agrees and _may_change(wanted, now):
            with transaction.atomic():
                changes += _change(wanted, accounts[wanted.account_id], able[wanted.account_id], now)
    return changes


def _abilities(account: Account) -> Abilities | None:
    try:
        return keys.plugin_of(account.broker).abilities
    except Refused as error:
        log.warning("the stops of account %s cannot be kept at its venue: %s", account.pk, error)
        return None


def _may_change(wanted: Protection, now: datetime) -> bool:
    """Say whether it is time: what is on its way is waited for, and one lot's stop changes once in a while only."""
    if wanted.confirmed is not None and wanted.confirmed.changing:
        return False
    if wanted.level is None:
        return True  # nothing is wanted any more: it goes at once
    pace = PACE * 2 ** min(wanted.refused, _DOUBLINGS)
    return wanted.changed_at is None or now >= wanted.changed_at + pace


def _change(wanted: Protection, account: Account, abilities: Abilities, now: datetime) -> bool:
    position = locks.position(wanted.position_id)
    orders = [one for one in locks.live_orders(position.pk) if one.purpose == Purpose.PROTECT]
    known = wanted.confirmed.order_id if wanted.confirmed else None
    if [one.pk for one in orders] != ([] if known is None else [known]) or position.status == PositionStatus.CLOSED:
        return False  # something happened since it was read: the next look sees it
    if Exit.objects.filter(position=position, status__in=LIVE_EXITS).exists() or wanted.level is None:
        return bool(ordering.ask_back(orders, now=now, why="no stop is wanted at the venue"))
    level, limit = wanted.level, _limit(wanted, abilities)
    if not orders:
        _make(wanted, account, limit, now)
    elif abilities.amends and not wanted.fixed:
        change = ordering.Change(quantity=wanted.quantity + orders[0].filled, stop_price=level, limit_price=limit)
        ordering.wish_change(orders[0], change, now=now)
    else:
        ordering.ask_back(orders, now=now, why=f"the stop moved to {numbers.plain(level)}")
    return True


def _make(wanted: Protection, account: Account, limit: Decimal | None, now: datetime) -> None:
    serial = wanted.orders + 1
    position = locks.position(wanted.position_id)
    order = Order.objects.create(
        account=account,
        instrument=position.instrument,
        position=position,
        purpose=Purpose.PROTECT,
        client_id=client_id(Purpose.PROTECT, position.pk, serial, account_id=account.pk, opened_at=account.opened_at),
        attempt=serial,
        buy=wanted.buy,
        kind=OrderKind.STOP if limit is None else OrderKind.STOP_LIMIT,
        tif=TimeInForce.GTC,
        quantity=wanted.quantity,
        stop_price=wanted.level,
        limit_price=limit,
        reduce_only=True,
        why=f"leg {wanted.leg_id} rests there",
    )
    ordering.record(ordering.Told.CREATED, order, why=order.why, leg=wanted.leg_id, at=now.isoformat())
    bell.ring_orders_after_commit()


def _limit(wanted: Protection, abilities: Abilities) -> Decimal | None:
    """Return the limit of the order, None where the venue has plain stops."""
    if OrderKind.STOP in abilities.kinds or wanted.level is None:
        return None
    if wanted.buy:
        return numbers.ceil_to(wanted.level * (1 + _LIMIT_RATE), wanted.tick_size)
    return max(numbers.floor_to(wanted.level * (1 - _LIMIT_RATE), wanted.tick_size), wanted.tick_size)
