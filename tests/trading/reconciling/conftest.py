"""What tests of reconciliation start from."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from tests.trading.reconciling import site as sites
from tests.trading.reconciling.site import Site


@pytest.fixture
def site(transactional_db: None, settings: Settings, tmp_path: Path) -> Iterator[Site]:
    """An account at the simulated exchange; commits are real, for every look has transactions of its own."""
    settings.MARKET_DATABASE_URL = "postgres://elsewhere"  # no ticks: the invariants leave that store out
    with sites.opened(settings, tmp_path) as opened:
        yield opened
