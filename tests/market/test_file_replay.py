"""A recorded file as a source: played at its pace or at once, rebased to now or as it was."""

import gzip
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from apps.domain import feed_rules
from apps.market.feeds import FEEDS
from apps.market.feeds.base import FeedConfig, FeedStatus
from apps.market.feeds.rest import FeedUnavailable
from tests.market.following import Recorder, following, wait_for
from tests.market.stages import File
from tests.market.venue import iso, ticker

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine is shared
NS = 1_000_000_000
NOW = 1_767_614_400 * NS


def line(number: int, at_ns: int, price: str = "100.00") -> bytes:
    message = ticker("BTC-USD", number, price, time=iso(at_ns / NS - 0.25))
    return json.dumps({"at_ns": at_ns, "msg": message}).encode() + b"\n"


def played(path: Path, until: Callable[[Recorder], object], **options: str) -> Recorder:
    given_options = {"path": str(path), "speed": "0", **options}
    with following("ws://127.0.0.1:1", name="file", options=given_options) as (_, sink):
        wait_for(lambda: until(sink))
    return sink


@pytest.mark.parametrize("is_zipped", [False, True])
def test_a_file_is_played_to_its_end(tmp_path: Path, is_zipped: bool) -> None:
    path = tmp_path / "ticks"
    data = b"".join(line(number, NOW + number * NS, f"100.{number}") for number in range(1, 6))
    path.write_bytes(gzip.compress(data) if is_zipped else data)
    sink = played(path, lambda sink: "the file is at its end" in sink.reasons(FeedStatus.DOWN))
    assert sink.ids() == [1, 2, 3, 4, 5]
    assert [tick.text for tick in sink.ticks] == [f"100.{number}" for number in range(1, 6)]
    assert not any(tick.snapshot for tick in sink.ticks)
    ages = [tick.received_ns - (feed_rules.instant_ns(tick.venue_time) or 0) for tick in sink.ticks]
    assert all(abs(age - NS // 4) < 10_000 for age in ages), "a print is as old as it was"


def test_recorded_times_stay_when_they_are_to_stay(tmp_path: Path) -> None:
    (path := tmp_path / "ticks").write_bytes(line(1, NOW) + line(2, NOW + NS))
    sink = played(path, lambda sink: len(sink.ticks) == 2, rebase="no")
    assert [tick.snapshot for tick in sink.ticks] == [True, False]
    assert sink.ticks[1].venue_time == iso(NOW / NS + 0.75)


def test_a_file_that_begins_again_goes_on_counting(tmp_path: Path) -> None:
    (path := tmp_path / "ticks").write_bytes(b"".join(line(number, NOW + number) for number in range(11, 16)))
    sink = played(path, lambda sink: len(sink.ticks) >= 14, loop="yes")
    assert sink.ids()[:14] == list(range(11, 25))
    assert sink.gaps == []


def test_the_recorded_pace_is_kept_and_the_feed_says_that_it_lives(tmp_path: Path) -> None:
    (path := tmp_path / "ticks").write_bytes(line(1, NOW) + line(2, NOW + 13 * NS))
    began = time.monotonic()
    sink = played(path, lambda sink: len(sink.ticks) == 2, speed="10")
    assert 1.2 < time.monotonic() - began < 3
    assert len(sink.beats) >= 2


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "cannot be read"),
        (b"", "holds no price"),
        (b"garbage\n", "holds no price"),
        (gzip.compress(line(1, NOW) * 2000)[:40], "cannot be read"),
    ],
    ids=["not there", "empty", "garbage", "cut off"],
)
def test_a_file_that_is_no_use_says_why_and_ends_when_asked(tmp_path: Path, data: bytes | None, words: str) -> None:
    path = tmp_path / "ticks"
    if data is not None:
        path.write_bytes(data)
    sink = played(path, lambda sink: any(words in reason for reason in sink.reasons(FeedStatus.DOWN)))
    assert sink.ticks == []


def test_a_file_has_nothing_to_answer() -> None:
    stage = File()
    feed = FEEDS.get("file")(FeedConfig(ws_url="", rest_url="", **stage.config()), Recorder())
    rest = feed.rest()
    for question in (
        rest.products,
        rest.time,
        lambda: rest.ticker("A"),
        lambda: rest.trades("A", 1, 2),
        lambda: rest.candles("A", 60, datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC)),
    ):
        with pytest.raises(FeedUnavailable) as refused:
            question()
        assert refused.value.permanent
    stage.close()
