"""The rules on a real account: facts from the tables, in the scope of the limit, and what they lead to."""

import contextlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from apps.domain.errors import Refused
from apps.domain.restrictions import Scope
from apps.domain.risk.facts import Facts, Need
from apps.market import store
from apps.market.models import Instrument, TradingSession
from apps.market.store import Timeframe
from apps.market.store import candles as stored
from apps.market.store.candles import CandleRow
from apps.market.store.timeframes import floor
from apps.trading.models import Account, Decision, Order, RiskMetric
from apps.trading.services import accounts, gathering, likeness, positions
from tests import factories
from tests.factories import now, set_quote, stop, target, wish
from tests.trading.risk.world import decisions, limit, signal, strategy

pytestmark = pytest.mark.django_db
EVERYTHING = frozenset(Need)


def seen(account: Account, at: datetime | None = None) -> Facts:
    return gathering.of_account(account, EVERYTHING, at or now())


def verdict(account: Account, instrument: Instrument, **more: Any) -> dict[str, Any]:
    """Wish for one more and return what the one limit said of it."""
    with contextlib.suppress(Refused):
        positions.open_position(wish(account, instrument, **more), now=now())
    (said,) = decisions(account)[-1].verdicts
    return said


def metric(account: Account, at: datetime, **values: str) -> RiskMetric:
    given = {"equity": "1000000", "peak": "1000000", "day_start": "1000000", "capital": "1000000", **values}
    amounts = {name: Decimal(text) for name, text in given.items()}
    return RiskMetric.objects.create(account=account, at=at, cash=0, gross=0, net=0, **amounts)


def working(account: Account, instrument: Instrument, **more: Any) -> Order:
    values = {"purpose": "entry", "buy": True, "kind": "limit", "quantity": 3, "limit_price": 90, **more}
    return Order.objects.create(account=account, instrument=instrument, client_id=f"t{Order.objects.count()}", **values)


# --- what is held ---------------------------------------------------------------------------------------------------
def test_holdings_are_grouped_and_worth_the_last_price(account: Account, instrument: Instrument) -> None:
    mine = signal(strategy(), instrument)
    factories.opened(account, instrument, quantity="2")
    factories.opened(account, instrument, quantity="3")
    factories.opened(account, instrument, side="short", quantity="1")
    factories.opened(account, instrument, quantity="4", signal_id=mine.pk)
    set_quote(instrument, "110")
    found = seen(account)
    rows = {(each.sign, each.strategy_id): (each.lots, each.quantity, each.value, each.asset) for each in found.held}
    assert rows == {
        (1, None): (2, 5, 550, "BTC"),
        (-1, None): (1, 1, 110, "BTC"),
        (1, mine.strategy_id): (1, 4, 440, "BTC"),
    }
    assert (found.gross, found.net) == (1100, 880)
    assert found.cash == 1_000_000 - 800
    assert found.equity == 1_000_000 + 80, "nine long less one short gained ten each"


def test_what_is_left_no_longer_counts(account: Account, instrument: Instrument) -> None:
    position = factories.opened(account, instrument, stop("95"), target("150", "0.5"), quantity="2")
    factories.cross(position.legs.filter(kind="take_profit"), "150")
    assert [each.quantity for each in seen(account).held] == [1]
    factories.cross(position.legs.filter(kind="stop_loss"), "94")
    assert seen(account).held == []


def test_an_entry_order_that_works_is_held_back_with_what_is_open_of_it(
    account: Account, instrument: Instrument
) -> None:
    working(account, instrument)
    working(account, instrument, buy=False, filled=1, claimed=1, limit_price=None, stop_price=120, kind="stop")
    working(account, instrument, status="cancelled", ended_at=now())
    working(account, instrument, purpose="protect")
    rows = {each.sign: (each.lots, each.quantity, each.value, each.working) for each in seen(account).held}
    assert rows == {1: (1, 3, 270, True), -1: (0, 2, 240, True)}
    assert seen(account).equity == 1_000_000, "an order is worth nothing before it is filled"


def test_a_working_order_counts_for_the_strategy_that_decided_it(account: Account, instrument: Instrument) -> None:
    mine = strategy()
    values = {"account": account, "instrument": instrument, "side": "long", "quantity": 2, "price": Decimal(99)}
    decision = Decision.objects.create(strategy=mine, approved=True, **values)
    working(account, instrument, decision=decision, kind="market", limit_price=None, quantity=2)
    found = seen(account)
    assert (found.within(Scope.STRATEGY, mine.pk).gross, found.within(Scope.STRATEGY, mine.pk + 1).gross) == (198, 0)


def test_working_orders_use_up_the_limit(account: Account, instrument: Instrument) -> None:
    limit("max_gross_exposure", rate=0, amount=300)
    working(account, instrument)
    assert verdict(account, instrument)["sentence"].startswith("gross exposure would be 370 USD, beyond")


# --- what it was worth ----------------------------------------------------------------------------------------------
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


def test_before_anything_was_measured_what_was_paid_in_counts(account: Account) -> None:
    history = seen(account).history
    assert history is not None
    assert (history.day_start, history.worst_today, history.peak) == (1_000_000, 0, 1_000_000)


@pytest.mark.parametrize(
    ("ago", "day_start"), [(timedelta(hours=1), 900_000), (timedelta(hours=13), 950_000)], ids=["today", "yesterday"]
)
def test_the_day_starts_with_its_first_measure_or_the_last_of_yesterday(
    account: Account, ago: timedelta, day_start: int
) -> None:
    metric(account, NOON - ago, equity="950000", day_start="900000", peak="1100000")
    history = seen(account, NOON).history
    assert history is not None
    assert (history.day_start, history.peak) == (day_start, 1_100_000)


def test_the_worst_of_the_day_is_remembered_and_that_of_yesterday_forgotten(account: Account) -> None:
    metric(account, NOON - timedelta(hours=13), equity="1", day_start="1000000")
    metric(account, NOON - timedelta(hours=2), equity="940000")
    metric(account, NOON - timedelta(hours=1), equity="990000")
    history = seen(account, NOON).history
    assert history is not None
    assert history.worst_today == -60_000


def test_a_measure_that_is_stored_says_the_same_when_it_is_read(account: Account, instrument: Instrument) -> None:
    at = now()
    factories.opened(account, instrument, quantity="10")
    working(account, instrument)
    set_quote(instrument, "120")
    gathering.metric_of(seen(account, at)).save()
    set_quote(instrument, "90")
    gathering.metric_of(seen(account, at + timedelta(microseconds=1))).save()
    accounts.pay_in(account_id=account.pk, amount=Decimal(7), now=at)
    first, second = RiskMetric.objects.order_by("at")
    assert (first.equity, first.peak, first.day_start, first.capital) == (1_000_200, 1_000_200, 1_000_000, 1_000_000)
    assert (second.gross, second.net, second.open_positions, second.peak) == (900, 900, 1, 1_000_200)
    history = seen(account, at + timedelta(microseconds=2)).history
    assert history is not None
    assert (history.day_start, history.worst_today, history.peak) == (1_000_007, -100, 1_000_207)


def test_paying_in_or_out_is_neither_gain_nor_loss(account: Account, instrument: Instrument) -> None:
    limit("max_drawdown", rate=0.1)
    metric(account, now(), peak="1200000")
    accounts.pay_in(account_id=account.pk, amount=Decimal(-500_000), now=now())
    found = seen(account)
    assert (found.equity, found.history and found.history.peak) == (500_000, 700_000)
    assert verdict(account, instrument)["number"] == "0.285714285714"


def test_a_loss_of_open_positions_counts_for_the_day(account: Account, instrument: Instrument) -> None:
    limit("max_daily_loss", rate=0, amount=50)
    factories.opened(account, instrument, quantity="10")
    set_quote(instrument, "94")
    said = verdict(account, instrument)
    assert (said["allowed"], said["number"], said["limit"]) == (False, "60", "50")
    assert said["sentence"].endswith("wait for the next UTC day")


# --- what went before -----------------------------------------------------------------------------------------------
def lose(account: Account, instrument: Instrument) -> None:
    position = factories.opened(account, instrument, stop("95"))
    factories.cross(position.legs.all(), "94")


def test_losses_in_a_row_and_the_pause_after_a_stop(account: Account, instrument: Instrument) -> None:
    limit("max_loss_streak", losses=2)
    lose(account, instrument)
    assert verdict(account, instrument)["allowed"]
    lose(account, instrument)
    said = verdict(account, instrument)
    assert (said["allowed"], said["number"]) == (False, "2")
    found = [(each.net, each.stopped) for each in seen(account).closed]
    assert found == [(-6, True), (-6, True)]


def test_a_pause_follows_a_loss(account: Account, instrument: Instrument) -> None:
    limit("cooldown", seconds=600, after="stop")
    lose(account, instrument)
    said = verdict(account, instrument)
    assert not said["allowed"]
    assert "the last stop was" in said["sentence"]
    assert "wait until" in said["sentence"]


def test_only_entries_of_the_last_minute_count(account: Account, instrument: Instrument) -> None:
    limit("max_order_rate", orders=3)
    factories.opened(account, instrument, at=now() - timedelta(seconds=61))
    for _ in range(2):
        factories.opened(account, instrument)
    assert verdict(account, instrument)["number"] == "3"
    said = verdict(account, instrument)
    assert (said["allowed"], said["number"]) == (False, "4")


# --- the market -----------------------------------------------------------------------------------------------------
def test_a_wide_spread_and_an_old_price_keep_out(account: Account, instrument: Instrument) -> None:
    row = limit("max_spread", rate=0.01)
    set_quote(instrument, "100", bid="99", ask="101")
    assert verdict(account, instrument)["sentence"].startswith("the spread is 2%, beyond the limit of 1%")
    row.delete()
    limit("stale_data", seconds=0.5)
    set_quote(instrument, "100", at=now() - timedelta(seconds=2))
    assert verdict(account, instrument)["sentence"].startswith("the age of the last price is 2.")


def test_near_the_close_nothing_is_opened(account: Account) -> None:
    at = now()
    shares = factories.make_instrument("ACME-USD", calendar="XNYS")
    for days in (-400, 0, 400):
        opens = at + timedelta(days=days, hours=-3)
        closes = at + timedelta(days=days, minutes=5)
        TradingSession.objects.create(calendar="XNYS", day=opens.date(), opens_at=opens, closes_at=closes)
    limit("market_closed", before_close=10)
    said = verdict(account, shares)
    assert "before the close, nothing is opened within 10" in said["sentence"]
    assert gathering.session_of(shares, at).until_close == timedelta(minutes=5)


def test_hours_that_nobody_knows_are_said_to_be_so() -> None:
    shares = factories.make_instrument("ACME-USD", calendar="XNYS")
    found = gathering.session_of(shares, now())
    assert (found.phase, "refresh" in found.detail) == ("unknown", True)


# --- likeness -------------------------------------------------------------------------------------------------------
def hourly(instrument: Instrument, closes: np.ndarray[Any, Any], until: datetime) -> list[CandleRow]:
    rows = []
    for number, value in enumerate(reversed(closes.tolist()), 1):
        price = Decimal(str(round(value, 4)))
        rows.append(CandleRow(instrument.pk, until - number * timedelta(hours=1), *[price] * 4, Decimal(1)))
    return rows


@pytest.mark.django_db(transaction=True)
def test_what_moves_alike_is_not_held_twice(account: Account, instrument: Instrument, tick_store: store.Store) -> None:
    likeness.forget()
    ether = factories.make_instrument("ETH-USD")
    other = factories.make_instrument("XRP-USD")
    noise = np.random.default_rng(5).normal(0, 0.01, (2, 100))
    until = floor(now(), timedelta(hours=1))
    paths = {
        instrument: 100 * np.cumprod(1 + noise[0]),
        ether: 50 * np.cumprod(1 + 2 * noise[0]),
        other: 50 * np.cumprod(1 + noise[1]),
    }
    rows = [row for each, closes in paths.items() for row in hourly(each, closes, until)]
    stored.write(tick_store, Timeframe.HOUR, rows)
    limit("max_correlation", most=0.8)
    factories.opened(account, instrument)
    said = verdict(account, ether)
    assert (said["allowed"], Decimal(said["number"]) > Decimal("0.99")) == (False, True)
    assert said["sentence"].endswith("leave BTC-USD first or choose something less alike")
    assert verdict(account, ether, side="short")["allowed"]
    assert verdict(account, other)["sentence"].startswith("the correlation with")
    assert likeness.correlation(instrument.pk, other.pk, now()) == pytest.approx(
        np.corrcoef(noise[0][1:], noise[1][1:])[0, 1], abs=1e-3
    )


def test_too_few_candles_refuse(account: Account, instrument: Instrument, tick_store: store.Store) -> None:
    del tick_store
    likeness.forget()
    limit("max_correlation")
    factories.opened(account, instrument)
    said = verdict(account, factories.make_instrument("ETH-USD"))
    assert (said["allowed"], "BTC-USD is not known" in said["sentence"]) == (False, True)
