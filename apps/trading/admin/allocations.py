"""Which accounts follow a strategy: edited on the strategy's own page."""

from typing import Any

from django.contrib import admin
from django.db.models import ForeignKey, QuerySet
from django.http import HttpRequest

from apps.access.desk.rows import Table
from apps.strategies.admin import StrategyAdmin
from apps.strategies.models import Strategy
from apps.trading import selectors
from apps.trading.models import Account, Allocation

admin.site.unregister(Strategy)  # registered without this table by its own app, which does not know accounts


class Allocations(Table):
    """How much each account puts into every signal, and the ways out its positions get."""

    model = Allocation
    fields = (
        *("account", "notional", "max_lots", "sides", "entries", "exit_on_signal"),
        *("stop_loss", "take_profit", "trailing_stop", "time_stop", "enabled"),
    )
    verbose_name = "account that follows"
    verbose_name_plural = "accounts that follow"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Allocation]:
        """Show a person the allocations of their own accounts."""
        rows: QuerySet[Allocation] = super().get_queryset(request).select_related("account")
        return rows if selectors.sees_all(request.user) else rows.filter(account__in=selectors.for_user(request.user))

    def formfield_for_foreignkey(self, db_field: "ForeignKey[Any, Any]", request: HttpRequest, **kwargs: Any) -> Any:
        """Offer only accounts the person may see."""
        if db_field.related_model is Account:
            kwargs["queryset"] = selectors.for_user(request.user)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


@admin.register(Strategy)
class StrategyWithAllocations(StrategyAdmin):
    """Strategies with the accounts that follow them."""

    inlines = (Allocations,)
