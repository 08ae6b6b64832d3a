"""How does a feed stay connected? One session after another, each watched by a thread that can always cut it."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import SystemRandom
from typing import NoReturn, Protocol

from apps.market.feeds.backoff import Backoff
from apps.market.feeds.base import FeedConfig, FeedState, FeedStatus
from apps.market.feeds.counters import FeedCounters
from apps.market.feeds.wire import Dropped, Wire

log = logging.getLogger(__name__)


class Dialect(Protocol):
    """What a venue's language adds to a connection."""

    def opened(self, send: Callable[[str], None]) -> None:
        """Begin a session: everything is to be subscribed again. Called in the receive thread."""

    def text(self, payload: bytes, received_ns: int) -> None:
        """Take one text message. Called in the receive thread; the hot path."""

    def binary(self, payload: bytes, received_ns: int) -> None:
        """Take one binary message. Called in the receive thread."""

    def closed(self) -> None:
        """End the session. Called in the receive thread."""

    def work(self) -> float:
        """Send what is due, in a thread of its own; return the seconds until the next call. May raise Dropped."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks of a session: wall time for stamps, monotonic time for spans."""

    wall_ns: Callable[[], int] = time.time_ns
    monotonic: Callable[[], float] = time.monotonic


class FeedSession:
    """Runs sessions until told to stop. `run` is called once; everything else is safe from any thread."""

    def __init__(
        self,
        config: FeedConfig,
        dialect: Dialect,
        counters: FeedCounters,
        report: Callable[[FeedState], None],
        clocks: Clocks | None = None,
    ) -> None:
        self._config = config
        self._timings = config.timings
        self._dialect = dialect
        self._counters = counters
        self._report = report
        self._clocks = clocks or Clocks()
        self._backoff = Backoff(config.timings, SystemRandom().uniform)
        self._stopping = threading.Event()
        self._nudge = threading.Event()
        self._has_crashed = False
        self._lock = threading.RLock()  # guards the session's number, wire, cut reason and status
        self._session = _Session(0, None, 0.0)
        self._state = FeedState(status=FeedStatus.DOWN, reason="not started", session=0, at_ns=self._clocks.wall_ns())

    # -- for any thread ------------------------------------------------------------------------------------------

    @property
    def state(self) -> FeedState:
        """Return the present status."""
        return self._state

    def stop(self) -> None:
        """End `run`: cut the connection whatever it is doing. Returns at once."""
        self._stopping.set()
        self._nudge.set()
        self._cut(self._session, "stopped")

    def nudge(self) -> None:
        """Let the dialect work now rather than at its next turn."""
        self._nudge.set()

    # -- the receive thread --------------------------------------------------------------------------------------

    def run(self) -> None:
        """Connect, receive, and connect again, until `stop`. Raises RuntimeError when a thread of the feed died."""
        threads = [
            threading.Thread(target=self._guarded, args=(loop,), name=f"feed-{loop.__name__}", daemon=True)
            for loop in (self._watch, self._work)
        ]
        for thread in threads:
            thread.start()
        try:
            while not self._stopping.is_set():
                self._stopping.wait(self._one_session())
        finally:
            self.stop()
            for thread in threads:
                thread.join(timeout=1.0)
            self._change(self._session, FeedStatus.DOWN, "stopped")
        if self._has_crashed:
            raise RuntimeError("a thread of the feed died; its error is above")

    def _one_session(self) -> float:
        """Run one session to its end and return the seconds to wait before the next."""
        wire = Wire(self._config.ws_url, clock_ns=self._clocks.wall_ns, max_bytes=self._config.max_message_bytes)
        session = self._begin(wire)
        try:
            # The watchdog judges silence; the socket's own limit is only there should the watchdog be starved.
            wire.open(timeout=self._timings.handshake_timeout, idle_timeout=2 * self._timings.kill_after)
            session.mark = self._counters.understood()
            session.opened_at = self._clocks.monotonic()
            self._dialect.opened(wire.send)
            self._nudge.set()
            self._receive(session, wire)
        except Dropped as loss:
            return self._end(session, loss)
        finally:
            self._dialect.closed()
            wire.close()

    def _begin(self, wire: Wire) -> "_Session":
        with self._lock:
            self._session = session = _Session(self._session.number + 1, wire, self._clocks.monotonic())
            self._counters.sessions += 1
            self._change(session, FeedStatus.CONNECTING, "dialling")
            if self._stopping.is_set():
                self._cut(session, "stopped")
        return session

    def _receive(self, session: "_Session", wire: Wire) -> NoReturn:
        """Deliver until the connection is lost; what arrives after a session was given up is dropped."""
        text, binary, understood = self._dialect.text, self._dialect.binary, self._counters.understood
        while True:
            wire.wait()
            if session.cut_reason:
                raise Dropped(session.cut_reason)
            wire.deliver(text, binary)
            if self._state.status is not FeedStatus.LIVE and understood() != session.mark:
                self._change(session, FeedStatus.LIVE, "data")

    def _end(self, session: "_Session", loss: Dropped) -> float:
        reason = session.cut_reason or loss.reason
        wait = self._backoff.wait_after(
            healthy_for=session.last_data - session.first_data,
            since_dialled=self._clocks.monotonic() - session.dialled_at,
            is_policy=loss.is_policy,
            retry_after=loss.retry_after,
        )
        with self._lock:
            session.is_over = True
        if self._stopping.is_set():
            return 0.0
        self._counters.reconnects[reason] += 1
        log.warning("feed session %d lost: %s %s; next in %.1f s", session.number, reason, loss.detail[:200], wait)
        self._change(session, FeedStatus.DOWN, reason)
        return wait

    # -- the two other threads -----------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Judge the session by the messages that made sense: pongs, garbage and half a frame are no sign of life."""
        while not self._stopping.wait(self._timings.watch_every):
            session, now = self._session, self._clocks.monotonic()
            if session.is_over:
                continue
            if session.opened_at:
                self._watch_data(session, now)
            elif now - session.dialled_at > self._timings.handshake_timeout:
                self._cut(session, "handshake_timeout")

    def _watch_data(self, session: "_Session", now: float) -> None:
        understood = self._counters.understood()
        if understood != session.seen:
            session.seen, session.last_data = understood, now
            session.first_data = session.first_data or now
        age = now - max(session.last_data, session.opened_at)
        is_reading = session.wire is not None and session.wire.is_reading
        if age >= self._timings.kill_after and is_reading:
            self._cut(session, "silent")
        elif age >= self._timings.stale_after and self._state.status is not FeedStatus.STALE:
            session.mark = understood
            self._change(session, FeedStatus.STALE, "silent" if is_reading else "receiver busy")

    def _work(self) -> None:
        """Let the dialect send what is due, away from the receive thread: a send can block on a dead peer."""
        delay = 0.0
        while not self._stopping.is_set():
            self._nudge.wait(delay)
            self._nudge.clear()
            session = self._session
            try:
                delay = self._dialect.work()
            except Dropped as loss:
                self._cut(session, loss.reason)
                delay = self._timings.watch_every

    def _guarded(self, loop: Callable[[], None]) -> None:
        """Never outlive a dead helper in silence: its error goes to the log, and `run` ends."""
        has_finished = False
        try:
            loop()
            has_finished = True
        finally:
            if not has_finished:
                self._has_crashed = True
                self.stop()

    # -- shared --------------------------------------------------------------------------------------------------

    def _cut(self, session: "_Session", reason: str) -> None:
        with self._lock:
            session.cut_reason = session.cut_reason or reason
        if session.wire is not None:
            session.wire.cut()

    def _change(self, session: "_Session", status: FeedStatus, reason: str) -> None:
        with self._lock:
            if session is not self._session or (session.is_over and status is not FeedStatus.DOWN):
                return
            now_ns = self._clocks.wall_ns()
            self._state = FeedState(status=status, reason=reason, session=session.number, at_ns=now_ns)
            self._report(self._state)


@dataclass(slots=True, eq=False)
class _Session:
    """One connection from dialling to loss; instants are monotonic seconds, 0 for not yet."""

    number: int
    wire: Wire | None
    dialled_at: float
    opened_at: float = 0.0
    first_data: float = 0.0
    last_data: float = 0.0
    seen: int = 0  # messages understood at the last look
    mark: int = 0  # messages understood when the status was last not live
    cut_reason: str = ""
    is_over: bool = False
