"""`manage.py backtest`: the literal command, every option, and every way to be wrong. Nothing here needs a database."""

import io
import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from apps.backtests import api
from apps.backtests.management import options
from apps.domain.backtests.conventions import Conventions
from apps.domain.backtests.limits import Limits
from tests.backtests import spells
from tests.shape.source import ROOT

CANONICAL = ("--fee", "0.002", "--slippage", "0")
SMALL = ("--param", "fast=3", "--param", "slow=8")


def told(*words: str, strategy: str = "sma_cross") -> dict[str, Any]:
    out = io.StringIO()
    call_command("backtest", strategy, *words, "--json", stdout=out)
    return dict(json.loads(out.getvalue()))


def problems(*words: str, strategy: str = "sma_cross") -> list[str]:
    with pytest.raises(CommandError) as refused:
        call_command("backtest", strategy, *words, "--json", stdout=io.StringIO())
    assert refused.value.returncode == 2
    return str(refused.value).splitlines()


@pytest.fixture
def walk(tmp_path: Path) -> str:
    return str(spells.file(tmp_path))


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a process of its own that knows no server and may write to `folder` only."""
    unwanted = (
        "DATABASE_URL",
        "REDIS_URL",
        "BROKER_URL",
        "MARKET_DATABASE_URL",
        "TRADINGSITE_EMBEDDED",
        "DJANGO_SETTINGS_MODULE",
    )
    kept = {key: value for key, value in os.environ.items() if key not in unwanted}
    command = [sys.executable, *words]
    env = {**kept, "TRADINGSITE_VAR": str(folder / "var")}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=250, check=False)


def test_the_command_prints_one_json_object_and_starts_no_server(tmp_path: Path) -> None:
    words = (
        f"backtest sma_cross --candles {spells.file(tmp_path)} --param fast=3 --param slow=8 --cash 100000 --fee 0.002"
        " --slippage 0 --sizing all-in --units whole --fill next-open --end mark --stop-loss 2% --take-profit 4%"
        " --exit-on-signal no --json"
    )
    done = run(tmp_path, "manage.py", *words.split())
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert {"final_equity", "closed_trades", "max_drawdown_pct", "win_rate_pct"} <= set(found)
    assert found["closed_trades"] == len(found["trades"]) > 5
    assert found["conventions"]["stop_loss"] == 0.02
    left = {path.name for path in (tmp_path / "var").iterdir()}
    assert left <= {"secret_key", "static"}, "settings may leave these; a server would leave more"


def test_the_command_loads_nothing_heavy_that_it_does_not_need(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        "-X",
        "importtime",
        "manage.py",
        "backtest",
        "sma_cross",
        "--json",
        "--candles",
        str(spells.file(tmp_path)),
    )
    assert done.returncode == 0
    loaded = set(re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert "numba" in loaded, "the list is one of modules"
    assert loaded & {"pandas", "talib", "pyarrow", "rich", "sqlalchemy", "optuna"} == set()


def test_wrong_input_ends_with_status_2_and_silence_on_standard_output(tmp_path: Path) -> None:
    done = run(tmp_path, "manage.py", "backtest", "sma_cross", "--candles", "absent.csv", "--fee", "lots", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "absent.csv: cannot be read: No such file or directory" in done.stderr
    assert "fee_rate: lots: is not a number" in done.stderr
    assert "Traceback" not in done.stderr


def crossing(close: np.ndarray[Any, Any], opened: np.ndarray[Any, Any]) -> tuple[float, list[tuple[int, int, float]]]:
    """Trade a cross of means of 3 and 8 closes bar by bar, plainly: whole units, next open, fee 0.2 %."""
    fast, slow = ([float(np.mean(close[max(t - k + 1, 0) : t + 1])) for t in range(len(close))] for k in (3, 8))
    cash, size, entry, trades = 100_000.0, 0.0, -1, []
    for t in range(8, len(close) - 1):
        price = float(opened[t + 1])
        up = fast[t - 1] < slow[t - 1] and fast[t] > slow[t]
        down = fast[t - 1] > slow[t - 1] and fast[t] < slow[t]
        if up and not size:
            size, entry = cash // (price * 1.002), t + 1
            cash -= size * price * 1.002
        elif down and size:
            cash += size * price * 0.998
            trades.append((entry, t + 1, size))
            size = 0.0
    return cash + size * float(close[-1]), trades


def test_a_cross_equals_a_plain_loop_over_the_bars(walk: str) -> None:
    found, put = told("--candles", walk, *SMALL, *CANONICAL), spells.candles()
    equity, trades = crossing(put.close, put.open)
    assert found["final_equity"] == pytest.approx(equity, rel=1e-12)
    assert [(one["entry_bar"], one["exit_bar"], one["size"]) for one in found["trades"]] == trades
    first = found["trades"][0]
    assert first["entry_price"] == put.open[first["entry_bar"]]
    assert first["entry_time"] == "2020-01-" + first["entry_time"][8:10] + "T00:00:00Z"
    assert first["entry_fee"] == pytest.approx(0.002 * first["size"] * first["entry_price"])
    assert (first["side"], first["reason"]) == ("long", "signal")
    gross = first["size"] * (first["exit_price"] - first["entry_price"])
    assert first["pnl"] == pytest.approx(gross - first["entry_fee"] - first["exit_fee"])


def test_the_answer_holds_the_curve_the_statistics_and_what_they_rest_on(walk: str) -> None:
    found = told("--candles", walk, *SMALL, *CANONICAL, "--stop-loss", "2%")
    curve = found["equity"]["value"]
    assert curve[-1] == found["final_equity"]
    assert found["equity"]["at"] == spells.candles().at.tolist()
    peaks = np.maximum.accumulate(curve)
    assert found["max_drawdown_pct"] == pytest.approx(100 * float(np.max(1 - np.array(curve) / peaks)))
    won = [one for one in found["trades"] if one["pnl"] > 0]
    assert found["win_rate_pct"] == pytest.approx(100 * len(won) / len(found["trades"]))
    assert found["parameters"] == {"fast": 3, "slow": 8}
    assert len(found["code_hash"]) == len(found["data"]["hash"]) == len(found["key"]) == 64
    assert found["statistics"]["final_equity"] == found["final_equity"]
    assert {remark["severity"] for remark in found["critique"]} <= {"red", "amber", "note"}
    assert "trades" not in told("--candles", walk, "--short")


def test_both_orders_of_touches_are_told_with_the_trades_that_hang_on_them(tmp_path: Path) -> None:
    put = spells.candles(wide=0.2)
    path = str(spells.write(tmp_path / "wide.csv", spells.rows(put)))
    words = (
        "--candles",
        path,
        *SMALL,
        *CANONICAL,
        "--stop-loss",
        "2%",
        "--take-profit",
        "4%",
        "--exit-on-signal",
        "no",
    )
    stop, target = (told(*words, "--order", order) for order in ("stop-first", "target-first"))
    for found in (stop, target):
        assert found["bounds"]["stop_first"]["final_equity"] == stop["final_equity"]
        assert found["bounds"]["target_first"]["final_equity"] == target["final_equity"]
    assert stop["final_equity"] < target["final_equity"]
    key = ("entry_bar", "exit_bar", "exit_price")
    others = {tuple(one[name] for name in key) for one in target["trades"]}
    assert (
        stop["bounds"]["differing_trades"]
        == sum(tuple(one[name] for name in key) not in others for one in stop["trades"])
        > 0
    )


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        ("--fee 0.2%", "fee_rate", 0.002),
        ("--fee-rate .002", "fee_rate", 0.002),
        ("--sl 2% --tp 0.04", "take_profit", 0.04),
        ("--stop_loss 2%", "stop_loss", 0.02),
        ("--exit-on-cross no", "exit_on_signal", False),
        ("--exit_on_signal FALSE", "exit_on_signal", False),
        ("--fill next_open", "fill", "next-open"),
        ("--fill close", "fill", "close"),
        ("--units int", "units", "whole"),
        ("--units frac", "units", "fractional"),
        ("--sizing frac", "units", "fractional"),
        ("--sizing int", "sizing", "all-in"),
        ("--sizing percent --size 50%", "size", 0.5),
        ("--slippage 0", "slippage_value", 0.0),
        ("--slippage 0.1%", "slippage_value", 0.001),
        ("--slippage none", "slippage", "none"),
        ("--slippage spread:0.0002", "slippage", "spread"),
        ("--slippage volume_share --slippage-value 0.1", "slippage", "volume-share"),
        ("--end mark_open", "end", "mark-open"),
        ("--order stop-first", "order", "sl"),
        ("--order TP", "order", "tp"),
        ("--order adaptive", "order", "adaptive"),
        ("--gap-sl no", "gap_sl", "level"),
        ("--gap-sl yes", "gap_sl", "open"),
        ("--gap-tp clamp", "gap_tp", "clamp"),
        ("--tp-net yes", "tp_net", True),
        ("--tp-net", "tp_net", True),
        ("--open-first no", "open_first", False),
        ("--entry-bar no", "entry_bar", False),
        ("--size-fee no", "size_fee", False),
        ("--same-bar-reentry no", "same_bar_reentry", False),
        ("--base signal", "base", "signal"),
        ("--round-px 2", "round_px", 2),
        ("--round-px none", "round_px", None),
        ("--round_fee 2", "round_fee", 2),
        ("--sides both", "sides", "both"),
        ("--partial-exits 2%:0.5,4%:0.25", "partial_exits", [[0.02, 0.5], [0.04, 0.25]]),
        ("--cash 5e4", "cash", 50000.0),
        ("--seed 7", "seed", 7),
    ],
)
def test_conventions_are_read_however_they_are_spelt(walk: str, words: str, field: str, value: object) -> None:
    assert told("--candles", walk, "--short", *words.split())["conventions"][field] == value


def test_a_limit_of_the_account_is_an_option_as_well(walk: str) -> None:
    found = told("--candles", walk, *SMALL, "--max-position-size", "5", "--close-on-breach")
    assert found["conventions"]["limits"]["close_on_breach"] is True
    assert found["trades"] == []
    assert sum(found["rejected"].values()) == told("--candles", walk, *SMALL)["closed_trades"]


def test_every_field_is_an_option_with_a_line_in_the_handbook() -> None:
    page = (ROOT / "docs" / "backtests.md").read_text()
    names = [item.name for item in (*fields(Conventions), *fields(Limits)) if item.name != "limits"]
    assert [item.name for item in options.conventions()] == names
    assert [name for name in names if f"`--{name.replace('_', '-')}`" not in page] == []


WRONG = {
    "no number": ("--fee x", "fee_rate: x: is not a number"),
    "no word": ("--fill soon", "fill: soon: is not one of the choices; use next-open, close"),
    "no truth": ("--entry-bar maybe", "entry_bar: maybe: is neither yes nor no"),
    "out of range": ("--stop-loss 150%", "stop_loss: 1.5: must be a rate below 1"),
    "no money": ("--cash 0", "cash: 0.0: must be above 0"),
    "nothing to size by": ("--sizing risk", "size: 0.0: sizing risk needs a size"),
    "no pair": ("--param fast", "param: fast: must be NAME=VALUE"),
    "a pair twice": ("--param fast=1 --param fast=2", "param: fast=2: fast is given twice"),
    "no parameter": ("--param speed=1", "speed: 1: is not a parameter"),
    "a text for a number": ("--param fast=many", "fast: 'many': must be a whole number"),
    "crossed parameters": ("--param fast=30 --param slow=20", "fast: 30: must be less than slow"),
    "no instant": ("--since yesterday", "since: yesterday: is no instant"),
    "no length": ("--timeframe long", "timeframe: long: is no length of a bar"),
    "too little history": ("--param slow=500", "candles: 400 bars: sma_cross with these parameters needs 500 bars"),
    "an instrument too": ("--instrument BTC-USD", "candles: both: a backtest runs on candle files or on instruments"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_told_with_what_was_expected(walk: str, name: str) -> None:
    words, sentence = WRONG[name]
    found = problems("--candles", walk, *words.split())
    assert len(found) == 1
    assert found[0].startswith(sentence)
    assert "; " in found[0], "it says what to do"


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    path = spells.write(tmp_path / "a.csv", [["2020-01-01", "1", "x", "1", "1", "1"]])
    words = ["--fee", "x", "--stop-loss", "3", "--fill", "soon", "--param", "fast=0", "--since", "never"]
    found = problems("--candles", str(path), *words)
    fields = [sentence.partition(":")[0] for sentence in found]
    assert sorted(fields) == ["fast", "fee_rate", "fill", "line 2", "since", "stop_loss"]


def test_a_strategy_that_is_not_there_is_told_with_those_that_are(walk: str) -> None:
    (sentence,) = problems("--candles", walk, strategy="holy_grail")
    assert sentence.startswith("strategy: holy_grail: is no strategy; use one of ")
    assert "sma_cross" in sentence


def test_neither_file_nor_instrument_is_refused() -> None:
    (sentence,) = problems()
    assert sentence.startswith("candles: neither: a backtest runs on candle files or on instruments; give --candles")


def test_people_get_the_figures_the_critique_and_the_conventions(walk: str) -> None:
    out = io.StringIO()
    call_command("backtest", "sma_cross", "--candles", walk, *SMALL, "--stop-loss", "2%", stdout=out)
    text = " ".join(out.getvalue().split())
    equity = told("--candles", walk, *SMALL, "--stop-loss", "2%")["final_equity"]
    for words in (f"final equity {equity:,.2f}", "400 bars of 86400 s", "trades", "stop_loss=0.02", "amber"):
        assert words in text


def test_a_report_is_one_file_of_html(walk: str, tmp_path: Path) -> None:
    found = told("--candles", walk, *SMALL, "--html", str(tmp_path / "report.html"))
    text = (tmp_path / "report.html").read_text()
    assert found["html"] == str(tmp_path / "report.html")
    assert text.lower().startswith("<!doctype html>")
    assert "cannot be written" in problems("--candles", walk, "--html", str(tmp_path / "no" / "r.html"))[0]


def test_several_instruments_share_one_account(tmp_path: Path) -> None:
    paths = [spells.file(tmp_path, seed=seed, name=f"m{seed}.csv") for seed in (1, 2, 3)]
    words = [word for path in paths for word in ("--candles", str(path))]
    found = told(*words, strategy="momentum_rotation")
    assert found["data"]["names"] == ["m1", "m2", "m3"]
    assert {one["instrument"] for one in found["trades"]} == {"m1", "m2", "m3"}


def test_the_python_call_gives_what_the_command_prints(walk: str) -> None:
    printed = told("--candles", walk, *SMALL, *CANONICAL, "--sl", "2%", "--gap-sl", "no", "--sizing", "frac")
    conventions = {"fee": 0.002, "slippage": "none", "slippage_value": 0, "sl": "2%", "gap_sl": False, "sizing": "frac"}
    outcome = api.run("sma_cross", candles=walk, parameters={"fast": 3, "slow": 8}, **conventions)
    called = json.loads(json.dumps(outcome.as_json()))
    assert called["trades"] == printed["trades"]
    assert called["equity"] == printed["equity"]
    assert called["statistics"] == printed["statistics"]
    arrays = api.run("sma_cross", candles=spells.candles(), parameters={"fast": 3, "slow": 8}, **conventions)
    assert arrays.key == outcome.key
    assert np.array_equal(arrays.result.equity, outcome.result.equity)
    changed = api.run("sma_cross", candles=walk, parameters={"fast": 3, "slow": 8}, **{**conventions, "fee": 0.001})
    assert changed.key != outcome.key


def test_the_python_call_needs_no_settings(walk: str, tmp_path: Path) -> None:
    script = f"""
from apps.backtests import api
outcome = api.run("sma_cross", candles={walk!r}, parameters={{"fast": 3, "slow": 8}})
print(outcome.result.final_equity)
"""
    done = run(tmp_path, "-c", script)
    assert done.stderr == ""
    assert float(done.stdout) == told("--candles", walk, *SMALL)["final_equity"]


def test_means_that_meet_and_part_again_have_not_crossed(tmp_path: Path) -> None:
    closes = [10, 9, 8, 8, 9, 9, 10, 10, 9, 9, 10, 8]
    rows = [f"2026-01-{day:02},{close},{close},{close},{close},1" for day, close in enumerate(closes, 1)]
    path = tmp_path / "meeting.csv"
    path.write_text("\n".join(["time,Open,High,Low,Close,Volume", *rows]))
    words = ("--candles", str(path), "--param", "fast=1", "--param", "slow=2", *CANONICAL)
    told_of = {entries: told(*words, *more) for entries, more in (("cross", ()), ("change", ("--entries", "change")))}
    assert {name: one["conventions"]["entries"] for name, one in told_of.items()} == {
        "cross": "cross",
        "change": "change",
    }
    # Every way up leads through a bar on which both are equal, so there is no cross but the last one, down.
    assert told_of["cross"]["trades"] == told_of["cross"]["open"] == []
    assert told_of["change"]["trades"]


@pytest.mark.parametrize("units", ["whole", "lots"])
def test_a_sizing_that_names_units_and_other_units_are_refused(walk: str, units: str) -> None:
    (line,) = problems("--candles", walk, "--sizing", "frac", "--units", units)
    assert line.startswith("sizing: frac: means all-in with units fractional")
