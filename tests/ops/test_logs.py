"""What is logged says where it belongs, cannot be forged, hides secrets, and is kept without anybody waiting."""

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from apps.journal import lines
from apps.journal.models import LogLine
from apps.ops.logs import context, formatting, keeping, naming
from apps.ops.logs.keeping import Keeper, Row
from apps.trading import masking
from tradingsite.logs import logging_of

SECRET = "a-secret-that-nobody-may-read-4711"


def record(message: str, *args: Any, level: int = logging.WARNING, **extra: Any) -> logging.LogRecord:
    found = logging.LogRecord("apps.example", level, __file__, 1, message, args, None)
    vars(found).update(extra)
    return found


def failing(message: str) -> logging.LogRecord:
    def fail() -> None:
        raise ValueError(message)

    try:
        fail()
    except ValueError:
        found = record("It failed")
        found.exc_info = sys.exc_info()
        return found


def eventually(true: Callable[[], object], patience: float = 30.0) -> None:
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- lines ------------------------------------------------------------------------------------------------------------
def test_a_line_for_programs_says_all_there_is_to_know() -> None:
    with context.bound(request_id="abc", task="ops.prune", task_id="7"):
        found = json.loads(formatting.Json().format(record("%d rows", 3, account=12, request=object())))
    wanted = {"level": "WARNING", "logger": "apps.example", "message": "3 rows", "account": 12, "pid": os.getpid()}
    assert wanted.items() <= found.items()
    assert (found["request_id"], found["task"], found["task_id"]) == ("abc", "ops.prune", "7")
    assert datetime.fromisoformat(found["at"]).tzinfo == UTC
    assert "request" not in found


def test_a_line_for_people_says_what_it_belongs_to() -> None:
    with context.bound(request_id="abc"):
        line = formatting.Friendly().format(record("three rows"))
    assert line.endswith(" WARNING apps.example three rows [request_id=abc]")
    assert datetime.strptime(line[:19], "%Y-%m-%d %H:%M:%S")
    assert "[" not in formatting.Friendly().format(record("three rows"))


@pytest.mark.parametrize("style", [formatting.Friendly, formatting.Json])
@pytest.mark.parametrize("sign", ["\n", "\r", "\x1b", "\x00", "\x07", "\x9b", "\u2028", "\u202e", "\x7f"], ids=ascii)
def test_no_line_can_be_forged_from_within(style: type[logging.Formatter], sign: str) -> None:
    forged = f"a name{sign}2026-01-01 00:00:00,000 ERROR root all is lost"
    with context.bound(request_id=f"x{sign}y"):
        line = style().format(record("Unknown: %s", forged))
    assert sign not in line
    assert len(line.splitlines()) == 1
    assert "all is lost" in line


def test_a_traceback_is_indented_so_that_its_words_begin_no_line() -> None:
    text = formatting.Friendly().format(failing("one\n2026-01-01 00:00:00,000 ERROR root forged\x1b[31m"))
    first, *below = text.split("\n")
    assert first.endswith("It failed")
    assert all(line.startswith("    ") for line in below)
    assert "\x1b" not in text
    assert "ValueError" in text
    assert "ValueError" in json.loads(formatting.Json().format(failing("one\ntwo")))["trace"]


@pytest.mark.parametrize("style", ["friendly", "json"])
def test_secrets_are_masked_wherever_they_stand(style: str, capfd: pytest.CaptureFixture[str]) -> None:
    masking.register(SECRET)
    made = logging_of(level="INFO", style=style, secrets=[SECRET], urls=[])
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter({"friendly": formatting.Friendly, "json": formatting.Json}[style]())
    handler.addFilter(masking.SecretsFilter(**{k: v for k, v in made["filters"]["secrets"].items() if k != "()"}))
    for each in (record("token %s", SECRET), failing(f"refused {SECRET}"), record("by name", note=SECRET)):
        handler.handle(each)
    with context.bound(request_id=SECRET):
        handler.handle(record("in what it belongs to"))
    said = capfd.readouterr().err
    assert SECRET not in said
    assert masking.MASK in said


def test_both_styles_can_be_chosen() -> None:
    for style in ("friendly", "json"):
        made = logging_of(level="INFO", style=style, secrets=[], urls=[])
        assert made["handlers"]["stderr"]["formatter"] in made["formatters"]
        assert all("secrets" in handler["filters"] for handler in made["handlers"].values())


# --- what a line belongs to -------------------------------------------------------------------------------------------
def test_every_answer_names_its_request(db: None, caplog: pytest.LogCaptureFixture) -> None:
    first, second = (Client().get("/health/live") for _ in range(2))
    assert len(first["X-Request-ID"]) == 32
    assert first["X-Request-ID"] != second["X-Request-ID"]
    assert Client(headers={"x-request-id": "of-a-proxy:1"}).get("/health/live")["X-Request-ID"] == "of-a-proxy:1"
    assert context.current() == {}


@pytest.mark.parametrize("given", ["", "two words", "x" * 65, "a\nb", "<script>", "ü"])
def test_an_identifier_that_is_no_plain_word_is_replaced(given: str) -> None:
    assert len(context.identifier(given)) == 32
    assert context.identifier(given) != given


def test_what_is_bound_ends_with_its_block() -> None:
    with context.bound(request_id="a", task=""):
        assert context.current() == {"request_id": "a"}
        with context.bound(request_id="b"):
            assert context.current() == {"request_id": "b"}
        assert context.current() == {"request_id": "a"}
    assert context.current() == {}


@pytest.mark.parametrize(
    ("argv", "environment", "name"),
    [
        (["manage.py", "listener"], {"PROCESS_NAME": "listener-1"}, "listener-1"),
        (["/site/manage.py", "sweeper"], {}, "sweeper"),
        (["manage.py", "migrate"], {}, ""),
        (["manage.py"], {}, ""),
        (["/lib/celery/__main__.py", "-q", "-A", "tradingsite", "worker", "-Q", "exits"], {}, "worker"),
        (["/lib/celery/__main__.py", "-A", "tradingsite", "beat"], {}, "beat"),
        (["/lib/celery/__main__.py", "-A", "tradingsite", "inspect"], {}, ""),
        (["/lib/uvicorn/__main__.py", "tradingsite.asgi:application"], {}, "web"),
        (["/usr/bin/pytest"], {}, ""),
        ([], {}, ""),
    ],
)
def test_a_process_knows_its_name(argv: list[str], environment: dict[str, str], name: str) -> None:
    assert naming.of(argv, environment) == name


# --- what is kept -----------------------------------------------------------------------------------------------------
class Sheet:
    """Takes what a keeper writes; may be told to fail, or to take its time."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.batches: list[int] = []
        self.away = False
        self.open = threading.Event()
        self.open.set()

    def __call__(self, rows: Sequence[Row]) -> None:
        self.open.wait(60)
        if self.away:
            raise OperationalError("the database is away")
        self.rows += rows
        self.batches.append(len(rows))


@pytest.fixture
def sheet(monkeypatch: pytest.MonkeyPatch) -> Sheet:
    monkeypatch.setenv("PROCESS_NAME", "worker-exits")
    monkeypatch.setattr(keeping, "GATHER", 0.02)
    monkeypatch.setattr(keeping, "PAUSE", 0.05)
    return Sheet()


@pytest.fixture
def keeper(sheet: Sheet) -> Iterator[Keeper]:
    made = Keeper(write=sheet)
    yield made
    sheet.open.set()
    made.close()


def test_lines_are_written_many_at_a_time_and_say_everything(sheet: Sheet, keeper: Keeper) -> None:
    sheet.open.clear()
    with context.bound(request_id="abc", task="ops.prune", task_id="7"):
        for number in range(100):
            keeper.handle(record("line %d\x1b", number))
    keeper.handle(failing("why"))
    sheet.open.set()
    eventually(lambda: len(sheet.rows) == 101)
    assert len(sheet.batches) <= 3
    first, last = sheet.rows[0], sheet.rows[-1]
    assert first["message"] == "line 0\\x1b"
    assert (first["process"], first["request_id"], first["task"], first["task_id"]) == (
        "worker-exits",
        "abc",
        "ops.prune",
        "7",
    )
    assert "ValueError: why" in last["trace"]


def test_whoever_logs_never_waits_and_the_rest_is_counted(sheet: Sheet, keeper: Keeper) -> None:
    sheet.open.clear()  # the database hangs
    count = keeping.MOST_A_MINUTE * 3
    now = time.time() // 60 * 60 + 5
    for _ in range(count):
        keeper.handle(record("a storm", created=now))
    assert keeper.dropped == count - keeping.MOST_A_MINUTE
    sheet.open.set()
    eventually(lambda: len(sheet.rows) == keeping.MOST_A_MINUTE + 1)
    assert f"{count - keeping.MOST_A_MINUTE} more lines" in sheet.rows[-1]["message"]


def test_lines_wait_in_bounds_while_the_database_is_away(
    sheet: Sheet, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MOST_WAITING", 10)
    sheet.away = True
    for _ in range(25):
        keeper.handle(record("one of many"))
    assert keeper.dropped >= 15
    sheet.away = False
    eventually(lambda: len(sheet.rows) == 11)
    assert [row["message"] for row in sheet.rows[:10]] == ["one of many"] * 10


def test_what_is_no_process_of_the_site_keeps_nothing(sheet: Sheet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCESS_NAME", "")
    made = Keeper(write=sheet)
    made.handle(record("a command that warns"))
    made.flush()
    assert made._thread is None
    made.close()


def test_a_forked_child_writes_its_own_lines(sheet: Sheet, keeper: Keeper) -> None:
    sheet.open.clear()
    keeper.handle(record("of the parent"))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        sheet.open = threading.Event()
        sheet.open.set()
        keeper.handle(record("of the child"))
        keeper.flush()
        os.write(writing, json.dumps([row["message"] for row in sheet.rows]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        assert json.loads(told.read()) == ["of the child"]
    os.waitpid(child, 0)


@pytest.mark.django_db(transaction=True)
def test_a_real_line_becomes_a_row_once_the_database_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCESS_NAME", "web")
    made = Keeper()
    made.handle(record("kept: %s", SECRET))
    made.flush()
    eventually(lambda: not made._waiting)
    row = LogLine.objects.get()
    assert (row.level, row.process, row.logger, row.pid) == ("WARNING", "web", "apps.example", os.getpid())
    made.close()


def test_lines_are_forgotten_by_age_and_by_number(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    where = {"level": "ERROR", "logger": "a", "process": "web", "host": "h", "pid": 1, "message": "m"}
    lines.write([LogLine(at=now - timedelta(days=days), **where) for days in (100, 91, 2, 1, 0)])
    assert lines.prune(now) == 2
    monkeypatch.setattr(lines, "MOST", 1)
    assert lines.prune(now) == 2
    assert LogLine.objects.get().at == now
