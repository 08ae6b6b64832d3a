"""Reports over the API: which there are, what they say, their files."""

from typing import Any, Final

from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.reporting.models import FileFormat, Report, ReportKind, ReportState
from apps.reporting.reports import selectors
from apps.web.api.described import READING, answers
from apps.web.api.fields import Id, Strict, Word
from apps.web.api.views import Door, Listing

ARCHIVE: Final = "csv"
KINDS: Final = {
    FileFormat.HTML: "text/html; charset=utf-8",
    FileFormat.PDF: "application/pdf",
    ARCHIVE: "application/zip",
}
_FIELDS: Final = (
    "id",
    "kind",
    "account",
    "strategy",
    "day",
    "since",
    "until",
    "state",
    "wanted_at",
    "made_at",
    "seconds",
    "error",
)


class ReportFilter(Strict):
    """Which reports."""

    kind = Word(ReportKind, required=False)
    state = Word(ReportState, required=False)
    account = Id(required=False)
    strategy = Id(required=False)


class ReportOut(serializers.ModelSerializer[Report]):
    """A report: what about, of which time, and how far it is."""

    kind = Word(ReportKind)
    state = Word(ReportState)
    account = serializers.IntegerField(source="account_id")
    strategy = serializers.IntegerField(source="strategy_id", allow_null=True)

    class Meta:
        model = Report
        fields = _FIELDS


class ReportFileOut(serializers.Serializer[Any]):
    """A file of a report."""

    format = serializers.CharField()
    size = serializers.IntegerField(help_text="Bytes.")
    sha256 = serializers.CharField()


class ReportInFull(ReportOut):
    """A report with its figures, decimals as strings, and its files."""

    figures = serializers.DictField(help_text="Everything it says; empty before it is made.")
    files = ReportFileOut(many=True)

    class Meta:
        model = Report
        fields = (*_FIELDS, "figures", "files")


class Reports(Listing):
    """List reports."""

    queryset = Report.objects.none()
    serializer_class = ReportOut
    filter_serializer = ReportFilter

    @extend_schema(
        operation_id="reports_list",
        summary="List reports, newest first",
        parameters=[ReportFilter],
        responses=answers({200: ReportOut(many=True)}, *READING),
    )
    def get(self, request: Request) -> Response:
        """List the reports of your accounts."""
        return self.answer(self.page(selectors.reports(request.user)))


class OneReport(Door):
    """Look at one report."""

    queryset = Report.objects.none()
    serializer_class = ReportInFull

    @extend_schema(
        operation_id="reports_show", summary="Show a report", responses=answers({200: ReportInFull}, *READING, 404)
    )
    def get(self, request: Request, id: int) -> Response:
        """Show one report with its figures and which files it has."""
        row = _seen(request, id)
        files = [{"format": each.format, "size": each.size, "sha256": each.sha256} for each in selectors.files(row)]
        return Response({**ReportOut(row).data, "figures": row.figures, "files": files})


class ReportFile(Door):
    """Fetch a file of a report."""

    queryset = Report.objects.none()
    serializer_class = ReportOut

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """Give the file whatever kind is asked for: the address names it."""
        return super().perform_content_negotiation(request, force=True)

    @extend_schema(
        operation_id="reports_file",
        summary="Fetch a file of a report",
        parameters=[OpenApiParameter("kind", str, OpenApiParameter.PATH, enum=[str(each) for each in KINDS])],
        responses={
            **{(200, media.partition(";")[0]): OpenApiTypes.BINARY for media in KINDS.values()},
            **answers({}, *READING, 404),
        },
    )
    def get(self, request: Request, id: int, kind: str) -> HttpResponse:
        """Give the report as a page, as PDF, or its tables as CSV files in an archive."""
        row = _seen(request, id)
        content = _content(row, kind)
        if content is None:
            raise Http404
        ending = "zip" if kind == ARCHIVE else kind
        headers = {"Content-Disposition": f'attachment; filename="{row.file_name}.{ending}"'}
        return HttpResponse(content, content_type=KINDS[kind], headers=headers)


def _content(row: Report, name: str) -> bytes | None:
    if name == ARCHIVE:
        return selectors.archive(row)
    return selectors.file(row, FileFormat(name)) if name in FileFormat.values else None


def _seen(request: Request, id_: int) -> Report:
    row = selectors.report(request.user, id_)
    if row is None:
        raise Http404
    return row
