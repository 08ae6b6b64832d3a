"""An entry that is refused over the API leaves a decision with its reasons, although nothing else of it stays."""

import pytest

from apps.trading.models import Decision, Position
from tests.trading.risk.world import limit
from tests.web.conftest import Caller

pytestmark = pytest.mark.django_db
WISH = {"instrument": "BTC-USD", "side": "long", "quantity": "0.25"}


def test_a_refusal_is_kept_with_what_every_limit_said(ada: Caller) -> None:
    limit("max_order_value", amount=1000)
    answer = ada.post("/api/v1/positions", WISH, **{"Idempotency-Key": "one"})
    assert answer.status_code == 400, answer.content
    assert "max_order_value" in answer.content.decode()
    row = Decision.objects.get()
    assert (row.approved, row.source, row.request_key) == (False, "api", "one")
    assert [verdict["rule"] for verdict in row.verdicts] == ["max_order_value"]
    assert not Position.objects.exists()


def test_what_is_granted_has_one_decision(ada: Caller) -> None:
    for _ in range(2):
        assert ada.post("/api/v1/positions", WISH, **{"Idempotency-Key": "two"}).status_code in (200, 201)
    row = Decision.objects.get()
    assert (row.approved, row.source) == (True, "api")
