"""State directories and servers to throw away."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.ops import servers
from apps.ops.servers import holding
from tests.servers import PrivateServers, temporary_folder


@pytest.fixture
def state() -> Iterator[Path]:
    with temporary_folder("tradingsite-servers-") as folder:
        path = folder / "var"
        yield path
        left = [name for name in holding.VARIABLES if path.is_dir() and servers.pid(name, path)]
        with servers.lease(path):
            pass  # the last holder stops what a failed test left running
        assert left == [], "servers outlived their last holder"


@pytest.fixture(scope="module")
def pair() -> Iterator[PrivateServers]:
    with temporary_folder("tradingsite-pair-") as folder, servers.lease(folder / "var") as addresses:
        yield PrivateServers(folder / "var", addresses)
