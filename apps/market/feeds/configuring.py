"""What is a feed told, as far as the operator decides it? One mapping of settings, the same names for every plug-in.

`FEED_<NAME>_WS_URL`, `_REST_URL`, `_KEY`, `_SECRET` and `_OPTIONS` (`a=b;c=d`). A plug-in may be used several times
under one name with a suffix (`ccxt:kraken`, `rest:gold`), each with settings of its own (`FEED_CCXT_KRAKEN_...`).
"""

import re
from collections.abc import Iterable, Mapping

from apps.domain.plugins import PluginError, Registry
from apps.market.feeds.base import Feed, FeedConfig, GateRules

SEPARATOR = ":"
_ENDINGS = ("WS_URL", "REST_URL", "KEY", "SECRET", "OPTIONS")
_NO_LETTER = re.compile(r"[^A-Z0-9]+")


def plugin_of(feed: str) -> str:
    """Return the plug-in's name in a feed's name: ccxt of ccxt:kraken."""
    return feed.partition(SEPARATOR)[0]


def prefix_of(feed: str) -> str:
    """Return how the settings of a feed begin: FEED_CCXT_KRAKEN_ for ccxt:kraken."""
    return f"FEED_{_NO_LETTER.sub('_', feed.upper())}_"


def names(plugins: Iterable[str], settings: Mapping[str, str]) -> list[str]:
    """Return every name a feed can go by: the plug-ins', and those with a suffix that have settings of their own."""
    known = {prefix_of(name): name for name in plugins}
    found = set(known.values())
    for setting in settings:
        own = re.fullmatch(rf"(FEED_[A-Z0-9_]+_)(?:{'|'.join(_ENDINGS)})", setting)
        if own and own[1] not in known:
            longest = max((prefix for prefix in known if own[1].startswith(prefix)), key=len, default="")
            if longest:
                found.add(f"{known[longest]}{SEPARATOR}{own[1][len(longest) : -1].lower()}")
    return sorted(found)


def options_of(text: str) -> dict[str, str]:
    """Return `a=b;c=d` as a mapping. Raises PluginError for a part without a name."""
    options: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, is_there, value = part.partition("=")
        if not (name.strip() and is_there):
            raise PluginError(f"{part!r} is no option; write it like name=value")
        options[name.strip()] = value.strip()
    return options


def config_for(
    registry: Registry[Feed],
    feed: str,
    settings: Mapping[str, str],
    *,
    products: Iterable[str],
    known_trade_ids: Mapping[str, int] | None = None,
    rules: GateRules | None = None,
) -> FeedConfig:
    """Return what a feed is told. Raises PluginError with the name of the setting that is missing or not known."""
    plugin, prefix = registry.get(plugin_of(feed)), prefix_of(feed)
    options = options_of(settings.get(f"{prefix}OPTIONS", ""))
    if unknown := sorted(set(options) - set(plugin.options)):
        known = ", ".join(sorted(plugin.options)) or "none"
        raise PluginError(f"{prefix}OPTIONS: {plugin.name} has no option {', '.join(unknown)}; it has {known}")
    key, secret = settings.get(f"{prefix}KEY", ""), settings.get(f"{prefix}SECRET", "")
    if plugin.needs_key and not (key and secret):
        raise PluginError(f"the {feed} feed needs {prefix}KEY and {prefix}SECRET")
    return FeedConfig(
        ws_url=settings.get(f"{prefix}WS_URL", "") or plugin.ws_url,
        rest_url=settings.get(f"{prefix}REST_URL", "") or plugin.rest_url,
        products=tuple(products),
        known_trade_ids=dict(known_trade_ids or {}),
        timings=plugin.timings,
        rules=rules or GateRules(),
        key=key,
        secret=secret,
        options=options,
    )
