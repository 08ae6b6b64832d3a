"""`python -m workers.flower`: the queues on a page behind a password, without loading what workers load."""

import os
import sys

from celery import Celery
from django.conf import settings

from workers import queues

PASSWORD = "FLOWER_BASIC_AUTH"  # noqa: S105 - the name of the variable


def main() -> None:
    """Serve the page, on loopback unless told otherwise; without a password nothing is served: exit status 2."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradingsite.settings")
    user, colon, password = os.environ.get(PASSWORD, "").partition(":")
    if not (user and colon and password):
        sys.stderr.write(f"{PASSWORD} is missing: Flower needs USER:PASSWORD there, it shows and steers the workers.\n")
        sys.exit(2)
    # Without Django's answer to Celery and without our tasks: this process only watches the broker.
    app = Celery("flower", fixups=[])
    app.config_from_object("django.conf:settings", namespace="CELERY")
    app.conf.update(imports=(), task_queues=queues.QUEUES)
    # It must not switch on the events of every worker: three messages per task would slow the exits down.
    own = (
        f"--address={settings.FLOWER_HOST}",
        f"--port={settings.FLOWER_PORT}",
        "--persistent=False",
        "--enable-events=False",
    )
    app.start(argv=["flower", *own])


if __name__ == "__main__":
    main()
