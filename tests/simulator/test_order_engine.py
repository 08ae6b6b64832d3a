"""The matching engine by itself: what fills, at which price, and what it does to the account."""

from contextlib import closing
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain.orders import OrderKind, TimeInForce
from apps.simulator.orders import book
from apps.simulator.orders.book import Rejection, Stage
from tests.simulator.orderdesk import BTC, SECOND, Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_market_buy_fills_at_the_ask_and_pays_the_taker_fee(desk):
    order = desk.place()
    assert (order.stage, order.filled, order.average) == (Stage.FILLED, Decimal(1), Decimal(100))
    (fill,) = order.fills
    assert (fill.fee, fill.fee_asset, fill.maker) == (Decimal("0.20000000"), "USD", False)
    assert desk.account.balances == {"USD": Decimal("99899.8"), "BTC": Decimal(11)}


def test_a_market_sell_fills_at_the_bid(desk):
    assert desk.place(buy=False).average == Decimal("99.99")


def test_a_resting_limit_fills_at_its_price_as_a_maker_once_the_market_is_there(desk):
    order = desk.limit("95")
    desk.trade("95.01")
    assert order.stage is Stage.OPEN
    desk.trade("94.50")
    assert (order.stage, order.average, order.fills[0].maker) == (Stage.FILLED, Decimal(95), True)
    assert order.fees == Decimal("0.095")


def test_a_limit_that_crosses_takes_at_the_better_price(desk):
    order = desk.limit("120")
    assert (order.average, order.fills[0].maker) == (Decimal(100), False)


@pytest.mark.parametrize(("tif", "stage"), [(TimeInForce.IOC, Stage.CANCELLED), (TimeInForce.FOK, Stage.CANCELLED)])
def test_what_must_fill_at_once_and_cannot_is_cancelled(desk, tif, stage):
    order = desk.limit("95", tif=tif)
    assert (order.stage, order.filled) == (stage, Decimal(0))


def test_a_stop_becomes_a_market_order_at_its_price_or_beyond(desk):
    order = desk.stop("90")
    desk.trade("90.01")
    assert order.stage is Stage.OPEN
    desk.trade("85", bid="84.90")
    assert (order.stage, order.average) == (Stage.FILLED, Decimal("84.90"))


def test_a_stop_limit_waits_when_the_market_fell_through_its_limit(desk):
    order = desk.stop("90", kind=OrderKind.STOP_LIMIT, limit_price=Decimal(89))
    desk.trade("80")
    assert (order.stage, order.triggered, order.filled) == (Stage.OPEN, True, Decimal(0))
    desk.trade("89.5")
    assert (order.stage, order.average) == (Stage.FILLED, Decimal(89))


@pytest.mark.parametrize(
    ("buy", "price", "code"), [(False, "100", "stop_above_last"), (True, "100", "stop_below_last")]
)
def test_a_stop_that_would_trigger_at_once_is_refused(desk, buy, price, code):
    with pytest.raises(Rejection) as refused:
        desk.stop(price, buy=buy)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"quantity": Decimal("0.000000001")}, "invalid_size_precision"),
        ({"quantity": Decimal(0)}, "invalid_size"),
        ({"quantity": Decimal("NaN")}, "invalid_size"),
        ({"quantity": None}, "invalid_size"),
        ({"quantity": None, "funds": Decimal(10), "buy": False}, "invalid_size"),
        ({"quantity": Decimal(1001)}, "insufficient_funds"),
        ({"quantity": Decimal(11), "buy": False}, "insufficient_funds"),
        ({"limit_price": Decimal(90)}, "invalid_price"),
        ({"kind": OrderKind.LIMIT}, "invalid_price"),
        ({"kind": OrderKind.LIMIT, "limit_price": Decimal("90.001")}, "invalid_price_precision"),
        ({"kind": OrderKind.LIMIT, "limit_price": Decimal(101), "post_only": True}, "post_only"),
        ({"kind": OrderKind.LIMIT, "limit_price": Decimal(90), "tif": TimeInForce.GTD}, "invalid_expiry"),
        ({"product_id": "NO-USD"}, "invalid_product"),
    ],
)
def test_what_cannot_be_is_refused_with_a_code(desk, more, code):
    before = dict(desk.account.balances)
    with pytest.raises(Rejection) as refused:
        desk.place(**more)
    assert refused.value.code == code
    assert (len(desk.engine.book), desk.account.balances) == (0, before)


def test_funds_buy_as_much_as_they_pay_for_with_the_fee(desk):
    order = desk.place(quantity=None, funds=Decimal(1000))
    assert order.stage is Stage.FILLED
    assert Decimal("999.99") < order.value + order.fees <= Decimal(1000)


def test_a_client_id_used_twice_returns_the_first_order_for_this_account_only(desk):
    first = desk.limit("95", "same")
    assert desk.limit("96", "same") is first
    other = desk.engine.accounts["main"]
    assert desk.engine.place(other, desk.wish("same"), 0) is not first


def test_working_orders_keep_their_funds(desk):
    desk.limit("100000", "rich", quantity=Decimal("0.5"), tif=TimeInForce.GTC, limit_price=Decimal(90))
    desk.limit("120", "sell", buy=False, quantity=Decimal(4))
    assert desk.engine.holds(desk.account) == {"USD": Decimal("45.09"), "BTC": Decimal(4)}
    with pytest.raises(Rejection):
        desk.limit("130", "more", buy=False, quantity=Decimal(7))


def test_a_margin_account_may_owe_what_it_sells():
    desk = Desk(shorts=True)
    assert desk.place(buy=False, quantity=Decimal(15)).stage is Stage.FILLED
    assert desk.account.balances["BTC"] == Decimal(-5)


@pytest.mark.parametrize(
    ("account", "buy", "asset", "fee"),
    [
        ({"fee_in": "received"}, True, "BTC", "0.002"),
        ({"fee_in": "received"}, False, "USD", "0.19998"),
        ({"fee_asset": "TOKEN"}, True, "TOKEN", "0.2"),
    ],
)
def test_fees_are_taken_in_what_the_account_says(account, buy, asset, fee):
    desk = Desk(**account)
    (fill,) = desk.place(buy=buy).fills
    assert (fill.fee_asset, fill.fee) == (asset, Decimal(fee))


def test_an_order_good_till_a_date_expires(desk):
    order = desk.limit("95", tif=TimeInForce.GTD, expires_us=2 * SECOND)
    desk.wait(1.9)
    assert order.stage is Stage.OPEN
    desk.wait(0.1)
    assert order.stage is Stage.EXPIRED
    desk.trade("90")
    assert order.filled == 0


def test_an_amended_order_fills_at_its_new_price_and_size(desk):
    order = desk.limit("95")
    desk.engine.amend(order, desk.now, quantity=Decimal(2), limit_price=Decimal(96))
    desk.trade("96")
    assert (order.filled, order.average) == (Decimal(2), Decimal(96))


@pytest.mark.parametrize(
    ("change", "code"),
    [({"quantity": Decimal("0.5")}, "invalid_size"), ({"limit_price": Decimal("95.001")}, "invalid_price_precision")],
)
def test_an_amendment_below_what_is_filled_or_off_the_grid_is_refused(desk, change, code):
    desk.fault("order_partial", percent=50)
    order = desk.limit("101")
    assert order.filled == Decimal("0.5")
    with pytest.raises(Rejection) as refused:
        desk.engine.amend(order, desk.now, **change)
    assert refused.value.code == code


def test_an_order_that_has_ended_can_neither_be_cancelled_nor_changed(desk):
    order = desk.place()
    for act in (desk.engine.cancel, desk.engine.amend):
        with pytest.raises(Rejection) as refused:
            act(order, desk.now)
        assert refused.value.code == "ended"


def test_a_quiet_book_costs_nothing_and_an_ended_order_leaves_it(desk):
    order = desk.limit("95")
    assert desk.engine.book.live == {BTC: {order.id: order}}
    desk.engine.cancel(order, desk.now)
    assert desk.engine.book.live == {}


def test_the_oldest_ended_orders_are_forgotten_and_working_ones_never(monkeypatch):
    monkeypatch.setattr(book, "KEPT", 3)
    desk = Desk()
    works = desk.limit("90", "works")
    for number in range(10):
        desk.place(f"o{number}", quantity=Decimal("0.1"))
    names = [order.client_id for order in desk.engine.book]
    assert len(names) <= 6
    assert names[0] == "works"
    assert names[-1] == "o9"
    assert desk.engine.find_by_client(desk.account, "o0", 0) is None
    assert desk.place("works") is works
    assert len({order.serial for order in desk.engine.book}) == len(names)


class TestMemory:
    """A killed exchange knows its orders again."""

    def test_orders_fills_balances_and_accounts_are_there_after_a_restart(self, tmp_path):
        file = tmp_path / "orders"
        with closing(Desk(file, taker="0.01")) as desk:
            desk.place("bought")
            desk.limit("95", "works")
        with closing(Desk(file, open_account=False)) as again:
            assert [order.client_id for order in again.engine.orders(again.account, 0)] == ["works", "bought"]
            assert again.account.balances == desk.account.balances
            assert again.account.taker == Decimal("0.01")
            again.trade("94")
            found = again.engine.find_by_client(again.account, "works", 0)
            assert found.stage is Stage.FILLED
            assert again.place("works") is found

    def test_a_line_torn_by_a_kill_is_dropped_and_written_over(self, tmp_path):
        file = tmp_path / "orders"
        with closing(Desk(file)) as desk:
            desk.place("whole")
        file.write_bytes(file.read_bytes() + b'{"account":"tester","bal')
        with closing(Desk(file, open_account=False)) as again:
            again.place("next")
        with closing(Desk(file, open_account=False)) as third:
            assert [order.client_id for order in third.engine.book] == ["whole", "next"]


@given(
    moves=st.lists(
        st.tuples(
            st.sampled_from(["buy", "sell", "bid", "offer", "trade", "cancel"]),
            st.integers(50, 150),
            st.integers(1, 3),
        ),
        max_size=40,
    )
)
def test_balances_are_always_what_the_fills_say(moves):
    desk = Desk()
    for number, (move, price, size) in enumerate(moves):
        try:
            act(desk, move, f"o{number}", str(price), Decimal(size))
        except Rejection:
            continue
    usd, btc = Decimal(100_000), Decimal(10)
    for order in desk.engine.book:
        assert sum((fill.quantity for fill in order.fills), Decimal(0)) == order.filled <= order.quantity
        for fill in order.fills:
            sign = 1 if fill.buy else -1
            btc += sign * fill.quantity
            usd -= sign * fill.quantity * fill.price + fill.fee
    assert desk.account.balances == {"USD": usd, "BTC": btc}
    assert min(usd, btc) >= 0


def act(desk, move, client_id, price, size):
    if move in ("buy", "sell"):
        desk.place(client_id, buy=move == "buy", quantity=size)
    elif move in ("bid", "offer"):
        desk.limit(price, client_id, buy=move == "bid", quantity=size)
    elif move == "trade":
        desk.trade(price)
    else:
        for order in desk.engine.book.working():
            desk.engine.cancel(order, desk.now)
