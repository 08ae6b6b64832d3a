"""Sources without numbers, without a stream, or without a market: ordered by time, asked again."""

import sys
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.domain import feed_rules
from apps.domain.plugins import PluginError
from apps.market.feeds import FEEDS, exact
from apps.market.feeds.base import FeedConfig, FeedStatus, GateRules
from apps.market.feeds.counters import FeedCounters
from apps.market.feeds.gate import Gate
from apps.market.feeds.gated import Trade
from apps.market.feeds.time_gate import TimeGate
from tests.market.answering import answering
from tests.market.dialects import Print
from tests.market.following import QUICK, Recorder, following, wait_for
from tests.market.stages import Rest
from tests.market.venue import iso

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine is shared
NS = 1_000_000_000
NOW = 1_767_614_400 * NS


def gate_of(kind: type[Gate] = TimeGate, **known: int) -> tuple[Gate, Recorder, FeedCounters]:
    sink, counters = Recorder(), FeedCounters()
    gate = kind(sink=sink, counters=counters, rules=GateRules(), heartbeat_grace=1.0, known_trade_ids=known or {})
    gate.follow(["A"])
    return gate, sink, counters


def take(
    gate: Gate, second: float, price: str = "100", *, late: float = 0.0, timed: bool = True, **item: object
) -> None:
    """Hand in a print of this second, received `late` seconds after it."""
    stamp = iso(NOW / NS + second) if timed else ""
    gate.take(Trade(symbol="A", price=price, venue_time=stamp, **item), NOW + int((second + late) * NS))


# -- order by time -----------------------------------------------------------------------------------------------------


def test_prints_are_ordered_by_the_venues_time() -> None:
    gate, sink, counters = gate_of()
    for second, price in ((1, "100"), (2, "101"), (1.5, "90"), (3, "102")):
        take(gate, second, price, late=3.0 - second)
    assert [tick.text for tick in sink.ticks] == ["100", "101", "102"]
    assert counters.out_of_order == 1
    assert {tick.trade_id for tick in sink.ticks} == {0}
    assert sink.gaps == []


def test_twins_of_one_instant_are_told_apart_by_number_or_content() -> None:
    gate, sink, counters = gate_of()
    for number in (900, 7, 900, 7, 8):
        take(gate, 1, "100", trade_id=number)
    assert [tick.trade_id for tick in sink.ticks] == [900, 7, 8]
    gate, sink, _ = gate_of()
    for size in ("1", "2", "1"):
        take(gate, 1, "100", size=size)
    assert [tick.size for tick in sink.ticks] == ["1", "2"]
    assert counters.duplicates == 2


def test_without_a_time_the_same_answer_again_is_no_news() -> None:
    gate, sink, counters = gate_of()
    for price in ("100", "100", "101", "101", "100"):
        take(gate, 1, price, timed=False)
    assert [tick.text for tick in sink.ticks] == ["100", "101", "100"]
    assert [tick.snapshot for tick in sink.ticks] == [True, False, False]
    assert counters.duplicates == 2


def test_a_time_in_the_future_does_not_shut_out_what_follows() -> None:
    gate, sink, _ = gate_of()
    take(gate, 1, "100")
    gate.take(Trade(symbol="A", price="101", venue_time=iso(NOW / NS + 3600)), NOW + 2 * NS)
    take(gate, 3, "102")
    assert [tick.text for tick in sink.ticks] == ["100", "101", "102"]


def test_a_clock_that_was_set_back_is_believed_after_a_while_and_late_reports_are_not() -> None:
    gate, sink, counters = gate_of()
    take(gate, 100, "100")
    for number in range(10):
        gate.take(
            Trade(symbol="A", price=f"10{number}", venue_time=iso(NOW / NS + 40 + number)), NOW + (101 + number) * NS
        )
    assert counters.restarts == 1
    assert [tick.text for tick in sink.ticks] == ["100", "104", "105", "106", "107", "108", "109"]
    gate, sink, counters = gate_of()
    for second in range(1, 60):
        take(gate, second, "100")
        take(gate, second - 0.5, "101", late=0.6)
    assert counters.out_of_order == 59
    assert counters.restarts == 0


def test_a_lost_session_leaves_a_blind_span_and_no_gap() -> None:
    gate, sink, _ = gate_of()
    gate.session_opened()
    take(gate, 1)
    gate.alive("A", NOW + 5 * NS)
    gate.session_opened()
    take(gate, 30, "101")
    take(gate, 31, "102")
    assert sink.blinds == [("A", NOW + 5 * NS, NOW + 30 * NS)]
    assert [tick.snapshot for tick in sink.ticks] == [False, False, False]


@PATIENT
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3), st.integers(0, 5)), max_size=60))
def test_time_never_goes_back_and_nothing_comes_twice(prints: list[tuple[int, int, int]]) -> None:
    gate, sink, _ = gate_of()
    for step, (second, number, cents) in enumerate(prints):
        stamp = iso(NOW / NS + second)
        gate.take(Trade(symbol="A", price=f"100.{cents}", trade_id=number, venue_time=stamp), NOW + 30 * NS + step)
    times = [tick.venue_time for tick in sink.ticks]
    assert times == sorted(times)
    numbered = [(tick.venue_time, tick.trade_id) for tick in sink.ticks if tick.trade_id]
    assert len(numbered) == len(set(numbered))


# -- what a venue says of its own trades -------------------------------------------------------------------------------


def test_a_trade_that_is_none_is_not_missing_and_one_before_it_is() -> None:
    gate, sink, counters = gate_of(Gate)
    take(gate, 1, trade_id=1)
    gate.skip("A", 2, "no trade")
    take(gate, 2, trade_id=3)
    gate.skip("A", 6, "no trade")
    take(gate, 3, trade_id=7)
    assert [tick.trade_id for tick in sink.ticks] == [1, 3, 7]
    assert sink.gaps == [("A", 4, 5)]
    assert counters.rejected == {"no trade": 2}


def test_one_print_for_several_trades_leaves_no_hole() -> None:
    gate, sink, counters = gate_of(Gate)
    take(gate, 1, trade_id=1)
    gate.merge("A", 2, 5)
    take(gate, 2, trade_id=5)
    gate.merge("A", 8, 9)
    take(gate, 3, trade_id=9)
    assert [tick.trade_id for tick in sink.ticks] == [1, 5, 9]
    assert sink.gaps == [("A", 6, 8)]
    assert counters.missing == 3


# -- exact numbers and times -------------------------------------------------------------------------------------------


@PATIENT
@given(st.decimals(min_value=0, max_value=10**9, places=9, allow_nan=False))
def test_a_json_number_keeps_its_value_whatever_its_spelling(value: Decimal) -> None:
    for text in (f"{value:f}", f"{value:e}"):
        found = exact.number(msgspec.Raw(text.encode()))
        assert Decimal(found) == value
        assert "e" not in found.lower()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("1767614400", "2026-01-05T12:00:00.000000Z"),
        ("1767614400.25", "2026-01-05T12:00:00.250000Z"),
        ("1767614400123", "2026-01-05T12:00:00.123000Z"),
        ("1767614400123456", "2026-01-05T12:00:00.123456Z"),
        ("1767614400123456789", "2026-01-05T12:00:00.123456Z"),
        ("0", ""),
        ("-5", ""),
        ("NaN", ""),
        ("1e400", ""),
        ("soon", ""),
    ],
)
def test_the_unit_of_a_time_is_told_by_its_size(number: str, text: str) -> None:
    assert exact.iso_of_number(number) == text


@PATIENT
@given(st.integers(1, 4_102_444_800_000))
def test_milliseconds_become_the_same_instant(milliseconds: int) -> None:
    assert feed_rules.instant_ns(exact.iso_of_ms(milliseconds)) == milliseconds * 1_000_000


# -- any REST source ---------------------------------------------------------------------------------------------------


def rest_config(address: str, **options: str) -> FeedConfig:
    return FeedConfig(ws_url="", rest_url=address, products=("XAU",), timings=QUICK, options=options)


@pytest.mark.parametrize(
    ("body", "options", "expected"),
    [
        (b'{"price":1944.10}', {}, ("1944.10", "0", 0)),
        (b'[{"p":"1944.10","q":2e-3}]', {"price": "0.p", "size": "0.q"}, ("1944.10", "0.002", 0)),
        (
            b'{"r":{"XAU":{"c":["1944.10","3"],"id":77}}}',
            {"price": "r.XAU.c.0", "trade_id": "r.XAU.id"},
            ("1944.10", "0", 77),
        ),
    ],
)
def test_a_price_is_found_where_the_options_say(body: bytes, options: dict[str, str], expected: object) -> None:
    with answering(lambda path, query, _: (200, {}, body)) as venue:
        feed = FEEDS.get("rest")(rest_config(venue.url, **options), Recorder())
        (found,) = feed.ask("XAU")
        feed.stop()
    assert (found.price, found.size, found.trade_id) == expected


def test_the_key_goes_where_the_options_say_and_the_product_into_the_address() -> None:
    with answering(lambda path, query, _: (200, {}, b'{"price":"5"}')) as venue:
        config = replace(rest_config("", url=f"{venue.url}/v1/{{symbol}}?x=1", header="X-Key"), key="K")
        rest = FEEDS.get("rest")(config, Recorder()).rest()
        tick = rest.ticker("A/B")
        rest.close()
    assert (tick.text, tick.refilled) == ("5", True)
    assert venue.asked[0][:2] == ("/v1/A%2FB", {"x": "1"})


@pytest.mark.parametrize("body", [b"", b"{}", b'{"price":null}', b'{"price":[1]}', b'{"price":true}', b"[[[", b"\xff"])
def test_an_answer_without_a_price_is_kept_for_a_person(body: bytes) -> None:
    with (
        answering(lambda path, query, _: (200, {}, body)) as venue,
        following("ws://127.0.0.1:1", "XAU", name="rest", rest_url=venue.url) as (feed, sink),
    ):
        wait_for(lambda: feed.counters.garbage >= 2)
        wait_for(lambda: "silent" in sink.reasons(FeedStatus.DOWN))
    assert sink.ticks == []


def test_a_rest_source_without_an_address_says_which_setting_is_missing() -> None:
    with pytest.raises(PluginError, match="rest_url"):
        FEEDS.get("rest")(rest_config(""), Recorder())


def test_rounds_are_no_faster_than_they_should_be() -> None:
    stage = Rest()
    stage.play(Print(symbol="GOLD", n=1))
    with stage.followed(timings=replace(QUICK, poll_every=0.2)) as (feed, sink):
        wait_for(lambda: len(stage._venue.asked) >= 5)
        times = [at for _, _, at in stage._venue.asked]
    stage.close()
    assert all(later - sooner >= 0.15 for sooner, later in pairwise(times))
    assert len(sink.ticks) == 1
    assert feed.counters.sessions == 1


# -- ccxt --------------------------------------------------------------------------------------------------------------


def test_without_ccxt_its_feed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ccxt", None)
    with pytest.raises(PluginError, match=r"requirements-exchanges\.txt"):
        FEEDS.get("ccxt")(rest_config("", exchange="kraken"), Recorder())


def test_an_exchange_that_ccxt_does_not_know_is_named() -> None:
    with pytest.raises(PluginError, match="nowhere"):
        FEEDS.get("ccxt")(rest_config("", exchange="nowhere"), Recorder())
