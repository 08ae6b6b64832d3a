"""Live and backtest parity: a day traded on paper, then backtested on the stored candles."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.backtests.models import Evidence
from apps.domain import numbers
from apps.market import selectors as market
from apps.market import store
from apps.market.models import Instrument
from apps.ops import invariants
from apps.strategies import services as strategies
from apps.strategies.host.pool import POOL
from apps.strategies.models import Signal, Strategy
from apps.trading.models import Account, Allocation, Position
from tests import factories
from tests.flow.tradingday import LOOK, START, TradingDay, make_instrument

SYMBOL = "ETH-USD"
BAR = timedelta(minutes=10)
BARS = 144
SLIPPAGE, TICK = Decimal("0.0005"), Decimal("0.01")
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _one_database(tick_store: store.Store) -> Iterator[None]:
    """Keep ticks and candles beside the positions, where the invariants look; leave no process of a plug-in behind."""
    market.market_store.cache_clear()
    yield
    assert strategies.settle(30)
    POOL.close()
    with tick_store.engine.begin() as link:
        link.exec_driver_sql("TRUNCATE market.candles")
    market.market_store().close()
    market.market_store.cache_clear()


@pytest.fixture
def instrument() -> Instrument:
    return make_instrument(SYMBOL)


@pytest.fixture
def strategy(instrument: Instrument) -> Strategy:
    made = Strategy.objects.create(
        name="Cross",
        plugin="sma_cross",
        parameters={"fast": 3, "slow": 8},
        bar_seconds=int(BAR.total_seconds()),
        enabled=True,
        stage="paper",
    )
    made.instruments.set([instrument])
    return made


@pytest.fixture
def account() -> Account:
    return factories.make_account(deposit="100000", fee_rate="0.001", slippage_rate=str(SLIPPAGE))


@pytest.fixture
def allocation(strategy: Strategy, account: Account) -> Allocation:
    return Allocation.objects.create(
        strategy=strategy,
        account=account,
        notional=Decimal(5000),
        stop_loss=Decimal("0.02"),
        take_profit=Decimal("0.03"),
    )


def compare(*words: str) -> dict[str, Any]:
    out = StringIO()
    call_command("compare", "Cross", "--json", *words, stdout=out)
    return dict(json.loads(out.getvalue()))


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_day_on_paper_and_its_backtest_differ_by_what_they_say(
    instrument: Instrument, strategy: Strategy, allocation: Allocation
) -> None:
    day = TradingDay(instrument, BAR, bars=BARS, seed=4)
    day.trade()
    assert len(day.prints) > 8000
    told = compare()
    same_signals(told)
    assert (told["totals"]["missed"], told["totals"]["extra"]) == (0, 0)
    assert told["totals"]["matched"] == Position.objects.count() >= 20
    for pair in told["pairs"]:
        fill_of_a_decision(day, pair, "entry")
        if pair["exit"] and pair["live"]["reason"] == "signal":
            fill_of_a_decision(day, pair, "exit")
        for world in ("live", "backtest"):
            if pair[world]["reason"] in RATES:
                fill_of_a_level(day, pair[world], world)
    reasons = [pair["live"]["reason"] for pair in told["pairs"]]
    assert {"signal", "stop_loss", "take_profit"} <= set(reasons)
    # Entries a little apart have levels a little apart: the price may turn between the two.
    assert told["totals"]["other_exits"] <= told["totals"]["matched"] / 10
    the_parts_add_up(told)
    the_backtest_alone_says_the_same(told)
    # That exits came within seconds of their ticks cannot hold: the clock of the day is not that of the database.
    assert {finding.id for finding in invariants.check() if finding.violations} <= {"I2t"}
    row = Evidence.objects.get(pk=told["evidence"])
    assert (row.strategy, row.need, row.facts["fills"]) == (strategy, "paper", told["totals"]["fills"])
    assert any("days" in why for why in told["beyond"])


def same_signals(told: dict[str, Any]) -> None:
    stances = told["stances"]
    assert (stances["different"], stances["missed"], stances["extra"]) == ([], [], [])
    assert stances["same"] == Signal.objects.count() == BARS - 7  # the first stance needs eight bars
    assert stances["agreement"] == 1


def fill_of_a_decision(day: TradingDay, pair: dict[str, Any], which: str) -> None:
    """Between the quote at which paper trading acted and the open at which the backtest did lies what is stated."""
    bought = (pair["live"]["side"] == "long") == (which == "entry")
    live, model, slip = pair["live"][which], pair["backtest"][which], pair[which]
    opened = instant(model["at"])
    met = day.quote(opened + LOOK)
    assert Decimal(live["reference"]) == Decimal(met.ask if bought else met.bid)
    assert Decimal(model["reference"]) == pytest.approx(Decimal(day.first(opened).price))
    sign = 1 if bought else -1
    assert sign * (Decimal(live["reference"]) - Decimal(model["reference"])) == Decimal(slip["market"])
    stated = Decimal(live["reference"]) * SLIPPAGE
    assert stated <= Decimal(slip["paid"]) < stated + TICK
    assert Decimal(slip["assumed"]) == pytest.approx(Decimal(model["reference"]) * SLIPPAGE)
    assert slip["seconds"] in (1, 2)


RATES = {"stop_loss": Decimal("-0.02"), "take_profit": Decimal("0.03")}


def fill_of_a_level(day: TradingDay, side: dict[str, Any], world: str) -> None:
    """Each world leaves at the first price that crosses its own level; the levels are as far apart as the entries."""
    sign = 1 if side["side"] == "long" else -1
    rises = (sign > 0) == (side["reason"] == "take_profit")
    level = Decimal(side["entry"]["price"]) * (1 + sign * RATES[side["reason"]])
    since, left = instant(side["entry"]["at"]), instant(side["exit"]["at"])
    if world == "live":  # on the grid, rounded away from the price, and watched from the fill within that second on
        level = (numbers.ceil_to if rises else numbers.floor_to)(level, TICK)
        since += timedelta(seconds=0.5)
    crossing = next(one for one in day.prints if one.at >= since and beyond(one.price, level, rises))
    if world == "live":
        assert left == crossing.at.replace(microsecond=0)
        assert Decimal(side["exit"]["reference"]) == Decimal(crossing.price)
    else:
        assert left <= crossing.at < left + BAR
        opened = day.first(left).price
        reference = Decimal(opened) if beyond(opened, level, rises) else level
        assert Decimal(side["exit"]["reference"]) == pytest.approx(reference)


def beyond(price: str, level: Decimal, rises: bool) -> bool:
    return Decimal(price) >= level if rises else Decimal(price) <= level


def the_parts_add_up(told: dict[str, Any]) -> None:
    totals = told["totals"]
    assert sum(map(Decimal, totals["explained"].values())) == Decimal(totals["difference"])
    assert Decimal(totals["live_pnl"]) - Decimal(totals["model_pnl"]) == Decimal(totals["difference"])
    # Of an open lot the fee of its entry has been paid and nothing gained, as in the rounds.
    booked = sum(row.realised_pnl - row.fees for row in Position.objects.all())
    assert booked == pytest.approx(Decimal(totals["live_pnl"]), abs=Decimal("0.000001"))
    for pair in told["pairs"]:
        for which in ("entry", "exit"):
            slip = pair[which]
            if slip:
                parts = Decimal(slip["market"]) + Decimal(slip["paid"]) - Decimal(slip["assumed"])
                assert parts == Decimal(slip["total"])


def the_backtest_alone_says_the_same(told: dict[str, Any]) -> None:
    """The command, told the conventions of the account, makes the trades that the comparison was made with."""
    chosen = told["conventions"][SYMBOL]
    out = StringIO()
    words = ["--instrument", SYMBOL, "--timeframe", "10m", "--param", "fast=3", "--param", "slow=8", "--json"]
    for name in ("sides", "units", "lot_size", "sizing", "size", "fee_rate", "slippage_value", "stop_loss"):
        words += [f"--{name.replace('_', '-')}", str(chosen[name])]
    call_command("backtest", "sma_cross", *words, "--take-profit", str(chosen["take_profit"]), stdout=out)
    alone = [(trade["entry_time"], trade["exit_time"], trade["side"]) for trade in json.loads(out.getvalue())["trades"]]
    beside = [
        (pair["backtest"]["entry"]["at"], pair["backtest"]["exit"]["at"], pair["backtest"]["side"])
        for pair in told["pairs"]
        if pair["backtest"]["exit"]
    ]
    assert alone == beside


def test_what_went_wrong_is_told(instrument: Instrument, strategy: Strategy, allocation: Allocation) -> None:
    """Nobody is asked after four bars, and a lot was opened by nobody: both are seen for what they are."""
    asleep = (30, 31, 32, 33)
    TradingDay(instrument, BAR, bars=60, seed=4, asleep=asleep).trade()
    told = compare("--dry-run")
    assert [instant(bar["at"]) for bar in told["stances"]["missed"]] == [START + n * BAR for n in asleep]
    assert told["evidence"] is None
    assert not Evidence.objects.exists()
    gone = Position.objects.order_by("pk").first()
    assert gone is not None
    gone.signal.delete()  # as if paper trading had not seen it
    less = compare("--dry-run")
    assert less["totals"]["matched"] == told["totals"]["matched"] - 1
    assert less["totals"]["missed"] == told["totals"]["missed"] + 1
    assert less["missed"][0]["why"] == "nobody was asked after that bar"
    the_sum_is_right(less)
    text = StringIO()
    call_command("compare", "Cross", "--dry-run", stdout=text)
    assert "5 not asked" in text.getvalue()


def the_sum_is_right(told: dict[str, Any]) -> None:
    totals = told["totals"]
    assert sum(map(Decimal, totals["explained"].values())) == Decimal(totals["difference"])


def test_without_signals_there_is_nothing_to_compare(allocation: Allocation, account: Account) -> None:
    with pytest.raises(CommandError, match="no signal of its present code") as refused:
        compare()
    assert refused.value.returncode == 2
    with pytest.raises(CommandError, match="no account follows it"):
        call_command("compare", "Nobody")
    with pytest.raises(CommandError, match="does not follow"):
        call_command("compare", "Cross", "--account", str(account.pk + 1))


def test_of_several_accounts_one_must_be_named(allocation: Allocation, account: Account) -> None:
    other = factories.make_account(factories.make_user("other"), name="other")
    Allocation.objects.create(strategy=allocation.strategy, account=other, notional=Decimal(100))
    with pytest.raises(CommandError, match=f"--account {account.pk}"):
        compare()
