"""Opening accounts and putting money into them."""

from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db import transaction

from apps.domain import numbers
from apps.domain.errors import Problem, Refused
from apps.journal import services as journal
from apps.trading import locks
from apps.trading.models import Account, LedgerEntry


def open_account(*, owner_id: int, name: str, deposit: Decimal, now: datetime, actor: str = "") -> Account:
    """Open a paper account with the default costs of the settings and a first deposit. Raises Refused."""
    with transaction.atomic():
        account, created = Account.objects.get_or_create(
            owner_id=owner_id,
            name=name,
            defaults={
                "fee_rate": settings.PAPER_FEE_RATE,
                "slippage_rate": settings.PAPER_SLIPPAGE_RATE,
                "opened_at": now,
            },
        )
        if not created:
            raise Refused(
                Problem(field="name", value=name, rule="you have an account of that name", remedy="choose another name")
            )
        journal.record(
            "account.opened", f"account:{account.pk}", account_id=account.pk, actor=actor, payload={"name": name}
        )
        if deposit:
            pay_in(account_id=account.pk, amount=deposit, now=now, actor=actor)
    return account


def pay_in(*, account_id: int, amount: Decimal, now: datetime, actor: str = "") -> LedgerEntry:
    """Deposit an amount (negative to withdraw) in the account's currency. Raises Refused."""
    if not amount.is_finite() or amount == 0 or abs(amount) >= numbers.LIMIT or amount != numbers.money(amount):
        raise Refused(
            Problem(
                field="amount",
                value=str(amount),
                rule="must be an amount of at most eight decimals, not 0",
                remedy="use '1000.00'",
            )
        )
    with transaction.atomic():
        account = locks.account(account_id)
        entry = LedgerEntry.objects.create(
            account=account, currency=account.currency, kind="deposit", cash=amount, capital=-amount, at=now
        )
        journal.record(
            "account.deposited",
            f"account:{account_id}",
            account_id=account_id,
            actor=actor,
            payload={"amount": numbers.plain(amount), "currency": account.currency},
        )
    return entry
