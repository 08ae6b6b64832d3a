"""The benchmarks run, what they do is right at any size, and they leave nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.__main__ import BENCHMARKS
from tests.servers import temporary_folder

ROOT = Path(__file__).parents[2]
# These say that something is right, not that it is fast, so they hold for a short run on a busy machine too.
EXACT = re.compile("invariant|brute force|not the same|events lost|events repeated")


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder for everything a run makes; nothing may be left of it."""
    with temporary_folder("tradingsite-bench-test-") as folder:
        yield folder
        assert not list(folder.iterdir()), "a run leaves no files"
        assert not [found for found in psutil.process_iter(["cmdline"]) if _names(found, folder)], "and no process"


def _names(found: psutil.Process, folder: Path) -> bool:
    return any(str(folder) in word for word in found.info["cmdline"] or ())


def start(scratch: Path, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "--quick", *words],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.timeout(600)
def test_a_quick_run_measures_everything_and_finds_nothing_wrong(scratch: Path) -> None:
    readme = (ROOT / "benchmarks" / "README.md").read_text()
    with start(scratch, "--json") as run:
        out, err = run.communicate(timeout=560)
    assert run.returncode == 0, err[-3000:]
    found = json.loads(out)
    assert list(found) == list(BENCHMARKS)
    assert all(table["rows"] for table in found.values())
    exact = [goal for table in found.values() for goal in table["goals"] if EXACT.search(goal["goal"])]
    # The reference rows need candles that a peer ships, and are checked where that is installed.
    assert len(exact) == 6 + len(found["reference_rows"]["goals"])
    assert all(goal["met"] for goal in exact), exact
    assert (ROOT / "benchmarks" / "README.md").read_text() == readme, "a quick run is not for the record"
    engines = [row["result"] for row in found["backtests"]["rows"] if row["engine"] != "ours"]
    assert engines == ["the same"] * 3, "the bare loop's cross, bracket and sweep come to what ours come to"


def test_a_run_that_is_told_to_end_cleans_up(scratch: Path) -> None:
    with start(scratch, "receiving") as run:
        deadline = time.monotonic() + 60
        while not any(scratch.glob("*/listener.log")):
            assert time.monotonic() < deadline
            assert run.poll() is None, run.communicate()[1][-3000:]
            time.sleep(0.05)
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=30)
    assert run.returncode == 128 + signal.SIGINT


def test_an_unknown_name_is_answered_with_the_known_ones(scratch: Path) -> None:
    with start(scratch, "no-such") as run:
        _, err = run.communicate(timeout=60)
    assert run.returncode == 2
    assert all(name in err for name in BENCHMARKS)
