"""Trading beside its backtest, and what to know in the morning, in words and tables."""

from collections.abc import Iterator, Mapping
from typing import Any

from apps.reporting.reports import wording
from apps.reporting.reports.document import Block, Card, Section, Table, Text, Tone

Figures = Mapping[str, Any]
_PARTS = {
    "prices": "prices",
    "other_exits": "other exits",
    "quantities": "quantities",
    "fees": "fees",
    "missed": "entries missed here",
    "extra": "entries only here",
}


def section(figures: Figures) -> Section:
    """Return the part about the backtest; empty where nothing is followed."""
    found = figures["comparisons"]
    return Section(name="backtest", title="Beside the backtest", blocks=list(_compared(found)) if found else [])


def preparing(figures: Figures) -> Section:
    """Return what to know before a session; empty but for mornings."""
    found = figures["preparing"]
    return Section(name="prepare", title="Before the session", blocks=list(_prepared(found)) if found else [])


def cards(figures: Figures) -> list[Card]:
    """Return what a morning begins with."""
    found = figures["preparing"]
    if not found:
        return []
    waiting = sum(found["orders"].values())
    bare = f"{found['unprotected']} without a stop" if found["unprotected"] else "each with a stop"
    stopped = len(found["restrictions"])
    return [
        Card(title="Held", value=wording.counted(found["held"], "lot"), beside=bare if found["held"] else ""),
        Card(title="Trading", value="restricted" if stopped else "active", beside=_waits(waiting, found)),
    ]


def _waits(orders: int, found: Mapping[str, Any]) -> str:
    said = [wording.counted(orders, "order") + " open"]
    if found["differences"]:
        said.append(wording.counted(found["differences"], "difference") + " with the venue")
    return ", ".join(said)


def _compared(rows: list[Mapping[str, Any]]) -> Iterator[Block]:
    told = [row for row in rows if "totals" in row]
    if told:
        yield _both(told)
        yield _explained(told)
    for row in told:
        for why, count in row["without"]:
            yield Text(f"{row['strategy']}: {count} {why}.", Tone.CALM)
        for note in row["notes"]:
            yield Text(f"{row['strategy']}: {note}.", Tone.CALM)
    for row in rows:
        if "why_not" in row:
            yield Text(f"{row['strategy']} was not compared: {row['why_not']}", Tone.CALM)


def _both(rows: list[Mapping[str, Any]]) -> Table:
    return Table(
        name="backtest",
        title="The same bars, traded and backtested",
        heads=(
            "Strategy",
            "Same stance",
            "Entries on both sides",
            "Missed",
            "Extra",
            "Worse fills (bps)",
            "Here",
            "There",
        ),
        rows=[
            (
                wording.said(row["strategy"]),
                wording.rate(row["agreement"]),
                *(wording.count(row["totals"][name]) for name in ("matched", "missed", "extra")),
                wording.money(row["totals"]["mean_bps"]),
                *(wording.money(row["totals"][name], signed=True) for name in ("live_pnl", "model_pnl")),
            )
            for row in rows
        ],
        none="",
    )


def _explained(rows: list[Mapping[str, Any]]) -> Table:
    return Table(
        name="difference",
        title="Where the difference of profit comes from",
        heads=("Strategy", "Difference", *(word.capitalize() for word in _PARTS.values())),
        rows=[
            (
                wording.said(row["strategy"]),
                wording.money(row["totals"]["difference"], signed=True),
                *(wording.money(row["totals"]["explained"][name], signed=True) for name in _PARTS),
            )
            for row in rows
        ],
        none="",
    )


def _prepared(found: Mapping[str, Any]) -> Iterator[Block]:
    for row in found["restrictions"]:
        yield Text(f"Trading is {row['state']}: {row['scope']}. {row['reason']}", Tone.LOSS)
    for sentence in found["violations"]:
        yield Text(f"Broken: {sentence}", Tone.LOSS)
    if found["differences"]:
        yield Text(
            f"{wording.counted(found['differences'], 'difference')} with the venue wait for a person.", Tone.LOSS
        )
    yield Table(
        name="markets",
        title="Hours (UTC)",
        heads=("Calendar", "Opens next", "Closes next", ""),
        rows=[
            (
                wording.said(row["calendar"]),
                wording.at(row["opens_at"]),
                wording.at(row["closes_at"]),
                wording.said(row["note"]),
            )
            for row in found["markets"]
        ],
        none="Nothing is held or followed.",
    )
    yield Table(
        name="held",
        title="Held, and how it is left",
        heads=("Lot", "Instrument", "Side", "Quantity", "Entry", "Ways out"),
        rows=[
            (
                wording.said(f"#{row['position']}"),
                wording.said(row["instrument"]),
                wording.word(row["side"]),
                wording.digits(row["quantity"]),
                wording.digits(row["entry_price"]),
                wording.said(", ".join(row["legs"]) or "none"),
            )
            for row in found["lots"]
        ],
        none="No lot is held.",
        note=f"The last {len(found['lots'])} of {found['held']:,}." if found["held"] > len(found["lots"]) else "",
    )
