"""Best prices on disk: batched, shared, and after a restart or a takeover exactly what they were."""

import random
from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from apps.domain.legs import Leg, LegKind
from apps.market.models import Instrument
from apps.trading import sweeping, watches
from apps.trading.models import Account, ExitLeg, Watermark
from tests import factories
from tests.factories import break_even, now, trailing
from tests.listener.feeding import tick
from tests.listener.parts import Parts

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Market:
    """A market that two listeners hear, and what the best prices are by looking at every price."""

    account: Account
    instrument: Instrument
    chance: random.Random
    cents: int = 10_000
    number: int = 0
    best: dict[int, int | None] = field(default_factory=dict)  # leg -> cents, None while it sleeps
    rules: dict[int, ExitLeg] = field(default_factory=dict)

    def open(self, count: int) -> None:
        """Open positions whose stops are far away: here only their best prices count."""
        factories.set_quote(self.instrument, self.price, trade_id=self.number)
        for _ in range(count):
            side, sign = self.chance.choice((("long", 1), ("short", -1)))
            position = factories.opened(self.account, self.instrument, self._leg(sign), side=side, at=now())
            leg = position.legs.get()
            self.rules[leg.pk] = leg
            self.best[leg.pk] = self.cents if leg.activation is None else None

    def _leg(self, sign: int) -> Leg:
        away = Decimal(self.cents + sign * self.chance.randint(5, 60)) / 100
        match self.chance.randrange(4):
            case 0:
                return trailing("60")
            case 1:
                return trailing("0.6", rate=True)
            case 2:
                return trailing("70", activation=str(away))
            case _:
                return break_even(str(away - 50 * sign), str(away))

    @property
    def price(self) -> str:
        return str(Decimal(self.cents) / 100)

    def move(self, *listeners: Parts) -> None:
        self.number += 1
        self.cents = max(self.cents + round(self.chance.gauss(0, 15)), 6_000)
        one = tick(self.price, self.number, received_ns=int(now().timestamp() * 1e6) * 1000)
        for listener in listeners:
            listener.tick(one)
        for key, leg in self.rules.items():
            self.best[key] = self._after(leg, self.best[key])

    def _after(self, leg: ExitLeg, best: int | None) -> int | None:
        sign = -1 if leg.rises else 1
        if best is None:
            woken = leg.activation is not None and (self.cents - leg.activation * 100) * sign >= 0
            return self.cents if woken else None
        if leg.kind == LegKind.BREAK_EVEN:
            return best  # the price that woke it
        return max(best * sign, self.cents * sign) * sign

    def stored(self) -> dict[int, int | None]:
        """Return the best prices as a restarted listener would read them."""
        found = {watch.leg_id: watch.peak for _, watch in watches.live(0)}
        return {key: None if found[key] is None else int(Decimal(repr(found[key])) * 100) for key in self.rules}


@pytest.fixture
def market(account: Account, instrument: Instrument) -> Market:
    return Market(account, instrument, random.Random(5))


def listener(instrument: Instrument, epoch: int | None = None) -> Parts:
    parts = Parts(instrument, epoch=epoch)
    parts.levels.start()
    return parts


def test_what_is_stored_is_exactly_what_the_prices_were(market: Market) -> None:
    leader = listener(market.instrument, epoch=1)
    for _ in range(12):
        market.open(3)
        for _ in range(market.chance.choice((0, 1, 5))):
            market.move(leader)  # ticks that come before the levels do
        leader.levels.poll()
        for _ in range(20):
            market.move(leader)
        leader.flusher.step()
        assert market.stored() == market.best
    assert len(market.rules) == 36
    assert Watermark.objects.exclude(rides=None).count() > 5  # they do share


def test_a_restarted_listener_goes_on_where_the_last_one_was(market: Market) -> None:
    for epoch in range(1, 5):
        leader = listener(market.instrument, epoch)  # nothing in memory but what is stored
        for _ in range(3):
            market.open(4)
            leader.levels.poll()
            for _ in range(15):
                market.move(leader)
        leader.flusher.step()
        assert market.stored() == market.best


def test_a_standby_with_its_own_grouping_takes_over_exactly(market: Market) -> None:
    first, second = listener(market.instrument, epoch=1), listener(market.instrument)
    for round_ in range(8):
        market.open(4)
        for _ in range(3):
            market.move(first, second)
        first.levels.poll()
        for _ in range(market.chance.choice((0, 3, 30))):
            market.move(first, second)
        if round_ % 2:
            second.levels.poll()  # it learns of levels at times of its own
        first.flusher.step()
        second.flusher.step()
        assert market.stored() == market.best
    second.levels.poll()
    factories.lead(2)
    second.leadership.epoch = 2
    second.leadership.leads.set()
    for _ in range(30):
        market.move(first, second)
    second.flusher.step()
    assert market.stored() == market.best
    first.flusher.step()  # the former leader is refused and stores nothing
    assert first.leadership.usurped.is_set()
    for _ in range(5):
        market.open(2)
        second.levels.poll()
        for _ in range(10):
            market.move(second)
        second.flusher.step()
        assert market.stored() == market.best


def test_no_tick_writes_by_itself(market: Market, django_assert_num_queries) -> None:
    leader = listener(market.instrument, epoch=1)
    market.open(5)
    leader.levels.poll()
    with django_assert_num_queries(0):
        for _ in range(50):
            market.move(leader)


def test_the_sweeper_reads_the_same_best_prices(account: Account, instrument: Instrument) -> None:
    """Whatever rides with whatever: the second look finds the trailing stops that the quote has passed."""
    leader = listener(instrument, epoch=1)
    legs = [factories.opened(account, instrument, trailing(trail)).legs.get() for trail in ("1", "2", "3", "5")]
    leader.levels.poll()
    for number, price in enumerate(("101", "104", "106", "105.5"), 1):
        leader.tick(tick(price, number, received_ns=int(now().timestamp() * 1e6) * 1000))
    leader.flusher.step()
    factories.set_quote(instrument, "103")  # no listener saw this one
    found = sweeping.trailed()
    assert sorted(found) == [legs[0].pk, legs[1].pk, legs[2].pk]
    assert {Decimal(crossing.peak) for crossing in found.values() if crossing.peak} == {Decimal(106)}
    assert sweeping.record(found.values(), fence=factories.lead(1, "sweeper")) == 3
    assert factories.drain().done == 3
