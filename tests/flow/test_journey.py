"""A position's whole life over the site's doors: opened over HTTP, left by a price, told over the socket."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import requests

from apps.trading.models import Exit
from tests.flow import worlds
from tests.flow.worlds import Exchange, World, eventually
from tests.gateway.clients import Client, client

SYMBOL = "BTC-USD"


@dataclass
class Trader:
    """A program with a token made by `manage.py apitoken`, and the exchange it trades on."""

    world: World
    exchange: Exchange
    token: str

    @property
    def port(self) -> int:
        return int(self.world.ports["WEB_PORT"])

    def ask(self, method: str, path: str, body: Any = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return requests.request(
            method, f"http://127.0.0.1:{self.port}/api/v1{path}", json=body, headers=headers, timeout=10
        )

    def open(self, **fields: Any) -> dict[str, Any]:
        answer = self.ask("POST", "/positions", {"instrument": SYMBOL, "quantity": "0.5", **fields})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def show(self, position_id: int) -> dict[str, Any]:
        return dict(self.ask("GET", f"/positions/{position_id}").json())

    def market_at(self, price: str) -> None:
        """Trade once at a price and wait until the site quotes it."""
        self.exchange.push(SYMBOL, price)
        eventually(lambda: Decimal(self.ask("GET", "/quotes").json()["results"][0]["price"]) == Decimal(price))


@pytest.fixture(scope="module")
def trader(make_world: Callable[[], World]) -> Trader:
    world = make_world()
    worlds.instruments(SYMBOL)
    worlds.account("ada")
    exchange = world.open_exchange("--rate", "none", "--products", f"{SYMBOL}=100.00")
    for name in ("listener", "sweeper", "worker-exits", "web"):
        world.start(name)
    made = world.manage("apitoken", "create", "--user", "ada", "--scope", "trade")
    assert made.returncode == 0, made.stderr
    assert made.stdout.count("\n") == 1
    world.wait_for("listener", "sweeper", "worker-exits")
    trader = Trader(world, exchange, made.stdout.strip())
    eventually(lambda: _serves(trader), explain=lambda: world.log("web"))
    return trader


def _serves(trader: Trader) -> bool:
    try:
        return trader.ask("GET", "/positions").ok
    except requests.ConnectionError:
        return False


@pytest.fixture
def subscriber(trader: Trader) -> Iterator[Client]:
    with client(trader.port, token=trader.token) as found:
        found.subscribe("positions")
        yield found


def told(subscriber: Client, kind: str) -> dict[str, Any]:
    """Return the payload of the next event of a kind."""
    while True:
        message = subscriber.next()
        if message["type"] in {kind, "event"} and message.get("kind", message["type"]) == kind:
            return message


def test_a_stop_is_left_at_the_price_that_crossed_it_and_told_at_once(trader: Trader, subscriber: Client) -> None:
    trader.market_at("100.00")
    opened = trader.open(side="long", stop_loss="99.00", take_profit="105.00")
    assert opened["status"] == "open"
    assert Decimal(opened["entry_price"]) == Decimal("100.01")  # the price and a hundredth of a percent of slippage
    told(subscriber, "position.created")
    trader.exchange.push(SYMBOL, "99.50", "98.70")
    message = told(subscriber, "position.closed")
    assert str(opened["id"]) in str(message)
    closed = trader.show(opened["id"])
    assert (closed["status"], closed["exit_reason"]) == ("closed", "stop_loss")
    assert Decimal(closed["exit_price"]) == Decimal("98.69")
    assert 0 < float(closed["tick_to_close_ms"]) < 2000
    assert datetime.fromisoformat(closed["closed_at"]).tzinfo is not None
    exit_ = Exit.objects.get(position_id=opened["id"])
    assert exit_.trigger_price == Decimal("98.70")
    assert exit_.source == "listener"


@pytest.mark.parametrize(
    ("side", "legs", "prices", "reason", "at"),
    [
        ("short", {"stop_loss": "101.00"}, ["101.00"], "stop_loss", "101.02"),
        ("short", {"take_profit": "98.00", "stop_loss": "101"}, ["97.50"], "take_profit", "97.51"),
        ("long", {"take_profit": "102.00"}, ["102.30"], "take_profit", "102.28"),
        ("long", {"trailing_stop": "1.00"}, ["101.00", "102.00", "101.01", "101.00"], "trailing_stop", "100.98"),
        ("short", {"trailing_stop": "0.5%"}, ["99.80", "99.50", "99.99", "100.00"], "trailing_stop", "100.01"),
    ],
    ids=["short stop", "short target", "long target", "long trail", "short trail at a rate"],
)
def test_every_level_is_left_where_it_was_crossed(
    trader: Trader, side: str, legs: dict[str, str], prices: list[str], reason: str, at: str
) -> None:
    trader.market_at("100.00")
    opened = trader.open(side=side, **legs)
    trader.exchange.push(SYMBOL, *prices[:-1])
    trader.exchange.push(SYMBOL, prices[-1])
    eventually(lambda: trader.show(opened["id"])["status"] == "closed", 5)
    closed = trader.show(opened["id"])
    assert closed["exit_reason"] == reason
    assert Decimal(closed["exit_price"]) == Decimal(at)
    assert Exit.objects.get(position_id=opened["id"]).trigger_price == Decimal(prices[-1])


def test_a_time_stop_leaves_when_its_time_is_up_although_nothing_trades(trader: Trader) -> None:
    trader.market_at("100.00")
    opened = trader.open(side="long", time_stop=1)
    due = datetime.now(UTC)
    eventually(lambda: trader.show(opened["id"])["status"] == "closed", 6)
    closed = trader.show(opened["id"])
    assert closed["exit_reason"] == "time_stop"
    assert 0 < (datetime.fromisoformat(closed["closed_at"]) - due).total_seconds() < 4


def test_a_close_by_hand_is_done_and_a_second_one_names_the_first(trader: Trader) -> None:
    trader.market_at("100.00")
    opened = trader.open(side="long", stop_loss="90.00")
    first = trader.ask("POST", f"/positions/{opened['id']}/close", {})
    assert first.status_code == 202, first.text
    second = trader.ask("POST", f"/positions/{opened['id']}/close", {})
    assert second.status_code == 409
    assert str(first.json()["id"]) in second.text
    eventually(lambda: trader.show(opened["id"])["status"] == "closed", 5)
    assert trader.show(opened["id"])["exit_reason"] == "api"
    third = trader.ask("POST", f"/positions/{opened['id']}/close", {})
    assert third.status_code == 409
    assert str(first.json()["id"]) in third.text
    assert Exit.objects.filter(position_id=opened["id"]).count() == 1


def test_an_amended_stop_is_the_one_that_counts(trader: Trader) -> None:
    trader.market_at("100.00")
    opened = trader.open(side="long", stop_loss="99.00")
    amended = trader.ask("PATCH", f"/positions/{opened['id']}/levels", {"stop_loss": "97.00"})
    assert amended.status_code == 200, amended.text
    trader.market_at("98.00")
    assert trader.show(opened["id"])["status"] == "open"
    trader.exchange.push(SYMBOL, "96.99")
    eventually(lambda: trader.show(opened["id"])["status"] == "closed", 5)
    assert Decimal(trader.show(opened["id"])["exit_price"]) == Decimal("96.98")


def test_everything_that_happened_holds(trader: Trader) -> None:
    done = trader.world.manage("verify", "--json")
    assert done.returncode == 0, done.stdout
    found = worlds.as_json(done.stdout)
    assert found["ok"] is True
    assert {finding["violations"] for finding in found["invariants"]} == {0}
