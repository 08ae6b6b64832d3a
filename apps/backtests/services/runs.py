"""Runs as rows: asked for once, computed by whichever worker claims them, kept with their trades and their curve.

A run is claimed by an UPDATE that checks its attempt, computed with no transaction open, and settled by an UPDATE that
checks it again: a message that comes twice, or a worker that was given up and wakes again, changes nothing.
"""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from apps.backtests import bell, outcomes, plain, selectors, sources
from apps.backtests.models import Run
from apps.backtests.outcomes import Outcome, Progress, StrategyFailed
from apps.backtests.requests import Request
from apps.backtests.services.beating import Beating, Superseded
from apps.backtests.sources import Loaded, Spec
from apps.domain.backtests.conventions import Conventions
from apps.domain.errors import Refused, Unavailable
from apps.domain.strategies import contract
from apps.journal import services as journal
from apps.market.models import Instrument
from apps.strategies.models import Strategy

if TYPE_CHECKING:
    from apps.access.models import User

STALE: Final = timedelta(seconds=30)  # without a sign of life, then another worker may compute it
MOST_ATTEMPTS: Final = 5  # claims: when so many workers ended while computing it, more would end just so
GRACE: Final = timedelta(seconds=10)  # in which the call for a new run usually arrives
RUN_LIMIT: Final = timedelta(minutes=30)  # for one run

FINISHED, FAILED, CANCELLED = "backtest.finished", "backtest.failed", "backtest.cancelled"

logger = logging.getLogger(__name__)


def run_once(request: Request, *, progress: Progress = lambda share, stage: None) -> Outcome:
    """Load and compute, and keep nothing. Raises Refused, Unavailable and StrategyFailed."""
    loaded = sources.load(request.data)
    return outcomes.compute(request.plugin, request.parameters, request.conventions, loaded, progress=progress)


def start(
    request: Request,
    *,
    now: datetime,
    made_by: "User | None" = None,
    strategy: Strategy | None = None,
    kind: str = Run.Kind.SINGLE,
) -> Run:
    """Make a row for a worker to compute and call one. Raises Refused for parameters the strategy does not take."""
    outcomes.strategy_of(request.plugin, request.parameters)
    with transaction.atomic():
        run = _row(request, now=now, made_by=made_by, strategy=strategy, kind=kind)
        run.save(force_insert=True)
        bell.call_after_commit(bell.RUN, run.pk)
    return run


def record(
    request: Request,
    outcome: Outcome,
    *,
    now: datetime,
    made_by: "User | None" = None,
    strategy: Strategy | None = None,
    kind: str = Run.Kind.SINGLE,
) -> Run:
    """Keep what this process has computed as a finished run."""
    run = _row(request, now=now, made_by=made_by, strategy=strategy, kind=kind)
    for name, value in {**_about(outcome.loaded), **_columns(outcome)}.items():
        setattr(run, name, value)
    run.state, run.progress, run.started_at, run.finished_at = Run.State.DONE, 1.0, now, now
    with transaction.atomic():
        run.save(force_insert=True)
        _tell(FINISHED, run.pk, plugin=run.plugin, source=run.source, **run.summary)
    return run


def execute(run_id: int, *, worker: str) -> bool:
    """Compute a run that nobody computes, and say whether this call settled it."""
    attempt = _claim(run_id, worker)
    if attempt is None:
        return False
    run = selectors.runs().get(pk=run_id)
    try:
        with Beating(run_id, attempt) as beating:
            found = _computed(run, beating.progress)
    except Superseded:
        return False
    except (Refused, StrategyFailed) as error:
        return _settle_failed(run, attempt, str(error))
    except Unavailable as error:
        return _release(run, attempt, str(error), permanent=error.permanent)
    except Exception as error:  # a bug stays loud, and the row must not wait for another worker to meet it
        _settle_failed(run, attempt, f"{type(error).__name__}: {error}")
        raise
    except BaseException:  # the process is told to end: another one computes it
        _give_back(run_id, attempt)
        raise
    return _settle(run, attempt, found)


def cancel(run_id: int, *, actor: str = "") -> bool:
    """Take a run back that is not finished, and say whether this call did; who computes it stops soon."""
    unfinished = Run.objects.filter(pk=run_id, state__in=[Run.State.QUEUED, Run.State.RUNNING])
    with transaction.atomic():
        done = bool(unfinished.update(state=Run.State.CANCELLED, finished_at=Now(), stage=""))
        if done:
            _tell(CANCELLED, run_id, actor=actor)
    return done


def requeue(now: datetime) -> list[int]:
    """Return the runs that need a call: not begun long after they were made, or silent. Gives up on hopeless ones."""
    silent_since = now - STALE
    hopeless = Run.objects.filter(state=Run.State.RUNNING, beat_at__lt=silent_since, attempt__gte=MOST_ATTEMPTS)
    for run in hopeless.only("id", "attempt", "plugin", "source"):
        _settle_failed(run, run.attempt, f"its worker ended {run.attempt} times while computing it")
    return selectors.waiting(now - GRACE, silent_since=silent_since)


def _row(request: Request, *, now: datetime, made_by: "User | None", strategy: Strategy | None, kind: str) -> Run:
    plugin = outcomes.plugin_class(request.plugin)
    symbol = next(iter(request.data.instruments), None)
    return Run(
        kind=kind,
        strategy=strategy,
        plugin=request.plugin,
        code_hash=contract.code_hash(plugin),
        parameters=outcomes.parameters_of(plugin, request.parameters),
        conventions=request.conventions.as_json(),
        seed=request.conventions.seed,
        data=request.data.as_json(),
        source=str(request.data)[:300],
        instrument=Instrument.objects.filter(symbol=symbol).first() if symbol else None,
        bar_seconds=request.data.bar_seconds,
        made_by=made_by,
        made_at=now,
    )


def _claim(run_id: int, worker: str) -> int | None:
    """Make the run this worker's and return the number of the attempt; None when somebody else has it."""
    attempt = Run.objects.filter(pk=run_id).values_list("attempt", flat=True).first()
    if attempt is None:
        return None
    free = Q(state=Run.State.QUEUED) | Q(state=Run.State.RUNNING, beat_at__lt=Now() - STALE)
    claimed = Run.objects.filter(free, pk=run_id, attempt=attempt, attempt__lt=MOST_ATTEMPTS).update(
        state=Run.State.RUNNING,
        attempt=F("attempt") + 1,
        worker=worker,
        beat_at=Now(),
        started_at=Now(),
        progress=0.0,
        stage="candles",
        error="",
    )
    return attempt + 1 if claimed else None


def _computed(run: Run, progress: Progress) -> Mapping[str, Any]:
    """Return the columns of the result: computed, or those of an earlier run that is the same in every respect."""
    conventions = Conventions.restored(run.conventions)
    loaded = sources.load(Spec.from_json(run.data))
    code_hash = contract.code_hash(outcomes.plugin_class(run.plugin))
    earlier = selectors.with_key(outcomes.key_of(code_hash, run.parameters, conventions, loaded))
    about = _about(loaded)
    if earlier is not None:
        return about | {name: getattr(earlier, name) for name in _RESULT}
    outcome = outcomes.compute(run.plugin, run.parameters, conventions, loaded, progress=progress)
    return about | _columns(outcome)


def _about(loaded: Loaded) -> dict[str, Any]:
    return {
        "bar_seconds": loaded.bar_seconds,
        "since": loaded.since,
        "until": loaded.until,
        "bars": loaded.bars,
        "data_hash": loaded.data_hash,
    }


_RESULT: Final = (
    "code_hash",
    "key",
    "summary",
    "statistics",
    "critique",
    "bounds",
    "rejected",
    "open",
    "trades",
    "equity",
)


def _columns(outcome: Outcome) -> dict[str, Any]:
    result = outcome.result
    return {
        "code_hash": outcome.code_hash,
        "key": outcome.key,
        "summary": plain.numbers(plain.summary(result)),
        "statistics": plain.numbers(outcome.statistics),
        "critique": [plain.numbers(remark.as_json()) for remark in outcome.critique],
        "bounds": plain.numbers(outcome.bounds.as_json()),
        "rejected": dict(result.rejected),
        "open": plain.holdings(result, outcome.loaded.names),
        "trades": plain.packed_trades(result.trades),
        "equity": plain.packed(at=result.at, value=result.equity),
    }


def _settle(run: Run, attempt: int, found: Mapping[str, Any]) -> bool:
    done = {"state": Run.State.DONE, "progress": 1.0, "stage": "", "finished_at": Now()}
    with transaction.atomic():
        if not _mine(run.pk, attempt).update(**done, **found):
            return False
        _tell(FINISHED, run.pk, plugin=run.plugin, source=run.source, **found["summary"])
    return True


def _settle_failed(run: Run, attempt: int, why: str) -> bool:
    logger.warning("Run %s failed: %s", run.pk, why)
    failed = {"state": Run.State.FAILED, "stage": "", "error": why[:2000], "finished_at": Now()}
    with transaction.atomic():
        if not _mine(run.pk, attempt).update(**failed):
            return False
        _tell(FAILED, run.pk, plugin=run.plugin, source=run.source, error=why[:500])
    return True


def _release(run: Run, attempt: int, why: str, *, permanent: bool) -> bool:
    """Let the run wait for a better time, unless there will be none."""
    if permanent or attempt >= MOST_ATTEMPTS:
        return _settle_failed(run, attempt, why)
    _mine(run.pk, attempt).update(state=Run.State.QUEUED, stage="", error=why[:2000])
    return False


def _give_back(run_id: int, attempt: int) -> None:
    _mine(run_id, attempt).update(state=Run.State.QUEUED, stage="")


def _mine(run_id: int, attempt: int) -> Any:
    return Run.objects.filter(pk=run_id, state=Run.State.RUNNING, attempt=attempt)


def _tell(kind: str, run_id: int, *, actor: str = "", **payload: Any) -> None:
    journal.record(kind, f"run:{run_id}", payload=plain.numbers(payload), actor=actor)
