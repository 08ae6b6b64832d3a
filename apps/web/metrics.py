"""The page of figures: who may read it, and what stands on it while a server is away."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from apps.journal import figures as port
from apps.journal.figures import one
from apps.web import callers, redis
from apps.web.figures import living, servers, trading
from apps.web.figures.families import gauges

QUEUES: Final = servers.QUEUES


@require_safe
def scrape(request: HttpRequest) -> HttpResponse:
    """Answer the figures to the machine itself and to staff tokens, nobody else."""
    if not callers.is_trusted(request):
        return HttpResponse(
            "Figures are given to this machine itself, or with a token of a staff user.\n",
            content_type="text/plain; charset=utf-8",
            status=403,
        )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figures(timezone.now()))
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class Figures(Collector):
    """All figures as of one instant."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def describe(self) -> Iterable[Metric]:
        """Name nothing in advance: the figures are read when they are asked for."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the figures; those of a server that is away are left out, and its `up` figure says so."""
        try:
            found = self._of_the_database()
        except (DatabaseError, InterfaceError):
            found = []
        yield from gauges([one("database_up", "1 when the database answers.", bool(found))])
        yield from found
        try:
            answered = servers.broker(QUEUES)
        except (redis.Away, OSError):
            yield from gauges([one("redis_up", "1 when Redis answers.", 0)])
            return
        yield from gauges([one("redis_up", "1 when Redis answers.", 1), *answered])

    def _of_the_database(self) -> list[Metric]:
        found = [
            *servers.database(self.now),  # first: it compares clocks with the moment of asking
            *trading.figures(self.now),
            trading.quantiles(self.now),
            *living.figures(self.now),
            *port.installed(self.now),
        ]
        return [*gauges(found), *trading.families(self.now), *living.families(self.now)]
