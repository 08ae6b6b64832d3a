"""What a feed may be called, and whom a command asks that runs beside a demo."""

import json
import os
from pathlib import Path

from pytest_django import Settings

from apps.market.feeds import configuring
from apps.market.services import venues


def test_a_feed_can_go_by_any_name_that_has_settings() -> None:
    settings = dict.fromkeys(
        ("FEED_CCXT_KRAKEN_OPTIONS", "FEED_REST_GOLD_KEY", "FEED_COINBASE_ADVANCED_WS_URL", "FEED_OTHER_KEY", "FEED_X"),
        "",
    )
    names = configuring.names(["ccxt", "coinbase", "coinbase_advanced", "rest"], settings)
    assert names == ["ccxt", "ccxt:kraken", "coinbase", "coinbase_advanced", "rest", "rest:gold"]
    assert [configuring.prefix_of(name) for name in ("ccxt:kraken", "rest:gold")] == [
        "FEED_CCXT_KRAKEN_",
        "FEED_REST_GOLD_",
    ]


def test_a_command_beside_a_running_demo_asks_the_demos_venue(settings: Settings, tmp_path: Path) -> None:
    settings.VAR, settings.SIMULATE = tmp_path, True
    real = venues.feed_settings()["FEED_COINBASE_REST_URL"]
    assert real == settings.COINBASE_REST_URL
    told = {"pid": os.getpid(), "address": "http://127.0.0.1:8000", "venue": "127.0.0.1:45603"}
    (tmp_path / "up.lock").write_text(json.dumps(told))
    assert venues.feed_settings()["FEED_COINBASE_REST_URL"] == "http://127.0.0.1:45603"
    assert venues.feed_settings()["FEED_COINBASE_WS_URL"] == "ws://127.0.0.1:45603"
    (tmp_path / "up.lock").write_text(json.dumps(told | {"pid": 2**22 + 1}))
    assert venues.feed_settings()["FEED_COINBASE_REST_URL"] == real, "that demo is over"
    (tmp_path / "up.lock").write_text(json.dumps(told))
    settings.SIMULATE = False
    assert venues.feed_settings()["FEED_COINBASE_REST_URL"] == real, "this site has a venue of its own"
