"""What a simulated exchange is started with, checked in one place."""

import ipaddress
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from apps.simulator import faults, products, replay
from apps.simulator.faults import Fault
from apps.simulator.products import Product

MAX_RATE = 1_000_000.0
KEPT_TRADES = 300_000  # in total, shared by the products


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings of one exchange; `rate` 0 is as fast as possible, None means scripted trades only."""

    products: tuple[Product, ...] = products.DEFAULT
    seed: int = 1
    rate: float | None = 40.0
    volatility: float = 1.0
    recording: replay.Recording | None = None
    speed: float = 1.0
    loop: bool = False
    faults: tuple[Fault, ...] = ()
    host: str = "127.0.0.1"
    port: int = 0
    allow_remote: bool = False
    keep: int = KEPT_TRADES
    slow_limit: int = 8_000_000  # bytes a client may lag behind before it is cut
    public_limits: bool = False
    orders_file: Path | None = None  # where accounts and orders survive a restart

    @property
    def unpaced(self) -> bool:
        """Whether trades come as fast as the clients take them."""
        return self.rate == 0 if self.recording is None else self.speed == 0


def build(
    *,
    products_text: str = "8",
    seed: int = 1,
    rate: float | None = 40.0,
    volatility: float = 1.0,
    replay_file: str | Path | None = None,
    speed: float = 1.0,
    loop: bool = False,
    fault_texts: Iterable[str] = (),
    prices: Mapping[str, str] | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    allow_remote: bool = False,
    keep: int = KEPT_TRADES,
    slow_limit: int = 8_000_000,
    public_limits: bool = False,
    orders_file: str | Path | None = None,
) -> Config:
    """Check everything a person can get wrong; raises ValueError with one sentence."""
    _between("seed", seed, 0, 2**63 - 1)
    _between("rate", rate or 0.0, 0, MAX_RATE)
    _between("volatility", volatility, 0, 100)
    _between("speed", speed, 0, 1_000_000)
    _between("port", port, 0, 65_535)
    _check_host(host, allow_remote)
    config = Config(
        products=products.parse(products_text),
        seed=seed,
        rate=rate,
        volatility=volatility,
        recording=None if replay_file is None else replay.open_recording(Path(replay_file)),
        speed=speed,
        loop=loop,
        faults=tuple(faults.parse(text) for text in fault_texts),
        host=host,
        port=port,
        allow_remote=allow_remote,
        keep=keep,
        slow_limit=slow_limit,
        public_limits=public_limits,
        orders_file=None if orders_file is None else Path(orders_file),
    )
    return _with_recording(_with_prices(config, prices or {}))


def _with_prices(config: Config, prices: Mapping[str, str]) -> Config:
    unknown = set(prices) - {product.id for product in config.products}
    if unknown:
        raise ValueError(f"prices: {min(unknown)!r} is not one of the products")
    listed = tuple(
        products.priced(product.id, products.positive_decimal(prices[product.id], f"prices: {product.id}"))
        if product.id in prices
        else product
        for product in config.products
    )
    return replace(config, products=listed)


def _with_recording(config: Config) -> Config:
    """A replayed exchange lists what the recording holds, starting at its first prices."""
    if config.recording is None:
        return config
    listed = tuple(products.priced(track.product_id, Decimal(track.first_price)) for track in config.recording.tracks)
    return replace(config, products=listed)


def _between(name: str, number: float, least: float, most: float) -> None:
    if not math.isfinite(number) or not least <= number <= most:
        raise ValueError(f"{name} must be between {least:g} and {most:g}, not {number!r}")


def _check_host(host: str, allow_remote: bool) -> None:
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise ValueError(f"host must be an IP address such as 127.0.0.1, not {host!r}") from None
    if not loopback and not allow_remote:
        raise ValueError(
            f"host {host} is not loopback; the simulator has no passwords, add --allow-remote if you mean it"
        )
