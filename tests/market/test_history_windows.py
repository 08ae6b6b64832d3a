"""A window of candles is found wherever it lies: the guess where to look first only saves time."""

from datetime import UTC, datetime, timedelta

import pytest

from apps.market import store
from apps.market.models import Instrument
from apps.market.store import Timeframe
from apps.market.store import candles as store_candles
from tests import factories
from tests.market.history import at, put_candles

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def coin(market: store.Store) -> Instrument:
    made = factories.make_instrument(price=None)
    put_candles(market, made, [-5000, -4000, 0, 1, 2, 3, 10])
    return made


def window(market: store.Store, coin: Instrument, **more: object) -> list[float]:
    found = store_candles.window(market, coin.pk, Timeframe.MINUTE, **more)
    return [(datetime.fromtimestamp(int(second), UTC) - at(0)) / timedelta(minutes=1) for second in found.at]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"limit": 2, "until": at(4)}, [2, 3]),
        ({"limit": 3, "until": at(11)}, [2, 3, 10]),
        ({"limit": 6, "until": at(11)}, [-4000, 0, 1, 2, 3, 10]),
        ({"limit": 50, "until": at(11)}, [-5000, -4000, 0, 1, 2, 3, 10]),
        ({"limit": 2, "until": at(-4500)}, [-5000]),
        ({"limit": 4, "until": at(11), "since": at(-4500)}, [1, 2, 3, 10]),
        ({"limit": 4, "until": at(11), "since": at(3)}, [3, 10]),
        ({"limit": 10**15, "until": at(11)}, [-5000, -4000, 0, 1, 2, 3, 10]),
        ({"limit": 2}, [3, 10]),
        ({"since": at(2)}, [2, 3, 10]),
    ],
)
def test_the_newest_candles_before_an_instant(
    market: store.Store, coin: Instrument, more: dict[str, object], expected: list[float]
) -> None:
    assert window(market, coin, **more) == expected
    exact = store_candles.rows(market, coin.pk, Timeframe.MINUTE, **more)
    assert [(row.at - at(0)) / timedelta(minutes=1) for row in exact] == expected
