"""Functions compiled by numba, cached on disk under the hash of every source file they could have been made of.

numba's own cache looks at the file of the outermost function only, so that a rule changed in another file would run
stale; here a change in any module that the function's module imports, however indirectly, leads to another folder.
"""

import ast
import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")

ROOT = Path(__file__).parents[2]
OURS = "apps"
KEPT = 3  # folders of a module's earlier sources that stay, for processes that still run them

_config: Any = numba.config  # its names are set at run time


def loop(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function to machine code on its first call; later processes read it from the disk."""
    with _cached_in(folder(function.__module__)):
        return _compiled(function, cache=True)


def bare_loop(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a loop that makes no array: it counts no references, which costs more than the arithmetic of a bar."""
    with _cached_in(folder(function.__module__)):
        return _compiled(function, cache=True, _nrt=False)


def part(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that only bare loops call: it becomes part of their machine code, and is cached with it."""
    return _compiled(function, _nrt=False)


def rule(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a small function into every place that calls it."""
    return _compiled(function, forceinline=True, _nrt=False)


def _compiled(function: Callable[P, R], **options: bool) -> Callable[P, R]:
    # error_model: a division by zero gives inf or nan as in numpy. No fastmath: results are the same bit for bit.
    njit: Any = numba.njit  # its stubs do not know every option
    return cast(Callable[P, R], njit(error_model="numpy", **options)(function))


@contextlib.contextmanager
def _cached_in(path: Path) -> Iterator[None]:
    """Let numba cache what is decorated meanwhile below `path`; other users of numba keep their own folder."""
    before = _config.CACHE_DIR
    _config.CACHE_DIR = str(path)
    try:
        yield
    finally:
        _config.CACHE_DIR = before


@cache
def folder(module: str) -> Path:
    """Return the folder for machine code of a module as it is now, the first of several places that can be written."""
    name = f"{module}-{fingerprint(sources(module))}"
    for place in _places():
        if _writable(place / name):
            _forget_old(place, module, keep=name)
            return place / name
    return Path(tempfile.mkdtemp(prefix=f"{name}-"))


def sources(module: str) -> list[Path]:
    """Return the file of a module and those of every module of ours that it imports, directly or not."""
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _path(name)
        if path is not None and name not in found:
            found[name] = path
            waiting += _imports(path)
    return sorted(found.values())


def fingerprint(paths: list[Path]) -> str:
    """Return a short hash of the names and texts of files."""
    total = hashlib.sha256()
    for path in paths:
        total.update(str(path).encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()[:16]


def _path(module: str) -> Path | None:
    if module.partition(".")[0] != OURS:
        loaded = getattr(sys.modules.get(module), "__file__", None)
        return Path(loaded) if loaded else None
    place = ROOT.joinpath(*module.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


@cache
def _imports(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.partition(".")[0] == OURS]


def _places() -> Iterator[Path]:
    if _config.CACHE_DIR:
        yield Path(_config.CACHE_DIR)
    yield Path(__file__).parent / "__pycache__" / "compiled"
    yield Path("~/.cache").expanduser() / "tradingsite" / "compiled"
    yield Path(tempfile.gettempdir()) / f"tradingsite-compiled-{os.getuid()}"


def _writable(path: Path) -> bool:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Machine code is run as it is found: a folder that somebody else owns is not ours to trust.
        if path.stat().st_uid != os.getuid():
            return False
        with tempfile.TemporaryFile(dir=path):
            return True
    except OSError:
        return False


def _forget_old(place: Path, module: str, *, keep: str) -> None:
    with contextlib.suppress(OSError):
        old = [path for path in place.glob(f"{module}-*") if path.name != keep]
        for path in sorted(old, key=lambda each: each.stat().st_mtime)[:-KEPT]:
            shutil.rmtree(path, ignore_errors=True)
