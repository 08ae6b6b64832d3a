"""Runs as rows: computed once however often they are called for, and never lost with the worker that had them."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import F

from apps.backtests import bell, outcomes, selectors, sources
from apps.backtests.models import Run
from apps.backtests.requests import Request
from apps.backtests.services import runs
from apps.backtests.sources import Spec
from apps.domain.backtests.conventions import Conventions
from apps.domain.errors import Refused
from apps.journal.models import Event
from apps.market import selectors as market_selectors
from apps.market import store
from apps.market.store import Timeframe, partitions
from apps.market.store import candles as store_candles
from apps.market.store.candles import CandleRow
from tests import factories
from tests.backtests import spells
from tests.conftest import database_url
from tests.shape.source import ROOT
from workers.tasks import backtests as tasks

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PARAMETERS = {"fast": 3, "slow": 8}
PATIENCE = 60  # seconds; a machine that is busy with other tests compiles slowly
Made = Callable[..., Run]


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    return spells.file(tmp_path)


@pytest.fixture
def made(walk: Path) -> Made:
    def make(path: Path = walk, **conventions: object) -> Run:
        data = Spec(files=(str(path),))
        chosen = Conventions(**{"fee_rate": 0.002, **conventions})
        return runs.start(Request(plugin="sma_cross", parameters=PARAMETERS, conventions=chosen, data=data), now=NOW)

    return make


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A file of candles that has no end until somebody writes one: whoever reads it is held up."""
    path = tmp_path / "pipe.csv"
    os.mkfifo(path)
    return path


@pytest.fixture
def calls() -> Iterator[list[tuple[str, int]]]:
    """What this process calls workers for."""
    heard: list[tuple[str, int]] = []
    before = bell._installed[0]
    bell.install(lambda task, row_id: heard.append((task, row_id)))
    yield heard
    bell.install(before)


def until(wanted: Callable[[], bool]) -> None:
    for _ in range(PATIENCE * 20):
        if wanted():
            return
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def state(run: Run) -> tuple[str, int]:
    run.refresh_from_db()
    return run.state, run.attempt


def kinds(run: Run) -> list[str]:
    return list(Event.objects.filter(subject=f"run:{run.pk}").order_by("id").values_list("kind", flat=True))


def in_thread(act: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    answers: list[object] = []

    def run() -> None:
        try:
            answers.append(act())
        finally:
            connection.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, answers


def test_a_run_is_a_row_first_and_a_call_second(made: Made, calls: list[tuple[str, int]]) -> None:
    with transaction.atomic():
        run = made()
        assert calls == []
    assert calls == [("backtests.run", run.pk)]
    assert state(run) == ("queued", 0)
    assert (run.parameters, run.source, run.conventions["fee_rate"]) == (PARAMETERS, "walk.csv", 0.002)


def test_a_finished_run_holds_what_the_pure_computation_gives(made: Made, walk: Path) -> None:
    run = made(stop_loss=0.02, take_profit=0.04, exit_on_signal=False)
    assert runs.execute(run.pk, worker="one")
    assert state(run) == ("done", 1)
    loaded = sources.load(Spec(files=(str(walk),)))
    outcome = outcomes.compute("sma_cross", PARAMETERS, Conventions.restored(run.conventions), loaded)
    assert run.summary == {key: outcome.as_json()[key] for key in run.summary}
    assert run.summary["closed_trades"] > 5
    for got, wanted in zip(selectors.trades(run), outcome.result.trades, strict=True):
        assert got.dtype == wanted.dtype
        assert np.array_equal(got, wanted)
    at, value = selectors.equity(run)
    assert np.array_equal(value, outcome.result.equity)
    assert np.array_equal(at, loaded.candles[0].at)
    told = json.loads(json.dumps(outcome.as_json()))
    stored = (run.statistics, run.critique, run.bounds, run.key, run.data_hash, run.bars, run.progress)
    assert stored == (told["statistics"], told["critique"], told["bounds"], outcome.key, loaded.data_hash, 400, 1.0)
    assert (run.since, run.until, run.bar_seconds) == (loaded.since, loaded.until, spells.DAY)
    assert kinds(run) == ["backtest.finished"]


def test_a_call_that_comes_twice_does_nothing(made: Made) -> None:
    run = made()
    tasks.run(run_id=run.pk, later_argument="ignored")
    finished_at = Run.objects.get(pk=run.pk).finished_at
    tasks.run(run_id=run.pk)
    assert not runs.execute(run.pk, worker="two")
    assert state(run) == ("done", 1)
    assert run.finished_at == finished_at
    assert not runs.execute(run.pk + 1000, worker="two"), "a run that was deleted"


def test_of_many_workers_one_computes(made: Made) -> None:
    run = made()
    threads = [in_thread(lambda name=name: runs.execute(run.pk, worker=name)) for name in "abcdef"]
    for thread, _ in threads:
        thread.join(PATIENCE)
    assert sorted(bool(answers[0]) for _, answers in threads) == [False] * 5 + [True]
    assert state(run) == ("done", 1)
    assert kinds(run) == ["backtest.finished"]


def test_the_same_question_is_not_computed_again(made: Made) -> None:
    first, second, other = made(), made(), made(fee_rate=0.001)
    runs.execute(first.pk, worker="one")
    Run.objects.filter(pk=first.pk).update(summary={"marked": True, "final_equity": 1.0})
    runs.execute(second.pk, worker="one")
    runs.execute(other.pk, worker="one")
    for run in (first, second, other):
        run.refresh_from_db()
    assert second.summary == first.summary
    assert second.key == first.key != other.key
    assert bytes(second.trades or b"") == bytes(first.trades or b"")
    assert "marked" not in other.summary


def test_what_cannot_be_computed_says_why(made: Made, tmp_path: Path) -> None:
    run = made(tmp_path / "absent.csv")
    assert runs.execute(run.pk, worker="one")
    assert state(run) == ("failed", 1)
    assert "cannot be read: No such file or directory" in run.error
    assert kinds(run) == ["backtest.failed"]
    assert runs.requeue(NOW + timedelta(days=1)) == []


def test_wrong_parameters_make_no_row() -> None:
    with pytest.raises(Refused, match="must be less than slow"):
        runs.start(Request(plugin="sma_cross", parameters={"fast": 9, "slow": 8}), now=NOW)
    assert not Run.objects.exists()


def test_a_killed_worker_is_noticed_and_another_one_computes(made: Made, pipe: Path, walk: Path) -> None:
    run = made(pipe)
    script = (
        f"import django; django.setup()\nfrom apps.backtests.services import runs\nruns.execute({run.pk}, worker='w')"
    )
    env = {**os.environ, "DATABASE_URL": database_url()}
    worker = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=env)
    try:
        until(lambda: state(run) == ("running", 1))
        begun = run.beat_at
        until(lambda: bool(state(run) and run.beat_at and begun and run.beat_at > begun))
        assert runs.requeue(datetime.now(UTC)) == []
        assert not runs.execute(run.pk, worker="other"), "it is alive"
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait(PATIENCE)
    later = datetime.now(UTC) + runs.STALE + timedelta(seconds=5)
    assert runs.requeue(later) == [run.pk]
    Run.objects.filter(pk=run.pk).update(beat_at=F("beat_at") - runs.STALE, data=Spec(files=(str(walk),)).as_json())
    assert runs.execute(run.pk, worker="other")
    assert state(run) == ("done", 2)
    assert run.worker == "other"
    assert kinds(run) == ["backtest.finished"]


def test_a_worker_that_was_given_up_and_wakes_again_changes_nothing(made: Made, pipe: Path, walk: Path) -> None:
    run = made(pipe)
    thread, answers = in_thread(lambda: runs.execute(run.pk, worker="late"))
    until(lambda: state(run) == ("running", 1))
    Run.objects.filter(pk=run.pk).update(beat_at=F("beat_at") - 2 * runs.STALE, data=Spec(files=(str(walk),)).as_json())
    assert runs.execute(run.pk, worker="second")
    pipe.write_text(spells.file(pipe.parent, seed=5, name="other.csv").read_text())
    thread.join(PATIENCE)
    assert answers == [False]
    assert state(run) == ("done", 2)
    assert run.worker == "second"
    assert kinds(run) == ["backtest.finished"]


def test_a_run_that_ends_its_workers_is_given_up(made: Made) -> None:
    run = made()
    silent = datetime.now(UTC) - timedelta(hours=1)
    Run.objects.filter(pk=run.pk).update(state=Run.State.RUNNING, attempt=runs.MOST_ATTEMPTS, beat_at=silent)
    assert not runs.execute(run.pk, worker="brave")
    assert runs.requeue(datetime.now(UTC)) == []
    assert state(run)[0] == "failed"
    assert run.error == f"its worker ended {runs.MOST_ATTEMPTS} times while computing it"
    assert kinds(run) == ["backtest.failed"]


def test_a_run_whose_call_was_lost_is_called_for_again(made: Made) -> None:
    run = made()
    assert runs.requeue(NOW) == [], "its call may still be on the way"
    assert runs.requeue(NOW + runs.GRACE) == [run.pk]


def test_a_cancelled_run_is_not_computed(made: Made) -> None:
    run = made()
    assert runs.cancel(run.pk, actor="trader")
    assert not runs.cancel(run.pk)
    assert not runs.execute(run.pk, worker="one")
    assert state(run) == ("cancelled", 0)
    assert kinds(run) == ["backtest.cancelled"]
    assert Event.objects.get(subject=f"run:{run.pk}").actor == "trader"


def test_a_run_that_is_cancelled_while_it_is_computed_keeps_no_result(made: Made, pipe: Path, walk: Path) -> None:
    run = made(pipe)
    thread, answers = in_thread(lambda: runs.execute(run.pk, worker="one"))
    until(lambda: state(run) == ("running", 1))
    runs.cancel(run.pk)
    pipe.write_text(walk.read_text())
    thread.join(PATIENCE)
    assert answers == [False]
    assert state(run)[0] == "cancelled"
    assert kinds(run) == ["backtest.cancelled"]


def test_a_row_that_is_done_without_a_result_cannot_be() -> None:
    with pytest.raises(IntegrityError, match="run_done_has_its_result"):
        Run.objects.create(plugin="x", code_hash="x", source="x", made_at=NOW, state=Run.State.DONE)


def test_the_command_keeps_a_run(walk: Path) -> None:
    out = io.StringIO()
    call_command("backtest", "sma_cross", "--candles", str(walk), "--save", "--json", stdout=out)
    told = json.loads(out.getvalue())
    run = Run.objects.get(pk=told["run"])
    assert (run.state, run.key, run.summary["final_equity"]) == ("done", told["key"], told["final_equity"])
    assert selectors.trades(run).pnl.tolist() == [one["pnl"] for one in told["trades"]]
    assert kinds(run) == ["backtest.finished"]


@pytest.fixture
def market(tick_store: store.Store) -> Iterator[store.Store]:
    market_selectors.market_store.cache_clear()
    yield tick_store
    with tick_store.engine.begin() as link:
        link.exec_driver_sql("TRUNCATE market.candles")
    market_selectors.market_store().close()
    market_selectors.market_store.cache_clear()


def test_stored_candles_give_what_a_file_of_them_gives(market: store.Store, walk: Path) -> None:
    instrument, put = factories.make_instrument("GOOG-USD", price=None), spells.candles()
    rows = [
        CandleRow(instrument.pk, datetime.fromtimestamp(int(at), UTC), *(Decimal(repr(float(part))) for part in row), 1)
        for at, *row in zip(*put, strict=True)
    ]
    last = rows[-1].at + timedelta(days=1)
    partitions.ensure(market, partitions.CANDLES[Timeframe.DAY], rows[0].at, last)
    store_candles.write(market, Timeframe.DAY, rows)
    outs = []
    for words in (("--instrument", "GOOG-USD", "--timeframe", "1d"), ("--candles", str(walk))):
        out = io.StringIO()
        call_command("backtest", "sma_cross", *words, "--param", "fast=3", "--json", stdout=out)
        outs.append(json.loads(out.getvalue()))
    stored, read = outs
    assert stored["data"]["hash"] == read["data"]["hash"]
    assert stored["equity"] == read["equity"]
    assert {one["instrument"] for one in stored["trades"]} == {"GOOG-USD"}
    week = Spec(instruments=("GOOG-USD",), bar_seconds=7 * spells.DAY, until=last)
    assert sources.load(week).data_hash != stored["data"]["hash"]
    assert sources.load(week).bars == pytest.approx(400 / 7, abs=1)
    with pytest.raises(Refused, match="has no bar of 86400 seconds"):
        sources.load(Spec(instruments=("GOOG-USD",), bar_seconds=spells.DAY, until=rows[0].at))
    with pytest.raises(Refused, match="NO-USD: is no instrument of this site; use one of: GOOG-USD"):
        sources.load(Spec(instruments=("NO-USD",), bar_seconds=spells.DAY, until=last))


def test_a_bar_that_has_not_closed_is_left_out(market: store.Store) -> None:
    instrument, put = factories.make_instrument("GOOG-USD", price=None), spells.candles(5)
    rows = [
        CandleRow(instrument.pk, datetime.fromtimestamp(int(at), UTC), *map(str, row), 1)
        for at, *row in zip(*put, strict=True)
    ]
    partitions.ensure(market, partitions.CANDLES[Timeframe.DAY], rows[0].at, rows[-1].at)
    store_candles.write(market, Timeframe.DAY, rows)
    until_noon = Spec(instruments=("GOOG-USD",), bar_seconds=spells.DAY, until=rows[4].at + timedelta(hours=12))
    assert sources.load(until_noon).bars == 4
