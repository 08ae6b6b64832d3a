"""Which process runs which version, as its last sign of life says."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from apps.journal import pulses
from apps.ops.configuration import following, services

ALIVE: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One living process; `version` is None when it is of code that knows no versions."""

    name: str
    host: str
    pid: int
    version: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The version in force, and who runs what."""

    version: int
    processes: tuple[Standing, ...]

    @property
    def behind(self) -> tuple[Standing, ...]:
        """Who does not run it yet."""
        return tuple(each for each in self.processes if each.version != self.version)


def look(now: datetime) -> Confirmed:
    """Ask the signs of life of the last seconds."""
    row = services.newest()
    found = sorted(pulses.alive("", now=now, within=ALIVE), key=lambda pulse: (pulse.name, pulse.host, pulse.pid))
    return Confirmed(
        version=row.version if row else 0,
        processes=tuple(
            Standing(name=pulse.name, host=pulse.host, pid=pulse.pid, version=pulse.facts.get(following.FACT))
            for pulse in found
        ),
    )
