"""The TypeScript client against a real site: a program trades with it."""

import json
from pathlib import Path

import requests

from tests.web.conftest import Caller
from tests.web.typescript import checking


def test_a_program_trades_with_the_client_it_fetched(site: str, owner: Caller, tmp_path: Path) -> None:
    (tmp_path / "tradingsite.ts").write_bytes(requests.get(f"{site}/api/client.ts", timeout=60).content)
    (tmp_path / "journey.ts").write_text((checking.HERE / "journey.ts").read_text())
    (tmp_path / "package.json").write_text('{"type": "module"}')
    assert json.loads(checking.run(tmp_path, "journey.ts", site, owner.token)) == {
        "opened": ["open", "0.25", True],
        "listed": [1, "60000"],
        "legs": ["take_profit"],
        "stale": [412, "urn:tradingsite:problem:changed"],
        "wrong": [400, ["quantity"]],
        "nobody": 401,
        "paired": [1, "read"],
        "ended": "nothing",
        "retried": [1, 2],
        "never_twice": [503, 1],
    }
