"""Start the whole site and look after it until told to stop."""

import json
import signal
import sys
import threading
import time
from argparse import ArgumentTypeError
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error, connection
from rich.console import Console
from rich.live import Live

from apps.ops import first_run, last_words, screen, servers, stopping, tally
from apps.ops.supervisor import AlreadyRunning, only_one
from apps.ops.up import NotReady, Site

_LOOK_EVERY = 1.0
_SUMMARY_WITHIN = 15.0
_LINE_EVERY = 5.0


class Command(BaseCommand):
    """`manage.py up`, what `make run` calls."""

    help = "Start servers, migrations, first-run data and every process; show what happens; Ctrl-C stops everything."
    requires_system_checks = ()  # they load every page of the site, which takes a second

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the unattended form."""
        parser.add_argument("--headless", action="store_true", help="no status page")
        parser.add_argument("--for", dest="seconds", type=_seconds, help="stop by itself after so many seconds")
        parser.add_argument("--json", action="store_true", help="end with one JSON object on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the site."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _interrupt)
        stopping.heed()
        try:
            with only_one(Path(settings.VAR) / "up.lock") as claim, servers.hold() as found:
                self._run(Site(found, claim, self._say), options)
        except (AlreadyRunning, NotReady) as error:
            raise CommandError(str(error)) from error
        except Error as error:
            first = (str(error).strip().splitlines() or ["no reason given"])[0]
            raise CommandError(f"The database cannot be used: {first}") from error

    def _run(self, site: Site, options: dict[str, Any]) -> None:
        summary: dict[str, Any] | None = None
        try:
            with site:
                self._greet(site)
                ready = site.wait_until_ready()
                self._say(f"Ready in {ready:.1f} s.")
                deadline = time.monotonic() + options["seconds"] if options["seconds"] else None
                try:
                    self._watch(site, ready, deadline, calm=options["headless"] or not sys.stderr.isatty())
                finally:
                    last_words.of_site(site.started_at, datetime.now(UTC), over=deadline is not None)
                    if options["json"] or options["seconds"]:
                        summary = _summary(site, ready)
                    self._say("Stopping ...")
        except KeyboardInterrupt:
            self._say("Stopped.")
        self._end(summary, options)

    def _end(self, summary: dict[str, Any] | None, options: dict[str, Any]) -> None:
        if summary is None:
            return
        if options["json"]:
            self.stdout.write(json.dumps(summary))
        else:
            for key, value in summary.items():
                self._say(f"{key}: {value}")
        if summary["missed"] or summary["doubled"] or not summary["books_balanced"]:
            raise SystemExit(1)

    def _watch(self, site: Site, ready: float, deadline: float | None, *, calm: bool) -> None:
        if calm:
            self._watch_lines(site, deadline)
            return
        console = Console(stderr=True)
        with Live(console=console, auto_refresh=False, screen=False) as live:
            for seen in _looks(site, deadline):
                live.update(screen.page(site, seen, ready), refresh=True)

    def _watch_lines(self, site: Site, deadline: float | None) -> None:
        due = time.monotonic()
        for seen in _looks(site, deadline):
            if time.monotonic() >= due:
                due += _LINE_EVERY
                self._say(screen.line(seen))

    def _greet(self, site: Site) -> None:
        prepared = site.prepared
        assert prepared is not None
        for note in prepared.notes:
            self._say(f"Note: {note}")
        if prepared.password:
            self._say(f"First start. Sign in as {first_run.ADMIN!r} with the password {prepared.password!r}")
            self._say("(shown this once; change it with `manage.py changepassword admin`).")
        self._say(f"Starting {len(list(site.children()))} processes; the site will be at {site.doors.site}/admin/")

    def _say(self, text: str) -> None:
        self.stderr.write(text)


def _looks(site: Site, deadline: float | None) -> Iterator[tally.Tally]:
    """Look after the site and yield every second what is known; a database that is away costs looks, never the site."""
    observer = _Observer(site)
    observer.start()
    due = 0.0
    while deadline is None or time.monotonic() < deadline:
        site.tick()
        if time.monotonic() >= due and observer.seen is not None:
            due = time.monotonic() + _LOOK_EVERY
            yield observer.seen
        time.sleep(0.1)


class _Observer(threading.Thread):
    """Asks the database in a thread of its own: an unanswered question must not keep a child from its restart."""

    def __init__(self, site: Site) -> None:
        super().__init__(name="observer", daemon=True)
        self.seen: tally.Tally | None = None
        self._site = site
        self._since = site.started_at
        self._restarts: dict[str, int] = {}

    def run(self) -> None:
        """Look every second for as long as the process lives."""
        while True:
            try:
                self.seen = tally.since(self._since)
                self._tell_of_restarts()
            except Error:
                connection.close()
            time.sleep(_LOOK_EVERY)

    def _tell_of_restarts(self) -> None:
        """Write down which processes died and were started again, and how they ended."""
        for child in self._site.children():
            if child.restarts > self._restarts.get(child.name, 0):
                last_words.of_child(child)
            self._restarts[child.name] = child.restarts


def _summary(site: Site, ready: float) -> dict[str, Any]:
    """Ask for the summary, again while a database that just went away is being started anew."""
    deadline = time.monotonic() + _SUMMARY_WITHIN
    while True:
        try:
            return site.summary(ready)
        except Error:
            connection.close()
            if time.monotonic() > deadline:
                raise
        site.tick()
        time.sleep(0.1)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e7:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above 0, like 60")
    return value


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
