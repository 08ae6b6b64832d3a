"""Shows who has a second factor, and takes one away that was lost: for when nobody else can."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError, ProgrammingError
from django.utils import timezone

from apps.access import second_factor
from apps.access.models import User


class Command(BaseCommand):
    """`secondfactor list` names the staff and their factors; `secondfactor reset NAME` lets NAME enrol anew."""

    help = "List who has a second factor; reset one that was lost."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the two verbs."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|reset")
        listing = verbs.add_parser("list", help="List the staff, and whether they have a second factor.")
        listing.add_argument("--json", action="store_true", help="Print a JSON list.")
        reset = verbs.add_parser("reset", help="Remove a user's factors and recovery codes and end their sessions.")
        reset.add_argument("name", help="The name the user signs in with.")
        reset.add_argument("--json", action="store_true", help="Print a JSON object with what was done.")

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        """Run one verb; an unready database is one clear line."""
        try:
            (self._list if verb == "list" else self._reset)(options)
        except ProgrammingError as error:
            raise CommandError("The database has no tables for this version: run 'manage.py migrate' first.") from error
        except (OperationalError, InterfaceError) as error:
            raise CommandError(f"The database does not answer: {str(error).strip().splitlines()[0]}") from error

    def _list(self, options: dict[str, Any]) -> None:
        staff = User.objects.filter(is_staff=True, is_active=True).order_by("username")
        rows = [{"user": user.username, "second_factor": second_factor.has(user)} for user in staff]
        if options["json"]:
            self.stdout.write(json.dumps(rows))
        for row in () if options["json"] else rows:
            self.stdout.write(f"{row['user']:30}  {'has a second factor' if row['second_factor'] else 'none'}")

    def _reset(self, options: dict[str, Any]) -> None:
        user = User.objects.filter(username=options["name"]).first()
        if user is None:
            raise CommandError(f"There is no user {options['name']!r}: see 'secondfactor list'.")
        count = second_factor.reset(user, now=timezone.now(), actor="command")
        if options["json"]:
            self.stdout.write(json.dumps({"user": user.username, "removed": count}))
        else:
            self.stdout.write(f"{user.username} signs in with the password alone next time.")
