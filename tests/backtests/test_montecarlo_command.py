"""`manage.py montecarlo`: on a backtest made now or one that is kept, as text and as JSON, and told what is wrong."""

import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from apps.backtests.requests import Request
from apps.backtests.services import runs
from apps.backtests.sources import Spec
from apps.domain.backtests.conventions import Conventions, Sizing
from tests.backtests.wandering import write_walk

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> str:
    return write_walk(tmp_path / "walk.csv", bars=1500, seed=3)


def montecarlo(*words: str) -> dict[str, Any]:
    out = StringIO()
    call_command("montecarlo", *words, "--json", stdout=out)
    return dict(json.loads(out.getvalue()))


def backtest(*words: str) -> dict[str, Any]:
    out = StringIO()
    call_command("backtest", *words, "--json", stdout=out)
    return dict(json.loads(out.getvalue()))


def test_a_shuffle_ends_where_the_backtest_did(file: str) -> None:
    told = montecarlo("sma_cross", "--candles", file, "--end", "close", "--samples", "300", "--seed", "5")
    run = backtest("sma_cross", "--candles", file, "--end", "close")
    assert told["steps"] == run["closed_trades"] > 20
    assert told["final_equity"] == pytest.approx(run["final_equity"])
    assert set(told["final_equities"]) == {"1", "5", "25", "50", "75", "95", "99"}
    assert told["final_equities"]["1"] == pytest.approx(told["final_equities"]["99"])
    drawdowns = list(told["max_drawdowns_pct"].values())
    assert drawdowns == sorted(drawdowns)
    assert drawdowns[0] < drawdowns[-1]
    assert (told["method"], told["samples"], told["seed"], told["open"]) == ("shuffle", 300, 5, 0)


def test_blocks_are_drawn_from_the_bars(file: str) -> None:
    told = montecarlo("sma_cross", "--candles", file, "--method", "blocks", "--samples", "200")
    run = backtest("sma_cross", "--candles", file)
    assert (told["steps"], told["block"]) == (1500, 11)
    assert told["final_equity"] == pytest.approx(run["final_equity"])
    assert told["max_drawdown_pct"] == pytest.approx(run["max_drawdown_pct"])
    assert told["mean_low"] < told["mean"] < told["mean_high"]


def test_the_same_seed_tells_the_same_and_another_one_does_not(file: str) -> None:
    words = ("sma_cross", "--candles", file, "--method", "bootstrap", "--samples", "100")
    assert montecarlo(*words, "--seed", "2") == montecarlo(*words, "--seed", "2")
    assert montecarlo(*words, "--seed", "2") != montecarlo(*words, "--seed", "3")


def test_sizes_that_do_not_grow_add_up(file: str) -> None:
    told = montecarlo("sma_cross", "--candles", file, "--sizing", "notional", "--size", "1000", "--units", "fractional")
    assert told["additive"] is True
    assert montecarlo("sma_cross", "--candles", file)["additive"] is False


@pytest.mark.django_db
def test_a_kept_run_is_drawn_from_as_it_was(file: str) -> None:
    chosen = Conventions(fee_rate=0.001, sizing=Sizing.ALL_IN)
    request = Request(plugin="sma_cross", conventions=chosen, data=Spec(files=(file,)))
    run = runs.record(request, runs.run_once(request), now=NOW)
    kept = montecarlo("--run", str(run.pk), "--method", "bootstrap", "--seed", "4")
    made = montecarlo("sma_cross", "--candles", file, "--fee", "0.1%", "--method", "bootstrap", "--seed", "4")
    assert f"run {run.pk}" in kept.pop("of")
    assert "sma_cross" in made.pop("of")
    assert kept == made


def test_people_are_told_in_words(file: str) -> None:
    out = StringIO()
    call_command("montecarlo", "sma_cross", "--candles", file, "--method", "bootstrap", "--samples", "100", stdout=out)
    text = out.getvalue()
    assert "100 samples of" in text
    for words in ("final equity", "deepest drawdown", "chance of a loss", "without any edge", "95 % of the samples"):
        assert words in text


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--samples", "0"), "samples: 0"),
        (("--ruin", "2"), "ruin: 2.0"),
        (("--param", "fast"), "NAME=VALUE"),
        (("--param", "fast=30"), "fast"),
        (("--seed", "x"), "seed"),
        (("--run", "7"), "with a strategy and candles of its own"),
    ],
)
def test_what_is_wrong_is_told_with_status_2(file: str, words: tuple[str, ...], says: str) -> None:
    with pytest.raises(CommandError, match=says) as refused:
        call_command("montecarlo", "sma_cross", "--candles", file, *words)
    assert refused.value.returncode == 2


@pytest.mark.django_db
def test_without_anything_to_draw_from_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="name one with its candles, or --run ID"):
        call_command("montecarlo")
    with pytest.raises(CommandError, match="run: 4711: is not there"):
        call_command("montecarlo", "--run", "4711")
    still = write_walk(tmp_path / "still.csv", closes=np.full(100, 50.0))
    with pytest.raises(CommandError, match="steps: 0: must be at least 2"):
        call_command("montecarlo", "sma_cross", "--candles", still)
