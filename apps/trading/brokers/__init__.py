"""Where orders go: one file per broker, found by its name."""

from apps.domain.plugins import Registry
from apps.trading.brokers.base import Broker

registry: Registry[Broker] = Registry(package="apps.trading.brokers", base=Broker, group="tradingsite.brokers")
