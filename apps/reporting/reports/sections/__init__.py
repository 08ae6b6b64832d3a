"""The figures of a report as words, tables and charts."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from apps.reporting.reports import wording
from apps.reporting.reports.document import Document, Section, Text, Tone
from apps.reporting.reports.sections import comparing, limits, money, trading

_CALM = "No limit was broken, nobody was warned, no price is missing."
_TITLES = {"daily": "Daily report", "weekly": "Weekly report", "monthly": "Monthly report", "morning": "Morning report"}


def of(figures: Mapping[str, Any]) -> Document:
    """Return the document of stored figures; the same figures always give the same."""
    parts: list[Section] = [
        comparing.preparing(figures),
        money.section(figures),
        trading.section(figures),
        trading.exits(figures),
        comparing.section(figures),
        limits.section(figures),
        limits.quality(figures),
        limits.incidents(figures),
    ]
    whose = figures["account"]["name"]
    if figures["strategy"]:
        whose = f"{figures['strategy']} on {whose}"
    return Document(
        title=f"{_TITLES[figures['kind']]}, {whose}, {figures['day']}",
        about=list(_about(figures)),
        verdict=verdict(figures),
        cards=[*comparing.cards(figures), *money.cards(figures), *trading.cards(figures)],
        sections=[part for part in parts if part.blocks],
        made=f"Made {wording.instant(figures['made_at'])} UTC. Times are UTC, amounts exact in the CSV files.",
    )


def verdict(figures: Mapping[str, Any]) -> Text:
    """Say in one or two sentences what the time came to and what needs a person."""
    gained = _gained(figures)
    broken, incidents = len(figures["limits"]["violations"]), sum(count for _, count in figures["incidents"]["counts"])
    unfilled = sum(row["unfilled"] for row in figures["quality"]["instruments"])
    trouble = [
        wording.counted(count, word)
        for count, word in ((broken, "broken limit"), (incidents, "warning"), (unfilled, "gap"))
        if count
    ]
    wrong = f"To look at: {', '.join(trouble)}." if trouble else _CALM
    tone = Tone.LOSS if broken else Tone.CALM if trouble else Tone.GAIN
    return Text(f"{gained} {wrong}", tone)


def _gained(figures: Mapping[str, Any]) -> str:
    rows = figures["money"]["books"]
    total = sum(row["number"] for row in figures["trading"]["groups"] if row["by"] == "all")
    closed = f"{wording.counted(total, 'lot')} closed"
    moved = [row for row in rows if Decimal(row["net_pnl"])]
    if not moved:
        return f"Nothing was realised, {closed}."
    said = ", ".join(f"{wording.number(row['net_pnl'], signed=True)} {row['currency']}" for row in moved)
    return f"{said} realised after fees, {closed}."


def _about(figures: Mapping[str, Any]) -> list[str]:
    words = [f"{wording.instant(figures['since'])} to {wording.instant(figures['until'])} UTC"]
    words.append(f"days end with calendar {figures['calendar']}")
    return [f"account {figures['account']['name']}", *words]
