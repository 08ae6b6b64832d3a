"""Every address, problem, channel, message and close code of the web is described in docs/api.md or docs/gateway.md."""

import ast
import re
from collections.abc import Iterator

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from apps.web.gateway import topics
from tests.shape import source

DOCUMENT = "docs/api.md"
GATEWAY_DOCUMENT = "docs/gateway.md"
GATEWAY = "apps/web/gateway/"
# The admin draws its own addresses; the desk and the pages of one's own account are for people: docs/desk.md,
# docs/security.md. A catch-all has none.
FOR_PEOPLE = frozenset({"admin/", "desk/", "account/"})
NOT_PAGES = frozenset({"admin/", "api/"})


def text() -> str:
    return "".join((source.ROOT / name).read_text() for name in (DOCUMENT, GATEWAY_DOCUMENT))


def addresses(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        route = str(pattern.pattern).removeprefix("^")
        if isinstance(pattern, URLResolver) and route not in FOR_PEOPLE:
            yield from addresses(pattern.url_patterns, prefix + route)
        elif route not in NOT_PAGES | FOR_PEOPLE:
            yield "/" + prefix + re.sub(r"<\w+:(\w+)>", r"{\1}", route)


def literals(pattern: str, *folders: str) -> set[str]:
    """Return what the first group of a pattern matches in the source of some modules."""
    modules = [m for m in source.product() if m.name.startswith(folders)]
    assert modules
    return {found for m in modules for found in re.findall(pattern, m.text)}


def gateway_calls(function: str, argument: int) -> set[str]:
    """Return the literal argument of every call of a function of the gateway."""
    return {
        str(node.args[argument].value)
        for m in source.product()
        if m.name.startswith(GATEWAY)
        for node in ast.walk(m.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] == function
        and len(node.args) > argument
        and isinstance(node.args[argument], ast.Constant)
    }


def test_every_address_is_described() -> None:
    found = list(addresses(get_resolver().url_patterns))
    assert "/api/v1/positions/{id}/close" in found
    source.none_of(address for address in found if f"`{address}`" not in text() and f" {address}`" not in text())


def test_every_address_described_exists() -> None:
    described = set(re.findall(r"`(?:GET |POST |PATCH )?(/(?:api|health|metrics)[\w/{}]*)`", text()))
    assert described - {"/api/v1"} - set(addresses(get_resolver().url_patterns)) == set()


def test_every_kind_of_problem_is_described() -> None:
    kinds = literals(r'(?:_refused|body|plain_response)\("([a-z-]+)"', "apps/web/")
    kinds |= literals(r'\b\d{3}, "([a-z-]+)",', "apps/web/errors.py")
    assert {"invalid", "already-leaving", "try-later", "internal"} <= kinds
    source.none_of(kind for kind in kinds if f"`{kind}`" not in text())


@pytest.mark.parametrize("channel", topics.offered())
def test_every_channel_is_described(channel: str) -> None:
    assert f"`{channel}`" in text()


def test_every_message_of_the_socket_is_described() -> None:
    said = literals(r'type="(\w+)"', GATEWAY)
    taken = literals(r'case "(\w+)"', GATEWAY)
    assert {"welcome", "subscribed", "pong", "error", "quote"} <= said
    source.none_of(word for word in said | taken if f"`{word}`" not in text())


def test_every_error_and_close_code_is_described() -> None:
    codes = gateway_calls("BadMessage", 0)
    assert "unknown_channel" in codes
    numbers = literals(r"\b(44\d\d|100[1-9]|1013)\b", GATEWAY)
    assert {"4401", "1013"} <= numbers
    source.none_of(code for code in codes | numbers if f"`{code}`" not in text())
