"""Quotes say up to which trade everything was looked at, so they never overtake the exits of those trades."""

import threading

import pytest
from django.db import connection

from apps.market.models import Instrument, Quote
from apps.trading.models import Account
from tests import factories
from tests.factories import now, stop
from tests.listener.feeding import START_NS, SYMBOL, tick
from tests.listener.parts import Parts, wait_until
from workers.listener.tape import from_ns

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def listener(instrument: Instrument) -> Parts:
    Quote.objects.all().delete()
    parts = Parts(instrument, epoch=3)
    parts.levels.start()
    return parts


def test_a_quote_is_the_last_price_with_the_span_since_the_one_before(listener: Parts) -> None:
    for number, price in enumerate(("100", "104", "97", "101.5"), 1):
        listener.tick(tick(price, number, ms=number, bid="101.4", ask="101.6"))
    listener.flusher.step()
    quote = Quote.objects.get()
    assert (quote.price, quote.bid, quote.ask) == (
        factories.Decimal("101.5"),
        factories.Decimal("101.4"),
        factories.Decimal("101.6"),
    )
    assert (quote.low, quote.high, quote.trade_id, quote.epoch) == (97, 104, 4, 3)
    assert quote.received_at == quote.at == from_ns(START_NS + 4_000_000)
    listener.tick(tick("102", 5, ms=5))
    listener.flusher.step()
    quote = Quote.objects.get()
    assert (quote.low, quote.high, quote.bid) == (102, 102, None)


def test_a_sign_of_life_keeps_a_quote_fresh(listener: Parts) -> None:
    listener.tick(tick("100", 1, ms=1))
    listener.flusher.step()
    listener.watcher.tapes[SYMBOL].heard_ns = START_NS + 9_000_000_000
    listener.flusher.step()
    quote = Quote.objects.get()
    assert quote.heard_at == from_ns(START_NS + 9_000_000_000)
    assert quote.received_at == from_ns(START_NS + 1_000_000)


def test_a_standby_writes_no_quotes(instrument: Instrument) -> None:
    Quote.objects.all().delete()
    standby = Parts(instrument)
    standby.tick(tick("100", 1))
    standby.flusher.step()
    assert Quote.objects.count() == 0


def test_an_epoch_that_has_passed_writes_no_quotes(listener: Parts) -> None:
    factories.lead(4)
    listener.tick(tick("100", 1))
    listener.flusher.step()
    assert Quote.objects.count() == 0
    assert listener.leadership.usurped.is_set()


def test_a_quote_waits_until_the_exits_of_its_trades_are_written(
    listener: Parts, account: Account, instrument: Instrument
) -> None:
    factories.set_quote(instrument, "100")
    factories.opened(account, instrument, stop("95"))
    listener.levels.poll()
    listener.tick(tick("94", 9, received_ns=int(now().timestamp() * 1e6) * 1000))
    listener.flusher.step()  # nobody writes the crossing: after some seconds it gives up
    assert Quote.objects.get().trade_id == 1
    with listener.running("emitter"):
        assert listener.emitter.settle(5)
    listener.flusher.step()
    assert Quote.objects.get().trade_id == 9


def test_a_quote_does_not_name_a_trade_that_is_still_being_looked_at(
    listener: Parts, account: Account, instrument: Instrument
) -> None:
    """Between arrival and crossing there is a moment; a crash after a quote written in it would lose the exit."""
    factories.set_quote(instrument, "100")
    factories.opened(account, instrument, stop("95"))
    listener.levels.poll()
    entered, leave = threading.Event(), threading.Event()
    put = listener.watcher._emit

    def slow(crossings: object) -> None:
        entered.set()
        leave.wait(10)
        put(crossings)

    listener.watcher._emit = slow
    listener.tick(tick("99", 2, received_ns=int(now().timestamp() * 1e6) * 1000))
    receiving = threading.Thread(
        target=listener.tick, args=(tick("94", 3, received_ns=int(now().timestamp() * 1e6) * 1000),)
    )
    receiving.start()
    assert entered.wait(10)
    listener.flusher.step()
    assert Quote.objects.get().trade_id == 2
    leave.set()
    receiving.join(10)
    with listener.running("emitter"):
        listener.flusher.step()
        assert Quote.objects.get().trade_id == 3


def test_amid_ticks_no_quote_is_ever_ahead_of_its_exits(
    listener: Parts, account: Account, instrument: Instrument
) -> None:
    factories.set_quote(instrument, "100")
    for number in range(150):
        factories.opened(account, instrument, stop(str(99 - number / 10)), quantity="0.1")
    listener.levels.poll()
    done = threading.Event()

    def flush() -> None:
        while not done.is_set():
            listener.flusher.step()
        connection.close()

    flushing = threading.Thread(target=flush)
    with listener.running("emitter"):
        flushing.start()
        try:
            for number in range(150):  # trade number crosses exactly one level
                received_ns = int(now().timestamp() * 1e6) * 1000
                listener.tick(tick(str(99 - number / 10), 1001 + number, received_ns=received_ns))
                trade, written = _look()
                assert written >= trade - 1000
            wait_until(lambda: _look() == (1150, 150))
        finally:
            done.set()
            flushing.join(10)


def _look() -> tuple[int, int]:
    """Return the trade of the quote and the number of exits, both of one instant."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT greatest(q.trade_id, 1000), (SELECT count(*) FROM trading_exit) FROM market_quote q")
        return cursor.fetchone()
