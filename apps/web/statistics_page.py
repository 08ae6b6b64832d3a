"""The page of statistics in the admin, and the file for the tax office.

It stands here and not beside the other pages of trading because it draws with the charts of backtests, and of the two
neither app knows the other.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import accumulate, groupby
from typing import Any, Final

import numpy as np
from asgiref.sync import sync_to_async
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString

from apps.access.desk import pages
from apps.backtests.admin import drawing
from apps.backtests.admin.drawing import Curve as Line
from apps.trading.models import Account
from apps.trading.statistics import equity, exporting, summary
from apps.trading.statistics.books import Taken
from apps.trading.statistics.equity import Curve
from apps.trading.statistics.rebuilding import Source
from apps.trading.statistics.trades import Grouping
from apps.web.statistics_forms import Chosen, TaxYear

TEMPLATE: Final = "admin/trading/statistics.html"
RIGHT: Final = "trading.view_ledgerentry"
BLOCK: Final = 64 * 1024  # characters of the file that are sent together
TABLES: Final = (Grouping.INSTRUMENT, Grouping.STRATEGY, Grouping.SIDE, Grouping.REASON, Grouping.PERIOD)


def show(request: HttpRequest) -> HttpResponse:
    """Show what trading brought, to who may look at the ledger; each person sees their own accounts."""
    _require(request)
    now = pages.now()
    chosen = Chosen(request.user, request.GET)
    selection = chosen.selection()
    found = summary.of(selection, by=chosen.period(), now=now, most_fills=summary.MOST_FILLS)
    account = Account.objects.filter(pk__in=selection.accounts).order_by("id").first()
    curve = equity.of(account, now=now, since=selection.since, until=selection.until) if account else None
    context = {
        **admin.site.each_context(request),
        "title": "Statistics",
        "chosen": chosen,
        "tax_year": TaxYear(request.user, initial={"account": account and account.pk, "year": now.year}),
        "found": found,
        "totals": found.grouped(Grouping.ALL),
        "tables": [(by, rows) for by in TABLES if (rows := found.grouped(by))],
        "lots": [(lot, lot.quote_age(now)) for lot in found.lots],
        "account": account,
        "curve": curve,
        "sources": [(source, curve.count(source)) for source in Source] if curve else [],
        "pictures": _pictures(found.books, curve),
    }
    return TemplateResponse(request, TEMPLATE, context)


def export(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """Send the disposals of a year as CSV, a block at a time; a form that is wrong comes back with its errors."""
    _require(request)
    form = TaxYear(request.user, request.GET)
    if not form.is_valid():
        context = {**admin.site.each_context(request), "title": "Disposals of a year", "tax_year": form}
        return TemplateResponse(request, TEMPLATE, context, status=400)
    wanted = form.export()
    blocks = _blocks(exporting.lines(wanted))
    # Over ASGI an ordinary iterator would be read to its end before the first byte is sent.
    content: Any = _hopping(blocks) if isinstance(request, ASGIRequest) else blocks
    headers = {"Content-Disposition": f'attachment; filename="{wanted.file_name}"', "Cache-Control": "no-store"}
    return StreamingHttpResponse(content, content_type="text/csv; charset=utf-8", headers=headers)


def _require(request: HttpRequest) -> None:
    if not request.user.has_perm(RIGHT):
        raise PermissionDenied


def _pictures(books: Sequence[Taken], curve: Curve | None) -> list[tuple[str, SafeString]]:
    """Draw the account and its falls, and what was taken in each currency."""
    found = []
    if curve and len(curve.points) > 1:
        worth = np.array([point.equity for point in curve.points], np.float64)
        falls = np.array([0 - 100 * point.drawdown for point in curve.points], np.float64)
        found.append((f"Equity in {curve.currency}", _drawn("equity", worth)))
        found.append(("Drawdown in %, deposits left out", _drawn("drawdown", falls)))
    for currency, rows in groupby(books, key=lambda row: row.currency):
        taken = np.array([0, *accumulate(row.net_pnl for row in rows)], np.float64)
        if taken.any():
            found.append((f"Profit taken in {currency}, after fees", _drawn(f"profit in {currency}", taken)))
    return found


def _drawn(name: str, values: drawing.Floats) -> SafeString:
    return drawing.chart([Line(name, np.linspace(0.0, 1.0, len(values)), values)], name)


def _blocks(lines: Iterable[str]) -> Iterator[bytes]:
    """Yield lines joined to blocks, so that a long file is sent in few pieces."""
    waiting: list[str] = []
    size = 0
    for line in lines:
        waiting.append(line)
        size += len(line)
        if size >= BLOCK:
            yield "".join(waiting).encode()
            waiting, size = [], 0
    yield "".join(waiting).encode()


async def _hopping(blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the blocks of an iterator that has to run on the thread of the request, with its database connection."""
    following = sync_to_async(_next, thread_sensitive=True)
    while block := await following(blocks):
        yield block


def _next(blocks: Iterator[bytes]) -> bytes:
    return next(blocks, b"")
