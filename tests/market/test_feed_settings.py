"""What the operator says of a feed, found by its whole name, and what is missing or wrong named."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from apps.domain.plugins import PluginError
from apps.market.feeds import FEEDS, configuring
from apps.market.feeds.base import FeedTimings

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine is shared
NS = 1_000_000_000
NOW = 1_767_614_400 * NS


def test_a_feed_without_settings_goes_to_its_venue() -> None:
    config = configuring.config_for(FEEDS, "binance", {}, products=["BTCUSDT"], known_trade_ids={"BTCUSDT": 7})
    assert (config.ws_url, config.rest_url) == ("wss://stream.binance.com:9443", "https://api.binance.com")
    assert (config.products, config.known_trade_ids, config.timings) == (("BTCUSDT",), {"BTCUSDT": 7}, FeedTimings())


def test_settings_are_found_by_the_feeds_whole_name() -> None:
    settings = {
        "FEED_ALPACA_KEY": "K",
        "FEED_ALPACA_SECRET": "S3",
        "FEED_ALPACA_WS_URL": "ws://127.0.0.1:5",
        "FEED_ALPACA_OPTIONS": "source=sip",
        "FEED_CCXT_KRAKEN_OPTIONS": " exchange = kraken ; ",
    }
    alpaca = configuring.config_for(FEEDS, "alpaca", settings, products=[])
    assert (alpaca.key, alpaca.secret, alpaca.ws_url, alpaca.options) == (
        "K",
        "S3",
        "ws://127.0.0.1:5",
        {"source": "sip"},
    )
    assert alpaca.timings.stale_after > FeedTimings().stale_after
    assert "S3" not in repr(alpaca)
    ccxt = configuring.config_for(FEEDS, "ccxt:kraken", settings, products=["BTC/USD"])
    assert ccxt.options == {"exchange": "kraken"}
    assert configuring.plugin_of("ccxt:kraken") == "ccxt"


@pytest.mark.parametrize(
    ("feed", "settings", "words"),
    [
        ("alpaca", {}, "FEED_ALPACA_KEY"),
        ("alpaca", {"FEED_ALPACA_KEY": "K"}, "FEED_ALPACA_SECRET"),
        ("kraken", {"FEED_KRAKEN_OPTIONS": "a=b"}, "has no option a"),
        ("rest:gold", {"FEED_REST_GOLD_OPTIONS": "price"}, "write it like name=value"),
        ("nowhere", {}, "no Feed is called 'nowhere'"),
    ],
)
def test_a_setting_that_is_missing_or_wrong_is_named(feed: str, settings: dict[str, str], words: str) -> None:
    with pytest.raises(PluginError, match=words):
        configuring.config_for(FEEDS, feed, settings, products=[])


def test_every_option_of_every_feed_has_a_sentence_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "feeds.md").read_text()
    for name in FEEDS.names():
        plugin = FEEDS.get(name)
        assert f"`{name}`" in page
        assert all(f"`{option}`" in page for option in plugin.options), name
