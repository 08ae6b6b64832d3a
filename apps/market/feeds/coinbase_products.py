"""What do both interfaces of Coinbase say of a product in the same words?"""

import msgspec


class ListedProduct(msgspec.Struct, kw_only=True):
    """A product's increments, and whether it is traded."""

    base_increment: str = ""
    quote_increment: str = ""
    status: str = ""
    trading_disabled: bool = False
    cancel_only: bool = False

    @property
    def is_trading(self) -> bool:
        """Say whether orders of every kind are taken."""
        return self.status == "online" and not self.trading_disabled and not self.cancel_only
