"""Figures of trading: positions, exits and their latency, orders, money, risk."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection
from django.db.models import Count, Max
from prometheus_client.core import GaugeHistogramMetricFamily, Metric

from apps.domain.states import ENDED_ORDERS
from apps.journal import measures
from apps.journal.figures import Figure, Labels, by, one
from apps.journal.models import Event
from apps.trading import selectors
from apps.trading.models import Discrepancy, Resolution, Restriction, Violation
from apps.web.figures.families import PREFIX, counter

WINDOW: Final = timedelta(minutes=5)
SAMPLE: Final = 20_000
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
QUANTILES: Final = (0.5, 0.95, 0.99, 1.0)
MOST_ACCOUNTS: Final = 200
RISK_USED: Final = "tradingsite_risk_used_ratio"  # computed once a minute: it judges every limit of every account
_ORDERS: Final = """
SELECT status, count(*), max(extract(epoch FROM %s - coalesce(sent_at, created_at)))
FROM trading_order WHERE status <> ALL(%s) GROUP BY status ORDER BY status
"""
_ENDED: Final = """
SELECT status, count(*) FROM (SELECT status, ended_at FROM trading_order ORDER BY id DESC LIMIT 2000) AS newest
WHERE ended_at >= %s GROUP BY status ORDER BY status
"""
_WORTH: Final = """
SELECT a.id, a.currency, a.live, m.equity, m.equity - m.day_start, m.gross, m.net,
    CASE WHEN m.peak > 0 THEN (m.peak - m.equity) / m.peak ELSE 0 END,
    CASE WHEN s.account_id IS NOT NULL THEN s.trouble <> '' OR s.clean_at IS NULL END
FROM trading_account a
LEFT JOIN LATERAL (SELECT * FROM trading_riskmetric WHERE account_id = a.id ORDER BY at DESC LIMIT 1) m ON true
LEFT JOIN trading_standing s ON s.account_id = a.id
ORDER BY a.id LIMIT %s
"""
_MONEY: Final = {
    "account_equity": "Cash and the value of what is held, as risk last measured it.",
    "account_day_pnl": "Equity less that at the start of the UTC day.",
    "account_exposure_gross": "What all positions are worth, longs and shorts added.",
    "account_exposure_net": "Longs less shorts.",
    "account_drawdown_ratio": "The loss from the highest equity, as a rate.",
}


def figures(now: datetime) -> Iterator[Figure]:
    """Yield the figures that are gauges."""
    yield by("positions_open", "Positions open.", "instrument", selectors.open_positions())
    yield by("exits", "Exits by status.", "status", selectors.exits_by_status())
    waiting = selectors.exits_waiting()
    yield one("exits_waiting", "Exits not executed yet.", waiting.exits)
    oldest = (now - waiting.oldest).total_seconds() if waiting.oldest else 0.0
    yield one("exit_oldest_waiting_seconds", "Age of the oldest exit not executed yet.", max(oldest, 0.0))
    yield from _orders(now)
    yield from _money()
    yield from _risk(now)


def families(now: datetime) -> Iterator[Metric]:
    """Yield what is no gauge: the latency of exits, and the journal's number."""
    yield from _latencies(sorted(selectors.exit_latencies(since=now - WINDOW, limit=SAMPLE)))
    last = Event.objects.aggregate(last=Max("id"))["last"] or 0
    yield counter("events", "The number of the last event in the journal.", [], [([], last)])


def _latencies(seconds: Sequence[float]) -> Iterator[Metric]:
    note = f"From tick to commit, exits of the last {WINDOW.seconds // 60} minutes, the newest {SAMPLE} at most"
    counts = [(str(bound), float(sum(s <= bound for s in seconds))) for bound in BUCKETS]
    yield GaugeHistogramMetricFamily(
        f"{PREFIX}exit_latency_seconds",
        f"{note}: a histogram of that window.",
        buckets=[*counts, ("+Inf", float(len(seconds)))],
        gsum_value=sum(seconds),
    )


def quantiles(now: datetime) -> Figure:
    """Return the quantiles of that window; without exits in it there are none."""
    seconds = sorted(selectors.exit_latencies(since=now - WINDOW, limit=SAMPLE))
    found = {str(q): seconds[min(int(q * len(seconds)), len(seconds) - 1)] for q in QUANTILES if seconds}
    text = f"From tick to commit, exits of the last {WINDOW.seconds // 60} minutes: quantiles."
    return by("exit_latency_quantile_seconds", text, "quantile", found)


def _orders(now: datetime) -> Iterator[Figure]:
    rows = _rows(_ORDERS, [now, list(ENDED_ORDERS)])
    yield by("orders_live", "Orders that have not ended.", "status", {status: count for status, count, _ in rows})
    ages = {status: max(float(age), 0.0) for status, _, age in rows}
    yield by("order_oldest_seconds", "Since the oldest order of this status was sent.", "status", ages)
    ended = dict(_rows(_ENDED, [now - WINDOW]))
    yield by("orders_ended", "Orders that ended within five minutes, of the newest 2,000.", "status", ended)


def _money() -> Iterator[Figure]:
    rows = _rows(_WORTH, [MOST_ACCOUNTS])
    keys: list[Labels] = [(("account", str(row[0])), ("currency", row[1])) for row in rows]
    for place, (name, text) in enumerate(_MONEY.items()):
        order = (3, 4, 5, 6, 7)[place]
        values = {key: float(row[order]) for key, row in zip(keys, rows, strict=True) if row[order] is not None}
        yield Figure(name, text, values)
    taken, open_, fees = _books([row[0] for row in rows])
    yield Figure("account_realised_pnl", "Profit taken since the account was opened, before fees.", taken)
    yield Figure("account_unrealised_pnl", "Profit of open positions at the last quotes.", open_)
    yield Figure("account_fees", "Fees paid since the account was opened.", fees)
    doubted: dict[Labels, float] = {(("account", str(row[0])),): float(row[8]) for row in rows if row[8] is not None}
    yield Figure("account_doubted", "1 when an account does not agree with its venue, or the venue is silent.", doubted)


def _books(accounts: Sequence[int]) -> tuple[dict[Labels, float], dict[Labels, float], dict[Labels, float]]:
    taken: dict[Labels, float] = {}
    open_: dict[Labels, float] = {}
    fees: dict[Labels, float] = {}
    for account, balances in selectors.balances(accounts).items():
        for balance in balances:
            key: Labels = (("account", str(account)), ("currency", balance.currency))
            taken[key], fees[key] = float(balance.pnl), float(balance.fees)
            if balance.unrealised_pnl is not None:
                open_[key] = float(balance.unrealised_pnl)
    return taken, open_, fees


def _risk(now: datetime) -> Iterator[Figure]:
    broken = Violation.objects.filter(ended_at=None).values_list("rule").annotate(Count("id")).order_by("rule")
    yield by("violations_open", "Limits that are broken now.", "rule", dict(broken))
    open_ = Discrepancy.objects.filter(resolution=Resolution.OPEN).values_list("kind").annotate(Count("id"))
    text = "Differences between venues and accounts that nobody has resolved."
    yield by("discrepancies_open", text, "kind", dict(open_.order_by("kind")))
    stopped: dict[Labels, float] = {}
    for scope, state in Restriction.objects.values_list("scope", "state"):
        key: Labels = (("scope", scope), ("state", state))
        stopped[key] = stopped.get(key, 0.0) + 1
    yield Figure("trading_stopped", "Places where trading is reducing or halted.", stopped)
    rows = measures.latest([RISK_USED], now - timedelta(minutes=3))
    used = {parsed(row.labels): float(row.value) for row in rows}
    yield Figure("risk_used_ratio", "How much of a limit is used, as a rate: headroom is 1 less this.", used)


def parsed(text: str) -> Labels:
    """Take labels apart that `written` has put together."""
    pairs = (part.partition("=") for part in text.split(",") if part)
    return tuple((name, word.strip('"')) for name, _, word in pairs)


def written(labels: Labels) -> str:
    """Return labels as Prometheus writes them; signs that would need escaping are left out."""
    return ",".join(f'{name}="{_plain(word)}"' for name, word in labels)


def _plain(word: str) -> str:
    return "".join(sign for sign in word if sign not in '",\\=\n')


def _rows(statement: str, values: Sequence[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, list(values))
        return list(cursor.fetchall())


def numbers(facts: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield what a process counts that is a number; switches are 1 and 0."""
    for name, value in facts.items():
        if isinstance(value, int | float):
            yield name, float(value)
