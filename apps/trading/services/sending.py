"""Bringing orders to their brokers and their answers home: claim, act, settle.

What is to be done is in the table; whoever comes takes the next step of an order in a transaction of its own, calls the
broker with no transaction and no lock held, and settles what it said in another. A worker that dies between the two
leaves an order that is `submitting`: after a while it counts as unknown, and the venue is asked by client id.
"""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction

from apps.domain.errors import Refused, Unavailable
from apps.domain.orders import Purpose
from apps.domain.states import OrderStatus
from apps.trading import locks
from apps.trading.brokers.base import Broker, BrokerBusy, BrokerRefused, BrokerUnclear
from apps.trading.locks import Step
from apps.trading.models import Account, Order
from apps.trading.services import (
    claiming,
    keys,
    looking,
    ordering,
    orphans,
    placing,
    settling,
    switches,
    tickets,
    withdrawing,
    withholding,
)

LOST_AFTER: Final = timedelta(seconds=30)  # longer than a broker may take; then whoever sent an order is held for dead
FIRST_LOOK: Final = timedelta(milliseconds=500)  # after sending
_SHORTEST: Final = timedelta(milliseconds=50)  # before a busy broker is tried again, whatever it says
_UNTIL_MENDED: Final = timedelta(seconds=5)  # before a key that cannot be opened is tried again
_AT_ONCE: Final = 50
_EXITS: Final = 1000  # whose last order ended with a rest, in one round
_ORPHANS: Final = 200  # closed positions with an order that works on, in one round
_WORKING = (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)

Clock = Callable[[], datetime]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What one round did; `more` says that the table may hold more that is due."""

    taken: int = 0
    trouble: int = 0  # brokers that did not answer
    more: bool = False


def send_due(worker: str, limit: int, *, clock: Clock, patience: timedelta = timedelta(0)) -> Sent:
    """Take up to `limit` steps of orders that are due, exits and what protects first. Never raises what a broker does.

    A broker that does not answer is left alone for the rest of the round: the others go on. New orders younger than
    `patience` are left to others.
    """
    round_ = _Round(worker, clock)
    with round_:
        _tend(clock())
        while round_.steps < limit:
            due = locks.orders_due(
                min(limit - round_.steps, _AT_ONCE),
                now=clock() - patience,
                lost_before=clock() - LOST_AFTER,
                without=round_.silent,
                patience=patience,
            )
            before = round_.taken
            for step in due:
                if step.account_id not in round_.silent:
                    round_.take(step)
            claiming.again(now=clock(), limit=_EXITS)
            if round_.taken == before:
                return Sent(taken=round_.taken, trouble=len(round_.silent))
    return Sent(taken=round_.taken, trouble=len(round_.silent), more=True)


def _tend(now: datetime) -> None:
    """Do what needs no broker: rests of exits, and orders that are not wanted any more."""
    withdrawing.enforce(now=now)
    orphans.take_back(now=now, limit=_ORPHANS)
    withholding.hold_back(now=now)
    claiming.again(now=now, limit=_EXITS)


class _Round:
    """One worker's way through what is due, with the brokers it has connected to."""

    def __init__(self, worker: str, clock: Clock) -> None:
        self.worker = worker
        self.clock = clock
        self.steps = 0  # looked at
        self.taken = 0  # of them, those that were ours to take
        self.silent: list[int] = []  # accounts whose broker does not answer
        self._brokers: dict[int, Broker] = {}
        self._open = ExitStack()

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_error: object) -> None:
        self._open.close()

    def take(self, step: Step) -> None:
        """Take one step of one order; another worker may have been first."""
        self.steps += 1
        acts = {
            "expire": self._expire,
            "place": self._place,
            "lost": self._lost,
            "cancel": self._cancel,
            "amend": self._amend,
            "look": self._look,
        }
        act = self._look if self._may_only_look(step) else acts[step.act]
        self.taken += bool(act(step))

    def _may_only_look(self, step: Step) -> bool:
        """Say whether an order cannot be taken back or changed because the site's switch for real money is off."""
        if settings.LIVE_TRADING or step.act not in ("cancel", "amend"):
            return False
        order = Order.objects.select_related("account__credential").get(pk=step.order_id)
        return order.status in _WORKING and switches.is_silenced(order.account)

    def _expire(self, step: Step) -> bool:
        with transaction.atomic():
            order = locks.order_of(step, OrderStatus.NEW, *_WORKING)
            return order is not None and bool(
                ordering.ask_back([order], now=self.clock(), why="its time was up before it was filled")
            )

    def _lost(self, step: Step) -> bool:
        now = self.clock()
        why = "whoever was sending it ended without an answer"
        return settling.unclear(step.order_id, why, now=now, look_at=now).changed

    def _place(self, step: Step) -> bool:
        with transaction.atomic():
            claim = placing.claim(step, now=self.clock(), first_look=FIRST_LOOK, worker=self.worker)
        if claim.order is not None:
            self._send(claim.order)
        return claim.moved

    def _send(self, order: Order) -> None:
        """Hand an order to its broker and settle the answer, whatever it is."""
        try:
            broker = self._broker(order.account)
            switches.live_allowed(order.account, leaving=order.purpose != Purpose.ENTRY)
            report = broker.place(tickets.of_order(order, broker.abilities))
        except BrokerUnclear as error:
            self._fell_silent(order, error)
            settling.unclear(order.pk, str(error), now=self.clock(), look_at=self.clock() + FIRST_LOOK)
        except switches.Silenced:  # the switch went off in this moment: it waits, and `withholding` says so
            placing.put_back(order, withholding.WHY, now=self.clock(), after=withholding.PAUSE)
        except (BrokerRefused, Refused) as error:
            settling.refused(order.pk, str(error), now=self.clock())
        except Unavailable as error:  # busy, or its key cannot be opened: certainly not sent
            self._fell_silent(order, error)
            placing.put_back(order, str(error), now=self.clock(), after=_pause(error))
        else:
            self._ask(order, lambda broker: looking.hear(broker, order, report, self.clock))

    def _cancel(self, step: Step) -> bool:
        now = self.clock()
        with transaction.atomic():
            order = locks.order_of(step, OrderStatus.NEW, *_WORKING)
            if order is None:
                return False
            if order.status == OrderStatus.NEW:
                ordering.end_unsent(order, why=order.why or "taken back before it was sent", now=now)
                return True
            looking.begin_to_cancel(order, now=now, look_at=now + FIRST_LOOK)
        self._ask(order, lambda broker: looking.cancel(broker, order, self.clock))
        return True

    def _amend(self, step: Step) -> bool:
        with transaction.atomic():
            order = locks.order_of(step, *_WORKING)
            if order is None or order.amendment is None:
                return False
            abilities = keys.plugin_of(order.account.broker).abilities
            if not abilities.amends:
                why = "taken back to be replaced by its amendment"
                return bool(ordering.ask_back([order], now=self.clock(), why=why, amending=True))
            looking.look_later(order, now=self.clock())
        self._ask(order, lambda broker: looking.amend(broker, order, self.clock))
        return True

    def _look(self, step: Step) -> bool:
        with transaction.atomic():
            order = locks.order_of(step, *looking.WORTH_A_LOOK)
            if order is None or (order.look_at and order.look_at > self.clock()):
                return False
            looking.look_later(order, now=self.clock())
        self._ask(order, lambda broker: self._look_at(broker, order))
        return True

    def _look_at(self, broker: Broker, order: Order) -> None:
        if looking.look(broker, order, self.clock) is looking.Seen.ABSENT:
            with transaction.atomic():
                order_ = placing.claim_again(order.pk, now=self.clock(), first_look=FIRST_LOOK, worker=self.worker)
            if order_ is not None:
                self._send(order_)

    def _ask(self, order: Order, act: Callable[[Broker], object]) -> None:
        """Ask a broker about an order; without an answer it is asked again later, by the order's `look_at`."""
        try:
            act(self._broker(order.account))
        except switches.Silenced as error:
            log.info("order %s of account %s: %s", order.client_id, order.account_id, error)
        except (Unavailable, Refused) as error:
            self._fell_silent(order, error)

    def _broker(self, account: Account) -> Broker:
        found = self._brokers.get(account.pk)
        if found is None:
            found = self._brokers[account.pk] = self._open.enter_context(keys.broker_of(account))
        return found

    def _fell_silent(self, order: Order, error: Exception) -> None:
        log.warning("order %s of account %s: %s", order.client_id, order.account_id, error)
        self.silent.append(order.account_id)


def _pause(error: Unavailable) -> timedelta:
    return max(timedelta(seconds=error.after), _SHORTEST) if isinstance(error, BrokerBusy) else _UNTIL_MENDED
