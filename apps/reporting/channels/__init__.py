"""Which channels are there? One file each in this folder; third parties use the entry-point group."""

from apps.domain.plugins import Registry
from apps.reporting.channels.base import Channel

CHANNELS: Registry[Channel] = Registry(package="apps.reporting.channels", base=Channel, group="tradingsite.channels")
