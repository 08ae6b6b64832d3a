"""The tables of both histories brought to this code, and the timetable's missing rows; run as `python -m`."""

import os

import django
from django.core.management import call_command


def main() -> None:
    """Migrate."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradingsite.settings")
    django.setup()
    # Imported here because models want Django set up.
    from apps.ops import first_run

    first_run.migrate()
    call_command("timetable", verbosity=0, stdout=open(os.devnull, "w"))  # noqa: SIM115 - ends with the process


if __name__ == "__main__":
    main()
