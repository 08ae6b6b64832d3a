"""Errors reach Sentry masked, spans reach a collector, and without their settings neither is even loaded."""

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from apps.ops.telemetry import loading, sentry, tracing
from apps.trading import masking

ROOT = Path(__file__).parents[2]
TRACE = "0af7651916cd43dd8448eb211c80319c"
SECRET = "a-secret-of-the-venue-0815-4711"
PROCESS = f"""
import json, logging, sys
import django
django.setup()
from django.http import HttpResponse
from django.test import RequestFactory
from apps.ops.telemetry import middleware, tracing
from apps.trading import masking
masking.register("{SECRET}")
sent = {{}}

def answer(request):
    tracing.send_along(sent)
    try:
        raise ValueError("refused with {SECRET}")
    except ValueError:
        logging.getLogger("apps.example").exception("It failed with %s", "{SECRET}")
    return HttpResponse("fine")

told = {{"x-request-id": "of-the-test", "traceparent": "00-{TRACE}-b7ad6b7169203331-01"}}
asked = RequestFactory().get("/desk/", headers=told)
middleware.RequestId(answer)(asked)
if "sentry_sdk" in sys.modules:
    sys.modules["sentry_sdk"].flush(20)
print(json.dumps({{**sent, "loaded": sorted(n for n in ("sentry_sdk", "opentelemetry") if n in sys.modules)}}))
"""


class Inbox(ThreadingHTTPServer):
    """Takes whatever is posted."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taker)
        self.posts: list[tuple[str, bytes]] = []

    def of(self, path: str) -> bytes:
        return b"".join(body for where, body in self.posts if path in where)


class _Taker(BaseHTTPRequestHandler):
    server: Inbox

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.posts.append((self.path, body))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def inbox() -> Iterator[Inbox]:
    with Inbox() as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def run(**environment: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", PROCESS],
        cwd=ROOT,
        env={**os.environ, "PROCESS_NAME": "web", **environment},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_errors_and_spans_arrive_without_secrets_and_with_what_they_belong_to() -> None:
    with inbox() as taken:
        address = f"127.0.0.1:{taken.server_port}"
        said = run(SENTRY_DSN=f"http://key@{address}/7", OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{address}")
        errors, spans = taken.of("/api/7/envelope/"), taken.of("/v1/traces")
    assert said["loaded"] == ["opentelemetry", "sentry_sdk"]
    assert str(said["traceparent"]).split("-")[1] == TRACE, "tasks go on with the trace of the request"
    assert b"It failed with [secret]" in errors
    assert b'"request_id":"of-the-test"' in errors.replace(b": ", b":")
    assert b"ValueError" in errors
    assert SECRET.encode() not in errors + spans
    assert bytes.fromhex(TRACE) in spans
    assert b"tradingsite-web" in spans
    assert b"/desk/" in spans


def test_without_their_settings_neither_is_loaded() -> None:
    said = run(SENTRY_DSN="", OTEL_EXPORTER_OTLP_ENDPOINT="", PROCESS_NAME="web", LOG_LEVEL="ERROR")
    assert said == {"loaded": []}


def test_a_package_that_is_missing_says_how_to_install_it() -> None:
    with pytest.raises(loading.Missing, match=r"SENTRY_DSN is set: run 'pip install -r requirements-monitoring"):
        loading.load("a_module_that_nobody_has", "SENTRY_DSN")


def test_everything_in_an_event_is_masked() -> None:
    masking.register(SECRET)
    event = {"message": f"{SECRET}", "extra": {"deep": [{"note": f"x{SECRET}y"}]}, "exception": {}, "at": object()}
    assert SECRET not in json.dumps(sentry.masked(event, None))


def test_spans_cost_nothing_while_nobody_traces() -> None:
    headers: dict[str, str] = {}
    with tracing.span("ops.prune", {"traceparent": "nonsense"}, {}):
        tracing.send_along(headers)
    assert headers == {}
