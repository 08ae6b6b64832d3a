"""Django's page for programmers, and the text it mails, without secrets: also with DEBUG on, where it hides nothing."""

from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from apps.trading import masking


class MaskedReporter(ExceptionReporter):
    """Masks every known secret in what Django tells of an error: frames, request, settings."""

    def get_traceback_html(self) -> SafeString:
        """Return the page."""
        return SafeString(masking.mask(super().get_traceback_html()))

    def get_traceback_text(self) -> SafeString:
        """Return the text."""
        return SafeString(masking.mask(super().get_traceback_text()))


class AlwaysSafe(SafeExceptionReporterFilter):
    """Hides what a view calls sensitive in every mode: a form may fail before anybody knows its secrets."""

    def is_active(self, request: HttpRequest | None) -> bool:
        """Always."""
        return True
