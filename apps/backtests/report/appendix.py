"""What else belongs to a result? Every statistic, every convention, and what is needed to compute it again."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.safestring import SafeString

from apps.backtests.report import tables, wording
from apps.backtests.report.subject import Subject
from apps.backtests.report.tables import Cell
from apps.backtests.report.tags import joined, tag
from apps.domain.backtests import catalogue
from apps.domain.backtests.catalogue import Entry

# Of the amounts and percentages, those that are gains or losses: their sign is shown and coloured.
SIGNED = ("profit", "return", "pnl", "expectancy", "alpha", "best_", "worst_", "cagr", "win", "loss", "trade", "month")


def statistics(subject: Subject) -> SafeString:
    """Return every statistic with its formula, by group."""
    groups = (_group(name, entries, subject.statistics) for name, entries in catalogue.GROUPS.items())
    return tag("div", joined(groups), class_="groups")


def conventions(subject: Subject) -> SafeString:
    """Return every convention with its value: without them the figures mean nothing."""
    rows = [(tag("code", name), Cell(_value(value), "text")) for name, value in _flat(_conventions(subject))]
    return tables.table("Conventions of this run", ("Key", "Value"), rows, kind="plain", hidden=True)


def reproduction(subject: Subject) -> SafeString:
    """Return what determines the result bit for bit."""
    rows = [
        ("Strategy", Cell(subject.plugin, "text")),
        ("Code", Cell(tag("code", subject.code_hash or wording.NOTHING), "text")),
        ("Parameters", Cell(_parameters(subject.parameters), "text")),
        ("Candles", Cell(", ".join(subject.names) or wording.NOTHING, "text")),
        ("Data", Cell(tag("code", subject.data_hash or wording.NOTHING), "text")),
        ("Missing bars", Cell(wording.count(subject.missing_bars), "text")),
        ("Seed", Cell(str(_conventions(subject).get("seed", 0)), "text")),
        ("Version", Cell(subject.version or wording.NOTHING, "text")),
    ]
    rows += [("Note", Cell(each, "text")) for each in subject.notes]
    return tables.table("What this result was computed from", ("", ""), rows, kind="plain", hidden=True)


def _conventions(subject: Subject) -> dict[str, Any]:
    return subject.result.conventions.as_json()


def _group(name: str, entries: tuple[Entry, ...], found: Mapping[str, Any]) -> SafeString:
    rows = [(_named(entry), _figure(entry, found[entry.key])) for entry in entries if entry.key in found]
    return tables.table(name, ("", ""), rows, kind="figures")


def _named(entry: Entry) -> SafeString:
    formula = entry.formula.replace("-", wording.MINUS)
    return joined([entry.label, tag("small", tag("code", entry.key), " ", formula)])


def _figure(entry: Entry, value: Any) -> Cell:
    signed = entry.unit in (catalogue.MONEY, catalogue.PERCENT) and _is_gain(entry.key)
    text = wording.figure(value, entry.unit, signed=signed)
    tone = wording.tone(value) if signed and isinstance(value, int | float) else None
    return Cell(text, f"number {tone or ''}".strip())


def _is_gain(key: str) -> bool:
    words = ("win_rate", "win_days", "win_months", "win_quarters", "win_years", "of_gross_profit")
    return any(word in key for word in SIGNED) and not any(word in key for word in words)


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _value(value: Any) -> str:
    if value is None:
        return "off"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.10g}"
    if isinstance(value, list | tuple):
        return ", ".join(f"{100 * rate:g} % closes {100 * part:g} %" for rate, part in value) or "none"
    return str(value)


def _parameters(parameters: Mapping[str, Any]) -> SafeString:
    if not parameters:
        return SafeString("none")
    return joined(joined([tag("code", f"{name} = {value}"), " "]) for name, value in parameters.items())
