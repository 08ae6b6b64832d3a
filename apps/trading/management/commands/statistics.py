"""Say what trading brought: closed lots, profit and fees by period, FIFO and average cost, latency, equity."""

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from apps.domain import numbers
from apps.trading.management import asking
from apps.trading.statistics import equity, plain, summary
from apps.trading.statistics.equity import Curve
from apps.trading.statistics.rebuilding import Source
from apps.trading.statistics.selection import Period, Selection
from apps.trading.statistics.summary import Summary
from apps.trading.statistics.trades import MANUAL, Grouping, Trades

NOTHING = "-"


class Command(BaseCommand):
    """`manage.py statistics --account 1 --since 2026-01-01 --by month --json`."""

    help = "Say what trading on an account brought: trades, profit by FIFO and average cost, fees, latency, equity."
    requires_system_checks = ()  # they load every page of the site, which takes a second

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what is asked about."""
        parser.add_argument("--account", type=int, required=True, metavar="ID", help="whose trading")
        parser.add_argument("--instrument", metavar="SYMBOL", help="only this instrument")
        parser.add_argument("--strategy", metavar="NAME", help="only what this strategy opened")
        parser.add_argument(
            "--since", metavar="DAY", help="the first UTC day, like 2026-01-01; from the start if left out"
        )
        parser.add_argument("--until", metavar="DAY", help="the UTC day after the last; up to now if left out")
        periods = [str(period) for period in Period]
        parser.add_argument("--by", choices=periods, default=str(Period.MONTH), help="how long a row of time is")
        parser.add_argument("--json", action="store_true", help="print one JSON object, the equity curve in it")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask and print."""
        now = timezone.now()
        account = asking.account(options["account"])
        selection = Selection(
            accounts=[account.pk],
            instrument=asking.instrument(options["instrument"]),
            strategy=asking.strategy(options["strategy"]),
            since=asking.midnight(options["since"]),
            until=asking.midnight(options["until"]),
        )
        found = summary.of(selection, by=Period(options["by"]), now=now, most_fills=None)
        curve = equity.of(account, now=now, since=selection.since, until=selection.until)
        if options["json"]:
            self.stdout.write(json.dumps({**plain.of(found), "equity": plain.of(curve)}, allow_nan=False))
            return
        for line in (*_trades(found), *_money(found), *_latency(found), *_equity(curve)):
            self.stdout.write(line)


def _trades(found: Summary) -> Iterable[str]:
    yield "Closed lots, after fees"
    columns = ("", "", "lots", "wins", "win rate", "P&L", "expectancy", "profit factor", "best", "worst", "fees")
    rows = [_row(row) for row in found.trades if row.by is not Grouping.PERIOD]
    yield from _table(columns, rows)


def _row(row: Trades) -> Sequence[str]:
    label = "by hand" if row.by is Grouping.STRATEGY and row.label == MANUAL else str(row.label)
    return (
        row.currency if row.by is Grouping.ALL else str(row.by),
        label,
        str(row.number),
        str(row.wins),
        f"{row.win_rate:.1%}",
        *(_text(each) for each in (row.total_pnl, row.expectancy, row.profit_factor)),
        *(_text(each) for each in (row.largest_win, row.largest_loss, row.fees)),
    )


def _money(found: Summary) -> Iterable[str]:
    yield "\nProfit by the books"
    amounts = [(row, (row.realised_pnl, row.fees, row.net_pnl, row.deposits)) for row in found.books]
    yield from _table(
        ("", "", "realised", "fees", "net", "deposits"),
        [(row.currency, str(row.period), *map(_text, each)) for row, each in amounts],
    )
    yield "\nFees by asset"
    fees = [(str(row.period), row.asset, _text(row.paid), _text(row.value), row.currency) for row in found.fees]
    yield from _table(("", "asset", "paid", "worth", ""), fees)
    yield f"\nMatched, of {found.fills} fills"
    results = [
        (row, (row.realised_pnl, row.fees, row.gain, row.open_cost, row.unrealised_pnl)) for row in found.matched or []
    ]
    yield from _table(
        ("", "", "realised", "fees", "gain", "open at cost", "unrealised"),
        [(row.currency, str(row.method), *map(_text, each)) for row, each in results],
    )
    yield "\nOpen lots"
    sums = [(row.currency, str(row.lots), *map(_text, (row.cost, row.unrealised_pnl))) for row in found.open]
    yield from _table(("", "lots", "cost", "unrealised"), sums)


def _latency(found: Summary) -> Iterable[str]:
    yield "\nTick to close, milliseconds"
    rows = [
        (row.reason or "all but time stops", str(row.exits), *(f"{ms:.1f}" for ms in (row.p50, row.p90, row.p99)))
        for row in found.latency
    ]
    yield from _table(("", "exits", "50 %", "90 %", "99 %"), rows)


def _equity(curve: Curve) -> Iterable[str]:
    yield f"\nEquity in {curve.currency}"
    if not curve.points:
        yield "  nothing was ever paid in"
        return
    last = curve.points[-1]
    yield f"  {_text(last.equity)} now, {last.growth - 1:+.2%} without deposits, deepest fall {curve.max_drawdown:.2%}"
    yield "  " + ", ".join(f"{curve.count(source)} points {source}" for source in Source)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Yield a table, words to the left and numbers to the right."""
    if not rows:
        yield "  none"
        return
    widths = [max(len(row[n]) for row in [columns, *rows]) for n in range(len(columns))]
    for row in [columns, *rows]:
        yield (
            "  "
            + "  ".join(
                text.ljust(width) if n < 2 else text.rjust(width)
                for n, (text, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
        )


def _text(amount: Decimal | None) -> str:
    return NOTHING if amount is None else numbers.plain(numbers.money(amount))
