"""Gives every request an identifier: in each line it logs, in the tasks it sends, and in the answer."""

import time
from collections.abc import Callable, Mapping
from typing import Final

from django.http import HttpRequest, HttpResponse

from apps.ops.logs import context
from apps.ops.telemetry import tracing

HEADER: Final = "X-Request-ID"
# Requests, those answered with an error of ours, seconds spent; two threads at once may lose one, which is good enough.
_counts: dict[str, float] = {"requests": 0, "errors": 0, "busy_seconds": 0.0}


def counts() -> Mapping[str, float]:
    """Return what this process has answered since it began."""
    return {name: round(value, 3) for name, value in _counts.items()}


class RequestId:
    """Takes the identifier a proxy gave, if it is a plain word, or makes one; outermost, so that all lines have it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._answer = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer with the identifier bound."""
        found = context.identifier(request.headers.get(HEADER))
        began = time.perf_counter()
        about = {"http.request.method": request.method or "", "url.path": request.path, "request.id": found}
        with context.bound(request_id=found), tracing.span(f"{request.method}", _travelled(request), about):
            response = self._answer(request)
        _counts["requests"] += 1
        _counts["errors"] += response.status_code == 500
        _counts["busy_seconds"] += time.perf_counter() - began
        response[HEADER] = found
        return response


def _travelled(request: HttpRequest) -> dict[str, str]:
    return {name: value for name in ("traceparent", "tracestate") if (value := request.headers.get(name))}
