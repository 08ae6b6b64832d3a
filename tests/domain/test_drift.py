"""Live trading beside its backtest: what belongs together, and differences whose parts add up to the last digit."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import fills
from apps.domain.backtests import drift
from apps.domain.backtests.drift import Execution, Round
from apps.domain.fills import Costs
from apps.domain.sides import Side

BTC = "BTC-USD"


def execution(reference: str, price: str | None = None, at: int = 0) -> Execution:
    return Execution(reference=Decimal(reference), price=Decimal(price or reference), at=at)


def round_(
    entry: Execution, exit_: Execution | None = None, *, side: Side = Side.LONG, at: int = 0, **more: object
) -> Round:
    values = {
        "instrument": BTC,
        "side": side,
        "signal_at": at,
        "quantity": Decimal(2),
        "entry": entry,
        "exit": exit_,
        "reason": "signal" if exit_ else "",
        "fees": Decimal(0),
        **more,
    }
    return Round(**values)


def test_a_difference_is_taken_apart() -> None:
    """Bought at an ask of 101 with 0.05 slippage where the backtest bought at the open of 100 with 0.10."""
    live = round_(execution("101", "101.05", at=62), execution("110", "109.90", at=125))
    model = round_(execution("100", "100.10", at=60), execution("110.5", "110.4", at=120))
    (pair,) = drift.compare([live], [model]).pairs
    assert (pair.entry.market, pair.entry.paid, pair.entry.assumed) == (1, Decimal("0.05"), Decimal("0.10"))
    assert pair.entry.total == Decimal("0.95")
    assert pair.entry.bps == Decimal("0.95") / Decimal("100.10") * 10_000
    assert pair.exit is not None
    assert (pair.exit.market, pair.exit.paid, pair.exit.assumed) == (Decimal("0.5"), Decimal("0.1"), Decimal("0.1"))
    assert (pair.entry.seconds, pair.exit.seconds) == (2, 5)
    assert pair.prices == -2 * (pair.entry.total + pair.exit.total)


def test_a_short_pays_the_other_way_round() -> None:
    live = round_(execution("99", "98.9"), execution("95", "95.2"), side=Side.SHORT)
    model = round_(execution("100", "99.9"), execution("94", "94.1"), side=Side.SHORT)
    (pair,) = drift.compare([live], [model]).pairs
    assert (pair.entry.market, pair.entry.total) == (1, 1)
    assert pair.exit is not None
    assert (pair.exit.market, pair.exit.total) == (1, Decimal("1.1"))
    assert pair.prices == Decimal("-4.2")


def test_rounds_are_matched_by_decision() -> None:
    one = execution("100")
    live = [round_(one, at=0), round_(one, at=60), round_(one, at=120, side=Side.SHORT)]
    model = [round_(one, at=0), round_(one, at=120), round_(one, at=60, instrument="ETH-USD")]
    found = drift.compare(live, model)
    assert [pair.live.signal_at for pair in found.pairs] == [0]
    assert [(lot.instrument, lot.signal_at) for lot in found.missed] == [(BTC, 120), ("ETH-USD", 60)]
    assert [(lot.signal_at, lot.side) for lot in found.extra] == [(60, Side.LONG), (120, Side.SHORT)]


def test_a_second_lot_of_one_decision_is_extra() -> None:
    one = execution("100")
    found = drift.compare([round_(one), round_(one)], [round_(one)])
    assert (len(found.pairs), len(found.extra), len(found.missed)) == (1, 1, 0)


def test_exits_for_other_reasons_are_not_slippage() -> None:
    live = round_(execution("100"), execution("98"), reason="stop_loss")
    model = round_(execution("100"), execution("103"), reason="signal")
    found = drift.compare([live], [model])
    told = drift.totals(found)
    assert found.pairs[0].exit is None
    assert (told["fills"], told["other_exits"], told["cost"]) == (1, 1, 0)
    assert told["explained"]["other_exits"] == told["difference"] == -10


def test_what_is_open_is_worth_its_fees_so_far() -> None:
    live = round_(execution("100"), fees=Decimal("0.3"))
    told = drift.totals(drift.compare([live], [round_(execution("100"), fees=Decimal("0.2"))]))
    assert told["difference"] == Decimal("-0.1")
    assert told["fills"] == 1


def test_nothing_compares_to_nothing() -> None:
    told = drift.totals(drift.compare([], []))
    assert told["difference"] == 0
    assert told["mean_bps"] is None
    assert told["worst_bps"] is None


def test_several_exits_are_one_with_their_average() -> None:
    parts = [(Decimal(1), execution("100", "99", at=5)), (Decimal(3), execution("104", "103", at=9))]
    assert drift.average(parts) == execution("103", "102", at=9)


def test_stances_bar_by_bar() -> None:
    live = {(BTC, 0): 1, (BTC, 60): 0, (BTC, 120): -1, (BTC, 300): 1}
    model = {(BTC, 0): 1, (BTC, 60): 1, (BTC, 120): -1, (BTC, 180): 0}
    found = drift.stances(live, model)
    assert found == drift.Stances(same=2, different=((BTC, 60),), missed=((BTC, 180),), extra=((BTC, 300),))
    assert found.agreement == 2 / 5
    assert drift.stances({}, {}).agreement == 1


@pytest.mark.parametrize(
    ("at", "missed", "says"),
    [
        (60, True, "the stance was another"),
        (180, True, "nobody was asked"),
        (0, True, "not followed"),
        (300, False, "no such bar"),
        (0, False, "the backtest did not follow"),
    ],
)
def test_it_is_told_why_a_round_has_no_twin(at: int, missed: bool, says: str) -> None:
    live = {(BTC, 0): 1, (BTC, 60): 0, (BTC, 300): 1}
    said = drift.stances(live, {(BTC, 0): 1, (BTC, 60): 1, (BTC, 180): 1})
    assert says in drift.why(round_(execution("100"), at=at), said, missed=missed)


prices = st.decimals(min_value="0.01", max_value="100000", places=2)
amounts = st.decimals(min_value="0.001", max_value="1000", places=3)


@st.composite
def rounds(draw: st.DrawFn) -> Round:
    closed = draw(st.booleans())
    made = [Execution(reference=draw(prices), price=draw(prices), at=0) for _ in range(2)]
    return round_(
        made[0],
        made[1] if closed else None,
        side=draw(st.sampled_from(Side)),
        at=draw(st.integers(0, 5)),
        quantity=draw(amounts),
        fees=draw(amounts),
        reason=draw(st.sampled_from(["signal", "stop_loss"])) if closed else "",
    )


@given(st.lists(rounds(), max_size=8), st.lists(rounds(), max_size=8))
def test_the_parts_add_up_whatever_happened(live: list[Round], model: list[Round]) -> None:
    found = drift.compare(live, model)
    told = drift.totals(found)
    assert len(found.pairs) + len(found.extra) == len(live)
    assert len(found.pairs) + len(found.missed) == len(model)
    assert told["difference"] == sum(told["explained"].values())
    assert told["live_pnl"] == sum(lot.pnl for lot in live)
    assert told["model_pnl"] == sum(lot.pnl for lot in model)
    for pair in found.pairs:
        sign = pair.live.side.sign
        assert pair.entry.total == (pair.live.entry.price - pair.model.entry.price) * sign
        assert pair.live.pnl - pair.model.pnl == pair.prices + pair.quantities + pair.fees
        if pair.exit:
            assert pair.prices == -(pair.entry.total + pair.exit.total) * pair.live.quantity


rates = st.decimals(min_value=0, max_value="0.01", places=5)


@given(st.integers(1, 10_000_000), rates, st.integers(0, 50), st.sampled_from([1, -1]))
def test_the_price_a_fill_was_made_of_is_found_again(cents: int, rate: Decimal, fixed: int, sign: int) -> None:
    tick = Decimal("0.01")
    costs = Costs(fee_rate=Decimal(0), slippage_rate=rate, slippage_fixed=fixed * tick)
    price = fills.slipped(sign, cents * tick, costs, tick)
    found = drift.reference(sign, price, costs, tick)
    if sign > 0:
        assert found == cents * tick
    elif price > tick:  # below a tick nothing is sold, and what was asked for is lost
        assert fills.slipped(sign, found, costs, tick) == price
        assert abs(found - cents * tick) <= tick


@pytest.mark.parametrize(("sign", "price"), [(1, "100.02"), (-1, "99.98")])
def test_a_reference_by_hand(sign: int, price: str) -> None:
    costs = Costs(fee_rate=Decimal(0), slippage_rate=Decimal("0.0001"), slippage_fixed=Decimal("0.01"))
    assert drift.reference(sign, Decimal(price), costs, Decimal("0.01")) == Decimal("100.00")
