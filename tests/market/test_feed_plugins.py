"""A feed is one new file: the folder is walked, duplicates and unknown names say what is wrong."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.domain.plugins import DuplicatePlugin, PluginError, Registry, UnknownPlugin
from apps.domain.strategies.registry import STRATEGIES
from apps.market.feeds import FEEDS
from apps.market.feeds.base import Feed
from apps.market.feeds.coinbase import CoinbaseFeed

HEAD = "from apps.market.feeds.base import Feed\nfrom apps.market.feeds.coinbase import CoinbaseFeed\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    package = tmp_path / "some_feeds"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield package
    for name in [name for name in sys.modules if name.split(".")[0] in ("some_feeds", "third_party_feed")]:
        del sys.modules[name]


def registry(group: str = "nobody.feeds") -> Registry[Feed]:
    return Registry(package="some_feeds", base=Feed, group=group)


def test_the_feeds_are_found() -> None:
    assert FEEDS.names() == ["alpaca", "binance", "ccxt", "coinbase", "coinbase_advanced", "file", "kraken", "rest"]
    assert FEEDS.get("coinbase") is CoinbaseFeed


def test_a_new_file_is_a_new_feed_and_imported_or_unnamed_classes_are_none(folder: Path) -> None:
    (folder / "one.py").write_text(
        HEAD + "class One(CoinbaseFeed):\n    name = 'one'\nclass Unnamed(CoinbaseFeed):\n    pass\n"
    )
    (folder / "abstract.py").write_text(HEAD + "class Half(Feed):\n    name = 'half'\n")
    assert registry().names() == ["one"]


def test_two_feeds_of_one_name_are_refused_by_name(folder: Path) -> None:
    for module in ("one", "two"):
        (folder / f"{module}.py").write_text(HEAD + "class Some(CoinbaseFeed):\n    name = 'same'\n")
    with pytest.raises(DuplicatePlugin, match=r"some_feeds\.one\.Some and some_feeds\.two\.Some .*'same'"):
        registry().names()


def test_an_unknown_name_says_which_are_known(folder: Path) -> None:
    (folder / "one.py").write_text(HEAD + "class One(CoinbaseFeed):\n    name = 'one'\n")
    with pytest.raises(UnknownPlugin, match="no Feed is called 'two'; known: one"):
        registry().get("two")


def test_one_that_cannot_be_imported_is_said_so_and_hurts_no_other(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "one.py").write_text(HEAD + "class One(CoinbaseFeed):\n    name = 'one'\n")
    (folder / "bad.py").write_text("import nothing_of_this_name\n")
    found = registry()
    assert found.names() == ["one"]
    assert found.broken == {"bad": "ModuleNotFoundError: No module named 'nothing_of_this_name'"}
    assert "plug-in bad" in caplog.text
    with pytest.raises(UnknownPlugin, match=r"'bad' could not be loaded: ModuleNotFoundError.*known: one"):
        found.get("bad")


def test_all_that_are_shipped_can_be_loaded() -> None:
    assert (FEEDS.broken, STRATEGIES.broken) == ({}, {})


def installed(folder: Path, target: str) -> None:
    about = folder.parent / "third_party-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[third.feeds]\nsome = {target}\n")


def test_third_parties_offer_feeds_through_their_entry_points(folder: Path) -> None:
    (folder.parent / "third_party_feed.py").write_text(HEAD + "class Third(CoinbaseFeed):\n    name = 'third'\n")
    installed(folder, "third_party_feed:Third")
    assert registry("third.feeds").names() == ["third"]


def test_a_third_party_thing_that_is_no_feed_is_refused(folder: Path) -> None:
    installed(folder, "json:loads")
    with pytest.raises(PluginError, match="not a named Feed"):
        registry("third.feeds").names()
