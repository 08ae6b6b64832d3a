"""Which options do backtest commands share? One per convention, made of its field, and what to run on which candles."""

from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import Field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, get_args

from apps.backtests import moments, sources, spellings
from apps.backtests.requests import Request
from apps.domain.backtests.conventions import Conventions
from apps.domain.backtests.limits import Limits
from apps.domain.errors import Problem, Refused

PREFIX: Final = "convention_"  # of the names under which argparse keeps conventions
_SWITCHES: Final = ("gap_sl", "gap_tp")  # take yes and no beside their words


def add_all(parser: ArgumentParser) -> None:
    """Declare everything that says what is to be run on what."""
    parser.allow_abbrev = False  # an option that a later release adds must not change what a shortened one means
    parser.add_argument("strategy", metavar="STRATEGY", help="the name of a strategy plug-in, like sma_cross")
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the strategy; repeatable"
    )
    add_candles(parser)
    add_conventions(parser)


def add_candles(parser: ArgumentParser) -> None:
    """Declare where the candles come from."""
    group = parser.add_argument_group("candles")
    group.add_argument(
        "--candles",
        action="append",
        default=[],
        metavar="FILE",
        help="CSV, Parquet or Feather with Open, High, Low, Close, Volume and the time first; one per instrument",
    )
    group.add_argument(
        "--instrument", action="append", default=[], metavar="SYMBOL", help="stored candles; one per instrument"
    )
    group.add_argument("--since", metavar="INSTANT", help="the first bar: 2026-01-31 or 2026-01-31T14:30:00Z")
    group.add_argument("--until", metavar="INSTANT", help="the first bar that is left out; default: all, or now")
    group.add_argument("--timeframe", metavar="LENGTH", help="of a bar: 1m, 4h, 1d; default: the file's, or 1m")
    group.add_argument("--detail", metavar="FILE", help="finer candles that show what happened inside a bar")
    group.add_argument("--detail-timeframe", metavar="LENGTH", help="the same from the stored candles")


def add_conventions(parser: ArgumentParser) -> None:
    """Declare one option per convention and limit; all are read as text and judged together."""
    group = parser.add_argument_group(
        "conventions", "what the backtest assumes; docs/backtests.md tells what each means"
    )
    for item in conventions():
        names = (item.name, *spellings.ALSO.get(item.name, ()))
        flags = [flag for name in names for flag in dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}"))]
        bare: dict[str, Any] = {"nargs": "?", "const": "yes"} if _is_switch(item) else {}
        group.add_argument(*flags, dest=f"{PREFIX}{item.name}", metavar=_metavar(item), help=_help(item), **bare)


def conventions() -> Iterator[Field[Any]]:
    """Yield every field that is an option."""
    yield from (item for item in fields(Conventions) if item.name != "limits")
    yield from fields(Limits)


def read(options: Mapping[str, Any], now: datetime, problems: list[Problem]) -> Request:
    """Return what the options ask for, `now` closing the candles of instruments; what is wrong joins `problems`."""
    return Request(
        plugin=options["strategy"],
        parameters=read_parameters(options["param"], problems),
        conventions=read_conventions(options, problems),
        data=read_candles(options, now, problems),
    )


def read_parameters(texts: Iterable[str], problems: list[Problem]) -> dict[str, Any]:
    """Return the parameters that texts like fast=10 spell."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name:
            problems.append(_problem("param", text, "must be NAME=VALUE", "write --param fast=10 for example"))
        elif name in found:
            problems.append(_problem("param", text, f"{name} is given twice", "keep one of them"))
        else:
            found[name] = _value(value)
    return found


def read_conventions(options: Mapping[str, Any], problems: list[Problem]) -> Conventions:
    """Return the conventions that options spell, the defaults where one of them is wrong."""
    given = {
        name.removeprefix(PREFIX): str(value)
        for name, value in options.items()
        if name.startswith(PREFIX) and value is not None
    }
    try:
        return spellings.conventions(given, strategy=options.get("strategy") or "")
    except Refused as refused:
        problems += refused.problems
        return Conventions()


def read_candles(options: Mapping[str, Any], now: datetime, problems: list[Problem]) -> sources.Spec:
    """Return where the candles are."""
    stored = bool(options["instrument"])
    seconds = _seconds(options["timeframe"], "timeframe", problems)
    until = _instant(options["until"], "until", problems)
    return sources.Spec(
        files=tuple(options["candles"]),
        instruments=tuple(options["instrument"]),
        bar_seconds=seconds or (60 if stored else None),
        since=_instant(options["since"], "since", problems),
        until=min(until or now, now) if stored else until,
        detail=options["detail"] or "",
        detail_seconds=_seconds(options["detail_timeframe"], "detail-timeframe", problems),
    )


def _value(text: str) -> Any:
    """Return a number where the text is one, a truth where it says so, the text itself elsewhere."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "yes": True, "false": False, "no": False}.get(text.lower(), text)


def _instant(text: str | None, name: str, problems: list[Problem]) -> datetime | None:
    if text is None:
        return None
    try:
        return moments.instant(text)
    except (ValueError, OverflowError):
        problems.append(_problem(name, text, "is no instant", moments.FORMS))
        return None


def _seconds(text: str | None, name: str, problems: list[Problem]) -> int | None:
    if text is None:
        return None
    try:
        return moments.length(text)
    except ValueError:
        problems.append(_problem(name, text, "is no length of a bar", "write it like 30s, 5m, 4h or 1d"))
        return None


def _is_switch(item: Field[Any]) -> bool:
    return item.type is bool or item.name in _SWITCHES


def _metavar(item: Field[Any]) -> str:
    kind = item.type
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return "WORD"
    if kind is bool:
        return "yes|no"
    return "WHOLE" if int in (get_args(kind) or (kind,)) else "NUMBER"


def _help(item: Field[Any]) -> str:
    kind = item.type
    words = f"{', '.join(kind)}; " if isinstance(kind, type) and issubclass(kind, StrEnum) else ""
    default = item.default
    if isinstance(default, bool):
        default = "yes" if default else "no"
    elif default is None or default == ():
        default = "none"
    return f"{words}default {default}".replace("%", "%%")


def _problem(name: str, value: str, rule: str, remedy: str) -> Problem:
    return Problem(field=name, value=value[:60], rule=rule, remedy=remedy)
