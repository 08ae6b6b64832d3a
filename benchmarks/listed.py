"""Which addresses of the site are lists, found in the resolver: a new one is measured and tested by being there."""

from collections.abc import Iterator

from django.urls import URLPattern, URLResolver, get_resolver

# Lists by another name: what one must say first, or what answers with a file or a question instead of a list.
_NO_LISTS = (
    "desk/stop",
    "desk/preferences",
    "desk/backtests/compare",
    "api/v1/backtests/compare",
    "api/v1/statistics",
    "api/v1/statistics/equity",
)
NEEDED = {"api/v1/market/candles": "instrument=P001-USD&timeframe=1m", "api/v1/market/trades": "instrument=P001-USD"}
FILTERS: dict[str, tuple[str, ...]] = {
    "api/v1/positions": ("status=open", "status=closed", "instrument=P007-USD", "side=long", "offset=10000"),
    "api/v1/orders": ("status=accepted", "status=filled", "instrument=P007-USD"),
    "api/v1/exits": ("status=done", "status=triggered", "reason=take_profit", "instrument=P007-USD", "position=7"),
    "api/v1/decisions": ("approved=false", "instrument=P007-USD"),
    "api/v1/events": ("kind=position.closed", "kind=position.failed", "subject=position:7", "after=5000"),
    "admin/trading/position/": ("status__exact=open", "p=3"),
    "admin/trading/exit/": ("status__exact=done",),
    "desk/exits": ("span=week",),
    "desk/orders": ("show=refused",),
}


def api() -> list[str]:
    """Return the addresses of the API that answer with a page of rows."""
    from apps.web.api.views import Listing

    return [
        route
        for route, pattern in _routes(get_resolver())
        if "<" not in route
        and route not in _NO_LISTS
        and issubclass(getattr(pattern.callback, "view_class", object), Listing)
    ]


def admin() -> list[str]:
    """Return the list of every kind of row in the admin."""
    return [
        route
        for route, pattern in _routes(get_resolver())
        if str(pattern.name).endswith("_changelist") and "<" not in route
    ]


def desk() -> list[str]:
    """Return the pages of the desk that are about many things."""
    return [
        route
        for route, _ in _routes(get_resolver())
        if route.startswith("desk/") and "<" not in route and route not in _NO_LISTS
    ]


def everything() -> list[str]:
    """Return every list."""
    return [*api(), *admin(), *desk()]


def filtered(route: str) -> list[str]:
    """Return a list's address, and the same with filters where there are interesting ones."""
    return [address(route), *(f"/{route}?{query}" for query in FILTERS.get(route, ()))]


def address(route: str) -> str:
    """Return a list's address with what it cannot be asked without."""
    return f"/{route}?{NEEDED[route]}" if route in NEEDED else f"/{route}"


def _routes(resolver: URLResolver, before: str = "") -> Iterator[tuple[str, URLPattern]]:
    for each in resolver.url_patterns:
        route = before + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from _routes(each, route)
        else:
            yield route, each
