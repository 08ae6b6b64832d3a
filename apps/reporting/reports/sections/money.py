"""The money in words, tables and curves."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from apps.reporting.reports import wording
from apps.reporting.reports.document import Block, Card, Chart, Line, Section, Table, Text, Tone

Figures = Mapping[str, Any]


def cards(figures: Figures) -> list[Card]:
    """Return what everybody looks for first."""
    money, worth = figures["money"], figures["money"]["worth"]
    found = []
    if worth:
        after = f"{wording.number(worth['after']['equity'])} {worth['currency']}"
        found.append(_gain("Result", worth["gain"], worth["currency"], f"worth {after} at the end"))
    for row in money["books"] or [_no_books(figures)]:
        fees = f"after {wording.number(row['fees'])} of fees"
        found.append(_gain("Realised", row["net_pnl"], row["currency"], fees))
    if worth:
        after = f"{wording.number(worth['after']['unrealised_pnl'], signed=True)} stays open"
        found.append(_gain("Change of open lots", worth["unrealised_change"], worth["currency"], after))
        deepest = money["equity"]["max_drawdown"]
        gross = (money["exposure"] or {}).get("max_gross")
        found.append(Card(title="Deepest fall", value=wording.percent(deepest), beside=_exposed(gross)))
    return found


def section(figures: Figures) -> Section:
    """Return the part about money."""
    return Section(name="money", title="Money", blocks=list(_blocks(figures)))


def _blocks(figures: Figures) -> Iterator[Block]:
    money = figures["money"]
    if money["equity"] and len(money["equity"]["points"]) > 1:
        yield from _curves(money["equity"])
    if money["taken"]:
        yield from _taken(money["taken"])
    if money["worth"]:
        yield _worth(money["worth"])
    yield _books(money["books"])
    if money["exposure"] and len(money["exposure"]["points"]) > 1:
        yield _exposure(money["exposure"], figures["account"]["currency"])
    if len(money["by_day"]) > 1:
        yield _days(money["by_day"])
    if money["fees"]:
        yield _fees(money["fees"])
    yield from _open(money["open"])


def _worth(worth: Mapping[str, Any]) -> Table:
    before, after = worth["before"], worth["after"]
    change = [
        Decimal(after["equity"]) - Decimal(before["equity"]),
        Decimal(worth["unrealised_change"]),
    ]
    rows = [
        (wording.word("worth"), wording.money(before["equity"]), wording.money(after["equity"]), _signed(change[0])),
        (
            wording.word("of that not realised"),
            _signed(before["unrealised_pnl"]),
            _signed(after["unrealised_pnl"]),
            _signed(change[1]),
        ),
        (wording.word("paid in, less paid out"), wording.blank(), wording.blank(), _signed(worth["deposits"])),
        (wording.word("result"), wording.blank(), wording.blank(), _signed(worth["gain"])),
    ]
    known = {before["origin"], after["origin"]}
    note = "" if known == {"recorded"} else f"Known as: {', '.join(sorted(known))} (docs/figures.md)."
    title = f"What the account was worth, {worth['currency']}"
    heads = ("", "Before", "After", "Change")
    return Table(name="worth", title=title, heads=heads, rows=rows, none="", note=note)


def _books(rows: Sequence[Mapping[str, Any]]) -> Table:
    return Table(
        name="books",
        title="By the books",
        heads=("Currency", "Realised", "Fees", "Net", "Paid in"),
        rows=[
            (
                wording.said(row["currency"]),
                _signed(row["realised_pnl"]),
                wording.money(row["fees"]),
                _signed(row["net_pnl"]),
                _signed(row["deposits"]),
            )
            for row in rows
        ],
        none="Nothing was booked in this time.",
    )


def _days(rows: Sequence[Mapping[str, Any]]) -> Table:
    return Table(
        name="days",
        title="By the books, day by day (UTC)",
        heads=("Day", "Currency", "Realised", "Fees", "Net", "Paid in"),
        rows=[
            (
                wording.said(row["period"]),
                wording.said(row["currency"]),
                _signed(row["realised_pnl"]),
                wording.money(row["fees"]),
                _signed(row["net_pnl"]),
                _signed(row["deposits"]),
            )
            for row in rows
        ],
        none="",
    )


def _fees(rows: Sequence[Mapping[str, Any]]) -> Table:
    return Table(
        name="fees",
        title="Fees by the asset they were paid in",
        heads=("Asset", "Paid", "Worth", "Currency", "Fills"),
        rows=[
            (
                wording.said(row["asset"]),
                wording.digits(row["paid"]),
                wording.money(row["value"]),
                wording.said(row["currency"]),
                wording.count(row["fills"]),
            )
            for row in rows
        ],
        none="",
    )


def _curves(curve: Mapping[str, Any]) -> Iterator[Block]:
    at = [point[0] for point in curve["points"]]
    worth = [float(point[1]) for point in curve["points"]]
    low, high = wording.number(min(worth)), wording.number(max(worth))
    yield Chart(
        name="equity",
        title=f"Equity, {curve['currency']}",
        description=f"From {wording.number(worth[0])} to {wording.number(worth[-1])}, lowest {low}, highest {high}.",
        at=at,
        lines=[Line(values=worth, kind="own")],
        level=worth[0],
    )
    depths = [-100 * float(point[2]) for point in curve["points"]]
    if any(depths):
        deepest = wording.percent(curve["max_drawdown"])
        yield Chart(
            name="drawdown",
            title="Drawdown",
            description=f"How far it was below its highest of this time, {deepest} at most.",
            at=at,
            lines=[Line(values=depths, kind="fall", filled_to=0.0)],
            suffix=" %",
            flat=True,
        )
    if curve["trouble"]:
        yield Text(f"Candles are missing: {curve['trouble']}", Tone.CALM)


def _taken(rows: Sequence[Sequence[Any]]) -> Iterator[Block]:
    for currency in sorted({row[1] for row in rows}):
        own = [row for row in rows if row[1] == currency]
        sums, total = [0.0], Decimal(0)
        for row in own:
            total += Decimal(row[2])
            sums.append(float(total))
        at = [own[0][0] - 60, *(row[0] for row in own)]
        yield Chart(
            name=f"taken-{currency.lower()}",
            title=f"Gained by closed lots, after fees, {currency}",
            description=f"{wording.number(total, signed=True)} at the end.",
            at=at,
            lines=[Line(values=sums, kind="own")],
            level=0.0,
        )


def _exposure(figures: Mapping[str, Any], currency: str) -> Chart:
    points = figures["points"]
    gross, net = ([float(point[column]) for point in points] for column in (1, 2))
    most, mean = wording.number(figures["max_gross"]), wording.number(figures["mean_gross"])
    return Chart(
        name="exposure",
        title=f"Exposure, {currency}",
        description=f"Gross {most} at most, {mean} on average; {figures['most_positions']} lots at a time at most.",
        at=[point[0] for point in points],
        lines=[
            Line(values=gross, kind="soft", title="gross", filled_to=0.0),
            Line(values=net, kind="own", title="net"),
        ],
        level=0.0,
        flat=True,
    )


def _open(figures: Mapping[str, Any]) -> Iterator[Block]:
    when = f"when this was made, {wording.instant(figures['at'])} UTC"
    yield Table(
        name="open",
        title=f"Open {when}",
        heads=(
            "Lot",
            "Instrument",
            "Strategy",
            "Side",
            "Quantity",
            "Entry",
            "Last price",
            "Gain before fees",
            "Opened",
        ),
        rows=[
            (
                wording.said(f"#{row['position']}"),
                wording.said(row["instrument"]),
                wording.said(row["strategy"] or "by hand"),
                wording.word(row["side"]),
                wording.digits(row["quantity"]),
                wording.digits(row["entry_price"]),
                wording.digits(row["price"]),
                _signed(row["unrealised_pnl"]),
                wording.at(row["opened_at"]),
            )
            for row in figures["lots"]
        ],
        none="No lot is open.",
        note="; ".join(_sum(row) for row in figures["sums"]),
    )


def _sum(row: Mapping[str, Any]) -> str:
    gain = wording.number(row["unrealised_pnl"], signed=True)
    missing = f", {row['unpriced']} without one" if row["unpriced"] else ""
    return f"{wording.counted(row['lots'], 'lot')} in {row['currency']}, {gain} at the last quotes{missing}"


def _gain(title: str, value: Any, currency: str, beside: str) -> Card:
    shown = f"{wording.number(value, signed=True)} {currency}"
    return Card(title=title, value=shown, beside=beside, tone=wording.tone(value))


def _exposed(gross: Any) -> str:
    return "nothing was measured" if gross is None else f"exposed with {wording.number(gross, 0)} at most"


def _no_books(figures: Figures) -> dict[str, Any]:
    return {"currency": figures["account"]["currency"], "net_pnl": "0", "fees": "0"}


def _signed(value: Any) -> Any:
    return wording.money(value, signed=True)
