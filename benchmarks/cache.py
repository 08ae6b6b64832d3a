"""What does a hit in each tier of the cache cost? Run inside the tests' servers: python -m benchmarks.cache."""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

INSTRUMENTS = 200


def microseconds(act: Callable[[], Any], times: int) -> str:
    """Return median and 99th percentile of one call."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        act()
        taken.append((time.perf_counter() - begun) * 1e6)
    return f"median {statistics.median(taken):.1f} µs, 99 % {statistics.quantiles(taken, n=100)[98]:.1f} µs"


def measure() -> None:
    """Load instruments, then ask each tier for all of them."""
    import django

    django.setup()
    from django.core.management import call_command

    from apps.market.cache import Tiers, rows
    from apps.market.models import Instrument

    call_command("migrate", verbosity=0)
    some = {"base_currency": "X", "quote_currency": "USD", "tick_size": 1, "lot_size": 1, "min_quantity": 1}
    Instrument.objects.bulk_create([Instrument(symbol=f"X{n}-USD", **some) for n in range(INSTRUMENTS)])
    tiers, wanted = Tiers(), rows._INSTRUMENTS

    def from_redis() -> None:
        tiers.memory.clear()
        tiers.get(wanted)

    tiers.get(wanted)
    print("memory  ", microseconds(lambda: tiers.get(wanted), 20_000))
    print("shared  ", microseconds(from_redis, 500))
    print("database", microseconds(wanted.load, 500))
    print(dict(tiers.hits))


def main() -> None:
    """Measure on servers of its own."""
    sys.path.insert(0, str(Path.cwd()))
    from apps.ops import servers

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        with servers.lease(Path(folder) / "servers") as found:
            os.environ.update(
                DJANGO_SETTINGS_MODULE="tradingsite.settings",
                DATABASE_URL=found.database_url,
                REDIS_URL=found.redis_url,
                TRADINGSITE_VAR=f"{folder}/var",
            )
            measure()


if __name__ == "__main__":
    main()
