"""Trades and exits in words and tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from apps.reporting.reports import wording
from apps.reporting.reports.document import Block, Card, Cell, Section, Table

Figures = Mapping[str, Any]
_GROUPINGS = {"instrument": "instrument", "strategy": "strategy", "side": "side", "reason": "why it was left"}


def cards(figures: Figures) -> list[Card]:
    """Return how many lots were closed, and how fast exits were."""
    trading = figures["trading"]
    found = []
    for row in _grouped(trading["groups"], "all"):
        won = f"{wording.percent(row['win_rate'], 0)} won, {wording.number(row['expectancy'], signed=True)} each"
        found.append(Card(title="Closed lots", value=f"{row['number']:,}", beside=won))
    if not found:
        found.append(Card(title="Closed lots", value="0", beside="none was left in this time"))
    fastest = next((row for row in trading["exits"] if not row["reason"]), None)
    if fastest:
        beside = f"99 % within {wording.took(fastest['p99'])}, {wording.counted(fastest['exits'], 'exit')}"
        found.append(Card(title="Tick to close", value=wording.took(fastest["p50"]), beside=beside))
    return found


def section(figures: Figures) -> Section:
    """Return the part about trades."""
    return Section(name="trades", title="Trades", blocks=list(_blocks(figures["trading"])))


def exits(figures: Figures) -> Section:
    """Return the part about ways out."""
    rows = figures["trading"]["exits"]
    table = Table(
        name="exits",
        title="From the price that triggered an exit to the commit of the close",
        heads=("Left by", "Exits", "Median", "90 %", "99 %", "Slowest"),
        rows=[
            (
                wording.word(row["reason"] or "all but time stops"),
                wording.count(row["exits"]),
                *(wording.latency(row[name]) for name in ("p50", "p90", "p99", "slowest")),
            )
            for row in rows
        ],
        none="No position was left in this time.",
    )
    return Section(name="exits", title="Exits", blocks=[table])


def _blocks(trading: Mapping[str, Any]) -> Iterator[Block]:
    groups = trading["groups"]
    total = sum(row["number"] for row in _grouped(groups, "all"))
    if total:
        yield _statistics(groups)
    for by, title in _GROUPINGS.items():
        rows = _grouped(groups, by)
        if len(rows) > 1 or (by == "reason" and rows):
            yield _group(by, title, rows)
    shown = len(trading["rows"])
    note = "" if shown == total else f"The last {shown:,} of {total:,}; the sums are those of all."
    yield _listing(trading["rows"], note)


def _statistics(groups: Sequence[Mapping[str, Any]]) -> Table:
    rows = _grouped(groups, "all")
    return Table(
        name="statistics",
        title="Closed lots, after fees",
        heads=("Currency", "Lots", "Won", "Net", "Mean", "Best", "Worst", "Profit factor", "Held on average"),
        rows=[
            (
                wording.said(row["currency"]),
                wording.count(row["number"]),
                wording.rate(row["win_rate"]),
                *(_signed(row[name]) for name in ("total_pnl", "expectancy", "largest_win", "largest_loss")),
                wording.money(row["profit_factor"]),
                wording.lasting(row["average_holding_seconds"]),
            )
            for row in rows
        ],
        none="",
    )


def _group(by: str, title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    return Table(
        name=f"by-{by}",
        title=f"By {title}",
        heads=(title.capitalize(), "Currency", "Lots", "Won", "Before fees", "Fees", "Net", "Mean"),
        rows=[
            (
                wording.said(str(row["label"]).replace("_", " ") if by == "reason" else row["label"] or "by hand"),
                wording.said(row["currency"]),
                wording.count(row["number"]),
                wording.rate(row["win_rate"]),
                _signed(row["gross_pnl"]),
                wording.money(row["fees"]),
                _signed(row["total_pnl"]),
                _signed(row["expectancy"]),
            )
            for row in rows
        ],
        none="",
    )


def _listing(rows: Sequence[Mapping[str, Any]], note: str) -> Table:
    several = len({row["currency"] for row in rows}) > 1
    heads = ("Lot", "Instrument", "Side", "Quantity", "Entry", "Exit", "Opened", "Closed", "Fees", "Net")
    return Table(
        name="trades",
        title="Closed lots, the last first",
        heads=(*heads, *(["Currency"] if several else []), "Why opened", "Why left", "Tick to close"),
        rows=[_lot(row, several) for row in rows],
        none="No lot was closed in this time.",
        note=note,
    )


def _lot(row: Mapping[str, Any], several: bool) -> tuple[Cell, ...]:
    return (
        wording.said(f"#{row['position']}"),
        wording.said(row["instrument"]),
        wording.word(row["side"]),
        *(wording.digits(row[name]) for name in ("quantity", "entry_price", "exit_price")),
        wording.at(row["opened_at"], seconds=True),
        wording.at(row["closed_at"], seconds=True),
        wording.money(row["fees"]),
        _signed(row["net_pnl"]),
        *([wording.said(row["currency"])] if several else []),
        wording.said(row["why_in"]),
        wording.said(row["why_out"] + (", late" if row["late"] else "")),
        wording.latency(row["tick_to_close_ms"]),
    )


def _grouped(groups: Sequence[Mapping[str, Any]], by: str) -> list[Mapping[str, Any]]:
    return [row for row in groups if row["by"] == by]


def _signed(value: Any) -> Any:
    return wording.money(value, signed=True)
