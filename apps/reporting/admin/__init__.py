"""The pages of channels, routes, words, deliveries and reports."""

from apps.reporting.admin import channels, deliveries, reports, routes, words

__all__ = ["channels", "deliveries", "reports", "routes", "words"]
