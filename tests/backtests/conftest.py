"""What tests of backtests start from."""

import pytest

from apps.backtests import locks
from apps.domain.backtests import attempts
from apps.domain.backtests.conventions import Conventions
from apps.domain.strategies.sma_cross import SmaCross
from tests.backtests import searching


@pytest.fixture(scope="session", autouse=True)
def compiled() -> None:
    """Compile the engine before a test opens a transaction: after a change it takes longer than one may idle."""
    series = [searching.candles(100)]
    for conventions in (Conventions(), Conventions(trailing_stop=0.1)):
        attempts.measured(SmaCross, {"fast": 2, "slow": 5}, series, conventions, bar_seconds=searching.DAY)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch, compiled: None) -> None:
    """On a busy machine a test may take seconds between two steps; what is silent is said by `searching.silence`."""
    monkeypatch.setattr(locks, "STALE", 600.0)
