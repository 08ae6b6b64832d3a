"""What did the market do while orders waited? The stored prints of that time, and the quote in force.

Between two looks no print is missed: orders are compared with the prints in the market store, not with the quote of
the moment, which says nothing of what was traded since the look before. Prints reach the store a quarter of a second
after they were received, and much later where a gap was refilled, so a look reaches back (`OVERLAP`), and as far as
the oldest open gap. The quote is a mark as well: it is there before its print is stored.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db.models import Min

from apps.domain.matching import Mark
from apps.market import selectors
from apps.market.models import Gap, Quote
from apps.market.store import StoreUnavailable, ticks
from apps.market.store.tick_rows import TickRow

log = logging.getLogger(__name__)

GRACE = timedelta(seconds=2)  # after which every print that was not lost is stored
OVERLAP = timedelta(seconds=150)  # after which every lost print is known to be missing: a gap says so
HELD = timedelta(hours=1)  # a gap that stays open longer is not waited for
_AHEAD = timedelta(minutes=5)  # a venue's clock may be ahead of ours
_PAGE = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What is known of one instrument at one look."""

    instrument_id: int
    quote: Quote | None
    has_prints: bool  # the store answered
    known: datetime | None  # up to here every print has arrived; None when nobody knows
    looked: datetime | None  # up to here no print will be found any more; None when nobody knows
    now: datetime

    def extremes(self, since: datetime) -> tuple[Decimal, Decimal] | None:
        """Return the lowest and highest price since an instant; None when there is none. Raises StoreUnavailable."""
        found: list[Decimal] = []
        if self.has_prints:
            low, high, _ = ticks.extremes(selectors.market_store(), self.instrument_id, since, self.now + _AHEAD)
            found = [price for price in (low, high) if price is not None]
        if self.quote is not None:
            sides = (self.quote.price, self.quote.bid, self.quote.ask)
            found += [price for price in sides if price is not None]
        return (min(found), max(found)) if found else None

    def marks(self, since: datetime) -> list[Mark]:
        """Return the prints since an instant and the quote, in order of time. Raises StoreUnavailable."""
        found = [_mark(row) for row in self._rows(since)] if self.has_prints else []
        # A print that is both the quote's and stored counts once; the stored one says its size.
        if self.quote is not None and self._counts(self.quote, since) and not _is_stored(self.quote, found):
            found.append(_quoted(self.quote))
        return sorted(found, key=lambda mark: (mark.at, mark.id))

    def _counts(self, quote: Quote, since: datetime) -> bool:
        """Say whether the quote was in force since an instant: of then, or older and confirmed by a sign of life."""
        return max(quote.heard_at, quote.received_at) >= since

    def _rows(self, since: datetime) -> Iterable[TickRow]:
        at, trade_id = since, -(2**63)
        while True:
            page = ticks.after(
                selectors.market_store(), self.instrument_id, at, trade_id, until=self.now + _AHEAD, limit=_PAGE
            )
            yield from page
            if len(page) < _PAGE:
                return
            at, trade_id = page[-1].at, page[-1].trade_id


def prices(instrument_id: int, now: datetime) -> Prices:
    """Return what is known of an instrument's prices; without the store only its quote."""
    quote = selectors.quote_of(instrument_id)
    if not settings.RECORD_TICKS:
        return Prices(
            instrument_id=instrument_id, quote=quote, has_prints=False, known=now - GRACE, looked=now, now=now
        )
    if not _answers(instrument_id, now):
        return Prices(instrument_id=instrument_id, quote=quote, has_prints=False, known=None, looked=None, now=now)
    gaps = Gap.objects.filter(
        instrument_id=instrument_id, kind=Gap.Kind.TRADES, state=Gap.State.OPEN, until__gte=now - HELD
    )
    hole = max(gaps.aggregate(since=Min("since"))["since"] or now, now - HELD)
    return Prices(
        instrument_id=instrument_id,
        quote=quote,
        has_prints=True,
        known=min(now - GRACE, hole),
        looked=min(now - OVERLAP, hole),
        now=now,
    )


def in_force_since(at: datetime) -> datetime:
    """Return from when on a price may be the one in force at an instant: older ones are stale."""
    return at - settings.QUOTE_STALE_AFTER


def _answers(instrument_id: int, now: datetime) -> bool:
    try:
        ticks.between(selectors.market_store(), instrument_id, now, now + _AHEAD, limit=1)
    except StoreUnavailable as error:
        log.warning("paper orders wait for the stored prints: %s", error)
        return False
    return True


def _is_stored(quote: Quote, marks: Iterable[Mark]) -> bool:
    return quote.trade_id > 0 and any(mark.id == quote.trade_id for mark in marks)


def _mark(row: TickRow) -> Mark:
    # A print of a venue whose clock is ahead counts from when it was here; a refilled one from when it was traded.
    at = row.at if row.refilled else min(row.at, row.received_at)
    return Mark(
        at=at,
        id=row.trade_id,
        price=Decimal(row.price),
        size=Decimal(row.size),
        bid=_believed(row.bid),
        ask=_believed(row.ask),
    )


def _quoted(quote: Quote) -> Mark:
    at = min(quote.at, quote.received_at)
    return Mark(at=at, id=quote.trade_id, price=quote.price, bid=_believed(quote.bid), ask=_believed(quote.ask))


def _believed(price: Decimal | str | None) -> Decimal | None:
    value = None if price is None or price == "" else Decimal(price)
    return value if value is not None and value > 0 else None
