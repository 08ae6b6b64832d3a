"""Compares accounts with their venues now and says what differs; it changes nothing at a venue."""

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from apps.trading.management import asking
from apps.trading.models import Discrepancy, Resolution
from apps.trading.services import reconciling
from apps.trading.services.reconciling import Reconciled

DIFFERS, NO_ANSWER = 1, 3  # exit statuses; 2 is wrong input


class Command(BaseCommand):
    """`manage.py reconcile [--account N] [--json]`; status 1 when differences are open, 3 when a venue is silent."""

    help = "Compare accounts at brokers with their venues: orders, fills, holdings and money."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare which account, and how to answer."""
        parser.add_argument("--account", type=int, help="the account's number; all accounts at brokers without it")
        parser.add_argument("--json", action="store_true", help="answer as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Compare, print and end with a status that says how it went."""
        now = timezone.now
        number = options["account"]
        if number is not None and asking.account(number).instant:
            raise asking.wrong(f"account {number}: it is filled here at once and has no venue to be compared with")
        ids = [number] if number is not None else reconciling.due(now=now(), doubtful=False)
        found = [reconciling.reconcile(account_id, clock=now) for account_id in ids]
        self.stdout.write(_as_json(found) if options["json"] else _as_text(found))
        if any(one.open for one in found):
            raise SystemExit(DIFFERS)
        if any(one.trouble or one.busy for one in found):
            raise SystemExit(NO_ANSWER)


def _open(one: Reconciled) -> list[Discrepancy]:
    return list(Discrepancy.objects.filter(account_id=one.account_id, resolution=Resolution.OPEN).order_by("pk"))


def _as_json(found: list[Reconciled]) -> str:
    rows = [
        {
            **asdict(one),
            "differences": [
                {"id": row.pk, "kind": row.kind, "subject": row.subject, "ours": row.ours, "theirs": row.theirs}
                for row in _open(one)
            ],
        }
        for one in found
    ]
    return json.dumps(rows, indent=2)


def _as_text(found: list[Reconciled]) -> str:
    if not found:
        return "No account is at a broker that has a venue of its own."
    return "\n".join(line for one in found for line in (_sentence(one), *(f"  #{row.pk} {row}" for row in _open(one))))


def _sentence(one: Reconciled) -> str:
    name = f"Account {one.account_id}"
    if one.busy:
        return f"{name} is being compared by somebody else at this moment."
    if one.trouble:
        return f"{name}: no answer. {one.trouble}"
    if one.clean and not one.suspects:
        return f"{name} agrees with its venue."
    seen = f", {one.suspects} seen once: look again in a few seconds" if one.suspects else ""
    return f"{name}: {one.open} differences are open{seen}."
