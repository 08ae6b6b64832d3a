"""Searches from end to end: a turn of a worker, what comes after the last trial, and what a person is told."""

import logging
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db import transaction
from django.db.models import Count
from django.db.models.functions import Now

from apps.backtests import locks
from apps.backtests.models import Study, Trial
from apps.backtests.services import bayesian, benches, judging, studies, trials, walking
from apps.backtests.services.bayesian import Tried
from apps.domain.backtests import search
from apps.domain.backtests.search import Parameters, Search, Space
from apps.domain.errors import Refused, Unavailable

SHOWN: Final = 10  # of the best trials
WORKERS: Final = 8  # called for one study at once
WORTH_A_WORKER: Final = 4  # trials

logger = logging.getLogger(__name__)


class Turn(NamedTuple):
    """What a turn came to; `more` says that trials wait for a worker."""

    settled: int
    seconds: float
    more: bool


class Progress(NamedTuple):
    """How far a study is."""

    state: str
    total: int
    queued: int
    running: int
    done: int
    failed: int
    reused: int

    @property
    def settled(self) -> int:
        """Trials that are over."""
        return self.done + self.failed


def turn(study_id: int, worker: str, *, seconds: float, now: datetime) -> Turn:
    """Compute trials of a study for a while, and decide what comes next when none is left. Safe to repeat.

    `worker` names this process as HOST:NUMBER, whatever stands before the host.
    """
    study = Study.objects.filter(pk=study_id, state=Study.State.RUNNING).select_related("dataset").first()
    if study is None:
        return Turn(0, 0.0, more=False)
    try:
        bench = benches.of(study)
        trials.free_the_dead(study_id, worker)
        settled, spent = 0, 0.0
        while spent < seconds:
            worked = trials.work(study, bench, worker, seconds=seconds - spent)
            settled, spent = settled + worked.settled, spent + worked.seconds
            if trials.claimable(study_id):
                continue
            locks.give_up(study_id)
            if not advance(study, bench, now):
                break
    except Refused as error:
        studies.fail(study, error, now)
        return Turn(0, 0.0, more=False)
    except Unavailable as error:
        logger.warning("Search %s waits: %s", study_id, error)
        return Turn(0, 0.0, more=False)
    return Turn(settled, spent, more=trials.claimable(study_id))


def advance(study: Study, bench: benches.Bench, now: datetime) -> bool:
    """Decide what comes after the last trial: more of them (True), or the result. Nothing while some are computed.

    It is thought of before anything is locked; whoever comes second finds it done.
    """
    if progress(study.pk).total != _settled(study.pk):
        return False
    known = list(Trial.objects.filter(study=study).order_by("number"))
    ideas = _ideas(study, bench, known) if study.search == Search.BAYESIAN else {}
    if any(found for found, _ in ideas.values()):
        return _add(study, len(known), ideas)
    conclude(study, bench, known, now)
    return False


def conclude(study: Study, bench: benches.Bench, known: list[Trial], now: datetime) -> None:
    """Write down the result of a study whose trials are over."""
    places = [_best(study, known, window) for window in range(len(study.windows))]
    told, summary = None, {}
    if study.kind == Study.Kind.WALK_FORWARD:
        told = walking.outcome(study, bench, places)
        summary = told.summary
    elif places[0] is not None:
        summary = judging.best_of_many(bench, places[0], known, parameters=len(study.space))
    with transaction.atomic():
        locked = locks.study(study.pk)
        if locked is None:
            return
        locked.state, locked.finished_at, locked.summary = Study.State.DONE, now, summary
        if told is not None:
            locked.run = walking.record(locked, told, now)
        locked.save(update_fields=["state", "finished_at", "summary", "run"])


def progress(study_id: int) -> Progress:
    """Return how far a study is."""
    state = Study.objects.values_list("state", flat=True).get(pk=study_id)
    rows = Trial.objects.filter(study_id=study_id).values_list("state", "reused").annotate(count=Count("id"))
    counts = {"queued": 0, "running": 0, "done": 0, "failed": 0}
    reused = 0
    for each, again, count in rows:
        counts[each] += count
        reused += count if again else 0
    return Progress(state, sum(counts.values()), **counts, reused=reused)


def expected(study: Study) -> int:
    """Return how many trials there will be in all, at most."""
    return study.wanted * len(study.windows)


def unfinished() -> list[int]:
    """Return the studies that have work for a worker: trials to compute or a next step to decide."""
    return list(Study.objects.filter(state=Study.State.RUNNING).order_by("id").values_list("pk", flat=True))


def workers_wanted(study_id: int, most: int = WORKERS) -> int:
    """Return how many more workers could compute trials of a study now; one when its next step is to be decided."""
    waiting = Trial.objects.filter(study_id=study_id, state__in=[Trial.State.QUEUED, Trial.State.RUNNING])
    alive = waiting.filter(state=Trial.State.RUNNING, beat_at__gte=Now() - timedelta(seconds=locks.STALE))
    free = waiting.count() - alive.count()
    if not free:
        return 0 if waiting.exists() else 1
    at_work = alive.order_by().values("worker").distinct().count()
    return max(0, min(most - at_work, -(-free // WORTH_A_WORKER)))


def ranked(study: Study, window: int = 0) -> list[Trial]:
    """Return the trials of a window that have a score, the best first, of equal ones the earlier first."""
    rows = list(Trial.objects.filter(study=study, window=window, state=Trial.State.DONE).order_by("number"))
    scored = [(score, row) for score, row in zip(studies.scores(study, rows), rows, strict=True) if score is not None]
    return [row for _, row in sorted(scored, key=lambda each: (-each[0], each[1].number))]


def report(study: Study) -> dict[str, Any]:
    """Return what a person or a program is told of a study."""
    found = progress(study.pk)
    told = {
        "study": study.pk,
        "kind": study.kind,
        "state": study.state,
        "error": study.error,
        "strategy": study.plugin,
        "code_hash": study.code_hash,
        "source": study.source,
        "bars": study.bars,
        "data_hash": study.data_hash,
        "search": study.search,
        "objective": study.objective,
        "seed": study.seed,
        "trials": found.total,
        "done": found.done,
        "failed": found.failed,
        "reused": found.reused,
        **study.counts,
        "conventions": study.conventions,
    }
    if study.kind == Study.Kind.WALK_FORWARD:
        return {**told, "plan": study.plan, "run": study.run_id, **study.summary}
    best = ranked(study)
    return {
        **told,
        **study.summary,
        "best": _told(best[0], study) if best else None,
        "top": [_told(row, study) for row in best[:SHOWN]],
        "errors": _errors(study),
    }


def every_trial(study: Study) -> list[dict[str, Any]]:
    """Return all trials in the order of their numbers."""
    return [_told(row, study) for row in Trial.objects.filter(study=study).order_by("number")]


def _told(row: Trial, study: Study) -> dict[str, Any]:
    return {
        "number": row.number,
        "window": row.window,
        "parameters": row.parameters,
        "value": (row.measures or {}).get(study.objective),
        "measures": row.measures,
        "state": row.state,
        "reused": row.reused,
        **({"error": row.error} if row.error else {}),
    }


def _errors(study: Study) -> list[dict[str, Any]]:
    failed = Trial.objects.filter(study=study, state=Trial.State.FAILED)
    rows = failed.values("error").annotate(count=Count("id")).order_by("-count")[:5]
    return [{"error": row["error"], "trials": row["count"]} for row in rows]


def _settled(study_id: int) -> int:
    return Trial.objects.filter(study_id=study_id, state__in=[Trial.State.DONE, Trial.State.FAILED]).count()


def _best(study: Study, known: list[Trial], window: int) -> Trial | None:
    rows = [row for row in known if row.window == window]
    place = search.best(list(studies.scores(study, rows)))
    return None if place is None else rows[place]


def _ideas(study: Study, bench: benches.Bench, known: list[Trial]) -> dict[int, tuple[list[Parameters], int]]:
    """Think of the next round of each window that wants more trials."""
    where = Space.from_json(study.space)
    ideas = {}
    for window in range(len(study.windows)):
        rows = [row for row in known if row.window == window]
        wanted = min(study.wanted - len(rows), bayesian.ROUND)
        if wanted > 0:
            scores = studies.scores(study, rows)
            tried = [Tried(row.parameters, score) for row, score in zip(rows, scores, strict=True)]
            ideas[window] = bayesian.suggest(bench.plugin, where, tried, wanted, study.seed + window)
    return ideas


def _add(study: Study, known: int, ideas: dict[int, tuple[list[Parameters], int]]) -> bool:
    with transaction.atomic():
        locked = locks.study(study.pk)
        if locked is None or Trial.objects.filter(study=study).count() != known:
            return True  # somebody else was first: there may be trials to claim
        for window, (found, _) in ideas.items():
            studies.add(locked, window, found)
        refused = sum(count for _, count in ideas.values())
        locked.counts = {**locked.counts, "refused": locked.counts.get("refused", 0) + refused}
        locked.save(update_fields=["counts"])
    return True
