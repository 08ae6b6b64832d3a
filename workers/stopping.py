"""Runs a process of ours from its beginning to its end: tables that fit, the configuration, and why it ended."""

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection

from apps.ops import schema, stopping
from apps.ops.configuration import following

STATUS: Final = 2  # of a process that refuses to begin: trying again changes nothing

log = logging.getLogger(__name__)


class Story:
    """What is known of the process's end: a failure that was noticed inside, in words."""

    def __init__(self) -> None:
        self.failure = ""


def unfit() -> str:
    """Say why this process must not begin, and apply the configuration if it may. A silent database is no reason."""
    try:
        wrong = schema.mismatch()
        if not wrong:
            following.follow()
    except DatabaseError as error:
        log.warning("%s", schema.say_unknown(error))
        connection.close()
        return ""
    return wrong


def refuse_unfit(process: str) -> None:
    """End with one line when the tables are not those of this code."""
    wrong = unfit()
    if wrong:
        log.critical("%s does not start. %s", process, wrong)
        raise SystemExit(STATUS)


@contextlib.contextmanager
def told(process: str, stop: Callable[[], object]) -> Iterator[Story]:
    """Run the body until a signal calls `stop`, then say why it ended. Refuses to begin on tables of other code."""
    refuse_unfit(process)
    story, started_at = Story(), stopping.now()
    stopping.heed(then=stop)
    try:
        yield story
    finally:
        error = sys.exc_info()[1]
        failed = f"it failed: {type(error).__name__}: {error}" if error else ""
        say(process, started_at, story.failure or failed)


def of_web(
    inside: Callable[..., Any], alive: Callable[[], contextlib.AbstractContextManager[None]]
) -> Callable[..., Any]:
    """Wrap the life of the web process: it refuses to begin on other tables, and says why it ended.

    `alive` shows that it lives meanwhile.
    """

    async def lifespan(scope: Any, receive: Any, send: Any) -> None:
        wrong = await sync_to_async(_unfit_once)()
        if wrong:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": f"web does not start. {wrong}"})
            return
        started_at = stopping.now()
        stopping.heed()
        with alive():
            await inside(scope, receive, send)
        say("web", started_at, "")

    return lifespan


def _unfit_once() -> str:
    """Ask on a connection that is not kept."""
    try:
        return unfit()
    finally:
        connection.close()


def say(process: str, started_at: datetime, failure: str = "") -> None:
    """Say why the process ends."""
    now = stopping.now()
    stopping.record(process, stopping.explain(now, failure), started_at=started_at, now=now)
