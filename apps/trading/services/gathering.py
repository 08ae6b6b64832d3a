"""The facts that risk rules look at, read in one statement; what no rule needs is not read."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from apps.domain import calendars as hours
from apps.domain import numbers
from apps.domain.calendars import NotCovered
from apps.domain.exchanges import UnknownCalendar
from apps.domain.legs import ExitReason
from apps.domain.risk.facts import ZERO, Closing, Facts, History, Holding, Need, Price, Recent, Session
from apps.domain.states import ENDED_ORDERS
from apps.market import calendars
from apps.market.models import Instrument, Quote
from apps.trading.models import Account, RiskMetric
from apps.trading.statements import Statement

MINUTE = timedelta(minutes=1)
LAST_CLOSINGS = 100  # the closed positions that rules on losses look back at
_STOPS = ", ".join(f"'{reason}'" for reason in (ExitReason.STOP_LOSS, ExitReason.TRAILING_STOP, ExitReason.BREAK_EVEN))
_ENDED = ", ".join(f"'{status}'" for status in ENDED_ORDERS)  # as in the index `order_live`

# Numbers leave as text: JSON would make floats of them. A part that is not asked for costs a filter that says no.
_FACTS = Statement(
    "risk_facts",
    f"""
    WITH held AS (
        SELECT p.instrument_id, p.side = 'long' AS long, s.strategy_id, false AS working, count(*) AS lots,
            sum(p.remaining) AS quantity, sum(coalesce(p.remaining * q.price, p.cost)) AS value
        FROM trading_position p
        LEFT JOIN market_quote q ON q.instrument_id = p.instrument_id
        LEFT JOIN strategies_signal s ON s.id = p.signal_id
        WHERE :holdings::boolean AND p.account_id = :account::bigint AND p.status IN ('opening', 'open', 'closing')
        GROUP BY 1, 2, 3
        UNION ALL
        SELECT o.instrument_id, o.buy, d.strategy_id, true, count(*) FILTER (WHERE o.filled = 0),
            sum(o.quantity - o.filled),
            sum((o.quantity - o.filled) * coalesce(o.limit_price, o.stop_price, d.price, q.price, 0))
        FROM trading_order o
        LEFT JOIN trading_decision d ON d.id = o.decision_id
        LEFT JOIN market_quote q ON q.instrument_id = o.instrument_id
        WHERE :holdings AND o.account_id = :account AND o.purpose = 'entry' AND NOT (o.status IN ({_ENDED}))
            AND o.quantity > o.filled
        GROUP BY 1, 2, 3
    ), lines AS (
        SELECT b.cash, b.capital FROM trading_balance b
        WHERE :money::boolean AND b.account_id = :account AND b.currency = :currency::text
        UNION ALL
        SELECT l.cash, l.capital FROM trading_ledgerentry l
        WHERE :money AND l.account_id = :account AND l.currency = :currency AND l.id > coalesce(
            (SELECT b.through FROM trading_balance b WHERE b.account_id = :account AND b.currency = :currency), 0)
    ), last AS (
        SELECT m.at, m.equity, m.peak, m.day_start, m.capital FROM trading_riskmetric m
        WHERE :history::boolean AND m.account_id = :account ORDER BY m.at DESC LIMIT 1
    ), closings AS (
        SELECT p.closed_at, p.id, p.realised_pnl - p.fees AS net, p.exit_reason IN ({_STOPS}) AS stopped,
            p.instrument_id, s.strategy_id
        FROM trading_position p LEFT JOIN strategies_signal s ON s.id = p.signal_id
        WHERE :closings::boolean AND p.account_id = :account AND p.status = 'closed'
        ORDER BY p.closed_at DESC, p.id DESC LIMIT {LAST_CLOSINGS}
    ), recent AS (
        SELECT count(*) AS orders, d.instrument_id, d.strategy_id FROM trading_decision d
        WHERE :rate::boolean AND d.account_id = :account AND d.approved AND d.at > :minute::timestamptz
        GROUP BY 2, 3
    )
    SELECT
        (SELECT json_agg(json_build_array(h.instrument_id, i.symbol, i.base_currency, h.long, h.quantity::text,
            h.value::text, h.lots, h.strategy_id, h.working))
            FROM held h JOIN market_instrument i ON i.id = h.instrument_id),
        (SELECT sum(cash) FROM lines), (SELECT -sum(capital) FROM lines),
        (SELECT json_build_array(at, equity::text, peak::text, day_start::text, capital::text) FROM last),
        (SELECT min(least(m.equity, m.lowest) - m.day_start) FROM trading_riskmetric m
            WHERE :history AND m.account_id = :account AND m.at >= :midnight::timestamptz),
        (SELECT json_agg(json_build_array(closed_at, net::text, stopped, instrument_id, strategy_id)
            ORDER BY closed_at DESC, id DESC) FROM closings),
        (SELECT json_agg(json_build_array(orders, instrument_id, strategy_id)) FROM recent)
    """,  # noqa: S608 - the words put in are the domain's own
)
_READ = frozenset({Need.MONEY, Need.HOLDINGS, Need.HISTORY, Need.CLOSINGS, Need.RATE})


def of_account(account: Account, needs: Collection[Need], now: datetime) -> Facts:
    """Return what is needed of an account; read it under the account's lock where a limit is about to be used up."""
    facts = Facts(now=now, account_id=account.pk, currency=account.currency)
    if _READ.isdisjoint(needs):
        return facts
    money = not {Need.MONEY, Need.HISTORY}.isdisjoint(needs)
    ((held, cash, capital, last, worst, closings, recent),) = _FACTS.run(
        account=account.pk,
        currency=account.currency,
        money=money,
        holdings=money or not {Need.HOLDINGS, Need.RETURNS}.isdisjoint(needs),
        history=Need.HISTORY in needs,
        closings=Need.CLOSINGS in needs,
        rate=Need.RATE in needs,
        minute=now - MINUTE,
        midnight=_midnight(now),
    )
    holdings = tuple(_holding(row) for row in held or ())
    cash, capital = cash or ZERO, capital or ZERO
    worth = sum((each.sign * each.value for each in holdings if not each.working), ZERO)
    return Facts(
        now=now,
        account_id=account.pk,
        currency=account.currency,
        cash=cash if money else None,
        equity=cash + worth if money else None,
        capital=capital if money else None,
        history=_history(last, worst, capital, now) if Need.HISTORY in needs else None,
        holdings=holdings,
        closings=tuple(_closing(row) for row in closings or ()),
        recent=tuple(_recent(row) for row in recent or ()),
    )


def metric_of(facts: Facts) -> RiskMetric:
    """Return what was measured of an account as a row, not stored; the facts must have money and history.

    Day start and peak are kept as if what was paid in until now had been there already: `History` says the same.
    """
    history, equity = facts.history, facts.equity
    if history is None or equity is None:
        raise ValueError("facts without money and history cannot be a measure")
    held = [each for each in facts.holdings if not each.working]
    return RiskMetric(
        account_id=facts.account_id,
        at=facts.now,
        equity=numbers.stored(equity),
        cash=facts.cash or ZERO,
        gross=numbers.stored(sum((each.value for each in held), ZERO)),
        net=numbers.stored(sum((each.sign * each.value for each in held), ZERO)),
        peak=numbers.stored(max(history.peak, equity)),
        day_start=numbers.stored(history.day_start),
        open_positions=sum(each.lots for each in held),
        lowest=numbers.stored(equity),
        capital=facts.capital,
        measured_at=facts.now,
    )


def price_of(quote: Quote | None, now: datetime) -> Price | None:
    """Return the last quote as rules see it."""
    if quote is None:
        return None
    return Price(last=quote.price, bid=quote.bid, ask=quote.ask, age=now - max(quote.heard_at, quote.received_at))


def session_of(instrument: Instrument, now: datetime) -> Session:
    """Return how an instrument's market stands; hours that are not known are said to be so."""
    try:
        calendar = calendars.calendar_of(instrument)
        phase = str(hours.phase(calendar, now))
        trading = hours.between(calendar, now, now + timedelta.resolution)
    except (NotCovered, UnknownCalendar) as error:
        return Session(phase="unknown", calendar=instrument.calendar, detail=str(error))
    spans = [span for row in trading for span in row.spans() if span[0] <= now < span[1]]
    if not spans or phase != hours.Phase.OPEN:
        return Session(phase=phase, calendar=calendar.name)
    since, until = spans[0]
    return Session(phase=phase, calendar=calendar.name, since_open=now - since, until_close=until - now)


def _midnight(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _holding(row: list[Any]) -> Holding:
    instrument_id, symbol, asset, long, quantity, value, lots, strategy_id, working = row
    return Holding(
        instrument_id=instrument_id,
        symbol=symbol,
        asset=asset,
        sign=1 if long else -1,
        quantity=Decimal(quantity),
        value=Decimal(value),
        lots=lots,
        strategy_id=strategy_id,
        working=working,
    )


def _history(last: list[Any] | None, worst: Decimal | None, capital: Decimal, now: datetime) -> History:
    """Move what was measured last by what was paid in since; before the first measure what was paid in counts."""
    if last is None:
        return History(day_start=capital, worst_today=ZERO, peak=capital)
    at, equity, peak, day_start, then = last
    paid = ZERO if then is None else capital - Decimal(then)
    is_today = datetime.fromisoformat(at) >= _midnight(now)
    start = Decimal(day_start if is_today else equity) + paid
    return History(day_start=start, worst_today=min(worst or ZERO, ZERO), peak=Decimal(peak) + paid)


def _closing(row: list[Any]) -> Closing:
    at, net, stopped, instrument_id, strategy_id = row
    return Closing(
        at=datetime.fromisoformat(at),
        net=Decimal(net),
        stopped=stopped,
        instrument_id=instrument_id,
        strategy_id=strategy_id,
    )


def _recent(row: list[Any]) -> Recent:
    orders, instrument_id, strategy_id = row
    return Recent(orders=orders, instrument_id=instrument_id, strategy_id=strategy_id)
