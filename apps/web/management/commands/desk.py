"""The trading desk in a terminal, for a look or an emergency over SSH."""

import getpass
import os
import stat
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from apps.domain.errors import Refused
from apps.web.terminal.app import Desk
from apps.web.terminal.site import Site, address_of

TOKEN = "TRADINGSITE_TOKEN"  # noqa: S105 - the name of a variable
OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Command(BaseCommand):
    """`manage.py desk --address https://trading.example.org`; exit status 1 when the token is not known."""

    help = "Show the trading desk in this terminal: overview, positions, orders, exits, log; close, stop, allow again."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare where the site is and who asks."""
        parser.add_argument("--address", default="", help="of the site (default: this one)")
        parser.add_argument("--token-file", type=Path, help=f"a file with an API token (default: ${TOKEN}, else asked)")
        parser.add_argument("--plain-http", action="store_true", help="send the token in the clear to another machine")

    def handle(self, *args: Any, **options: Any) -> None:
        """Open the desk until the person leaves it."""
        named = options["address"] or settings.SITE_ADDRESS or f"http://127.0.0.1:{settings.WEB_PORT}"
        try:
            address = address_of(named, plain=options["plain_http"])
        except Refused as error:
            raise CommandError(str(error)) from None
        token = _token(options["token_file"])
        if not sys.stdout.isatty():
            raise CommandError("The desk needs a terminal. For programs there is the API: docs/api.md.")
        desk = Desk(Site(address, token), timezone.now)
        desk.run()
        if desk.return_code:
            raise SystemExit(desk.return_code)


def _token(path: Path | None) -> str:
    """Return the token of the file, the environment or the person. Raises CommandError."""
    if path is not None:
        return _checked(_of_file(path))
    if os.environ.get(TOKEN):
        return _checked(os.environ[TOKEN])
    if not sys.stdin.isatty():
        raise CommandError(f"No token: name a file with --token-file, or set {TOKEN}.")
    return _checked(getpass.getpass("API token (it is not shown): "))


def _of_file(path: Path) -> str:
    try:
        if path.stat().st_mode & OTHERS:
            raise CommandError(f"{path} can be read by others: chmod 600 {path}")
        return path.read_text()
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None


def _checked(text: str) -> str:
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise CommandError("That is no token. Make one: manage.py apitoken create --user NAME --scope trade")
    return token
