"""Partitions are there before they are needed, go when they are old, and strays are never lost."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from apps.market import store
from apps.market.store import candles, partitions, ticks
from apps.market.store.timeframes import Timeframe
from tests.market.store.databases import DAY, print_at, query

HOUR = timedelta(hours=1)


def at_hour(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, tzinfo=UTC)


def test_partitions_are_made_ahead_in_every_family_once(market: store.Store) -> None:
    made = partitions.ahead(market, DAY + HOUR, days=2)
    assert [name for name in made if name.startswith("ticks")] == [f"ticks_202603{day:02}" for day in (9, 10, 11, 12)]
    assert {name for name in made if name.startswith("candles")} == {
        "candles_1s_202603", "candles_1m_202603", "candles_5m_2026",
        "candles_15m_2026", "candles_1h_2026", "candles_1d_2026",
    }  # fmt: skip
    assert partitions.ahead(market, DAY + HOUR, days=2) == []


@pytest.mark.parametrize(
    ("step", "at", "start", "following"),
    [
        (partitions.Step.DAY, "2024-02-28T23:59:59.999999+00:00", "2024-02-28", "2024-02-29"),
        (partitions.Step.DAY, "2024-02-28T23:30:00-05:00", "2024-02-29", "2024-03-01"),
        (partitions.Step.MONTH, "2024-02-29T12:00:00+00:00", "2024-02-01", "2024-03-01"),
        (partitions.Step.MONTH, "2025-12-31T23:00:00+00:00", "2025-12-01", "2026-01-01"),
        (partitions.Step.MONTH, "2026-01-31T00:00:00+00:00", "2026-01-01", "2026-02-01"),
        (partitions.Step.YEAR, "2024-12-31T00:00:00+00:00", "2024-01-01", "2025-01-01"),
        (partitions.Step.YEAR, "2025-01-01T00:00:00+00:00", "2025-01-01", "2026-01-01"),
    ],
)
def test_spans_follow_the_calendar_in_utc(step: partitions.Step, at: str, start: str, following: str) -> None:
    found = step.floor(datetime.fromisoformat(at))
    assert found == datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert step.following(found) == datetime.fromisoformat(following).replace(tzinfo=UTC)


def test_partitions_cover_the_span_without_hole_or_overlap(market: store.Store) -> None:
    family = partitions.CANDLES[Timeframe.MINUTE]
    partitions.ensure(market, family, datetime(2025, 11, 20, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
    found = partitions.existing(market, family)
    assert [part.name[-6:] for part in found] == ["202511", "202512", "202601"]
    assert [part.until for part in found[:-1]] == [part.since for part in found[1:]]


def test_a_span_too_long_is_refused_before_anything_is_made(market: store.Store) -> None:
    with pytest.raises(ValueError, match="4000"):
        partitions.ensure(market, partitions.TICKS, datetime(1990, 1, 1, tzinfo=UTC), DAY)
    assert partitions.existing(market, partitions.TICKS) == []


def test_processes_that_make_the_same_partitions_share_the_work(market: store.Store) -> None:
    made: list[str] = []

    def make() -> None:
        made.extend(partitions.ensure(market, partitions.TICKS, DAY, DAY + timedelta(days=12)))

    makers = [threading.Thread(target=make) for _ in range(4)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(made) == 12
    assert len(set(made)) == 12


def test_a_row_without_a_partition_is_kept_found_and_reported(market: store.Store) -> None:
    partitions.ensure(market, partitions.TICKS, at_hour(10), at_hour(11))
    ticks.write(market, [print_at(at_hour(10, 1), 1), print_at(at_hour(20), 2)])
    candles.write(market, Timeframe.HOUR, [candles.CandleRow(1, at_hour(10), "1", "1", "1", "1", "1")])
    assert partitions.strays(market) == {"ticks": 1, "candles_1h": 1}
    assert ticks.count(market, 1, at_hour(10), at_hour(21)) == 2


def test_strays_move_into_their_partition_when_it_comes(market: store.Store, market_url: str) -> None:
    ticks.write(market, [print_at(at_hour(day, 5), day) for day in (10, 11, 12)])
    assert partitions.ensure(market, partitions.TICKS, at_hour(11), at_hour(12)) == ["ticks_20260311"]
    assert partitions.strays(market) == {"ticks": 2}
    assert query(market_url, "SELECT trade_id FROM market.ticks_20260311") == [(11,)]
    assert ticks.write(market, [print_at(at_hour(11, 5), 11)]) == 0


def test_a_partition_has_every_rule_of_its_table(market: store.Store, market_url: str) -> None:
    partitions.ahead(market, DAY)
    rules = "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = 'market.{}'::regclass ORDER BY 1"
    for child, parent in (("ticks_20260310", "ticks"), ("candles_1m_202603", "candles")):
        assert query(market_url, rules.format(child)) == query(market_url, rules.format(parent))


def test_what_is_older_than_its_family_keeps_is_dropped(market: store.Store) -> None:
    partitions.ensure(market, partitions.TICKS, at_hour(8), at_hour(12))
    partitions.ensure(market, partitions.CANDLES[Timeframe.SECOND], datetime(2026, 1, 1, tzinfo=UTC), at_hour(2))
    ticks.write(market, [print_at(at_hour(day, 5), day) for day in (5, 8, 9, 10, 11)])
    kept = {"ticks": timedelta(days=2), "candles_1s": timedelta(days=30)}
    dropped = partitions.drop_older(market, kept, at_hour(11, 12))
    assert dropped == ["ticks_20260308", "candles_1s_202601"]
    # the stray of the 5th is gone too; the 9th ended less than two days ago
    assert [row.trade_id for row in ticks.between(market, 1, at_hour(1), at_hour(30))] == [9, 10, 11]
    assert partitions.strays(market) == {}
    assert partitions.drop_older(market, kept, at_hour(11, 12)) == []


@pytest.mark.parametrize("keep", [{"tiks": timedelta(days=1)}, {"ticks": timedelta(days=-1)}])
def test_a_wrong_retention_drops_nothing(market: store.Store, keep: dict[str, timedelta]) -> None:
    partitions.ensure(market, partitions.TICKS, at_hour(8), at_hour(9))
    with pytest.raises(ValueError, match="known families are ticks, candles_1s"):
        partitions.drop_older(market, {"ticks": timedelta(0), **keep}, DAY)
    assert len(partitions.existing(market, partitions.TICKS)) == 1


def test_a_long_reader_makes_the_drop_give_up_instead_of_queueing_everyone(market: store.Store) -> None:
    partitions.ensure(market, partitions.TICKS, at_hour(8), at_hour(9))
    with market.transaction() as reader:
        reader.execute(text("SELECT count(*) FROM market.ticks"))
        with pytest.raises(store.StoreBusy):
            partitions.drop_older(market, {"ticks": timedelta(0)}, DAY)
    assert partitions.drop_older(market, {"ticks": timedelta(0)}, DAY) == ["ticks_20260308"]


def test_without_the_hold_a_row_on_its_way_to_the_strays_is_lost_to_a_new_partition(market: store.Store) -> None:
    """The negative control of `hold`: a writer that does not ask fails where `ticks.write` waits."""
    refused = []

    def write_plainly() -> None:
        row = "(1, '2026-03-08+00', 1, '2026-03-08+00', 1, 1, '')"
        columns = "(instrument_id, at, trade_id, received_at, price, size, side)"
        try:
            with market.transaction() as plain:
                plain.execute(text(f"INSERT INTO market.ticks {columns} VALUES {row}"))
        except store.RefusedRows as error:
            refused.append(str(error))

    with market.transaction() as maker:
        partitions.attach(maker, partitions.TICKS, partitions.TICKS.child(at_hour(8)))
        writer = threading.Thread(target=write_plainly)
        writer.start()
        writer.join(0.5)
        assert writer.is_alive()
    writer.join(30)
    assert "partition constraint" in refused[0]


def test_queries_of_one_day_touch_one_partition(market: store.Store) -> None:
    partitions.ensure(market, partitions.TICKS, at_hour(1), at_hour(28))
    plan = (
        "EXPLAIN SELECT * FROM market.ticks WHERE instrument_id = 1 AND at >= '{}' AND at < '{}' ORDER BY at, trade_id"
    )
    with market.transaction() as asked:
        lines = asked.scalars(text(plan.format(at_hour(10), at_hour(11)))).all()
    assert [line for line in lines if "Seq Scan" in line] == []
    assert len([line for line in lines if " on ticks_" in line and "Bitmap Index" not in line]) == 1
