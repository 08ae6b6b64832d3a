"""`python -m tests.faults`: run every fault test and write the measured recoveries to docs/faults.json.

`python -m tests.faults orders` kills every process beside an order in every state and prints the table; the names of
what to kill may follow.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import pytest

from tests.faults import figures

TARGET = Path(__file__).parents[2] / "docs" / "faults.json"
ORDERS = Path(__file__).parents[2] / "docs" / "order-faults.json"


def main() -> int:
    """Run the tests one by one, on an otherwise idle machine for honest figures, and keep what they measured."""
    words = sys.argv[1:]
    if words[:1] == ["orders"]:
        return kill_beside_orders(words[1:])
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "figures.jsonl"
        os.environ[figures.VARIABLE] = str(lines)
        status = int(pytest.main(["tests/faults", "-s", "-q", *words]))
        rows = [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []
    if rows and not status:
        TARGET.write_text(json.dumps({"faults": rows}, indent=2) + "\n")
        print(f"{len(rows)} figures in {TARGET}")
    return status


def kill_beside_orders(killed: list[str]) -> int:
    """Run the matrix of orders, all of it or some rows; the figures of the whole are kept."""
    os.environ["ORDER_FAULTS"] = ",".join(killed) or "all"
    if not killed:
        os.environ["ORDER_FAULT_FIGURES"] = str(ORDERS)
    return int(pytest.main(["tests/faults/orders/test_matrix.py", "-s", "-q"]))


if __name__ == "__main__":
    sys.exit(main())
