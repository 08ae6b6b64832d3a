"""The pages of channels, routes, words and deliveries."""

from apps.reporting.admin import channels, deliveries, routes, words

__all__ = ["channels", "deliveries", "routes", "words"]
