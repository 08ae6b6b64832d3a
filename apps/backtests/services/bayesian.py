"""What shall be tried next, given what earlier trials were worth? Optuna's TPE sampler, asked in rounds.

The rows are the truth: the sampler is made anew for each round, from the seed and from all trials before it, in the
order of their numbers. So a round is the same whoever asks for it and however often, after a crash as before it.
"""

import hashlib
import warnings
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any, Final, NamedTuple

from apps.domain.backtests import axes, search
from apps.domain.backtests.axes import Axis
from apps.domain.backtests.search import Parameters, Space
from apps.domain.strategies.contract import Strategy

ROUND: Final = 20  # trials asked for at once: what they are worth is known before the next ones are thought of
STARTUP: Final = 20  # random trials before the sampler has something to learn from
_ASKS_PER_TRIAL: Final = 5  # until a combination is drawn that was not tried yet


class Tried(NamedTuple):
    """A trial that is over; more score is better, None is worth nothing."""

    parameters: Parameters
    score: float | None


def suggest(
    plugin: type[Strategy], where: Space, tried: Sequence[Tried], count: int, seed: int
) -> tuple[list[Parameters], int]:
    """Return up to `count` new combinations and how many the strategy refused; none once there are no others."""
    known = {search.identity(each.parameters) for each in tried}
    drawn = search.fresh(plugin, where, _seed(seed, len(tried), "draw"), known)
    if len(tried) < STARTUP:
        return [each for each, _ in zip(drawn, range(min(count, STARTUP - len(tried))), strict=False)], 0
    study, distributions = _study(where, tried, _seed(seed, len(tried), "sample"))
    found: list[Parameters] = []
    refused = 0
    for _ in range(count * _ASKS_PER_TRIAL):
        if len(found) == count:
            break
        asked = study.ask(distributions)
        parameters = _parameters(where, asked.params)
        if not search.is_allowed(plugin, parameters):
            # Told that it is worth nothing, the sampler looks elsewhere.
            study.tell(asked, state=_optuna().trial.TrialState.FAIL)
            refused += 1
        elif search.identity(parameters) not in known:
            known.add(search.identity(parameters))
            found.append(parameters)
    missing = count - len(found)
    found += [each for _, each in zip(range(missing), drawn, strict=False)]
    return found, refused


def _study(where: Space, tried: Sequence[Tried], seed: int) -> tuple[Any, dict[str, Any]]:
    optuna = _optuna()
    distributions = {each.name: _distribution(each) for each in where.axes if not each.fixed}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # Trials of one round are asked for before any is told: the liar keeps them apart from each other.
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=0, constant_liar=True, multivariate=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    worst = min((each.score for each in tried if each.score is not None), default=0.0)
    for each in tried:
        params = {name: each.parameters[name] for name in distributions}
        value = worst if each.score is None else each.score
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value))
    return study, distributions


def _distribution(axis: Axis) -> Any:
    made = _optuna().distributions
    numbers = [value for value in axis.listed if isinstance(value, int | float) and not isinstance(value, bool)]
    steps = {round(b - a, 9) for a, b in pairwise(numbers)}
    if axis.listed and len(numbers) == len(axis.listed) and len(steps) == 1 and steps.pop() > 0:
        return _stepped(axis, numbers)
    if axis.listed:
        return made.CategoricalDistribution(axis.listed)
    if axis.whole:
        return made.IntDistribution(int(axis.low), int(axis.high))
    return made.FloatDistribution(axis.low, axis.high)


def _stepped(axis: Axis, numbers: list[Any]) -> Any:
    """Evenly spaced values have an order that a list of words has not."""
    made = _optuna().distributions
    if axis.whole:
        return made.IntDistribution(numbers[0], numbers[-1], step=numbers[1] - numbers[0])
    return made.FloatDistribution(numbers[0], numbers[-1], step=round(numbers[1] - numbers[0], 9))


def _parameters(where: Space, params: dict[str, Any]) -> Parameters:
    return {axis.name: _value(axis, params) for axis in where.axes}


def _value(axis: Axis, params: dict[str, Any]) -> Any:
    if axis.fixed:
        return axis.listed[0]
    value = params[axis.name]
    if axis.listed and not isinstance(value, bool | str):
        return min(axis.listed, key=lambda each: abs(float(each) - float(value)))  # a step may round
    return value if axis.whole or axis.listed else axes.tidy(value)


def _seed(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big")


@cache
def _optuna() -> Any:
    import optuna  # here: it takes a third of a second, and no other search needs it

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
