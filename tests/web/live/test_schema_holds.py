"""Schemathesis over the whole description against a real server: nothing fails, nothing answers what is not described.

`SCHEMATHESIS_EXAMPLES=50` tries more values for each operation and way of being right or wrong.
"""

import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks

from apps.market.models import Instrument
from apps.trading.models import Restriction
from tests.web import worlds
from tests.web.conftest import PRICE, Caller, set_price

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "2"))
pytestmark = pytest.mark.timeout(300 + 120 * EXAMPLES)
SEED = 20261121
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
ANSWERS = (429, 503)  # what is described, and is no fault of the site


@pytest.fixture
def described(site: str) -> Any:
    return schemathesis.openapi.from_url(f"{site}/api/schema")


def operations(described: Any) -> Iterator[Any]:
    for found in described.get_all_operations():
        yield found.ok()


def numbers(caller: Caller) -> dict[str, int]:
    """Make a row of each kind and return their numbers by the first word of the address."""
    rows = {
        kind: worlds.filled(f"api/v1/{kind}/<int:id>", caller)
        for kind in ("positions", "orders", "exits", "decisions", "strategies", "backtests", "reports")
    }
    rows["risk"] = worlds.filled("api/v1/risk/limits/<int:id>", caller)
    return {kind: int(address.rpartition("/")[2]) for kind, address in rows.items()}


def try_out(case: Case, caller: Caller, link: requests.Session, site: str) -> int:
    answer = case.call(base_url=site, session=link, headers={"Authorization": f"Bearer {caller.token}"}, timeout=30)
    assert answer.status_code < 500 or answer.status_code in ANSWERS, (
        f"{case.method} {case.formatted_path}: {answer.status_code} {answer.text[:300]}"
    )
    case.validate_response(answer, checks=CHECKS)
    return int(answer.status_code)


def attempts(operation: Any, mode: GenerationMode, count: int, visit: Callable[[Case], None]) -> None:
    """Visit some cases of an operation: those that are right, or those that are wrong."""

    @seeded(SEED)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def attempt(case: Case) -> None:
        visit(case)

    attempt()


def over(described: Any, caller: Caller, rows: dict[str, int], site: str, count: int) -> dict[str, set[int]]:
    """Try every operation with values that are right and wrong; return the statuses each gave."""
    found: dict[str, set[int]] = {}
    choice = random.Random(SEED)

    def visit(case: Case) -> None:
        for name, value in (("id", rows.get(case.operation.path.split("/")[3], 1)), ("symbol", "BTC-USD")):
            if name in case.path_parameters and choice.random() < 0.8:
                case.path_parameters[name] = value
        status = try_out(case, caller, link, site)
        found.setdefault(f"{case.method} {case.operation.path}", set()).add(status)

    with requests.Session() as link:
        for operation in operations(described):
            # Asked for at random, a stop would stop all that follows; a price may have become stale meanwhile.
            Restriction.objects.all().delete()
            set_price(Instrument.objects.get(symbol="BTC-USD"), PRICE)
            for mode in GenerationMode.POSITIVE, GenerationMode.NEGATIVE:
                attempts(operation, mode, count, visit)
    return found


def test_a_superuser_s_token_meets_no_failure_and_nothing_undescribed(described: Any, owner: Caller, site: str) -> None:
    found = over(described, owner, numbers(owner), site, EXAMPLES)
    assert len(found) >= 60
    good = {name for name, statuses in found.items() if any(status < 300 for status in statuses)}
    assert len(good) > len(found) // 2, f"hardly anything was let in: {sorted(set(found) - good)}"


def test_nor_does_a_viewer_s(described: Any, viewer: Caller, owner: Caller, site: str) -> None:
    found = over(described, viewer, numbers(owner), site, (EXAMPLES + 1) // 2)
    for name in ("POST /api/v1/orders", "POST /api/v1/positions", "POST /api/v1/trading-state"):
        assert found[name] & {400, 403}, name
        assert not found[name] & {200, 201, 202}, name


def test_a_fault_would_be_seen(owner: Caller, site: str) -> None:
    """The control: an answer that the description does not know is a failure."""
    document = requests.get(f"{site}/api/schema", timeout=60).json()
    del document["paths"]["/api/v1/accounts"]["get"]["responses"]["200"]
    operation = schemathesis.openapi.from_dict(document)["/api/v1/accounts"]["GET"]
    with requests.Session() as link, pytest.raises(FailureGroup, match="Undocumented status code"):
        try_out(operation.Case(), owner, link, site)
