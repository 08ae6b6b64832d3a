"""Legs as an order carries them until its lot is there: text that reads back to the same legs."""

import json
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from apps.domain.legs import Leg, LegKind
from apps.trading.services import legs

amounts = st.none() | st.decimals("0.00000001", "1000000", places=8)
wanted = st.builds(
    Leg,
    kind=st.sampled_from(LegKind),
    fraction=st.decimals("0.00000001", "1", places=8),
    level=amounts,
    activation=amounts,
    trail=amounts,
    trail_is_rate=st.booleans(),
    due_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    offset=st.none() | st.decimals("-1000", "1000", places=8),
)


@given(st.lists(wanted, max_size=4))
def test_legs_are_the_same_after_the_table(found: list[Leg]) -> None:
    assert legs.of_plain(json.loads(json.dumps(legs.plain(found)))) == found


def test_a_leg_names_only_what_it_has() -> None:
    assert legs.plain([Leg(kind=LegKind.STOP_LOSS, level=Decimal("95.50"))]) == [
        {"kind": "stop_loss", "fraction": "1", "level": "95.5"}
    ]
    due = Leg(kind=LegKind.TIME_STOP, due_at=datetime(2026, 1, 2, tzinfo=UTC))
    assert legs.plain([due])[0]["due_at"] == "2026-01-02T00:00:00+00:00"
