"""Which code gave a stance? One number for a plug-in's file and for what it imports that could change its answer."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Final

from apps.domain.plugins import PluginError

# What indicators are made of. Other code of the product (errors, the registry) changes no stance.
SHARED: Final = ("apps.domain.strategies", "apps.domain.moving")


@cache
def digest(module: str) -> str:
    """Return the SHA-256 over a module and those it leans on.

    The answer is kept as long as the process lives, like the code itself. Raises PluginError where no source is found.
    """
    files = modules(module)
    found = hashlib.sha256()
    for name in sorted(files):
        found.update(f"{name} {len(files[name])}\n".encode())
        found.update(files[name])
    return found.hexdigest()


def modules(module: str) -> dict[str, bytes]:
    """Return the source of a module and of those of SHARED and of its own package that it imports, near and far."""
    own = module if module.startswith("apps.") else module.partition(".")[0]
    files: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in files:
            path = _path(name)
            files[name] = path.read_bytes()
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            waiting += [other for other in _imported(files[name], package) if _counts(other, (own, *SHARED))]
    return files


def _path(module: str) -> Path:
    spec = find_spec(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise PluginError(f"the source of {module} cannot be found, so its signals would say nothing about their code")
    return Path(spec.origin)


def _counts(module: str, roots: tuple[str, ...]) -> bool:
    if not any(module == root or module.startswith(f"{root}.") for root in roots):
        return False
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # `from package.module import name`: the name is no module
        return False


def _imported(source: bytes, package: str) -> Iterator[str]:
    """Yield every name that an import statement could mean as a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (item.name for item in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package or None)
            yield base
            yield from (f"{base}.{item.name}" for item in node.names)
