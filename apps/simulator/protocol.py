"""The messages of the Coinbase Exchange feed as bytes: keys, key order, types and number texts as recorded ones."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache

import msgspec


class Trade(msgspec.Struct, gc=False):
    """One trade as the exchange knows it; `side` is the taker's, prices and sizes are texts, time is UTC."""

    product_id: str
    trade_id: int
    sequence: int
    time_us: int
    price: str
    size: str
    side: str
    bid: str
    bid_size: str
    ask: str
    ask_size: str
    open_24h: str
    low_24h: str
    high_24h: str
    volume_24h: float
    volume_30d: float


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.")


def iso(time_us: int) -> str:
    """Microseconds since the epoch as `2021-04-17T16:43:30.244075Z`."""
    seconds, rest = divmod(time_us, 1_000_000)
    return f"{_second(seconds)}{rest:06d}Z"


def ticker(trade: Trade, skew_us: int = 0) -> bytes:
    """The `ticker` message of a trade, sent once per trade; `skew_us` shifts its time."""
    return (
        f'{{"type":"ticker","sequence":{trade.sequence},"product_id":"{trade.product_id}","price":"{trade.price}",'
        f'"open_24h":"{trade.open_24h}","volume_24h":"{trade.volume_24h:.8f}","low_24h":"{trade.low_24h}",'
        f'"high_24h":"{trade.high_24h}","volume_30d":"{trade.volume_30d:.8f}","best_bid":"{trade.bid}",'
        f'"best_bid_size":"{trade.bid_size}","best_ask":"{trade.ask}","best_ask_size":"{trade.ask_size}",'
        f'"side":"{trade.side}","time":"{iso(trade.time_us + skew_us)}","trade_id":{trade.trade_id},'
        f'"last_size":"{trade.size}"}}'
    ).encode()


def match(trade: Trade, kind: str = "match", skew_us: int = 0) -> bytes:
    """The `match` or `last_match` message of a trade. Its side is the maker's, the opposite of the ticker's."""
    maker, taker = _order_ids(trade.product_id, trade.trade_id)
    return (
        f'{{"type":"{kind}","trade_id":{trade.trade_id},"maker_order_id":"{maker}","taker_order_id":"{taker}",'
        f'"side":"{other_side(trade.side)}","size":"{trade.size}","price":"{trade.price}",'
        f'"product_id":"{trade.product_id}","sequence":{trade.sequence},"time":"{iso(trade.time_us + skew_us)}"}}'
    ).encode()


def other_side(side: str) -> str:
    return "sell" if side == "buy" else "buy"


def _order_ids(product_id: str, trade_id: int) -> tuple[str, str]:
    digest = hashlib.blake2b(f"{product_id}:{trade_id}".encode(), digest_size=32).hexdigest()
    return _uuid(digest[:32]), _uuid(digest[32:])


def _uuid(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def heartbeat(product_id: str, sequence: int, last_trade_id: int, time_us: int) -> bytes:
    """The `heartbeat` of one product, sent every second."""
    return (
        f'{{"type":"heartbeat","sequence":{sequence},"last_trade_id":{last_trade_id},"product_id":"{product_id}",'
        f'"time":"{iso(time_us)}"}}'
    ).encode()


def subscriptions(channels: Mapping[str, Iterable[str]]) -> bytes:
    """The acknowledgement: always the whole set of the connection, whatever the request asked for."""
    rows = [{"name": name, "product_ids": list(products)} for name, products in channels.items()]
    return msgspec.json.encode({"type": "subscriptions", "channels": rows})


def error(message: str, reason: str = "") -> bytes:
    """An `error` message."""
    body = {"type": "error", "message": message}
    if reason:
        body["reason"] = reason
    return msgspec.json.encode(body)


def status(products: list[dict[str, object]]) -> bytes:
    """The `status` message: every product with its increments and flags."""
    return msgspec.json.encode({"type": "status", "products": products, "currencies": []})
