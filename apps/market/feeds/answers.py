"""How does an answer become values? Decoded into the shape that is expected, or refused as one typed error."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from apps.market.feeds.rest import FeedUnavailable, RestClient

T = TypeVar("T")


def ask(client: RestClient, path: str, query: Mapping[str, str | int], shape: type[T]) -> T:
    """Return the answer to one question in its shape. Raises FeedUnavailable."""
    return decoded(path, client.get(path, query), shape)


def decoded(path: str, body: bytes, shape: type[T]) -> T:
    """Return a body in its shape. Raises FeedUnavailable with the path and what is wrong."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FeedUnavailable(f"GET {path}: the answer makes no sense: {str(error)[:120]}", permanent=False) from error
