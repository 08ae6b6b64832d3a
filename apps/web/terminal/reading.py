"""One reading of everything the terminal shows: a fixed number of requests, whatever there is."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from apps.web.terminal.board import LIST, MOST_POSITIONS, OPEN, Reading
from apps.web.terminal.site import Declined, Site

MOST_ACCOUNTS: Final = 200


def read(site: Site, now: datetime, *, today: Mapping[str, Decimal] | None = None) -> Reading:
    """Read the site; `today` spares the request for what was taken today. Raises SignedOut, Declined, Away."""
    open_ = [site.read("positions", status=status, limit=MOST_POSITIONS) for status in OPEN]
    return Reading(
        at=now,
        system=site.read("system"),
        state=site.read("trading-state"),
        accounts=site.read("accounts", limit=MOST_ACCOUNTS)["results"],
        positions=[row for page in open_ for row in page["results"]],
        total=sum(page["total"] for page in open_),
        orders=site.read("orders", limit=LIST)["results"],
        exits=site.read("exits", limit=LIST)["results"],
        quotes=site.read("quotes", limit=200)["results"],
        events=site.read("events", limit=LIST)["results"],
        today=taken(site, now) if today is None else today,
    )


def taken(site: Site, now: datetime) -> dict[str, Decimal]:
    """Return what was taken since 00:00 UTC after fees, by currency; empty where the token may not ask."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        rows: list[dict[str, Any]] = site.read("statistics", since=midnight.isoformat())["books"]
    except Declined:
        return {}
    found: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        found[row["currency"]] += Decimal(row["net_pnl"])
    return dict(found)
