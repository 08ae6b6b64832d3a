"""What tests of notifications are made of: a clock, channels, routes, events, and the work of a while."""

from datetime import UTC, datetime, timedelta
from typing import Any

from apps.access.models import User
from apps.journal import services as journal
from apps.reporting.models import Channel, Delivery, Route
from apps.reporting.services import dispatching, following, gathering, keeping, sending
from apps.reporting.services.keeping import NewChannel

SECRET = "a secret of the webhook 4711"
TOKEN = "12345678:canary-token-of-the-bot-AbCdEfGh"


class Clock:
    """An instant that moves when told."""

    def __init__(self) -> None:
        self.at = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.at

    def move(self, **span: float) -> datetime:
        self.at += timedelta(**span)
        return self.at


def webhook(owner: User, url: str, *, name: str = "hook", per_minute: int = 100_000) -> Channel:
    given = {"url": f"{url}/in", "secret": SECRET}
    wanted = NewChannel(name=name, kind="webhook", owner_id=owner.pk, given=given, per_minute=per_minute)
    return keeping.store(wanted, actor=owner.username)


def telegram(owner: User, address: str, *, name: str = "bot", chat: str = "77") -> Channel:
    given = {"token": TOKEN, "chat": chat, "address": address}
    return keeping.store(NewChannel(name=name, kind="telegram", owner_id=owner.pk, given=given, per_minute=100_000))


def route(channel: Channel, person: User, **more: Any) -> Route:
    values = {"name": f"route {Route.objects.count()}", "severity": "info", **more}
    return Route.objects.create(channel=channel, person=person, **values)


def begin(clock: Clock) -> None:
    """Begin to follow the journal here."""
    following.begin(clock())


def say(kind: str = "feed.switched", subject: str = "instrument:1", account: int | None = None, **payload: Any) -> int:
    return journal.record(kind, subject, account_id=account, payload=payload)


def work(clock: Clock, *, seconds: float = 5.0) -> sending.Sent:
    """Do what the task does."""
    while dispatching.dispatch(clock()).more:
        pass
    gathering.release(clock())
    return sending.send_due(clock, seconds=seconds)


def statuses() -> list[str]:
    return [row.status for row in Delivery.objects.order_by("id")]


def controlled(owner: User, address: str, *, name: str = "control") -> Channel:
    """Store a bot that takes orders."""
    given = {"token": TOKEN, "chat": "77", "address": address, "control": "yes"}
    return keeping.store(NewChannel(name=name, kind="telegram", owner_id=owner.pk, given=given))
