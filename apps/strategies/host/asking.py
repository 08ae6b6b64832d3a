"""What a host answers: what a plug-in is, and what it says of the newest bar of some candles."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from apps.domain.errors import Refused
from apps.domain.plugins import PluginError
from apps.domain.strategies import contract
from apps.domain.strategies.registry import STRATEGIES
from apps.strategies import versions

WORDS: Final = {contract.LONG: "long", contract.FLAT: "flat", contract.SHORT: "short"}
LONGEST: Final = 1_000_000  # bars of warm-up
REASON: Final = 200  # characters


class Nonsense(Exception):
    """A plug-in answered with something that is no answer; the sentence says what."""


def answer(told: Mapping[str, Any], markets: Sequence[contract.Candles]) -> dict[str, Any]:
    """Answer a question; whatever a plug-in raises becomes the answer's error."""
    try:
        plugin = contract.build(STRATEGIES.get(told["plugin"]), told["parameters"])
        if told["do"] == "describe":
            return {"told": describe(plugin, told["parameters"])}
        return {"told": judge(plugin, markets)}
    except (PluginError, Refused, Nonsense) as error:
        return {"error": str(error)}
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plug-in is foreign code: what it raises is its failure
        return {"error": f"{type(error).__name__}: {error}"}


def describe(plugin: contract.Strategy, values: Mapping[str, Any]) -> dict[str, Any]:
    """Say how many bars a strategy needs, whether it looks at several instruments at once, and which code it is."""
    warmup = plugin.warmup
    if not isinstance(warmup, int) or not 1 <= warmup <= LONGEST:
        raise Nonsense(f"the warm-up must be a whole number of bars from 1 to {LONGEST}, not {warmup!r}")
    return {
        "warmup": warmup,
        "several": isinstance(plugin, contract.Several),
        "code_hash": contract.code_hash(type(plugin)),
        "parameters": versions.complete(type(plugin), values),
    }


def judge(plugin: contract.Strategy, markets: Sequence[contract.Candles]) -> list[dict[str, Any]]:
    """Say for each market what the strategy wants after its newest bar."""
    if isinstance(plugin, contract.Several):
        table = plugin.weights_of(markets)
        if table.shape != (len(markets[0].at), len(markets)):
            raise Nonsense("the answer must be one weight per bar and market")
        return [_judged(plugin, candles, None, table[:, index]) for index, candles in enumerate(markets)]
    return [_alone(plugin, candles) for candles in markets]


def _alone(plugin: contract.Strategy, candles: contract.Candles) -> dict[str, Any]:
    weights = plugin.weights(candles)
    return _judged(plugin, candles, plugin.stances(candles) if weights is None else None, weights)


def _judged(
    plugin: contract.Strategy,
    candles: contract.Candles,
    stances: contract.Stances | None,
    weights: contract.Floats | None,
) -> dict[str, Any]:
    said: Any = stances if weights is None else weights
    _check(said, len(candles.at), weighs=weights is not None)
    stance = int(np.sign(said[-1]))
    return {
        "stance": stance,
        "weight": None if weights is None else float(weights[-1]),
        "reason": _reason(plugin, candles, said, weighs=weights is not None),
        "plan": _plan(plugin.exit_plan(candles)) if stance else None,
    }


def _check(said: Any, bars: int, *, weighs: bool) -> None:
    if len(said) != bars:
        raise Nonsense(f"the answer must be one stance per bar: {bars}, not {len(said)}")
    last = float(said[-1])
    if weighs and not -1.0 <= last <= 1.0:  # NaN is refused as well
        raise Nonsense(f"a weight must lie between -1 and 1, not {last}")
    if not weighs and last not in WORDS:
        raise Nonsense(f"the answer must be one stance per bar: +1, 0 or -1, not {last:g}")


def _reason(plugin: contract.Strategy, candles: contract.Candles, said: Any, *, weighs: bool) -> str:
    """Return what the plug-in says for itself, if it has a method `reason`, else what changed."""
    explain = getattr(plugin, "reason", None)
    if callable(explain):
        return str(explain(candles))[:REASON]
    now, before = float(said[-1]), float(said[-2]) if len(said) > 1 else 0.0
    if weighs:
        return f"weight {now:.3g}" + ("" if now == before else f", was {before:.3g}")
    word, old = WORDS[int(now)], WORDS.get(int(before), "nothing")
    return f"still {word}" if now == before else f"turned {word}, was {old}"


def _plan(plan: contract.ExitPlan | None) -> dict[str, float] | None:
    if plan is None:
        return None
    found = {name: float(values[-1]) for name, values in zip(plan._fields, plan, strict=True)}
    return {name: value for name, value in found.items() if np.isfinite(value)} or None
