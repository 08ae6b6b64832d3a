"""What may a person choose about a strategy? Fields with help and bounds, as a JSON schema and as a check of values."""

from collections.abc import Mapping, Sequence
from dataclasses import Field, field, fields
from typing import Any, ClassVar, Protocol, cast

from apps.domain.errors import Problem, Refused


class Parameters(Protocol):
    """What the parameters of a strategy are: a frozen dataclass, every field made by one of the functions below."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


def parameter(default: float, help_text: str, *, lowest: float, highest: float, title: str = "") -> Any:
    """Declare a number that a person may choose, whole when the default is; bounds are included."""
    return field(default=default, metadata={"help": help_text, "lowest": lowest, "highest": highest, "title": title})


def choice(default: str, help_text: str, *, options: Sequence[str], title: str = "") -> Any:
    """Declare a word out of `options`."""
    return field(default=default, metadata={"help": help_text, "options": tuple(options), "title": title})


def switch(default: bool, help_text: str, *, title: str = "") -> Any:
    """Declare something that is on or off."""
    return field(default=default, metadata={"help": help_text, "title": title})


def properties(declared: type[Parameters]) -> dict[str, Any]:
    """Describe each parameter as a property of a JSON schema, in the order of declaration."""
    return {item.name: _property(item) for item in _fields(declared)}


def chosen(declared: type[Parameters], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` as the fields want them. Raises Refused with every problem found."""
    known = {item.name: item for item in _fields(declared)}
    found = [_unknown(name, value, sorted(known)) for name, value in values.items() if name not in known]
    found += [
        problem
        for name, value in values.items()
        if name in known and (problem := _problem(known[name], value)) is not None
    ]
    if found:
        raise Refused(*found)
    return {name: _kind(known[name])(value) for name, value in values.items()}


def _fields(declared: type[Parameters]) -> tuple[Field[Any], ...]:
    return fields(cast(Any, declared))


def _kind(item: Field[Any]) -> type[Any]:
    """Tell numbers with a fraction, whole ones, words and switches apart by the default."""
    return type(item.default)


def _property(item: Field[Any]) -> dict[str, Any]:
    shared = {
        "title": item.metadata["title"] or item.name.replace("_", " ").capitalize(),
        "default": item.default,
        "description": item.metadata["help"],
    }
    if _kind(item) is bool:
        return {"type": "boolean", **shared}
    if _kind(item) is str:
        return {"type": "string", "enum": list(item.metadata["options"]), **shared}
    kind = "integer" if _kind(item) is int else "number"
    return {"type": kind, "minimum": item.metadata["lowest"], "maximum": item.metadata["highest"], **shared}


def _problem(item: Field[Any], value: Any) -> Problem | None:
    fits, rule = _RULES[_kind(item)](item, value)
    if fits:
        return None
    return Problem(field=item.name, value=repr(value)[:60], rule=rule, remedy=f"use {item.default} for example")


def _number(item: Field[Any], value: Any) -> tuple[bool, str]:
    whole = _kind(item) is int
    lowest, highest = item.metadata["lowest"], item.metadata["highest"]
    # A comparison with NaN is false, so NaN is refused here as well; True would count as 1.
    fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    return (
        fits and lowest <= value <= highest,
        f"must be a {'whole ' if whole else ''}number from {lowest} to {highest}",
    )


def _word(item: Field[Any], value: Any) -> tuple[bool, str]:
    options = item.metadata["options"]
    return isinstance(value, str) and value in options, f"must be one of {', '.join(options)}"


def _on_or_off(_: Field[Any], value: Any) -> tuple[bool, str]:
    return isinstance(value, bool), "must be true or false"


_RULES = {int: _number, float: _number, str: _word, bool: _on_or_off}


def _unknown(name: str, value: Any, known: list[str]) -> Problem:
    remedy = f"use one of {', '.join(known)}" if known else "leave it out"
    return Problem(field=name[:60], value=repr(value)[:60], rule="is not a parameter of this strategy", remedy=remedy)
