"""Money never listens to the cache: by the imports, and by what happens while it lies."""

import contextlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import grimp
import pytest
from django.db import transaction

from apps.domain.legs import ExitReason
from apps.market import cache
from apps.market.models import Instrument
from apps.trading.models import Exit, LedgerEntry, Position
from apps.trading.services import exits
from tests import factories
from tests.market.lying import Liar, lying
from tests.web.conftest import Caller, caller_for, make_account, make_instrument, make_user
from tests.web.conftest import drain as drain_api

pytestmark = pytest.mark.django_db(transaction=True)

MONEY = (
    "apps.domain",
    "apps.trading.services",
    "apps.trading.selectors",
    "apps.trading.locks",
    "apps.trading.statements",
    "apps.trading.sweeping",
    "apps.trading.watches",
    "apps.market.selectors",
    "apps.market.calendars",
    "apps.market.feeds",
    "apps.market.store",
    "apps.strategies",
    "workers.listener",
    "workers.tasks.trading",
    "workers.tasks.strategies",
)


@pytest.fixture
def liar() -> Iterator[Liar]:
    """Let the cache of this process lie."""
    with lying() as told:
        yield told


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("apps", "workers")


@pytest.mark.parametrize("module", MONEY)
def test_no_chain_of_imports_leads_from_money_to_the_cache(imports: grimp.ImportGraph, module: str) -> None:
    assert module in imports.modules
    chains = imports.find_shortest_chains(importer=module, imported="apps.market.cache", as_packages=True)
    assert chains == set()


def test_the_search_for_imports_finds_one_that_is_there(imports: grimp.ImportGraph) -> None:
    assert imports.find_shortest_chains(importer="apps.web.api", imported="apps.market.cache", as_packages=True)


# --- the cache lies ---------------------------------------------------------------------------------------------------
def a_trading_day(lies: Callable[[], Any]) -> list[Any]:
    """Open long and short, refuse, cross a stop and a target, close by hand; return all that was decided.

    `lies` is called between the steps: whatever the cache is asked there must not matter.
    """
    factories.lead()
    instrument = factories.make_instrument()
    account = factories.make_account(fee_rate="0.001")
    lies()
    long = factories.opened(account, instrument, factories.stop("95"), factories.target("110"))
    short = factories.opened(account, instrument, factories.stop("105"), side="short", quantity="2")
    byhand = factories.opened(account, instrument)
    lies()
    factories.set_quote(instrument, "94")
    factories.cross([factories.leg_of(long, "stop_loss")], "94")
    lies()
    factories.set_quote(instrument, "106")
    factories.cross([factories.leg_of(short, "stop_loss")], "106")
    exits.request_exit(
        position_id=byhand.pk, reason=ExitReason.MANUAL, source="admin", now=factories.now(), actor="somebody"
    )
    lies()
    factories.drain()
    Instrument.objects.filter(pk=instrument.pk).update(enabled=False)
    lies()
    refused = refusal(lambda: factories.opened(account, instrument))
    assert factories.books_balance(account)
    rows = Position.objects.order_by("id").values_list("status", "exit_reason", "entry_price", "realised_pnl", "fees")
    left = Exit.objects.order_by("id").values_list("reason", "status", "fill_price", "pnl")
    lines = LedgerEntry.objects.order_by("id").values_list("kind", "cash", "holdings", "fees", "pnl")
    return [list(rows), list(left), list(lines), refused]


def refusal(act: Callable[[], Any]) -> str:
    with pytest.raises(Exception) as caught:
        act()
    return f"{type(caught.value).__name__}: {caught.value}"


def ask_the_cache() -> None:
    cache.instruments()
    cache.quotes()


class Undone(Exception):
    """Ends a rehearsal."""


def rehearsed() -> list[Any]:
    """Return what is decided when nobody asks the cache, and leave nothing behind."""
    decided: list[Any] = []
    with contextlib.suppress(Undone), transaction.atomic():
        decided.extend(a_trading_day(lambda: None))
        raise Undone
    return decided


@pytest.mark.parametrize("seed", range(5))
def test_the_same_is_decided_while_the_cache_lies(liar: Liar, seed: int) -> None:
    honest = rehearsed()
    liar._dice.seed(seed)
    assert a_trading_day(ask_the_cache) == honest
    assert len(liar.told) == 10
    assert len(set(liar.told)) > 1


def test_over_the_api_a_lying_cache_shows_nonsense_and_changes_nothing(liar: Liar) -> None:
    factories.lead()
    instrument = make_instrument()
    ada = caller_for(make_user("ada", "Trader"))
    make_account(ada.user)
    shown = set()
    for _ in range(12):
        answer = ada.get("/api/v1/market/quotes")
        assert answer.status_code == 200
        shown.add(tuple(row["price"] for row in answer.json()["results"]))
    assert len(shown) > 1, "the liar told the truth each time"
    opened = ada.open()
    assert Decimal(opened["entry_price"]) == pytest.approx(Decimal(61800), rel=Decimal("0.001"))
    assert ada.post("/api/v1/positions", {"instrument": "NONE-USD", "side": "long", "quantity": "1"}).status_code == 400
    assert refused_for(ada, quantity="0.00000001") == {"quantity"}
    assert refused_for(ada, stop_loss="70000") == {"stop_loss"}
    assert ada.post(f"/api/v1/positions/{opened['id']}/close").status_code == 202
    drain_api()
    assert ada.get(f"/api/v1/positions/{opened['id']}").json()["status"] == "closed"
    Instrument.objects.filter(pk=instrument.pk).update(enabled=False)
    for _ in range(5):
        ada.get("/api/v1/market/instruments")
        assert refused_for(ada) == {"instrument"}


def refused_for(caller: Caller, **more: str) -> set[str]:
    body = {"instrument": "BTC-USD", "side": "long", "quantity": "0.5", **more}
    answer = caller.post("/api/v1/positions", body)
    assert answer.status_code == 400, answer.content
    return {error["field"] for error in answer.json()["errors"]}
