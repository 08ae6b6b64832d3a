"""What were the trades like? Their spread, excursions, lengths, why they ended, and the list itself."""

import numpy as np
from django.utils.safestring import SafeString

from apps.backtests.report import charts, scales, tables, wording
from apps.backtests.report.charts import Chart
from apps.backtests.report.scales import Floats
from apps.backtests.report.subject import Subject
from apps.backtests.report.tables import Cell
from apps.backtests.report.tags import joined, tag
from apps.domain.backtests.measures import rounds
from apps.domain.backtests.result import Reason, Trades

BINS = 31
MOST_DOTS = 1_500
LISTED = 50
SIDES = {1: "long", -1: "short"}


def distributions(subject: Subject) -> SafeString:
    """Draw how the trades spread: their rates, their excursions, their lengths."""
    if not subject.result.trades.closed:
        return SafeString()
    drawn = [_rates(subject.result.trades), _excursions(subject.result.trades), _lengths(subject)]
    return tag("div", joined(drawn), class_="three")


def reasons(subject: Subject) -> SafeString:
    """Return what each kind of exit came to, and each side."""
    trades = subject.result.trades
    if not trades.closed:
        return SafeString()
    rows = [_group(reason.label.replace("_", " "), trades, trades.reason == reason) for reason in Reason]
    sides = [_group(name, trades, trades.side == side) for side, name in SIDES.items()]
    heads = ("", "Trades", "Won", "Profit", "Mean", "Mean rate")
    return joined(
        [
            tables.table("By reason of the exit", ("Exit", *heads[1:]), [row for row in rows if row]),
            tables.table("By side", ("Side", *heads[1:]), [row for row in sides if row]),
        ]
    )


def listing(subject: Subject) -> SafeString:
    """Return the trades themselves; the first and the last ones when there are many."""
    trades = subject.result.trades
    if not trades.closed:
        return tag("p", "No trade was closed.", class_="calm")
    chosen = np.arange(trades.closed)
    told = ""
    if trades.closed > 2 * LISTED:
        chosen = np.concatenate((chosen[:LISTED], chosen[-LISTED:]))
        told = f"The first {LISTED} and the last {LISTED} of {trades.closed:,}; the command's JSON has them all."
    several = len(subject.names) > 1 or bool(np.any(trades.instrument))
    named = [Cell("Instrument", "text")] if several else []
    heads = ("No.", *named, Cell("Side", "text"), "Entry", "Price", "Exit", "Price", "Size", "Fees", "Profit", "Rate")
    rates = rounds.rates(trades)
    rows = (_trade(subject, int(number), rates, several) for number in chosen)
    listed = tables.table("Closed trades", (*heads, Cell("Why it ended", "text")), rows, kind="trades", hidden=True)
    return joined([tag("p", told, class_="caption") if told else "", listed])


def holdings(subject: Subject) -> SafeString:
    """Return what was still open after the last bar."""
    if not subject.result.open:
        return SafeString()
    rows = [
        (
            subject.name_of(each.instrument),
            Cell(SIDES[each.side], "text"),
            wording.moment(int(subject.result.at[each.entry_bar]), with_time=subject.intraday),
            wording.price(each.entry_price),
            wording.quantity(each.size),
            wording.money(each.value),
        )
        for each in subject.result.open
    ]
    heads = ("Instrument", Cell("Side", "text"), "Entry", "Price", "Size", "Value")
    return tables.table("Still open after the last bar", heads, rows)


def rejected(subject: Subject) -> SafeString:
    """Return the entries that were wanted and not made, by reason."""
    found = [
        (name.replace("_", " "), wording.count(number)) for name, number in subject.result.rejected.items() if number
    ]
    if not found:
        return tag("p", "Every entry that was wanted was made.", class_="calm")
    return tables.table("Entries that were wanted and not made", ("Reason", "Entries"), found)


def _rates(trades: Trades) -> SafeString:
    each = 100.0 * rounds.rates(trades)
    counts, edges = _bins(each)
    middle = (edges[:-1] + edges[1:]) / 2
    span = scales.around(0.0, float(counts.max()), ticks=3)
    kinds = ["gain" if value > 0 else "loss" for value in middle]
    return charts.figure(
        Chart(
            name="rates",
            title="Profit of a trade",
            description=f"{trades.closed:,} trades, {each.min():.2f} to {each.max():.2f} %, mean {each.mean():.2f} %.",
            drawing=charts.bars(counts.tolist(), span, kinds),
            left=scales.value_ticks(span),
            below=_ends(edges[0], edges[-1], " %"),
            caption="Trades by their profit over what the entry cost.",
            size="square",
        )
    )


def _excursions(trades: Trades) -> SafeString:
    kept = scales.thinned(trades.closed, MOST_DOTS)
    mae, mfe, won = -100.0 * trades.mae[kept], 100.0 * trades.mfe[kept], trades.pnl[kept] > 0
    # A few wild trades would press all others into the corner.
    wide = scales.around(0.0, max(float(np.quantile(mae, 0.99)), 0.01), ticks=3)
    high = scales.around(0.0, max(float(np.quantile(mfe, 0.99)), 0.01), ticks=3)
    across = np.clip(charts.shares(mae, wide.low, wide.high), 0.0, 1.0)
    down = np.clip(high.down(mfe), 0.0, 1.0)
    ticks = [scales.Tick(1.0 - tick.where, tick.text) for tick in scales.value_ticks(wide, " %")]
    return charts.figure(
        Chart(
            name="excursions",
            title="Excursions",
            description="Each trade by how far it went against (across) and in favour (up) before it ended.",
            drawing=joined(
                charts.dots(across[mask], down[mask], kind) for kind, mask in (("loss", ~won), ("gain", won))
            ),
            left=scales.value_ticks(high, " %"),
            below=ticks,
            caption="Across: worst against (MAE). Up: best in favour (MFE).",
            size="square",
            key=[("gain-dot", "won"), ("loss-dot", "lost")],
        )
    )


def _lengths(subject: Subject) -> SafeString:
    trades, at = subject.result.trades, subject.result.at
    bars = (trades.exit_bar - trades.entry_bar).astype(np.float64)
    counts, edges = _bins(bars, whole=True)
    span = scales.around(0.0, float(counts.max()), ticks=3)
    longest = wording.span(float((at[trades.exit_bar] - at[trades.entry_bar]).max()))
    return charts.figure(
        Chart(
            name="lengths",
            title="Length of a trade",
            description=f"From {bars.min():.0f} to {bars.max():.0f} bars, {bars.mean():.1f} on average.",
            drawing=charts.bars(counts.tolist(), span, ["soft"] * len(counts)),
            left=scales.value_ticks(span),
            below=_ends(edges[0], edges[-1], " bars"),
            caption=f"Trades by the bars they lasted; the longest {longest}.",
            size="square",
        )
    )


def _bins(values: Floats, *, whole: bool = False) -> tuple[Floats, Floats]:
    """Count values in columns of equal width; zero is an edge, so that no column holds gains and losses."""
    low, high = float(values.min()), float(values.max())
    if whole:
        wide = max(1.0, float(np.ceil((high - low + 1) / BINS)))
    else:
        wide = max((high - low) / BINS, abs(high) * 1e-3, 1e-6)
    first, last = np.floor(low / wide), np.floor(high / wide) + 1
    edges = np.arange(first, last + 1) * wide
    return np.histogram(values, edges)[0].astype(np.float64), edges


def _ends(low: float, high: float, suffix: str) -> list[scales.Tick]:
    ticks = [scales.Tick(0.0, f"{low:,.4g}{suffix}"), scales.Tick(1.0, f"{high:,.4g}{suffix}")]
    if low < 0 < high and 0.25 < -low / (high - low) < 0.75:
        ticks.insert(1, scales.Tick(-low / (high - low), "0"))
    return [scales.Tick(tick.where, tick.text.replace("-", wording.MINUS)) for tick in ticks]


def _group(name: str, trades: Trades, chosen: Floats) -> tuple[object, ...] | None:
    pnl = trades.pnl[chosen]
    if not len(pnl):
        return None
    total, mean = float(pnl.sum()), float(pnl.mean())
    rate = float(rounds.rates(trades)[chosen].mean())
    return (
        name,
        wording.count(len(pnl)),
        wording.percent(100.0 * float(np.mean(pnl > 0)), places=1),
        tables.signed(total, wording.money(total, signed=True)),
        tables.signed(mean, wording.money(mean, signed=True)),
        tables.signed(100.0 * rate, wording.percent(100.0 * rate, signed=True)),
    )


def _trade(subject: Subject, number: int, rates: Floats, several: bool) -> tuple[object, ...]:
    trades, at = subject.result.trades, subject.result.at
    pnl, rate = float(trades.pnl[number]), float(rates[number])
    entered, left = (wording.moment(int(at[bar[number]]), with_time=subject.intraday) for bar in trades[2:4])
    why = Reason(int(trades.reason[number])).label.replace("_", " ")
    named = [Cell(subject.name_of(int(trades.instrument[number])), "text")] if several else []
    return (
        str(number + 1),
        *named,
        Cell(SIDES[int(trades.side[number])], "text"),
        entered,
        wording.price(float(trades.entry_price[number])),
        left,
        wording.price(float(trades.exit_price[number])),
        wording.quantity(float(trades.size[number])),
        wording.money(float(trades.entry_fee[number] + trades.exit_fee[number])),
        tables.signed(pnl, wording.money(pnl, signed=True)),
        tables.signed(100.0 * rate, wording.percent(100.0 * rate, signed=True)),
        Cell(f"{why}, order assumed" if trades.ambiguous[number] else why, "text"),
    )
