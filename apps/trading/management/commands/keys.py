"""Looks after the keys of brokers: lists and checks credentials, makes the key file, changes the key in it."""

import getpass
import json
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError, ProgrammingError
from django.utils import timezone

from apps.domain.errors import Refused, Unavailable
from apps.trading import sealing
from apps.trading.models import Credential
from apps.trading.services import keys, rotating

_ANSWERS = {True: "yes", False: "no", None: "unknown"}


class Command(BaseCommand):
    """`manage.py keys list | check | rotate | create`; no secret is ever printed."""

    help = "List and check the credentials of brokers, and change the key that encrypts them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the four verbs."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|check|rotate|create")
        listing = verbs.add_parser("list", help="List credentials without their secrets.")
        check = verbs.add_parser("check", help="Open every credential and ask its venue what the key may do.")
        check.add_argument("name", nargs="?", help="Only the credentials of this name.")
        check.add_argument("--offline", action="store_true", help="Open them only, ask no venue.")
        rotate = verbs.add_parser("rotate", help="Encrypt everything with a new key; killed midway, run it again.")
        rotate.add_argument(
            "--prepare",
            action="store_true",
            help="Only put the new key into the file; copy the file to your other machines, then rotate.",
        )
        create = verbs.add_parser("create", help="Make the key file of a site that holds no credential yet.")
        for verb in (listing, check, rotate, create):
            verb.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        """Run one verb; whatever is wrong is one clear line."""
        run = {"list": self._list, "check": self._check, "rotate": self._rotate, "create": self._create}[verb]
        try:
            run(options, timezone.now())
        except (Refused, Unavailable) as error:
            raise CommandError(str(error)) from None
        except ProgrammingError as error:
            raise CommandError("The database has no tables for this version: run 'manage.py migrate' first.") from error
        except (OperationalError, InterfaceError) as error:
            raise CommandError(f"The database does not answer: {str(error).strip().splitlines()[0]}") from error

    def _list(self, options: dict[str, Any], now: datetime) -> None:
        rows = [_facts(row) for row in Credential.objects.select_related("owner").prefetch_related("accounts")]
        if options["json"]:
            self.stdout.write(json.dumps({"key_file": str(sealing.path()), "credentials": rows}))
            return
        for row in rows:
            may = f"trade: {_ANSWERS[row['may_trade']]}, withdraw: {_ANSWERS[row['may_withdraw']]}"
            used = f"{row['owner']}: {', '.join(row['accounts']) or 'no account'}"
            self.stdout.write(f"{row['name']:20}  {row['broker']:12}  ...{row['ending']}  {may}  {used}")
        self.stdout.write(f"{len(rows)} credentials, opened by {sealing.path()}")

    def _check(self, options: dict[str, Any], now: datetime) -> None:
        rows = Credential.objects.select_related("owner")
        found = list(rows.filter(name=options["name"]) if options["name"] else rows)
        if options["name"] and not found:
            raise CommandError(f"There is no credential called {options['name']!r}: see 'keys list'.")
        said = [(row, *_outcome(row, now, offline=options["offline"])) for row in found]
        if options["json"]:
            facts = [{"name": row.name, "broker": row.broker, "ok": ok, "said": text} for row, ok, text in said]
            self.stdout.write(json.dumps({"credentials": facts}))
        else:
            for row, ok, text in said:
                self.stdout.write(f"{'ok    ' if ok else 'WRONG '}  {row.name}  {text}")
        wrong = sum(not ok for _, ok, _ in said)
        if wrong:
            raise CommandError(f"{wrong} of {len(said)} credentials cannot be used as they are.")
        if not found and not options["json"]:
            self.stdout.write("There are no credentials.")

    def _rotate(self, options: dict[str, Any], now: datetime) -> None:
        if options["prepare"]:
            made = rotating.prepare()
            self._say(
                options,
                {"made": made},
                f"{'A new key stands' if made else 'A new key stood already'} first in {sealing.path()}. Copy the file "
                "to your other machines, then run 'keys rotate'.",
            )
            return
        done = rotating.rotate(actor=f"{getpass.getuser()} (command line)")
        facts = {"made": done.made, "resealed": done.resealed, "retired": done.retired}
        begun = "" if done.made else " An earlier change of keys was completed."
        text = f"{done.resealed} credentials are sealed with a new key; {done.retired} old keys left {sealing.path()}."
        self._say(options, facts, text + begun)

    def _create(self, options: dict[str, Any], now: datetime) -> None:
        made = rotating.create()
        word = "was made" if made else "is there already; it was left as it is"
        text = f"{sealing.path()} {word}. Keep a copy of it apart from the backups of the database."
        self._say(options, {"made": made, "key_file": str(sealing.path())}, text)

    def _say(self, options: dict[str, Any], facts: dict[str, Any], text: str) -> None:
        self.stdout.write(json.dumps(facts) if options["json"] else text)


def _outcome(row: Credential, now: datetime, *, offline: bool) -> tuple[bool, str]:
    try:
        if offline:
            keys.open_only(row)
            return True, "opens"
        checked = keys.check(row, now=now, actor=f"{getpass.getuser()} (command line)")
    except (Refused, Unavailable) as error:
        return False, str(error)
    row = checked.credential
    rights = f"may trade: {_ANSWERS[row.may_trade]}, may withdraw: {_ANSWERS[row.may_withdraw]}"
    return checked.answered and row.may_trade is not False, f"{rights} {checked.trouble}".strip()


def _facts(row: Credential) -> dict[str, Any]:
    return {
        "name": row.name,
        "owner": row.owner.get_username(),
        "broker": row.broker,
        "address": row.address,
        "ending": row.ending,
        "may_trade": row.may_trade,
        "may_withdraw": row.may_withdraw,
        "checked_at": row.checked_at.isoformat() if row.checked_at else None,
        "accounts": [account.name for account in row.accounts.all()],
    }
