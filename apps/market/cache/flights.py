"""Loading a value once for all threads that want it at the same moment, so that a busy key does not stampede."""

from collections.abc import Callable
from concurrent.futures import Future, TimeoutError
from threading import Lock
from typing import Any

PATIENCE = 1.0  # seconds; who waited longer for another thread's load loads for itself


class Flights:
    """The loads that are under way in this process, by key."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._under_way: dict[str, Future[Any]] = {}

    def load(self, key: str, load: Callable[[], Any]) -> Any:
        """Return what `load` returns, or what it returned to a thread that came first; an error is for every waiter."""
        with self._lock:
            flight = self._under_way.get(key)
            mine: Future[Any] = Future()
            if flight is None:
                self._under_way[key] = mine
        if flight is None:
            return self._fly(key, mine, load)
        try:
            return flight.result(PATIENCE)
        except TimeoutError:
            return load()

    def abandon(self) -> None:
        """Let later callers load anew: what is under way may have been read before something was forgotten."""
        with self._lock:
            self._under_way.clear()

    def _fly(self, key: str, mine: "Future[Any]", load: Callable[[], Any]) -> Any:
        try:
            mine.set_result(load())
        except BaseException as error:  # told to the waiters, then raised as it came
            mine.set_exception(error)
            raise
        finally:
            with self._lock:
                if self._under_way.get(key) is mine:
                    del self._under_way[key]
        return mine.result()
