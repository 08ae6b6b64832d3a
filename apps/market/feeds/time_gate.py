"""Which prints are news where the venue numbers nothing, or numbers without order? Those that its clock says are new.

Prices are judged as everywhere (see `gate`). In place of holes between numbers there are blind spans: what was traded
between the last sign of life of one session and the first of the next, nobody can tell.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from apps.domain import feed_rules
from apps.domain.feed_rules import PriceRefused
from apps.market.feeds.base import FeedSink, GateRules
from apps.market.feeds.counters import FeedCounters
from apps.market.feeds.gate import Gate, Print

_Key = tuple[int | str, ...]


@dataclass(slots=True, eq=False)
class _Place:
    """Where a product stands in time: the newest venue time, what was seen at it, and when it was last heard of."""

    at_ns: int = 0
    seen: set[_Key] = field(default_factory=set)
    heard_ns: int = 0
    was_away: bool = False  # a session ended since it was last heard of
    rebels: int = 0  # prints in a row that came too late
    rebels_since_ns: int = 0


class TimeGate(Gate):
    """Decides what becomes of each print by the venue's time; the trade id, where there is one, only tells twins."""

    def __init__(
        self,
        *,
        sink: FeedSink,
        counters: FeedCounters,
        rules: GateRules,
        heartbeat_grace: float,
        known_trade_ids: Mapping[str, int],
    ) -> None:
        super().__init__(
            sink=sink,
            counters=counters,
            rules=rules,
            heartbeat_grace=heartbeat_grace,
            known_trade_ids=known_trade_ids,
        )
        self._places: dict[str, _Place] = {}

    def follow(self, symbols: Iterable[str]) -> None:
        """Let the prints of these products through; ones already followed keep what is known of them."""
        chosen = list(symbols)
        super().follow(chosen)
        for symbol in chosen:
            self._places.setdefault(symbol, _Place())

    def forget(self, symbols: Iterable[str]) -> None:
        """Drop these products and what is known of them."""
        chosen = list(symbols)
        super().forget(chosen)
        for symbol in chosen:
            self._places.pop(symbol, None)

    def session_opened(self) -> None:
        """Expect old prints first, and remember that nothing was heard meanwhile."""
        super().session_opened()
        for place in list(self._places.values()):
            place.was_away = place.heard_ns > 0

    def alive(self, symbol: str, received_ns: int) -> None:
        """Note that the connection which brings this product is alive."""
        place = self._places.get(symbol)
        if place is not None:
            self._heard(symbol, place, received_ns)
        super().alive(symbol, received_ns)

    def skip(self, symbol: str, trade_id: int, reason: str) -> None:
        """Count a trade that the venue itself says is none of its market: it moves nothing."""
        del symbol, trade_id
        self._counters.rejected[reason] += 1

    def take(self, item: Print, received_ns: int) -> None:
        """Judge one print; hand it to the sink when it is news, or marked as a snapshot when it is an old one."""
        product, place = self._products.get(item.symbol), self._places.get(item.symbol)
        if product is None or place is None:
            self._counters.unknown_product += 1
            return
        try:
            price = feed_rules.read_price(item.price)
        except PriceRefused as refusal:
            self._counters.rejected[refusal.fault] += 1
            return
        self._heard(item.symbol, place, received_ns)
        if not self._is_next(place, item, received_ns):
            return
        first, product.awaits_first = product.awaits_first, False
        snapshot = first and not self._is_fresh(item, received_ns)
        product.next_id = item.trade_id + 1 if item.trade_id else product.next_id
        product.sequence, product.venue_time = item.sequence, item.venue_time
        if not self._believes(product, price):
            return
        product.text, product.price = item.price, price
        self._hand_on(self._tick(product, item, received_ns, snapshot))

    def _heard(self, symbol: str, place: _Place, received_ns: int) -> None:
        if place.was_away:
            place.was_away = False
            self._sink.blind(symbol, place.heard_ns, received_ns)
        place.heard_ns = received_ns

    def _is_next(self, place: _Place, item: Print, received_ns: int) -> bool:
        at_ns = self._believed_time(item, received_ns)
        key = _key(item)
        if at_ns is not None and at_ns < place.at_ns and not self._is_clock_set_back(place, received_ns):
            self._counters.out_of_order += 1
            return False
        place.rebels = 0
        is_same_time = at_ns is None or at_ns == place.at_ns
        if is_same_time and key in place.seen:
            self._counters.duplicates += 1
            return False
        if at_ns == place.at_ns:
            place.seen.add(key)
        else:
            place.seen = {key}
        place.at_ns = place.at_ns if at_ns is None else at_ns
        return True

    def _believed_time(self, item: Print, received_ns: int) -> int | None:
        """Return the print's time, or None when it has none or lies in the future: that says nothing about order."""
        at_ns = feed_rules.instant_ns(item.venue_time) if item.venue_time else None
        if at_ns is None or at_ns + min(self._skew.ns, 0) - received_ns > self._max_age_ns:
            return None
        return at_ns

    def _is_clock_set_back(self, place: _Place, received_ns: int) -> bool:
        """Say whether nothing but late prints has come for a while: then the venue's clock was set back."""
        if not place.rebels:
            place.rebels_since_ns = received_ns
        place.rebels += 1
        since_ns = received_ns - place.rebels_since_ns
        if place.rebels < self._rules.restart_prints or since_ns < 2 * self._max_age_ns:
            return False
        self._counters.restarts += 1
        return True


def _key(item: Print) -> _Key:
    if item.trade_id:
        return (item.trade_id,)
    return (item.sequence, item.price, item.size, item.bid, item.ask)
