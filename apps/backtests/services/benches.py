"""What the trials of a study are computed with: candles, strategy and conventions, loaded once per process."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from apps.backtests import sources
from apps.backtests.models import Study
from apps.backtests.services import datasets
from apps.backtests.sources import Loaded, Spec
from apps.domain.backtests import attempts
from apps.domain.backtests.conventions import Conventions
from apps.domain.backtests.measures.plain import Figure
from apps.domain.errors import Problem, Refused
from apps.domain.plugins import PluginError
from apps.domain.strategies import contract
from apps.domain.strategies.contract import Strategy
from apps.domain.strategies.registry import STRATEGIES

KEPT_ROWS: Final = 4_000_000  # bars of all instruments a process keeps between studies: about 190 MB
KEPT: Final = 4

_kept: "OrderedDict[str, Loaded]" = OrderedDict()


class Bench:
    """Everything a trial of one study needs but its parameters."""

    def __init__(self, study: Study, loaded: Loaded) -> None:
        """Raises Refused when the code is no longer the one the study was made for."""
        self.loaded = loaded
        self.plugin = plugin_of(study.plugin)
        self.conventions = Conventions.restored(study.conventions)
        self.windows = [tuple(window) for window in study.windows]
        found = contract.code_hash(self.plugin)
        if found != study.code_hash:
            rule = f"has code {found[:12]}, the search was begun with {study.code_hash[:12]}"
            raise Refused(
                Problem(field="strategy", value=study.plugin, rule=rule, remedy="begin a search with the new code")
            )

    def measured(self, parameters: Mapping[str, Any], window: int) -> dict[str, Figure]:
        """Compute the figures of one trial on the training bars of its window."""
        start, stop, _ = self.windows[window]
        whole = stop - start == self.loaded.bars
        series = self.loaded.candles if whole else attempts.cut(self.loaded.candles, start, stop)
        return attempts.measured(
            self.plugin,
            parameters,
            series,
            self.conventions,
            bar_seconds=self.loaded.bar_seconds,
            detail=self.loaded.detail,
        )


def of(study: Study) -> Bench:
    """Return what the trials of a study need. Raises Refused when candles or code are not those it began with."""
    return Bench(study, candles_of(study))


def candles_of(study: Study) -> Loaded:
    """Return the candles of a study, from this process if it has them. Raises Refused when they have changed."""
    found = _kept.get(study.data_hash)
    if found is None:
        found = datasets.load(study.dataset) if study.dataset else sources.load(Spec.from_json(study.data))
    if found.data_hash != study.data_hash:
        rule = "has other candles than when the search began"
        remedy = "begin the search again: it takes over what is still the same"
        raise Refused(Problem(field="candles", value=study.source[:60], rule=rule, remedy=remedy))
    keep(found)
    return found


def keep(loaded: Loaded) -> None:
    """Remember candles for the next trials of this process; the least recently used ones make room."""
    _kept[loaded.data_hash] = loaded
    _kept.move_to_end(loaded.data_hash)
    while len(_kept) > 1 and (len(_kept) > KEPT or sum(map(_rows, _kept.values())) > KEPT_ROWS):
        _kept.popitem(last=False)


def plugin_of(name: str) -> type[Strategy]:
    """Return the strategy of this name. Raises Refused with those that exist."""
    try:
        return STRATEGIES.get(name)
    except PluginError as error:
        remedy = f"use one of {', '.join(STRATEGIES.names())}"
        raise Refused(Problem(field="strategy", value=name[:60], rule=str(error), remedy=remedy)) from error


def _rows(loaded: Loaded) -> int:
    return len(loaded.candles) * loaded.bars + (len(loaded.detail.at) if loaded.detail else 0)
