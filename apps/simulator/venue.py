"""The exchange itself, without sockets: it makes trades happen, keeps their truth, and tells those who listen."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from apps.simulator import faults, framing, journal, market, opening, products, protocol, scripted, subscriptions, wire
from apps.simulator.config import Config
from apps.simulator.hub import Hub
from apps.simulator.orders.engine import Engine
from apps.simulator.protocol import Trade
from apps.simulator.session import Session


@dataclass(slots=True)
class Switches:
    """Faults that stay on until they are used up or their time is over; instants are seconds since the start."""

    unanswered_upgrades: int = 0
    refused_upgrades: list[int] = field(default_factory=list)  # one HTTP status each
    missing_acks: int = 0
    partial_acks: int = 0
    quiet_until: float = 0.0
    burst_until: float = 0.0
    burst_rate: float = 0.0
    rest_limited_until: float = 0.0
    rest_statuses: list[int] = field(default_factory=list)
    rest_silences: int = 0
    skew_us: int = 0


class Venue:
    """One exchange. Lives on the event loop's thread; the clock comes from outside."""

    def __init__(self, config: Config, clock_us: Callable[[], int], elapsed: Callable[[], float]) -> None:
        """`clock_us` is UTC in microseconds, `elapsed` monotonic seconds since the start."""
        self.config = config
        self.elapsed = elapsed
        self.hub = Hub(slow_limit=None if config.unpaced else config.slow_limit)
        self.wire = wire.Wire(config.seed)
        self.plan = faults.Plan(config.faults)
        self.journal = journal.Journal()
        self.switches = Switches()
        self.trades = 0
        self.finished = False  # a replay without loop came to its end
        self.carry_out: Callable[[faults.Fault], None] = lambda fault: None
        self._clock_us = clock_us
        self._last_us = 0
        self._products = {product.id: product for product in config.products}
        self.market = market.Market(config.products, seed=config.seed, rate=config.rate, volatility=config.volatility)
        self.tapes = opening.open_tapes(config, self.market, clock_us())
        for product_id, book in self.tapes.items():
            self.journal.open(product_id, book.trade_id + 1)
        self.orders = Engine(self._products, lambda product_id: self.tapes[product_id].last, config.orders_file)

    # Time

    def now_us(self) -> int:
        """The exchange's clock as clients see it, off by the clock fault."""
        return self._clock_us() + self.switches.skew_us

    def true_us(self) -> int:
        """The clock by which the exchange itself lives, without the clock fault."""
        return self._clock_us()

    def _stamp(self) -> int:
        self._last_us = max(self._clock_us(), self._last_us + 1)
        return self._last_us

    # Trades

    def trade(self) -> None:
        """Let the market make its next trade."""
        product_id = self.market.choose()
        self.publish(self.tapes[product_id].add(*self.market.walks[product_id].next(), self._stamp()))

    def print_trade(self, product_id: str, made: market.Print) -> Trade:
        """Book a trade made elsewhere and send it out."""
        trade = self.tapes[product_id].add(*made, self._stamp())
        self.publish(trade)
        return trade

    def push(
        self, product_id: str, price: str, *, size: str = "0.01", side: str = "buy",
        bid: str | None = None, ask: str | None = None,
    ) -> int:  # fmt: skip
        """Make one trade at exactly this price and return its id; the walk goes on from there. Raises ValueError."""
        made = scripted.trade(self._products, product_id, price, size=size, side=side, bid=bid, ask=ask)
        self.market.walks[product_id].reset_to(made[0])
        return self.print_trade(product_id, made).trade_id

    def publish(self, trade: Trade) -> None:
        """Send a booked trade to its listeners, through the faults that are at work."""
        self.trades += 1
        if self.trades >= self.plan.next_trade:
            for fault in self.plan.due_at_trade(self.trades):
                self.carry_out(fault)
        self.journal.products[trade.product_id].last_id = trade.trade_id
        self.wire.recent.append(trade)
        if self.orders.book.live:
            self.orders.on_trade(trade)
        if self.wire.busy:
            for parcel in self.wire.send_through(trade):
                self.send(parcel)
            for product_id, trade_id, why in self.wire.lost:
                self.journal.products[product_id].mark_unsent(trade_id, why)
            self.wire.lost.clear()
        else:
            self.send((trade, None))

    def send(self, parcel: wire.Parcel) -> None:
        """Hand one trade to the hub and note when nobody got it."""
        trade, mutation = parcel
        if not self.hub.send_trade(trade, mutation, self.switches.skew_us) and mutation is None:
            self.journal.products[trade.product_id].mark_unsent(trade.trade_id, journal.NOBODY)

    # The clockwork of the feed

    def beat(self) -> None:
        """Send the heartbeat of every product that somebody listens to."""
        now_us = self.now_us()
        for product_id, book in self.tapes.items():
            if self.hub.listeners("heartbeat", product_id):
                payload = protocol.heartbeat(product_id, book.sequence, book.trade_id, now_us)
                self.hub.send_to("heartbeat", product_id, payload)

    def beat_slowly(self) -> None:
        """Send what comes every five seconds: status, and the last trade on ticker_batch."""
        if self.hub.listeners("status", ""):
            self.hub.send_to("status", "", protocol.status(self.product_rows()))
        for product_id, book in self.tapes.items():
            if book.last is not None and self.hub.listeners("ticker_batch", product_id):
                self.hub.send_to("ticker_batch", product_id, protocol.ticker(book.last, self.switches.skew_us))

    def product_rows(self) -> list[dict[str, object]]:
        return [products.row(product) for product in self._products.values()]

    # What sessions ask for

    def lists(self) -> dict[str, Any]:
        """The products a client may name."""
        return self._products

    def subscribed(self, session: Session, wanted: subscriptions.Wanted) -> subscriptions.Wanted:
        """What the exchange makes of a subscribe request; a fault may lose one product of it."""
        if not self.switches.partial_acks:
            return wanted
        self.switches.partial_acks -= 1
        return {channel: listed[:-1] for channel, listed in wanted.items()}

    def acknowledges(self) -> bool:
        """Whether this request gets its `subscriptions` answer."""
        if not self.switches.missing_acks:
            return True
        self.switches.missing_acks -= 1
        return False

    def snapshot(self, session: Session, wanted: subscriptions.Wanted) -> None:
        """After a subscribe: the last trade of each product, with its old time."""
        skew_us = self.switches.skew_us
        for channel, encode in (
            ("ticker", protocol.ticker),
            ("ticker_batch", protocol.ticker),
            ("matches", _last_match),
        ):
            for product_id in wanted.get(channel, ()):
                last = self.tapes[product_id].last
                if last is not None:
                    session.send(framing.text(encode(last, skew_us)))
        if "status" in wanted:
            session.send(framing.text(protocol.status(self.product_rows())))

    def reindex(self) -> None:
        self.hub.reindex()


def _last_match(trade: Trade, skew_us: int) -> bytes:
    return protocol.match(trade, "last_match", skew_us)
