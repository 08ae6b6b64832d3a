"""Every process killed with -9 beside an order in every state: how long until both sides agree again, as a table."""

import contextlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from django.db import connection

from apps.domain.errors import Refused
from apps.domain.legs import ExitReason
from apps.journal.models import Event
from apps.trading.models import Discrepancy, Fill, Order, Position
from apps.trading.services import exits, ordering, reconciling
from tests import factories
from tests.faults.orders.rig import AWAY, PROCESSES, Rig, patient
from tests.faults.orders.states import STATES
from tests.flow.worlds import eventually

VARIABLE: Final = "ORDER_FAULT_FIGURES"
BOUND: Final = 60.0  # seconds from the kill until an order has come to its end
SERVERS: Final = ("redis", "postgresql", "simulator")
ALL: Final = (*PROCESSES, *SERVERS)


@dataclass(slots=True)
class Row:
    """One kill: seconds until each state had come to its end, None where it did not."""

    killed: str
    seconds: dict[str, float | None] = field(default_factory=dict)
    reached: dict[str, str] = field(default_factory=dict)  # the status in the moment of the kill
    wrong: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.wrong and None not in self.seconds.values()


def run(rig: Rig, killed: str) -> Row:
    """Bring an order into every state, kill one thing, let the market move, and wait until all has come to its end."""
    row = Row(killed)
    rig.wait_until_green()
    orders = {name: state.reach(rig, name) for name, state in STATES.items()}
    row.reached = {name: factories.fresh(order).status for name, order in orders.items()}
    began = time.monotonic()
    _kill(rig, killed)
    for name, state in STATES.items():
        state.move(rig, name)
    waiting = dict(orders)
    while waiting and time.monotonic() - began < BOUND:
        for name, order in list(waiting.items()):
            if patient(lambda name=name, order=order: STATES[name].ends(rig, name, order))():
                row.seconds[name] = round(time.monotonic() - began, 1)
                del waiting[name]
        time.sleep(0.1)
    row.seconds |= dict.fromkeys(waiting)
    row.wrong += [f"{name}: {factories.fresh(order).status}, {order.client_id}" for name, order in waiting.items()]
    row.seconds = {name: row.seconds[name] for name in STATES}
    _tidy(rig, row)
    return row


def _kill(rig: Rig, killed: str) -> None:
    acts: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "redis": (rig.servers.kill_redis, rig.servers.restart_redis),
        "postgresql": (lambda: rig.servers.stop_postgres("immediate"), rig.servers.start_postgres),
        "simulator": (rig.venue.kill, rig.venue.start),
    }
    if killed not in acts:
        rig.kill(killed)  # the supervisor starts it again
        return
    away, back = acts[killed]
    away()
    time.sleep(AWAY)
    back()
    connection.close()


def _tidy(rig: Rig, row: Row) -> None:
    """Leave everything, and see that nothing is left, here or there."""
    row.wrong += _left_alone(rig)
    for order in rig.working():
        with contextlib.suppress(Refused):
            ordering.cancel(order.pk, now=factories.now())
    for position in Position.objects.exclude(status="closed"):
        with contextlib.suppress(Refused):
            exits.request_exit(position_id=position.pk, reason=ExitReason.API, source="test", now=factories.now())
    rig.market.prices = dict.fromkeys(rig.market.prices, "100.00")
    rig.market.still.clear()
    try:
        eventually(patient(lambda: not rig.working() and not Position.objects.exclude(status="closed").exists()), 45)
        eventually(patient(lambda: all(rig.net(name) == 0 for name in STATES)), 10)
    except AssertionError:
        row.wrong += [f"{one.client_id} is {one.status}" for one in rig.working()]
        row.wrong += [f"lot {one.pk} is {one.status}" for one in Position.objects.exclude(status="closed")]
    row.wrong += [text for name in STATES for text in rig.disagreements(name)]
    row.wrong += [f"{key}: {examples}" for key, examples in rig.holds().items()]
    row.wrong += _compared_again(rig)


def _compared_again(rig: Rig) -> list[str]:
    """Return what two comparisons with the venue still find or write, although both sides agree."""
    subjects = [f"order:{key}" for key in Order.objects.values_list("pk", flat=True)]

    def written() -> tuple[int, int, int]:
        events = Event.objects.filter(subject__in=subjects)
        return events.count(), Fill.objects.count(), Discrepancy.objects.count()

    before = written()
    for account in rig.accounts.values():
        for _ in range(2):
            reconciling.reconcile(account.pk, clock=factories.now)
    after = written()
    return [] if before == after else [f"comparing again wrote events, fills, differences: {before} became {after}"]


def _left_alone(rig: Rig) -> list[str]:
    """Return what was written although nothing more was to be done: every order has come to its end."""
    subjects = [f"order:{key}" for key in Order.objects.values_list("pk", flat=True)]
    events = Event.objects.filter(subject__in=subjects)
    before = events.count()
    time.sleep(1)
    return [f"{events.count() - before} events came after the end"] if events.count() != before else []


def table(rows: list[Row]) -> str:
    """Return the rows for a person: what was killed, and seconds until each state had come to its end."""
    names = list(STATES)
    lines = ["killed          " + "".join(f"{name:>12}" for name in names)]
    for row in rows:
        cells = [row.seconds.get(name) for name in names]
        told = "".join(f"{'FAILED' if one is None else format(one, '.1f'):>12}" for one in cells)
        lines.append(f"{row.killed:16}{told}" + ("" if not row.wrong else "   " + "; ".join(row.wrong[:3])))
    return "\n".join(lines)


def keep(rows: list[Row]) -> None:
    """Write the rows where somebody collects them."""
    if path := os.environ.get(VARIABLE):
        Path(path).write_text(json.dumps([{"killed": row.killed, "seconds": row.seconds} for row in rows]))
