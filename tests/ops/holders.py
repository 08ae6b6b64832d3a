"""Other processes that hold the embedded servers, and questions to those."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg2
import redis

ROOT = os.geteuid() == 0
REPOSITORY = Path(__file__).resolve().parents[2]
HOLDER = """
import json, sys
from pathlib import Path
from apps.ops import servers
state = Path(sys.argv[1])
with servers.lease(state) as found:
    pids = [servers.pid(name, state) for name in ("postgresql", "redis")]
    print(json.dumps({"database_url": found.database_url, "redis_url": found.redis_url, "pids": pids}), flush=True)
    sys.stdin.read()
"""


class Holder:
    """Another process that holds the servers until told (or killed)."""

    def __init__(self, state: Path) -> None:
        command = [sys.executable, "-c", HOLDER, str(state)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, cwd=REPOSITORY, start_new_session=True
        )

    def told(self) -> dict[str, object]:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def leave(self) -> None:
        self.process.communicate(timeout=30)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)


def query(url: str, statement: str) -> list[tuple[object, ...]]:
    link = psycopg2.connect(url, connect_timeout=5)
    try:
        with link, link.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        link.close()


def redis_client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=5)
