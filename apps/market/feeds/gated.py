"""What do all feeds have in common? A gate that judges their prints, and the products they follow."""

from collections.abc import Iterable, Mapping

import msgspec

from apps.market.feeds.base import Feed, FeedConfig, FeedSink, Numbering
from apps.market.feeds.gate import Gate
from apps.market.feeds.time_gate import TimeGate


class Trade(msgspec.Struct, gc=False):
    """One trade in the words of the gate, for venues whose own message says it otherwise."""

    symbol: str
    price: str
    trade_id: int = 0
    sequence: int = 0
    size: str = "0"
    side: str = ""
    bid: str = ""
    ask: str = ""
    venue_time: str = ""


class GatedFeed(Feed):
    """A feed whose prints pass a gate: by number where the venue counts its trades, by time where it does not."""

    def __init__(self, config: FeedConfig, sink: FeedSink) -> None:
        super().__init__(config, sink)
        kind = Gate if self.numbering is Numbering.CONSECUTIVE else TimeGate
        self._gate = kind(
            sink=sink,
            counters=self.counters,
            rules=config.rules,
            heartbeat_grace=config.timings.heartbeat_grace,
            known_trade_ids=config.known_trade_ids,
        )

    def know(self, trade_ids: Mapping[str, int]) -> None:
        """Take the last trade ids known of products before they are added: what was traded since is declared a gap."""
        self._gate.know(trade_ids)

    def set_jump_band(self, symbol: str, rate: float) -> None:
        """Let a single step of a product be as wide as `rate`."""
        self._gate.set_jump_band(symbol, rate)

    def last_trade_id(self, symbol: str) -> int:
        """Return the newest trade id seen of a product, 0 when none."""
        return self._gate.last_trade_id(symbol)

    def last_price(self, symbol: str) -> float:
        """Return the last believed price of a product, 0 when none."""
        return self._gate.last_price(symbol)

    def _hear(self, symbols: Iterable[str], received_ns: int) -> None:
        """Note that the venue gave a sign of life for these products."""
        for symbol in symbols:
            self._gate.alive(symbol, received_ns)
