"""Promotions rest on evidence about the present code and parameters; who goes round the gate is recorded."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from apps.backtests.models import Evidence, Run, Study
from apps.backtests.requests import Request
from apps.backtests.services import gate, runs
from apps.backtests.sources import Spec
from apps.domain.backtests.gate import Compared, Span, Stage
from apps.domain.errors import Refused
from apps.journal.models import Event
from apps.strategies import versions
from apps.strategies.models import Strategy
from apps.strategies.services import stages

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
DAY = timedelta(days=1)
RED = {"code": "few_trades", "severity": "red", "sentence": "Few.", "number": 3, "limit": 30}
AMBER = {**RED, "severity": "amber"}


@pytest.fixture
def strategy(transactional_db: None) -> Strategy:
    return Strategy.objects.create(name="Trend", plugin="sma_cross", parameters={"fast": 5}, bar_seconds=60)


@pytest.fixture
def make_run(strategy: Strategy) -> Callable[..., Run]:
    """Keep a finished backtest of the strategy as it is; days count back from NOW."""

    def make(since: float = 100, until: float = 50, **changes: Any) -> Run:
        version = versions.of(strategy.plugin, strategy.parameters, strategy.bar_seconds)
        values = {
            "state": "done",
            "plugin": version.plugin,
            "code_hash": version.code_hash,
            "parameters": dict(version.parameters),
            "bar_seconds": version.bar_seconds,
            "source": "BTC-USD",
            "since": NOW - since * DAY,
            "until": NOW - until * DAY,
            "trades": b"x",
            "equity": b"x",
            "made_at": NOW,
            "critique": [AMBER],
        }
        return Run.objects.create(**values | changes)

    return make


def search(since: float, until: float, plugin: str = "sma_cross") -> Study:
    return Study.objects.create(
        plugin=plugin,
        code_hash="any",
        space={},
        search="grid",
        objective="sharpe",
        wanted=1,
        conventions={},
        source="BTC-USD",
        bar_seconds=60,
        since=NOW - since * DAY,
        until=NOW - until * DAY,
        bars=1,
        data_hash="x",
        windows=[],
        made_at=NOW,
    )


def at(strategy: Strategy, stage: str) -> Strategy:
    """Bring a strategy to a stage by overrides."""
    for wanted in ("backtested", "paper", "live"):
        if fresh(strategy).stage == stage:
            break
        gate.override(strategy.pk, Stage(wanted), reason="for a test", actor="tester")
    return fresh(strategy)


def fresh(strategy: Strategy) -> Strategy:
    return Strategy.objects.get(pk=strategy.pk)


def compared(strategy: Strategy, **changes: Any) -> Evidence:
    row = {"label": "", "signals": 100, "missed": 0, "extra": 0, "fills": 50, "slippage": 0.0002}
    span = Span(NOW - 20 * DAY, NOW)
    digest = gate.version_of(strategy).digest
    return gate.record_comparison(
        strategy.pk, Compared(version_digest=digest, **{**row, "span": span, **changes}), now=NOW
    )


def promote(strategy: Strategy, wanted: str) -> Evidence:
    return gate.promote(strategy.pk, Stage(wanted), now=NOW, actor="ann")


def test_the_whole_way_by_evidence(strategy: Strategy, make_run: Callable[..., Run]) -> None:
    first = make_run()
    assert promote(strategy, "backtested").run == first
    search(100, 50)
    later = make_run(40, 10)
    assert promote(strategy, "paper").run == later
    row = compared(fresh(strategy))
    assert promote(strategy, "live") == row
    assert fresh(strategy).stage == "live"
    told = [(event.payload["from"], event.payload["to"]) for event in Event.objects.order_by("id")]
    assert told == [("draft", "backtested"), ("backtested", "paper"), ("paper", "live")]
    event = Event.objects.order_by("id").first()
    assert event is not None
    assert (event.kind, event.actor, event.subject) == ("strategy.promoted", "ann", f"strategy:{strategy.pk}")
    assert event.payload["evidence"]["of"] == str(first)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"state": "running"}, "is not finished", id="not finished"),
        pytest.param({"critique": [RED]}, "few_trades", id="red"),
        pytest.param({"code_hash": "0" * 64}, "other code", id="other code"),
        pytest.param({"parameters": {"fast": 6, "slow": 20}}, "other parameters: fast", id="other parameters"),
        pytest.param({"bar_seconds": 86400}, "bars of 86400 s", id="other bars"),
        pytest.param({"kind": "trial"}, "no backtest", id="a trial of a search"),
        pytest.param({"plugin": "momentum"}, "no backtest", id="another plug-in"),
    ],
)
def test_what_does_not_lead_to_backtested(
    strategy: Strategy, make_run: Callable[..., Run], changes: dict[str, Any], words: str
) -> None:
    make_run(**changes)
    with pytest.raises(Refused, match=words):
        promote(strategy, "backtested")
    assert fresh(strategy).stage == "draft"
    assert not Evidence.objects.exists()
    assert not Event.objects.exists()


def test_a_real_backtest_is_about_the_strategy_as_it_is(strategy: Strategy, tmp_path: Path) -> None:
    """Computed and kept as the command does it; on a market that only rises nothing is wrong but its critique."""
    closes = 100 * np.exp(np.cumsum(np.random.default_rng(5).normal(0.0005, 0.001, 3000))).round(2)
    at = np.datetime64("2024-01-01T00:00:00") + np.arange(3000) * np.timedelta64(60, "s")
    lines = [f"{when}Z,{p},{p},{p},{p},1000000000" for when, p in zip(at, closes, strict=True)]
    (tmp_path / "rise.csv").write_text("Date,Open,High,Low,Close,Volume\n" + "\n".join(lines) + "\n")
    request = Request(plugin="sma_cross", parameters={"fast": 5}, data=Spec(files=(str(tmp_path / "rise.csv"),)))
    run = runs.record(request, runs.run_once(request), now=NOW)
    reds = [remark["code"] for remark in run.critique if remark["severity"] == "red"]
    standing = gate.standing(strategy)
    if reds:
        assert standing.why == (f"run {run.pk} has a red critique: {', '.join(reds)}",)
    else:
        assert standing.source == run
    Run.objects.update(critique=[])
    assert promote(strategy, "backtested").run == run


def test_a_comparison_without_a_slippage_is_kept_and_is_not_enough(strategy: Strategy) -> None:
    at(strategy, "paper")
    compared(strategy, slippage=float("nan"), fills=0)
    with pytest.raises(Refused, match="0 fills"):
        promote(strategy, "live")


def test_a_promotion_forgets_what_an_earlier_version_failed_at(strategy: Strategy) -> None:
    Strategy.objects.filter(pk=strategy.pk).update(failures=3, failed_bar_at=NOW)
    at(strategy, "backtested")
    assert (fresh(strategy).failures, fresh(strategy).failed_bar_at) == (0, None)


def test_the_days_of_a_search_are_no_test(strategy: Strategy, make_run: Callable[..., Run]) -> None:
    at(strategy, "backtested")
    search(100, 50)
    make_run(60, 10)
    with pytest.raises(Refused, match="shares days with a search"):
        promote(strategy, "paper")
    make_run(49, 10)
    assert promote(strategy, "paper").need == "out_of_sample"


def test_the_search_of_another_plugin_is_no_search(strategy: Strategy, make_run: Callable[..., Run]) -> None:
    at(strategy, "backtested")
    search(100, 0, plugin="momentum")
    make_run()
    promote(strategy, "paper")


def test_the_backtest_before_is_not_the_test_after(strategy: Strategy, make_run: Callable[..., Run]) -> None:
    make_run()
    promote(strategy, "backtested")
    with pytest.raises(Refused, match="earlier backtest"):
        promote(strategy, "paper")


def test_a_walk_forward_is_a_test_although_it_searched(strategy: Strategy, make_run: Callable[..., Run]) -> None:
    make_run(kind="walkforward")
    search(100, 50)
    promote(strategy, "backtested")
    assert promote(strategy, "paper").run.kind == "walkforward"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"span": Span(NOW - 3 * DAY, NOW)}, "spans 3.0 days"),
        ({"missed": 20}, "20 missed"),
        ({"slippage": 0.01}, "worse"),
        ({"version_digest": "other"}, "other code"),
    ],
)
def test_paper_beyond_tolerance_does_not_lead_to_live(strategy: Strategy, changes: dict[str, Any], words: str) -> None:
    at(strategy, "paper")
    digest = changes.pop("version_digest", gate.version_of(strategy).digest)
    span = changes.pop("span", Span(NOW - 20 * DAY, NOW))
    row = {"label": "", "signals": 100, "missed": 0, "extra": 0, "fills": 50, "slippage": 0.0, **changes}
    gate.record_comparison(strategy.pk, Compared(version_digest=digest, span=span, **row), now=NOW)
    with pytest.raises(Refused, match=words):
        promote(strategy, "live")


def test_a_stage_cannot_be_skipped(strategy: Strategy, make_run: Callable[..., Run]) -> None:
    make_run()
    for act in (
        lambda: promote(strategy, "paper"),
        lambda: gate.override(strategy.pk, Stage.LIVE, reason="now", actor="ann"),
        lambda: gate.move(strategy.pk, Stage.PAPER, actor="ann"),
    ):
        with pytest.raises(Refused):
            act()
    assert fresh(strategy).stage == "draft"


def test_an_override_says_who_and_why(strategy: Strategy) -> None:
    gate.override(strategy.pk, Stage.BACKTESTED, reason=" I know it well ", actor="ann")
    event = Event.objects.get()
    assert (event.kind, event.actor) == ("strategy.overruled", "ann")
    assert (event.payload["reason"], event.payload["evidence"]) == ("I know it well", {})


@pytest.mark.parametrize("reason", ["", "   ", "x"])
def test_an_override_without_a_reason_is_refused(strategy: Strategy, reason: str) -> None:
    with pytest.raises(Refused, match="reason"):
        gate.override(strategy.pk, Stage.BACKTESTED, reason=reason, actor="ann")
    assert fresh(strategy).stage == "draft"


def test_a_pause_goes_back_to_where_it_began(strategy: Strategy) -> None:
    at(strategy, "live")
    gate.move(strategy.pk, Stage.PAUSED, actor="ann", reason="holidays")
    with pytest.raises(Refused, match="where the pause began"):
        gate.move(strategy.pk, Stage.PAPER, actor="ann")
    gate.move(strategy.pk, Stage.LIVE, actor="ann")
    assert (fresh(strategy).stage, fresh(strategy).paused_from) == ("live", "")


def test_retired_and_revived_begins_anew(strategy: Strategy) -> None:
    at(strategy, "paper")
    gate.move(strategy.pk, Stage.RETIRED, actor="ann")
    gate.move(strategy.pk, Stage.DRAFT, actor="ann")
    assert (fresh(strategy).stage, fresh(strategy).proven) == ("draft", "")


@pytest.mark.parametrize("stage", ["backtested", "paper", "live", "paused"])
@pytest.mark.parametrize("change", [{"parameters": {"fast": 6}}, {"bar_seconds": 120}, {"plugin": "momentum"}])
def test_other_settings_void_the_evidence(strategy: Strategy, stage: str, change: dict[str, Any]) -> None:
    if change.get("plugin"):
        change = {**change, "parameters": {}}
    at(strategy, "paper" if stage == "paused" else stage)
    if stage == "paused":
        gate.move(strategy.pk, Stage.PAUSED, actor="ann")
    Strategy.objects.filter(pk=strategy.pk).update(**change)
    assert stages.void_if_changed(fresh(strategy), actor="bob")
    assert (fresh(strategy).stage, fresh(strategy).proven, fresh(strategy).paused_from) == ("draft", "", "")
    event = Event.objects.get(kind="strategy.voided")
    assert (event.actor, event.payload["from"], event.payload["to"]) == ("bob", stage, "draft")


def test_the_same_settings_written_otherwise_void_nothing(strategy: Strategy) -> None:
    at(strategy, "paper")
    Strategy.objects.filter(pk=strategy.pk).update(parameters={"fast": 5, "slow": 20})  # its default
    assert not stages.void_if_changed(fresh(strategy))
    assert fresh(strategy).stage == "paper"


def test_changed_code_voids_the_evidence(strategy: Strategy) -> None:
    at(strategy, "paper")
    Strategy.objects.filter(pk=strategy.pk).update(proven="0" * 64)  # as if the file had been another then
    assert stages.void_if_changed(fresh(strategy))
    assert fresh(strategy).stage == "draft"


def test_a_plugin_that_is_gone_voids_the_evidence(strategy: Strategy) -> None:
    at(strategy, "paper")
    Strategy.objects.filter(pk=strategy.pk).update(plugin="no_such_plugin")
    assert stages.void_if_changed(fresh(strategy))
    assert "no_such_plugin" in Event.objects.get(kind="strategy.voided").payload["reason"]


def test_of_two_promotions_at_once_one_wins(strategy: Strategy, make_run: Callable[..., Run]) -> None:
    make_run()

    def attempt(number: int) -> str:
        try:
            gate.promote(strategy.pk, Stage.BACKTESTED, now=NOW, actor=f"p{number}")
        except Refused as refused:
            return str(refused)
        else:
            return "done"
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(attempt, range(16)))
    assert answers.count("done") == 1
    assert Evidence.objects.count() == Event.objects.count() == 1


def test_a_promotion_decided_on_other_parameters_is_refused(strategy: Strategy, make_run: Callable[..., Run]) -> None:
    """The row is changed between the look and the UPDATE: the negative control of the check in it."""
    make_run()
    seen = fresh(strategy)
    version = gate.version_of(seen)
    Strategy.objects.filter(pk=strategy.pk).update(parameters={"fast": 7})
    with pytest.raises(Refused, match="somebody else"):
        stages.promote(seen, Stage.BACKTESTED, version, actor="ann", evidence={"id": 1})
    assert fresh(strategy).stage == "draft"
    assert not Event.objects.exists()


def test_what_is_missing_is_told(strategy: Strategy, make_run: Callable[..., Run]) -> None:
    found = gate.standing(strategy)
    assert (found.stage, found.next, found.source) == ("draft", "backtested", None)
    assert found.why == ("there is no backtest of it yet",)
    run = make_run()
    assert gate.standing(strategy).source == run


def test_the_command_shows_and_promotes(strategy: Strategy, make_run: Callable[..., Run]) -> None:
    def told(*arguments: str) -> str:
        out = StringIO()
        call_command("stage", *arguments, stdout=out)
        return out.getvalue()

    assert "draft" in told("Trend")
    with pytest.raises(CommandError, match="no backtest"):
        told("Trend", "backtested")
    make_run()
    assert "backtested" in told("Trend", "backtested", "--actor", "ann")
    with pytest.raises(CommandError, match="shares days"):
        told("Trend", "paper")
    assert "paper" in told("Trend", "paper", "--override", "we watch it")
    assert "paused" in told(str(strategy.pk), "paused")
    assert '"stage": "paused"' in told("Trend", "--json")
    assert Event.objects.filter(kind="strategy.overruled").get().payload["reason"] == "we watch it"
    with pytest.raises(CommandError, match="no strategy"):
        told("Nobody")


def test_strategies_that_ran_before_stages_came_run_on(transactional_db: None) -> None:
    executor = MigrationExecutor(connection)
    try:
        executor.migrate([("strategies", "0002_stages")])
        old = executor.loader.project_state([("strategies", "0002_stages")]).apps.get_model("strategies", "Strategy")
        old.objects.create(name="ran", plugin="sma_cross", enabled=True)
        old.objects.create(name="slept", plugin="sma_cross", enabled=False)
    finally:
        executor.loader.build_graph()
        executor.migrate(executor.loader.graph.leaf_nodes())
    assert dict(Strategy.objects.values_list("name", "stage")) == {"ran": "paper", "slept": "draft"}
    assert Event.objects.get(kind="strategy.overruled").payload["strategy"] == "ran"
    ran = Strategy.objects.get(name="ran")
    assert stages.holds(ran, gate.version_of(ran)), "what it is now is what its stage rests on"
    Strategy.objects.filter(pk=ran.pk).update(parameters={"fast": 3})
    assert stages.void_if_changed(fresh(ran))
