"""Planted leaks are found, each with its first bar and its column; strategies that look back only are left in peace."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from apps.domain.backtests import leaks
from apps.domain.backtests.leaks import Kind, Leak, Verdict
from apps.domain.errors import Refused
from apps.domain.strategies import contract
from apps.domain.strategies.contract import Candles, ExitPlan, Several, Stances, Strategy
from apps.domain.strategies.registry import STRATEGIES

BARS = 240
SLOW = 12
NONE = np.full(BARS, np.nan)


def candles(count: int = BARS, seed: int = 11) -> Candles:
    chance = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(chance.normal(0, 0.01, count)))
    opened = np.concatenate(([100.0], close[:-1]))
    high = np.maximum(opened, close) * (1 + chance.random(count) * 0.005)
    low = np.minimum(opened, close) * (1 - chance.random(count) * 0.005)
    at = 1_767_225_600 + 3600 * np.arange(count)
    return Candles(at, opened, high, low, close, chance.lognormal(3, 1, count))


def mean(values: np.ndarray, length: int) -> np.ndarray:
    found = np.full(len(values), np.nan)
    if len(values) >= length:
        found[length - 1 :] = np.lib.stride_tricks.sliding_window_view(values, length).mean(axis=1)
    return found


class Plain(Strategy):
    """Looks back over SLOW bars and no further."""

    name = "plain"
    warmup = SLOW

    @dataclass(frozen=True)
    class Parameters:
        pass

    def stances(self, candles: Candles) -> Stances:
        slow = mean(candles.close, SLOW)
        return (candles.close > slow).astype(np.int8) - (candles.close < slow).astype(np.int8)


class Tomorrow(Plain):
    """Knows the next close."""

    def stances(self, candles: Candles) -> Stances:
        after = np.append(candles.close[1:], candles.close[-1])
        return self._late((after > candles.close).astype(np.int8))

    def _late(self, found: Stances) -> Stances:
        found[: self.warmup - 1] = 0
        return found


class WholeFrame(Tomorrow):
    """Compares with the mean of everything there is."""

    def stances(self, candles: Candles) -> Stances:
        return self._late(np.where(candles.close > candles.close.mean(), 1, -1).astype(np.int8))


class Centred(Tomorrow):
    """Smooths with as many bars after as before."""

    def stances(self, candles: Candles) -> Stances:
        smooth = np.roll(mean(candles.high, 5), -2)
        return self._late((candles.high > smooth).astype(np.int8))


class Volume(Tomorrow):
    """Looks at prices of the past and at the volume of tomorrow."""

    def stances(self, candles: Candles) -> Stances:
        busy = np.append(np.diff(candles.volume), -1.0) > 0
        return self._late(super(Tomorrow, self).stances(candles) * busy.astype(np.int8))


class Planned(Plain):
    """An honest stance, and a target that knows the next high."""

    def exit_plan(self, candles: Candles) -> ExitPlan:
        nothing = np.full(len(candles.at), np.nan)
        return ExitPlan(candles.low * 0.99, np.append(candles.high[1:], candles.high[-1]), nothing)


class Clock(Tomorrow):
    """Knows the hour of the next bar."""

    def stances(self, candles: Candles) -> Stances:
        return self._late((np.append(candles.at[1:], 0) // 3600 % 7 == 3).astype(np.int8))


class Counting(Tomorrow):
    """Leaves two bars before the data ends."""

    def stances(self, candles: Candles) -> Stances:
        found = np.ones(len(candles.at), np.int8)
        found[-2:] = 0
        return self._late(found)


class Weighing(Plain):
    """Scales by the largest move of all."""

    def weights(self, candles: Candles) -> np.ndarray:
        move = np.append(0.0, np.diff(candles.close))
        weights = move / np.abs(move).max()
        weights[: SLOW - 1] = 0
        return weights


class Short(Plain):
    """Needs twelve bars and says eight."""

    warmup = 8

    def stances(self, candles: Candles) -> Stances:
        return np.where(np.isnan(mean(candles.close, SLOW)), 0, super().stances(candles)).astype(np.int8)


class Endless(Plain):
    """An average that begins where the data begins."""

    def stances(self, candles: Candles) -> Stances:
        average = np.cumsum(candles.close) / np.arange(1, len(candles.close) + 1)
        found = np.where(candles.close > average, 1, -1).astype(np.int8)
        found[: SLOW - 1] = 0
        return found


class Hasty(Plain):
    """Acts on the fifth bar already."""

    def stances(self, candles: Candles) -> Stances:
        found = super().stances(candles)
        found[4:11] = 1
        return found


class Moody(Plain):
    """Rolls dice."""

    chance = np.random.default_rng(5)

    def stances(self, candles: Candles) -> Stances:
        return self.chance.integers(-1, 2, len(candles.at)).astype(np.int8)


class Pair(Several):
    """Two instruments; the first is weighed by what the second does next."""

    name = "pair"
    warmup = 2
    fewest = most = 2

    @dataclass(frozen=True)
    class Parameters:
        pass

    def weigh(self, markets: Sequence[Candles]) -> np.ndarray:
        first, second = (np.append(0.0, np.sign(np.diff(one.close))) for one in markets)
        return np.column_stack((np.append(second[1:], 0.0), first)) * (np.arange(len(first)) > 0)[:, None]


def look(strategy: Strategy, **more: object) -> Verdict:
    return leaks.find(strategy, [candles()], **more)


def only(verdict: Verdict) -> Leak:
    (leak,) = verdict.leaks
    assert not verdict.clean
    return leak


def test_one_that_looks_back_only_is_left_in_peace() -> None:
    found = look(Plain())
    assert found.clean
    assert (found.bars, found.warmup, found.outputs) == (BARS, SLOW, ("stance",))
    assert found.runs > BARS


@pytest.mark.parametrize(
    ("strategy", "output", "inputs"),
    [
        (Tomorrow(), "stance", ("close",)),
        (WholeFrame(), "stance", ("close",)),
        (Centred(), "stance", ("high",)),
        (Volume(), "stance", ("volume",)),
        (Planned(), "take_profit", ("high",)),
        (Weighing(), "weight", ("close",)),
        (Clock(), "stance", ("at",)),
        (Counting(), "stance", ()),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Strategy) else None,
)
def test_a_planted_leak_is_found_with_its_columns(strategy: Strategy, output: str, inputs: tuple[str, ...]) -> None:
    leak = only(look(strategy))
    assert (leak.kind, leak.output, leak.inputs) == (Kind.LOOK_AHEAD, output, inputs)
    assert leak.at == candles().at[leak.bar]
    assert output in leak.sentence
    assert all(column in leak.sentence for column in inputs)


class Late(Tomorrow):
    """Looks back until a hundred bars are there."""

    def stances(self, candles: Candles) -> Stances:
        ahead, honest = super().stances(candles), super(Tomorrow, self).stances(candles)
        return np.where(np.arange(len(honest)) < 100, honest, ahead).astype(np.int8)


@pytest.mark.parametrize("most", [leaks.MOST, 40])
def test_the_first_bar_is_named(most: int) -> None:
    """The first that a later close decides: from bar 100 on the first one before a rise."""
    closes = candles().close
    first = next(bar for bar, (now, then) in enumerate(pairwise(closes)) if bar >= 100 and then > now)
    leak = only(look(Late(), most=most))
    assert leak.bar == first if most > BARS else first <= leak.bar <= first + BARS // most
    assert leak.inputs == ("close",)


def test_where_every_bar_leaks_the_first_one_is_the_first_after_the_warm_up() -> None:
    for strategy in (Tomorrow(), Centred(), Planned(), Counting()):
        assert only(look(strategy)).bar == SLOW - 1


def test_of_several_instruments_the_one_that_leaks_is_named() -> None:
    found = leaks.find(Pair(), [candles(), candles(seed=12)], names=("AAA", "BBB"))
    leak = only(found)
    assert (leak.output, leak.inputs) == ("weight AAA", ("BBB.close",))
    assert found.outputs == ("weight AAA", "weight BBB")


def test_a_warm_up_declared_too_short_is_found_with_what_it_needs() -> None:
    leak = only(look(Short()))
    assert (leak.kind, leak.output, leak.needs) == (Kind.WARM_UP, "stance", SLOW)
    assert leak.bar == SLOW - 1
    assert "12 bars" in leak.sentence


def test_an_average_without_an_end_needs_everything() -> None:
    leak = only(look(Endless()))
    assert leak.kind is Kind.WARM_UP
    assert leak.needs is not None
    assert SLOW < leak.needs <= leak.bar + 1


def test_acting_before_the_warm_up_is_over_is_found() -> None:
    found = {leak.kind: leak for leak in look(Hasty()).leaks}
    assert found[Kind.EARLY].bar == 4
    assert "warm-up" in found[Kind.EARLY].sentence


def test_one_that_rolls_dice_is_told_from_one_that_leaks() -> None:
    assert only(look(Moody())).kind is Kind.UNSTABLE


def test_too_short_a_history_is_refused() -> None:
    with pytest.raises(Refused, match="more than the warm-up of 12"):
        leaks.find(Plain(), [candles(SLOW)])
    assert leaks.find(Plain(), [candles(SLOW + 1)]).clean


def test_an_answer_of_another_length_is_refused() -> None:
    class Torn(Plain):
        def stances(self, candles: Candles) -> Stances:
            return super().stances(candles)[1:]

    with pytest.raises(Refused, match="one value for each of 240 bars"):
        look(Torn())


def test_everything_is_plain_json() -> None:
    import json

    found = json.loads(json.dumps([leak.as_json() for leak in look(Planned()).leaks]))
    assert found[0]["kind"] == "look-ahead"
    assert found[0]["inputs"] == ["high"]


def shipped() -> list[str]:
    return [name for name in STRATEGIES.names() if STRATEGIES.get(name).__module__.startswith("apps.")]


def made(name: str, share: float) -> Strategy | None:
    """Make a strategy with every number at a share of its default; None where it does not take that."""
    properties = contract.schema(STRATEGIES.get(name))["properties"]
    kinds = {"integer": round, "number": float}
    values = {
        key: min(max(kinds[item["type"]](item["default"] * share), item["minimum"]), item["maximum"])
        for key, item in properties.items()
        if item["type"] in kinds
    }
    try:
        return contract.build(STRATEGIES.get(name), values)
    except Refused:
        return None


@pytest.mark.parametrize("share", [1.0, 0.5, 1.7])
@pytest.mark.parametrize("name", shipped())
def test_no_false_alarm_on_what_is_shipped(name: str, share: float) -> None:
    strategy = made(name, share)
    if strategy is None:
        assert share != 1.0
        return
    count = max(300, 2 * strategy.warmup)
    wanted = strategy.fewest if isinstance(strategy, Several) else 1
    found = leaks.find(strategy, [candles(count, seed) for seed in range(wanted)], most=100)
    assert found.leaks == (), [leak.sentence for leak in found.leaks]
