"""Tables full of positions, made by a few set-based statements: a million of them in seconds."""

from datetime import UTC, datetime
from decimal import Decimal

from benchmarks import stage

PRICE = 1000  # every market begins here
# n counts the positions of one instrument from 0. Far levels are out of reach, near ones are one cent apart.
FAR_STOP, FAR_TARGET = "500 - n * 0.01", "1500 + n * 0.01"
NEAR_STOP = "1000 - (n + 1) * 0.01"
ONE_STOP = "990"

_TABLES = (
    "trading_account, trading_position, trading_exitleg, trading_watermark, trading_drain, trading_exit, trading_fill, "
    "trading_ledgerentry, trading_balance, trading_levelchange, journal_event, journal_lease, journal_pulse, "
    "market_instrument, market_quote, market_feedstatus, strategies_signal"
)
_POSITIONS = """
WITH made AS (
    INSERT INTO trading_position (account_id, instrument_id, side, quantity, remaining, cost, entry_price, status,
        opened_at, exit_notional, fees, realised_pnl, exit_reason, version)
    SELECT %(account)s, %(first)s + g %% %(instruments)s, 'long', 1, 1, 1000, 1000, 'open', clock_timestamp(), 0, 1, 0,
        '', 1
    FROM generate_series(0, %(count)s - 1) AS g
    RETURNING id, instrument_id, opened_at
), numbered AS (
    SELECT *, row_number() OVER (PARTITION BY instrument_id ORDER BY id) - 1 AS n FROM made
)
INSERT INTO trading_exitleg (position_id, instrument_id, kind, rises, status, fraction, level, trail_is_rate, since)
SELECT id, instrument_id, kind, kind = 'take_profit', 'live', 1, level, false, opened_at FROM numbered
CROSS JOIN LATERAL (VALUES ('stop_loss', {stop}), ('take_profit', {target})) AS legs(kind, level)
"""
_BOOKS = """
WITH f AS (
    INSERT INTO trading_fill (account_id, instrument_id, position_id, client_id, buy, quantity, price, fee, at)
    SELECT account_id, instrument_id, id, 'p' || id || '-open-1', true, quantity, entry_price, fees, opened_at
    FROM trading_position RETURNING id, account_id, position_id, price, quantity, fee, at
), l AS (
    INSERT INTO trading_ledgerentry (account_id, currency, fill_id, kind, cash, holdings, fees, pnl, capital, at)
    SELECT account_id, 'USD', id, 'open', -price * quantity - fee, price * quantity, fee, 0, 0, at FROM f
)
INSERT INTO journal_event (kind, subject, account_id, actor, payload)
SELECT 'position.created', 'position:' || position_id, account_id, '', '{}' FROM f
"""


def site(instruments: int) -> int:
    """Empty every table, make an owner's account and instruments P001-USD and on; return the account's id."""
    from django.contrib.auth import get_user_model

    from apps.market.models import Instrument
    from apps.trading.services import accounts

    stage.rows(f"TRUNCATE {_TABLES} RESTART IDENTITY CASCADE")
    owner, _ = get_user_model()._default_manager.get_or_create(username="bench")
    account = accounts.open_account(owner_id=owner.pk, name="bench", deposit=Decimal(10) ** 11, now=datetime.now(UTC))
    Instrument.objects.bulk_create(
        Instrument(
            symbol=symbol(number),
            base_currency=symbol(number)[:4],
            quote_currency="USD",
            tick_size=Decimal("0.01"),
            lot_size=Decimal("0.001"),
            min_quantity=Decimal("0.001"),
        )
        for number in range(1, instruments + 1)
    )
    return int(account.pk)


def positions(account: int, count: int, *, first: int = 1, instruments: int, stop: str, target: str) -> None:
    """Open long positions at 1000.00 spread over instruments, each with a stop and a target."""
    statement = _POSITIONS.format(stop=stop, target=target)
    values = {"account": account, "count": count, "first": first, "instruments": instruments}
    stage.rows("SET statement_timeout = 0")
    stage.rows(statement, values)


def books() -> None:
    """Write the opening fill, ledger line and event of every position, so that the invariants hold."""
    stage.rows(_BOOKS)
    settled()


def settled() -> None:
    """Let the server catch up with its own bookkeeping before something is measured."""
    stage.rows("VACUUM (ANALYZE)")


def symbol(number: int) -> str:
    """Return the name of the n-th instrument, from 1."""
    return f"P{number:03d}-USD"
