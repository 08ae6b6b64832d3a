"""Kill -9 beside orders in every state. A selection; `python -m tests.faults orders` kills everything."""

import os
from collections.abc import Callable, Iterator

import pytest

from tests.faults.orders import matrix
from tests.faults.orders.rig import Rig, rigged
from tests.faults.orders.states import OPTIONS, STATES
from tests.flow.worlds import Cluster, World

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

CHOSEN = os.environ.get("ORDER_FAULTS", "worker-orders").split(",")
KILLED = matrix.ALL if CHOSEN == ["all"] else tuple(CHOSEN)


@pytest.fixture(scope="module")
def rig(make_world: Callable[[], World], cluster: Cluster) -> Iterator[Rig]:
    with rigged(make_world(), cluster.servers, OPTIONS) as made:
        yield made


@pytest.fixture(scope="module")
def rows() -> Iterator[list[matrix.Row]]:
    found: list[matrix.Row] = []
    yield found
    print("\n" + matrix.table(found))
    matrix.keep(found)


@pytest.mark.parametrize("killed", KILLED)
def test_orders_in_every_state_outlive_a_kill(rig: Rig, rows: list[matrix.Row], killed: str) -> None:
    row = matrix.run(rig, killed)
    rows.append(row)
    assert row.reached == {name: state.status for name, state in STATES.items()}
    assert row.passed, row.wrong
