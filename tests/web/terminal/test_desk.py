"""The terminal desk against a real server: what it shows in 80 x 24, what it does, and what it says when it cannot."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from textual.widgets import Button, Checkbox, Input

from apps.access import services as access
from apps.access.models import Scope
from apps.market.models import Quote
from apps.trading.models import Exit, Restriction
from apps.web.terminal import tables
from apps.web.terminal.app import Desk
from apps.web.terminal.site import Site
from tests.browser.test_desk import elsewhere
from tests.web.terminal.conftest import Trader, between, desk, notes, run, said, screen, until


def cells(app: Desk, name: str) -> list[list[str]]:
    table = app._table(name)
    return [[str(cell) for cell in table.get_row(key)] for key in table.rows]


async def answer(pilot: Any, reason: str, *, sure: bool = True) -> None:
    question = pilot.app.screen
    question.query_one("#reason", Input).value = reason
    question.query_one("#sure", Checkbox).value = sure
    await pilot.pause()
    question.query_one("#act", Button).press()
    await pilot.pause()


def test_it_shows_what_one_has_in_80_by_24(trader: Trader) -> None:
    async def look() -> None:
        async with desk(trader.site()) as (app, pilot):
            await until(pilot, lambda: app.known.reading and app.live, "read and live")
            await until(pilot, lambda: "USD" in screen(app))
            shown = screen(app)
            for words in ("ACTIVE", "1 open", "● live", "equity", "real money off", "no exit waits", "Checks"):
                assert words in shown, shown
            assert "NOT UP TO DATE" not in shown
            await pilot.press("2")
            await until(pilot, lambda: "nest egg" in str(cells(app, "positions")))
            (row,) = cells(app, "positions")
            assert row[:5] == [str(trader.position.pk), "BTC-USD", "▲ long", "1", "100"]
            assert row[8:12] == ["90", "120", "nest egg", "open"]
            assert "90" in screen(app), "the stop is within 80 columns"
            await pilot.press("5")
            await until(pilot, lambda: "position.created" in screen(app))

    run(look)


def test_a_price_moves_the_gain_without_a_reading(trader: Trader) -> None:
    async def look() -> None:
        async with desk(trader.site()) as (app, pilot):
            await until(pilot, lambda: app.known.reading and app.live)
            before = app.known.reading
            app._heard({"type": "quote", "data": {"instrument": "BTC-USD", "price": "104.50", "trade_id": 10**9}})
            app._draw()
            assert cells(app, "positions")[0][5:8] == ["104.5", "+4.50", "+4.50%"]
            assert app.known.reading is before
            app._heard({"type": "quote", "data": {"instrument": "BTC-USD", "price": "NaN", "trade_id": 10**9 + 1}})
            app._draw()
            assert cells(app, "positions")[0][5] == "104.5"

    run(look)


def test_a_price_that_nobody_confirms_is_called_old(trader: Trader) -> None:
    Quote.objects.update(heard_at="2020-01-01T00:00:00Z", received_at="2020-01-01T00:00:00Z")

    async def look() -> None:
        async with desk(trader.site()) as (app, pilot):
            await until(pilot, lambda: cells(app, "positions"))
            assert cells(app, "positions")[0][5].endswith(" old")

    run(look)


def test_a_position_is_closed_after_a_reason_and_a_certain_hand(trader: Trader) -> None:
    async def act() -> None:
        async with desk(trader.site()) as (app, pilot):
            await until(pilot, lambda: cells(app, "positions"))
            await pilot.press("c")
            await until(pilot, lambda: app.screen.query("#act"))
            assert "Close position" in screen(app)
            assert "nest egg" not in notes(app)
            assert app.screen.query_one("#act", Button).disabled
            await pilot.press("e", "n", "o", "u", "g", "h", "enter")
            assert elsewhere(lambda: list(Exit.objects.all())) == [], "Enter in the reason closes nothing"
            await pilot.press("escape")
            await until(pilot, lambda: not app.screen.query("#act"))
            await pilot.press("c")
            await until(pilot, lambda: app.screen.query("#act"))
            await answer(pilot, "seen enough")
            await until(pilot, lambda: "is being left" in notes(app), "told")
            await until(pilot, lambda: "exit.requested" in str([e["kind"] for e in app.known.newest()]) or app.live)

    run(act)
    (exit_,) = Exit.objects.all()
    assert (exit_.position_id, exit_.reason, exit_.note) == (trader.position.pk, "api", "seen enough")
    assert exit_.actor.startswith("ada (")


def test_trading_is_stopped_and_allowed_again(trader: Trader) -> None:
    async def act() -> None:
        async with desk(trader.site()) as (app, pilot):
            await until(pilot, lambda: app.known.reading)
            await pilot.press("a")
            await until(pilot, lambda: "not stopped anywhere" in notes(app))
            await pilot.press("x")
            await until(pilot, lambda: app.screen.query("#act"))
            assert "Halt the whole site" in screen(app)
            await answer(pilot, "too wild", sure=False)
            assert elsewhere(Restriction.objects.count) == 0
            await answer(pilot, "too wild")
            await until(pilot, lambda: "HALTED" in said(app, "bar"))
            await pilot.press("1")
            assert "too wild" in screen(app)
            await pilot.press("a")
            await until(pilot, lambda: app.screen.query("#act"))
            await answer(pilot, "calm again")
            await until(pilot, lambda: "ACTIVE" in said(app, "bar"))

    run(act)
    assert not Restriction.objects.exists()


def test_a_token_that_may_only_read_is_told_so_by_the_site(trader: Trader) -> None:
    token = access.create_token(user=trader.user, scope=Scope.READ, now=datetime.now(UTC)).text

    async def act() -> None:
        async with desk(trader.site(token)) as (app, pilot):
            await until(pilot, lambda: cells(app, "positions"))
            await pilot.press("c")
            await until(pilot, lambda: app.screen.query("#act"))
            await answer(pilot, "try")
            await until(pilot, lambda: "scope 'trade'" in notes(app))

    run(act)
    assert not Exit.objects.exists()


def test_a_wrong_token_ends_it_with_a_sentence(trader: Trader, capsys: pytest.CaptureFixture[str]) -> None:
    async def act() -> None:
        async with desk(trader.site("tst_wrong")) as (app, pilot):
            await until(pilot, lambda: app.return_code is not None)
            assert app.return_code == 1

    run(act)
    assert "wrong, expired or revoked" in capsys.readouterr().err


def test_it_says_when_the_site_is_away_and_comes_back_by_itself(trader: Trader) -> None:
    async def look() -> None:
        async with between(trader.address) as (address, door), desk(Site(address, trader.token)) as (app, pilot):
            await until(pilot, lambda: app.known.reading and app.live, "live")
            door.shut()
            await until(pilot, lambda: not app.live, "the gateway is gone")
            await pilot.press("r")
            await until(pilot, lambda: "NOT UP TO DATE" in said(app, "stale"), "said")
            assert "NOT UP TO DATE: nothing answers" in screen(app)
            assert "1 open" in said(app, "bar"), "what was known stays"
            await pilot.press("2", "c")
            await until(pilot, lambda: app.screen.query("#act"))
            assert "Careful: what you see is not up to date" in screen(app)
            await answer(pilot, "in the dark")
            await until(pilot, lambda: "It may have been done" in notes(app), "told")
            await door.open()
            await until(pilot, lambda: app.live and not app.trouble, "back")
            assert "NOT UP TO DATE" not in screen(app)

    run(look)
    assert not Exit.objects.exists()


def test_rows_come_and_go_and_the_cursor_stays_on_its_row(trader: Trader) -> None:
    async def look() -> None:
        async with desk(trader.site()) as (app, pilot):
            await until(pilot, lambda: cells(app, "positions"))
            table = app._table("positions")
            width = len(tables.COLUMNS["positions"])
            rows: Callable[..., dict[str, list[str]]] = lambda *keys: {key: [key] * width for key in keys}  # noqa: E731
            tables.show(table, rows("1", "2", "3"))
            table.move_cursor(row=1)
            tables.show(table, rows("9", "1", "2", "3"))
            assert tables.key_under_cursor(table) == "2"
            tables.show(table, rows("9", "1"))
            assert tables.key_under_cursor(table) == "9"
            tables.show(table, {})
            assert tables.key_under_cursor(table) is None

    run(look)


def test_the_sum_of_a_currency_is_what_the_api_says(trader: Trader) -> None:
    async def look() -> None:
        async with desk(trader.site()) as (app, pilot):
            await until(pilot, lambda: app.known.reading)
            (worth,) = app.known.sums()
            assert worth.currency == "USD"
            assert worth.equity == Decimal(trader.site().read("accounts")["results"][0]["balances"][0]["equity"])

    run(look)
