"""The site's own roll-up: every length up to the day, equal to what the ticks say."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from apps.market import selectors
from apps.market.models import Instrument
from apps.market.services import candles
from apps.market.store import Store, Timeframe, partitions, ticks
from apps.market.store import candles as store_candles

pytestmark = pytest.mark.django_db(transaction=True)
NOON = datetime(2026, 3, 2, 12, 3, tzinfo=UTC)
LENGTHS = (Timeframe.MINUTE, Timeframe.FIVE_MINUTES, Timeframe.QUARTER, Timeframe.HOUR, Timeframe.DAY)


@pytest.fixture
def prices(tick_store: Store, instrument: Instrument) -> list[Decimal]:
    """Three minutes of trades, one every ten seconds, with the high in the middle."""
    partitions.ensure(tick_store, partitions.TICKS, NOON - timedelta(days=1), NOON + timedelta(days=1))
    found = [Decimal(100 + n if n < 9 else 118 - n) for n in range(18)]
    rows = [
        ticks.TickRow(
            instrument.pk, at := NOON - timedelta(minutes=3) + timedelta(seconds=10 * n), n + 1, at, price, "1", "buy",
            None, None, False,
        )
        for n, price in enumerate(found)
    ]  # fmt: skip
    assert ticks.write(tick_store, rows) == len(rows)
    return found


def test_every_length_has_the_open_high_low_and_close_of_its_ticks(
    prices: list[Decimal], instrument: Instrument, tick_store: Store
) -> None:
    selectors.market_store.cache_clear()
    candles.roll_up(NOON)
    for timeframe in LENGTHS:
        rows = store_candles.rows(tick_store, instrument.pk, timeframe, limit=10, until=NOON)
        assert rows[0].open == prices[0]
        assert max(Decimal(row.high) for row in rows) == max(prices)
        assert min(Decimal(row.low) for row in rows) == min(prices)
        assert rows[-1].close == prices[-1]
        assert sum(Decimal(row.volume) for row in rows) == len(prices)
        assert len(rows) == (3 if timeframe is Timeframe.MINUTE else 1)


def test_a_repeat_changes_nothing(prices: list[Decimal]) -> None:
    selectors.market_store.cache_clear()
    assert candles.roll_up(NOON) == 3 + 4
    assert candles.roll_up(NOON) == 0
