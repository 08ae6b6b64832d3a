"""The servers and worlds of the fault tests."""

from tests.flow.conftest import cluster, make_world, world

__all__ = ["cluster", "make_world", "world"]
