"""A loopback source for every registered feed, and one way to drive them all: play prints, fall silent, hang up."""

import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from apps.market.feeds.base import Feed
from tests.market.answering import Answer, RestVenue, good
from tests.market.dialects import TONGUES, Print, Tongue
from tests.market.following import QUICK, Recorder, following, wait_for
from tests.market.venue import Peer, Venue, frame, iso, ticker

GARBAGE = b"not \xff json"
Step = Print | bytes  # bytes: a message that makes no sense


class Stage(ABC):
    """One source on loopback."""

    name: str
    symbol: str
    other: str
    unknown = ""  # a product that the source refuses
    sides = True
    has_quotes = True
    timings = QUICK

    @abstractmethod
    def play(self, *steps: Step) -> None:
        """Send these, in this order, to the client that is there or comes."""

    @abstractmethod
    def close(self) -> None:
        """End the source."""

    def config(self) -> dict[str, object]:
        """Return what the feed is told about it."""
        return {}

    @contextmanager
    def followed(self, *products: str, **config: object) -> Iterator[tuple[Feed, Recorder]]:
        given = {"timings": self.timings, **self.config(), **config}
        url = str(given.pop("ws_url", "ws://127.0.0.1:1"))
        with following(url, *(products or (self.symbol,)), name=self.name, **given) as found:
            yield found


class Connected(Stage):
    """A source that is listened to while it plays, and that may fail meanwhile."""

    @abstractmethod
    def hang_up(self) -> None:
        """Lose the client once."""

    @abstractmethod
    def fall_silent(self, silent: bool) -> None:
        """Say nothing, not even a sign of life, or speak again."""


class Streamed(Connected):
    """A WebSocket venue that speaks one tongue; it beats by itself until told to fall silent."""

    def __init__(self, name: str) -> None:
        self.tongue: Tongue = TONGUES[name]()
        self.name, self.symbol, self.other = name, self.tongue.symbol, self.tongue.other
        self.unknown, self.sides = self.tongue.unknown, self.tongue.sides
        if name in ("binance", "alpaca"):  # they are asked for life, no faster than they allow
            self.timings = replace(QUICK, stale_after=0.8, kill_after=1.4)
        self.peers: list[Peer] = []
        self._silent = threading.Event()
        self._sending = threading.Lock()
        self._venue = Venue(self._serve)
        self._ending = threading.Event()
        self._beating = threading.Thread(target=self._beat, daemon=True)
        self._beating.start()

    def config(self) -> dict[str, object]:
        keys = {"key": "K", "secret": "S"} if self.name == "alpaca" else {}
        return {"ws_url": self._venue.url, **keys}

    @property
    def commands(self) -> list[tuple[int, dict[str, object]]]:
        return self._venue.commands

    @property
    def command_times(self) -> list[float]:
        return self._venue.command_times

    def _serve(self, peer: Peer) -> None:
        self.tongue.greet(peer)
        self.peers.append(peer)
        try:
            while True:
                message = peer.command()
                if not self._silent.is_set():
                    with self._sending:
                        self.tongue.answer(peer, message)
        finally:
            self._left(peer)

    def _left(self, peer: Peer) -> None:
        if peer in self.peers:
            self.peers.remove(peer)

    def _beat(self) -> None:
        while not self._ending.wait(0.05):
            for peer in [] if self._silent.is_set() else self.peers[-1:]:
                try:
                    with self._sending:
                        peer.send(*self.tongue.beat(peer))
                except OSError:
                    continue

    def peer(self, *products: str) -> Peer:
        """Return the present connection, once these products are subscribed to on it."""
        wanted = set(products or (self.symbol,))
        found: list[Peer] = []
        wait_for(lambda: found.extend(peer for peer in self.peers[-1:] if wanted <= peer.products) or found)
        return found[0]

    def play(self, *steps: Step) -> None:
        products = {step.symbol for step in steps if isinstance(step, Print)}
        while True:
            peer = self.peer(*products)
            try:
                with self._sending:
                    for step in steps:
                        self._play(peer, step)
            except OSError:
                self._left(peer)  # the client left meanwhile: it will be back
            else:
                return

    def _play(self, peer: Peer, step: Step) -> None:
        if isinstance(step, bytes):
            peer.raw(frame(step))
        else:
            peer.send(*self.tongue.trade(peer, step))

    def send(self, *messages: object) -> None:
        peer = self.peer()
        with self._sending:
            peer.send(*messages)

    def hang_up(self) -> None:
        peer = self.peer()
        self._left(peer)
        peer.reset()

    def fall_silent(self, silent: bool) -> None:
        (self._silent.set if silent else self._silent.clear)()

    def close(self) -> None:
        self._ending.set()
        self._beating.join(timeout=5)
        self._venue.close()


class Asked(Connected):
    """A REST source: each answer is the next step of a product, the last one again and again."""

    sides = False

    def __init__(self) -> None:
        self._steps: dict[str, list[Step]] = {}
        self._is_silent = self._hangs_up = False
        self._venue = RestVenue(self._respond)

    def play(self, *steps: Step) -> None:
        for step in steps:
            symbol = step.symbol if isinstance(step, Print) else self.symbol
            fixed = replace(step, at=step.stamp) if isinstance(step, Print) else step
            self._steps.setdefault(symbol, []).append(fixed)

    def hang_up(self) -> None:
        self._hangs_up = True
        time.sleep(self.timings.kill_after * 1.5)
        self._hangs_up = False

    def fall_silent(self, silent: bool) -> None:
        self._is_silent = silent

    def close(self) -> None:
        self._venue.close()

    def _next(self, symbol: str) -> Step | None:
        steps = self._steps.get(symbol, [])
        return steps.pop(0) if len(steps) > 1 else steps[0] if steps else None

    def _respond(self, path: str, query: dict[str, str], number: int) -> Answer | None:
        del query, number
        if self._hangs_up or self._is_silent:
            return None
        return self.respond(path)

    @abstractmethod
    def respond(self, path: str) -> Answer: ...


class Rest(Asked):
    name, symbol, other, unknown = "rest", "GOLD", "SILVER", "NOPE"

    def config(self) -> dict[str, object]:
        options = {
            "url": "/price/{symbol}?full=1",
            "price": "data.0.last",
            "bid": "data.0.bid",
            "ask": "data.0.ask",
            "size": "data.0.size",
            "time": "data.0.at",
        }
        return {"rest_url": self._venue.url, "options": options}

    def respond(self, path: str) -> Answer:
        symbol = path.rpartition("/")[2]
        if symbol == self.unknown:
            return 404, {}, b"no such thing"
        step = self._next(symbol)
        if step is None or isinstance(step, bytes):
            return 200, {}, step or b'{"data":[]}'
        body = (
            f'{{"data":[{{"last":{step.price},"bid":{step.bid},"ask":"{step.ask}","size":{step.size},'
            f'"at":"{iso(step.stamp)}"}}]}}'
        )
        return 200, {}, body.encode()


class Ccxt(Asked):
    """Coinbase Exchange's REST interface, where ccxt asks."""

    name, symbol, other, unknown = "ccxt", "BTC/USD", "ETH/USD", "NOPE/USD"

    def config(self) -> dict[str, object]:
        return {"rest_url": self._venue.url, "options": {"exchange": "coinbaseexchange"}}

    def respond(self, path: str) -> Answer:
        parts = path.strip("/").split("/")
        if parts == ["products"]:
            return good([listed(symbol) for symbol in (self.symbol, self.other)])
        if len(parts) == 3 and parts[2] == "ticker":
            step = self._next(parts[1].replace("-", "/"))
            if isinstance(step, Print):
                body = {
                    "trade_id": step.n,
                    "price": step.price,
                    "size": step.size,
                    "bid": step.bid,
                    "ask": step.ask,
                    "volume": "1",
                    "time": iso(step.stamp),
                }
                return good(body)
            return 200, {}, step or b"{}"
        return good([])


def listed(symbol: str) -> dict[str, object]:
    base, quote = symbol.split("/")
    return {
        "id": f"{base}-{quote}",
        "base_currency": base,
        "quote_currency": quote,
        "quote_increment": "0.01",
        "base_increment": "0.00000001",
        "min_market_funds": "1",
        "status": "online",
        "trading_disabled": False,
    }


class File(Stage):
    """A recorded file: what is played is written before the feed begins."""

    name, symbol, other = "file", "BTC-USD", "ETH-USD"

    def __init__(self) -> None:
        self._folder = TemporaryDirectory()
        self.path = Path(self._folder.name) / "ticks.jsonl"
        self.path.write_bytes(b"")

    def config(self) -> dict[str, object]:
        return {"options": {"path": str(self.path), "speed": "0"}}

    def play(self, *steps: Step) -> None:
        lines = [step if isinstance(step, bytes) else self._line(step) for step in steps]
        with self.path.open("ab") as file:
            file.writelines(line + b"\n" for line in lines)

    @staticmethod
    def _line(step: Print) -> bytes:
        message = ticker(
            step.symbol,
            step.n,
            step.price,
            last_size=step.size,
            side=step.side,
            best_bid=step.bid,
            best_ask=step.ask,
            time=iso(step.stamp),
        )
        return json.dumps({"at_ns": time.time_ns(), "msg": message}).encode()

    def close(self) -> None:
        self._folder.cleanup()


def stage_of(name: str) -> Stage:
    """Return a stage for a feed; one without a stage has no contract, and must get one here."""
    if name in TONGUES:
        return Streamed(name)
    return {"rest": Rest, "ccxt": Ccxt, "file": File}[name]()


@contextmanager
def staged(name: str) -> Iterator[Stage]:
    stage = stage_of(name)
    try:
        yield stage
    finally:
        stage.close()


def texts(sink: Recorder, symbol: str) -> Sequence[str]:
    return [tick.text for tick in sink.ticks if tick.symbol == symbol]
