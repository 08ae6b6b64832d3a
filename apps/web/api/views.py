"""What every view of the API shares: strict filters, one list form, bodies without a stated length."""

from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn

from django.db.models import QuerySet
from django.http import HttpRequest
from rest_framework import generics
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from apps.domain.errors import Problem, Refused
from apps.web.api import throttling
from apps.web.api.fields import Strict
from apps.web.parsers import MAX_BYTES


class Door(generics.GenericAPIView[Any]):
    """One address of the API. `rights` names by method the permission a person's role must have."""

    rights: ClassVar[Mapping[str, str]] = {}
    room: throttling.Room | None = None

    def perform_authentication(self, request: Request) -> None:
        """Find out who asks; who brings a bad token too often is told to wait."""
        try:
            super().perform_authentication(request)
        except AuthenticationFailed:
            throttling.refuse(request)
            raise

    def permission_denied(self, request: Request, message: str | None = None, code: str | None = None) -> NoReturn:
        """Refuse; who asks without any token too often is told to wait."""
        try:
            super().permission_denied(request, message, code)
        except NotAuthenticated:
            throttling.refuse(request)
            raise

    def check_throttles(self, request: Request) -> None:
        """Count the request. Raises Throttled."""
        self.room = throttling.take(request)

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Tell how many requests are left."""
        final = super().finalize_response(request, response, *args, **kwargs)
        for name, value in (self.room.headers() if self.room else {}).items():
            final[name] = value
        return final

    def check_permissions(self, request: Request) -> None:
        """Let in who is signed in, has a token that reaches that far, and has the right."""
        super().check_permissions(request)
        self.insist(self.rights.get(request.method or "", ""))

    def insist(self, right: str) -> None:
        """Raise PermissionDenied, which says so, unless the person has a right."""
        if right and not self.request.user.has_perm(right):
            raise PermissionDenied(f"This needs the permission {right}, which none of your roles has.")

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """Let a chunked body be read: without a stated length the framework would take it for empty."""
        if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "") and not request.META.get("CONTENT_LENGTH"):
            request.META["CONTENT_LENGTH"] = str(MAX_BYTES)
        return super().initialize_request(request, *args, **kwargs)

    def asked(self, serializer: type[Strict]) -> dict[str, Any]:
        """Return the values of the request body. Raises ValidationError."""
        reader = serializer(data=self.request.data)
        reader.is_valid(raise_exception=True)
        return dict(reader.validated_data)


class Listing(Door):
    """A list with filters; an unknown or doubled one is refused, since ignoring it would answer something else."""

    filter_serializer: ClassVar[type[Strict]]
    columns: ClassVar[dict[str, str]] = {}
    paging: ClassVar[tuple[str, ...]] = ("limit", "offset")

    def given(self) -> dict[str, Any]:
        """Return the filters of the query string. Raises ValidationError, Refused."""
        given = {}
        for name, values in self.request.query_params.lists():
            if len(values) > 1:
                rule, remedy = "is given more than once", "give it once"
                raise Refused(Problem(field=name, value=values[1], rule=rule, remedy=remedy))
            if name not in self.paging:
                given[name] = values[0]
        reader = self.filter_serializer(data=given)
        reader.is_valid(raise_exception=True)
        return dict(reader.validated_data)

    def filtered(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows the query string asks for. Raises ValidationError, Refused."""
        return rows.filter(**{self.columns.get(name, name): value for name, value in self.given().items()})

    def page(self, rows: QuerySet[Any]) -> list[Any]:
        """Return the rows of the page asked for."""
        return list(self.paginate_queryset(self.filtered(rows)) or [])

    def answer(self, page: list[Any], **context: Any) -> Response:
        """Answer with a page of rows."""
        serializer = self.get_serializer_class()(page, many=True, context=context)
        return self.get_paginated_response(serializer.data)
