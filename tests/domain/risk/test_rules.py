"""Each rule at its edge: what may just be, what is too much, and what it says."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from apps.domain.restrictions import Scope
from apps.domain.risk.facts import Facts, Recent, Returns, Session
from tests.domain.risk.world import BTC, ETH, NOW, closing, facts, held, history, judged, quote, wish

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SHORT_ETH = held("300", sign=-1, of=ETH)


def recent(orders: int, strategy: int | None = None) -> Recent:
    return Recent(orders=orders, instrument_id=BTC, strategy_id=strategy)


def open_for(since: int, until: int) -> Session:
    return Session(
        phase="open", calendar="XNYS", since_open=timedelta(minutes=since), until_close=timedelta(minutes=until)
    )


# rule, its parameters, facts that just pass, facts that do not, and the number that is too much
EDGES: dict[str, tuple[str, dict[str, Any], Facts, Facts, str]] = {
    "an order's value": ("max_order_value", {"amount": 100}, facts(), facts(wish=wish("1.01")), "101"),
    "units on one side": (
        "max_position_size",
        {"units": 3.0},
        facts(holdings=(held("200"), held("900", sign=-1), held("900", of=ETH))),
        facts(holdings=(held("200.01"),)),
        "3.0001",
    ),
    "gross, by amount": (
        "max_gross_exposure",
        {"rate": 0, "amount": 1000},
        facts(holdings=(held("600"), SHORT_ETH)),
        facts(holdings=(held("600.5"), SHORT_ETH)),
        "1000.5",
    ),
    "gross, by rate": (
        "max_gross_exposure",
        {"rate": 0.1},
        facts(holdings=(held("900"),)),
        facts(holdings=(held("900"),), equity=Decimal(9999)),
        "1000",
    ),
    "the lower of rate and amount": (
        "max_gross_exposure",
        {"rate": 0.5, "amount": 150},
        facts(holdings=(held("50"),)),
        facts(holdings=(held("51"),)),
        "151",
    ),
    "net": (
        "max_net_exposure",
        {"rate": 0.04},
        facts(holdings=(held("600"), SHORT_ETH)),
        facts(holdings=(held("601"), SHORT_ETH)),
        "401",
    ),
    "net, to the short side": (
        "max_net_exposure",
        {"rate": 0.04},
        facts(holdings=(SHORT_ETH,), wish=wish(sign=-1)),
        facts(holdings=(SHORT_ETH,), wish=wish("1.5", sign=-1)),
        "450",
    ),
    "one asset": (
        "max_asset_exposure",
        {"rate": 0.05},
        facts(holdings=(held("300"), held("100", sign=-1), held("5000", of=ETH))),
        facts(holdings=(held("300"), held("101", sign=-1))),
        "501",
    ),
    "one strategy": (
        "max_strategy_exposure",
        {"rate": 0.05},
        facts(holdings=(held("400", strategy=5), held("9000", strategy=6), held("9000")), wish=wish(strategy=5)),
        facts(holdings=(held("401", strategy=5),), wish=wish(strategy=5)),
        "501",
    ),
    "lots": (
        "max_open_positions",
        {"lots": 4},
        facts(holdings=(held("1", lots=2), SHORT_ETH)),
        facts(holdings=(held("1", lots=3), SHORT_ETH)),
        "5",
    ),
    "the day's loss": (
        "max_daily_loss",
        {"rate": 0.05},
        facts(equity=Decimal("9500.01")),
        facts(equity=Decimal(9500)),
        "500",
    ),
    "a loss of the day that was made good": (
        "max_daily_loss",
        {"rate": 0.05},
        facts(history=history(worst="-499")),
        facts(history=history(worst="-500")),
        "500",
    ),
    "the day's loss by amount": (
        "max_daily_loss",
        {"rate": 0, "amount": 100},
        facts(equity=Decimal("9900.01")),
        facts(equity=Decimal(9900)),
        "100",
    ),
    "drawdown": (
        "max_drawdown",
        {"rate": 0.2},
        facts(equity=Decimal("8000.1")),
        facts(equity=Decimal(8000)),
        "0.2",
    ),
    "a new peak is no drawdown": (
        "max_drawdown",
        {"rate": 0.1},
        facts(equity=Decimal(20_000)),
        facts(history=history(peak="12500")),
        "0.2",
    ),
    "losses in a row": (
        "max_loss_streak",
        {"losses": 2},
        facts(closings=(closing("-1"), closing("0"), closing("-1"))),
        facts(closings=(closing("-1"), closing("-1"), closing("5"))),
        "2",
    ),
    "losses in a row of yesterday": (
        "max_loss_streak",
        {"losses": 2},
        facts(closings=(closing("-1", ago=DAY), closing("-1", ago=DAY))),
        facts(closings=(closing("-1"), closing("-1", ago=DAY))),
        "2",
    ),
    "a full streak starts anew": (
        "max_loss_streak",
        {"losses": 2},
        facts(closings=(closing("-1"), closing("-1", ago=DAY), closing("-1", ago=DAY))),
        facts(closings=(closing("-1"), closing("-1"), closing("-1", ago=DAY), closing("-1", ago=DAY))),
        "2",
    ),
    "a full streak ends the day, whatever follows": (
        "max_loss_streak",
        {"losses": 2},
        facts(closings=(closing("9"), closing("-1"))),
        facts(closings=(closing("9"), closing("-1"), closing("-1"))),
        "2",
    ),
    "a pause after a loss": (
        "cooldown",
        {"seconds": 300},
        facts(closings=(closing("1", ago=HOUR / 60), closing("-1", ago=HOUR / 12))),
        facts(closings=(closing("-1", ago=HOUR / 12 - timedelta(seconds=1)),)),
        "299",
    ),
    "a pause after a stop that won": (
        "cooldown",
        {"seconds": 300, "after": "stop"},
        facts(closings=(closing("-1", ago=HOUR / 60), closing("1", ago=HOUR, stopped=True))),
        facts(closings=(closing("1", ago=HOUR / 60, stopped=True),)),
        "60",
    ),
    "a pause after either": (
        "cooldown",
        {"after": "either"},
        facts(closings=(closing("1"),)),
        facts(closings=(closing("1"), closing("1", ago=HOUR / 10, stopped=True))),
        "360",
    ),
    "orders in a minute": (
        "max_order_rate",
        {"orders": 5},
        facts(recent=(recent(3), recent(1, 5))),
        facts(recent=(recent(3), recent(2, 5))),
        "6",
    ),
    "the price band": (
        "price_band",
        {"rate": 0.02},
        facts(wish=wish(price="98")),
        facts(wish=wish(price="97")),
        "0.03",
    ),
    "the spread": (
        "max_spread",
        {"rate": 0.01},
        facts(price=quote(bid="99.5", ask="100.5")),
        facts(price=quote(bid="99.4", ask="100.6")),
        "0.012",
    ),
    "an old price": ("stale_data", {}, facts(price=quote(age=5)), facts(price=quote(age=5.001)), "5.001"),
    "a closed market": ("market_closed", {}, facts(), facts(session=Session(phase="pre", calendar="XNYS")), "0"),
    "hours that are not known": (
        "market_closed",
        {"extended": True},
        facts(session=Session(phase="post", calendar="XNYS")),
        facts(session=Session(phase="unknown", calendar="XNYS", detail="refresh")),
        "0",
    ),
    "just after the open": (
        "market_closed",
        {"after_open": 5, "before_close": 10},
        facts(session=open_for(5, 10)),
        facts(session=open_for(4, 60)),
        "4",
    ),
    "just before the close": (
        "market_closed",
        {"before_close": 10},
        facts(session=open_for(0, 10)),
        facts(session=open_for(60, 9)),
        "9",
    ),
    "leverage": (
        "leverage",
        {"times": 2.0},
        facts(holdings=(held("10000"), held("9900", of=ETH, sign=-1))),
        facts(holdings=(held("20000"),)),
        "2.01",
    ),
    "leverage counts the account whatever the scope": (
        "leverage",
        {"times": 0.02},
        facts(scope=Scope.INSTRUMENT, target=BTC, holdings=(held("100", of=ETH),)),
        facts(scope=Scope.INSTRUMENT, target=BTC, holdings=(held("200", of=ETH),)),
        "0.03",
    ),
    "a correlation": (
        "max_correlation",
        {"most": 0.8},
        facts(holdings=(held("9"), held("1", of=ETH)), returns={ETH: Returns(symbol="ETH-USD", correlation=0.8)}),
        facts(holdings=(held("1", of=ETH),), returns={ETH: Returns(symbol="ETH-USD", correlation=0.81)}),
        "0.81",
    ),
    "an opposite correlation of the other side": (
        "max_correlation",
        {},
        facts(holdings=(SHORT_ETH,), returns={ETH: Returns(symbol="ETH-USD", correlation=0.99)}),
        facts(holdings=(SHORT_ETH,), returns={ETH: Returns(symbol="ETH-USD", correlation=-0.99)}),
        "0.99",
    ),
}


@pytest.mark.parametrize(("rule", "parameters", "passes", "fails", "number"), EDGES.values(), ids=EDGES)
def test_a_limit_may_just_be_reached_or_not(
    rule: str, parameters: dict[str, Any], passes: Facts, fails: Facts, number: str
) -> None:
    good = judged(rule, passes, **parameters)
    assert good.allowed, good.sentence
    bad = judged(rule, fails, **parameters)
    assert not bad.allowed, bad.sentence
    assert round(bad.number, 8) == Decimal(number)
    assert bad.remedy
    assert bad.remedy in bad.sentence
    assert bad.problem.field == bad.rule == rule


def test_an_order_that_brings_longs_and_shorts_nearer_together_is_allowed_beyond_the_limit() -> None:
    far = facts(holdings=(held("5000"),), wish=wish("9", sign=-1))
    assert judged("max_net_exposure", far, rate=0.1).allowed
    assert not judged("max_net_exposure", far.concerning(wish("101", sign=-1)), rate=0.1).allowed, (
        "not to the other side"
    )


@pytest.mark.parametrize(
    ("rule", "parameters", "lacking", "words"),
    [
        ("max_spread", {}, {"price": quote(bid=None)}, "bid and ask are not known"),
        ("stale_data", {}, {"price": None}, "there is no price yet"),
        ("price_band", {}, {"price": None}, "no last price"),
        ("market_closed", {}, {"session": None}, "trading hours are not known"),
        ("max_gross_exposure", {}, {"equity": None}, "equity is not known"),
        ("max_daily_loss", {}, {"history": None}, "equity is not known"),
        ("max_drawdown", {}, {"equity": Decimal(0), "history": history(peak="0")}, "has no money"),
        ("leverage", {}, {"equity": Decimal(-5)}, "equity is -5"),
        ("max_correlation", {}, {"holdings": (SHORT_ETH,)}, "correlation with ETH-USD is not known"),
    ],
)
def test_what_is_not_known_refuses(rule: str, parameters: dict[str, Any], lacking: dict[str, Any], words: str) -> None:
    found = judged(rule, facts(**lacking), **parameters)
    assert not found.allowed
    assert words in found.sentence


@pytest.mark.parametrize(("rule", "lacking"), [("max_spread", {"price": None}), ("max_correlation", {})])
def test_what_is_not_known_may_be_let_pass(rule: str, lacking: dict[str, Any]) -> None:
    assert judged(rule, facts(holdings=(SHORT_ETH,), **lacking), known=False).allowed


def test_a_limit_counts_what_is_in_its_scope() -> None:
    seen = facts(
        holdings=(held("100", strategy=5), held("200", of=ETH, strategy=5), held("400")),
        closings=(closing("-1"), closing("-1", of=ETH)),
        recent=(recent(3, 5), recent(4)),
    )
    gross = {
        (Scope.SITE, 0): 700,
        (Scope.ACCOUNT, 7): 700,
        (Scope.STRATEGY, 5): 300,
        (Scope.INSTRUMENT, ETH): 200,
    }
    for (scope, target), value in gross.items():
        assert seen.within(scope, target).gross == value
    assert seen.within(Scope.STRATEGY, 5).orders == 3
    assert [each.instrument_id for each in seen.within(Scope.INSTRUMENT, ETH).closed] == [ETH]


def test_what_was_granted_counts_for_the_next_wish() -> None:
    seen = facts(holdings=(held("100"),)).after(wish("3"))
    assert (seen.gross, seen.orders, sum(each.lots for each in seen.held)) == (400, 1, 2)


def test_the_sentence_names_number_limit_and_remedy() -> None:
    found = judged("max_gross_exposure", facts(holdings=(held("9950"),)))
    assert found.sentence == (
        "gross exposure would be 10050 USD, beyond the limit of 10000 USD; "
        "choose a smaller quantity or leave a position first"
    )
    assert found.formula == "sum of |positions| + order <= 1 * equity"
    rate = judged("price_band", facts(wish=wish(price="110")))
    assert rate.finding == "the price's distance from the last one is 10%, beyond the limit of 5%"


def test_without_a_wish_the_present_state_is_judged() -> None:
    present = facts(wish=None, holdings=(held("9000", lots=3), SHORT_ETH))
    assert judged("max_gross_exposure", present, rate=0.93).allowed, "9,300 of 9,300"
    assert judged("max_gross_exposure", present, rate=0.92).finding.startswith("gross exposure is 9300 USD")
    assert judged("max_open_positions", present, lots=4).allowed, "four lots of four"
    assert not judged("max_open_positions", present, lots=3).allowed
    assert judged("max_asset_exposure", present, rate=0.5).finding.startswith("exposure to BTC is 9000")
    assert judged("max_position_size", present, units=89.0).number == 90
    assert NOW.tzinfo is not None
