"""Who trades on the simulated exchange: balances, fees, rights, and a key that follows from the account's name."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from apps.simulator import products

MAIN = "main"
_CURVE_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class FeeIn(StrEnum):
    """In what a fee is taken."""

    QUOTE = "quote"
    RECEIVED = "received"  # base when buying, quote when selling


@dataclass(slots=True, kw_only=True)
class Account:
    """One client of the exchange; amounts per currency, fee rates of the notional (0.001 is 0.1 %)."""

    name: str
    balances: dict[str, Decimal]
    maker: Decimal = Decimal("0.001")
    taker: Decimal = Decimal("0.002")
    fee_in: FeeIn = FeeIn.QUOTE
    fee_asset: str = ""  # a third currency that all fees are taken in, one unit per quote unit; "" for none
    shorts: bool = False  # may owe what it sells
    can_trade: bool = True
    can_transfer: bool = False
    key: str = ""
    secret: str = ""  # for dialects with a shared secret
    pem: str = field(default="", repr=False)  # for dialects with signed tokens

    def __post_init__(self) -> None:
        number = _number(self.name)
        self.key = self.key or f"organizations/simulated/apiKeys/{self.name}"
        self.secret = self.secret or hashlib.sha256(f"secret {number}".encode()).hexdigest()
        self.pem = self.pem or _pem(number)

    def add(self, asset: str, amount: Decimal) -> None:
        """Book an amount; negative takes it away."""
        self.balances[asset] = self.balances.get(asset, Decimal(0)) + amount

    def public(self) -> ec.EllipticCurvePublicKey:
        """The key that checks what the client signed."""
        return ec.derive_private_key(_number(self.name), ec.SECP256R1()).public_key()


def opened(
    name: str,
    balances: Mapping[str, str] | None = None,
    *,
    maker: str = "0.001",
    taker: str = "0.002",
    fee_in: str = "quote",
    fee_asset: str = "",
    shorts: bool = False,
    can_trade: bool = True,
    can_transfer: bool = False,
) -> Account:
    """An account from plain values, as code and the control API give them. Raises ValueError with one sentence."""
    if not name or not name.isascii() or not name.replace("-", "").isalnum():
        raise ValueError(f"account: {name!r} is not a name of letters, digits and dashes")
    amounts = {asset: _amount(text, asset) for asset, text in (balances or {"USD": "100000"}).items()}
    return Account(
        name=name, balances=amounts, maker=_amount(maker, "maker"), taker=_amount(taker, "taker"),
        fee_in=FeeIn(fee_in), fee_asset=fee_asset, shorts=shorts, can_trade=can_trade, can_transfer=can_transfer,
    )  # fmt: skip


def default(listed: Iterable[products.Product]) -> Account:
    """The account that is always there: a hundred thousand of every quote currency."""
    return opened(MAIN, {product.quote: "100000" for product in listed})


def _amount(text: str, what: str) -> Decimal:
    if text in ("0", "0.0"):
        return Decimal(0)
    return products.positive_decimal(text, what)


def _number(name: str) -> int:
    """A number that belongs to this name for ever: no randomness, so that a restart knows the same keys."""
    digest = hashlib.sha256(f"simulated account {name}".encode()).digest()
    return int.from_bytes(digest, "big") % (_CURVE_ORDER - 1) + 1


def _pem(number: int) -> str:
    private = ec.derive_private_key(number, ec.SECP256R1())
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()
