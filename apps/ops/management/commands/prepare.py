"""Bring the database to where the site can start, without starting it: for containers and service managers."""

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from apps.ops import first_run


class Command(BaseCommand):
    """`manage.py prepare`; safe to repeat, and what `up` does by itself."""

    help = "Migrate both schemas, make the administrator, instruments and an account where there are none."
    requires_system_checks = ()  # they load every page of the site, which takes a second

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare, and print a generated password once."""
        for done in first_run.migrate():
            self.stderr.write(f"migrated {done}")
        prepared = first_run.prepare(rest_url=settings.COINBASE_REST_URL, now=datetime.now(UTC))
        call_command("timetable", verbosity=0, stdout=self.stderr)
        for note in prepared.notes:
            self.stderr.write(f"Note: {note}")
        if prepared.password:
            self.stdout.write(f"{first_run.ADMIN} {prepared.password}")
