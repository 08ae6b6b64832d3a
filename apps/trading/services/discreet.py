"""A broker that repeats no secret: venues echo what they were sent, and what they say is stored, logged and shown."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import ParamSpec, TypeVar

from apps.domain.orders import Execution, Report, Ticket
from apps.trading import masking
from apps.trading.brokers.base import Access, Broker, BrokerBusy, BrokerRefused, BrokerUnclear, Holding, Rights

P = ParamSpec("P")
T = TypeVar("T")


class Discreet(Broker):
    """Passes every call on to a broker, and masks the words of its answers and errors."""

    def __init__(self, inner: Broker) -> None:
        super().__init__(inner.access, inner.account_id)
        self._inner = inner
        vars(self).update(name=inner.name, abilities=inner.abilities)  # this one's are those of the broker behind it

    def place(self, ticket: Ticket) -> Report:
        """Send an order."""
        return _said(_asked(self._inner.place, ticket))

    def cancel(self, client_id: str, venue_id: str) -> Report:
        """Ask for an order to be taken back."""
        return _said(_asked(self._inner.cancel, client_id, venue_id))

    def amend(self, client_id: str, venue_id: str, ticket: Ticket) -> Report:
        """Change a working order in place."""
        return _said(_asked(self._inner.amend, client_id, venue_id, ticket))

    def find(self, client_id: str, venue_id: str = "") -> Report | None:
        """Return how an order stands."""
        found = _asked(self._inner.find, client_id, venue_id)
        return None if found is None else _said(found)

    def working(self) -> list[Report]:
        """Return every order that works at the venue."""
        return [_said(each) for each in _asked(self._inner.working)]

    def executions(self, since: datetime) -> list[tuple[str, Execution]]:
        """Return all fills since an instant."""
        return _asked(self._inner.executions, since)

    def positions(self) -> list[Holding] | None:
        """Return net holdings per instrument."""
        return _asked(self._inner.positions)

    def balances(self) -> list[Holding]:
        """Return amounts per currency."""
        return _asked(self._inner.balances)

    def clock(self) -> datetime:
        """Return the venue's time."""
        return _asked(self._inner.clock)

    def rights(self) -> Rights:
        """Return what the key may do there."""
        return _asked(self._inner.rights)

    def close(self) -> None:
        """Let go of connections."""
        self._inner.close()


def connect(plugin: type[Broker], access: Access, account_id: int) -> Broker:
    """Make a broker that repeats no secret. Raises what the plug-in's own making raises, masked."""
    broker = _asked(plugin, access, account_id)
    return Discreet(broker) if access.key else broker


def _asked(call: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
    try:
        return call(*args, **more)
    except BrokerBusy as error:
        raise BrokerBusy(masking.mask(str(error)), after=error.after) from None
    except BrokerUnclear as error:
        raise BrokerUnclear(masking.mask(str(error)), permanent=error.permanent) from None
    except BrokerRefused as error:
        raise BrokerRefused(masking.mask(str(error)), permanent=error.permanent) from None


def _said(report: Report) -> Report:
    masked = masking.mask(report.reason)
    return report if masked == report.reason else replace(report, reason=masked)
