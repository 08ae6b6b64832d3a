"""The process that runs plug-ins: `python -m apps.strategies.host FD`, started by the pool, answers until FD closes."""

import resource
import signal
import socket
import sys

from apps.domain.strategies.registry import STRATEGIES
from apps.strategies.host import asking, wire

MEMORY = 2 << 30  # bytes of data a plug-in may hold before its own allocation fails


def serve(link: socket.socket) -> None:
    """Answer one question after another."""
    STRATEGIES.names()  # plug-ins are imported before the first question, which has a time limit
    wire.send(link, {"ready": True})
    while True:
        try:
            told, markets = wire.receive(link)
        except (EOFError, ConnectionError):
            return
        # Whoever asked kills us when the time is up. Should it be gone by then, the kernel does: this works even when
        # compiled code hangs and no Python line is ever reached again.
        signal.setitimer(signal.ITIMER_REAL, float(told["seconds"]) + 1.0)
        answer = asking.answer(told, markets)
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        wire.send(link, answer)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    serve(socket.socket(fileno=int(sys.argv[1])))
