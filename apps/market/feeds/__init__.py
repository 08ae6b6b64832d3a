"""Where do prices come from? One file per venue; the folder is walked, so a new feed is one new file."""

from apps.domain.plugins import Registry
from apps.market.feeds.base import Feed

FEEDS: Registry[Feed] = Registry(package="apps.market.feeds", base=Feed, group="tradingsite.feeds")
