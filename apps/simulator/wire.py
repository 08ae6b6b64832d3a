"""What faults do to trades on their way out: lose, double, shuffle, garble or bend them. Truth stays on the tape."""

import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from apps.simulator.protocol import Trade

Mutation = Callable[[bytes], bytes]
Parcel = tuple[Trade, Mutation | None]
Touched = dict[str, list[int]]
KEPT = 256  # trades that can be sent again
LAST_WORD = ("gap", "garbage")  # one of these per trade, so that several queue up for several trades


@dataclass(slots=True)
class Job:
    """A fault at work: `left` trades to go; `product` narrows it when not empty."""

    kind: str
    left: int
    touched: Touched
    product: str = ""
    mutation: Mutation | None = None


class Wire:
    """The last stage before the sockets. With no job at work, trades do not pass through here at all."""

    def __init__(self, seed: int) -> None:
        self.recent: deque[Trade] = deque(maxlen=KEPT)
        self.lost: list[tuple[str, int, str]] = []  # product, trade id, why: taken by the exchange for its journal
        self._jobs: list[Job] = []
        self._held: list[Parcel] = []
        self._random = random.Random(seed)  # noqa: S311 - a repeatable shuffle, not a secret

    @property
    def busy(self) -> bool:
        return bool(self._jobs)

    def add(self, job: Job) -> None:
        self._jobs.append(job)

    def clear(self) -> list[Parcel]:
        """Forget all jobs; returns the trades that were held back."""
        self._jobs.clear()
        held, self._held = self._held, []
        return held

    def send_through(self, trade: Trade) -> Iterator[Parcel]:
        """What goes out in place of this trade: each job takes its turn, the first that swallows it ends the way."""
        parcels: list[Parcel] = [(trade, None)]
        for job in self._jobs[:]:
            if job.product in ("", trade.product_id):
                parcels = self._apply(job, parcels)
                if job.kind in LAST_WORD or not parcels:
                    break
        self._jobs = [job for job in self._jobs if job.left > 0]
        yield from parcels

    def _apply(self, job: Job, parcels: list[Parcel]) -> list[Parcel]:
        job.left -= 1
        trade = parcels[0][0]
        job.touched.setdefault(trade.product_id, []).append(trade.trade_id)
        if job.kind == "gap":
            self.lost.append((trade.product_id, trade.trade_id, "gap"))
            return []
        if job.kind == "garbage":
            self.lost.append((trade.product_id, trade.trade_id, "garbage"))
            return [(trade, job.mutation)]
        if job.kind == "duplicate":
            return [*parcels, *parcels]
        if job.kind == "reorder":
            return self._hold(job, parcels)
        return [(_bent(job.kind, item), mutation) for item, mutation in parcels]

    def _hold(self, job: Job, parcels: list[Parcel]) -> list[Parcel]:
        self._held += parcels
        if job.left > 0:
            return []
        shuffled, self._held = self._held[:], []
        self._random.shuffle(shuffled)
        ids = [trade.sequence for trade, _ in shuffled]
        return shuffled if ids != sorted(ids) else shuffled[::-1]


def _bent(kind: str, trade: Trade) -> Trade:
    if kind == "crossed":
        return replace(trade, bid=trade.ask, ask=trade.bid)
    return replace(trade, bid="0", bid_size="0.00000000")
