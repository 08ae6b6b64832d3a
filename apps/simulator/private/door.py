"""Which private request is this, and which fault strikes it? Dialects are the modules of this folder with `ROUTES`.

A route is a method, a path pattern (its group `id` is handed on), a handler and the kind of call that faults name.
"""

import importlib
import pkgutil
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from apps.simulator import private
from apps.simulator.httpwire import Request, Response
from apps.simulator.orders import mishaps
from apps.simulator.venue import Venue

PLACE, CANCEL, AMEND, READ = "place", "cancel", "amend", "read"
Handler = Callable[[Venue, Request, str], Response]


class Route(NamedTuple):
    """One private resource of a dialect."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler
    call: str = READ


def at(path: str) -> re.Pattern[str]:
    """The pattern of a path in which `{id}` stands for one segment."""
    return re.compile(re.escape(path).replace(r"\{id\}", "(?P<id>[^/]+)"))


@cache
def routes() -> tuple[Route, ...]:
    """The routes of all dialects."""
    modules = [importlib.import_module(f"{private.__name__}.{m.name}") for m in pkgutil.iter_modules(private.__path__)]
    return tuple(route for module in modules for route in getattr(module, "ROUTES", ()))


def route(request: Request) -> Route | None:
    """Return the private route of a request, None for everything else."""
    for each in routes():
        if each.method == request.method and each.pattern.fullmatch(request.path):
            return each
    return None


def answer(found: Route, venue: Venue, request: Request) -> Response | None:
    """Answer a private request as the faults allow; None leaves it unanswered."""
    name, args = _struck(venue, found.call)
    if name and name != "order_slow" and not args.get("after"):
        return _failure(name, args)
    match = found.pattern.fullmatch(request.path)
    venue.orders.tick(venue.true_us())
    response = found.handler(venue, request, match["id"] if match and found.pattern.groups else "")
    if name == "order_slow":
        return replace(response, delay=float(args["seconds"]))
    return _failure(name, args) if name else response


def _struck(venue: Venue, call: str) -> tuple[str, dict[str, Any]]:
    for name in mishaps.ANSWERS:
        args = venue.orders.mishaps.take(name, call)
        if args is not None:
            return name, args
    return "", {}


def _failure(name: str, args: dict[str, Any]) -> Response | None:
    if name == "order_timeout":
        return None
    if name == "order_reset":
        return Response(is_reset=True)
    if name == "order_limit":
        body = {"errors": [{"id": "rate_limit_exceeded", "message": "too many requests"}], "message": "rate limited"}
        return Response(status=429, body=body, headers={"Retry-After": str(args["retry_after"])})
    return Response(status=int(args["status"]), body=b"<html><body>out of order</body></html>")
