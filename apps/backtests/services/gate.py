"""The gate: which stage may a strategy come to, by which evidence, and who went round it.

Promotions are judged on the row as read and carried out by an UPDATE that checks it is still that row, so of two at
once one wins and the other is refused.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from math import isfinite, nan
from typing import NamedTuple

from django.conf import settings
from django.db import transaction

from apps.backtests.models import Evidence, Run, Study
from apps.domain.backtests import gate
from apps.domain.backtests.gate import Compared, Need, Span, Stage, Tested, Tolerance, Verdict, Version
from apps.domain.errors import Problem, Refused
from apps.domain.plugins import PluginError
from apps.strategies import versions
from apps.strategies.models import Strategy
from apps.strategies.services import stages

NEWEST = 200  # runs, studies and comparisons that are looked at
Source = Run | Evidence


class Standing(NamedTuple):
    """Where a strategy stands: the stage its next promotion leads to, what that needs, and what there is of it."""

    stage: Stage
    next: Stage | None
    need: Need | None
    source: Source | None  # the evidence that is enough
    why: tuple[str, ...]  # or what is missing, a sentence each


def standing(strategy: Strategy) -> Standing:
    """Say what the next promotion needs and whether it is there. Raises Refused when the plug-in cannot be used."""
    stage = Stage(strategy.stage)
    wanted = gate.next_stage(stage)
    if wanted is None:
        return Standing(stage, None, None, None, ())
    need = gate.NEEDS[wanted]
    source, why = _judge(strategy, need, version_of(strategy))
    return Standing(stage, wanted, need, source, why)


def promote(strategy_id: int, wanted: Stage, *, now: datetime, actor: str) -> Evidence:
    """Promote a strategy one stage and keep the evidence. Raises Refused, with what is missing."""
    strategy = _strategy(strategy_id)
    gate.check_move(Stage(strategy.stage), wanted, paused_from=strategy.paused_from)
    if not gate.is_promotion(Stage(strategy.stage), wanted):
        raise Refused(_problem(wanted, f"is no promotion from {strategy.stage}", "move it there without evidence"))
    version = version_of(strategy)
    need = gate.NEEDS[wanted]
    source, why = _judge(strategy, need, version)
    if source is None:
        raise Refused(_problem(wanted, f"needs evidence: {need.replace('_', ' ')}; {' · '.join(why)}", _remedy(need)))
    with transaction.atomic():
        evidence = source if isinstance(source, Evidence) else _keep(strategy, need, version, source, now, actor)
        told = {"need": need.value, "id": evidence.pk, "of": str(source)}
        stages.promote(strategy, wanted, version, actor=actor, evidence=told)
    return evidence


def override(strategy_id: int, wanted: Stage, *, reason: str, actor: str) -> None:
    """Promote a strategy one stage without evidence; who and why is recorded. Raises Refused, without a reason too."""
    reason = reason.strip()
    if len(reason) < 3:
        problem = Problem(field="reason", value=repr(reason), rule="must say why", remedy="write a few words")
        raise Refused(problem)
    strategy = _strategy(strategy_id)
    if not gate.is_promotion(Stage(strategy.stage), wanted):
        raise Refused(_problem(wanted, f"is no promotion from {strategy.stage}", "move it there without evidence"))
    stages.promote(strategy, wanted, version_of(strategy), actor=actor, evidence={}, reason=reason)


def move(strategy_id: int, wanted: Stage, *, actor: str, reason: str = "") -> None:
    """Pause, resume, retire, revive or step down. Raises Refused."""
    strategy = _strategy(strategy_id)
    if gate.is_promotion(Stage(strategy.stage), wanted):
        raise Refused(_problem(wanted, f"is a promotion from {strategy.stage}", "promote it, with evidence"))
    stages.move(strategy, wanted, actor=actor, reason=reason.strip())


def record_comparison(strategy_id: int, row: Compared, *, now: datetime, actor: str = "") -> Evidence:
    """Keep how paper trading compares with its backtest; whether it is enough is judged at the promotion."""
    told = asdict(row) | {"slippage": row.slippage if isfinite(row.slippage) else None}
    facts = {**told, "span": None, "beyond": list(gate.beyond(row, tolerance()))}
    return Evidence.objects.create(
        strategy_id=strategy_id,
        need=Need.PAPER.value,
        version=row.version_digest,
        since=row.span.since,
        until=row.span.until,
        facts=facts,
        made_at=now,
        made_by=actor,
    )


def tolerance() -> Tolerance:
    """Return what this site asks of paper trading."""
    return Tolerance(days=float(settings.GATE_PAPER_DAYS))


def version_of(strategy: Strategy) -> Version:
    """Return the version a strategy is now. Raises Refused when its plug-in cannot be used."""
    try:
        return versions.of(strategy.plugin, strategy.parameters, strategy.bar_seconds)
    except PluginError as error:
        problem = Problem(
            field="plugin", value=strategy.plugin, rule=str(error), remedy="install it, or choose another"
        )
        raise Refused(problem) from error


# --- what there is --------------------------------------------------------------------------------------------------


def _judge(strategy: Strategy, need: Need, version: Version) -> tuple[Source | None, tuple[str, ...]]:
    if need == Need.PAPER:
        rows = list(Evidence.objects.filter(strategy=strategy, need=need)[:NEWEST])
        return _chosen(gate.judge_paper(version, [_compared(row) for row in rows], tolerance()), rows)
    runs = _runs(strategy.plugin)
    tests = [_tested(row) for row in runs]
    if need == Need.BACKTEST:
        return _chosen(gate.judge_backtest(version, tests), runs)
    return _chosen(gate.judge_out_of_sample(version, tests, _searched(strategy, version)), runs)


def _chosen(verdict: Verdict, rows: Sequence[Source]) -> tuple[Source | None, tuple[str, ...]]:
    return (None if verdict.chosen is None else rows[verdict.chosen]), verdict.why


def _runs(plugin: str) -> list[Run]:
    """Return the newest backtests and walk-forwards of a plug-in; what belongs to a search is left out."""
    rows = Run.objects.filter(plugin=plugin).exclude(kind__in=[Run.Kind.TRIAL, Run.Kind.SEGMENT])
    return list(rows.defer("trades", "equity").order_by("-id")[:NEWEST])


def _searched(strategy: Strategy, version: Version) -> list[Span]:
    """Return the days of every search among the plug-in's parameters, and of the backtest this stage rests on."""
    studies = Study.objects.filter(plugin=strategy.plugin).values_list("since", "until").distinct()
    trials = Run.objects.filter(plugin=strategy.plugin, kind=Run.Kind.TRIAL, since__isnull=False, until__isnull=False)
    rows = Evidence.objects.filter(strategy=strategy, need=Need.BACKTEST, version=version.digest, since__isnull=False)
    seen = [*studies, *trials.values_list("since", "until").distinct(), *rows.values_list("since", "until")[:1]]
    return [Span(since, until) for since, until in seen if since and until]


def _tested(run: Run) -> Tested:
    walked = run.kind == Study.Kind.WALK_FORWARD
    return Tested(
        label=f"{'walk-forward' if walked else 'run'} {run.pk}",
        version=Version(
            plugin=run.plugin, code_hash=run.code_hash, parameters=run.parameters, bar_seconds=run.bar_seconds or 0
        ),
        finished=run.state == Run.State.DONE,
        span=Span(run.since, run.until) if run.since and run.until else None,
        reds=_reds(run),
        walked=walked,
    )


def _reds(run: Run) -> tuple[str, ...]:
    return tuple(remark["code"] for remark in run.critique if remark["severity"] == "red")


def _compared(row: Evidence) -> Compared:
    assert row.since is not None
    assert row.until is not None
    counts = {name: row.facts[name] for name in ("signals", "missed", "extra", "fills")}
    slippage = row.facts["slippage"]
    return Compared(
        label=f"comparison {row.pk}",
        version_digest=row.version,
        span=Span(row.since, row.until),
        slippage=nan if slippage is None else slippage,
        **counts,
    )


def _keep(strategy: Strategy, need: Need, version: Version, run: Run, now: datetime, actor: str) -> Evidence:
    return Evidence.objects.create(
        strategy=strategy,
        need=need.value,
        version=version.digest,
        run=run,
        since=run.since,
        until=run.until,
        facts={"run": run.pk, "key": run.key, "data": run.data_hash, "source": run.source, "summary": run.summary},
        made_at=now,
        made_by=actor,
    )


def _strategy(strategy_id: int) -> Strategy:
    found = Strategy.objects.filter(pk=strategy_id).first()
    if found is None:
        problem = Problem(field="strategy", value=str(strategy_id), rule="is not there", remedy="choose another")
        raise Refused(problem)
    return found


def _remedy(need: Need) -> str:
    return {
        Need.BACKTEST: "run a backtest with these parameters and this length of bars",
        Need.OUT_OF_SAMPLE: "run `walkforward`, or a backtest of days no search has seen",
        Need.PAPER: "let it trade on paper, then run `compare`",
    }[need]


def _problem(wanted: Stage, rule: str, remedy: str) -> Problem:
    return Problem(field="stage", value=wanted.value, rule=rule, remedy=remedy)
