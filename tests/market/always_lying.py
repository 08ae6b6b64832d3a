"""Plug-in (`-p tests.market.always_lying`): the cache lies through a whole run, to whoever asks it."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _lying_throughout() -> Iterator[None]:
    from tests.market.lying import lying  # a plug-in is loaded before Django is set up

    with lying():
        yield
