"""`manage.py calendars`: which market calendars there are, their sessions, and bringing their tables up to date."""

import json
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError, ProgrammingError
from django.utils import timezone

from apps.domain import calendars as rules
from apps.domain import exchanges
from apps.domain.calendars import Calendar, NotCovered, Session
from apps.market import calendars
from apps.market.calendars import standing
from apps.market.calendars.standing import Standing

SHOWN_DAYS = 10


class Command(BaseCommand):
    """`refresh` reads the calendar library; the other verbs only the table."""

    help = "List market calendars, show their sessions, and bring their tables up to date."
    requires_system_checks = ()  # they load every page of the site, which takes a second

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the three verbs."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|show|refresh")
        listing = verbs.add_parser("list", help="List calendars with the state of their tables.")
        listing.add_argument("--used", action="store_true", help="Only those that instruments or the timetable go by.")
        listing.add_argument("--check", action="store_true", help="Exit with 1 when one in use needs a refresh.")
        show = verbs.add_parser("show", help="Show sessions in the exchange's time and in UTC.")
        show.add_argument("calendar", metavar="NAME", help="Like XNYS, NASDAQ or 24/7.")
        show.add_argument("--since", type=_day, metavar="YYYY-MM-DD", help="First day; today when left out.")
        show.add_argument(
            "--until", type=_day, metavar="YYYY-MM-DD", help="Day after the last; ten days when left out."
        )
        refresh = verbs.add_parser(
            "refresh", help="Read the library and mend the tables; repeating it changes nothing."
        )
        refresh.add_argument("calendar", nargs="*", metavar="NAME", help="Those in use when left out.")
        refresh.add_argument("--all", action="store_true", dest="everything", help="Every known calendar.")
        for verb in (listing, show, refresh):
            verb.add_argument("--json", action="store_true", help="Print JSON.")

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        """Run one verb; what is wrong is one clear line."""
        run: Callable[[dict[str, Any], datetime], None]
        run = {"list": self._list, "show": self._show, "refresh": self._refresh}[verb]
        try:
            run(options, timezone.now())
        except (exchanges.UnknownCalendar, NotCovered) as error:
            raise CommandError(str(error)) from error
        except ProgrammingError as error:
            raise CommandError("The database has no tables for this version: run 'manage.py migrate' first.") from error
        except (OperationalError, InterfaceError) as error:
            raise CommandError(f"The database does not answer: {str(error).strip().splitlines()[0]}") from error

    def _list(self, options: dict[str, Any], now: datetime) -> None:
        found = [each for each in standing.standings(now) if each.used or not options["used"]]
        if options["json"]:
            self.stdout.write(json.dumps([asdict(each) for each in found], default=str))
        else:
            for each in found:
                self.stdout.write(_as_line(each))
        bad = [each.name for each in found if each.needs_refresh]
        if options["check"] and bad:
            raise CommandError(f"{', '.join(bad)} need 'manage.py calendars refresh'.")

    def _show(self, options: dict[str, Any], now: datetime) -> None:
        calendar = calendars.of(options["calendar"])
        since = options["since"] or now.astimezone(ZoneInfo(calendar.zone)).date()
        until = options["until"] or since + timedelta(days=SHOWN_DAYS)
        reach = calendar.reach
        if not reach.first_day <= since < until <= reach.last_day + rules.DAY:
            known = f"calendar {calendar.name} is known from {reach.first_day} to {reach.last_day}"
            raise NotCovered(calendar.name, f"{known}, not from {since} up to {until}")
        found = calendar.sessions(since, until)
        if options["json"]:
            facts = [{"calendar": calendar.name, **asdict(session)} for session in found]
            self.stdout.write(json.dumps(facts, default=_iso))
            return
        self.stdout.write(f"{calendar.name}, times of {calendar.zone}")
        for session in found:
            self.stdout.write(_session_line(calendar, session))

    def _refresh(self, options: dict[str, Any], now: datetime) -> None:
        # The library weighs 80 MB: only this verb pays for it.
        from apps.market.calendars import refresh

        names = exchanges.ZONES if options["everything"] else options["calendar"] or standing.in_use()
        done = refresh.refresh(names, now)
        if options["json"]:
            self.stdout.write(json.dumps([asdict(each) for each in done], default=str))
            return
        for each in done:
            did = f"{each.added} added, {each.changed} changed, {each.removed} removed"
            self.stdout.write(
                f"{each.calendar:11} {each.sessions} sessions, {each.first_day} to {each.last_day}: {did}"
            )
            if not each.whole:
                self.stderr.write(
                    f"{each.calendar} is announced no further; a newer exchange-calendars will know more."
                )


def _as_line(each: Standing) -> str:
    reach = f"{each.first_day} to {each.last_day}" if each.first_day else "-"
    counts = f"{each.sessions:5} sessions, {each.early_closes:3} early closes"
    return f"{each.name:11} {each.zone:31} {each.state:12} {'used' if each.used else '':5} {reach:24} {counts}"


def _session_line(calendar: Calendar, session: Session) -> str:
    zone = ZoneInfo(calendar.zone)
    words = [f"{session.day:%a %Y-%m-%d}"]
    if session.pre_opens_at:
        words.append(f"pre {session.pre_opens_at.astimezone(zone):%H:%M}")
    words += [
        f"{since.astimezone(zone):%H:%M}-{until.astimezone(zone):%H:%M} ({since:%H:%M}-{until:%H:%M} UTC)"
        for since, until in session.spans()
    ]
    if session.post_closes_at:
        words.append(f"post {session.post_closes_at.astimezone(zone):%H:%M}")
    return "  ".join([*words, "early close"] if session.early_close else words)


def _iso(value: date | datetime) -> str:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value.isoformat()


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a day; write it like 2026-11-27") from None
