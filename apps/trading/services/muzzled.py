"""A broker that only tells how things stand: what a venue of real money is while the site's switch is off."""

from typing import NoReturn

from apps.domain.orders import Report, Ticket
from apps.trading.brokers.base import Broker
from apps.trading.models import Account
from apps.trading.services import switches
from apps.trading.services.discreet import Discreet


class Muzzled(Discreet):
    """Passes questions on to a broker, and nothing that would change anything there."""

    def __init__(self, inner: Broker, account: Account) -> None:
        super().__init__(inner)
        self._account = account

    def place(self, ticket: Ticket) -> Report:
        """Raise Silenced."""
        self._refuse()

    def cancel(self, client_id: str, venue_id: str) -> Report:
        """Raise Silenced."""
        self._refuse()

    def amend(self, client_id: str, venue_id: str, ticket: Ticket) -> Report:
        """Raise Silenced."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise switches.silence(self._account)


def of(broker: Broker, account: Account) -> Broker:
    """Return the broker, muzzled where it would move real money and the site's switch is off."""
    return Muzzled(broker, account) if switches.is_silenced(account) else broker
