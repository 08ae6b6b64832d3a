"""Windows and indicators, value by value: against fractions and loops from the textbook, and against TA-Lib."""

import itertools
import math
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from apps.domain import moving
from apps.domain.strategies import indicators, windows
from tests.strategies import bars

CANDLES = bars.market(3000)
CLOSE = CANDLES.close
LONG = bars.market(40_000, seed=11).close  # several steps of the compiled loops
Window = Callable[[np.ndarray], np.ndarray]

# What each looks at, for one length; the name says which.
WINDOWS: dict[str, tuple[int, Window]] = {
    "mean of 1": (1, lambda x: windows.mean(x, 1)),
    "mean of 20": (20, lambda x: windows.mean(x, 20)),
    "mean of 2999": (2999, lambda x: windows.mean(x, 2999)),
    "total of 31": (31, lambda x: windows.total(x, 31)),
    "exponential of 12": (windows.reach(2 / 13), lambda x: indicators.ema(x, 12)),
    "exponential of 500": (windows.reach(2 / 501), lambda x: indicators.ema(x, 500)),
    "Wilder of 14": (windows.reach(1 / 14), lambda x: indicators.wilder(x, 14)),
    "mean of deviation": (20, lambda x: windows.deviation(x, 20)[0]),
    "deviation of 20": (20, lambda x: windows.deviation(x, 20)[1]),
    "deviation of 777": (777, lambda x: windows.deviation(x, 777)[1]),
    "highest of 55": (55, lambda x: windows.highest(x, 55)),
    "lowest of 64": (64, lambda x: windows.lowest(x, 64)),
    "strength of 14": (15, lambda x: windows.rsi(x, 14)),
    "Wilder's strength": (windows.reach(1 / 14) + 1, lambda x: indicators.wilder_rsi(x, 14)),
    "change over 10": (11, lambda x: windows.change(x, 10)),
    "signal": (indicators.macd_bars(12, 26, 9), lambda x: indicators.macd(x, 12, 26, 9).signal),
    "score": (60, lambda x: indicators.score(x, 60, least=0.0)),
}
every = pytest.mark.parametrize(("length", "window"), WINDOWS.values(), ids=WINDOWS.keys())


@every
def test_a_value_is_what_its_own_window_says_to_the_last_bit(length: int, window: Window) -> None:
    whole = window(LONG)
    step = moving.STEP
    ends = [length, length + 1, step, step + length - 1, step + length, 4 * length, len(LONG)]
    ends += np.random.default_rng(5).integers(length, len(LONG), 20).tolist()
    for end in (end for end in ends if length <= end <= len(LONG)):
        assert window(LONG[end - length : end])[-1] == whole[end - 1], end


@every
def test_there_is_no_value_before_the_window_is_full(length: int, window: Window) -> None:
    found = window(LONG)
    assert np.isnan(found[: length - 1]).all()
    assert np.isfinite(found[length - 1 :]).all()
    assert np.isnan(window(LONG[: length - 1])).all()
    assert len(window(LONG[:0])) == 0


@every
def test_one_bad_number_spoils_its_own_windows_only(length: int, window: Window) -> None:
    spoilt = LONG.copy()
    spoilt[5000] = np.inf
    with np.errstate(invalid="ignore"):
        found = window(spoilt)
    np.testing.assert_array_equal(found[:5000], window(LONG)[:5000])
    np.testing.assert_array_equal(found[5000 + length :], window(LONG)[5000 + length :])


@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 20, 63])
def test_windows_agree_with_exact_sums(length: int) -> None:
    exact = [Fraction(value) for value in CLOSE[:200].tolist()]
    means, deviations = windows.deviation(CLOSE[:200], length)
    for end in range(length, 201):
        window = exact[end - length : end]
        mean = sum(window) / length
        spread = sum((value - mean) ** 2 for value in window) / length
        assert windows.mean(CLOSE, length)[end - 1] == pytest.approx(float(mean), rel=1e-15)
        assert windows.total(CLOSE, length)[end - 1] == pytest.approx(float(sum(window)), rel=1e-15)
        assert means[end - 1] == pytest.approx(float(mean), rel=1e-15)
        assert deviations[end - 1] == pytest.approx(math.sqrt(spread), rel=1e-12, abs=1e-14)
        assert windows.highest(CLOSE, length)[end - 1] == max(window)
        assert windows.lowest(CLOSE, length)[end - 1] == min(window)


def test_the_strength_agrees_with_exact_sums() -> None:
    exact = [Fraction(value) for value in CLOSE[:100].tolist()]
    for end in range(6, 100):
        steps = [b - a for a, b in itertools.pairwise(exact[end - 6 : end])]
        rises, falls = sum(max(s, 0) for s in steps), sum(max(-s, 0) for s in steps)
        index = 100 * rises / (rises + falls) if rises + falls else 50
        assert windows.rsi(CLOSE, 5)[end - 1] == pytest.approx(float(index), rel=1e-12)
        assert windows.change(CLOSE, 5)[end - 1] == pytest.approx(float(exact[end - 1] / exact[end - 6] - 1), abs=1e-15)


def test_a_small_deviation_of_large_numbers_does_not_drown() -> None:
    values = 1e9 + np.tile([0.25, -0.25], 50)
    np.testing.assert_allclose(windows.deviation(values, 20)[1][19:], 0.25, rtol=1e-12)


def test_an_exponential_mean_is_the_recursion_of_the_textbook() -> None:
    for length in (1, 2, 12, 100):
        share, value, expected = 2 / (length + 1), CLOSE[0], []
        for close in CLOSE.tolist():
            value += share * (close - value)
            expected.append(value)
        settled = 2 * indicators.ema_bars(length)  # the recursion must forget its first value, too
        np.testing.assert_allclose(indicators.ema(CLOSE, length)[settled:], expected[settled:], rtol=1e-8)


@pytest.mark.parametrize("length", [2, 14, 26, 200])
def test_what_an_exponential_mean_leaves_out_weighs_less_than_a_billionth(length: int) -> None:
    for share, reach in ((2 / (length + 1), indicators.ema_bars(length)), (1 / length, indicators.wilder_bars(length))):
        assert (1 - share) ** reach < 1e-9 <= (1 - share) ** (reach - 1)


def test_the_weights_of_an_exponential_mean_are_one_together() -> None:
    np.testing.assert_allclose(indicators.ema(np.full(500, 3.0), 20)[250:], 3.0, rtol=1e-15)


def equal(ours: np.ndarray, theirs: np.ndarray, rtol: float = 1e-9, *, after: int = 0) -> None:
    there = np.isfinite(ours) & (np.arange(len(ours)) >= after)
    assert there.sum() > 1000
    np.testing.assert_allclose(ours[there], theirs[there], rtol=rtol, atol=1e-9)


def test_windows_agree_with_talib() -> None:
    talib = indicators.library()
    equal(windows.mean(CLOSE, 20), talib.SMA(CLOSE, timeperiod=20))
    equal(windows.deviation(CLOSE, 20)[1], talib.STDDEV(CLOSE, timeperiod=20), 1e-6)  # theirs cancels
    equal(windows.highest(CLOSE, 55), talib.MAX(CLOSE, timeperiod=55), 0)
    equal(windows.lowest(CLOSE, 55), talib.MIN(CLOSE, timeperiod=55), 0)
    equal(windows.change(CLOSE, 10), talib.ROCP(CLOSE, timeperiod=10))
    equal(indicators.true_range(CANDLES), talib.TRANGE(*CANDLES[2:5]), 0)


def test_channels_agree_with_talib() -> None:
    talib, ours = indicators.library(), indicators.bollinger(CLOSE, 20, 2.0)
    upper, middle, lower = talib.BBANDS(CLOSE, timeperiod=20, nbdevup=2.0, nbdevdn=2.0)
    for one, other in zip(ours, (lower, middle, upper), strict=True):
        equal(one, other)
    donchian = indicators.donchian(CANDLES, 20)
    equal(donchian.middle, talib.MIDPRICE(CANDLES.high, CANDLES.low, timeperiod=20), 1e-12)
    equal(donchian.upper, talib.MAX(CANDLES.high, timeperiod=20), 0)


def test_recursions_agree_with_talib_once_it_has_forgotten_its_beginning() -> None:
    talib, settled = indicators.library(), 800
    equal(indicators.ema(CLOSE, 26), talib.EMA(CLOSE, timeperiod=26), 1e-8, after=settled)
    equal(indicators.wilder_rsi(CLOSE, 14), talib.RSI(CLOSE, timeperiod=14), 1e-7, after=settled)
    equal(indicators.atr(CANDLES, 14), talib.ATR(*CANDLES[2:5], timeperiod=14), 1e-8, after=settled)
    line, signal, _ = talib.MACD(CLOSE, fastperiod=12, slowperiod=26, signalperiod=9)
    ours = indicators.macd(CLOSE, 12, 26, 9)
    np.testing.assert_allclose(ours.line[settled:], line[settled:], atol=1e-6)
    np.testing.assert_allclose(ours.signal[settled:], signal[settled:], atol=1e-6)


def test_why_the_means_of_talib_do_not_serve() -> None:
    talib = indicators.library()
    for function, length in ((talib.SMA, 20), (talib.EMA, 20)):
        whole = function(LONG, timeperiod=length)
        parts = [function(LONG[end - length : end], timeperiod=length)[-1] for end in range(30_000, 30_200)]
        assert (np.array(parts) != whole[29_999:30_199]).any()


@pytest.mark.parametrize("name", ["AROONOSC", "MIDPRICE", "MOM", "ROC", "TRANGE", "WILLR", "CDLENGULFING", "CDLDOJI"])
def test_what_the_docs_call_safe_in_talib_depends_on_its_window_only(name: str) -> None:
    from talib import abstract  # TA-Lib takes a second to load, which only this test needs

    function = abstract.Function(name)
    columns = CANDLES._asdict()
    whole, bars_needed = function(columns), function.lookback + 1
    for end in range(2000, 3000, 7):
        part = function({key: values[end - bars_needed : end] for key, values in columns.items()})
        assert part[-1] == whole[end - 1], end


def test_keltner_is_the_mean_and_ranges_around_it() -> None:
    channel, span = indicators.keltner(CANDLES, 20, 10, 1.5), 1.5 * indicators.atr(CANDLES, 10)
    equal(channel.middle, indicators.ema(CLOSE, 20), 0)
    equal(channel.upper - channel.lower, 2 * span)


def test_a_price_that_more_was_traded_at_weighs_more() -> None:
    candles = bars.of_closes(10, 20, 40)._replace(volume=np.array([1.0, 3.0, 0.0]))
    found = indicators.vwap(candles, 2).tolist()
    assert math.isnan(found[0])
    assert found[1:] == [17.5, 20.0]
    silent = candles._replace(volume=np.zeros(3))
    assert indicators.vwap(silent, 2).tolist()[1:] == [15.0, 30.0], "nothing was traded: every bar weighs the same"


def test_a_true_range_includes_the_gap() -> None:
    candles = bars.of_closes(10, 12, 11)._replace(high=np.array([11.0, 13, 11.5]), low=np.array([9.0, 12, 10.5]))
    assert indicators.true_range(candles).tolist()[1:] == [3.0, 1.5]


@pytest.mark.parametrize(
    ("on", "off", "memory", "expected"),
    [
        pytest.param("0100000", "0000000", 3, "0111000", id="forgotten after its memory"),
        pytest.param("0100000", "0001000", 9, "0110000", id="ended"),
        pytest.param("0101000", "0000000", 3, "0111110", id="repeated"),
        pytest.param("0110000", "0010000", 9, "0111111", id="on wins where a bar is both"),
        pytest.param("0000000", "1010000", 9, "0000000", id="never begun"),
        pytest.param("1000000", "0000000", 1, "1000000", id="no memory but the bar itself"),
    ],
)
def test_held(on: str, off: str, memory: int, expected: str) -> None:
    flags = [np.array([letter == "1" for letter in text]) for text in (on, off, expected)]
    assert windows.held(flags[0], flags[1], memory).tolist() == flags[2].tolist()


def test_means_that_differ_by_rounding_are_equal() -> None:
    still = np.full(50, 0.7)
    assert windows.mean(still, 3)[10] != windows.mean(still, 7)[10], "or this test shows nothing"
    assert not windows.cross(windows.mean(still, 3), windows.mean(still, 7)).any()
    assert not windows.means_cross(still, 3, 7).any()
    assert windows.cross(np.array([1.0, 1.0, np.nan, 1 + 1e-9]), np.array([2.0, 1.0, 1.0, 1.0])).tolist() == [
        -1,
        0,
        0,
        1,
    ]


@pytest.mark.parametrize(("fast", "slow"), [(1, 2), (10, 20), (7, 50), (100, 3000)])
def test_the_cross_of_two_means_is_the_same_in_one_pass(fast: int, slow: int) -> None:
    apart = windows.cross(windows.mean(LONG, fast), windows.mean(LONG, slow))
    np.testing.assert_array_equal(windows.means_cross(LONG, fast, slow), apart)
    assert set(apart.tolist()) >= {1, -1}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: windows.mean(CLOSE, 0),
        lambda: windows.highest(CLOSE, -1),
        lambda: windows.means_cross(CLOSE, 5, 5),
        lambda: windows.means_cross(CLOSE, 0, 5),
        lambda: windows.cross(CLOSE, CLOSE[1:]),
        lambda: windows.held(CLOSE > 1, CLOSE[1:] > 1, 5),
    ],
)
def test_what_a_compiled_loop_could_not_bear_is_refused_before(wrong: Callable[[], object]) -> None:
    with pytest.raises(ValueError):
        wrong()


def test_any_layout_of_an_array_will_do() -> None:
    table = np.random.default_rng(1).normal(100, 1, (500, 3))
    locked = table[:, 1].copy()
    locked.flags.writeable = False
    np.testing.assert_array_equal(windows.mean(table[:, 1], 9), windows.mean(locked, 9))
    whole = np.arange(50)
    np.testing.assert_array_equal(windows.mean(whole, 2)[1:], whole[1:] - 0.5)


def test_looking_at_strategies_loads_neither_numba_nor_talib_nor_pandas() -> None:
    code = "import sys; from apps.domain.strategies.registry import STRATEGIES as s; s.names(); "
    code += "print([name for name in ('numba', 'talib', 'pandas') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"
