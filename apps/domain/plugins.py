"""Which plug-ins are there? One mechanism for feeds, brokers, strategies, channels: the folder is walked."""

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from importlib import import_module
from importlib.metadata import entry_points
from inspect import isabstract
from pkgutil import iter_modules
from typing import Any, Generic, TypeVar

T = TypeVar("T")
logger = logging.getLogger(__name__)


class PluginError(LookupError):
    """A plug-in cannot be used; the sentence names it and says what is there."""


class DuplicatePlugin(PluginError):
    """Two plug-ins carry one name, so the name no longer says which is meant."""


class UnknownPlugin(PluginError):
    """No plug-in carries this name."""


class Registry(Generic[T]):
    """The plug-ins of one kind: classes below `base` with a `name` of their own, found in `package` and `group`.

    Every module of the package is imported at the first look; a new plug-in is one new file. Third parties offer theirs
    through the entry-point group. One that cannot be imported is left out, logged and listed in `broken`: the others
    work without it.
    """

    def __init__(self, *, package: str, base: type[Any], group: str) -> None:
        self._package = package
        self._base = base
        self._group = group
        self._broken: dict[str, str] = {}

    @property
    def broken(self) -> dict[str, str]:
        """Return why a module or an entry point could not be loaded, by its name."""
        return self._broken if self._found else {}

    def names(self) -> list[str]:
        """Return the known names, sorted."""
        return sorted(self._found)

    def get(self, name: str) -> type[T]:
        """Return the class that carries `name`. Raises UnknownPlugin with the names that exist."""
        try:
            return self._found[name]
        except KeyError:
            known = ", ".join(self.names()) or "none"
            if name in self._broken:
                raise UnknownPlugin(f"{name!r} could not be loaded: {self._broken[name]}; known: {known}") from None
            raise UnknownPlugin(f"no {self._base.__name__} is called {name!r}; known: {known}") from None

    @cached_property
    def _found(self) -> dict[str, type[T]]:
        found: dict[str, type[T]] = {}
        for candidate in [*self._in_folder(), *self._from_others()]:
            name = str(vars(candidate)["name"])
            other = found.setdefault(name, candidate)
            if other is not candidate:
                raise DuplicatePlugin(f"{_place(other)} and {_place(candidate)} are both called {name!r}; rename one")
        return found

    def _in_folder(self) -> list[type[T]]:
        folder = import_module(self._package)
        names = [entry.name for entry in iter_modules(folder.__path__)]
        loads = {name: partial(import_module, f"{self._package}.{name}") for name in names}
        return [
            thing
            for module in self._loaded(loads)
            for thing in vars(module).values()
            if self._is_plugin(thing) and thing.__module__ == module.__name__
        ]

    def _from_others(self) -> list[type[T]]:
        offered = list(self._loaded({entry.name: entry.load for entry in entry_points(group=self._group)}))
        for thing in offered:
            if not self._is_plugin(thing):
                raise PluginError(f"{thing!r} of {self._group} is not a named {self._base.__name__}")
        return offered

    def _loaded(self, loads: Mapping[str, Callable[[], Any]]) -> Iterator[Any]:
        for name, load in loads.items():
            try:
                yield load()
            except Exception as error:  # a plug-in is foreign code: whatever it raises is its failure, not ours
                self._broken[name] = f"{type(error).__name__}: {error}"
                logger.exception("The plug-in %s of %s cannot be loaded and is left out", name, self._package)

    def _is_plugin(self, thing: object) -> bool:
        if not isinstance(thing, type) or not issubclass(thing, self._base) or isabstract(thing):
            return False
        return isinstance(vars(thing).get("name"), str)


def _place(plugin: type) -> str:
    return f"{plugin.__module__}.{plugin.__qualname__}"
