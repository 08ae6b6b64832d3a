"""What a broker is: a venue account that takes orders, and the three ways in which it can fail to answer."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from apps.domain.errors import Unavailable
from apps.domain.orders import Execution, OrderKind, Report, Ticket, TimeInForce
from apps.domain.strategies.parameters import Parameters


class BrokerRefused(Unavailable):
    """The venue said no, for good: the order does not exist there. Sending it again as it is would fail again."""


class BrokerBusy(Unavailable):
    """The request certainly had no effect (rate limit, no connection): it may be sent again after `after` seconds."""

    def __init__(self, sentence: str, *, after: float = 1.0) -> None:
        super().__init__(sentence)
        self.after = after


class BrokerUnclear(Unavailable):
    """Nobody knows whether the request had an effect (time-out, 5xx, broken answer): ask by client id first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What a broker can do; what it cannot is refused before an order is stored."""

    kinds: frozenset[OrderKind]
    tifs: frozenset[TimeInForce]
    amends: bool = False  # changes price or quantity of a working order in place
    protects: bool = False  # keeps stop orders while the site is away
    shorts: bool = False
    reduce_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where a broker is and who asks: decrypted for the call, never stored or logged."""

    address: str  # base URL; a loopback one in tests; empty where the broker is built in
    key: str = ""
    secret: str = ""
    passphrase: str = ""
    options: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        return f"Access({self.address!r}, ...)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What a key may do at the venue; None where the venue does not tell."""

    trade: bool | None
    withdraw: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What the venue says is held: an instrument, net (negative is short), or the amount of a currency."""

    asset: str  # the venue's symbol of an instrument, or a currency
    quantity: Decimal
    available: Decimal | None = None


class Broker(ABC):
    """One account at one venue. Every method may raise BrokerRefused, BrokerBusy or BrokerUnclear, nothing else.

    Made for one account and one piece of work, used by one thread. `place` with a client id the venue already knows
    returns the report of the order it knows.
    """

    name: ClassVar[str]
    abilities: ClassVar[Abilities]
    options: ClassVar[type[Parameters] | None] = None  # what a person may choose for an account
    sandboxes: ClassVar[tuple[str, ...]] = ()  # addresses at which it trades no real money

    def __init__(self, access: Access, account_id: int) -> None:
        self.access = access
        self.account_id = account_id

    @abstractmethod
    def place(self, ticket: Ticket) -> Report:
        """Send an order and return what the venue said of it."""

    @abstractmethod
    def cancel(self, client_id: str, venue_id: str) -> Report:
        """Ask for an order to be taken back and return how it stands: it may be filled, or still cancelling."""

    def amend(self, client_id: str, venue_id: str, ticket: Ticket) -> Report:
        """Change price and quantity of a working order in place; only where `abilities.amends`."""
        raise BrokerRefused(f"{self.name} cannot change an order in place; cancel it and place another")

    @abstractmethod
    def find(self, client_id: str, venue_id: str = "") -> Report | None:
        """Return how an order stands with all its executions, None when the venue has never had it."""

    @abstractmethod
    def working(self) -> list[Report]:
        """Return every order that works at the venue, also those that are not ours."""

    @abstractmethod
    def executions(self, since: datetime) -> list[tuple[str, Execution]]:
        """Return all fills since an instant (inclusive), each with the client id (or venue id) of its order."""

    @abstractmethod
    def positions(self) -> list[Holding] | None:
        """Return net holdings per instrument; None where the venue knows balances only (spot)."""

    @abstractmethod
    def balances(self) -> list[Holding]:
        """Return amounts per currency."""

    @abstractmethod
    def clock(self) -> datetime:
        """Return the venue's time."""

    def rights(self) -> Rights:
        """Return what the key may do there."""
        return Rights(trade=None, withdraw=None)

    def close(self) -> None:
        """Let go of connections."""
        return
