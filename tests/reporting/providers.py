"""Providers on loopback: real servers that answer as they are told and remember what they got."""

import contextlib
import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, dict[str, str], bytes]


@dataclass
class Asked:
    """One request that arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Web:
    """A provider reached by HTTP; `answer` decides what each request gets: a reply, or None for a broken line."""

    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    answer: Callable[[Asked], Reply | None] = lambda _: (200, {}, b"{}")
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def ok(value: Any = None) -> Reply:
    return 200, {"Content-Type": "application/json"}, json.dumps(value if value is not None else {}).encode()


def status(code: int, value: Any = None, **headers: str) -> Reply:
    return code, headers, json.dumps(value if value is not None else {}).encode()


@contextlib.contextmanager
def web() -> Iterator[Web]:
    """Run a provider on a free port of loopback."""
    made = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.connections += 1
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = Asked(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            made.asked.append(asked)
            reply = made.answer(asked)
            if reply is None:  # the request was taken, the answer is lost
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            code, headers, text = reply
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.port = server.server_address[1]
    with _serving(server):
        yield made


@dataclass
class Post:
    """A mail server; `codes` are answered to the steps named: mail, rcpt, data, end."""

    port: int = 0
    mails: list[str] = field(default_factory=list)
    codes: dict[str, str] = field(default_factory=dict)
    drop_after_data: bool = False


class _Mailing(socketserver.StreamRequestHandler):
    """One conversation with the mail server."""

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())

    def handle(self) -> None:
        made: Post = self.server.made
        self.say("220 loopback")
        for raw in self.rfile:
            word = raw.decode().strip().partition(" ")[0].partition(":")[0].lower()
            if word == "quit":
                self.say("221 bye")
                return
            if word == "data":
                self.say("354 go on")
                made.mails.append(self.letter())
                if made.drop_after_data:
                    return
                word = "end"
            self.say(made.codes.get(word, "250 ok"))

    def letter(self) -> str:
        lines = iter(self.rfile.readline, b".\r\n")
        return "".join(line.decode() for line in lines)


@contextlib.contextmanager
def post() -> Iterator[Post]:
    """Run a mail server on a free port of loopback."""
    made = Post()

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    server = Server(("127.0.0.1", 0), _Mailing)
    server.made = made
    made.port = server.server_address[1]
    with _serving(server):
        yield made


@contextlib.contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
