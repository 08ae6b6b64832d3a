"""Where is a report found? Its address on this site, for messages that leave it."""

from django.conf import settings

from apps.reporting.models import Report


def of(row: Report) -> str:
    """Return the address of a report's page; without SITE_ADDRESS only its path."""
    return f"{settings.SITE_ADDRESS}/desk/reports/{row.pk}"
