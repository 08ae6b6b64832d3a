"""The tongues of the venues, for a loopback venue: what it sends for a trade, and what it answers to a subscription."""

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass

from tests.market.venue import Peer, heartbeat, iso, ticker


@dataclass(frozen=True, kw_only=True)
class Print:
    """One trade as a test tells it: the n-th of its product, `age` seconds old when it is sent."""

    symbol: str
    n: int
    price: str = "100.00"
    size: str = "0.04"
    side: str = "buy"
    age: float = 0.0
    bid: str = "99.99"
    ask: str = "100.01"
    at: float = 0.0  # the venue's time; 0 for now less the age

    @property
    def stamp(self) -> float:
        return self.at or time.time() - self.age


class Tongue(ABC):
    """How one venue speaks on its WebSocket. One instance serves one test; `listed` None means that all are known."""

    name: str
    symbol: str
    other: str
    unknown: str = "NOPE-XXX"
    sides = True
    options: dict[str, str] = {}

    def greet(self, peer: Peer) -> None:
        """Speak first, where the venue does."""
        del peer

    @abstractmethod
    def answer(self, peer: Peer, message: dict[str, object]) -> None:
        """Answer one message of the client, and note in `peer.products` what it is subscribed to."""

    @abstractmethod
    def trade(self, peer: Peer, item: Print) -> list[object]:
        """Return the messages of one trade, its quote first."""

    @abstractmethod
    def beat(self, peer: Peer) -> list[object]:
        """Return what the venue sends of itself in a quiet market."""


def joined(peer: Peer, channel: str, symbols: object, leaves: bool = False) -> None:
    channels: dict[str, set[str]] = peer.__dict__.setdefault("channels", {})
    known = channels.setdefault(channel, set())
    named = {str(symbol) for symbol in symbols}
    known.difference_update(named) if leaves else known.update(named)


def channels_of(peer: Peer) -> dict[str, set[str]]:
    return peer.__dict__.setdefault("channels", {})


class Coinbase(Tongue):
    name, symbol, other = "coinbase", "BTC-USD", "ETH-USD"

    def answer(self, peer: Peer, message: dict[str, object]) -> None:
        asked = set(message["product_ids"])
        if self.unknown in asked:
            peer.send({"type": "error", "message": "Failed to subscribe", "reason": f"{self.unknown} is not a product"})
            return
        peer.products = peer.products - asked if message["type"] == "unsubscribe" else peer.products | asked
        peer.ack()

    def trade(self, peer: Peer, item: Print) -> list[object]:
        return [
            ticker(
                item.symbol,
                item.n,
                item.price,
                last_size=item.size,
                side=item.side,
                best_bid=item.bid,
                best_ask=item.ask,
                time=iso(item.stamp),
            )
        ]

    def beat(self, peer: Peer) -> list[object]:
        return [heartbeat(symbol, 0) for symbol in sorted(peer.products)]


class Advanced(Tongue):
    name, symbol, other = "coinbase_advanced", "BTC-USD", "ETH-USD"

    def _frame(self, peer: Peer, channel: str, *events: object, **more: object) -> dict[str, object]:
        number = peer.__dict__.setdefault("sequence", 0)
        peer.__dict__["sequence"] = number + 1
        stamp = iso(time.time())
        return {"channel": channel, "timestamp": stamp, "sequence_num": number, "events": list(events), **more}

    def answer(self, peer: Peer, message: dict[str, object]) -> None:
        symbols, channel = message.get("product_ids", []), str(message["channel"])
        if self.unknown in symbols:
            peer.send({"type": "error", "message": f"{self.unknown} is no valid product"})
            return
        joined(peer, channel, symbols, message["type"] == "unsubscribe")
        listed = {name: sorted(found) for name, found in channels_of(peer).items()}
        peer.products = set(listed.get("market_trades", [])) & set(listed.get("ticker", []))
        peer.send(self._frame(peer, "subscriptions", {"subscriptions": listed}))

    def trade(self, peer: Peer, item: Print) -> list[object]:
        quote = {
            "type": "ticker",
            "product_id": item.symbol,
            "price": item.price,
            "best_bid": item.bid,
            "best_ask": item.ask,
            "best_bid_quantity": "1",
            "best_ask_quantity": "1",
        }
        trade = {
            "product_id": item.symbol,
            "trade_id": str(item.n),
            "price": item.price,
            "size": item.size,
            "time": iso(item.stamp),
            "side": {"buy": "SELL", "sell": "BUY"}[item.side],
        }
        return [
            self._frame(peer, "ticker", {"type": "update", "tickers": [quote]}),
            self._frame(peer, "market_trades", {"type": "update", "trades": [trade]}),
        ]

    def beat(self, peer: Peer) -> list[object]:
        return [self._frame(peer, "heartbeats", {"current_time": "2026-01-05 00:00:00 +0000 UTC m=+1.0"})]


class Binance(Tongue):
    name, symbol, other, unknown = "binance", "BTCUSDT", "ETHUSDT", "NOPEUSDT"

    def answer(self, peer: Peer, message: dict[str, object]) -> None:
        streams = peer.__dict__.setdefault("streams", set())
        named = message.get("params", [])
        if message["method"] == "SUBSCRIBE":
            streams |= set(named)
        elif message["method"] == "UNSUBSCRIBE":
            streams -= set(named)
        is_list = message["method"] == "LIST_SUBSCRIPTIONS"
        peer.products = {name.partition("@")[0].upper() for name in streams}
        peer.send({"result": sorted(streams) if is_list else None, "id": message["id"]})

    def trade(self, peer: Peer, item: Print) -> list[object]:
        low, stamp = item.symbol.lower(), int(item.stamp * 1000)
        quote = {"u": item.n, "s": item.symbol, "b": item.bid, "B": "1.0", "a": item.ask, "A": "1.0"}
        trade = {
            "e": "trade",
            "E": stamp + 1,
            "s": item.symbol,
            "t": item.n,
            "p": item.price,
            "q": item.size,
            "T": stamp,
            "m": item.side == "sell",
            "M": True,
        }
        return [{"stream": f"{low}@bookTicker", "data": quote}, {"stream": f"{low}@trade", "data": trade}]

    def beat(self, peer: Peer) -> list[object]:
        return []  # it answers questions, and sends nothing of itself


class Kraken(Tongue):
    name, symbol, other, unknown = "kraken", "BTC/USD", "ETH/USD", "NOPE/USD"

    def answer(self, peer: Peer, message: dict[str, object]) -> None:
        if message["method"] == "ping":
            peer.send({"method": "pong", "req_id": message["req_id"]})
            return
        params: dict[str, object] = message["params"]
        for symbol in params["symbol"]:
            base = {"method": message["method"], "req_id": message["req_id"], "time_in": iso(1), "time_out": iso(1)}
            if symbol == self.unknown:
                words = f"Currency pair not supported {symbol}"
                peer.send({**base, "error": words, "success": False, "symbol": symbol})
                continue
            joined(peer, str(params["channel"]), [symbol], message["method"] == "unsubscribe")
            result = {"channel": params["channel"], "symbol": symbol, "snapshot": True}
            peer.send({**base, "result": result, "success": True})
        found = channels_of(peer)
        peer.products = found.get("trade", set()) & found.get("ticker", set())

    def trade(self, peer: Peer, item: Print) -> list[object]:
        quote = (
            f'{{"channel":"ticker","type":"update","data":[{{"symbol":"{item.symbol}","bid":{item.bid},"bid_qty":2.5,'
            f'"ask":{item.ask},"ask_qty":3.2,"last":1.0,"timestamp":"{iso(item.stamp)}"}}]}}'
        )
        trade = (
            f'{{"channel":"trade","type":"update","data":[{{"symbol":"{item.symbol}","side":"{item.side}",'
            f'"price":{item.price},"qty":{item.size},"ord_type":"market","trade_id":{item.n},'
            f'"timestamp":"{iso(item.stamp)}"}}]}}'
        )
        return [quote, trade]

    def beat(self, peer: Peer) -> list[object]:
        return [{"channel": "heartbeat"}]


class Alpaca(Tongue):
    name, symbol, other, unknown = "alpaca", "AAPL", "MSFT", "NOPE"
    sides = False

    def greet(self, peer: Peer) -> None:
        peer.send([{"T": "success", "msg": "connected"}])
        auth = peer.command()
        assert auth == {"action": "auth", "key": "K", "secret": "S"}, auth
        peer.send([{"T": "success", "msg": "authenticated"}])

    def answer(self, peer: Peer, message: dict[str, object]) -> None:
        named = set(message["trades"])
        if self.unknown in named:
            peer.send([{"T": "error", "code": 400, "msg": f"invalid syntax {self.unknown}"}])
            return
        peer.products = peer.products - named if message["action"] == "unsubscribe" else peer.products | named
        listed = sorted(peer.products)
        peer.send([{"T": "subscription", "trades": listed, "quotes": listed, "bars": []}])

    def trade(self, peer: Peer, item: Print) -> list[object]:
        quote = f'{{"T":"q","S":"{item.symbol}","bx":"V","bp":{item.bid},"bs":1,"ax":"V","ap":{item.ask},"as":4}}'
        trade = (
            f'{{"T":"t","i":{item.n},"S":"{item.symbol}","x":"V","p":{item.price},"s":{item.size},'
            f'"t":"{iso(item.stamp)}","c":["@"],"z":"C"}}'
        )
        return [f"[{quote},{trade}]"]

    def beat(self, peer: Peer) -> list[object]:
        return []


TONGUES: dict[str, type[Tongue]] = {tongue.name: tongue for tongue in (Coinbase, Advanced, Binance, Kraken, Alpaca)}
