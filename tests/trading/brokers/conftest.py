"""Fixtures of the broker contract: each registered broker in its own world, for the faults that its venue has."""

import importlib
from collections.abc import Iterator
from importlib.util import find_spec
from types import ModuleType

import pytest

from apps.trading.brokers import registry
from tests.trading.brokers.contract import Fault, World

WORLDS = "tests.trading.brokers.worlds"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Ask a broker only for the faults its venue has: `contract.having` names them on the test."""
    wanted: frozenset[Fault] | None = getattr(metafunc.function, "wanted_faults", None)
    if "world" not in metafunc.fixturenames:
        return
    if "fault" in metafunc.fixturenames:
        pairs = [(name, fault) for name in registry.names() for fault in sorted(wanted or ()) if fault in known(name)]
        made = [pytest.param(*pair, marks=marks(pair[0]), id="-".join(pair)) for pair in pairs]
        metafunc.parametrize(("world", "fault"), made, indirect=["world"])
        return
    names = [name for name in registry.names() if (wanted or frozenset()) <= known(name)]
    metafunc.parametrize("world", [pytest.param(name, marks=marks(name), id=name) for name in names], indirect=True)


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """One broker and its venue on loopback; a broker without a module in `worlds` fails here."""
    module = importlib.import_module(f"{WORLDS}.{request.param}")
    if database := getattr(module, "DATABASE", ""):
        request.getfixturevalue(database)
    with module.opened() as opened:
        yield opened


def known(name: str) -> frozenset[Fault]:
    """Return the faults of a broker's venue: all of them where nobody says, so that the lack is seen."""
    module = module_of(name)
    found = [thing for thing in vars(module).values() if is_world_of(thing, module)] if module else []
    return found[0].faults if found else frozenset(Fault)


def marks(name: str) -> list[pytest.MarkDecorator]:
    """Let tests of a venue that lives in the database have it."""
    database = getattr(module_of(name), "DATABASE", "")
    return [pytest.mark.django_db(transaction=database == "transactional_db")] if database else []


def module_of(name: str) -> ModuleType | None:
    return importlib.import_module(f"{WORLDS}.{name}") if find_spec(f"{WORLDS}.{name}") else None


def is_world_of(thing: object, module: ModuleType) -> bool:
    return isinstance(thing, type) and issubclass(thing, World) and thing.__module__ == module.__name__
