"""Figures of trading against positions opened and left by the services, and against sums made by hand."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.domain.accounting import Method
from apps.domain.legs import ExitReason
from apps.market.models import Instrument
from apps.strategies.models import Signal, Strategy
from apps.trading.models import Account, Fill, LedgerEntry, Position
from apps.trading.services import accounts, exits
from apps.trading.statistics import books, latency, lots, matching, trades
from apps.trading.statistics.selection import Period, Selection
from apps.trading.statistics.trades import Grouping, Trades
from tests import factories
from tests.factories import make_account, make_instrument, make_user, opened, set_quote, stop, target

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def btc() -> Instrument:
    return make_instrument()


@pytest.fixture
def account() -> Account:
    return make_account(fee_rate="0.001")


def leave(position: Position, price: str, *, reason: ExitReason = ExitReason.MANUAL) -> None:
    """Leave a position at a price."""
    set_quote(position.instrument, price)
    exits.request_exit(position_id=position.pk, reason=reason, source="test", now=factories.now())
    factories.drain()


def rounds(account: Account, instrument: Instrument, *prices: tuple[str, str, str], side: str = "long") -> None:
    """Open and leave one lot after the other: quantity, price in, price out."""
    for quantity, price, out in prices:
        set_quote(instrument, price)
        leave(opened(account, instrument, quantity=quantity, side=side, at=factories.now()), out)


def all_of(account: Account, **more: object) -> Selection:
    return Selection(accounts=[account.pk], **more)  # type: ignore[arg-type]


def one(found: list[Trades], by: Grouping, label: object = "") -> Trades:
    (row,) = [row for row in found if row.by is by and row.label == label]
    return row


def test_closed_lots_are_counted_after_fees(account: Account, btc: Instrument) -> None:
    rounds(account, btc, ("1", "100", "110"), ("2", "100", "95"), ("1", "100", "100"))
    rounds(account, btc, ("1", "100", "90"), side="short")
    row = one(trades.of(all_of(account)), Grouping.ALL)
    # Fees are 0.1 % of every fill: 0.21, 0.39, 0.2, 0.19.
    assert (row.number, row.wins, row.losses) == (4, 2, 2)
    assert (row.gross_pnl, row.fees, row.total_pnl) == (D(10), D("0.99"), D("9.01"))
    assert (row.largest_win, row.largest_loss) == (D("9.81"), D("-10.39"))
    assert (row.gains, row.lost) == (D("19.60"), D("10.59"))
    assert row.profit_factor == D("1.85080264")
    assert (row.win_rate, row.average_pnl, row.expectancy) == (D("0.5"), D("2.5"), D("2.2525"))
    assert (row.average_win, row.average_loss) == (D("9.8"), D("-5.295"))
    assert 0 < row.average_holding_seconds < 60


def test_they_are_told_apart_by_instrument_strategy_side_reason_and_period(account: Account, btc: Instrument) -> None:
    eth = make_instrument("ETH-USD")
    strategy = Strategy.objects.create(name="crossing", plugin="sma_cross")
    rounds(account, btc, ("1", "100", "110"))
    rounds(account, eth, ("1", "100", "120"), side="short")
    lot = opened(account, btc, stop("90"))
    at = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
    signal = Signal.objects.create(strategy=strategy, instrument=btc, bar_at=at, stance=1, price=D(1), made_at=at)
    factories.cross([factories.leg_of(lot, "stop_loss")], "90")
    Position.objects.filter(pk=lot.pk).update(signal=signal, opened_at=at, closed_at=at + timedelta(days=6))
    found = trades.of(all_of(account), by=Period.WEEK)
    assert one(found, Grouping.INSTRUMENT, "ETH-USD").total_pnl < 0
    assert one(found, Grouping.STRATEGY, "crossing").number == 1
    assert one(found, Grouping.STRATEGY, trades.MANUAL).number == 2
    assert one(found, Grouping.SIDE, "short").number == 1
    assert one(found, Grouping.REASON, "stop_loss").average_holding_seconds == 6 * 86_400
    assert one(found, Grouping.PERIOD, at.date()).number == 1
    mine = trades.of(all_of(account, strategy=strategy.pk))
    assert one(mine, Grouping.ALL).number == 1
    narrow = all_of(account, instrument=btc.pk, since=at + timedelta(days=6), until=at + timedelta(days=7))
    assert one(trades.of(narrow), Grouping.ALL).number == 1
    assert trades.of(all_of(account, until=at + timedelta(days=6))) == []


def test_currencies_are_never_added_up(account: Account, btc: Instrument) -> None:
    eur = make_instrument("BTC-EUR", quote_currency="EUR")
    rounds(account, btc, ("1", "100", "110"))
    other = make_account(account.owner, name="euros")
    Account.objects.filter(pk=other.pk).update(currency="EUR")
    accounts.pay_in(account_id=other.pk, amount=D(1000), now=factories.now())
    rounds(other, eur, ("1", "100", "110"))
    both = Selection(accounts=[account.pk, other.pk])
    rows = [row for row in trades.of(both) if row.by is Grouping.ALL]
    assert [(row.currency, row.number) for row in rows] == [("EUR", 1), ("USD", 1)]


def test_the_books_agree_with_the_ledger_to_the_last_digit(account: Account, btc: Instrument) -> None:
    rounds(account, btc, ("0.3333", "100.01", "99.97"), ("1.7", "3.33", "4.44"))
    leave_part = opened(account, btc, target("200", "0.5"), stop("1"), at=factories.now())
    factories.cross([factories.leg_of(leave_part, "take_profit")], "200")
    accounts.pay_in(account_id=account.pk, amount=D(500), now=factories.now())
    found = books.by_period(all_of(account), by=Period.MONTH)
    lines = LedgerEntry.objects.filter(account=account)
    assert sum(row.realised_pnl for row in found) == -sum(line.pnl for line in lines)
    assert sum(row.fees for row in found) == sum(line.fees for line in lines) == sum(f.fee for f in Fill.objects.all())
    assert sum(row.deposits for row in found) == 1_000_500
    assert sum(row.net_pnl for row in found) < 1000, "a deposit is no profit"
    realised = matching.realised(all_of(account), Method.FIFO)
    assert [row.realised_pnl for row in realised] == [sum(row.realised_pnl for row in found)]
    narrowed = books.by_period(all_of(account, instrument=btc.pk), by=Period.MONTH)
    assert [(row.realised_pnl, row.fees, row.deposits) for row in narrowed] == [
        (sum(row.realised_pnl for row in found), sum(row.fees for row in found), 0)
    ]


def test_fifo_average_and_lots_agree_once_flat_and_with_what_is_open(account: Account, btc: Instrument) -> None:
    first = opened(account, btc, quantity="1")
    set_quote(btc, "150")
    second = opened(account, btc, quantity="1")
    leave(second, "200")  # its own lot gained 50; first in first out sold the first one, which gained 100
    fifo, average = (matching.realised(all_of(account), method)[0] for method in Method)
    (taken,) = books.by_period(all_of(account), by=Period.MONTH)
    assert (taken.realised_pnl, fifo.realised_pnl, average.realised_pnl) == (50, 100, 75)
    (open_,) = lots.sums(all_of(account))
    assert (open_.unrealised_pnl, fifo.unrealised_pnl, average.unrealised_pnl) == (100, 50, 75)
    leave(first, "180")
    fifo, average = (matching.realised(all_of(account), method)[0] for method in Method)
    (taken,) = books.by_period(all_of(account), by=Period.MONTH)
    assert taken.realised_pnl == fifo.realised_pnl == average.realised_pnl == 130
    assert taken.fees == fifo.fees == average.fees
    assert fifo.open_cost == average.open_cost == 0


def test_a_matching_of_some_days_counts_their_disposals_and_the_cost_of_earlier_days(
    account: Account, btc: Instrument
) -> None:
    rounds(account, btc, ("1", "100", "110"), ("1", "100", "130"))
    edge = Fill.objects.order_by("id")[2].at
    (later,) = matching.realised(all_of(account, since=edge), Method.FIFO)
    (earlier,) = matching.realised(all_of(account, until=edge), Method.FIFO)
    assert (earlier.realised_pnl, later.realised_pnl) == (10, 30)
    assert (earlier.unrealised_pnl, matching.fills(all_of(account, since=edge))) == (0, 4)


def test_fees_are_told_by_the_asset_they_were_paid_in(account: Account, btc: Instrument) -> None:
    rounds(account, btc, ("1", "100", "110"))
    first, second = Fill.objects.order_by("id")
    Fill.objects.create(
        account=account,
        instrument=btc,
        position=first.position,
        client_id="of a venue",
        buy=True,
        quantity=1,
        price=100,
        fee=D("0.1"),
        fee_asset="BTC",
        fee_paid=D("0.001"),
        net=D("0.999"),
        at=factories.now(),
    )
    found = books.fees(all_of(account), by=Period.MONTH)
    assert [(row.asset, row.paid, row.value, row.fills) for row in found] == [
        ("BTC", D("0.001"), D("0.1"), 1),
        ("USD", first.fee + second.fee, first.fee + second.fee, 2),
    ]


def test_what_a_fee_in_the_base_asset_took_and_what_could_not_be_sold_is_matched_as_the_books_have_it(
    account: Account, btc: Instrument
) -> None:
    lot = opened(account, btc, quantity="1", at=factories.now())
    more = Fill.objects.create(
        account=account,
        instrument=btc,
        position=lot,
        client_id="of a venue",
        buy=True,
        quantity=1,
        price=100,
        fee=D("0.005"),
        fee_asset="BTC",
        fee_paid=D("0.00005"),
        net=D("0.99995"),
        at=factories.now(),
    )
    line = {"account": account, "currency": "USD", "at": factories.now()}
    opening = {"cash": D(-100), "holdings": D("99.995"), "fees": D("0.005")}
    LedgerEntry.objects.create(fill=more, kind="open", **opening, **line)
    dust = {"position": lot, "quantity": D("0.00005"), "holdings": D("-0.005"), "pnl": D("0.005")}
    LedgerEntry.objects.create(kind="dust", **dust, **line)
    (fifo,) = matching.realised(all_of(account), Method.FIFO)
    assert (fifo.disposals, fifo.realised_pnl, fifo.open_cost) == (1, D("-0.005"), D("199.99"))
    for narrowed in (all_of(account), all_of(account, instrument=btc.pk)):
        (taken,) = books.by_period(narrowed, by=Period.MONTH)
        assert taken.realised_pnl == fifo.realised_pnl


def test_an_open_lot_is_shown_with_the_age_of_its_price(account: Account, btc: Instrument) -> None:
    set_quote(btc, "100")
    opened(account, btc, quantity="2", side="short")
    heard = factories.now() - timedelta(minutes=3)
    set_quote(btc, "90", at=heard)
    (lot,) = lots.newest(all_of(account))
    assert (lot.unrealised_pnl, lot.instrument, lot.quantity) == (20, "BTC-USD", 2)
    assert lot.quote_age(heard + timedelta(minutes=3)) == timedelta(minutes=3)
    opened_without = make_instrument("NEW-USD")
    opened(account, opened_without)
    opened_without.quote.delete()
    (sums,) = lots.sums(all_of(account))
    assert (sums.lots, sums.unpriced, sums.unrealised_pnl, sums.oldest_quote) == (2, 1, 20, heard)
    assert lots.newest(all_of(account))[0].unrealised_pnl is None


def test_latency_is_told_by_reason(account: Account, btc: Instrument) -> None:
    rounds(account, btc, ("1", "100", "110"), ("1", "100", "110"))
    found = latency.of(all_of(account))
    assert [(row.reason, row.exits) for row in found] == [("", 2), ("manual", 2)]
    assert 0 < found[0].p50 <= found[0].p90 <= found[0].p99 == found[0].slowest < 60_000
    assert latency.of(all_of(account, until=datetime(2020, 1, 1, tzinfo=UTC))) == []


def test_other_accounts_are_left_out_and_no_account_selects_nothing(account: Account, btc: Instrument) -> None:
    other = make_account(make_user("other"))
    rounds(other, btc, ("1", "100", "110"))
    opened(other, btc)
    for accounts_ in ([account.pk], []):
        nothing = Selection(accounts=accounts_, instrument=btc.pk)
        assert trades.of(nothing) == books.by_period(nothing) == books.fees(nothing) == latency.of(nothing) == []
        assert lots.newest(nothing) == lots.sums(nothing) == matching.realised(nothing, Method.FIFO) == []


def test_the_number_of_statements_does_not_grow_with_the_rows(account: Account, btc: Instrument) -> None:
    def asked() -> int:
        everything = all_of(account)
        with CaptureQueriesContext(
            connection,
        ) as seen:
            trades.of(everything)
            books.by_period(everything)
            books.fees(everything)
            latency.of(everything)
            lots.newest(everything)
            lots.sums(everything)
        return len(seen)

    rounds(account, btc, ("1", "100", "110"))
    few = asked()
    rounds(account, make_instrument("ETH-USD"), *[("1", "100", "110")] * 5)
    opened(account, btc)
    assert few == asked() == 6
