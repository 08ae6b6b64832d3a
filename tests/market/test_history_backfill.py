"""Backfilling refuses what makes no sense, asks for nothing twice, runs once at a time, and survives the venue."""

import io
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings
from sqlalchemy import text

from apps.domain.spans import Span
from apps.market import store
from apps.market.models import Coverage, Instrument
from apps.market.services import coverage, history
from apps.market.store import Timeframe, schema
from apps.market.store import candles as store_candles
from apps.market.store.timeframes import floor
from apps.simulator.exchange import SimExchange
from tests import factories
from tests.market.history import at, minutes_stored

pytestmark = pytest.mark.django_db(transaction=True)
SINCE = "2026-11-10T12:00:00Z"
UNTIL = "2026-11-10T22:00:00+00:00"


@pytest.fixture
def exchange(settings: Settings) -> Iterator[SimExchange]:
    with SimExchange(products="BTC-USD,ETH-USD", rate=None) as running:
        settings.COINBASE_REST_URL = running.rest_url
        yield running


@pytest.fixture
def coin(market: store.Store) -> Instrument:
    return factories.make_instrument(price=None)


def backfill(*words: str, since: str = SINCE, until: str = UNTIL) -> list[dict[str, Any]]:
    said = io.StringIO()
    call_command("backfill", *words, "--since", since, "--until", until, "--json", stdout=said)
    return list(json.loads(said.getvalue())["backfills"])


def test_the_candles_of_a_span_are_fetched_and_remembered(
    market: store.Store, coin: Instrument, exchange: SimExchange
) -> None:
    (done,) = backfill("BTC-USD")
    assert done["buckets"] == 600 == done["candles"] + done["empty"]
    assert done["changed"] == done["candles"] == len(minutes_stored(market, coin))
    assert [(row.since, row.until) for row in Coverage.objects.all()] == [(at(0), at(600))]


def test_what_is_known_is_not_asked_for_again_unless_told(
    market: store.Store, coin: Instrument, exchange: SimExchange
) -> None:
    backfill("BTC-USD", until="2026-11-10T14:00:00Z")
    (done,) = backfill("BTC-USD")
    assert (done["known_before"], done["candles"] + done["empty"]) == (120, 480)
    (done,) = backfill("BTC-USD", "--again")
    assert (done["known_before"], done["candles"] + done["empty"], done["changed"]) == (0, 600, 0)


def test_a_hole_in_the_middle_is_all_that_is_fetched(
    market: store.Store, coin: Instrument, exchange: SimExchange
) -> None:
    coverage.add(coin.pk, Timeframe.MINUTE, [Span(at(0), at(100)), Span(at(200), at(600))])
    (done,) = backfill("BTC-USD")
    assert done["candles"] + done["empty"] == 100
    assert all(100 <= minute < 200 for minute in minutes_stored(market, coin))
    assert [(row.since, row.until) for row in Coverage.objects.all()] == [(at(0), at(600))]


def test_several_instruments_and_all_of_them(market: store.Store, coin: Instrument, exchange: SimExchange) -> None:
    factories.make_instrument("ETH-USD", price=None)
    factories.make_instrument("OFF-USD", price=None, enabled=False)
    assert [row["instrument"] for row in backfill("ETH-USD", "BTC-USD", "ETH-USD")] == ["ETH-USD", "BTC-USD"]
    assert [row["instrument"] for row in backfill("--all")] == ["BTC-USD", "ETH-USD"]


@pytest.mark.parametrize("timeframe", [Timeframe.FIVE_MINUTES, Timeframe.QUARTER, Timeframe.HOUR, Timeframe.DAY])
def test_the_longer_candles_are_made_of_what_was_fetched(
    market: store.Store, coin: Instrument, exchange: SimExchange, timeframe: Timeframe
) -> None:
    backfill("BTC-USD", until="2026-11-10T17:00:00Z")
    backfill("BTC-USD")
    minutes = store_candles.rows(market, coin.pk, Timeframe.MINUTE, since=at(0))
    wanted: dict[datetime, list[store_candles.CandleRow]] = {}
    for row in minutes:
        wanted.setdefault(floor(row.at, timeframe.width), []).append(row)
    assert [row[1:7] for row in store_candles.rows(market, coin.pk, timeframe, since=at(-720))] == [
        (
            start,
            parts[0].open,
            max(part.high for part in parts),
            min(part.low for part in parts),
            parts[-1].close,
            sum(part.volume for part in parts),
        )
        for start, parts in sorted(wanted.items())
    ]


def test_longer_candles_that_a_death_left_out_are_made_when_it_goes_on(
    market: store.Store, coin: Instrument, exchange: SimExchange
) -> None:
    backfill("BTC-USD")
    longer = store_candles.rows(market, coin.pk, Timeframe.HOUR, since=at(0))
    with market.transaction() as raw:  # as if killed between the minutes and the hours
        raw.execute(text(f"DELETE FROM {schema.CANDLES} WHERE timeframe = '1h'"))
    Coverage.objects.all().delete()
    backfill("BTC-USD")
    assert store_candles.rows(market, coin.pk, Timeframe.HOUR, since=at(0)) == longer != []


def test_other_lengths_of_candles_are_apart(market: store.Store, coin: Instrument, exchange: SimExchange) -> None:
    (done,) = backfill("BTC-USD", "--timeframe", "1h")
    assert (done["buckets"], done["candles"]) == (10, 10)
    assert minutes_stored(market, coin) == []


def test_ends_within_a_candle_are_widened_to_whole_ones(
    market: store.Store, coin: Instrument, exchange: SimExchange
) -> None:
    (done,) = backfill("BTC-USD", since="2026-11-10T12:00:30Z", until="2026-11-10T12:04:30Z")
    assert (done["since"], done["until"]) == (at(0).isoformat(), at(5).isoformat())


@pytest.mark.parametrize(
    ("words", "since", "until", "rule"),
    [
        (["BTC-USD"], "2026-11-10T12:00:00", UNTIL, "has no offset from UTC"),
        (["BTC-USD"], "2026-11-10", UNTIL, "has no offset from UTC"),
        (["BTC-USD"], "yesterday", UNTIL, "is no instant"),
        (["BTC-USD"], UNTIL, SINCE, "is not before until"),
        (["BTC-USD"], SINCE, SINCE, "is not before until"),
        (["BTC-USD"], SINCE, "2999-01-01T00:00:00Z", "until: 2999-01-01T00:00:00.00:00: lies in the future"),
        (["BTC-USD"], "2998-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "since: 2998.* lies in the future"),
        (["BTC-USD", "NOPE"], SINCE, UNTIL, "NOPE: is no instrument"),
        (["BTC-USD", "--all"], SINCE, UNTIL, "or use --all"),
        ([], SINCE, UNTIL, "name instruments"),
        (["BTC-USD", "--timeframe", "4h"], SINCE, UNTIL, "no length of a candle"),
        (["BTC-USD", "--timeframe", "1s"], SINCE, UNTIL, "is no candle of this venue"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(
    coin: Instrument, exchange: SimExchange, words: list[str], since: str, until: str, rule: str
) -> None:
    with pytest.raises(CommandError, match=rule):
        backfill(*words, since=since, until=until)
    assert not Coverage.objects.exists()


def test_a_candle_that_has_just_closed_is_left_for_later(
    market: store.Store, coin: Instrument, exchange: SimExchange
) -> None:
    now = datetime(2026, 11, 10, 12, 30, 30, tzinfo=UTC)
    (job,) = history.plan(["BTC-USD"], Timeframe.MINUTE, at(0), None, now)
    assert job.until == at(29)


def test_a_second_one_is_told_that_the_first_still_runs(
    market: store.Store, coin: Instrument, exchange: SimExchange
) -> None:
    (job,) = history.plan(["BTC-USD"], Timeframe.MINUTE, at(0), at(600), at(700))
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with history.alone(job):
            held.set()
            done.wait(20)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    try:
        with pytest.raises(CommandError, match="being fetched by another process"):
            backfill("BTC-USD")
        backfill("BTC-USD", "--timeframe", "1h")  # another length is another job
    finally:
        done.set()
        thread.join()
    backfill("BTC-USD")


def test_a_venue_that_fails_ends_the_run_and_the_next_one_goes_on(
    market: store.Store, coin: Instrument, exchange: SimExchange
) -> None:
    backfill("BTC-USD", until="2026-11-10T13:00:00Z")
    exchange.fault("rest_status:404,1")
    with pytest.raises(CommandError, match="goes on from there"):
        backfill("BTC-USD")
    (done,) = backfill("BTC-USD")
    assert done["known_before"] == 60
    assert Coverage.objects.get().until == at(600)


def test_spans_remembered_at_once_by_many_become_one(market: store.Store, coin: Instrument) -> None:
    def remember(offset: int) -> None:
        for start in range(offset, 200, 4):
            coverage.add(coin.pk, Timeframe.MINUTE, [Span(at(start), at(start + 1))])
        connection.close()

    threads = [threading.Thread(target=remember, args=[offset]) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(row.since, row.until) for row in Coverage.objects.all()] == [(at(0), at(200))]
    assert coverage.missing(coin.pk, Timeframe.MINUTE, at(-5), at(205)) == [
        Span(at(-5), at(0)),
        Span(at(200), at(205)),
    ]
    assert coverage.missing(coin.pk, Timeframe.HOUR, at(0), at(60)) == [Span(at(0), at(60))]


def test_a_page_that_was_stored_but_not_remembered_is_fetched_again_without_harm(
    market: store.Store, coin: Instrument, exchange: SimExchange
) -> None:
    backfill("BTC-USD")
    before = minutes_stored(market, coin)
    Coverage.objects.update(until=at(0) + timedelta(minutes=299))
    (done,) = backfill("BTC-USD")
    assert (done["known_before"], done["changed"]) == (299, 0)
    assert minutes_stored(market, coin) == before
