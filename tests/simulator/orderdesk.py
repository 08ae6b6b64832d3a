"""An engine without sockets whose market the test moves."""

from decimal import Decimal
from pathlib import Path
from typing import Any

from apps.domain.orders import OrderKind, TimeInForce
from apps.simulator import faults, products
from apps.simulator.orders.accounts import Account, opened
from apps.simulator.orders.book import Order, Wish
from apps.simulator.orders.engine import Engine
from apps.simulator.protocol import Trade

BTC = "BTC-USD"
SECOND = 1_000_000


class Desk:
    """BTC-USD at 100 with bid 99.99 and ask 100, an account with 100,000 USD and 10 BTC, and a clock that stands."""

    def __init__(self, remembered: Path | None = None, *, open_account: bool = True, **account: Any) -> None:
        self.now = 0
        self._trade_id = 0
        self._last: Trade | None = None
        self.trade("100")
        listed = {BTC: products.KNOWN[BTC]}
        self.engine = Engine(listed, lambda product_id: self._last, remembered)
        if open_account:
            self.engine.open_account(opened("tester", {"USD": "100000", "BTC": "10"}, **account))

    def close(self) -> None:
        """Let go of the file, as the end of a process does."""
        self.engine.close()

    @property
    def account(self) -> Account:
        return self.engine.accounts["tester"]

    def trade(self, price: str, bid: str | None = None, ask: str | None = None) -> None:
        """One trade at this price, a buy: the ask is the price, the bid a cent below."""
        self._trade_id += 1
        low = bid or str(Decimal(price) - Decimal("0.01"))
        self._last = Trade(
            BTC, self._trade_id, self._trade_id, self.now, price, "1", "buy", low, "1", ask or price, "1",
            price, price, price, 1.0, 1.0,
        )  # fmt: skip
        if hasattr(self, "engine"):
            self.engine.on_trade(self._last)

    def wait(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)
        self.engine.tick(self.now)

    def place(self, client_id: str = "one", **more: Any) -> Order:
        return self.engine.place(self.account, self.wish(client_id, **more), self.now)

    def limit(self, price: str, client_id: str = "one", **more: Any) -> Order:
        terms = {"kind": OrderKind.LIMIT, "limit_price": Decimal(price), "tif": TimeInForce.GTC}
        return self.place(client_id, **{**terms, **more})

    def stop(self, price: str, client_id: str = "one", **more: Any) -> Order:
        terms = {"kind": OrderKind.STOP, "stop_price": Decimal(price), "tif": TimeInForce.GTC, "buy": False}
        return self.place(client_id, **{**terms, **more})

    @staticmethod
    def wish(client_id: str, **more: Any) -> Wish:
        wanted: dict[str, Any] = {
            "client_id": client_id, "product_id": BTC, "buy": True, "kind": OrderKind.MARKET,
            "tif": TimeInForce.IOC, "quantity": Decimal(1),
        }  # fmt: skip
        return Wish(**{**wanted, **more})

    def fault(self, name: str, **args: Any) -> None:
        """Switch a fault on with the defaults of its catalogue entry."""
        self.engine.mishaps.add(name, faults.build(name, args).args)
