"""What may a person choose about the paper venue? Its latency, costs, pieces and moods.

Whatever is drawn follows from the client id alone, so the same orders meet the same luck in every run.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from apps.domain.fills import Costs
from apps.domain.matching import Terms
from apps.domain.strategies.parameters import chosen, parameter, switch
from apps.market.models import Instrument
from apps.trading.models import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperOptions:
    """How the paper venue treats the orders of an account. Slippage and fees come on top of the account's own."""

    latency_ms: int = parameter(
        0, "Milliseconds from sending an order to its effect.", lowest=0, highest=60_000, title="Latency (ms)"
    )
    jitter_ms: int = parameter(
        0, "Up to so many milliseconds more, drawn for each order.", lowest=0, highest=60_000, title="Jitter (ms)"
    )
    slippage_rate: float = parameter(
        0.0, "Of the price, for orders that take: 0.0001 is 0.01 %.", lowest=0.0, highest=0.5
    )
    fee_rate: float = parameter(0.0, "Of the notional: 0.001 is 0.1 %.", lowest=0.0, highest=0.5)
    maker_share: float = parameter(
        1.0, "The part of the fee that an order pays which waited; below 0 it is paid.", lowest=-1.0, highest=1.0
    )
    pieces: int = parameter(1, "An order is filled in so many pieces.", lowest=1, highest=50)
    pieces_vary: bool = switch(False, "Or in fewer, drawn for each order.")
    pause_ms: int = parameter(
        200, "Milliseconds between two pieces of a market order.", lowest=0, highest=60_000, title="Pause (ms)"
    )
    by_volume: bool = switch(False, "A waiting order fills no more than was traded at its price.")
    at_touch: bool = switch(True, "A waiting order fills at a print at its limit; otherwise only beyond it.")
    reject_rate: float = parameter(
        0.0, "The part of all orders that is refused: 0.05 is one in twenty.", lowest=0.0, highest=1.0
    )

    @classmethod
    def of(cls, values: Mapping[str, Any] | None) -> "PaperOptions":
        """Return the options out of stored ones. Raises Refused."""
        return cls(**chosen(cls, values or {}))

    def latency(self, client_id: str) -> timedelta:
        """Return how long an order takes to have an effect."""
        return timedelta(milliseconds=self.latency_ms + int(self.jitter_ms * draw(client_id, "latency")))

    def rejects(self, client_id: str) -> bool:
        """Say whether the venue refuses an order for no reason."""
        return draw(client_id, "reject") < self.reject_rate

    def terms(self, client_id: str, account: Account, instrument: Instrument) -> Terms:
        """Return how an order of an account is filled."""
        count = 1 + int(self.pieces * draw(client_id, "pieces")) if self.pieces_vary else self.pieces
        return Terms(
            costs=Costs(
                fee_rate=account.fee_rate + _exact(self.fee_rate),
                slippage_rate=account.slippage_rate + _exact(self.slippage_rate),
                fee_fixed=account.fee_fixed,
                slippage_fixed=account.slippage_fixed,
            ),
            tick_size=instrument.tick_size,
            lot_size=instrument.lot_size,
            pieces=count,
            pause=timedelta(milliseconds=self.pause_ms),
            by_volume=self.by_volume,
            at_touch=self.at_touch,
            maker_share=_exact(self.maker_share),
        )


def draw(client_id: str, what: str) -> float:
    """Return a number in [0, 1) that follows from an order and a subject."""
    digest = hashlib.blake2b(f"{what}:{client_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def _exact(number: float) -> Decimal:
    return Decimal(str(number))
