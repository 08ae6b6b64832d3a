"""Which products the simulated exchange lists, with their increments and starting prices."""

import re
import zlib
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

MAX_PRODUCTS = 5_000
PRODUCT_ID = re.compile(r"[A-Z0-9]{1,12}-[A-Z0-9]{2,6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One market: its id, where its price starts, and how many decimals its prices and sizes carry."""

    id: str
    start_price: Decimal
    quote_decimals: int
    base_decimals: int

    @property
    def base(self) -> str:
        return self.id.partition("-")[0]

    @property
    def quote(self) -> str:
        return self.id.partition("-")[2]

    @property
    def quote_increment(self) -> str:
        return increment(self.quote_decimals)

    @property
    def base_increment(self) -> str:
        return increment(self.base_decimals)

    @property
    def stream(self) -> int:
        """A number that names this product's random streams, the same in every run and beside any other product."""
        return zlib.crc32(self.id.encode())


def increment(decimals: int) -> str:
    """The smallest step as the exchange writes it: 2 -> "0.01", 0 -> "1"."""
    return f"{Decimal(1).scaleb(-decimals):f}"


def trim(text: str) -> str:
    """A decimal text without trailing zeros, as the exchange writes prices and sizes of trades: "0.7910" -> "0.791"."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def _known(product_id: str, price: str, quote_decimals: int, base_decimals: int) -> Product:
    return Product(
        id=product_id, start_price=Decimal(price), quote_decimals=quote_decimals, base_decimals=base_decimals
    )


KNOWN = {
    product.id: product
    for product in (
        _known("BTC-USD", "60000", 2, 8),
        _known("ETH-USD", "3000", 2, 8),
        _known("SOL-USD", "150", 2, 8),
        _known("XRP-USD", "0.60", 4, 6),
        _known("ADA-USD", "0.45", 4, 8),
        _known("DOGE-USD", "0.15", 5, 1),
        _known("LTC-USD", "80", 2, 8),
        _known("LINK-USD", "15", 3, 2),
    )
}
DEFAULT = tuple(KNOWN.values())


def parse(text: str) -> tuple[Product, ...]:
    """Read `BTC-USD,ETH-USD=2500.00` (an optional starting price each) or a count such as `50`.

    Raises ValueError with one sentence that names the value and the rule.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return numbered(int(text))
    listed = tuple(_parse_one(part.strip()) for part in text.split(","))
    if len({product.id for product in listed}) != len(listed):
        raise ValueError(f"products: {text!r} names a product twice")
    return listed


def numbered(count: int) -> tuple[Product, ...]:
    """The default products, then invented ones (`SIM009-USD`, ...), `count` in all."""
    if not 1 <= count <= MAX_PRODUCTS:
        raise ValueError(f"products: a count must be from 1 to {MAX_PRODUCTS}, not {count}")
    invented = tuple(_invent(f"SIM{number:03d}-USD") for number in range(len(DEFAULT) + 1, count + 1))
    return (DEFAULT + invented)[:count]


def priced(product_id: str, price: Decimal) -> Product:
    """The product starting at `price`, on a grid fine enough for it."""
    known = KNOWN.get(product_id) or _invent(product_id)
    exponent = price.normalize().as_tuple().exponent
    decimals = max(known.quote_decimals, -exponent if isinstance(exponent, int) else 0)
    return Product(
        id=product_id, start_price=price, quote_decimals=min(decimals, 12), base_decimals=known.base_decimals
    )


def _parse_one(part: str) -> Product:
    product_id, equals, price = part.partition("=")
    if not PRODUCT_ID.fullmatch(product_id):
        raise ValueError(f"products: {product_id!r} is not a product id like BTC-USD")
    if not equals:
        return KNOWN.get(product_id) or _invent(product_id)
    return priced(product_id, positive_decimal(price, f"products: the price of {product_id}"))


def positive_decimal(text: str, what: str) -> Decimal:
    """Read a plain positive decimal or raise ValueError naming `what`."""
    try:
        number = Decimal(text) if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,12})?", text) else Decimal(0)
    except InvalidOperation:
        number = Decimal(0)
    if number <= 0:
        raise ValueError(f"{what} must be a positive decimal like 100.00, not {text!r}")
    return number


def _invent(product_id: str) -> Product:
    """A product nobody knows gets a price between 0.05 and 500 that follows from its name."""
    seed = zlib.crc32(product_id.encode())
    price = 0.05 * 10 ** (4 * (seed % 10_000) / 10_000)
    decimals = 2 if price >= 20 else 4 if price >= 0.5 else 5
    return Product(
        id=product_id, start_price=Decimal(f"{price:.{decimals}f}"), quote_decimals=decimals, base_decimals=4
    )


def row(product: Product) -> dict[str, object]:
    """A product as REST and the status channel show it."""
    return {
        "id": product.id,
        "base_currency": product.base,
        "quote_currency": product.quote,
        "base_min_size": product.base_increment,
        "base_max_size": "100000",
        "quote_increment": product.quote_increment,
        "base_increment": product.base_increment,
        "display_name": f"{product.base}-{product.quote}",
        "min_market_funds": "1",
        "max_market_funds": "1000000",
        "margin_enabled": False,
        "post_only": False,
        "limit_only": False,
        "cancel_only": False,
        "trading_disabled": False,
        "status": "online",
        "status_message": "",
        "fx_stablecoin": False,
        "max_slippage_percentage": "0.02000000",
        "auction_mode": False,
    }
