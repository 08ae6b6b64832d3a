"""Who listens to what: the sessions of all connected clients, and how one encoded message reaches those who want it."""

import asyncio
from collections.abc import Callable

from apps.simulator import framing, protocol
from apps.simulator.protocol import Trade
from apps.simulator.session import Session

Mutation = Callable[[bytes], bytes]


class Hub:
    """Every message is encoded once and shared by all sessions; sockets are written once per batch."""

    def __init__(self, *, slow_limit: int | None) -> None:
        """`slow_limit` is how many unsent bytes a client may pile up before it is cut; None means wait for it."""
        self.sessions: list[Session] = []
        self.audience = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()
        self._slow_limit = slow_limit
        self._listeners: dict[str, dict[str, list[Session]]] = {}
        self._held_up: set[Session] = set()

    def join(self, session: Session) -> None:
        self.sessions.append(session)

    def leave(self, session: Session) -> None:
        """Forget a session whose connection is gone."""
        if session in self.sessions:
            self.sessions.remove(session)
        self.resume(session)
        self.reindex()

    def reindex(self) -> None:
        """Take over changed subscriptions."""
        index: dict[str, dict[str, list[Session]]] = {}
        for session in self.sessions:
            for channel, products in session.channels.items():
                for product_id in products or {"": None}:
                    index.setdefault(channel, {}).setdefault(product_id, []).append(session)
        self._listeners = index
        if index.get("ticker") or index.get("matches"):
            self.audience.set()
        else:
            self.audience.clear()

    def listeners(self, channel: str, product_id: str) -> list[Session]:
        return self._listeners.get(channel, {}).get(product_id, [])

    def audience_by_product(self) -> dict[str, int]:
        """How many sessions listen to the trades of each product that has any."""
        counts: dict[str, int] = {}
        for channel in ("ticker", "matches"):
            for product_id, sessions in self._listeners.get(channel, {}).items():
                counts[product_id] = counts.get(product_id, 0) + len(sessions)
        return counts

    def send_trade(self, trade: Trade, mutate: Mutation | None, skew_us: int) -> int:
        """Send a trade to everybody who listens and return how many got it on at least one channel."""
        reached = 0
        sessions = self.listeners("ticker", trade.product_id)
        if sessions:
            payload = protocol.ticker(trade, skew_us)
            frame = framing.text(mutate(payload) if mutate else payload)
            for session in sessions:
                reached += session.send(frame)
        sessions = self.listeners("matches", trade.product_id)
        if sessions:
            payload = protocol.match(trade, "match", skew_us)
            frame = framing.text(mutate(payload) if mutate else payload)
            for session in sessions:
                reached += session.send(frame)
        return reached

    def send_to(self, channel: str, product_id: str, payload: bytes) -> None:
        """Send one message to the listeners of a channel."""
        frame = framing.text(payload)
        for session in self.listeners(channel, product_id):
            session.send(frame)

    def send_raw(self, frame: bytes) -> None:
        """Put a ready-made frame on every session that has subscribed to something."""
        for session in self.sessions:
            if session.channels:
                session.send(frame)

    def flush(self) -> None:
        """Write what has gathered, one write per connection, and cut those who cannot keep up."""
        for session in self.sessions[:]:
            waiting = session.flush()
            if self._slow_limit is not None and waiting > self._slow_limit:
                session.cut_slow()

    def pause(self, session: Session) -> None:
        """A socket is full: whoever produces as fast as possible waits."""
        self._held_up.add(session)
        self.writable.clear()

    def resume(self, session: Session) -> None:
        self._held_up.discard(session)
        if not self._held_up:
            self.writable.set()
