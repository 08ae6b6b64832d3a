"""The remote control as a process: it polls each bot that takes orders, one poller per bot by lease."""

import logging
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import Error, connection

from apps.journal import leases, pulses
from apps.reporting.channels.base import Undeliverable
from apps.reporting.control import bots, updates
from apps.reporting.control.updates import Bot

log = logging.getLogger(__name__)

ROLE: Final = "telegram"
_HUNG_AFTER: Final = timedelta(seconds=60)  # longer than any command takes
_LONGEST_PAUSE: Final = 30.0  # seconds between tries while Telegram is away


class Poller:
    """Asks one bot for what is new, does it, answers; a standby only tries to lead. Lives in a thread of its own."""

    def __init__(self, bot: Bot, *, wait: int = 3, every: float = 1.0) -> None:
        self.bot = bot
        self.facts: dict[str, Any] = {"leads": False, "taken": 0, "trouble": ""}
        self._wait = wait
        self._every = every
        self._failures = 0
        self._stopping = threading.Event()

    def run(self) -> None:
        """Poll until stopped."""
        try:
            while not self._stopping.is_set():
                pause = self._every
                try:
                    pause = self.step()
                except (Error, updates.Fenced) as error:
                    log.warning("polling was cut short: %s", str(error).strip())
                    self._forget()
                self._stopping.wait(pause)
        finally:
            connection.close()  # and with it the lease

    def stop(self) -> None:
        """Stop after what is being done."""
        self._stopping.set()

    def step(self) -> float:
        """Look once, and return the seconds to wait before the next look."""
        if not self._leads():
            return self._every
        try:
            found = updates.fetch(self.bot, wait=self._wait)
            self.facts["taken"] += updates.store(self.bot, found, now=_now())
            while not self._stopping.is_set() and updates.execute_next(self.bot, now=_now()):
                updates.deliver(self.bot, now=_now())
            updates.deliver(self.bot, now=_now())
        except Undeliverable as error:
            self._failures += 1
            self.facts["trouble"] = str(error)[:200]
            asked = error.retry_after.total_seconds() if error.retry_after else 0.0
            grown = self._every * float(2 ** min(self._failures, 10))
            return max(min(grown, _LONGEST_PAUSE), min(asked, 600.0))
        self._failures, self.facts["trouble"] = 0, ""
        return 0.0

    def _leads(self) -> bool:
        bot = self.bot
        if bot.epoch and leases.renew(bot.lease, bot.epoch):
            return True
        self._forget()
        epoch = leases.acquire(bot.lease, hung_after=_HUNG_AFTER)
        if epoch is None:
            return False
        self.bot = replace(bot, epoch=epoch)
        self.facts["leads"] = True
        updates.interrupted(self.bot)
        return True

    def _forget(self) -> None:
        if self.bot.epoch:
            connection.close()  # a lock that may still be held would keep everybody else out
        self.bot = replace(self.bot, epoch=0)
        self.facts["leads"] = False


class Control:
    """Keeps a poller for each bot there is, and gives signs of life."""

    def __init__(self, *, every: float = 2.0) -> None:
        self.started_at = _now()
        self._every = every
        self._stopping = threading.Event()
        self._running: dict[Bot, tuple[Poller, threading.Thread]] = {}

    def run(self) -> None:
        """Poll until stopped."""
        while not self._stopping.is_set():
            try:
                self._keep(bots.listed())
                pulses.beat(ROLE, self.facts(), started_at=self.started_at, now=_now())
            except Error as error:
                log.warning("the bots could not be looked up: %s", str(error).strip())
                connection.close()
            self._stopping.wait(self._every)
        self._keep([])
        connection.close()

    def stop(self) -> None:
        """Stop after what is being done."""
        self._stopping.set()

    def facts(self) -> dict[str, Any]:
        """Return what the process counts."""
        pollers = [poller for poller, _ in self._running.values()]
        return {
            "bots": len(pollers),
            "leading": sum(bool(poller.facts["leads"]) for poller in pollers),
            "taken": sum(int(poller.facts["taken"]) for poller in pollers),
            "trouble": next((poller.facts["trouble"] for poller in pollers if poller.facts["trouble"]), ""),
        }

    def _keep(self, wanted: list[Bot]) -> None:
        """Start what is missing and stop what is not wanted any more."""
        gone = [bot for bot, (_, thread) in self._running.items() if bot not in wanted or not thread.is_alive()]
        for bot in gone:
            self._running[bot][0].stop()
        for bot in gone:
            self._running.pop(bot)[1].join()
        for bot in wanted:
            if bot not in self._running:
                poller = Poller(bot)
                thread = threading.Thread(target=poller.run, name=f"telegram-{bot.channel_id}", daemon=True)
                self._running[bot] = (poller, thread)
                thread.start()


def _now() -> datetime:
    return datetime.now(UTC)
