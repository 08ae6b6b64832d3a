"""A site after years of use: tables of millions of rows that hang together, written by a few set-based statements."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg2

from benchmarks import filling

INSTRUMENTS = 23
EVENTS_EACH = 10

_AT = "%(now)s - (%(count)s - g) * (interval '365 days' / %(count)s)"
_ACCOUNT = "1 + g %% %(accounts)s"
_INSTRUMENT = "1 + g %% %(instruments)s"
_CLOSED = "g %% %(open_every)s <> 0"
_STATEMENTS = (
    f"""INSERT INTO trading_position (account_id, instrument_id, side, quantity, remaining, cost, entry_price, status,
        opened_at, closed_at, exit_notional, fees, realised_pnl, exit_reason, last_exit_id, version)
    SELECT {_ACCOUNT}, {_INSTRUMENT}, CASE g %% 2 WHEN 0 THEN 'long' ELSE 'short' END, 1,
        CASE WHEN {_CLOSED} THEN 0 ELSE 1 END, CASE WHEN {_CLOSED} THEN 0 ELSE 1000 END, 1000,
        CASE WHEN {_CLOSED} THEN 'closed' ELSE 'open' END, {_AT}, CASE WHEN {_CLOSED} THEN {_AT} END,
        CASE WHEN {_CLOSED} THEN 1001 ELSE 0 END, 1, CASE WHEN {_CLOSED} THEN 1 ELSE 0 END,
        CASE WHEN {_CLOSED} THEN 'take_profit' ELSE '' END, CASE WHEN {_CLOSED} THEN g END, 1
    FROM generate_series(1, %(count)s) AS g""",
    """INSERT INTO trading_exitleg (position_id, instrument_id, kind, rises, status, fraction, level, trail_is_rate,
        since)
    SELECT p.id, p.instrument_id, kind, (kind = 'take_profit') = (p.side = 'long'),
        CASE p.status WHEN 'open' THEN 'live' ELSE 'cancelled' END, 1,
        CASE WHEN (kind = 'take_profit') = (p.side = 'long') THEN 1500 ELSE 500 END, false, p.opened_at
    FROM trading_position p CROSS JOIN (VALUES ('stop_loss'), ('take_profit')) AS legs(kind)""",
    """INSERT INTO trading_drain (worker, claimed_at, committed_at)
    SELECT 'bench', %(now)s, %(now)s FROM generate_series(1, 10)""",
    f"""INSERT INTO trading_exit (id, position_id, reason, status, source, actor, note, trigger_price, tick_at, seen_at,
        recorded_at, closed_at, quantity, fill_price, fee, pnl, late, epoch)
    OVERRIDING SYSTEM VALUE
    SELECT g, g, 'take_profit', 'done', 'listener', '', '', 1001, {_AT} - interval '20 ms', {_AT}, {_AT}, {_AT},
        1, 1001, 1, 1, false, 1
    FROM generate_series(1, %(count)s) AS g WHERE {_CLOSED}""",
    f"""INSERT INTO trading_decision (account_id, instrument_id, position_id, side, quantity, price, approved, reason,
        verdicts, actor, source, at)
    SELECT {_ACCOUNT}, {_INSTRUMENT}, CASE WHEN g %% 3 > 0 THEN g END, 'long', 1, 1000, g %% 3 > 0, '', '[]', '', 'api',
        {_AT}
    FROM generate_series(1, %(count)s) AS g""",
    f"""INSERT INTO trading_order (account_id, instrument_id, position_id, decision_id, purpose, client_id, venue_id,
        attempt, buy, kind, tif, quantity, reduce_only, legs, status, filled, notional, claimed, why, actor, created_at,
        ended_at, version)
    SELECT {_ACCOUNT}, {_INSTRUMENT}, g, g, 'entry', 'o' || g, '', 1, true, 'market', 'gtc', 1, false, '[]',
        CASE WHEN {_CLOSED} THEN 'filled' ELSE 'accepted' END, 1, 1000, 1, '', '', {_AT},
        CASE WHEN {_CLOSED} THEN {_AT} END, 1
    FROM generate_series(1, %(count)s) AS g""",
    """INSERT INTO trading_fill (account_id, instrument_id, position_id, client_id, buy, quantity, price, fee,
        fee_asset, at)
    SELECT account_id, instrument_id, id, 'p' || id || '-open-1', side = 'long', 1, 1000, 1, '', opened_at
    FROM trading_position""",
    """INSERT INTO trading_fill (account_id, instrument_id, position_id, exit_id, client_id, buy, quantity, price, fee,
        fee_asset, at)
    SELECT p.account_id, p.instrument_id, p.id, e.id, 'p' || p.id || '-exit-1', p.side = 'short', 1, 1001, 1, '',
        e.closed_at
    FROM trading_exit e JOIN trading_position p ON p.id = e.position_id""",
    """INSERT INTO trading_ledgerentry (account_id, currency, fill_id, kind, cash, holdings, fees, pnl, capital, at,
        recorded_at)
    SELECT account_id, 'USD', id, CASE WHEN exit_id IS NULL THEN 'open' ELSE 'close' END,
        CASE WHEN exit_id IS NULL THEN -1001 ELSE 1000 END, CASE WHEN exit_id IS NULL THEN 1000 ELSE -1000 END, 1,
        CASE WHEN exit_id IS NULL THEN 0 ELSE -1 END, 0, at, at
    FROM trading_fill""",
    """INSERT INTO trading_balance (account_id, currency, through, cash, holdings, fees, pnl, capital)
    SELECT account_id, currency, max(id), sum(cash), sum(holdings), sum(fees), sum(pnl), sum(capital)
    FROM trading_ledgerentry GROUP BY account_id, currency""",
    """INSERT INTO trading_riskmetric (account_id, at, equity, cash, gross, net, peak, day_start, open_positions,
        capital)
    SELECT account, %(now)s - minute * interval '1 minute', 1000000 + minute, 1000000, 1000, 0, 1002000, 1000000, 1,
        1000000
    FROM generate_series(1, %(accounts)s) AS account, generate_series(0, %(minutes)s - 1) AS minute""",
    """INSERT INTO strategies_signal (strategy_id, instrument_id, bar_at, stance, price, reason, version, parameters,
        made_at)
    SELECT s.id, 1 + g %% %(instruments)s, %(now)s - g * interval '1 minute', 1, 1000, 'crossed', '', '{}',
        %(now)s - g * interval '1 minute'
    FROM strategies_strategy s, generate_series(1, 1 + %(count)s / 10) AS g""",
    """INSERT INTO journal_event (kind, at, account_id, subject, actor, payload)
    SELECT (ARRAY['position.created', 'order.accepted', 'exit.triggered', 'position.closed'])[1 + g %% 4],
        %(now)s - (%(count)s * %(each)s - g) * (interval '365 days' / (%(count)s * %(each)s)),
        1 + (g / %(each)s) %% %(accounts)s, 'position:' || (1 + g / %(each)s), '',
        '{"price": "1000.00", "quantity": "1"}'
    FROM generate_series(1, %(count)s * %(each)s) AS g""",
    """SELECT setval(pg_get_serial_sequence('trading_exit', 'id'), %(count)s)""",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many rows there are. The numbers are prime to each other: every account has open positions in everything."""

    positions: int
    accounts: int = 97
    open_every: int = 20  # one position of so many is still open
    minutes: int = 1440  # measures of risk of each account


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Who looks at the tables: somebody who sees everything, and somebody with one account of many."""

    everything: Any
    one: Any
    account: int


def fill(size: Size, write: Callable[[Sequence[str], dict[str, Any]], None]) -> Crowd:
    """Empty every table and let positions be written, and ten events and all else that hangs on each."""
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Group

    from apps.trading.models import Account

    first, now = filling.site(INSTRUMENTS), datetime.now(UTC)
    people = get_user_model()._default_manager
    everything, _ = people.get_or_create(username="all", is_staff=True, is_superuser=True)
    one, _ = people.get_or_create(username="one", is_staff=True)
    one.groups.set(Group.objects.all())
    Account.objects.filter(pk=first).update(owner=one)
    Account.objects.bulk_create(
        Account(owner=everything, name=f"no {number}", opened_at=now, fee_rate=0, slippage_rate=0)
        for number in range(2, size.accounts + 1)
    )
    _priced(now)
    values = {"count": size.positions, "accounts": size.accounts, "open_every": size.open_every}
    more = {"minutes": size.minutes, "instruments": INSTRUMENTS, "now": now, "each": EVENTS_EACH}
    write(_STATEMENTS, {**values, **more})
    return Crowd(everything=everything, one=one, account=first)


def unchecked(url: str, statements: Sequence[str], values: dict[str, Any]) -> None:
    """Write as a superuser without looking up foreign keys, which would take most of the time; the statements fit."""
    link = psycopg2.connect(url)
    try:
        with link, link.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica; SET statement_timeout = 0")
            for statement in statements:
                cursor.execute(statement, values)
    finally:
        link.close()


def _priced(now: datetime) -> None:
    from apps.market.models import Instrument, Quote
    from apps.strategies.models import Strategy

    for number in range(3):
        Strategy.objects.get_or_create(name=f"s{number}", defaults={"plugin": "sma_cross"})
    price = Decimal(filling.PRICE)
    shared = {"price": price, "low": price, "high": price, "at": now, "received_at": now, "heard_at": now}
    Quote.objects.bulk_create(Quote(instrument=each, **shared) for each in Instrument.objects.all())
