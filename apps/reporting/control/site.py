"""Commands about the site itself: is it well, which version, what is understood."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

from django.conf import settings

from apps.journal import pulses
from apps.reporting.control.contract import Answer, Asked, Command
from apps.reporting.models import Delivery, DeliveryStatus
from apps.trading import selectors

_ALIVE: Final = timedelta(seconds=10)


def health(asked: Asked) -> Answer:
    """Say which processes are alive, what waits, and what could not be delivered."""
    alive = pulses.alive("", now=asked.now, within=_ALIVE)
    waiting = selectors.exits_waiting()
    deliveries = Delivery.objects.filter(status=DeliveryStatus.WAITING, due_at__lte=asked.now).count()
    dead = Delivery.objects.filter(status=DeliveryStatus.DEAD).count()
    lines = [
        f"{len(alive)} processes: {', '.join(sorted({row.name for row in alive})) or 'none'}",
        f"Exits waiting: {waiting.exits}",
        f"Messages waiting: {deliveries}, given up: {dead}",
    ]
    if not any(row.name == "sweeper" for row in alive):
        lines.append("The sweeper gives no sign of life: look at once.")
    return Answer(text="\n".join(lines))


def version(asked: Asked) -> Answer:
    """Say which version runs, and whether it may move real money."""
    text = (Path(settings.BASE_DIR) / "pyproject.toml").read_text()
    found = next((line.split('"')[1] for line in text.splitlines() if line.startswith("version = ")), "unknown")
    money = "Real money may be moved." if settings.LIVE_TRADING else "Paper only: no real money is moved."
    return Answer(text=f"Version {found} on {settings.HOST_NAME}, {settings.ENVIRONMENT}. {money}")


def reload(asked: Asked) -> Answer:
    """Say that there is nothing to reload: rows are read anew for each piece of work."""
    return Answer(
        text="Limits, routes, words, channels and strategies are read anew for each piece of work: what was saved "
        "counts already. The bots are looked up again now. What the environment says needs a restart."
    )


def help_of(commands: Mapping[str, Command], asked: Asked) -> Answer:
    """List what this person may ask for."""
    may = [each for each in commands.values() if not each.permission or asked.person.has_perm(each.permission)]
    lines = [f"/{each.name} {each.help}" for each in may]
    return Answer(text="\n".join([*lines, "/yes <code> carries out what asked back, /no drops it"]))


def commands() -> Iterable[Command]:
    """Return the commands of this page."""
    return (
        Command(name="health", help="which processes are alive and what waits", run=health),
        Command(name="version", help="which version runs", run=version),
        Command(name="reload", help="look up the bots again", run=reload, permission="reporting.change_channel"),
    )
