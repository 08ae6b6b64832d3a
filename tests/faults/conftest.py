"""What tests of orders under faults start from."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from tests.faults.orders.desk import Desk, opened


@pytest.fixture
def desk(transactional_db: None, settings: Settings, tmp_path: Path) -> Iterator[Desk]:
    """An account at an exchange on loopback, everything committed for real."""
    with opened(settings, tmp_path) as made:
        yield made
