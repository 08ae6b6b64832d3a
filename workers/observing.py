"""What is seen of workers: every line says which request and task it belongs to, tasks are counted, canaries fly.

Celery imports this module in workers and beat once Django is set up (`CELERY_IMPORTS`); the web process imports it for
the tasks it sends.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import AbstractContextManager
from contextvars import Token
from typing import Any, Final, NamedTuple

from celery import signals
from django.db import Error, InterfaceError, close_old_connections, connection
from django.utils import timezone

from apps.journal import tallies
from apps.ops.logs import context, keeping
from apps.ops.telemetry import middleware, tracing
from apps.web import checking
from workers import bell, canary, queues
from workers.pulse import Pulse
from workers.tallying import Tallies, counted

SENT_AT: Final = "sent_at"
EVERY: Final = 5.0  # seconds between two times that counts are written down

logger = logging.getLogger(__name__)
_tallies: list[Tallies] = []
_threads: list["Observer"] = []


class Running(NamedTuple):
    """A task that runs in this process: what is bound and traced for it, when it began, how long it had waited."""

    token: Token[Any]
    traced: AbstractContextManager[None]
    began: float
    waited: float | None


_running: dict[str, Running] = {}  # by the task's id


@signals.before_task_publish.connect
@signals.before_task_publish.connect
def mark(headers: MutableMapping[str, Any] | None = None, **_event: Any) -> None:
    """Send along what a task belongs to and when it was sent; a task begins a story of its own if nobody has begun."""
    if headers is not None:
        headers[context.REQUEST_ID] = context.current().get(context.REQUEST_ID) or str(headers.get("id", ""))
        headers[SENT_AT] = time.time()
        tracing.send_along(headers)


@signals.celeryd_after_setup.connect
def prepare(instance: Any, **_event: Any) -> None:
    """Before the children are there: make the memory in which they count."""
    _tallies[:] = [Tallies(instance.app.tasks)]


@signals.task_prerun.connect
def begin(task_id: str, task: Any, **_event: Any) -> None:
    """Let lines say which task they are of, and look at the clock."""
    request = task.request
    token = context.begin(
        request_id=context.identifier(str(request.get(context.REQUEST_ID) or task_id)), task=task.name, task_id=task_id
    )
    sent_at = request.get(SENT_AT)
    waited = max(time.time() - sent_at, 0.0) if isinstance(sent_at, int | float) else None
    traced = tracing.span(task.name, {"traceparent": request.get("traceparent") or ""}, {"celery.task_id": task_id})
    traced.__enter__()
    _running[task_id] = Running(token, traced, time.perf_counter(), waited)


@signals.task_postrun.connect
def end(task_id: str, task: Any, state: str | None = None, **_event: Any) -> None:
    """Count the task that has ended."""
    known = _running.pop(task_id, None)
    if known is None:
        return
    known.traced.__exit__(None, None, None)
    context.end(known.token)
    if task.name == canary.TASK:  # it says how long every queue takes by itself, and belongs to none
        return
    for each in _tallies:
        ran = time.perf_counter() - known.began
        each.count(task.name, ran=ran, waited=known.waited, failed=state not in {"SUCCESS", "RETRY", "IGNORED"})


@contextlib.contextmanager
def of_web() -> Iterator[None]:
    """Let the web process show that it lives, from its beginning to its end."""
    pulse = Pulse("web", middleware.counts)
    pulse.start()
    try:
        yield
    finally:
        pulse.stop()


@signals.worker_process_shutdown.connect
def leave(**_event: Any) -> None:
    """A child ends without telling anybody: what it has logged is written first."""
    keeping.flush()


@signals.worker_ready.connect
def watch(sender: Any, **_event: Any) -> None:
    """Begin to write counts down and to send canaries, in a thread of the worker's parent process."""
    for each in _tallies:
        observer = Observer(each, sorted(sender.app.amqp.queues.consume_from))
        _threads.append(observer)
        observer.start()


@signals.worker_shutdown.connect
def stop_watching(**_event: Any) -> None:
    """End with the worker."""
    while _threads:
        _threads.pop().stop()


class Observer:
    """The thread of a worker that writes its counts down and sends its canaries; what fails there hurts no task."""

    def __init__(self, counts: Tallies, names: Iterable[str]) -> None:
        self._counts = counts
        self._names = [name for name in names if name in queues.NAMES]
        self._breaker = bell.Breaker()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)
        self._failing: set[str] = set()

    def start(self) -> None:
        """Begin, with the first canaries after one pause."""
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> None:
        """Write the last counts down and end; waits `timeout` seconds at most."""
        self._ended.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        self._try("looking at the servers", self._look_at_servers)
        while not self._ended.wait(EVERY):
            self._try("sending canaries", lambda: canary.send_due(self._names, timezone.now(), self._breaker))
            self._try("counting tasks", self.tell)
        self._try("counting tasks", self.tell)
        connection.close()

    def tell(self) -> None:
        """Write down what was counted since the last time."""
        sums, fresh = self._counts.news()
        tallies.add(counted(name, queues.of(name), part) for name, part in fresh.items())
        self._counts.told(sums)

    def _look_at_servers(self) -> None:
        for check in checking.at_start(timezone.now()):
            if not check.ok:
                logger.error("This worker started although %s is not as it should be: %s", check.name, check.seen)

    def _try(self, what: str, act: Callable[[], object]) -> None:
        close_old_connections()
        try:
            act()
            self._failing.discard(what)
        except (Error, InterfaceError) as error:
            if what not in self._failing:
                logger.warning("%s failed, it is tried again: %s", what, str(error).strip())
            self._failing.add(what)
