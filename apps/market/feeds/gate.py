"""Which prints are news? In the order of trade ids, with numbers within reason, replays marked, holes declared.

One gate belongs to one receive thread. The common print (the next id, near the last price) costs a few comparisons;
whatever is unusual leaves the straight path of `take` for one of the small methods below it.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from apps.domain import feed_rules
from apps.domain.feed_rules import CEILING, Fault, PriceRefused
from apps.domain.ticks import Tick
from apps.market.feeds.base import FeedSink, GateRules
from apps.market.feeds.counters import FeedCounters
from apps.market.feeds.skew import SECOND_NS, Skew


class Print(Protocol):
    """One trade as a venue's message tells it; texts as they came, "" where the venue says nothing."""

    symbol: str
    trade_id: int
    sequence: int
    price: str
    size: str
    side: str
    bid: str
    ask: str
    venue_time: str


@dataclass(slots=True, eq=False)
class _Product:
    """What the gate remembers of one product; `next_id` 0 means that no trade is known yet."""

    next_id: int
    recent: deque[float]
    sequence: int = 0
    awaits_first: bool = True  # nothing arrived since the subscribe
    venue_time: str = ""
    text: str = ""  # the last believed price, as text and as number
    price: float = 0.0
    jump_band: float = 0.2
    price_low: float = 0.0  # a price outside of these is a jump
    price_high: float = CEILING
    doubted: list[float] = field(default_factory=list)
    raw_bid: str = ""  # the last quote as it came, as text when it is a market, and as numbers
    raw_ask: str = ""
    bid: str = ""
    ask: str = ""
    low: float = 0.0
    high: float = inf
    calm_low: float = inf  # a price inside of these cannot be off the market
    calm_high: float = 0.0
    claimed_id: int = 0  # a trade that the heartbeat announced and no print has shown yet
    claimed_ns: int = 0
    rebels: int = 0  # newer prints in a row under older numbers
    rebel_first: int = 0
    rebel_id: int = 0
    rebel_base: int = 0


class Gate:
    """Decides what becomes of each print, and tells the sink."""

    def __init__(
        self,
        *,
        sink: FeedSink,
        counters: FeedCounters,
        rules: GateRules,
        heartbeat_grace: float,
        known_trade_ids: Mapping[str, int],
    ) -> None:
        self._sink = sink
        self._hand_on = sink.tick
        self._counters = counters
        self._rules = rules
        self._grace_ns = int(heartbeat_grace * SECOND_NS)
        self._max_age_ns = int(rules.max_age * SECOND_NS)
        self._known = dict(known_trade_ids)
        self._products: dict[str, _Product] = {}
        self._skew = Skew()

    def know(self, trade_ids: Mapping[str, int]) -> None:
        """Continue after these trades when their products are followed; one that is followed already goes its own way.

        Replaces what was known and not used: it may be of long ago.
        """
        self._known = {symbol: trade_id for symbol, trade_id in trade_ids.items() if symbol not in self._products}

    def follow(self, symbols: Iterable[str]) -> None:
        """Let the prints of these products through; ones already followed keep what is known of them."""
        for symbol in symbols:
            if symbol not in self._products:
                known = self._known.pop(symbol, 0)
                self._products[symbol] = _Product(
                    known + 1 if known else 0,
                    deque(maxlen=self._rules.mark_prints),
                    jump_band=self._rules.jump_band,
                )

    def set_jump_band(self, symbol: str, rate: float) -> None:
        """Let a single step of this product be as wide as `rate` from its next print on."""
        product = self._products.get(symbol)
        if product is not None:
            product.jump_band = rate

    def forget(self, symbols: Iterable[str]) -> None:
        """Drop these products and what is known of them; what still arrives for them is counted and dropped."""
        for symbol in symbols:
            self._products.pop(symbol, None)

    def session_opened(self) -> None:
        """Expect a replay first on every product, and let the venue count its messages anew."""
        for product in list(self._products.values()):
            product.awaits_first = True
            product.sequence = 0
            product.claimed_id = 0

    def last_trade_id(self, symbol: str) -> int:
        """Return the newest trade id seen of a product, 0 when none."""
        product = self._products.get(symbol)
        return max(product.next_id - 1, 0) if product else 0

    def last_price(self, symbol: str) -> float:
        """Return the last believed price of a product, 0 when none."""
        product = self._products.get(symbol)
        return product.price if product else 0.0

    def take(self, item: Print, received_ns: int) -> None:
        """Judge one print; hand it to the sink when it is news, or marked as a snapshot when it is an old one."""
        product = self._products.get(item.symbol)
        if product is None:
            self._counters.unknown_product += 1
            return
        price = product.price
        if item.price != product.text:
            # First of all: of a message whose price cannot be read, its numbering is not believed either. The trade
            # then shows as a hole, and the refill brings its true price.
            try:
                price = feed_rules.read_price(item.price)
            except PriceRefused as refusal:
                self._counters.rejected[refusal.fault] += 1
                return
        trade_id, snapshot = item.trade_id, False
        if trade_id != product.next_id or item.sequence < product.sequence or product.awaits_first:
            verdict = self._place(product, item, received_ns)
            if verdict is None:
                return
            snapshot = verdict
        product.next_id = trade_id + 1
        product.sequence = item.sequence
        product.venue_time = item.venue_time
        if price != product.price or product.doubted:
            if not self._believes(product, price):
                return
            product.text, product.price = item.price, price
        self._hand_on(self._tick(product, item, received_ns, snapshot))

    def _tick(self, product: _Product, item: Print, received_ns: int, snapshot: bool) -> Tick:
        price = product.price
        product.recent.append(price)
        if item.bid != product.raw_bid or item.ask != product.raw_ask:
            self._read_quote(product, item)
        off_market = False
        if not (product.calm_low < price < product.calm_high and product.low <= price <= product.high):
            off_market = self._is_off_market(product, price)
        if snapshot:
            self._counters.snapshots += 1
        else:
            self._counters.accepted += 1
            if received_ns >= self._skew.due_ns:
                self._skew.learn(item.venue_time, received_ns)
        return Tick(
            item.symbol,
            price,
            item.price,
            item.trade_id,
            item.sequence,
            item.size if feed_rules.is_size(item.size) else self._no_size(),
            item.side if item.side in ("buy", "sell") else "",
            product.bid,
            product.ask,
            item.venue_time,
            received_ns,
            snapshot,
            False,
            off_market,
        )

    def skip(self, symbol: str, trade_id: int, reason: str) -> None:
        """Count a trade that the venue itself says is none of its market: it is not missing, and moves nothing."""
        self._counters.rejected[reason] += 1
        product = self._products.get(symbol)
        if product is not None and 0 < product.next_id <= trade_id:
            if trade_id > product.next_id:
                self._declare_gap(symbol, product.next_id, trade_id - 1)
            product.next_id = trade_id + 1

    def merge(self, symbol: str, first_id: int, last_id: int) -> None:
        """Expect one print that stands for the trades of these ids, both ends included; its own id is the last."""
        product = self._products.get(symbol)
        if product is not None and product.next_id and first_id <= product.next_id <= last_id:
            product.next_id = last_id

    # -- order ---------------------------------------------------------------------------------------------------

    def _place(self, product: _Product, item: Print, received_ns: int) -> bool | None:
        """Say whether a print out of the ordinary is a snapshot, or None when it must not be handed on."""
        first, product.awaits_first = product.awaits_first, False
        expected = product.next_id
        is_late = item.trade_id < expected or item.sequence < product.sequence
        if is_late and not self._has_restarted(product, item, received_ns):
            if item.trade_id < expected:
                self._counters.duplicates += 1
            else:
                self._counters.out_of_order += 1
            return None
        snapshot = first and not self._is_fresh(item, received_ns)
        # A snapshot is for display only. When it shows a trade that we missed, the trade belongs to the hole, so that
        # the refill brings it past the exit check.
        last_missing = item.trade_id if snapshot else item.trade_id - 1
        if expected and last_missing >= expected:
            self._declare_gap(item.symbol, expected, last_missing)
        return snapshot

    def _has_restarted(self, product: _Product, item: Print, received_ns: int) -> bool:
        """Say whether the venue began its numbering anew: several newer prints in a row under older numbers.

        Without this a venue that starts over would be dropped as one long replay, and every stop with it. The prints
        that proved it are declared missing, so that the refill brings them past the exit check.
        """
        if not self._is_newer(product, item, received_ns):
            return False
        continues = product.rebel_base == product.next_id and item.trade_id > product.rebel_id
        if not continues:
            product.rebels, product.rebel_first = 0, item.trade_id
        product.rebels += 1
        product.rebel_base, product.rebel_id = product.next_id, item.trade_id
        if product.rebels < self._rules.restart_prints:
            return False
        product.rebels = 0
        self._counters.restarts += 1
        if product.rebel_first < item.trade_id < product.next_id:
            self._declare_gap(item.symbol, product.rebel_first, item.trade_id - 1)
        return True

    def _is_newer(self, product: _Product, item: Print, received_ns: int) -> bool:
        """Say whether a print is newer than the last one; of a product known by its number only, whether it is fresh.

        The number may be of a run of the venue long ago: a simulated one counts from its beginning at every start.
        """
        if not product.venue_time:
            return self._is_fresh(item, received_ns)
        known, venue = feed_rules.instant_ns(product.venue_time), feed_rules.instant_ns(item.venue_time)
        return known is not None and venue is not None and venue > known

    def _is_fresh(self, item: Print, received_ns: int) -> bool:
        venue_ns = feed_rules.instant_ns(item.venue_time)
        if venue_ns is None:
            return False
        return feed_rules.is_fresh(
            received_ns=received_ns, venue_ns=venue_ns, skew_ns=self._skew.ns, max_age_ns=self._max_age_ns
        )

    def _declare_gap(self, symbol: str, first_id: int, last_id: int) -> None:
        self._counters.gaps += 1
        self._counters.missing += last_id - first_id + 1
        self._sink.gap(symbol, first_id, last_id)

    def alive(self, symbol: str, received_ns: int) -> None:
        """Note that the connection which brings this product is alive."""
        if symbol in self._products:
            self._sink.heard(symbol, received_ns)

    def heartbeat(self, symbol: str, last_trade_id: int, venue_time: str, received_ns: int) -> None:
        """Note a sign of life, and declare the trades that it knows of and that did not arrive within the grace.

        A `last_trade_id` of 0 says nothing: the venue has sent it for months at a time.
        """
        product = self._products.get(symbol)
        if product is None:
            self._counters.unknown_product += 1
            return
        self._counters.heartbeats += 1
        if received_ns >= self._skew.due_ns:
            self._skew.learn(venue_time, received_ns)
        if product.next_id and last_trade_id >= product.next_id:
            self._claim(symbol, product, last_trade_id, received_ns)
        self._sink.heard(symbol, received_ns)

    def _claim(self, symbol: str, product: _Product, last_trade_id: int, received_ns: int) -> None:
        if product.claimed_id < product.next_id:
            product.claimed_id, product.claimed_ns = last_trade_id, received_ns
        if received_ns - product.claimed_ns < self._grace_ns:
            return
        self._declare_gap(symbol, product.next_id, product.claimed_id)
        product.next_id = product.claimed_id + 1

    # -- numbers -------------------------------------------------------------------------------------------------

    def _believes(self, product: _Product, price: float) -> bool:
        if not product.price_low < price < product.price_high and not self._is_confirmed(product, price):
            self._counters.rejected[Fault.JUMP] += 1
            return False
        product.doubted.clear()
        product.price_low, product.price_high = feed_rules.band_around(price, product.jump_band)
        return True

    def _is_confirmed(self, product: _Product, price: float) -> bool:
        """Say whether enough prints in a row stand at the new level: then the market has moved there."""
        doubted = product.doubted
        if doubted and feed_rules.is_away(price, doubted[0], product.jump_band):
            doubted.clear()
        doubted.append(price)
        if len(doubted) < self._rules.jump_prints:
            return False
        product.recent.clear()
        product.recent.extend(doubted[:-1])
        return True

    def _read_quote(self, product: _Product, item: Print) -> None:
        product.raw_bid, product.raw_ask = item.bid, item.ask
        product.low, product.high = feed_rules.quote_of(item.bid, item.ask)
        is_market = product.high < inf
        product.bid, product.ask = (item.bid, item.ask) if is_market else ("", "")
        if not is_market:
            self._counters.bad_quotes += 1

    def _is_off_market(self, product: _Product, price: float) -> bool:
        """Say whether a print is too far from its quote or from the prints around it to move a trailing mark."""
        rate = self._rules.mark_band
        away = feed_rules.is_outside(price, product.low, product.high, rate)
        if not away and product.calm_low < price < product.calm_high:
            return False
        lower, upper = feed_rules.middles(product.recent)
        away = away or feed_rules.is_away(price, lower, rate) or feed_rules.is_away(price, upper, rate)
        # While every print of the window stays in here, none can be further than `rate` from their median.
        low, high = feed_rules.band_around(lower, rate / (2.0 + rate))
        is_calm = all(low < recent < high for recent in product.recent)
        product.calm_low, product.calm_high = (low, high) if is_calm else (inf, 0.0)
        self._counters.off_market += away
        return away

    def _no_size(self) -> str:
        self._counters.bad_sizes += 1
        return "0"
