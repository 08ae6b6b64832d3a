"""Money is Decimal from the parser to the column: no float where an amount, a fee or a level is decided."""

import ast
from collections.abc import Iterator

import pytest
from django.apps import apps
from django.db import models

from tests.shape import source

# Decides amounts: not even the word may occur.
EXACT = (
    *("numbers", "fills", "settlement", "opening", "sides"),
    *("orders", "order_life", "executions", "matching"),
    *("accounting", "taxes", "equity"),
)
# Decides triggers for live trading and backtests alike: generic in the number, but never turns one into a float.
GENERIC = ("legs",)
# Writes amounts. Watermarks come from the listener as floats of at most 15 digits, which are exact prices.
SERVICES = "apps/trading/services/"
# Latencies and ages are physics, not money.
PHYSICS = frozenset(f"apps/trading/{name}.py" for name in ("selectors", "statements", "sweeping", "watches"))
# Seconds and requests a second, which adapters wait and count; no amount.
PACES = frozenset(f"apps/trading/brokers/{name}.py" for name in ("base", "http", "alpaca", "coinbase_tokens"))
# Options are declared as numbers and made exact by their digits; ccxt takes floats, and is given only exact ones.
CONVERTED = frozenset(
    f"apps/trading/brokers/{name}.py" for name in ("paper_options", "ccxt_broker", "ccxt_exchange", "ccxt_orders")
)


def named(*names: str) -> list[source.Module]:
    wanted = {f"apps/domain/{name}.py" for name in names}
    found = [module for module in source.product() if module.name in wanted]
    assert len(found) == len(wanted), "a module of this list has moved"
    return found


def services() -> list[source.Module]:
    found = [m for m in source.product() if m.name.startswith("apps/trading/") and "/admin/" not in m.name]
    assert any(m.name.startswith(SERVICES) for m in found)
    return [m for m in found if m.name not in PHYSICS | PACES | CONVERTED]


def floats_made(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that make a float: a literal, a call of float, a mathematical function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield node.lineno
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float":
            yield node.lineno
        if isinstance(node, ast.Import | ast.ImportFrom) and "math" in _imported(node):
            yield node.lineno


def words(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "float":
            yield node.lineno


def _imported(node: ast.Import | ast.ImportFrom) -> set[str]:
    names = {alias.name for alias in node.names}
    return names | {node.module or ""} if isinstance(node, ast.ImportFrom) else names


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("fee = 0.001", [1]),
        ("x = 1\ny = float(x)", [2]),
        ("import math", [1]),
        ("from math import floor", [1]),
        ("fee = Decimal('0.001')", []),
        ("x = 3 // 2", []),
    ],
)
def test_a_float_is_noticed(text: str, lines: list[int]) -> None:
    assert list(floats_made(ast.parse(text))) == lines


def test_amounts_are_decided_without_the_word_float() -> None:
    found = [f"{m.name}:{line}" for m in named(*EXACT) for line in [*words(m.tree), *floats_made(m.tree)]]
    source.none_of(found)


def test_triggers_are_generic_and_make_no_float() -> None:
    modules = named(*GENERIC)
    source.none_of(f"{m.name}:{line}" for m in modules for line in floats_made(m.tree))
    for module in modules:
        allowed = [line for line in words(module.tree) if "TypeVar(" in module.text.splitlines()[line - 1]]
        assert list(words(module.tree)) == allowed, "float may only be named as one of the two number types"


def test_no_service_of_trading_makes_a_float() -> None:
    source.none_of(f"{m.name}:{line}" for m in services() for line in floats_made(m.tree))


def test_no_column_is_a_float() -> None:
    found = [
        f"{model.__name__}.{field.name}"
        for app in ("journal", "access", "market", "strategies", "trading")
        for model in apps.get_app_config(app).get_models()
        for field in model._meta.get_fields()
        if isinstance(field, models.FloatField)
    ]
    source.none_of(found)
