"""Which figures are kept for years: few, and those one asks about later."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from apps.journal.figures import Figure
from apps.journal.measures import Sample
from apps.trading.models import Account
from apps.trading.services import monitoring
from apps.web import redis
from apps.web.figures import living, servers, trading
from apps.web.figures.families import PREFIX
from apps.web.figures.servers import QUEUES

KEPT: Final = frozenset(
    {
        "positions_open",
        "exits_waiting",
        "exit_latency_quantile_seconds",
        "orders_live",
        "account_equity",
        "account_day_pnl",
        "account_exposure_gross",
        "account_drawdown_ratio",
        "violations_open",
        "discrepancies_open",
        "canary_seconds",
        "deliveries",
        "database_bytes",
        "database_connections",
        "redis_memory_bytes",
        "queue_messages",
    }
)
MOST_JUDGED: Final = 50  # accounts


def samples(now: datetime) -> list[Sample]:
    """Return the key figures as of an instant, and how much of each limit is used. Raises what the database raises."""
    found = [*trading.figures(now), trading.quantiles(now), *living.figures(now), *servers.database(now), *_broker()]
    return [*_plain(figure for figure in found if figure.name in KEPT), *risk_used(now)]


def _plain(figures: Iterable[Figure]) -> Iterator[Sample]:
    for figure in figures:
        for labels, value in figure.values.items():
            yield Sample(PREFIX + figure.name, trading.written(labels)[:200], value)


def _broker() -> list[Figure]:
    try:
        return servers.broker(QUEUES)
    except (redis.Away, OSError):
        return []


def risk_used(now: datetime) -> list[Sample]:
    """Judge every limit that can be judged without a wish, and return how much of each is used: the worst per rule."""
    worst: dict[tuple[int, str], float] = {}
    for account in Account.objects.order_by("pk")[:MOST_JUDGED]:
        for ruled in monitoring.look(account, now).ruled:
            number, limit = abs(float(ruled.verdict.number)), abs(float(ruled.verdict.limit))
            key = (account.pk, ruled.limit.rule)
            if limit:
                worst[key] = max(worst.get(key, 0.0), number / limit)
    return [
        Sample(trading.RISK_USED, trading.written((("account", str(account)), ("rule", rule))), used)
        for (account, rule), used in sorted(worst.items())
    ]
