"""Trading beside its backtest: the rounds of an account that follows a strategy, and those a backtest of the same bars
says it should have had. Only here, because neither of the two apps may know the other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import numpy as np

from apps.backtests import outcomes, sources
from apps.backtests.services import gate
from apps.backtests.sources import Spec
from apps.domain.backtests import drift, engine
from apps.domain.backtests.conventions import Conventions, Entries, Sides, Sizing, Slippage, Units
from apps.domain.backtests.drift import Drift, Round, Stances
from apps.domain.backtests.gate import Compared, Span, Version
from apps.domain.backtests.result import Result
from apps.domain.errors import Problem, Refused
from apps.domain.strategies import contract
from apps.domain.strategies.contract import Candles, ExitPlan, Several
from apps.market.models import Instrument
from apps.reporting import rounds
from apps.strategies.models import Signal, Strategy
from apps.trading import books
from apps.trading.models import Account, Allocation

_LOOK_BACK: Final = 4  # times the warm-up are read before the period, more where bars are missing
_TRIES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One account and one strategy over one period, in both worlds."""

    strategy: Strategy
    account: Account
    version: Version
    since: datetime  # the first bar
    until: datetime  # the first bar that is left out
    conventions: dict[str, Conventions]  # by instrument
    stances: Stances
    drift: Drift
    notes: tuple[str, ...]  # what the backtest cannot say the way the account trades

    @property
    def compared(self) -> Compared:
        """Return what the gate judges: entries, and the mean rate by which fills were worse."""
        found, slips = self.drift, self.drift.slips
        worse = sum((slip.total / slip.base for slip in slips), Decimal(0)) / max(len(slips), 1)
        return Compared(
            label=f"{self.account}",
            version_digest=self.version.digest,
            span=Span(self.since, self.until),
            signals=len(found.pairs) + len(found.missed),
            missed=len(found.missed),
            extra=len(found.extra),
            fills=len(slips),
            slippage=float(worse),
        )


def compare(allocation: Allocation, *, since: datetime | None, until: datetime | None, now: datetime) -> Comparison:
    """Backtest what an account followed, on the stored candles, and put both side by side.

    Without `since` and `until` the period is that of the signals of the strategy's present version. Raises Refused when
    there are none, and StoreUnavailable.
    """
    strategy, account = allocation.strategy, allocation.account
    version = gate.version_of(strategy)
    signals = _signals(strategy, version, since, until)
    first, last = signals[0].bar_at, signals[-1].bar_at
    span = since or first, until or last + timedelta(seconds=strategy.bar_seconds)
    instruments = list(strategy.instruments.order_by("pk"))
    conventions = {row.symbol: conventions_of(allocation, row) for row in instruments}
    model_stances: dict[drift.Bar, int] = {}
    model_rounds: list[Round] = []
    for instrument, at, stances, plan in _said(strategy, instruments, span[0], now):
        start = int(np.searchsorted(at.at, rounds.seconds(span[0])))
        inside = slice(start, int(np.searchsorted(at.at, rounds.seconds(span[1]))))
        said = zip(at.at[inside].tolist(), stances[inside].tolist(), strict=True)
        model_stances |= {(instrument.symbol, bar): stance for bar, stance in said}
        begin = max(start - _known_before(strategy, instrument, version, span[0]), 0)
        result = _run(_rest(at, begin), stances[begin:], plan, begin, conventions[instrument.symbol])
        model_rounds += rounds.of_backtest(result, instrument.symbol)
    return Comparison(
        strategy=strategy,
        account=account,
        version=version,
        since=span[0],
        until=span[1],
        conventions=conventions,
        stances=drift.stances({_bar(row): row.stance for row in signals}, model_stances),
        drift=drift.compare(rounds.of_account(allocation, *span), [one for one in model_rounds if _within(one, span)]),
        notes=tuple(_notes(allocation)),
    )


def conventions_of(allocation: Allocation, instrument: Instrument) -> Conventions:
    """Return how a backtest trades the way an allocation does."""
    account = allocation.account
    percent = bool(account.slippage_rate)
    seconds = allocation.time_stop
    return Conventions(
        cash=float(-books.balance(account).capital),
        sides=Sides(allocation.sides),
        entries=Entries(allocation.entries),
        exit_on_signal=allocation.exit_on_signal,
        units=Units.LOTS,
        lot_size=float(instrument.lot_size),
        sizing=Sizing.NOTIONAL,
        size=float(allocation.notional),
        fee_rate=float(account.fee_rate),
        fee_fixed=float(account.fee_fixed),
        slippage=Slippage.PERCENT if percent else Slippage.FIXED,
        slippage_value=float(account.slippage_rate if percent else account.slippage_fixed),
        stop_loss=_rate(allocation.stop_loss),
        take_profit=_rate(allocation.take_profit),
        trailing_stop=_rate(allocation.trailing_stop),
        time_stop=None if seconds is None else max(1, -(-seconds // allocation.strategy.bar_seconds)),
    )


def _signals(strategy: Strategy, version: Version, since: datetime | None, until: datetime | None) -> list[Signal]:
    """Return the signals of the present version in a period, oldest first, after any of another version."""
    rows = Signal.objects.filter(strategy=strategy).select_related("instrument").order_by("bar_at", "instrument_id")
    rows = rows.filter(bar_at__gte=since) if since else rows
    rows = rows.filter(bar_at__lt=until) if until else rows
    own = rows.filter(version=version.code_hash, parameters=dict(version.parameters))
    others = rows.exclude(pk__in=own.values("pk")).order_by("-bar_at").values_list("bar_at", flat=True).first()
    found = list(own.filter(bar_at__gt=others) if others else own)
    if not found:
        rule = "has no signal of its present code and parameters in this period"
        raise Refused(Problem(field="strategy", value=strategy.name, rule=rule, remedy="let it trade on paper first"))
    return found


def _said(
    strategy: Strategy, instruments: Sequence[Instrument], since: datetime, now: datetime
) -> Iterator[tuple[Instrument, Candles, contract.Stances, ExitPlan | None]]:
    """Yield what the strategy says of every bar from before the period until now, instrument by instrument."""
    plugin = outcomes.strategy_of(strategy.plugin, strategy.parameters)
    groups = [list(instruments)] if isinstance(plugin, Several) else [[row] for row in instruments]
    for group in groups:
        candles = _candles(strategy, plugin.warmup, group, since, now)
        answer = outcomes.signals(plugin, candles)
        columns = answer.signals.reshape(len(candles[0].at), -1)
        for number, instrument in enumerate(group):
            yield instrument, candles[number], np.sign(columns[:, number]).astype(np.int8), answer.plan


def _candles(
    strategy: Strategy, warmup: int, group: Sequence[Instrument], since: datetime, now: datetime
) -> tuple[Candles, ...]:
    """Read the bars from a warm-up before the period on; bars without a trade are absent, so look further if needed."""
    back = _LOOK_BACK * warmup
    found: tuple[Candles, ...] = ()
    for _ in range(_TRIES):
        begin = since - timedelta(seconds=back * strategy.bar_seconds)
        symbols = tuple(row.symbol for row in group)
        spec = Spec(instruments=symbols, bar_seconds=strategy.bar_seconds, since=begin, until=now)
        found = sources.load(spec).candles
        if np.searchsorted(found[0].at, rounds.seconds(since)) >= warmup:
            break
        back *= 10
    return found


def _known_before(strategy: Strategy, instrument: Instrument, version: Version, since: datetime) -> int:
    """Say how many bars before the period live trading knew the stance of: of one, a change can be seen on the next."""
    rows = Signal.objects.filter(strategy=strategy, instrument=instrument, bar_at__lt=since)
    last = rows.order_by("-bar_at").first()
    known = last is not None and (last.version, last.parameters) == (version.code_hash, dict(version.parameters))
    return 1 if known else 0


def _run(
    candles: Candles, stances: contract.Stances, plan: ExitPlan | None, begin: int, conventions: Conventions
) -> Result:
    rest = None if plan is None else ExitPlan._make(column[begin:] for column in plan)
    # The first bar has a stance and none before it: a change can be seen from the second on.
    return engine.run(candles, stances, conventions, plan=rest, warmup=1)


def _notes(allocation: Allocation) -> Iterator[str]:
    account = allocation.account
    if allocation.max_lots > 1:
        yield f"the account may hold {allocation.max_lots} lots at a time, the backtest holds one: the others are extra"
    if account.slippage_rate and account.slippage_fixed:
        yield "the account pays slippage at a rate and a fixed part; the backtest assumes the rate alone"
    if allocation.time_stop and allocation.time_stop % allocation.strategy.bar_seconds:
        yield "the time stop is no whole number of bars; the backtest leaves at the next open after it"
    if allocation.trailing_stop:
        yield "a trailing stop follows every price live and only the extremes of bars in the backtest"


def _rest(candles: Candles, begin: int) -> Candles:
    return Candles._make(column[begin:] for column in candles)


def _within(round_: Round, span: tuple[datetime, datetime]) -> bool:
    return rounds.seconds(span[0]) <= round_.signal_at < rounds.seconds(span[1])


def _bar(row: Signal) -> drift.Bar:
    return row.instrument.symbol, rounds.seconds(row.bar_at)


def _rate(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
