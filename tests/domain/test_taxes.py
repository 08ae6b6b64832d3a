"""The days and years of a tax office: the local calendar counts, whatever the hour in UTC."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from apps.domain import taxes
from apps.domain.accounting import Disposal

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")


def disposal(bought: str, sold: str) -> Disposal:
    first, second = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (bought, sold))
    amounts = (Decimal("1.50"), Decimal(300), Decimal("100.5"), Decimal("0.25"))
    return Disposal(first, second, second < first, *amounts)


@pytest.mark.parametrize(
    ("bought", "sold", "zone", "days", "is_long"),
    [
        pytest.param("2025-01-01T12:00", "2026-01-01T11:00", ZoneInfo("UTC"), 365, False, id="a year to the day"),
        pytest.param("2025-01-01T12:00", "2026-01-02T00:00", ZoneInfo("UTC"), 366, True, id="a day more"),
        pytest.param("2025-01-01T23:30", "2026-01-02T22:00", BERLIN, 365, False, id="bought tomorrow"),
        pytest.param("2026-03-01T00:00", "2026-03-01T06:00", NEW_YORK, 1, False, id="over a local midnight"),
        pytest.param("2027-06-01T00:00", "2024-01-01T00:00", ZoneInfo("UTC"), 1247, False, id="a short is never long"),
    ],
)
def test_days_are_counted_by_the_local_calendar(
    bought: str, sold: str, zone: ZoneInfo, days: int, is_long: bool
) -> None:
    calendar = taxes.Calendar(zone=zone)
    assert calendar.days_held(disposal(bought, sold)) == days
    assert calendar.is_long_term(disposal(bought, sold)) is is_long


def test_a_year_is_that_of_the_zone() -> None:
    since, until = taxes.Calendar(zone=BERLIN).year(2026)
    assert since == datetime(2025, 12, 31, 23, tzinfo=UTC)
    assert until == datetime(2026, 12, 31, 23, tzinfo=UTC)


def test_a_row_has_a_cell_for_each_column_and_both_clocks() -> None:
    row = taxes.row(
        "BTC-USD", "USD", "fifo", disposal("2025-07-01T22:30", "2026-08-01T10:00"), taxes.Calendar(zone=BERLIN)
    )
    told = dict(zip(taxes.HEADER, row, strict=True))
    assert told["acquired_utc"] == "2025-07-01T22:30:00.000000Z"
    assert told["acquired_local"] == "2025-07-02T00:30:00+02:00"
    assert (told["quantity"], told["proceeds"], told["cost"], told["fees"], told["gain"]) == (
        "1.5",
        "300",
        "100.5",
        "0.25",
        "199.25",
    )
    assert (told["holding_days"], told["term"], told["side"]) == ("395", "long-term", "long")
