"""Where were the entries and exits? The whole price with its trades, and the last ones on their own candles."""

import numpy as np
from django.utils.safestring import SafeString

from apps.backtests.report import charts, scales, wording
from apps.backtests.report.charts import Chart, Mark
from apps.backtests.report.scales import Ints
from apps.backtests.report.subject import Subject
from apps.backtests.report.tags import joined
from apps.domain.backtests.result import Trades
from apps.domain.strategies.contract import Candles

MOST_MARKED = 120
WINDOW_BARS = 120
UP, DOWN = "\N{BLACK UP-POINTING TRIANGLE}", "\N{BLACK DOWN-POINTING TRIANGLE}"
OUT = "\N{MULTIPLICATION X}"


def whole(subject: Subject) -> SafeString:
    """Draw the close of the busiest instrument over the whole test, with its entries and exits."""
    number = _busiest(subject)
    if number is None:
        return SafeString()
    candles, trades = subject.candles[number], subject.result.trades
    own = np.flatnonzero(trades.instrument == number)
    marked = own[scales.thinned(len(own), MOST_MARKED)]
    span = scales.around(float(candles.low.min()), float(candles.high.max()))
    return charts.figure(
        Chart(
            name="prices",
            title=f"Trades on {subject.name_of(number)}",
            description=f"The close over the whole test with {len(marked):,} of {len(own):,} trades marked.",
            drawing=charts.curve(candles.close, span, "price"),
            left=scales.value_ticks(span),
            below=scales.time_ticks(candles.at),
            marks=_marks(subject, marked, span, 0, len(candles.at) - 1),
            caption=_thinned(len(marked), len(own)),
            key=_keys(trades),
        )
    )


def window(subject: Subject) -> SafeString:
    """Draw the candles around the last trades."""
    number = _busiest(subject)
    if number is None:
        return SafeString()
    trades = subject.result.trades
    own = np.flatnonzero(trades.instrument == number)
    last = int(trades.exit_bar[own].max()) + 20
    until = min(max(last, WINDOW_BARS), len(subject.candles[number].at))
    since = max(0, until - WINDOW_BARS)
    if until - since < 2:
        return SafeString()
    inside = own[(trades.exit_bar[own] >= since) & (trades.entry_bar[own] < until)]
    shown = _cut(subject.candles[number], since, until)
    span = scales.around(float(shown.low.min()), float(shown.high.max()))
    return charts.figure(
        Chart(
            name="window",
            title="The last trades on their candles",
            description=f"{until - since} candles with {len(inside)} trades, from {wording.moment(int(shown.at[0]))} "
            f"to {wording.moment(int(shown.at[-1]))} UTC.",
            drawing=joined([_held(subject, inside, span, since, until), _candles(shown, span)]),
            left=scales.value_ticks(span),
            below=scales.time_ticks(shown.at),
            marks=_marks(subject, inside, span, since, until - 1),
            caption=f"Bars {since:,} to {until - 1:,}. A line joins each entry with its exit.",
        )
    )


def _cut(whole: Candles, since: int, until: int) -> Candles:
    at, opened, high, low, close, volume = whole
    cut = slice(since, until)
    return Candles(at[cut], opened[cut], high[cut], low[cut], close[cut], volume[cut])


def _candles(shown: Candles, span: scales.Range) -> SafeString:
    count = len(shown.at)
    across = np.arange(count) / (count - 1)
    rising = shown.close >= shown.open
    drawn = []
    for kind, chosen in (("up", rising), ("down", ~rising)):
        x = across[chosen]
        top = np.maximum(shown.open[chosen], shown.close[chosen])
        bottom = np.minimum(shown.open[chosen], shown.close[chosen])
        drawn.append(charts.verticals(x, span.down(shown.high[chosen]), span.down(shown.low[chosen]), kind))
        drawn.append(charts.boxes(x, 0.6 / count, span.down(top), span.down(bottom), kind))
    return joined(drawn)


def _held(subject: Subject, chosen: Ints, span: scales.Range, since: int, until: int) -> SafeString:
    """Join entries and exits that both lie in the window."""
    trades = subject.result.trades
    parts = []
    for trade in chosen:
        if trades.entry_bar[trade] < since or trades.exit_bar[trade] >= until:
            continue
        ends = charts.shares([trades.entry_bar[trade], trades.exit_bar[trade]], since, until - 1)
        values = np.array([trades.entry_price[trade], trades.exit_price[trade]])
        kind = "held gain" if trades.pnl[trade] > 0 else "held loss"
        parts.append(charts.line(values, span, kind, places=ends))
    return joined(parts)


def _marks(subject: Subject, chosen: Ints, span: scales.Range, first: int, last: int) -> list[Mark]:
    trades = subject.result.trades
    found = []
    for trade in chosen:
        long = trades.side[trade] > 0
        entry, leave = int(trades.entry_bar[trade]), int(trades.exit_bar[trade])
        pnl = float(trades.pnl[trade])
        if entry >= first:
            text = f"{'Bought' if long else 'Sold short'} {_said(subject, entry, trades.entry_price[trade])}"
            found.append(
                _mark(entry, trades.entry_price[trade], span, first, last, UP if long else DOWN, "entry", text)
            )
        if leave <= last:
            text = f"Left {_said(subject, leave, trades.exit_price[trade])}, {wording.money(pnl, signed=True)}"
            kind = "gain" if pnl > 0 else "loss"
            found.append(_mark(leave, trades.exit_price[trade], span, first, last, OUT, kind, text))
    return found


def _mark(bar: int, price: float, span: scales.Range, first: int, last: int, sign: str, kind: str, text: str) -> Mark:
    down = float(np.clip(span.down(np.array([price]))[0], 0.0, 1.0))
    return Mark(left=(bar - first) / max(last - first, 1), top=down, sign=sign, kind=kind, text=text)


def _said(subject: Subject, bar: int, price: float) -> str:
    return f"{wording.moment(int(subject.result.at[bar]), with_time=subject.intraday)} at {wording.price(float(price))}"


def _busiest(subject: Subject) -> int | None:
    """Return the instrument with the most trades, None when there is nothing to draw."""
    if not subject.candles or not subject.result.trades.closed:
        return None
    counts = np.bincount(subject.result.trades.instrument, minlength=len(subject.candles))
    return int(np.argmax(counts[: len(subject.candles)]))


def _thinned(shown: int, count: int) -> str:
    return "" if shown == count else f"{shown:,} of {count:,} trades are marked, spread evenly."


def _keys(trades: Trades) -> list[tuple[str, str]]:
    keys = [("up-sign", "long entry")] if np.any(trades.side > 0) else []
    keys += [("down-sign", "short entry")] if np.any(trades.side < 0) else []
    return [*keys, ("out-gain", "exit with a gain"), ("out-loss", "exit with a loss")]
