"""Every kind of event that the code writes is documented, and so is every key of a position's payload."""

import ast
import re
from collections.abc import Iterator

from tests.shape import source

DOCUMENT = "docs/events.md"
_KIND = re.compile(r"(?!apps\.|workers\.)[a-z]+\.[a-z_]*(ed|ing|sent|_reset|_out)")  # a fact has happened, or goes on
_KIND_IN_SQL = re.compile(r"'([a-z]+\.[a-z_]+)'")
PAYLOADS = {
    "apps/trading/services/facts.py": ("of_position", "of_leg"),
    "apps/trading/services/booking.py": ("_event",),
}


def writers() -> list[source.Module]:
    """Return the modules that write or name events: those that import the journal, or write its table."""
    found = [m for m in source.product() if "apps.journal" in m.text or "journal_event" in m.text]
    assert any("/trading/services/" in m.name for m in found)
    return found


def kinds() -> dict[str, str]:
    """Return every kind with a place where it stands."""
    found = {}
    for module in writers():
        for line, text in source.strings(module):
            if _KIND.fullmatch(text):
                found[text] = f"{module.name}:{line}"
            if "INSERT INTO journal_event" in text:
                found |= dict.fromkeys(_KIND_IN_SQL.findall(text), f"{module.name}:{line}")
    return found


def recorded() -> Iterator[tuple[str, str]]:
    """Yield the kinds that stand as literals in calls that write events."""
    for module in writers():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in {
                "record",
                "Fact",
                "_record",
            }:
                named = [keyword.value for keyword in node.keywords if keyword.arg == "kind"]
                for value in [*node.args[:1], *named]:
                    if isinstance(value, ast.Constant) and isinstance(value.value, str):
                        yield value.value, f"{module.name}:{node.lineno}"


def documented() -> set[str]:
    return {cell for cell in source.first_cells(DOCUMENT) if "." in cell}


def test_every_kind_is_documented_and_no_other() -> None:
    found = kinds()
    assert documented() == found.keys(), found


def test_every_literal_in_a_call_is_seen_as_a_kind() -> None:
    calls = list(recorded())
    assert calls
    source.none_of(f"{place} writes {kind!r}" for kind, place in calls if kind not in kinds())


def test_every_key_of_a_position_is_documented() -> None:
    text = (source.ROOT / DOCUMENT).read_text()
    keys = {key for path, names in PAYLOADS.items() for name in names for key in _keys(path, name)}
    assert {"position", "exit_reason", "trail_is_rate"} <= keys
    source.none_of(key for key in keys if f"`{key}`" not in text)


def _keys(path: str, name: str) -> set[str]:
    tree = ast.parse((source.ROOT / path).read_text())
    (function,) = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name)
    dictionaries = [node for node in ast.walk(function) if isinstance(node, ast.Dict)]
    assert dictionaries, f"{name} no longer builds a dictionary"
    return {key.value for node in dictionaries for key in node.keys if isinstance(key, ast.Constant)}
