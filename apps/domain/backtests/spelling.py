"""How conventions are spelled in texts: on a command line, in a form, in a query string."""

import types
from collections.abc import Mapping
from dataclasses import Field, fields
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, get_args

from apps.domain.errors import Problem, Refused

_YES = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}
_NOTHING = frozenset({"", "none", "no", "off"})
_ALSO = {"fee": "fee_rate", "slip": "slippage", "lots": "lot_size"}
_ALIASES: dict[str, dict[str, str]] = {
    "fill": {"next_open": "next-open"},
    "units": {"int": "whole", "frac": "fractional"},
    "end": {"mark_open": "mark-open"},
    "gap_sl": {"yes": "open", "true": "open", "no": "level", "false": "level"},
    "gap_tp": {"yes": "open", "true": "open", "no": "level", "false": "level"},
    "order": {"stop": "sl", "target": "tp"},
    "sizing": {"all_in": "all-in"},
}


def values(texts: Mapping[str, str], conventions: type[Any], limits: type[Any]) -> dict[str, Any]:
    """Return keyword arguments for `conventions`, those of `limits` under "limits". Raises Refused with every Problem.

    Rates may be percentages ("2%"), switches "yes" or "no", an optional number "none"; `slippage` takes a kind, a
    number ("0.0005", "5%") or both ("spread:0.0002"); `partial_exits` pairs of target and share ("2%:0.5,4%:0.25").
    """
    own, inner = ({item.name: item for item in fields(cls)} for cls in (conventions, limits))
    read: dict[str, Any] = {"limits": {}}
    found: list[Problem] = []
    for given, text in _plain(texts).items():
        name = _ALSO.get(given, given)
        item = own.get(name) or inner.get(name)
        if item is None or name == "limits":
            found.append(_problem(given, text, "is not a convention", "see the list of conventions"))
            continue
        try:
            target = read if name in own else read["limits"]
            target.update(_read(item, text.strip()))
        except ValueError as error:
            found.append(_problem(given, text, str(error), _example(item)))
    if found:
        raise Refused(*found)
    return read


def number(text: str) -> float:
    """Return the number a text spells, a percentage as a rate: "2%" is 0.02. Raises ValueError."""
    plain = text.strip().removesuffix("%")
    try:
        value = Decimal(plain)
    except InvalidOperation:
        raise ValueError("is not a number") from None
    if not value.is_finite():
        raise ValueError("is not a finite number")
    # Shifted as a Decimal: 0.05% must be the very float that 0.0005 is.
    return float(value / 100 if text.strip().endswith("%") else value)


def _plain(texts: Mapping[str, str]) -> dict[str, str]:
    return {name.strip().lower().replace("-", "_"): text for name, text in texts.items()}


def _read(item: Field[Any], text: str) -> dict[str, Any]:
    if item.name == "slippage":
        return _slippage(text)
    if item.name == "partial_exits":
        return {item.name: _pairs(text)}
    return {item.name: _value(item, text)}


def _value(item: Field[Any], text: str) -> Any:
    kinds = get_args(item.type) if isinstance(item.type, types.UnionType) else (item.type,)
    if type(None) in kinds and text.lower() in _NOTHING:
        return None
    kind = kinds[0]
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _word(item.name, kind, text.lower())
    if kind is bool:
        return _switch(text)
    return _whole(text) if kind is int else number(text)


def _word(name: str, kind: type[StrEnum], text: str) -> StrEnum:
    word = _ALIASES.get(name, {}).get(text, text)
    if word not in list(kind):
        raise ValueError("is not one of the choices")
    return kind(word)


def _switch(text: str) -> bool:
    if text.lower() not in _YES:
        raise ValueError("is neither yes nor no")
    return _YES[text.lower()]


def _whole(text: str) -> int:
    value = number(text)
    if value != int(value):
        raise ValueError("is not a whole number")
    return int(value)


def _slippage(text: str) -> dict[str, Any]:
    kind, colon, value = text.partition(":")
    if (not colon and kind[:1].isdigit()) or kind[:1] == ".":
        kind, value = "percent", text
    read: dict[str, Any] = {"slippage": kind.replace("_", "-").lower()}
    return read | ({"slippage_value": number(value)} if value else {})


def _pairs(text: str) -> tuple[tuple[float, float], ...]:
    if text.lower() in _NOTHING:
        return ()
    pairs = [part.partition(":") for part in text.split(",")]
    return tuple((number(rate), number(share)) for rate, _, share in pairs)


def _example(item: Field[Any]) -> str:
    kind = item.type
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return f"use {', '.join(kind)}"
    return "use yes or no" if kind is bool else "use a number like 0.02 or 2%"


def _problem(name: str, text: str, rule: str, remedy: str) -> Problem:
    return Problem(field=name, value=str(text)[:60], rule=rule, remedy=remedy)
