"""The truth about a run: which trades happened, which never went out, and which faults were carried out."""

from typing import Any

from apps.simulator.faults import Fault

NOBODY = "nobody listened"


class Ledger:
    """The truth about one product since the start."""

    def __init__(self, first_id: int) -> None:
        self.first_id = first_id
        self.last_id = first_id - 1
        self.unsent: list[list[Any]] = []  # rows of first id, last id, why
        self.off_market: list[int] = []

    def mark_unsent(self, trade_id: int, why: str) -> None:
        """Remember that no client got this trade."""
        if self.unsent and self.unsent[-1][1] == trade_id - 1 and self.unsent[-1][2] == why:
            self.unsent[-1][1] = trade_id
        else:
            self.unsent.append([trade_id, trade_id, why])


class Journal:
    """Kept by the exchange itself, so that tests compare a client's database with what really happened."""

    def __init__(self) -> None:
        self.products: dict[str, Ledger] = {}
        self.faults: list[dict[str, Any]] = []
        self.accepted = 0
        self.cuts: list[str] = []

    def open(self, product_id: str, first_id: int) -> None:
        """Start the account of a product with the id of its first trade."""
        self.products[product_id] = Ledger(first_id)

    def note(self, fault: Fault, elapsed: float, time: str) -> dict[str, list[int]]:
        """Record that a fault was carried out; returns the place for the ids of the trades it touches, by product."""
        touched: dict[str, list[int]] = {}
        self.faults.append(
            {"fault": fault.name, "args": dict(fault.args), "at_seconds": round(elapsed, 3), "time": time,
             "trade_ids": touched}
        )  # fmt: skip
        return touched

    def as_dict(self) -> dict[str, Any]:
        """The journal as plain values; ids are inclusive ranges."""
        return {
            "products": {
                product_id: {
                    "first_trade_id": ledger.first_id,
                    "last_trade_id": ledger.last_id,
                    "produced": ledger.last_id - ledger.first_id + 1,
                    "unsent": [list(row) for row in ledger.unsent],
                    "off_market": list(ledger.off_market),
                }
                for product_id, ledger in self.products.items()
            },
            "faults": [{**row, "trade_ids": {k: list(v) for k, v in row["trade_ids"].items()}} for row in self.faults],
            "connections": {"accepted": self.accepted, "cut": list(self.cuts)},
        }
