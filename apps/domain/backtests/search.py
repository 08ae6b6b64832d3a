"""Which parameters shall be tried, and which of them were best? Grids, random draws, and what counts as good."""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice, product
from typing import Any, Final, NamedTuple, TypeAlias

from apps.domain.backtests.axes import Axis, Value, axis
from apps.domain.errors import Problem, Refused
from apps.domain.strategies import contract
from apps.domain.strategies.contract import Strategy

Parameters: TypeAlias = dict[str, Value]
MOST_TRIALS: Final = 100_000
_MISSES: Final = 1000  # draws in a row, then a space is taken for exhausted
_LISTED_UP_TO: Final = 20_000  # a space this small is listed and shuffled instead of drawn from


class Search(StrEnum):
    """How the next parameters are found."""

    GRID = "grid"  # every combination
    RANDOM = "random"  # combinations drawn with a seed
    BAYESIAN = "bayesian"  # what earlier trials make likely to be better


class Goal(NamedTuple):
    """One figure that a search may look for, and whether more of it is better."""

    name: str
    largest: bool
    sentence: str


GOALS: Final = {
    goal.name: goal
    for goal in (
        Goal("sharpe", largest=True, sentence="return per risk, a year"),
        Goal("sharpe_simple_252", largest=True, sentence="the same per bar, for 252 bars a year"),
        Goal("sortino", largest=True, sentence="return per downside risk, a year"),
        Goal("calmar", largest=True, sentence="yearly growth over maximum drawdown"),
        Goal("final_equity", largest=True, sentence="cash and holdings after the last bar"),
        Goal("return_pct", largest=True, sentence="what was gained, percent of the cash"),
        Goal("cagr_pct", largest=True, sentence="growth a year, percent"),
        Goal("max_drawdown_pct", largest=False, sentence="deepest fall from a high, percent"),
        Goal("annual_volatility_pct", largest=False, sentence="deviation of returns, a year, percent"),
        Goal("win_rate_pct", largest=True, sentence="share of closed trades that gained, percent"),
        Goal("profit_factor", largest=True, sentence="gains over losses of closed trades"),
        Goal("expectancy", largest=True, sentence="mean profit of a closed trade"),
        Goal("sqn", largest=True, sentence="system quality number of the closed trades"),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """All parameters of a search; those it does not name have their defaults."""

    axes: tuple[Axis, ...]

    @property
    def size(self) -> int | None:
        """Return how many combinations there are, None for a continuum."""
        sizes = [each.size for each in self.axes]
        return None if None in sizes else math.prod(size for size in sizes if size is not None)

    def as_json(self) -> list[dict[str, Any]]:
        """Return the space as it is stored."""
        return [each.as_json() for each in self.axes]

    @classmethod
    def from_json(cls, stored: Sequence[Mapping[str, Any]]) -> "Space":
        """Return what `as_json` gave."""
        return cls(axes=tuple(Axis.from_json(each) for each in stored))


class Chosen(NamedTuple):
    """The parameters to try, in order, and what a limit or the strategy's own rules kept out."""

    trials: list[Parameters]
    refused: int  # combinations the strategy does not allow, like a fast mean slower than the slow one
    left_out: int  # allowed ones beyond the limit


def space(plugin: type[Strategy], texts: Sequence[str]) -> Space:
    """Read `name=values` of a command line. Raises Refused with every problem found."""
    known = contract.schema(plugin)["properties"]
    axes: dict[str, Axis] = {}
    problems: list[Problem] = []
    for text in texts:
        name, _, values = (part.strip() for part in text.partition("="))
        try:
            _must_be_new(name, values, known, axes)
            axes[name] = axis(name, values, known[name])
        except Refused as error:
            problems += error.problems
    if not problems and all(each.fixed for each in axes.values()):
        remedy = f"give one of {', '.join(known)} several values, like {next(iter(known), 'name')}=5:50:5"
        problems.append(Problem(field="param", value=", ".join(texts), rule="leaves nothing to search", remedy=remedy))
    if problems:
        raise Refused(*problems)
    return Space(axes=tuple(axes.values()))


def _must_be_new(name: str, values: str, known: Mapping[str, Any], axes: Mapping[str, Axis]) -> None:
    if name not in known:
        rule, remedy = "is no parameter of this strategy", f"use one of {', '.join(known) or 'none: it has none'}"
    elif not values:
        rule, remedy = "has no values", f"write {name}=5:50:5, {name}=5,10 or {name}=*"
    elif name in axes:
        rule, remedy = "stands there twice", "leave one out"
    else:
        return
    raise Refused(Problem(field=name[:60] or "param", value=values[:60], rule=rule, remedy=remedy))


def grid(plugin: type[Strategy], where: Space, limit: int | None = None) -> Chosen:
    """Return every combination, the last axis fastest; beyond `limit`, evenly spread ones. Raises Refused if huge."""
    total = math.prod(len(each.points()) for each in where.axes)
    if total > MOST_TRIALS:
        rule = f"has {total} combinations, more than {MOST_TRIALS}"
        raise Refused(Problem(field="search", value="grid", rule=rule, remedy="use wider steps, or --search random"))
    combinations = list(_combinations(where))
    allowed = [each for each in combinations if is_allowed(plugin, each)]
    kept = allowed
    if limit is not None and len(allowed) > limit:
        kept = [allowed[number * len(allowed) // limit] for number in range(limit)]
    return Chosen(kept, refused=len(combinations) - len(allowed), left_out=len(allowed) - len(kept))


def draws(plugin: type[Strategy], where: Space, count: int, seed: int) -> Chosen:
    """Return up to `count` different allowed combinations, the same ones for the same seed."""
    found = fresh(plugin, where, seed, set())
    if not _is_small(where):
        return Chosen(list(islice(found, count)), refused=0, left_out=0)
    allowed = list(found)
    return Chosen(allowed[:count], refused=(where.size or 0) - len(allowed), left_out=max(len(allowed) - count, 0))


def fresh(plugin: type[Strategy], where: Space, seed: int, known: set[tuple[Value, ...]]) -> Iterator[Parameters]:
    """Yield allowed combinations not yet in `known`, adding each to it; ends when the space is exhausted.

    A space too large to list counts as exhausted after many draws in a row that were known or not allowed.
    """
    misses = 0
    for drawn in _drawn(where, seed):
        misses += 1
        if identity(drawn) not in known and is_allowed(plugin, drawn):
            known.add(identity(drawn))
            misses = 0
            yield drawn
        elif misses >= _MISSES and not _is_small(where):
            return


def _drawn(where: Space, seed: int) -> Iterator[Parameters]:
    source = random.Random(seed)  # noqa: S311 - repeatable draws, no secret
    if _is_small(where):
        combinations = list(_combinations(where))
        source.shuffle(combinations)
        yield from combinations
        return
    while True:
        yield {each.name: each.draw(source) for each in where.axes}


def _is_small(where: Space) -> bool:
    return where.size is not None and where.size <= _LISTED_UP_TO


def identity(parameters: Mapping[str, Value]) -> tuple[Value, ...]:
    """Return what tells one combination of a search from another."""
    return tuple(parameters.values())


def is_allowed(plugin: type[Strategy], parameters: Mapping[str, Value]) -> bool:
    """Say whether the strategy takes these parameters together."""
    try:
        contract.build(plugin, parameters)
    except Refused:
        return False
    return True


def goal(name: str) -> Goal:
    """Return the figure of this name. Raises Refused with those that exist."""
    found = GOALS.get(name)
    if found is None:
        remedy = f"use one of {', '.join(GOALS)}"
        raise Refused(
            Problem(field="objective", value=name[:60], rule="is nothing a search can look for", remedy=remedy)
        )
    return found


def score(measures: Mapping[str, float | None] | None, what: Goal, least_trades: int = 1) -> float | None:
    """Return how good a trial was, more is better; None when it has no such figure, or closed too few trades.

    Without trades the deepest fall is nothing, and a search for it would choose to do nothing.
    """
    value = (measures or {}).get(what.name)
    if measures is None or value is None or not math.isfinite(value):
        return None
    if (measures.get("closed_trades") or 0) < least_trades:
        return None
    return value if what.largest else -value


def best(scores: Sequence[float | None]) -> int | None:
    """Return the place of the best score, of equal ones the first; None when no trial has one."""
    found = [(score, -place) for place, score in enumerate(scores) if score is not None]
    return -max(found)[1] if found else None


def _combinations(where: Space) -> Iterator[Parameters]:
    names = [each.name for each in where.axes]
    for values in product(*(each.points() for each in where.axes)):
        yield dict(zip(names, values, strict=True))
