"""What a person asks for: a strategy with parameters, on candles, under conventions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.backtests.sources import Spec
from apps.domain.backtests.conventions import Conventions


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One backtest before it is run; `parameters` are those that differ from the strategy's defaults."""

    plugin: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    conventions: Conventions = field(default_factory=Conventions)
    data: Spec = field(default_factory=Spec)
