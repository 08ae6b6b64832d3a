"""The candles of a search: kept once, the same on every machine, and read once per process."""

from datetime import UTC, datetime, timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from apps.backtests import sources
from apps.backtests.models import Dataset, DatasetPart, Study, Trial
from apps.backtests.services import benches, datasets, studies, sweeps
from apps.backtests.services.studies import Order
from apps.backtests.sources import Spec
from apps.domain.errors import Refused, Unavailable
from apps.market import store
from apps.market.models import Instrument
from apps.market.store import Timeframe
from apps.market.store import candles as store_candles
from apps.market.store.candles import CandleRow
from tests.backtests import searching
from tests.backtests.searching import NOW, begun, finished, loaded


@pytest.mark.django_db
def test_candles_are_kept_once_and_come_back_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "PART", 5000)
    fine = searching.candles(2400, step=searching.DAY // 4)
    data = sources.given([searching.candles(), searching.candles(seed=2)], names=["a", "b"], detail=fine)
    dataset = datasets.store(data, NOW)
    assert datasets.store(data, NOW) == dataset
    assert DatasetPart.objects.count() > 5
    back = datasets.load(dataset)
    assert (back.names, back.data_hash, back.bar_seconds) == (data.names, data.data_hash, data.bar_seconds)
    assert sources.hash_of([*back.candles, back.detail]) == data.data_hash


@pytest.mark.django_db
def test_damaged_candles_are_noticed() -> None:
    dataset = datasets.store(loaded(), NOW)
    part = dataset.parts.get()
    content = bytearray(part.content)
    content[100] ^= 1
    part.content = bytes(content)
    part.save()
    with pytest.raises(Refused, match="not what was stored"):
        datasets.load(dataset)


@pytest.mark.django_db
def test_a_process_reads_candles_once_per_study(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    study = Study.objects.select_related("dataset").get(pk=begun().pk)
    benches._kept.clear()
    with django_assert_num_queries(1):
        benches.of(study)
    with django_assert_num_queries(0):
        benches.of(study)


def test_a_process_keeps_few_candles() -> None:
    benches._kept.clear()
    for seed in range(benches.KEPT + 3):
        benches.keep(loaded(100, seed=seed))
    assert len(benches._kept) == benches.KEPT
    benches._kept.clear()


# --- of an instrument -----------------------------------------------------------------------------------------------

FIRST = datetime(2025, 1, 1, tzinfo=UTC)


def _write(market: store.Store, instrument: Instrument, bars: int, rise: int = 0) -> None:
    series = searching.candles(bars)
    prices = [(part + rise).round(2).tolist() for part in series[1:5]]
    rows = [
        CandleRow(instrument.pk, FIRST + timedelta(hours=number), *map(str, four), "5")
        for number, four in enumerate(zip(*prices, strict=True))
    ]
    store_candles.write(market, Timeframe.HOUR, rows)


@pytest.fixture
def of_instrument(transactional_db: None, instrument: Instrument, tick_store: store.Store) -> Study:
    _write(tick_store, instrument, 400)
    until = FIRST + timedelta(hours=400)
    spec = Spec(instruments=(instrument.symbol,), bar_seconds=3600, since=FIRST, until=until)
    order = Order(plugin="sma_cross", space=("fast=2:8:2", "slow=10:30:10"), data=spec)
    return studies.begin(order, sources.load(spec), NOW)


def test_candles_of_an_instrument_are_read_from_the_market_store(of_instrument: Study) -> None:
    benches._kept.clear()
    assert not Dataset.objects.exists()
    study = finished(of_instrument)
    assert (study.state, study.bars, study.instrument_id) == ("done", 400, Instrument.objects.get().pk)
    assert sweeps.progress(study.pk).done == 12


def test_candles_that_changed_meanwhile_stop_the_search(
    of_instrument: Study, instrument: Instrument, tick_store: store.Store
) -> None:
    benches._kept.clear()
    _write(tick_store, instrument, 400, rise=1)
    study = finished(of_instrument)
    assert study.state == "failed"
    assert "other candles than when the search began" in study.error
    assert not Trial.objects.exclude(state="queued").exists()


def test_a_market_store_that_does_not_answer_lets_the_search_wait(
    of_instrument: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    benches._kept.clear()
    with monkeypatch.context() as patch:
        patch.setattr(sources, "load", _away)
        assert sweeps.turn(of_instrument.pk, "worker test:1", seconds=1, now=NOW).settled == 0
    assert finished(of_instrument).state == "done"


def _away(spec: Spec) -> sources.Loaded:
    raise Unavailable("the market store is away")
