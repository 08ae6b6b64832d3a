"""Reads subscribe and unsubscribe requests: string channels, object channels, and product ids at the root."""

from collections.abc import Container
from typing import Any

PRODUCT_CHANNELS = ("ticker", "ticker_batch", "matches", "heartbeat")
PLAIN_CHANNELS = ("status",)
PRIVATE_CHANNELS = ("user", "full", "level2", "level2_batch", "level3", "balance")

Wanted = dict[str, list[str]]


class RefusedRequest(ValueError):
    """A request the exchange answers with an `error` message."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(f"{message}: {reason}")
        self.message = message
        self.reason = reason


def read(request: dict[str, Any], listed: Container[str]) -> Wanted:
    """The channels of a request, each with its products (none for a channel without products).

    Raises RefusedRequest; a request is taken as a whole or not at all.
    """
    verb = str(request.get("type"))
    if verb not in ("subscribe", "unsubscribe"):
        raise RefusedRequest("Type has to be either subscribe or unsubscribe")
    complaint = f"Failed to {verb}"
    channels = request.get("channels")
    if not isinstance(channels, list) or not channels:
        raise RefusedRequest(complaint, "No channels provided")
    root = _texts(request.get("product_ids", []), complaint)
    wanted: Wanted = {}
    for channel in channels:
        name, products = _channel(channel, root, complaint)
        _check(name, products, listed, complaint, needs_products=verb == "subscribe")
        wanted.setdefault(name, []).extend(products if name in PRODUCT_CHANNELS else [])
    return wanted


def _channel(channel: object, root: list[str], complaint: str) -> tuple[str, list[str]]:
    if isinstance(channel, str):
        return channel, root
    if isinstance(channel, dict) and isinstance(channel.get("name"), str):
        own = channel.get("product_ids")
        return channel["name"], root if own is None else _texts(own, complaint)
    raise RefusedRequest(complaint, "Channel has to be a string or an object with a name")


def _texts(value: object, complaint: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise RefusedRequest(complaint, "product_ids has to be a list of product ids")
    return value


def _check(name: str, products: list[str], listed: Container[str], complaint: str, *, needs_products: bool) -> None:
    if name in PRIVATE_CHANNELS:
        raise RefusedRequest(complaint, f"{name} channel requires authentication")
    if name not in PRODUCT_CHANNELS + PLAIN_CHANNELS:
        raise RefusedRequest(complaint, f"{name} is not a valid channel")
    if name in PRODUCT_CHANNELS and needs_products and not products:
        raise RefusedRequest(complaint, f"You need to specify at least one product ID for channel {name}")
    for product_id in products:
        if product_id not in listed:
            raise RefusedRequest(complaint, f"{product_id} is not a valid product")
