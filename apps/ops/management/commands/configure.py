"""Show what may change while the site runs, change it, and see who runs it."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from getpass import getuser
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.domain.errors import Refused
from apps.ops.configuration import following, services, standing
from apps.ops.configuration.models import ConfigurationVersion
from apps.ops.configuration.options import OPTIONS, Option
from apps.ops.configuration.standing import Confirmed

LOOK_EVERY: Final = 0.25
HISTORY: Final = 50


class Command(BaseCommand):
    """`manage.py configure EXIT_BATCH=500 --reason "..."`; status 1 when refused or not confirmed in time."""

    help = "Show the settings that may change while the site runs; change them; say which process runs which version."
    requires_system_checks = ()  # they load every page of the site, which takes a second

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what is changed and what is shown."""
        parser.add_argument("values", nargs="*", metavar="NAME=VALUE", help="what to set; nothing shows what is set")
        parser.add_argument("--unset", nargs="+", default=[], metavar="NAME", help="go back to environment or default")
        parser.add_argument("--reason", default="", help="why, for the history; needed for a change")
        parser.add_argument("--version-seen", type=int, help="change nothing when another version is in force")
        parser.add_argument("--wait", type=float, default=0.0, metavar="SECONDS", help="until every process confirmed")
        parser.add_argument("--status", action="store_true", help="say which process runs which version")
        parser.add_argument("--history", action="store_true", help="say who changed what, when and why")
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Change, wait and show as asked."""
        asked = _asked(options["values"], options["unset"])
        if asked:
            self._change(asked, options)
        following.follow()
        confirmed = self._confirmed(options["wait"])
        answer = _answer(confirmed, history=options["history"])
        if options["json"]:
            self.stdout.write(json.dumps(answer))
        else:
            self.stdout.write("\n".join(_told(answer, options, changed=bool(asked))))
        if options["wait"] and confirmed.behind:
            raise SystemExit(1)

    def _change(self, asked: dict[str, str | None], options: dict[str, Any]) -> None:
        try:
            row = services.change(
                asked,
                actor=f"{getuser()} (command line)",
                reason=options["reason"],
                now=datetime.now(UTC),
                seen=options["version_seen"],
            )
        except Refused as refusal:
            raise CommandError("\n".join(f"{each}." for each in refusal.problems)) from refusal
        self.stderr.write(f"Version {row.version} is stored.")

    def _confirmed(self, seconds: float) -> Confirmed:
        deadline = time.monotonic() + seconds
        while (found := standing.look(datetime.now(UTC))).behind and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY)
        return found


def _asked(values: Sequence[str], unset: Sequence[str]) -> dict[str, str | None]:
    asked: dict[str, str | None] = dict.fromkeys(unset)
    for word in values:
        name, equals, value = word.partition("=")
        if not equals:
            raise CommandError(f"{word!r} is not NAME=VALUE.")
        asked[name] = value
    return asked


def _answer(confirmed: Confirmed, *, history: bool) -> dict[str, Any]:
    row = services.newest()
    chosen = row.chosen if row else {}
    return {
        "version": confirmed.version,
        "confirmed": not confirmed.behind,
        "processes": [
            {"name": each.name, "host": each.host, "pid": each.pid, "version": each.version}
            for each in confirmed.processes
        ],
        "options": [_option(option, chosen) for option in OPTIONS],
        **({"history": [_history(each) for each in ConfigurationVersion.objects.all()[:HISTORY]]} if history else {}),
    }


def _option(option: Option, chosen: dict[str, str]) -> dict[str, str]:
    source = settings.PINNED.get(option.name) or ("database" if option.name in chosen else "default")
    return {
        "name": option.name,
        "value": option.write(option.now()),
        "source": source,
        "allowed": option.allowed,
        "group": option.group,
        "meaning": option.meaning,
    }


def _history(row: ConfigurationVersion) -> dict[str, Any]:
    told = {"version": row.version, "at": row.at.isoformat(), "actor": row.actor, "reason": row.reason}
    return {**told, "changes": row.changes}


def _told(answer: dict[str, Any], options: dict[str, Any], *, changed: bool) -> list[str]:
    lines = [f"Version {answer['version']} is in force."]
    if options["history"]:
        for each in answer["history"]:
            what = ", ".join(
                f"{name} {old or 'unset'} -> {new or 'unset'}" for name, (old, new) in each["changes"].items()
            )
            lines.append(f"{each['version']:>5}  {each['at'][:19]}  {each['actor']}: {what}. {each['reason']}")
    if options["status"] or changed:
        lines += [_process(each, answer["version"]) for each in answer["processes"]]
        lines.append(_verdict(answer))
    if not (changed or options["status"] or options["history"]):
        lines += [
            f"{each['name']:24} {each['value']:14} {each['source']:12} {each['allowed']}" for each in answer["options"]
        ]
    return lines


def _process(each: dict[str, Any], wanted: int) -> str:
    runs = "knows no versions" if each["version"] is None else f"runs version {each['version']}"
    return f"{'ok' if each['version'] == wanted else 'BEHIND':7} {each['name']:32} {each['host']}:{each['pid']} {runs}"


def _verdict(answer: dict[str, Any]) -> str:
    if not answer["processes"]:
        return "No process of the site runs."
    return "Every process confirmed it." if answer["confirmed"] else "Not every process has confirmed it yet."
