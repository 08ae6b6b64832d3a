"""Every environment variable is documented, with the default and the bounds that the code has."""

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.shape import source

DOCUMENT, EXAMPLE = "docs/configuration.md", ".env.example"
READERS = frozenset({"text", "flag", "integer", "number", "choice", "names", "url"})
# Variables of the system and of Django, which have documents of their own.
FOREIGN = frozenset(
    {"PATH", "SUDO_USER", "INVOCATION_ID", "LD_LIBRARY_PATH", "DJANGO_SETTINGS_MODULE", "PYTEST_XDIST_WORKER"}
)
# Read through a table of names and not by a literal; the test below finds the tables.
TABLES = frozenset({"DATABASE_URL", "REDIS_URL", "MARKET_DATABASE_URL"})
# What a person sets for the tests, and what a parent process tells its children.
FOR_TESTS = frozenset({"TEST_DATABASE_URL", "TEST_REDIS_URL"})
INTERNAL = frozenset({"PROCESS_NAME", "TRADINGSITE_EMBEDDED"})
FOR_COMPOSE = frozenset({"POSTGRES_PASSWORD", "REDIS_PASSWORD"})


class Setting(NamedTuple):
    """One call of a reader in the settings: literal arguments as they stand, None for what is computed."""

    reader: str
    name: str
    arguments: tuple[object, ...]


def settings() -> list[Setting]:
    tree = ast.parse((source.ROOT / "tradingsite/settings.py").read_text())
    return [
        Setting(node.func.attr, str(_literal(node.args[0])), _arguments(node))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "env"
        and node.func.attr in READERS
    ]


def _arguments(call: ast.Call) -> tuple[object, ...]:
    keywords = [keyword.value for keyword in call.keywords]
    return tuple(_literal(argument) for argument in [*call.args[1:], *keywords])


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def read_elsewhere() -> set[str]:
    """Name what is read from the environment outside of the settings."""
    return {name for module in source.product() for name in _read_in(module)}


def _read_in(module: source.Module) -> Iterator[str]:
    constants = {
        target.id: node.value.value
        for node in module.tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(module.tree):
        key = _key(node)
        if isinstance(key, ast.Constant):
            yield str(key.value)
        elif isinstance(key, ast.Name) and isinstance(constants.get(key.id), str):
            yield str(constants[key.id])


def _key(node: ast.AST) -> ast.expr | None:
    if isinstance(node, ast.Subscript) and _is_environ(node.value):
        return node.slice
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        return node.args[0] if _is_environ(node.func.value) or node.func.attr == "getenv" else None
    return None


def _is_environ(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "environ"


def rows() -> dict[str, list[str]]:
    """Return the cells of each documented variable."""
    found = {}
    for line in (source.ROOT / DOCUMENT).read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        name = re.fullmatch(r"`([A-Z][A-Z0-9_]*)`", cells[0])
        if line.startswith("|") and name:
            assert name[1] not in found, f"{name[1]} stands there twice"
            found[name[1]] = cells
    return found


def examples() -> dict[str, str]:
    lines = re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", (source.ROOT / EXAMPLE).read_text(), re.MULTILINE)
    assert len(dict(lines)) == len(lines), "a variable stands there twice"
    return dict(lines)


def default_of(setting: Setting) -> str | None:
    """Return the default as a person writes it, None when it is computed."""
    if not setting.arguments:
        return ""
    default = setting.arguments[0]
    if isinstance(default, bool):
        return "1" if default else "0"
    return None if default is None else str(default)


def test_the_document_names_what_the_code_reads_and_nothing_else() -> None:
    read = {setting.name for setting in settings()} | read_elsewhere() | TABLES | FOR_TESTS
    assert rows().keys() == read - FOREIGN


def test_the_code_reads_what_the_tables_name() -> None:
    assert {name for name in TABLES if any(name in m.text for m in source.product())} == TABLES
    assert all(name.removeprefix("TEST_") in TABLES for name in FOR_TESTS)


def test_the_example_names_every_variable_a_person_sets() -> None:
    assert examples().keys() == (rows().keys() - FOR_TESTS - INTERNAL) | FOR_COMPOSE


@pytest.mark.parametrize("setting", settings(), ids=lambda setting: setting.name)
def test_default_and_bounds_are_those_of_the_code(setting: Setting) -> None:
    _, default, allowed, meaning = rows()[setting.name]
    value = default_of(setting)
    assert meaning
    if value and setting.name not in INTERNAL:
        assert default == f"`{value}`"
        assert examples()[setting.name] == value
    if setting.reader in {"integer", "number"}:
        assert allowed == "{} to {}".format(*setting.arguments[1:])
    if setting.reader in {"choice", "url"} and isinstance(setting.arguments[1], tuple):
        assert set(setting.arguments[1]) == set(re.findall(r"`(\w+)(?:://)?`", allowed))
    if setting.reader == "flag":
        assert allowed == "switch"


def test_the_example_holds_no_secret() -> None:
    secret = {
        name: value
        for name, value in examples().items()
        if re.search("KEY|PASSWORD|AUTH(?!ENTICATE)|_URL$", name) and value
    }
    assert secret.keys() <= {"COINBASE_WS_URL", "COINBASE_REST_URL"}
