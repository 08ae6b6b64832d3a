"""Our engine and the bare loop in turns in one process: `python -m benchmarks.peers.beside FOLDER KIND PAIRS`."""

import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers import bare, product, turn
from benchmarks.peers.turn import Bars, Run


def main() -> None:
    """Print the median seconds of both and the median of bare / ours over the pairs."""
    folder, kind, count = sys.argv[1:]
    bars = turn.read(Path(folder))
    head = Bars(*(column[: turn.HEAD] for column in bars))
    kinds = (bare.KINDS[kind], product.KINDS[kind])
    for each in kinds:
        each(head, {})()
    one, other = (each(bars, {}) for each in kinds)
    pairs = [(_timed(one), _timed(other)) for _ in range(int(count))]
    bounds, ours = zip(*pairs, strict=True)
    ratio = statistics.median(a["cpu_seconds"] / b["cpu_seconds"] for a, b in pairs)
    print(json.dumps({"bare": _middle(bounds), "ours": _middle(ours), "ratio": ratio}))


def _timed(run: Run) -> dict[str, float]:
    began, worked = time.perf_counter(), time.process_time()
    figures = run()
    busy, seconds = time.process_time() - worked, time.perf_counter() - began
    return {"seconds": seconds, "cpu_seconds": busy, "trades": figures.trades, "final_equity": figures.final_equity}


def _middle(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    return {**runs[0], **{name: statistics.median(each[name] for each in runs) for name in ("seconds", "cpu_seconds")}}


if __name__ == "__main__":
    main()
