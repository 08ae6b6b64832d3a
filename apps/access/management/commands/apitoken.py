"""Makes, lists and revokes API tokens."""

import json
from argparse import ArgumentParser, ArgumentTypeError
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError, ProgrammingError
from django.utils import timezone

from apps.access import selectors, services
from apps.access.models import ApiToken, Scope, User


class Command(BaseCommand):
    """`apitoken create` prints the token alone: it is shown once, only its digest is kept."""

    help = "Create, list and revoke API tokens."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the three verbs."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="create|list|revoke")
        create = verbs.add_parser("create", help="Make a token and print it alone on standard output.")
        create.add_argument("--user", required=True, metavar="NAME", help="The user the token acts for.")
        create.add_argument("--scope", required=True, choices=Scope.values, help="Each includes those before it.")
        create.add_argument("--name", default="", help="What it is for, at most 80 characters.")
        create.add_argument("--expires-days", type=_days, metavar="N", help="Days until it expires (1 to 3650).")
        create.add_argument(
            "--from", action="append", default=[], dest="networks", metavar="NETWORK",
            help="A network it may be used from, like 10.1.0.0/16; may be given again. Without: anywhere.",
        )  # fmt: skip
        create.add_argument("--json", action="store_true", help="Print a JSON object with the token and its facts.")
        listing = verbs.add_parser("list", help="List tokens, newest first, without their text.")
        listing.add_argument("--user", metavar="NAME", help="Only those of one user.")
        listing.add_argument("--json", action="store_true", help="Print a JSON list.")
        revoke = verbs.add_parser("revoke", help="Revoke a token at once.")
        revoke.add_argument("prefix", help="Its first characters as `list` shows them, or the whole token.")
        revoke.add_argument("--json", action="store_true", help="Print a JSON object with what was revoked.")

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        """Run one verb; an unready database is one clear line."""
        run = {"create": self._create, "list": self._list, "revoke": self._revoke}[verb]
        try:
            run(options, timezone.now())
        except ProgrammingError as error:
            raise CommandError("The database has no tables for this version: run 'manage.py migrate' first.") from error
        except (OperationalError, InterfaceError) as error:
            raise CommandError(f"The database does not answer: {str(error).strip().splitlines()[0]}") from error

    def _create(self, options: dict[str, Any], now: datetime) -> None:
        user = self._user(options["user"])
        if len(options["name"]) > 80:
            raise CommandError("--name is longer than 80 characters.")
        days = options["expires_days"]
        try:
            made = services.create_token(
                user=user,
                scope=Scope(options["scope"]),
                now=now,
                name=options["name"],
                expires_at=now + timedelta(days=days) if days else None,
                networks=options["networks"],
            )
        except services.BadNetwork as error:
            raise CommandError(str(error)) from error
        facts = {"token": made.text, **_facts(made.token)}
        self.stdout.write(json.dumps(facts) if options["json"] else made.text)
        if made.token.scope != Scope.READ and not user.accounts.exists():
            self.stderr.write(
                f"{user.username} has no account to trade on yet: add one in the admin under Trading, Accounts."
            )

    def _list(self, options: dict[str, Any], now: datetime) -> None:
        rows = selectors.tokens()
        if options["user"]:
            rows = rows.filter(user=self._user(options["user"]))
        if options["json"]:
            self.stdout.write(json.dumps([_facts(row) for row in rows]))
            return
        for row in rows:
            state = selectors.why_unusable(row, now) or "usable"
            used = f"used {row.last_used_at:%Y-%m-%d %H:%M}" if row.last_used_at else "never used"
            self.stdout.write(f"{row.prefix}  {row.scope:5}  {row.user.username:20}  {used:21}  {state}  {row.name}")

    def _revoke(self, options: dict[str, Any], now: datetime) -> None:
        prefix = options["prefix"]
        if len(prefix) < services.SHOWN:
            raise CommandError(f"Give the {services.SHOWN} characters that 'apitoken list' shows.")
        rows = services.revoke_tokens(prefix, now=now)
        if not rows:
            raise CommandError(f"No usable token begins with {prefix[: services.SHOWN]}: see 'apitoken list'.")
        if options["json"]:
            self.stdout.write(json.dumps({"revoked": [row.prefix for row in rows]}))
        else:
            self.stdout.write(f"Revoked {', '.join(f'{row.prefix} of {row.user.username}' for row in rows)}.")

    def _user(self, name: str) -> User:
        user = User.objects.filter(username=name).first()
        if user is None:
            raise CommandError(f"There is no user {name!r}: make one in the admin or with 'manage.py createsuperuser'.")
        return user


def _facts(token: ApiToken) -> dict[str, Any]:
    return {
        "prefix": token.prefix,
        "user": token.user.username,
        "scope": str(token.scope),
        "name": token.name,
        "created_at": _iso(token.created_at),
        "expires_at": _iso(token.expires_at),
        "last_used_at": _iso(token.last_used_at),
        "revoked_at": _iso(token.revoked_at),
        "networks": token.networks,
        "seen_from": token.seen_from,
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _days(text: str) -> int:
    days = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 1 <= days <= 3650:
        raise ArgumentTypeError(f"{text!r} is not a whole number of days from 1 to 3650")
    return days
