"""What can only be read over the API: exits, accounts, instruments, quotes, events."""

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.journal.models import Event
from apps.market.models import Instrument, Quote
from apps.trading import selectors
from apps.trading.models import Account, Exit
from apps.web.api.answers import AccountOut, EventOut, ExitOut, InstrumentOut, QuoteOut
from apps.web.api.asking import EventFilter, ExitFilter, InstrumentFilter, NoFilter
from apps.web.api.described import READING, answers
from apps.web.api.views import Door, Listing
from apps.web.pagination import FromId


class Exits(Listing):
    """List exits."""

    queryset = Exit.objects.none()
    serializer_class = ExitOut
    filter_serializer = ExitFilter
    columns = {
        "instrument": "position__instrument__symbol",
        "account": "position__account_id",
        "position": "position_id",
    }

    @extend_schema(
        operation_id="exits_list",
        summary="List exits, newest first",
        parameters=[ExitFilter],
        responses=answers({200: ExitOut(many=True)}, *READING),
    )
    def get(self, request: Request) -> Response:
        """List the exits you may see, each with every instant from the tick to the commit."""
        return self.answer(self.page(selectors.exits(request.user)))


class OneExit(Door):
    """Look at one exit."""

    queryset = Exit.objects.none()
    serializer_class = ExitOut

    @extend_schema(operation_id="exits_show", summary="Show an exit", responses=answers({200: ExitOut}, *READING, 404))
    def get(self, request: Request, id: int) -> Response:
        """Show one exit."""
        return Response(ExitOut(get_object_or_404(selectors.exits(request.user), pk=id)).data)


class Accounts(Listing):
    """List accounts."""

    queryset = Account.objects.none()
    serializer_class = AccountOut
    filter_serializer = NoFilter

    @extend_schema(
        operation_id="accounts_list", summary="List accounts", responses=answers({200: AccountOut(many=True)}, *READING)
    )
    def get(self, request: Request) -> Response:
        """List your accounts with their balances, derived from the ledger."""
        page = self.page(selectors.for_user(request.user).select_related("owner").order_by("id"))
        return self.answer(page, balances=selectors.balances([account.pk for account in page]))


class Instruments(Listing):
    """List instruments."""

    queryset = Instrument.objects.none()
    serializer_class = InstrumentOut
    filter_serializer = InstrumentFilter
    columns = {"instrument": "symbol"}

    @extend_schema(
        operation_id="instruments_list",
        summary="List instruments",
        parameters=[InstrumentFilter],
        responses=answers({200: InstrumentOut(many=True)}, *READING),
    )
    def get(self, request: Request) -> Response:
        """List what positions can be held in."""
        return self.answer(self.page(Instrument.objects.order_by("symbol")))


class Quotes(Listing):
    """List quotes."""

    queryset = Quote.objects.none()
    serializer_class = QuoteOut
    filter_serializer = InstrumentFilter
    columns = {"instrument": "instrument__symbol"}

    @extend_schema(
        operation_id="quotes_list",
        summary="List the latest prices",
        parameters=[InstrumentFilter],
        responses=answers({200: QuoteOut(many=True)}, *READING),
    )
    def get(self, request: Request) -> Response:
        """List the latest price of every instrument."""
        rows = Quote.objects.select_related("instrument").order_by("instrument__symbol")
        return self.answer(self.page(rows), now=timezone.now())


class Events(Listing):
    """List events."""

    queryset = Event.objects.none()
    serializer_class = EventOut
    filter_serializer = EventFilter
    pagination_class = FromId
    columns = {"account": "account_id"}
    paging = ("after", "before", "limit")

    @extend_schema(
        operation_id="events_list",
        summary="List events, newest first or onwards from an id",
        parameters=[EventFilter],
        responses=answers({200: EventOut(many=True)}, *READING),
    )
    def get(self, request: Request) -> Response:
        """List what happened to your accounts."""
        return self.answer(self.page(selectors.events(request.user)))
