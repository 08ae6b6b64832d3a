"""Beginning, stopping and resuming searches: a study is a row, and so is each of its trials."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction

from apps.backtests.models import Study, Trial
from apps.backtests.services import benches, datasets
from apps.backtests.sources import Loaded, Spec
from apps.domain.backtests import search, walking
from apps.domain.backtests.conventions import Conventions
from apps.domain.backtests.search import Chosen, Parameters, Search, Space
from apps.domain.backtests.walking import Length, Mode, Window
from apps.domain.errors import Problem, Refused
from apps.domain.strategies import contract
from apps.domain.strategies.contract import Strategy
from apps.market.models import Instrument

FIGURES: Final = 1  # of the figures kept of a trial; another number when they are computed in another way
TASK: Final = "backtests.trials"
TRIALS: Final = 100  # of a search that could go on for ever
_BATCH: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """How a walk forward cuts the bars."""

    train: str
    test: str
    mode: Mode = Mode.ROLLING


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A search as somebody wants it. `trials` is for each window; `again` computes what is known already, too."""

    plugin: str
    space: Sequence[str]  # like fast=5:50:5
    data: Spec = field(default_factory=Spec)
    conventions: Conventions = field(default_factory=Conventions)
    search: Search = Search.GRID
    objective: str = "sharpe"
    trials: int | None = None
    least_trades: int = 1
    seed: int = 0
    again: bool = False
    walk: Walk | None = None
    strategy_id: int | None = None
    made_by_id: int | None = None


def begin(order: Order, loaded: Loaded, now: datetime) -> Study:
    """Write down a study and the trials known so far; those an earlier study computed are done at once.

    Raises Refused with every problem found.
    """
    plugin = benches.plugin_of(order.plugin)
    where = search.space(plugin, order.space)
    search.goal(order.objective)
    _insist_on_counts(order)
    windows = _windows(order.walk, loaded)
    chosen = _chosen(order, plugin, where)
    keep = None if loaded.names == order.data.instruments else datasets.store(loaded, now)
    with transaction.atomic():
        study = _row(order, loaded, now, plugin, where, windows, chosen)
        study.dataset = keep
        study.save()
        for number in range(len(windows)):
            add(study, number, chosen.trials, again=order.again)
    benches.keep(loaded)
    return study


def add(study: Study, window: int, parameters: Sequence[Parameters], *, again: bool = False) -> None:
    """Add trials of one window; those an earlier study computed are done at once unless `again`."""
    plugin = benches.plugin_of(study.plugin)
    first = Trial.objects.filter(study=study).count()
    rows = [
        Trial(study=study, number=first + place, window=window, parameters=each, key=key(study, plugin, window, each))
        for place, each in enumerate(parameters)
    ]
    Trial.objects.bulk_create(rows, batch_size=_BATCH)
    if not again:
        _reuse(study)


def key(study: Study, plugin: type[Strategy], window: int, parameters: Mapping[str, Any]) -> str:
    """Return the SHA-256 of all that determines the figures of a trial."""
    start, stop, _ = study.windows[window]
    bars = study.data_hash if stop - start == study.bars else f"{study.data_hash}[{start}:{stop}]"
    conventions = study.conventions
    told = [FIGURES, study.code_hash, full(plugin, parameters), conventions, bars, study.bar_seconds]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def full(plugin: type[Strategy], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return every parameter with its value, defaults included."""
    properties = contract.schema(plugin)["properties"]
    return {name: parameters.get(name, about["default"]) for name, about in properties.items()}


def cancel(study_id: int, now: datetime) -> bool:
    """Stop a running study; what is computed stays. False when it was not running."""
    running = Study.objects.filter(pk=study_id, state=Study.State.RUNNING)
    return bool(running.update(state=Study.State.CANCELLED, finished_at=now))


def resume(study_id: int) -> Study:
    """Return a study that goes on where it stopped: failed trials and cancelled studies get another chance.

    Raises Refused when there is none of this number. A study that is done stays as it is.
    """
    with transaction.atomic():
        stopped = Study.objects.filter(pk=study_id, state__in=[Study.State.CANCELLED, Study.State.FAILED])
        if stopped.update(state=Study.State.RUNNING, finished_at=None, error=""):
            Trial.objects.filter(study_id=study_id, state=Trial.State.FAILED).update(
                state=Trial.State.QUEUED, attempt=0, results=0, error="", finished_at=None
            )
    found = Study.objects.filter(pk=study_id).first()
    if found is None:
        newest = ", ".join(str(each) for each in Study.objects.values_list("pk", flat=True)[:5]) or "none"
        remedy = f"the newest ones are {newest}"
        raise Refused(Problem(field="resume", value=str(study_id), rule="is no search of this site", remedy=remedy))
    return found


def fail(study: Study, error: Refused, now: datetime) -> None:
    """Stop a study that cannot go on, and say why."""
    running = Study.objects.filter(pk=study.pk, state=Study.State.RUNNING)
    running.update(state=Study.State.FAILED, error=str(error)[:2000], finished_at=now)


def _insist_on_counts(order: Order) -> None:
    found = []
    if order.trials is not None and not 1 <= order.trials <= search.MOST_TRIALS:
        rule = f"must be from 1 to {search.MOST_TRIALS}"
        found.append(Problem(field="trials", value=str(order.trials), rule=rule, remedy="use 100 for example"))
    if order.least_trades < 0:
        value = str(order.least_trades)
        found.append(Problem(field="least_trades", value=value, rule="must not be negative", remedy="use 1"))
    if found:
        raise Refused(*found)


def _windows(walk: Walk | None, loaded: Loaded) -> list[Window]:
    if walk is None:
        return [Window(0, loaded.bars, loaded.bars)]
    if loaded.detail is not None:
        remedy = "leave the finer bars out"
        raise Refused(Problem(field="detail", value="given", rule="has no part in a walk forward", remedy=remedy))
    lengths = (Length.parse("train", walk.train), Length.parse("test", walk.test))
    return walking.windows(loaded.candles[0].at, *lengths, walk.mode)


def _chosen(order: Order, plugin: type[Strategy], where: Space) -> Chosen:
    if order.search is Search.GRID:
        chosen = search.grid(plugin, where, order.trials)
    elif order.search is Search.RANDOM:
        chosen = search.draws(plugin, where, order.trials or TRIALS, order.seed)
    else:
        return Chosen([], refused=0, left_out=0)  # thought of in rounds
    if not chosen.trials:
        rule, remedy = "leaves no combination that the strategy allows", "widen the ranges"
        raise Refused(Problem(field="param", value=", ".join(order.space)[:60], rule=rule, remedy=remedy))
    return chosen


def _row(
    order: Order,
    loaded: Loaded,
    now: datetime,
    plugin: type[Strategy],
    where: Space,
    windows: Sequence[Window],
    chosen: Chosen,
) -> Study:
    symbols = order.data.instruments
    return Study(
        kind=Study.Kind.WALK_FORWARD if order.walk else Study.Kind.SWEEP,
        strategy_id=order.strategy_id,
        plugin=order.plugin,
        code_hash=contract.code_hash(plugin),
        space=where.as_json(),
        search=order.search.value,
        objective=order.objective,
        least_trades=order.least_trades,
        wanted=len(chosen.trials) or order.trials or TRIALS,
        conventions=order.conventions.as_json(),
        seed=order.seed,
        data=order.data.as_json(),
        source=str(order.data)[:300] or ", ".join(loaded.names)[:300],
        instrument=Instrument.objects.filter(symbol=symbols[0]).first() if len(symbols) == 1 else None,
        bar_seconds=loaded.bar_seconds,
        since=loaded.since,
        until=loaded.until,
        bars=loaded.bars,
        data_hash=loaded.data_hash,
        plan={"train": order.walk.train, "test": order.walk.test, "mode": order.walk.mode.value} if order.walk else {},
        windows=[list(window) for window in windows],
        counts={"refused": chosen.refused, "left_out": chosen.left_out},
        made_by_id=order.made_by_id,
        made_at=now,
    )


_REUSE = """
UPDATE backtests_trial AS t
SET state = 'done', measures = known.measures, reused = true, results = 1, finished_at = clock_timestamp()
FROM (
    SELECT DISTINCT ON (old.key) old.key, old.measures
    FROM backtests_trial old JOIN backtests_trial new ON new.key = old.key
    WHERE new.study_id = %(study)s AND new.state = 'queued' AND old.study_id <> %(study)s AND old.state = 'done'
    ORDER BY old.key, old.id
) AS known
WHERE t.study_id = %(study)s AND t.state = 'queued' AND t.key = known.key
"""


def _reuse(study: Study) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_REUSE, {"study": study.pk})
        return int(cursor.rowcount)


def scores(study: Study, trials: Sequence[Trial]) -> Iterator[float | None]:
    """Yield how good each trial was, more is better, None without a figure."""
    goal = search.goal(study.objective)
    for trial in trials:
        yield search.score(trial.measures, goal, study.least_trades)
