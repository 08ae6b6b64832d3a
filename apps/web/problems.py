"""What the API answers when it cannot do what was asked: problem details (RFC 9457), one shape for everything.

`errors` lists every field that is wrong: what it held, the rule it breaks, and what to do.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions
from rest_framework.response import Response

from apps.domain.errors import Problem, Refused, Unavailable
from apps.trading.services.exits import AlreadyLeaving
from apps.trading.services.ordering import OrderChanged, OrderEnded
from apps.trading.services.positions import PositionClosed

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
MAX_ERRORS = 50
MAX_SHOWN = 80

_log = logging.getLogger(__name__)

_MISSING = {
    "required": ("is missing", "add it"),
    "null": ("may not be null", "give a value, or leave the field out"),
}


class KeyReused(Refused):
    """An idempotency key came again with another body."""


class TooMany(Refused):
    """A person has as much under way as one may."""


class FieldRefused(exceptions.ValidationError):
    """One field of a request is wrong; the reader of the request adds where it stands."""

    def __init__(self, value: object, rule: str, remedy: str) -> None:
        self.problem = {"value": shown(value), "rule": rule, "remedy": remedy}
        super().__init__(self.problem)


def handler(exc: Exception, context: Mapping[str, Any]) -> Response | None:
    """Answer an exception of an API view; None leaves it to be a bug, loud in the log and a 500."""
    for kind, answer in _ANSWERS:
        if isinstance(exc, kind):
            return answer(exc)
    return None


def invalid(problems: Sequence[Problem]) -> Response:
    """Answer a request whose fields break rules."""
    return _refused("invalid", 400, Refused(*problems))


def body(kind: str, status: int, detail: str, **more: Any) -> dict[str, Any]:
    """Return the fields of a problem."""
    return {
        "type": f"urn:tradingsite:problem:{kind}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": [],
        **more,
    }


def plain_response(kind: str, status: int, detail: str) -> HttpResponse:
    """Return a problem from outside the API framework: an unknown address, a bug."""
    return HttpResponse(json.dumps(body(kind, status, detail)), content_type=MEDIA_TYPE, status=status)


def shown(value: object) -> str:
    """Return a value from a request as it may be shown back: short, and text that can be written."""
    text = str(value) if isinstance(value, str | Decimal) else _as_json(value)
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def flatten(detail: Any, path: str = "") -> Iterator[Problem]:
    """Yield the framework's nested errors as a flat list, each with the path of its field."""
    if isinstance(detail, Mapping) and set(detail) == {"value", "rule", "remedy"}:
        yield Problem(field=path or "body", **{key: str(value) for key, value in detail.items()})
    elif isinstance(detail, Mapping):
        for key, inner in detail.items():
            yield from flatten(inner, _below(path, key))
    elif isinstance(detail, list):
        for inner in detail:
            yield from flatten(inner, path)
    else:
        code = getattr(detail, "code", "")
        rule, remedy = _MISSING.get(code, (str(detail), "see the description at /api/docs"))
        yield Problem(field=path or "body", value="nothing", rule=rule, remedy=remedy)


def _below(path: str, key: object) -> str:
    if key == "non_field_errors":
        return path
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else str(key)


def _as_json(value: object) -> str:
    return "nothing" if value is None else json.dumps(value, default=str, ensure_ascii=False)


def _refused(kind: str, status: int, refusal: Refused, **more: Any) -> Response:
    errors = [
        {"field": shown(p.field), "value": shown(p.value), "rule": p.rule, "remedy": p.remedy}
        for p in refusal.problems[:MAX_ERRORS]
    ]
    detail = "; ".join(f"{e['field']} {e['rule']}" for e in errors[:3]) + ("; ..." if len(errors) > 3 else "")
    return _response(body(kind, status, detail, errors=errors, **more))


def _later(detail: str) -> Response:
    return _response(body("try-later", 503, detail), {"Retry-After": str(RETRY_AFTER_SECONDS)})


def _of_framework(exc: exceptions.APIException) -> Response:
    headers: dict[str, str] = dict(getattr(exc, "headers", {}))
    if header := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = header
    kind = HTTPStatus(exc.status_code).phrase.lower().replace(" ", "-")
    return _response(body(kind, exc.status_code, str(exc.detail)), headers)


def _response(fields: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(fields, status=fields["status"], headers=headers, content_type=MEDIA_TYPE)


def _database_away(exc: Exception) -> Response:
    _log.warning("the database did not answer a request: %s", str(exc).strip())
    return _later("The database does not answer in time. Nothing was done; try again.")


_ANSWERS: tuple[tuple[Any, Callable[[Any], Response]], ...] = (
    (AlreadyLeaving, lambda exc: _refused("already-leaving", 409, exc, exit_id=exc.exit_id)),
    (PositionClosed, lambda exc: _refused("position-closed", 409, exc)),
    (OrderEnded, lambda exc: _refused("order-ended", 409, exc)),
    (OrderChanged, lambda exc: _refused("changed", 412, exc)),
    (TooMany, lambda exc: _refused("too-many", 429, exc)),
    (KeyReused, lambda exc: _refused("key-reused", 422, exc)),
    (Refused, lambda exc: _refused("invalid", 400, exc)),
    (Unavailable, lambda exc: _later(str(exc))),
    ((OperationalError, InterfaceError), _database_away),
    (exceptions.ValidationError, lambda exc: invalid(list(flatten(exc.detail)))),
    (Http404, lambda _: _of_framework(exceptions.NotFound("There is no such thing, or it is not yours."))),
    (PermissionDenied, lambda _: _of_framework(exceptions.PermissionDenied())),
    (exceptions.APIException, _of_framework),
)


# --- outside the framework: addresses nobody serves, and bugs ---------------------------------------------------------
def no_such_address(request: HttpRequest) -> HttpResponse:
    """Answer an address under /api/ that does not exist."""
    return plain_response("not-found", 404, f"There is nothing at {shown(request.path)}; see /api/docs.")
