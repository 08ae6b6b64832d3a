"""Balances are derived: whatever was carried forward, the sum of the ledger is the answer."""

import random
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection

from apps.domain.errors import Refused
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.trading import books
from apps.trading.models import Account, Balance, LedgerEntry, Position
from apps.trading.services import accounts
from tests import factories
from tests.factories import BOOKS, now, stop

pytestmark = pytest.mark.django_db


def by_hand(account: Account) -> dict[str, Decimal]:
    lines = list(account.ledger.all())
    return {book: sum((getattr(line, book) for line in lines), Decimal(0)) for book in BOOKS}


def derived(account: Account) -> dict[str, Decimal]:
    sheet = books.balance(account)
    return {book: getattr(sheet, book) for book in BOOKS}


def write_line(account: Account, amount: int, age: timedelta) -> None:
    LedgerEntry.objects.create(
        account=account,
        currency="USD",
        kind="deposit",
        cash=amount,
        capital=-amount,
        at=now(),
        recorded_at=now() - age,
    )


@pytest.mark.parametrize("seed", range(5))
def test_carrying_forward_at_any_time_never_changes_a_balance(seed: int) -> None:
    chance = random.Random(seed)
    mine = [factories.make_account(factories.make_user(name)) for name in ("ada", "bob")]
    for _ in range(60):
        account = chance.choice(mine)
        if chance.random() < 0.25:
            books.carry_forward()
        else:
            write_line(account, chance.randint(-500, 500) or 1, timedelta(seconds=chance.choice((0, 60, 121, 600))))
        for one in mine:
            assert derived(one) == by_hand(one)


def test_only_settled_lines_are_carried_forward(account: Account) -> None:
    write_line(account, 5, timedelta(minutes=5))
    write_line(account, 7, timedelta(seconds=30))
    assert books.carry_forward() == 1
    stored = Balance.objects.get(account=account)
    assert stored.through == LedgerEntry.objects.get(cash=5).pk
    assert books.carry_forward() == 0
    assert derived(account) == by_hand(account)


def test_a_line_that_became_visible_late_is_not_lost(account: Account) -> None:
    """A low number committed after a higher one: while both are young, neither is carried."""
    write_line(account, 5, timedelta(minutes=5))
    books.carry_forward()
    low = LedgerEntry.objects.order_by("-pk").first().pk + 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('trading_ledgerentry', 'id'))")
    write_line(account, 7, timedelta(seconds=20))
    books.carry_forward()
    line = {"account": account, "currency": "USD", "kind": "deposit", "cash": 11, "capital": -11, "at": now()}
    LedgerEntry.objects.create(pk=low, **line)
    assert books.balance(account).cash == 1_000_000 + 5 + 7 + 11


def test_what_is_free_after_trading_is_the_deposit_less_fees_and_losses(
    account: Account, instrument: Instrument
) -> None:
    for side in ("long", "short"):
        position = factories.opened(account, instrument, stop("95" if side == "long" else "105"), side=side)
        assert books.buying_power(account) == 1_000_000 - 100 - (5 if side == "short" else 0)
        factories.cross(position.legs.all(), "95" if side == "long" else "105")
    assert books.buying_power(account) == 1_000_000 - 10
    assert derived(account) == {"cash": 999_990, "holdings": 0, "fees": 0, "pnl": 10, "capital": -1_000_000}


def test_a_person_sees_profit_and_deposits_as_positive(open_position: Callable[..., Position]) -> None:
    position = open_position(stop("95"))
    factories.cross(position.legs.all(), "94")
    account = position.account
    line = account.ledger.get(kind="close")
    assert (line.pnl, line.cash, line.holdings) == (6, 94, -100)


# --- deposits -------------------------------------------------------------------------------------------------------


def test_an_account_starts_with_its_deposit_and_the_usual_costs(settings) -> None:
    owner = factories.make_user()
    account = accounts.open_account(owner_id=owner.pk, name="mine", deposit=Decimal("250.5"), now=now(), actor="ada")
    assert (account.fee_rate, account.slippage_rate) == (settings.PAPER_FEE_RATE, settings.PAPER_SLIPPAGE_RATE)
    assert (account.broker, account.currency) == ("paper", "USD")
    assert derived(account) == {
        "cash": Decimal("250.5"),
        "holdings": 0,
        "fees": 0,
        "pnl": 0,
        "capital": Decimal("-250.5"),
    }
    kinds = list(Event.objects.order_by("id").values_list("kind", "actor", "payload"))
    assert kinds == [
        ("account.opened", "ada", {"name": "mine"}),
        ("account.deposited", "ada", {"amount": "250.5", "currency": "USD"}),
    ]


def test_a_second_account_of_one_name_is_refused_and_the_first_untouched(account: Account) -> None:
    with pytest.raises(Refused, match="of that name"):
        accounts.open_account(owner_id=account.owner_id, name="paper", deposit=Decimal(5), now=now())
    assert Account.objects.count() == 1
    assert books.balance(account).cash == 1_000_000


@pytest.mark.parametrize("amount", ["0", "NaN", "Infinity", "-Infinity", "0.000000001", "1e15", "1e400"])
def test_a_wrong_amount_is_refused(account: Account, amount: str) -> None:
    with pytest.raises(Refused) as refusal:
        accounts.pay_in(account_id=account.pk, amount=Decimal(amount), now=now())
    assert [problem.field for problem in refusal.value.problems] == ["amount"]
    assert account.ledger.count() == 1


def test_a_withdrawal_is_a_negative_deposit(account: Account) -> None:
    accounts.pay_in(account_id=account.pk, amount=Decimal(-400), now=now())
    assert books.balance(account).cash == 999_600
