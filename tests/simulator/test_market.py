"""The price process: repeatable, on the grid, and of the size its documentation promises."""

import itertools
import math
import statistics
from decimal import Decimal

import pytest

from apps.simulator import history, market, products
from apps.simulator.market import Walk
from apps.simulator.tape import MINUTE_US, Tape

BTC = products.KNOWN["BTC-USD"]
NOW = 30_000_000  # minutes since the epoch


def prints(product=BTC, count=5_000, **settings) -> list[market.Print]:
    walk = Walk(product, **{"seed": 1, "rate": 5.0} | settings)
    return [walk.next() for _ in range(count)]


def test_the_same_seed_gives_the_same_trades_and_another_seed_others():
    assert prints(seed=3) == prints(seed=3)
    assert prints(seed=3) != prints(seed=4)


def test_a_products_path_does_not_depend_on_the_products_beside_it():
    alone = market.Market((BTC,), seed=5, rate=5, volatility=1).walks["BTC-USD"]
    among = market.Market(products.DEFAULT, seed=5, rate=40, volatility=1).walks["BTC-USD"]
    assert [alone.next() for _ in range(600)] == [among.next() for _ in range(600)]


@pytest.mark.parametrize("product", products.numbered(12), ids=lambda p: p.id)
def test_prices_and_quotes_lie_on_the_grid_and_sizes_on_the_lot(product):
    for price, text, size, size_text, side, bid, _, ask, _, step in prints(product, 1_500):
        for number in (text, bid, ask):
            assert Decimal(number) % Decimal(product.quote_increment) == 0
        assert Decimal(size_text) % Decimal(product.base_increment) == 0
        assert Decimal(size_text) > 0
        assert float(size_text) == size, "or a candle's volume is not the sum of its trades"
        assert Decimal(bid) < Decimal(ask)
        assert Decimal(text) == Decimal(ask if side == "buy" else bid) == Decimal(repr(price))
        assert 2 <= step <= 2000


@pytest.mark.parametrize(("rate", "expected"), [(5.0, 0.0003), (50.0, 0.000095), (2_500.0, 0.0000134)])
def test_one_trades_move_has_the_documented_size(rate, expected):
    series = [math.log(row[0]) for row in prints(rate=rate, count=40_000)]
    moves = [b - a for a, b in itertools.pairwise(series)]
    # The median of |normal| is 0.6745 sigma; the median leaves jumps and clusters out of the comparison.
    typical = statistics.median(abs(move) for move in moves) / 0.6745
    assert typical == pytest.approx(expected, rel=0.3)


@pytest.mark.parametrize(("away", "seconds"), [(0.001, (0.8, 5)), (0.002, (4, 20)), (0.003, (9, 40))])
def test_a_stop_some_tenths_of_a_percent_away_is_reached_within_seconds(away, seconds):
    waits = []
    for seed in range(120):
        walk = Walk(BTC, seed=seed, rate=5.0)
        start, count = walk.next()[0], 0
        while abs(walk.next()[0] / start - 1) < away:
            count += 1
        waits.append(count / 5.0)
    assert seconds[0] < statistics.mean(waits) < seconds[1]


def test_wild_spells_follow_wild_spells_and_widen_the_spread():
    rows = prints(count=60_000)
    blocks = [rows[i : i + 50] for i in range(0, len(rows), 50)]
    moves = [statistics.fmean(abs(math.log(b[0] / a[0])) for a, b in itertools.pairwise(w)) for w in blocks]
    spreads = [statistics.fmean((float(r[7]) - float(r[5])) / r[0] for r in w) for w in blocks]
    assert statistics.correlation(moves[:-1], moves[1:]) > 0.4
    assert statistics.correlation(moves, spreads) > 0.6


def test_there_are_jumps_far_beyond_the_usual_move():
    rows = prints(count=50_000)
    moves = [abs(math.log(b[0] / a[0])) for a, b in itertools.pairwise(rows)]
    assert max(moves) > 12 * statistics.median(moves)


def test_a_long_run_stays_near_its_starting_price():
    walk = Walk(BTC, seed=9, rate=0.5)
    rows = [walk.next()[0] for _ in range(100_000)]  # more than two days
    assert 0.7 * 60_000 < min(rows) < max(rows) < 1.4 * 60_000


def test_more_volatility_moves_more():
    calm, wild = prints(volatility=0.5, count=3_000), prints(volatility=4, count=3_000)
    assert statistics.stdev(r[0] for r in wild) > 3 * statistics.stdev(r[0] for r in calm)


def test_after_a_reset_the_walk_goes_on_from_there():
    walk = Walk(BTC, seed=1, rate=5.0)
    walk.next()
    walk.reset_to(100.0)
    assert walk.next()[0] == pytest.approx(100, rel=0.02)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("BTC-USD", ["BTC-USD"]),
        ("BTC-USD, EURO-USDC", ["BTC-USD", "EURO-USDC"]),
        ("3", ["BTC-USD", "ETH-USD", "SOL-USD"]),
        ("10", [*(p.id for p in products.DEFAULT), "SIM009-USD", "SIM010-USD"]),
    ],
)
def test_products_are_named_or_counted(text, ids):
    assert [product.id for product in products.parse(text)] == ids


def test_a_starting_price_may_be_given_with_a_finer_grid_than_usual():
    (product,) = products.parse("BTC-USD=100.0005")
    assert (product.start_price, product.quote_increment) == (Decimal("100.0005"), "0.0001")


@pytest.mark.parametrize(
    "text", ["", "0", "9999", "btc-usd", "BTC-USD,BTC-USD", "BTC-USD=", "BTC-USD=-1", "BTC-USD=1e5", "BTC", "-3"]
)
def test_wrong_products_are_refused_in_one_sentence(text):
    with pytest.raises(ValueError, match=r"^products: ") as caught:
        products.parse(text)
    assert "\n" not in str(caught.value)


# History


def past(seed=1, product=BTC, **settings) -> history.History:
    return history.History(product, **{"seed": seed, "end_minute": NOW, "rate": 5.0, "volatility": 1.0} | settings)


def rows(bars: history.Bars) -> list[tuple]:
    return list(zip(*(column.tolist() for column in bars), strict=True))


def test_a_month_of_minutes_can_be_had_and_is_the_same_every_time():
    month = rows(past().bars(NOW - 30 * 1440, NOW))
    assert len(month) > 43_000
    assert month == rows(past().bars(NOW - 30 * 1440, NOW))
    assert month != rows(past(seed=2).bars(NOW - 30 * 1440, NOW))


def test_a_part_of_the_past_is_the_same_as_the_whole_cut():
    whole = rows(past().bars(NOW - 5_000, NOW - 1))
    part = rows(past().bars(NOW - 3_000, NOW - 1_000))
    assert part == [row for row in whole if NOW - 3_000 <= row[0] <= NOW - 1_000]


def test_history_meets_the_starting_price_and_then_stops():
    bars = rows(past().bars(NOW - 100, NOW + 100))
    assert bars[-1][0] == NOW - 1
    assert bars[-1][4] == 60_000.0


def test_bars_are_plausible_and_join_without_jumps_even_between_blocks():
    bars = rows(past().bars(NOW - 10 * 1440, NOW))
    for _, low, high, opened, close, volume in bars:
        assert 0 < low <= min(opened, close) <= max(opened, close) <= high
        assert volume > 0
    joints = [(a, b) for a, b in itertools.pairwise(bars) if b[0] == a[0] + 1]
    assert all(b[3] == a[4] for a, b in joints)
    assert statistics.stdev(math.log(b[4] / a[4]) for a, b in joints) == pytest.approx(history.SIGMA_MINUTE, rel=0.5)


def test_some_minutes_have_no_trade_and_illiquid_products_miss_many():
    liquid, thin = past().bars(NOW - 10_000, NOW - 1), past(rate=0.02).bars(NOW - 10_000, NOW - 1)
    assert 9_900 < len(liquid[0]) < 10_000
    assert 6_000 < len(thin[0]) < 8_000


def test_nothing_is_older_than_three_years():
    assert not rows(past().bars(NOW - 5 * 365 * 1440, NOW - 4 * 365 * 1440))
    assert rows(past().bars(NOW - 3 * 365 * 1440, NOW - 3 * 365 * 1440 + 50))


@pytest.mark.parametrize("minutes", [5, 15, 60, 360, 1440])
def test_larger_candles_are_made_of_the_minutes(minutes):
    fine = rows(past().bars(NOW - 3 * 1440, NOW - 1))
    for start, low, high, opened, close, volume in rows(history.aggregate(past().bars(NOW - 3 * 1440, NOW), minutes)):
        inside = [row for row in fine if start <= row[0] < start + minutes]
        assert start % minutes == 0
        assert (low, high) == (min(r[1] for r in inside), max(r[2] for r in inside))
        assert (opened, close) == (inside[0][3], inside[-1][4])
        assert volume == pytest.approx(sum(r[5] for r in inside))


def test_live_trades_continue_the_candles_and_the_day():
    tape = Tape(BTC, past(), first_id=1, sequence=0, keep=10)
    walk = Walk(BTC, seed=1, rate=5.0)
    made = [walk.next() for _ in range(600)]
    trades = [tape.add(*row, (NOW * 60 + i) * 1_000_000) for i, row in enumerate(made)]
    bars = rows(tape.candles(NOW - 5, NOW + 20, 1))
    live = [bar for bar in bars if bar[0] >= NOW]
    assert len(live) == 10
    for minute, low, high, opened, close, volume in live:
        inside = [r for r, t in zip(made, trades, strict=True) if t.time_us // MINUTE_US == minute]
        prices = [r[0] for r in inside]
        assert (low, high, opened, close) == (min(prices), max(prices), prices[0], prices[-1])
        assert volume == pytest.approx(sum(r[2] for r in inside), abs=1e-7)
    last = trades[-1]
    assert float(last.low_24h) <= min(r[0] for r in made) <= max(r[0] for r in made) <= float(last.high_24h)
    assert last.volume_24h - trades[0].volume_24h == pytest.approx(sum(r[2] for r in made[1:]))


def test_the_day_forgets_what_is_older_than_24_hours():
    tape = Tape(BTC, past(), first_id=1, sequence=0, keep=10)

    def print_at(hour: int, price: float):
        text = f"{price:.2f}"
        return tape.add(price, text, 1.0, "1", "buy", text, "1", text, "1", 2, (NOW * 60 + hour * 3600) * 1_000_000)

    spike = print_at(0, 90_000.0)
    assert spike.high_24h == "90000"
    assert print_at(12, 60_000.0).high_24h == "90000"
    later = [print_at(hour, 60_000.0) for hour in range(13, 40)][-1]
    assert (later.high_24h, later.low_24h, later.open_24h, later.volume_24h) == ("60000", "60000", "60000", 24.0)
