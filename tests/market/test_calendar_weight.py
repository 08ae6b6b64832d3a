"""The calendar library and pandas weigh 80 MB: no process that serves, watches or schedules may carry them."""

import subprocess
import sys

HEAVY = {"pandas", "exchange_calendars"}
LIGHT = (
    "apps.market.calendars",
    "apps.market.calendars.standing",
    "apps.market.management.commands.calendars",
    "tradingsite.asgi",
    "tradingsite.urls",
    "tradingsite.celery",
    "workers.tasks.market",
    "workers.tasks.ops",
    "workers.tasks.trading",
    "workers.listener.process",
    "workers.sweeper",
    "workers.timetable",
)
ASK = f"""
import importlib, sys, django
django.setup()
for module in sys.argv[1:]:
    importlib.import_module(module)
    if {HEAVY!r} & set(sys.modules):
        sys.exit(f"{{module}} brings the calendar library")
"""


def imported(*modules: str) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-c", ASK, *modules]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)


def test_no_process_comes_with_the_calendar_library() -> None:
    done = imported(*LIGHT)
    assert done.returncode == 0, done.stderr


def test_only_the_refresh_brings_it() -> None:
    done = imported("apps.market.calendars", "apps.market.calendars.refresh")
    assert "apps.market.calendars.refresh brings the calendar library" in done.stderr
