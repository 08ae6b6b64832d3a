"""Which plug-ins are there? One mechanism for feeds, brokers, strategies, channels: the folder is walked."""

from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from inspect import isabstract
from pkgutil import iter_modules
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class PluginError(LookupError):
    """A plug-in cannot be used; the sentence names it and says what is there."""


class DuplicatePlugin(PluginError):
    """Two plug-ins carry one name, so the name no longer says which is meant."""


class UnknownPlugin(PluginError):
    """No plug-in carries this name."""


class Registry(Generic[T]):
    """The plug-ins of one kind: classes below `base` with a `name` of their own, found in `package` and `group`.

    Every module of the package is imported at the first look; a new plug-in is one new file. Third parties offer theirs
    through the entry-point group.
    """

    def __init__(self, *, package: str, base: type[Any], group: str) -> None:
        self._package = package
        self._base = base
        self._group = group

    def names(self) -> list[str]:
        """Return the known names, sorted."""
        return sorted(self._found)

    def get(self, name: str) -> type[T]:
        """Return the class that carries `name`. Raises UnknownPlugin with the names that exist."""
        try:
            return self._found[name]
        except KeyError:
            known = ", ".join(self.names()) or "none"
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
        modules = [import_module(f"{self._package}.{entry.name}") for entry in iter_modules(folder.__path__)]
        return [
            thing
            for module in modules
            for thing in vars(module).values()
            if self._is_plugin(thing) and thing.__module__ == module.__name__
        ]

    def _from_others(self) -> list[type[T]]:
        offered = [entry.load() for entry in entry_points(group=self._group)]
        for thing in offered:
            if not self._is_plugin(thing):
                raise PluginError(f"{thing!r} of {self._group} is not a named {self._base.__name__}")
        return offered

    def _is_plugin(self, thing: object) -> bool:
        if not isinstance(thing, type) or not issubclass(thing, self._base) or isabstract(thing):
            return False
        return isinstance(vars(thing).get("name"), str)


def _place(plugin: type) -> str:
    return f"{plugin.__module__}.{plugin.__qualname__}"
