"""The source as the shape tests see it: files, syntax trees, comments, and the text of the docs."""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("apps", "workers", "tradingsite", "migrations")
DOCS = ROOT / "docs"


@dataclass(frozen=True, slots=True)
class Module:
    """One Python file: its path below the root, its text and its syntax tree."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        return self.path.as_posix()

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())


@dataclass(frozen=True, slots=True)
class Function:
    """One function: where it is and how many lines it has, its docstring included."""

    where: str
    lines: int


@cache
def product() -> tuple[Module, ...]:
    """Every module that runs in production, generated migrations of Django left out."""
    found = [_read(path) for top in PRODUCT for path in _below(top) if not _is_generated(path)]
    return (*found, _read(ROOT / "manage.py"))


@cache
def measuring() -> tuple[Module, ...]:
    return tuple(_read(path) for path in _below("benchmarks"))


@cache
def testing() -> tuple[Module, ...]:
    return tuple(_read(path) for path in _below("tests"))


def everything() -> tuple[Module, ...]:
    return product() + measuring() + testing()


def functions(modules: tuple[Module, ...]) -> Iterator[Function]:
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                yield Function(f"{module.name}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1)


def comments(module: Module) -> Iterator[tuple[int, str]]:
    """Yield the line and text of every comment; a comment sign within a string is none."""
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def strings(module: Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def none_of(found: Iterable[str]) -> None:
    """Fail with every line of what was found, for the person who has to mend it."""
    lines = sorted(found)
    assert not lines, "\n" + "\n".join(lines)


def documents() -> list[Path]:
    """Every Markdown file of the project."""
    return sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")])


def first_cells(document: str) -> list[str]:
    """Return what stands in code quotes in the first cell of each row of a document's tables."""
    return re.findall(r"^\|\s*`([^`]+)`", (ROOT / document).read_text(), re.MULTILINE)


def _below(top: str) -> list[Path]:
    return sorted(path for path in (ROOT / top).rglob("*.py") if "__pycache__" not in path.parts)


def _is_generated(path: Path) -> bool:
    return path.parent.name == "migrations" and path.is_relative_to(ROOT / "apps")


def _read(path: Path) -> Module:
    text = path.read_text()
    return Module(path.relative_to(ROOT), text, ast.parse(text))
