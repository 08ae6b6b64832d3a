"""The admin's pages on the market: a second feed, a shard that somebody started, the sessions of an exchange."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse

from apps.journal.models import Event, Pulse
from apps.market.models import Instrument, Quote, TradingSession
from tests.admin.test_actions import INSTRUMENT

pytestmark = pytest.mark.django_db


def changed(desk: Client, instrument: Instrument, **change: str) -> dict[str, list[str]]:
    """Send the form of an instrument; return what is wrong with it."""
    answer = desk.post(reverse("admin:market_instrument_change", args=[instrument.pk]), INSTRUMENT | change)
    if answer.status_code == 302:
        return {}
    return dict(answer.context["adminform"].form.errors)


def test_a_second_feed_is_named_and_written_down(desk: Client, btc: Instrument) -> None:
    assert changed(desk, btc, fallback_feed="kraken", fallback_symbol="BTC/USD") == {}
    btc.refresh_from_db()
    assert (btc.fallback_feed, btc.fallback_symbol) == ("kraken", "BTC/USD")
    payload = Event.objects.get(kind="instrument.changed").payload["changes"]
    assert (payload["fallback_feed"], payload["fallback_symbol"]) == ("kraken", "BTC/USD")
    assert changed(desk, btc, fallback_feed="") == {}


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"fallback_feed": "coinbase"}, "fallback_feed", "another feed than the first"),
        ({"fallback_feed": "tea-leaves"}, "fallback_feed", "Select a valid choice"),
        ({"fallback_symbol": "BTC/USD"}, "fallback_symbol", "choose one"),
    ],
)
def test_a_second_feed_that_makes_no_sense_is_refused(
    desk: Client, btc: Instrument, change: dict[str, str], field: str, words: str
) -> None:
    assert words in " ".join(changed(desk, btc, **change)[field])


def test_a_feed_with_a_suffix_is_offered_where_it_has_settings_or_is_in_use(
    desk: Client, btc: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "feed" in changed(desk, btc, feed="rest:gold")
    monkeypatch.setenv("FEED_REST_GOLD_OPTIONS", "price=p")
    assert changed(desk, btc, feed="rest:gold") == {}
    monkeypatch.delenv("FEED_REST_GOLD_OPTIONS")
    assert changed(desk, btc, feed="rest:gold") == {}, "what it has it may keep"


def test_a_shard_takes_instruments_once_its_listener_runs(desk: Client, btc: Instrument) -> None:
    now = datetime.now(UTC)
    Pulse.objects.create(name="listener:70", host="h", pid=1, started_at=now, beat_at=now)
    assert "has no listener" in " ".join(changed(desk, btc, shard="7")["shard"])
    Pulse.objects.create(name="listener:7", host="h", pid=2, started_at=now, beat_at=now)
    assert changed(desk, btc, shard="7") == {}


def test_the_list_says_which_feed_stands_in(desk: Client, btc: Instrument) -> None:
    Quote.objects.filter(instrument=btc).update(feed="kraken")
    page = desk.get(reverse("admin:market_instrument_changelist")).content.decode()
    assert "kraken for coinbase" in page
    chart = desk.get(reverse("admin:market_instrument_chart", args=[btc.pk])).content.decode()
    assert "kraken in place of coinbase" in chart


def session(day: date, **more: object) -> TradingSession:
    opens = datetime(day.year, day.month, day.day, 14, 30, tzinfo=UTC)
    times = {"opens_at": opens, "closes_at": opens + timedelta(hours=6.5), **more}
    return TradingSession.objects.create(calendar="XNYS", day=day, **times)


def test_sessions_begin_with_what_is_to_come(desk: Client) -> None:
    today = datetime.now(UTC).date()
    past, soon = today - timedelta(days=7), today + timedelta(days=7)
    session(past)
    opens = datetime(soon.year, soon.month, soon.day, 14, 30, tzinfo=UTC)
    session(soon, early_close=True, pre_opens_at=opens - timedelta(hours=5.5))
    address = reverse("admin:market_tradingsession_changelist")
    page = desk.get(address).content.decode()
    assert str(soon) in page
    assert str(past) not in page
    assert "early close" in page
    assert "09:00" in page
    assert str(past) in desk.get(address, {"when": "past"}).content.decode()
    both = desk.get(address, {"when": "all"}).content.decode()
    assert str(past) in both
    assert str(soon) in both
    row = TradingSession.objects.get(day=soon)
    assert desk.get(reverse("admin:market_tradingsession_change", args=[row.pk])).status_code == 200
    assert desk.post(reverse("admin:market_tradingsession_change", args=[row.pk]), {}).status_code == 403
