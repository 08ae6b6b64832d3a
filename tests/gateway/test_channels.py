"""What each channel carries, and that of two people each gets only their own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.domain.legs import ExitReason
from apps.domain.restrictions import Scope, TradingState
from apps.journal.services import record
from apps.market import store
from apps.market.store import ticks as store_ticks
from apps.market.store.tick_rows import TickRow
from apps.strategies.models import Strategy
from apps.strategies.services import running
from apps.strategies.services.inquiry import Due, Wish
from apps.trading import selectors
from apps.trading.models import Account, Allocation
from apps.trading.services import exits, restrictions
from apps.web.gateway import grants, topics
from tests import factories
from tests.gateway.clients import Client, client
from tests.gateway.conftest import Person

pytestmark = pytest.mark.django_db(transaction=True)
OF_ACCOUNTS = {
    "positions": "position.amended",
    "exits": "exit.waiting",
    "orders": "order.accepted",
    "fills": "position.created",
    "risk": "risk.violated",
    "events": "account.deposited",
}


@contextmanager
def listening(site: int, *people: Person) -> Iterator[list[Client]]:
    with ExitStack() as stack:
        yield [stack.enter_context(client(site, token=person.token)) for person in people]


@pytest.mark.parametrize(("channel", "kind"), OF_ACCOUNTS.items(), ids=OF_ACCOUNTS)
def test_each_gets_the_events_of_their_own_account_only_live_and_replayed(
    site: int, ann: Person, bob: Person, channel: str, kind: str
) -> None:
    with listening(site, ann, bob) as (hers, his):
        begun = hers.subscribe(channel)["resume"]
        his.subscribe(channel)
        for person in (ann, bob):
            record(kind, "position:1", account_id=person.account_id, payload={"of": person.user.username})
        record("listener.led", "listener:0", payload={})
        for socket, name in ((hers, "ann"), (his, "bob")):
            (message,) = socket.events()
            assert (message["type"], message["channel"], message["data"]["of"]) == (kind, channel, name)
    with listening(site, bob) as (his,):
        his.subscribe(channel, since=begun)
        assert [message["data"]["of"] for message in his.events()] == ["bob"]


def test_fills_come_with_what_was_traded_live_and_replayed(site: int, ann: Person, bob: Person) -> None:
    coin = factories.make_instrument(price="100")
    account = Account.objects.get(pk=ann.account_id)
    with listening(site, ann, bob) as (hers, his):
        begun = hers.subscribe("fills", "positions")["resume"]
        his.subscribe("fills")
        position = factories.opened(account, coin, factories.stop("90", "0.5"), quantity="2")
        factories.cross([factories.leg_of(position, "stop_loss")], "89")
        exits.request_exit(
            position_id=position.pk, reason=ExitReason.MANUAL, source="test", actor="ann", now=factories.now()
        )
        factories.drain()
        live = hers.events()
        assert his.events() == []
        hers.subscribe("fills", since=begun)
        replayed = hers.events()
    assert [message["type"] for message in live] == ["position.created", "position.reduced", "position.closed"]
    fills = [fill for message in live for fill in message["data"]["fills"]]
    assert [(fill["side"], fill["quantity"]) for fill in fills] == [("buy", "2"), ("sell", "1"), ("sell", "1")]
    assert {fill["position"] for fill in fills} == {position.pk}
    assert live[0]["data"]["instrument"] == "BTC-USD"
    assert [message["data"] for message in replayed] == [message["data"] for message in live]


def test_signals_go_to_who_may_see_the_strategy_and_only_when_they_say_something_new(
    site: int, ann: Person, bob: Person, person: Callable[..., Person]
) -> None:
    eve, coin = person("eve"), factories.make_instrument()
    strategy = Strategy.objects.create(name="trend", plugin="momentum")
    Allocation.objects.create(account_id=ann.account_id, strategy=strategy, notional=100)
    eve.user.user_permissions.add(Permission.objects.get(codename="view_strategy"))

    def signal(minute: int, stance: int) -> list[int]:
        at = datetime(2026, 1, 5, 12, minute, tzinfo=UTC)
        wish = Wish(strategy.pk, coin.pk, at, stance, "61.50", at, None, "because", "", {}, None)
        return running._store(Due(strategy=strategy, bar_at=at, instruments=[coin.pk]), [wish])

    with listening(site, ann, bob, eve) as (hers, his, theirs):
        for socket in (hers, his, theirs):
            begun = socket.subscribe("signals")["resume"]
        for minute, stance in enumerate((0, 1, 1, -1, 0)):
            assert len(signal(minute, stance)) == 1
        for socket in (hers, theirs):
            got = socket.events()
            assert [message["data"]["stance"] for message in got] == [1, -1, 0]
            assert {(message["type"], message["channel"]) for message in got} == {("signal.changed", "signals")}
            assert got[0]["data"] | {"signal": 0} == {
                "signal": 0, "strategy": "trend", "instrument": "BTC-USD", "bar_at": "2026-01-05T12:01:00+00:00",
                "stance": 1, "before": 0, "weight": None, "price": "61.5", "plan": None, "reason": "because",
            }  # fmt: skip
        assert his.events() == []
    with listening(site, ann, bob) as (hers, his):
        for socket, count in ((hers, 3), (his, 0)):
            socket.subscribe("signals", since=begun)
            assert len(socket.events()) == count


def test_everybody_learns_that_trading_of_the_site_stopped_and_nobody_of_anothers_account(
    site: int, ann: Person, bob: Person
) -> None:
    def stop(scope: Scope, target: int) -> None:
        wanted = restrictions.Order(
            state=TradingState.HALTED, scope=scope, target=target, reason="a test", actor="ann", source="test"
        )
        restrictions.order(wanted, now=factories.now())

    with listening(site, ann, bob) as (hers, his):
        hers.subscribe("risk")
        his.subscribe("risk", "system")
        stop(Scope.ACCOUNT, ann.account_id)
        stop(Scope.SITE, 0)
        record("risk.limit_changed", "risklimit:1", payload={})
        assert [message["data"]["scope"] for message in hers.events()] == ["account", "site"]
        assert [message["data"]["scope"] for message in his.events()] == ["site"]


def test_candles_of_a_minute_grow_and_close(site: int, ann: Person, tick_store: store.Store) -> None:
    coin = factories.make_instrument("ADA-USD")
    now = factories.now()

    def trade(price: str, number: int, at: datetime) -> None:
        row = TickRow(coin.pk, at, number, at, Decimal(price), Decimal(2), "buy", None, None, False)
        store_ticks.write(tick_store, [row])

    trade("10", 1, now - timedelta(minutes=1))
    with listening(site, ann) as (hers,):
        assert hers.subscribe("candles:ADA-USD:1m")["channels"] == ["candles:ADA-USD:1m"]
        closed = hers.until("candle")
        assert closed["channel"] == "candles:ADA-USD:1m"
        assert (closed["data"]["open"], closed["data"]["volume"]) == ("10", "2")
        trade("12.50", 2, factories.now())
        grown = hers.until("candle")
        while grown["data"]["close"] != "12.5":
            grown = hers.until("candle")
        assert datetime.fromisoformat(grown["data"]["at"]) >= datetime.fromisoformat(closed["data"]["at"])
        hers.tell(type="unsubscribe", channel="candles:ADA-USD:1m")
        hers.until("subscribed")
        trade("13", 3, factories.now())
        assert hers.events(1.5) == []
        hers.tell(type="subscribe", channels=["candles:NO-SUCH:1m"])
        assert hers.next()["code"] == "unknown_channel"
        hers.tell(type="subscribe", channels=["candles:ADA-USD:7m"])
        assert hers.next()["code"] == "unknown_channel"


# --- rights, read for many people at once ---------------------------------------------------------------------------
def test_many_are_given_what_the_one_rule_gives_each(person: Callable[..., Person]) -> None:
    people = [person(f"p{number}", is_superuser=number == 3) for number in range(5)]
    people[1].user.user_permissions.add(Permission.objects.get(codename="see_all_accounts"))
    credentials = {one.user.pk: grants.of_text(one.token, None, factories.now()) for one in people}
    found = grants.rights_of(list(credentials.values()), factories.now())
    for one in people:
        user = type(one.user).objects.get(pk=one.user.pk)
        rights = found[credentials[user.pk]]
        assert rights.sees_all is selectors.sees_all(user)
        seen = {
            account for account in Account.objects.values_list("pk", flat=True)
            if topics.may_see(rights, "position.created", account, "position:1")
        }  # fmt: skip
        assert seen == set(selectors.for_user(user).values_list("pk", flat=True))


def test_rights_cost_as_many_queries_for_twenty_as_for_two(person: Callable[..., Person]) -> None:
    counts = []
    for size in (2, 18):
        people = [person(f"p{size}-{number}") for number in range(size)]
        credentials = [grants.of_text(one.token, None, factories.now()) for one in people]
        grants.rights_of(credentials, factories.now())  # notes the use of each token
        with CaptureQueriesContext(connection) as asked:
            grants.rights_of(credentials, factories.now())
        counts.append(len(asked))
    assert counts[0] == counts[1] <= 8
