"""Where the ways out of many positions rest now, how far that is, and what leaving now would bring: a few queries."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from django.db import connection
from django.db.models import Prefetch, QuerySet

from apps.domain.legs import Leg, LegKind, target_hit, trailing_stop
from apps.domain.sides import Side
from apps.domain.states import LIVE_EXITS, LegStatus, PositionStatus
from apps.market import selectors as market
from apps.market.models import Quote
from apps.trading import selectors
from apps.trading.admin import story
from apps.trading.models import Exit, ExitLeg, Position

MOST: Final = 200  # positions on one page
STOPS: Final = (LegKind.STOP_LOSS, LegKind.TRAILING_STOP, LegKind.BREAK_EVEN)
# A leg that rides another's watermark has that leg's best price, over as many steps as it takes.
_PEAKS: Final = """
WITH RECURSIVE chain AS (
    SELECT w.leg_id AS leg, w.peak, w.rides FROM trading_watermark w WHERE w.leg_id = ANY(%s)
    UNION ALL SELECT c.leg, w.peak, w.rides FROM chain c JOIN trading_watermark w ON w.leg_id = c.rides
)
SELECT leg, peak FROM chain WHERE rides IS NULL
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An open position as a row of the desk: at its last price, between its nearest stop and its target."""

    position: Position
    quote: Quote | None
    fresh: bool  # the feed spoke lately
    gain: Decimal | None  # what leaving now would bring, before fees, in quote currency
    gain_rate: Decimal | None  # of what is held at entry price
    stop: Decimal | None  # the nearest
    target: Decimal | None
    to_stop: Decimal | None  # of the price, as a rate; positive while there is room
    to_target: Decimal | None
    due_at: datetime | None
    leaving: bool  # an exit of all of it is on its way
    drags: Mapping[str, Decimal]  # levels that one field of the form stands for, by kind: those may be dragged

    @property
    def sign(self) -> int:
        """+1 for a long, -1 for a short."""
        return Side(self.position.side).sign

    @property
    def stop_shown(self) -> Decimal | None:
        """The stop on the instrument's grid: a trailing one rests between two prices."""
        return None if self.stop is None else self.stop.quantize(self.position.instrument.tick_size.normalize())

    @property
    def place(self) -> float | None:
        """How far the price is from the stop to the target, 0 to 100; None without both."""
        if self.stop is None or self.target is None or self.quote is None or self.stop == self.target:
            return None
        share = (self.quote.price - self.stop) / (self.target - self.stop) * 100
        return float(min(max(share, Decimal(0)), Decimal(100)))

    @property
    def start(self) -> float | None:
        """The entry on the same scale."""
        if self.stop is None or self.target is None or self.stop == self.target:
            return None
        share = (self.position.entry_price - self.stop) / (self.target - self.stop) * 100
        return float(min(max(share, Decimal(0)), Decimal(100)))


def open_ones(user: selectors.Caller) -> QuerySet[Position]:
    """Return the open positions a person may see, newest first."""
    return selectors.positions(user).exclude(status=PositionStatus.CLOSED)


def held(rows: QuerySet[Position], now: datetime) -> list[Held]:
    """Return positions with their levels at the last price: four queries, however many they are."""
    live = Prefetch("legs", ExitLeg.objects.filter(status=LegStatus.LIVE).order_by("id"))
    ways = Prefetch("exits", Exit.objects.filter(status__in=LIVE_EXITS, leg=None))
    found = list(rows.select_related("account", "instrument__quote").prefetch_related(live, ways)[:MOST])
    peaks = _peaks(leg for position in found for leg in position.legs.all())
    return [_held(position, peaks, now) for position in found]


def resting_at(leg: ExitLeg, side: Side, peak: Decimal | None) -> Decimal | None:
    """Return the price at which a leg triggers now; None while it sleeps, or waits for an instant."""
    if leg.kind not in (LegKind.TRAILING_STOP, LegKind.BREAK_EVEN):
        return _level(leg)
    if leg.activation is not None and (peak is None or not target_hit(side.sign, peak, leg.activation)):
        return None
    if leg.kind == LegKind.BREAK_EVEN:
        return _level(leg)
    if peak is None:
        return None
    rule = Leg(kind=LegKind.TRAILING_STOP, trail=leg.trail, trail_is_rate=leg.trail_is_rate)
    return trailing_stop(rule, side, peak)


def _level(leg: ExitLeg) -> Decimal | None:
    level: Decimal | None = leg.level
    return level


def _held(position: Position, peaks: dict[int, Decimal | None], now: datetime) -> Held:
    side, quote = Side(position.side), getattr(position.instrument, "quote", None)
    legs = list(position.legs.all())
    stop = _nearest([resting_at(leg, side, peaks.get(leg.pk)) for leg in legs if leg.kind in STOPS], side.sign)
    target = _nearest([leg.level for leg in legs if leg.kind == LegKind.TAKE_PROFIT], -side.sign)
    gain = story.unrealised(position, quote)
    return Held(
        position=position,
        quote=quote,
        fresh=quote is not None and market.is_fresh(quote, now),
        gain=gain,
        gain_rate=gain / position.cost if gain is not None and position.cost else None,
        stop=stop,
        target=target,
        to_stop=_room(quote, stop, -side.sign),
        to_target=_room(quote, target, side.sign),
        due_at=min((leg.due_at for leg in legs if leg.due_at), default=None),
        leaving=bool(position.exits.all()) or position.status == PositionStatus.CLOSING,
        drags=_drags(legs),
    )


def _drags(legs: Sequence[ExitLeg]) -> dict[str, Decimal]:
    """Return the levels that may be dragged; several of a kind, or one for a part, are amended in the admin."""
    found = {}
    for kind in (LegKind.STOP_LOSS, LegKind.TAKE_PROFIT):
        of_kind = [leg for leg in legs if leg.kind == kind]
        if len(of_kind) == 1 and of_kind[0].fraction == 1 and of_kind[0].level is not None:
            found[str(kind)] = of_kind[0].level
    return found


def _nearest(levels: Sequence[Decimal | None], sign: int) -> Decimal | None:
    """Return the highest level for +1, the lowest for -1."""
    known = [level for level in levels if level is not None]
    if not known:
        return None
    return max(known) if sign > 0 else min(known)


def _room(quote: Quote | None, level: Decimal | None, ahead: int) -> Decimal | None:
    return None if quote is None or level is None else (level - quote.price) * ahead / quote.price


def _peaks(legs: Iterable[ExitLeg]) -> dict[int, Decimal | None]:
    asked = [leg.pk for leg in legs if leg.kind in (LegKind.TRAILING_STOP, LegKind.BREAK_EVEN)]
    if not asked:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_PEAKS, [asked])
        return dict(cursor.fetchall())
