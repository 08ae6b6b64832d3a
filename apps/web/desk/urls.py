"""The addresses of the desk."""

from django.urls import URLPattern, path

from apps.web.desk import (
    backtests,
    discrepancies,
    exits,
    instruments,
    leaving,
    levels,
    orders,
    overview,
    positions,
    preferences,
    reports,
    risk,
    stopping,
    strategies,
    switching,
    system,
)

app_name = "desk"
urlpatterns: list[URLPattern] = [
    path("", overview.show, name="overview"),
    path("positions", positions.show, name="positions"),
    path("positions/<int:position_id>/close", leaving.close, name="close"),
    path("positions/<int:position_id>/levels", levels.amend, name="levels"),
    path("instruments", instruments.show_all, name="instruments"),
    path("instruments/<int:instrument_id>", instruments.show, name="instrument"),
    path("orders", orders.show_all, name="orders"),
    path("orders/<int:order_id>", orders.show, name="order"),
    path("decisions/<int:decision_id>", orders.show_decision, name="decision"),
    path("strategies", strategies.show, name="strategies"),
    path("strategies/<int:strategy_id>/switch", switching.switch, name="switch"),
    path("risk", risk.show, name="risk"),
    path("exits", exits.show, name="exits"),
    path("backtests", backtests.show, name="backtests"),
    path("backtests/compare", backtests.compare, name="compare"),
    path("reports", reports.show_all, name="reports"),
    path("reports/make", reports.make, name="make_report"),
    path("reports/<int:report_id>", reports.show, name="report"),
    path("reports/<int:report_id>/anew", reports.make_anew, name="report_anew"),
    path("reports/<int:report_id>/tables/<slug:name>", reports.table, name="report_table"),
    path("reports/<int:report_id>/<slug:kind>", reports.file, name="report_file"),
    path("discrepancies", discrepancies.show, name="discrepancies"),
    path("system", system.show, name="system"),
    path("stop", stopping.stop, name="stop"),
    path("allow/<int:restriction_id>", stopping.allow, name="allow"),
    path("preferences", preferences.choose, name="preferences"),
]
