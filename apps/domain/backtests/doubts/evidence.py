"""Is there enough of it? Trades, days, parameters, and whether the tested data were the searched data."""

from apps.domain.backtests.remarks import Case, Remark, Severity, graded, note

FEW_TRADES, TOO_FEW_TRADES = 100, 30
TRADES_PER_PARAMETER, TOO_FEW_PER_PARAMETER = 30, 10
SHORT_DAYS, TOO_SHORT_DAYS = 365, 30
DAY = 86_400


def no_trades(case: Case) -> Remark | None:
    """Nothing was closed, so nothing was tested."""
    if case.result.closed_trades:
        return None
    return Remark(
        code="no-trades",
        severity=Severity.RED,
        sentence="No trade was closed: there is nothing to judge.",
        number=0.0,
        limit=1.0,
        remedy="Look at the rejected entries, take a longer period, or loosen the entry.",
    )


def few_trades(case: Case) -> Remark | None:
    """Too few trades to tell skill from luck."""
    count = case.result.closed_trades
    if not count or count >= FEW_TRADES:
        return None
    red = count < TOO_FEW_TRADES
    return Remark(
        code="few-trades",
        severity=Severity.RED if red else Severity.AMBER,
        sentence=f"{_trades(count)} closed; below {TOO_FEW_TRADES} a result says next to nothing, "
        f"from {FEW_TRADES} on it says something.",
        number=float(count),
        limit=float(TOO_FEW_TRADES if red else FEW_TRADES),
        remedy="Test a longer period, finer bars, or more instruments.",
    )


def many_parameters(case: Case) -> Remark | None:
    """Parameters enough to fit the trades there are."""
    parameters, count = case.context.parameter_count, case.result.closed_trades
    if not parameters or not count or count / parameters >= TRADES_PER_PARAMETER:
        return None
    each = count / parameters
    red = each < TOO_FEW_PER_PARAMETER
    limit = TOO_FEW_PER_PARAMETER if red else TRADES_PER_PARAMETER
    return Remark(
        code="many-parameters",
        severity=Severity.RED if red else Severity.AMBER,
        sentence=f"{count:,} closed trades for {parameters} parameters is {each:.1f} trades each, below {limit}: "
        "the rule could have been fitted to them.",
        number=each,
        limit=float(limit),
        remedy="Fix parameters that hardly matter, or test on more trades.",
    )


def too_short(case: Case) -> Remark | None:
    """A period that saw one kind of market."""
    since, until = case.span
    days = (until - since) / DAY
    if days >= SHORT_DAYS:
        return None
    red = days < TOO_SHORT_DAYS
    limit = TOO_SHORT_DAYS if red else SHORT_DAYS
    return Remark(
        code="too-short",
        severity=Severity.RED if red else Severity.AMBER,
        sentence=f"The test spans {days:,.1f} days, below {limit}: it has seen one kind of market, "
        "and figures per year are extrapolated.",
        number=days,
        limit=float(limit),
        remedy="Test several years, with a rising, a falling and a quiet market among them.",
    )


def overlap(case: Case) -> Remark | None:
    """The parameters were chosen on the very data they are shown on."""
    since, until = case.span
    shared = sum(max(0, min(until, end) - max(since, start)) for start, end in _merged(case.context.searched_spans))
    share = shared / max(until - since, 1)
    return graded(
        "overlap",
        share,
        (None, 0.0),
        f"{share:.0%} of the tested period was searched for the parameters: the figures are what was chosen for, "
        "not what to expect.",
        "Show the result on a period that no search has seen, or by a walk-forward.",
    )


def in_sample(case: Case) -> Remark | None:
    """Nothing says that the data were unknown when the rule was made."""
    if case.context.out_of_sample or case.context.searched_spans:
        return None
    return note(
        "in-sample",
        None,
        "Nothing marks this period as unseen: if the rule was shaped while looking at it, expect less.",
        "Run a walk-forward, or keep the last part of the data back until the rule is final.",
    )


def _trades(count: int) -> str:
    return "1 trade was" if count == 1 else f"{count:,} trades were"


def _merged(spans: object) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):  # type: ignore[call-overload] # a sequence of pairs
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
