"""Habits that no linter knows: where locks live, who talks to Celery, what catches everything, what is suppressed."""

import ast
import re
from collections.abc import Callable, Iterator

import pytest

from tests.shape import source

LOCKS = {"apps/trading/locks.py", "apps/backtests/locks.py", "apps/reporting/locks.py", "apps/ops/jobs/locks.py"}
# A fence is not a lock on money: it keeps the epoch of a leader from changing while its write commits.
FENCES = frozenset({"apps/journal/leases.py", "apps/trading/services/exits.py"})
CELERY_CALLS = frozenset({"delay", "apply_async", "send_task", "create_task_message"})
CELERY_PLACES = ("workers/",)
_LOCK = re.compile(r"\bFOR (NO KEY )?UPDATE\b")
_FENCE = re.compile(r"\bFOR (KEY )?SHARE\b")
_BROAD = frozenset({"Exception", "BaseException"})
_SUPPRESSION = re.compile(r"#\s*(noqa|type:\s*ignore)(?P<rest>.*)")
_CODES = re.compile(r"^(\[[\w\-, ]+\]|:\s*[A-Z]+[0-9]+(,\s*[A-Z]+[0-9]+)*)?")
_FORBIDDEN_NAMES = frozenset({"manager", "helper", "helpers", "util", "utils", "common", "misc", "info"})
_UNFINISHED = re.compile(r"#.*\b(TODO|FIXME|XXX|HACK)\b")


def statements(module: source.Module) -> Iterator[tuple[int, str]]:
    """Yield the strings of a module that are no docstrings: SQL is one of them, prose about locks is not."""
    prose = {
        id(node.body[0].value)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.lineno, node.value


def locks(module: source.Module) -> Iterator[int]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and node.attr == "select_for_update":
            yield node.lineno
    yield from (line for line, text in statements(module) if _LOCK.search(text))


def fences(module: source.Module) -> Iterator[int]:
    yield from (line for line, text in statements(module) if _FENCE.search(text))


def celery_calls(module: source.Module) -> Iterator[int]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CELERY_CALLS:
            yield node.lineno


def broad_excepts(module: source.Module) -> Iterator[int]:
    """Yield the lines that catch everything without saying why."""
    lines = module.text.splitlines()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type) and "#" not in lines[node.lineno - 1]:
            yield node.lineno


def bare_suppressions(module: source.Module) -> Iterator[int]:
    """Yield the lines whose suppression names no rule or gives no reason."""
    for line, comment in source.comments(module):
        found = _SUPPRESSION.search(comment)
        if found and not _has_reason(found["rest"]):
            yield line


def _has_reason(rest: str) -> bool:
    codes = _CODES.match(rest.strip())
    assert codes is not None
    reason = rest.strip()[codes.end() :].strip(" -#")
    return bool(codes[0]) and len(reason.split()) >= 2


def _is_broad(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(isinstance(name, ast.Name) and name.id in _BROAD for name in names)


def _module(text: str) -> source.Module:
    return source.Module(source.ROOT / "example.py", text, ast.parse(text))


def found_by(rule: Callable[[source.Module], Iterator[int]], modules: tuple[source.Module, ...]) -> list[str]:
    return [f"{module.name}:{line}" for module in modules for line in rule(module)]


@pytest.mark.parametrize(
    ("rule", "text", "lines"),
    [
        pytest.param(locks, "Row.objects.select_for_update()", [1], id="a lock of the ORM"),
        pytest.param(locks, "x = 1\nSQL = 'SELECT 1 FOR NO KEY UPDATE'", [2], id="a lock in SQL"),
        pytest.param(locks, "def f():\n    'Takes FOR UPDATE.'", [], id="prose is no lock"),
        pytest.param(fences, "SQL = 'SELECT 1 FOR SHARE'", [1], id="a fence"),
        pytest.param(celery_calls, "task.delay(1)", [1], id="delay"),
        pytest.param(celery_calls, "task.apply_async()", [1], id="apply_async"),
        pytest.param(celery_calls, "delay = draw(1)", [], id="another delay"),
        pytest.param(broad_excepts, "try: f()\nexcept Exception: pass", [2], id="everything"),
        pytest.param(broad_excepts, "try: f()\nexcept (OSError, Exception): pass", [2], id="everything in a tuple"),
        pytest.param(broad_excepts, "try: f()\nexcept: pass", [2], id="a bare except"),
        pytest.param(broad_excepts, "try: f()\nexcept Exception:  # foreign code\n pass", [], id="with a reason"),
        pytest.param(broad_excepts, "try: f()\nexcept OSError: pass", [], id="a typed one"),
        pytest.param(bare_suppressions, "f()  # noqa", [1], id="noqa for everything"),
        pytest.param(bare_suppressions, "f()  # noqa: S311", [1], id="noqa without reason"),
        pytest.param(bare_suppressions, "f()  # noqa: S311 - a seeded shuffle", [], id="noqa with reason"),
        pytest.param(bare_suppressions, "f()  # type: ignore[misc]", [1], id="ignore without reason"),
        pytest.param(bare_suppressions, "f()  # type: ignore[misc]  # it has no types", [], id="ignore with reason"),
        pytest.param(bare_suppressions, "f('# noqa')", [], id="a string is no comment"),
    ],
)
def test_a_violation_is_noticed(rule: Callable[[source.Module], Iterator[int]], text: str, lines: list[int]) -> None:
    assert list(rule(_module(text))) == lines


def test_row_locks_live_in_one_module_of_their_app() -> None:
    found = {each.partition(":")[0] for each in found_by(locks, source.product())}
    assert found == LOCKS


def test_fences_are_where_they_are_known_to_be() -> None:
    found = {each.partition(":")[0] for each in found_by(fences, source.product())}
    assert found == FENCES


def test_only_the_processes_talk_to_celery() -> None:
    found = found_by(celery_calls, source.product())
    assert found, "the bell rings somewhere"
    source.none_of(each for each in found if not each.startswith(CELERY_PLACES))


def test_nothing_catches_everything_without_saying_why() -> None:
    source.none_of(found_by(broad_excepts, source.product()))


def test_every_suppression_carries_its_reason() -> None:
    source.none_of(found_by(bare_suppressions, source.product() + source.measuring()))


def test_nothing_is_left_for_later() -> None:
    found = [
        f"{m.name}:{line}"
        for m in source.everything()
        for line, comment in source.comments(m)
        if _UNFINISHED.search(comment)
    ]
    source.none_of(found)


def test_modules_are_named_after_what_they_are() -> None:
    source.none_of(m.name for m in source.product() if m.path.stem in _FORBIDDEN_NAMES)


def test_tests_mirror_the_apps() -> None:
    """Every app with rules or rows has tests of its own."""
    apps = {path.name for path in (source.ROOT / "apps").iterdir() if (path / "__init__.py").exists()}
    tested = {m.path.parts[1] for m in source.testing() if m.path.name.startswith("test_") and len(m.path.parts) > 2}
    assert apps - tested == set()
