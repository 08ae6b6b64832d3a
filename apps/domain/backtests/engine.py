"""Run a backtest: stances or weights and candles in, a result with its conventions out. Pure and reproducible."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from apps.domain.backtests import curves, kernel, solo, terms, weighing
from apps.domain.backtests.conventions import Conventions, Fill, Order, Sizing
from apps.domain.backtests.kernel import Desk, Market
from apps.domain.backtests.leaving import Rows
from apps.domain.backtests.result import Holding, Result, Trades
from apps.domain.backtests.state import ACCOUNT, BOOK, TICKET, Column, Refusal
from apps.domain.backtests.terms import Record
from apps.domain.errors import Problem, Refused
from apps.domain.strategies.contract import Candles, ExitPlan, Floats

Loop = Callable[[Market, Desk, int], int]
Signals = npt.NDArray[Any] | Sequence[npt.NDArray[Any]]
FIRST_ROWS = 1024  # weights: trades that have room before the list grows
NO_STANCES = np.empty((0, 0), np.int8)
NO_FLOATS = np.empty((0, 0))
NO_BARS = np.empty(0, np.int64)


def run(
    candles: Candles | Sequence[Candles],
    signals: Signals,
    conventions: Conventions,
    *,
    plan: ExitPlan | None = None,
    detail: Candles | None = None,
    funding: npt.NDArray[Any] | None = None,
    warmup: int = 0,
    exposure: bool = False,
) -> Result:
    """Trade the stances or target weights of instruments that share one account, and return what came of it.

    `signals` has a row per bar and, for several instruments, a column per instrument: whole numbers are stances (+1,
    0, -1), floats are weights (shares of equity; NaN leaves the instrument as it is). `warmup` is how many bars the
    first signal needs, its own included: a stance there differs from no earlier one, so that the first possible change
    is on bar `warmup`. `detail` holds finer candles of the one instrument; they decide the order of touches inside its
    bars. `funding` is the rate due at each bar, one for all or a column each, in place of the one in `conventions`.
    `exposure` asks for that curve, which costs some speed. Raises Refused for what does not fit together.
    """
    markets = [candles] if isinstance(candles, Candles) else list(candles)
    given = _columns(signals)
    if not markets or not given:
        raise Refused(_misfit("candles", "no instrument", "there must be one at least"))
    _check(markets, given, conventions, plan, detail)
    market = _market(markets, given, conventions, plan, detail, funding)
    rules = terms.rules(conventions, max(warmup, 0), plan is not None, detail is not None, funding is not None)
    desk = _desk(market, rules, conventions, exposure)
    return _result(market, _finished(market, desk, _loop(market, desk)), conventions)


def both_bounds(
    candles: Candles | Sequence[Candles], signals: Signals, conventions: Conventions, **given: Any
) -> tuple[Result, Result]:
    """Return the run in which the stop is always touched first, and the one in which the target is."""
    first, second = (
        run(candles, signals, replace(conventions, order=order), **given) for order in (Order.STOP, Order.TARGET)
    )
    return first, second


def _finished(market: Market, desk: Desk, loop: Loop) -> Desk:
    """Run every bar, with twice the room for trades whenever there is none left."""
    since, bars = 0, len(market.at)
    while bars:
        since = loop(market, desk, since)
        if since == bars:
            break
        desk = desk._replace(rows=np.concatenate([desk.rows, np.empty_like(desk.rows)], axis=1))
    return desk


def _loop(market: Market, desk: Desk) -> Loop:
    if market.weights.size:
        return weighing.simulate
    busy = any(desk.rules[name][0] for name in ("moving", "carries", "limited", "detailed"))
    # Where nothing but events changes the account of one instrument, the faster loop gives the same.
    return kernel.simulate if busy or len(desk.books) > 1 or len(desk.exposure) else solo.simulate


def _check(
    markets: list[Candles],
    signals: list[npt.NDArray[Any]],
    conventions: Conventions,
    plan: ExitPlan | None,
    detail: Candles | None,
) -> None:
    at, found = markets[0].at, []
    if any(not np.array_equal(each.at, at) for each in markets[1:]):
        found.append(_misfit("candles", "other times", "instruments must stand on the same bars"))
    if len(signals) != len(markets):
        found.append(_misfit("signals", f"{len(signals)} columns", f"there are {len(markets)} instruments"))
    if detail is not None and len(markets) > 1:
        found.append(_misfit("detail", "finer candles", "are for a run of one instrument"))
    if signals[0].dtype.kind == "f":
        set_ = [name for name in _FOR_STANCES if getattr(conventions, name) not in (None, ())]
        set_ += ["exit plan"] * (plan is not None) + ["sizing"] * (conventions.sizing is not Sizing.ALL_IN)
        found += [_misfit(name, "", "is for stances; target weights say themselves how much is held") for name in set_]
    if found:
        raise Refused(*found)


_FOR_STANCES = ("stop_loss", "take_profit", "trailing_stop", "break_even", "time_stop", "partial_exits")


def _market(
    markets: list[Candles],
    signals: list[npt.NDArray[Any]],
    conventions: Conventions,
    plan: ExitPlan | None,
    detail: Candles | None,
    funding: npt.NDArray[Any] | None,
) -> Market:
    at, weighs = np.ascontiguousarray(markets[0].at, np.int64), signals[0].dtype.kind == "f"
    bars = {
        name: _rows([getattr(each, name) for each in markets], np.float64, name, at) for name in Candles._fields[1:]
    }
    varies = conventions.sizing is Sizing.VOLATILITY
    return Market(
        at=at,
        **bars,
        stances=NO_STANCES if weighs else _rows(signals, np.int8, "signals", at),
        weights=_rows(signals, np.float64, "signals", at) if weighs else NO_FLOATS,
        plan=_plan(plan, at, len(markets)),
        deviation=curves.deviations(bars["close"], conventions.volatility_bars) if varies else NO_FLOATS,
        funding=NO_FLOATS if funding is None else _rows(_each(funding, len(markets)), np.float64, "funding", at),
        detail=np.empty((4, 0)) if detail is None else np.ascontiguousarray(np.stack(detail[1:5]), np.float64),
        first=NO_BARS if detail is None else np.searchsorted(detail.at, np.append(at, detail.at[-1:] + 1)),
    )


def _columns(given: Signals) -> list[npt.NDArray[Any]]:
    """Return one array per instrument of an array with a column each, or of a sequence of them."""
    if not isinstance(given, np.ndarray):
        return list(given)
    return [given] if given.ndim == 1 else list(given.T)


def _each(given: npt.NDArray[Any], count: int) -> list[npt.NDArray[Any]]:
    """Return a column per instrument, the one column there is for all of them."""
    return [given] * count if given.ndim == 1 else _columns(given)


def _rows(arrays: Sequence[npt.NDArray[Any]], kind: Any, name: str, at: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Return the arrays as rows of one; a single array of the right kind is not copied."""
    for each in arrays:
        if each.shape != at.shape:
            raise Refused(_misfit(name, f"{len(each)} values", f"there are {len(at)} bars"))
    if len(arrays) == 1:
        return np.ascontiguousarray(arrays[0], kind).reshape(1, -1)
    return np.ascontiguousarray(np.stack(arrays), kind)


def _plan(plan: ExitPlan | None, at: npt.NDArray[np.int64], count: int) -> Floats:
    if plan is None:
        return np.empty((3, 0, 0))
    return np.stack([_rows(_each(part, count), np.float64, "plan", at) for part in plan])


def _desk(market: Market, rules: Record, conventions: Conventions, exposure: bool) -> Desk:
    account = np.zeros(1, ACCOUNT)
    account["cash"] = account["equity"] = account["peak"] = conventions.cash
    account["day"] = account["blocked_day"] = np.iinfo(np.int64).min
    books = np.zeros(market.open.shape[0], BOOK)
    books["exited_bar"] = -1
    return Desk(
        rules=rules,
        account=account,
        books=books,
        ticket=np.zeros(1, TICKET),
        ladder=terms.ladder(conventions),
        refused=np.zeros(len(Refusal), np.int64),
        equity=np.empty(len(market.at)),
        exposure=np.empty(len(market.at) if exposure else 0),
        rows=np.empty((len(Column), _first_rows(market, conventions))),
    )


def _first_rows(market: Market, conventions: Conventions) -> int:
    """Return room for a trade and its partial exits at every change of a stance; more is added when it is needed."""
    changes = sum(curves.changes(stances) for stances in market.stances) or FIRST_ROWS
    spare = len(market.open) * (len(conventions.partial_exits) + 4)
    return int(changes * (len(conventions.partial_exits) + 1) + spare)


def _result(market: Market, desk: Desk, conventions: Conventions) -> Result:
    return Result(
        at=market.at,
        trades=_trades(market, desk.rows[:, : int(desk.account["trades"][0])], conventions),
        equity=desk.equity,
        exposure=desk.exposure if desk.exposure.size else None,
        open=_holdings(market, desk, conventions),
        rejected={kind.name.lower(): int(desk.refused[kind]) for kind in Refusal if desk.refused[kind]},
        ambiguous_bars=int(desk.account["ambiguous"][0]),
        conventions=conventions,
    )


_KINDS = {
    Column.INSTRUMENT: np.int16,
    Column.SIDE: np.int8,
    Column.ENTRY_BAR: np.int64,
    Column.EXIT_BAR: np.int64,
    Column.REASON: np.int8,
    Column.AMBIGUOUS: np.bool_,
}


def _trades(market: Market, rows: Rows, conventions: Conventions) -> Trades:
    held = [rows[column].astype(_KINDS.get(column, np.float64), copy=False) for column in Column]
    # An entry at the close has not lived through its bar.
    since = rows[Column.ENTRY_BAR] + (conventions.fill is Fill.CLOSE)
    return Trades._make([*held, *curves.excursions(market.high, market.low, rows, since)])


def _holdings(market: Market, desk: Desk, conventions: Conventions) -> tuple[Holding, ...]:
    found = []
    marks = market.open if conventions.end == "mark-open" else market.close
    for k in np.flatnonzero(desk.books["side"]):
        book = desk.books[k]
        side, size = int(book["side"]), float(book["size"])
        value = side * size * float(marks[k, -1])
        found.append(Holding(int(k), side, int(book["entry_bar"]), float(book["entry_price"]), size, value))
    return tuple(found)


def _misfit(name: str, value: str, rule: str) -> Problem:
    return Problem(field=name, value=value, rule=rule, remedy="give one value per bar and instrument")
