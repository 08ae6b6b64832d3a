"""A second source takes over when the first is silent, and gives back when the first has proved itself."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.market.feeds.switch import Pair, Switchboard, Switched, SwitchRules

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine is shared
AT = datetime(2026, 1, 5, tzinfo=UTC)
PAIR = Pair(instrument="BTC-USD", primary="coinbase", fallback="kraken")
RULES = SwitchRules(silent_after=10, live_within=5, healthy_for=60, longest_pause=5, stay_at_least=30)


class Play:
    """A switchboard, and a clock that the test moves second by second."""

    def __init__(self, rules: SwitchRules = RULES) -> None:
        self.board = Switchboard(rules)
        self.now = 1000.0
        self.board.follow([PAIR], self.now)
        self.switched: list[Switched] = []

    def seconds(self, count: int, *feeds: str) -> "Play":
        for _ in range(count):
            self.now += 1
            for feed in feeds:
                self.board.heard("BTC-USD", feed, self.now)
            at = AT + timedelta(seconds=self.now - 1000)
            self.switched += self.board.judge(self.now, at)
        return self

    @property
    def source(self) -> str:
        return self.board.source_of("BTC-USD")

    def ways(self) -> list[tuple[str, str]]:
        return [(one.from_feed, one.to_feed) for one in self.switched]


def test_the_named_source_is_used_while_it_is_heard() -> None:
    play = Play().seconds(100, "coinbase", "kraken")
    assert play.source == "coinbase"
    assert play.board.accepts("BTC-USD", "coinbase")
    assert not play.board.accepts("BTC-USD", "kraken")
    assert play.switched == []


def test_a_silent_source_is_left_for_one_that_lives_and_the_change_is_written_down() -> None:
    play = Play().seconds(20, "coinbase", "kraken").seconds(10, "kraken")
    assert play.source == "coinbase", "ten seconds are not more than ten seconds"
    play.seconds(1, "kraken")
    assert play.source == "kraken"
    assert play.switched == [
        Switched(
            instrument="BTC-USD",
            from_feed="coinbase",
            to_feed="kraken",
            why="coinbase silent for 11.0 s",
            at=AT + timedelta(seconds=31),
        )
    ]
    assert play.board.accepts("BTC-USD", "kraken")
    assert not play.board.accepts("BTC-USD", "coinbase")


def test_nothing_is_gained_by_going_to_a_source_that_is_silent_as_well() -> None:
    play = Play().seconds(20, "coinbase", "kraken").seconds(300)
    assert play.source == "coinbase"
    assert play.switched == []
    play.seconds(1, "kraken")
    assert play.source == "kraken"


def test_a_source_that_never_spoke_is_left_too_but_not_before_its_time() -> None:
    play = Play().seconds(10, "kraken")
    assert play.source == "coinbase"
    assert play.seconds(1, "kraken").source == "kraken"


def test_it_is_gone_back_to_after_a_minute_of_health_and_not_before() -> None:
    play = Play().seconds(20, "coinbase", "kraken").seconds(20, "kraken")
    assert play.seconds(60, "coinbase", "kraken").source == "kraken"
    assert play.seconds(1, "coinbase", "kraken").source == "coinbase"
    assert play.switched[-1].why == "coinbase healthy for 60.0 s"


def test_health_is_counted_anew_after_a_pause_and_after_a_lost_connection() -> None:
    play = Play().seconds(20, "coinbase", "kraken").seconds(20, "kraken")
    play.seconds(50, "coinbase", "kraken").seconds(6, "kraken")
    assert play.seconds(55, "coinbase", "kraken").source == "kraken"
    play.board.lost("coinbase")
    assert play.seconds(60, "coinbase", "kraken").source == "kraken"
    assert play.seconds(1, "coinbase", "kraken").source == "coinbase"


def test_when_the_second_falls_silent_a_living_first_is_taken_back_at_once() -> None:
    play = Play().seconds(20, "coinbase", "kraken").seconds(15, "kraken")
    assert play.source == "kraken"
    play.seconds(11, "coinbase")
    assert play.source == "coinbase"
    assert play.switched[-1].why == "kraken silent for 11.0 s"


def test_a_short_loss_of_the_connection_is_no_reason_to_leave() -> None:
    play = Play().seconds(100, "coinbase", "kraken")
    play.board.lost("coinbase")
    play.seconds(3, "kraken").seconds(20, "coinbase", "kraken")
    assert play.switched == []


def test_an_instrument_with_one_source_is_left_alone() -> None:
    board = Switchboard(RULES)
    board.heard("ETH-USD", "coinbase", 1.0)
    assert board.source_of("ETH-USD") == ""
    assert board.accepts("ETH-USD", "anything")
    assert board.judge(100.0, AT) == []


def test_a_pair_that_stays_keeps_its_place_and_one_that_changes_begins_anew() -> None:
    play = Play().seconds(5, "kraken").seconds(10, "kraken")
    assert play.source == "kraken"
    eth = Pair(instrument="ETH-USD", primary="coinbase", fallback="binance")
    play.board.follow([PAIR, eth], play.now)
    assert play.source == "kraken"
    play.board.follow([Pair(instrument="BTC-USD", primary="coinbase", fallback="binance")], play.now)
    assert play.source == "coinbase"
    assert play.board.source_of("ETH-USD") == ""


def test_a_source_is_no_fallback_of_itself() -> None:
    with pytest.raises(ValueError, match="BTC-USD: a source cannot be its own fallback"):
        Switchboard().follow([Pair(instrument="BTC-USD", primary="coinbase", fallback="coinbase")], 0.0)


@PATIENT
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(1, 40)), max_size=30))
def test_whatever_happens_it_never_flaps_nor_stays_with_the_dead(spans: list[tuple[bool, bool, int]]) -> None:
    play = Play()
    heard: dict[str, float] = {}
    for first, second, count in spans:
        for _ in range(count):
            feeds = [feed for feed, lives in (("coinbase", first), ("kraken", second)) if lives]
            play.seconds(1, *feeds)
            heard |= dict.fromkeys(feeds, play.now)
            other = "kraken" if play.source == "coinbase" else "coinbase"
            silent_for = play.now - max(heard.get(play.source, 0.0), 1000.0)
            moved_for = (AT + timedelta(seconds=play.now - 1000) - play.switched[-1].at) if play.switched else None
            if silent_for > 11 and (moved_for is None or moved_for > timedelta(seconds=11)):
                assert other not in feeds, "the other one lives and is not used"
    ways = play.ways()
    assert ways == [("coinbase", "kraken"), ("kraken", "coinbase")] * (len(ways) // 2) + (
        [("coinbase", "kraken")] if len(ways) % 2 else []
    )
    for before, after in pairwise(play.switched):
        assert after.at - before.at >= timedelta(seconds=10)
