"""The site's addresses, and what is answered where something goes wrong."""

from django.urls import URLPattern, path, re_path
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from apps.web import health, metrics, problems
from apps.web.api import market, positions, reading

urlpatterns: list[URLPattern] = [
    path("", RedirectView.as_view(url="/admin/"), name="home"),
    path("health/live", health.live, name="health-live"),
    path("health/ready", health.ready, name="health-ready"),
    path("metrics", metrics.scrape, name="metrics"),
    path("api/schema", SpectacularAPIView.as_view(), name="api-schema"),
    path("api/docs", SpectacularSwaggerSplitView.as_view(url_name="api-schema"), name="api-docs"),
    path("api/v1/positions", positions.Positions.as_view(), name="api-positions"),
    path("api/v1/positions/<int:id>", positions.OnePosition.as_view(), name="api-position"),
    path("api/v1/positions/<int:id>/close", positions.Closing.as_view(), name="api-position-close"),
    path("api/v1/positions/<int:id>/levels", positions.Levels.as_view(), name="api-position-levels"),
    path("api/v1/exits", reading.Exits.as_view(), name="api-exits"),
    path("api/v1/exits/<int:id>", reading.OneExit.as_view(), name="api-exit"),
    path("api/v1/accounts", reading.Accounts.as_view(), name="api-accounts"),
    path("api/v1/instruments", reading.Instruments.as_view(), name="api-instruments"),
    path("api/v1/quotes", reading.Quotes.as_view(), name="api-quotes"),
    path("api/v1/events", reading.Events.as_view(), name="api-events"),
    path("api/v1/market/instruments", market.MarketInstruments.as_view(), name="api-market-instruments"),
    path("api/v1/market/instruments/<path:symbol>", market.MarketInstrument.as_view(), name="api-market-instrument"),
    path("api/v1/market/quotes", market.MarketQuotes.as_view(), name="api-market-quotes"),
    path("api/v1/market/quotes/<path:symbol>", market.MarketQuote.as_view(), name="api-market-quote"),
    path("api/v1/market/candles", market.Candles.as_view(), name="api-market-candles"),
    path("api/v1/market/trades", market.Trades.as_view(), name="api-market-trades"),
    re_path(r"^api/", csrf_exempt(problems.no_such_address), name="api-nowhere"),
]
