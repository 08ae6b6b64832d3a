"""The words of a message from the facts of an event: a template language that can only read what it was given.

`{{ name }}` puts in a fact, `{{ outer.inner }}` one inside another, `{{ name | filter }}` spells it differently;
`{{#name}} ... {{/name}}` stays when the fact is there and is repeated for each item of a list, and
`{{^name}} ... {{/name}}` stays when it is missing. Facts are dictionaries, lists and plain values; nothing is ever
called, and no attribute of an object is ever read, so a template can reach nothing else. A missing fact is empty.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from apps.domain.errors import Problem, Refused

LONGEST: Final = 3500  # characters of a message: Telegram takes 4096, Discord 2000 are cut by its channel
_MOST_ITEMS: Final = 50
_TAG: Final = re.compile(r"\{\{\s*(?P<sign>[#^/]?)\s*(?P<path>[\w.-]+)\s*(?:\|\s*(?P<filter>\w+)\s*)?\}\}")
_PATH: Final = re.compile(r"\w[\w-]*(\.\w[\w-]*)*")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")

Facts = Mapping[str, Any]


@dataclass(slots=True)
class _Section:
    """A part of a template and what it hangs on; the whole template hangs on nothing."""

    sign: str
    path: str
    parts: "list[str | _Field | _Section]" = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Field:
    path: str
    filter: str


def check(template: str) -> None:
    """Raise Refused with what is wrong with a template, if anything is."""
    _parse(template)


def render(template: str, facts: Facts) -> str:
    """Return the text of a template with these facts, at most LONGEST characters. Raises Refused as `check`."""
    text = _CONTROLS.sub(" ", "".join(_text(_parse(template), [facts])))
    kept = "\n".join(line.rstrip() for line in text.strip().splitlines())
    return kept if len(kept) <= LONGEST else kept[: LONGEST - 1] + "\u2026"


def _parse(template: str) -> _Section:
    open_: list[_Section] = [_Section("", "")]
    at = 0
    for tag in _TAG.finditer(template):
        open_[-1].parts.append(_plain(template[at : tag.start()]))
        at = tag.end()
        _take(open_, tag["sign"], tag["path"], tag["filter"] or "")
    open_[-1].parts.append(_plain(template[at:]))
    if len(open_) > 1:
        raise _wrong(f"{{{{{open_[-1].sign}{open_[-1].path}}}}}", "is never closed", "add {{/name}} where it ends")
    return open_[0]


def _take(open_: list[_Section], sign: str, path: str, filter_: str) -> None:
    if not _PATH.fullmatch(path) or "__" in path:
        raise _wrong(path, "is no name of a fact", "use letters, digits and single dots")
    if filter_ and filter_ not in FILTERS:
        raise _wrong(filter_, "is no filter", f"use one of {', '.join(sorted(FILTERS))}")
    if sign in {"#", "^"}:
        section = _Section(sign, path)
        open_[-1].parts.append(section)
        open_.append(section)
    elif sign == "/":
        if open_[-1].path != path:
            raise _wrong(f"{{{{/{path}}}}}", "closes what is not open", "close sections in the order they were opened")
        open_.pop()
    else:
        open_[-1].parts.append(_Field(path, filter_))


def _plain(text: str) -> str:
    if "{{" in text or "}}" in text:
        raise _wrong(text.strip()[:40], "holds braces that say nothing", "write {{ name }} or {{ name | filter }}")
    return text


def _text(section: _Section, scopes: list[Facts]) -> Iterator[str]:
    for part in section.parts:
        match part:
            case str():
                yield part
            case _Field():
                yield FILTERS[part.filter](_look(part.path, scopes))
            case _Section():
                yield from _within(part, scopes)


def _within(section: _Section, scopes: list[Facts]) -> Iterator[str]:
    value = _look(section.path, scopes)
    there = value not in (None, "", [], {}, False)
    if section.sign == "^":
        if not there:
            yield from _text(section, scopes)
        return
    if not there:
        return
    for item in value[:_MOST_ITEMS] if isinstance(value, list) else [value]:
        inner = item if isinstance(item, Mapping) else {"item": item}
        yield from _text(section, [*scopes, inner])


def _look(path: str, scopes: list[Facts]) -> Any:
    """Return a fact: the innermost section's goes first. Keys of dictionaries and nothing else are followed."""
    first, *others = path.split(".")
    value = next((scope[first] for scope in reversed(scopes) if first in scope), None)
    for name in others:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


# --- filters --------------------------------------------------------------------------------------------------------
def _said(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case str() | int() | float() | Decimal():
            return str(value)
        case list():
            return ", ".join(_said(item) for item in value[:_MOST_ITEMS])
        case Mapping():
            return ", ".join(f"{key}: {_said(item)}" for key, item in list(value.items())[:_MOST_ITEMS])
    return ""


def _signed(value: Any) -> str:
    text = _said(value)
    return text if text[:1] in {"-", ""} else f"+{text}"


def _rounded(value: Any) -> str:
    try:
        return f"{Decimal(_said(value)):,.2f}"
    except InvalidOperation:
        return _said(value)


def _instant(value: Any) -> str:
    try:
        return f"{datetime.fromisoformat(_said(value)):%Y-%m-%d %H:%M:%S}"
    except ValueError:
        return _said(value)


FILTERS: Final[Mapping[str, Callable[[Any], str]]] = {
    "": _said,
    "upper": lambda value: _said(value).upper(),
    "signed": _signed,
    "rounded": _rounded,
    "instant": _instant,
    "words": lambda value: _said(value).replace("_", " "),
}


def _wrong(value: str, rule: str, remedy: str) -> Refused:
    return Refused(Problem(field="template", value=value, rule=rule, remedy=remedy))
