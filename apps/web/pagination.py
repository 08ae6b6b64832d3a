"""How long lists are given out: by limit and offset with the total, or, for events, onwards from an id."""

from typing import Any, NoReturn

from rest_framework.pagination import BasePagination, LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.domain.errors import Problem, Refused

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_OFFSET = 1_000_000
MAX_ID = 2**63 - 1


def whole(request: Request, name: str, default: int, lowest: int, highest: int) -> int:
    """Return a whole number of the query string within bounds. Raises Refused."""
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 20 and lowest <= int(text) <= highest):
        _refuse(name, text, f"must be a whole number from {lowest} to {highest}", f"use {default} for example")
    return int(text)


def _refuse(name: str, value: str, rule: str, remedy: str) -> NoReturn:
    raise Refused(Problem(field=name, value=value, rule=rule, remedy=remedy))


class LimitOffset(LimitOffsetPagination):
    """`?limit=50&offset=0`; answers with the total and the rows. A bad number is refused, not replaced."""

    default_limit = DEFAULT_LIMIT
    max_limit = MAX_LIMIT

    def get_limit(self, request: Request) -> int:
        """Return how many rows to give."""
        return whole(request, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT)

    def get_offset(self, request: Request) -> int:
        """Return how many rows to skip."""
        return whole(request, "offset", 0, 0, MAX_OFFSET)

    def get_paginated_response(self, data: Any) -> Response:
        """Answer one page."""
        return Response({"total": self.count, "limit": self.limit, "offset": self.offset, "results": data})

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        """Describe the query parameters."""
        return [
            _described("limit", "How many rows.", 1, MAX_LIMIT, DEFAULT_LIMIT),
            _described("offset", "How many rows to skip.", 0, MAX_OFFSET, 0),
        ]

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Describe a page."""
        counts = {"total": 1, "limit": DEFAULT_LIMIT, "offset": 0}
        fields = {name: {"type": "integer", "minimum": 0, "example": value} for name, value in counts.items()}
        fields["results"] = schema
        return {"type": "object", "required": list(fields), "properties": fields}


class FromId(BasePagination):
    """`?after=ID` gives what came later, oldest first; `?before=ID` or neither gives the newest first."""

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        """Return one page and remember how to go on."""
        limit = whole(request, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
        if "after" in request.query_params:
            if "before" in request.query_params:
                _refuse("before", request.query_params["before"], "cannot stand beside 'after'", "use one of them")
            after = whole(request, "after", 0, 0, MAX_ID)
            rows = list(queryset.filter(pk__gt=after).order_by("pk")[:limit])
            self.going_on = {"after": rows[-1].pk if rows else after}
            return rows
        before = whole(request, "before", MAX_ID, 0, MAX_ID)
        rows = list(queryset.filter(pk__lt=before).order_by("-pk")[:limit])
        self.going_on = {"before": rows[-1].pk if rows else before}
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        """Answer one page; `next` is the query that goes on from here."""
        return Response({"next": self.going_on, "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Describe a page."""
        step = {"type": "integer", "minimum": 0}
        going_on = {"type": "object", "properties": {"after": step, "before": step}}
        return {
            "type": "object",
            "required": ["next", "results"],
            "properties": {"next": going_on, "results": schema},
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        """Describe the query parameters."""
        overlap = "When following, overlap by a hundred: an id may become visible after a higher one."
        return [
            _described("after", f"Only events with a higher id, oldest first. {overlap}", 0, MAX_ID),
            _described("before", "Only events with a lower id, newest first.", 0, MAX_ID),
            _described("limit", "How many events.", 1, MAX_LIMIT, DEFAULT_LIMIT),
        ]


def _described(name: str, note: str, lowest: int, highest: int, default: int | None = None) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": lowest, "maximum": highest}
    if default is not None:
        schema["default"] = default
    return {"name": name, "in": "query", "required": False, "description": note, "schema": schema}
