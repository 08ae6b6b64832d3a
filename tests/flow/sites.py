"""Sites of real processes for journeys, faults and browsers: one pair of servers for all of them, a database each."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pytest_django.plugin import DjangoDbBlocker

from apps.ops import servers
from tests.flow.worlds import Cluster, World, connected
from tests.servers import PrivateServers, spare_the_disk, temporary_folder


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Servers of these tests alone: they are killed, stalled and started again."""
    with temporary_folder("tradingsite-cluster-") as folder, servers.lease(folder / "servers") as addresses:
        spare_the_disk(folder / "servers", "fsync", "full_page_writes")
        private = PrivateServers(folder / "servers", addresses)
        yield Cluster(private)
        private.mend()


@contextlib.contextmanager
def world_on(cluster: Cluster, folder: Path, blocker: DjangoDbBlocker) -> Iterator[World]:
    """Make a world; this process's Django talks to its database."""
    with cluster.database() as url, blocker.unblock(), connected(url):
        world = World(url, cluster.servers.redis_url, folder)
        try:
            yield world
        finally:
            world.close()


@pytest.fixture
def world(cluster: Cluster, tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[World]:
    with world_on(cluster, tmp_path, django_db_blocker) as made:
        yield made


@pytest.fixture(scope="module")
def make_world(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker
) -> Iterator[Callable[[], World]]:
    """Make a world that the tests of a module share."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(world_on(cluster, tmp_path_factory.mktemp("world"), django_db_blocker))
