"""Measure: `python -m benchmarks [NAME ...] [--quick] [--json]`, on servers of its own that are gone afterwards."""

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis import Redis

from benchmarks import (
    backtests,
    bursts,
    decisions,
    figures,
    gateway,
    latency,
    lists,
    receiving,
    reference_rows,
    restarts,
    stage,
    starting,
    stored,
    sustained,
    trailing,
)
from benchmarks.figures import Table

BENCHMARKS: dict[str, Any] = {
    "receiving": receiving,
    "latency": latency,
    "bursts": bursts,
    "sustained": sustained,
    "restarts": restarts,
    "trailing": trailing,
    "stored": stored,
    "backtests": backtests,
    "decisions": decisions,
    "gateway": gateway,
    "lists": lists,
    "starting": starting,
    "reference_rows": reference_rows,
}


def main() -> int:
    """Run what was asked for; a full run puts its figures into the README. Returns 1 when a goal was missed."""
    options = _options()
    with stage.stage() as folder:
        tables = {name: _run(name, folder, options) for name in options.names or BENCHMARKS}
        machine = _machine()
    if options.json:
        print(json.dumps({name: table.facts() for name, table in tables.items()}, indent=2))
    if not options.quick and not options.no_write:
        figures.write("machine", machine)
        for name, table in tables.items():
            figures.write(name, table.markdown())
    # A quick run is too short to judge by.
    return int(not options.quick and any(not goal.is_met for table in tables.values() for goal in table.goals))


def _run(name: str, folder: Path, options: argparse.Namespace) -> Table:
    module = BENCHMARKS[name]
    run: Callable[[Any, Path], Table] = module.run
    began = time.perf_counter()
    table = run(module.QUICK if options.quick else module.FULL, folder)
    if not options.json:
        print(f"\n== {name} ({time.perf_counter() - began:.0f} s) ==\n{table.text()}", flush=True)
    return table


def _machine() -> str:
    """Say what the figures were measured on."""
    ((postgres,),) = stage.rows("SHOW server_version")
    with Redis.from_url(os.environ["REDIS_URL"]) as client:
        found = client.info("server")
    redis = f"{found.get('server_name', 'redis')} {found.get('valkey_version', found['redis_version'])}"
    python = platform.python_version()
    return f"Last run on {os.cpu_count()} shared cores: Python {python}, PostgreSQL {postgres}, {redis}.\n"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which (default: all): {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, two minutes in all; proves that it works")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--no-write", action="store_true", help="leave benchmarks/README.md as it is")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}: choose from {', '.join(BENCHMARKS)}")
    return options


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
