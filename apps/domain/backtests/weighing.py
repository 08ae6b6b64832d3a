"""The loop for target weights: on a bar whose weights are new, every instrument is brought to its share of equity.

What falls is sold before anything is bought, and nothing is bought beyond what the account can buy. The trades are the
reductions, at the average price of what was bought.
"""

from apps.domain import compiled
from apps.domain.backtests import entering, guards, kernel, leaving, prices
from apps.domain.backtests.entering import POWER_TOLERANCE
from apps.domain.backtests.kernel import BY_LEVEL, END_CLOSE, END_OPEN, MARK_OPEN, NOTHING, Desk, Floats, Market
from apps.domain.backtests.result import Reason
from apps.domain.backtests.state import Account, Book, Refusal, Rules

SIGNAL, END, RISK = map(int, (Reason.SIGNAL, Reason.END, Reason.RISK))
CASH, LAST_BAR, CORRELATION = map(int, (Refusal.CASH, Refusal.LAST_BAR, Refusal.MAX_CORRELATION))


@compiled.bare_loop
def simulate(market: Market, desk: Desk, since: int) -> int:
    """Run the bars from `since` and return the first one not run, because there was no room for its trades."""
    rules, account = desk.rules[0], desk.account[0]
    bars = len(market.at)
    for t in range(since, bars):
        if account.trades + kernel.room(desk) > desk.rows.shape[1]:
            return t
        guards.start_bar(market.at[t], account)
        if t > 0:
            _at_open(t, market, desk, rules, account)
        if rules.at_close:
            _rebalance(t, t, market.close, market, desk, rules, account)
        kernel.value(t, market.close, desk.books, account)
        desk.equity[t] = account.equity
        if desk.exposure.shape[0] > 0:
            desk.exposure[t] = account.gross / account.equity
        guards.end_bar(account, rules)
    _finish(bars - 1, market, desk, rules, account)
    return bars


@compiled.rule
def _at_open(t: int, market: Market, desk: Desk, rules: Rules, account: Account) -> None:
    if rules.carries:
        kernel.carry(t, market, desk.books, account, rules)
    if account.breached:
        account.breached = False
        _leave_all(t, market.open, RISK, market, desk, rules, account)
    if not rules.at_close:
        _rebalance(t, t - 1, market.open, market, desk, rules, account)


@compiled.part
def _leave_all(t: int, at: Floats, reason: int, market: Market, desk: Desk, rules: Rules, account: Account) -> None:
    for k in range(desk.books.shape[0]):
        book = desk.books[k]
        if book.side != 0:
            volume = market.volume[k, t if reason == END else t - 1]
            leaving.leave(t, k, at[k, t], volume, book.size, reason, False, book, account, rules, desk.rows)


@compiled.part
def _is_new(d: int, weights: Floats, rules: Rules) -> bool:
    """Say whether the weights of bar `d` are to be traded: the first, and any that differ from the bar before."""
    first = max(rules.warmup - 1, 0)
    if d < first or rules.entries == BY_LEVEL:
        return d >= first
    for k in range(weights.shape[0]):
        before = weights[k, d - 1] if d > first else 0.0
        if weights[k, d] != before and weights[k, d] == weights[k, d]:  # NaN says nothing
            return True
    return False


@compiled.part
def _rebalance(t: int, d: int, at: Floats, market: Market, desk: Desk, rules: Rules, account: Account) -> None:
    """Trade at bar `t` what the weights of bar `d` ask for: first what makes positions smaller, then the rest."""
    if not _is_new(d, market.weights, rules):
        return
    kernel.value(t, at, desk.books, account)
    for k in range(desk.books.shape[0]):
        book = desk.books[k]
        weight = _allowed(market.weights[k, d], rules)
        if book.side != 0 and weight == weight:
            target = _units(weight, at[k, t], market.volume[k, d], account, rules)
            excess = book.size if target * book.side <= 0.0 else book.size - abs(target)
            if excess == book.size or _is_order(excess, at[k, t], account, rules):
                volume = market.volume[k, d]
                leaving.leave(t, k, at[k, t], volume, excess, SIGNAL, False, book, account, rules, desk.rows)
    for k in range(desk.books.shape[0]):
        weight = _allowed(market.weights[k, d], rules)
        if weight == weight and weight != 0.0:
            kernel.value(t, at, desk.books, account)
            refusal = _grow(t, d, k, weight, at[k, t], market, desk, rules, account)
            if refusal != NOTHING:
                desk.refused[refusal] += 1


@compiled.part
def _allowed(weight: float, rules: Rules) -> float:
    if (weight > 0.0 and not rules.longs) or (weight < 0.0 and not rules.shorts):
        return 0.0
    return weight


@compiled.part
def _units(weight: float, price: float, volume: float, account: Account, rules: Rules) -> float:
    """Return the signed size that the weight stands for at the equity of now, in lots."""
    side = 1 if weight > 0.0 else -1
    worth = abs(weight) * account.equity
    fill = prices.slipped(side, price, worth / price, volume, rules)
    unit = fill * (1 + rules.fee_rate) if rules.size_fee else fill
    return side * entering.in_lots(max(worth / unit, 0.0), rules.lot)


@compiled.rule
def _is_order(size: float, price: float, account: Account, rules: Rules) -> bool:
    """Say whether a size is a lot at least, and more than the dust of a rounding."""
    return size >= rules.lot and size * price > POWER_TOLERANCE * account.equity


@compiled.part
def _grow(
    t: int, d: int, k: int, weight: float, price: float, market: Market, desk: Desk, rules: Rules, account: Account
) -> int:
    """Add what a position lacks, at most what the account can buy; return the Refusal, NOTHING if there is none."""
    book, volume = desk.books[k], market.volume[k, d]
    target = _units(weight, price, volume, account, rules)
    side = 1 if weight > 0.0 else -1
    missing = abs(target) - book.size
    if not _is_order(missing, price, account, rules):
        return NOTHING
    fill = prices.slipped(side, price, missing, volume, rules)
    power = account.equity * rules.leverage - account.gross
    unit = fill * (1 + rules.fee_rate) if rules.size_fee else fill
    size = entering.in_lots(min(missing, (power - rules.fee_fixed) / unit), rules.lot)
    if not _is_order(size, price, account, rules):
        return CASH
    refusal = _limited(d, k, side, size, fill, market, desk, rules, account) if rules.limited else NOTHING
    if refusal == NOTHING:
        _add(t, side, size, fill, book, account, rules)
    return refusal


@compiled.part
def _limited(
    d: int, k: int, side: int, size: float, fill: float, market: Market, desk: Desk, rules: Rules, account: Account
) -> int:
    """Return the Refusal of the limits for adding `size` to position `k`, NOTHING if there is none."""
    refusal, book = guards.block(d, account.day, account, rules), desk.books[k]
    if refusal != NOTHING:
        return refusal
    if rules.max_correlation > 0.0 and guards.too_alike(k, side, d, market.close, desk.books, rules):
        return CORRELATION
    refusal = guards.price_refusal(fill, market.close[k, d], rules)
    if refusal != NOTHING:
        return refusal
    # A position that grows is no further position, and its size counts as a whole.
    account.positions -= book.side != 0
    refusal = guards.order_refusal(side, size * fill, fill, book.size + size, account, rules)
    account.positions += book.side != 0
    return refusal


@compiled.part
def _add(t: int, side: int, size: float, fill: float, book: Book, account: Account, rules: Rules) -> None:
    paid = prices.fee(fill, size, rules.fee_rate, rules)
    account.cash = account.cash - side * (size * fill) - paid
    account.entries += 1
    if book.side == 0:
        book.side, book.entry_bar, book.entry_price = side, t, fill
        book.size = book.opened = size
        book.entry_fee, book.carry = paid, 0.0
        account.positions += 1
        return
    total = book.size + size
    book.entry_price = (book.size * book.entry_price + size * fill) / total
    book.size = total
    book.opened += size
    book.entry_fee += paid


@compiled.part
def _finish(t: int, market: Market, desk: Desk, rules: Rules, account: Account) -> None:
    if not rules.at_close and _is_new(t, market.weights, rules):
        desk.refused[LAST_BAR] += 1
    if rules.end == END_CLOSE or rules.end == END_OPEN:
        _leave_all(t, market.close if rules.end == END_CLOSE else market.open, END, market, desk, rules, account)
    if rules.end != 0:
        kernel.value(t, market.open if rules.end == MARK_OPEN else market.close, desk.books, account)
        desk.equity[t] = account.equity
        if desk.exposure.shape[0] > 0:
            desk.exposure[t] = account.gross / account.equity
