"""The waits between sessions: quick after a good one, doubled with full jitter after bad ones, long when sent away."""

import pytest

from apps.market.feeds.backoff import Backoff
from apps.market.feeds.base import FeedTimings

TIMINGS = FeedTimings()


def longest(low: float, high: float) -> float:
    return high


def shortest(low: float, high: float) -> float:
    return low


def test_the_first_wait_after_a_good_session_is_at_most_half_a_second() -> None:
    backoff = Backoff(TIMINGS, longest)
    for _ in range(6):
        backoff.wait_after(healthy_for=0, since_dialled=99)
    assert backoff.wait_after(healthy_for=30, since_dialled=99) == 0.5


def test_waits_double_up_to_the_cap_and_never_overflow() -> None:
    backoff = Backoff(TIMINGS, longest)
    waits = [backoff.wait_after(healthy_for=0, since_dialled=99) for _ in range(2000)]
    assert waits[:8] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert waits[-1] == 30


def test_a_session_with_little_data_does_not_start_the_count_over() -> None:
    backoff = Backoff(TIMINGS, longest)
    assert [backoff.wait_after(healthy_for=29.9, since_dialled=99) for _ in range(3)] == [0.5, 1, 2]


@pytest.mark.parametrize("since_dialled", [0.0, 0.25, 0.9])
def test_attempts_are_a_second_apart_even_when_the_dice_say_zero(since_dialled: float) -> None:
    wait = Backoff(TIMINGS, shortest).wait_after(healthy_for=0, since_dialled=since_dialled)
    assert since_dialled + wait == pytest.approx(1.0)


def test_who_is_sent_away_waits_thirty_seconds_and_then_longer() -> None:
    backoff = Backoff(TIMINGS, shortest)
    waits = [backoff.wait_after(healthy_for=0, since_dialled=1, is_policy=True) for _ in range(6)]
    assert waits == [30, 60, 120, 240, 300, 300]
    assert Backoff(TIMINGS, longest).wait_after(healthy_for=0, since_dialled=1, is_policy=True) == 36


def test_the_venues_own_wish_is_obeyed_within_reason() -> None:
    wait = Backoff(TIMINGS, shortest).wait_after(healthy_for=0, since_dialled=1, is_policy=True, retry_after=45)
    assert wait == 45
    wait = Backoff(TIMINGS, shortest).wait_after(healthy_for=0, since_dialled=1, is_policy=True, retry_after=99_999)
    assert wait == 300
