"""Writes generated ticks to a file in the shape of recorded ones, without a server: the same seed, the same bytes."""

import gzip
import random
from collections.abc import Iterator
from pathlib import Path

from apps.simulator import history, market, protocol, tape
from apps.simulator.products import DEFAULT, Product

START_US = 1_704_067_200_000_000  # 2024-01-01T00:00:00Z
DEFAULT_RATE = 40.0


def lines(
    ticks: int,
    *,
    seed: int = 1,
    products: tuple[Product, ...] = DEFAULT,
    rate: float = DEFAULT_RATE,
    volatility: float = 1.0,
    start_us: int = START_US,
) -> Iterator[bytes]:
    """Yield `{"at_ns": ..., "msg": {ticker}}` lines; `rate` is trades per second in total on the recording's clock."""
    crowd = market.Market(products, seed=seed, rate=rate, volatility=volatility)
    tapes = {product.id: _tape(product, seed, rate / len(products), volatility, start_us) for product in products}
    delay = random.Random(seed)  # noqa: S311 - a repeatable network delay, not a secret
    time_us, received_ns = float(start_us), 0
    for _ in range(ticks):
        time_us += 1_000_000 * crowd.wait() / rate
        product_id = crowd.choose()
        trade = tapes[product_id].add(*crowd.walks[product_id].next(), int(time_us))
        received_ns = max(received_ns + 1_000, int(time_us) * 1_000 + int(delay.gammavariate(2.0, 2_000_000)))
        yield b'{"at_ns":%d,"msg":%b}\n' % (received_ns, protocol.ticker(trade))


def write(
    path: Path,
    ticks: int,
    *,
    seed: int = 1,
    products: tuple[Product, ...] = DEFAULT,
    rate: float = DEFAULT_RATE,
    volatility: float = 1.0,
) -> None:
    """Write a recording; gzipped when the name ends in `.gz`. Raises OSError."""
    with path.open("wb") as plain:
        made = lines(ticks, seed=seed, products=products, rate=rate, volatility=volatility)
        if path.suffix != ".gz":
            plain.writelines(made)
            return
        # No time and no name in the header, so that equal seeds give equal files.
        with gzip.GzipFile(filename="", mode="wb", fileobj=plain, compresslevel=6, mtime=0) as packed:
            packed.writelines(made)


def _tape(product: Product, seed: int, rate: float, volatility: float, start_us: int) -> tape.Tape:
    past = history.History(product, seed=seed, end_minute=start_us // tape.MINUTE_US, rate=rate, volatility=volatility)
    return tape.Tape(product, past, first_id=1_000_001, sequence=1_000_000_000, keep=1)
