"""How do people and other engines spell conventions? Every spelling becomes the one that the conventions know."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from apps.domain.backtests import spelling
from apps.domain.backtests.conventions import Conventions
from apps.domain.backtests.limits import Limits
from apps.domain.errors import Problem, Refused
from apps.domain.strategies.registry import STRATEGIES

# Other names of a convention: short ones, and those of other engines.
ALSO: Final = {
    "fee_rate": ("fee",),
    "stop_loss": ("sl",),
    "take_profit": ("tp",),
    "exit_on_signal": ("exit_on_cross",),
}
_NAMES: Final = {other: name for name, others in ALSO.items() for other in others}
_YES_AND_NO: Final = {"yes": "open", "true": "open", "no": "level", "false": "level"}
_WORDS: Final = {
    "order": {"stop-first": "sl", "stop": "sl", "target-first": "tp", "target": "tp"},
    "units": {"int": "whole", "frac": "fractional"},
    "end": {"mark-close": "mark"},
    "gap_sl": _YES_AND_NO,
    "gap_tp": _YES_AND_NO,
}
# Others say with the sizing what we say with the units.
_UNITS_AS_SIZING: Final = {"int": "whole", "whole": "whole", "frac": "fractional", "fractional": "fractional"}


def conventions(given: Mapping[str, Any], base: Conventions | None = None, *, strategy: str = "") -> Conventions:
    """Return `base` with what is given as texts or plain values; without one, what the strategy is meant for.

    Raises Refused with everything wrong: what cannot be read, and what of the rest does not fit together.
    """
    texts = _plain(given)
    problems = list(_unit_problems(texts))
    if base is None:
        texts = {**_usual(strategy), **texts}
    stored = (base or Conventions()).as_json()
    try:
        read = _merged(stored, texts)
    except Refused as refused:
        problems += refused.problems
    else:
        if not problems:
            return read
    wrong = {problem.field for problem in problems}
    try:
        _merged(stored, {name: text for name, text in texts.items() if name not in wrong})
    except Refused as refused:
        problems += [problem for problem in refused.problems if problem.field not in wrong]
    raise Refused(*problems)


def _usual(strategy: str) -> Mapping[str, str]:
    """Return the conventions a strategy is meant for; nothing for a name that is none, which is refused elsewhere."""
    return STRATEGIES.get(strategy).usual if strategy in STRATEGIES.names() else {}


def _merged(stored: Mapping[str, Any], texts: Mapping[str, str]) -> Conventions:
    read = spelling.values(texts, Conventions, Limits)
    limits = {**stored["limits"], **read.pop("limits")}
    return Conventions.restored({**stored, **read, "limits": limits})


def _plain(given: Mapping[str, Any]) -> dict[str, str]:
    texts = {}
    for key, value in given.items():
        key = key.strip().lower().replace("-", "_")
        name = _NAMES.get(key, key)
        texts[name] = _word(name, _text(value).strip())
    return texts


def _unit_problems(texts: dict[str, str]) -> Iterator[Problem]:
    """Turn a sizing that names units into all-in with these units; yield a problem when others are named as well."""
    word = texts.get("sizing", "")
    units = _UNITS_AS_SIZING.get(word)
    if units is None:
        return
    named = texts.get("units", units)
    if named != units:
        rule, remedy = f"means all-in with units {units}, but units {named} are named too", "leave one of the two out"
        yield Problem(field="sizing", value=word, rule=rule, remedy=remedy)
    texts |= {"sizing": "all-in", "units": named}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(f"{rate!r}:{share!r}" for rate, share in value)
    return "none" if value is None else str(value)


def _word(name: str, text: str) -> str:
    if not text[:1].isalpha():
        return text
    word = text.lower().replace("_", "-")
    return _WORDS.get(name, {}).get(word, word)
