"""What does a reader need first? What speaks against the result, the headline figures, and both intrabar bounds."""

from collections.abc import Mapping
from typing import Any

from django.utils.safestring import SafeString

from apps.backtests.report import tables, wording
from apps.backtests.report.subject import Subject
from apps.backtests.report.tags import joined, tag
from apps.domain.backtests import catalogue
from apps.domain.backtests.critique import Severity

SIGNS = {Severity.RED: "\N{BLACK UP-POINTING TRIANGLE}", Severity.AMBER: "\N{BLACK DIAMOND}", Severity.NOTE: "i"}
WORDS = {Severity.RED: "Serious", Severity.AMBER: "To weigh", Severity.NOTE: "To know"}
# The headline: a figure, whether its sign is shown, and the figure that stands small below it.
HEADLINE = (
    ("return_pct", True, "benchmark_return_pct", "benchmark"),
    ("cagr_pct", True, "annual_volatility_pct", "volatility"),
    ("max_drawdown_pct", False, "longest_drawdown_days", "longest"),
    ("sharpe", False, "sortino", "Sortino"),
    ("closed_trades", False, "win_rate_pct", "won"),
    ("profit_factor", False, "expectancy", "a trade"),
    ("final_equity", False, "start_equity", "from"),
    ("fees_total", False, "costs_of_gross_profit_pct", "all costs of gross profit"),
)


def critique(subject: Subject) -> SafeString:
    """List the remarks, the gravest first, or say that there are none."""
    if not subject.critique:
        return tag("p", "No remark: nothing that is looked for speaks against this result.", class_="calm")
    return tag("ul", joined(_remark(each) for each in subject.critique), class_="remarks")


def verdict(subject: Subject) -> str:
    """Say in one sentence what the critique comes to."""
    counts = {each: sum(remark["severity"] == each for remark in subject.critique) for each in Severity}
    if counts[Severity.RED]:
        return f"{_remarks(counts[Severity.RED])} of serious doubt. Do not trade on this result as it stands."
    if counts[Severity.AMBER]:
        return f"No serious doubt, {_remarks(counts[Severity.AMBER]).lower()} to weigh."
    return "Nothing that is looked for speaks against this result."


def headline(subject: Subject) -> SafeString:
    """Return the figures everybody looks for, each with the one that puts it in proportion."""
    return tag("dl", joined(_card(subject.statistics, *row) for row in HEADLINE), class_="headline")


def bounds(subject: Subject) -> SafeString:
    """Tell what the result would be with the stop first and with the target first."""
    if subject.bounds is None:
        return tag("p", "The other order of touches was not computed for this run.", class_="calm")
    first, second = subject.bounds["stop_first"], subject.bounds["target_first"]
    moved = subject.bounds.get("differing_trades", subject.bounds["ambiguous_trades"])
    bars = subject.bounds["ambiguous_bars"]
    sentence = (
        f"{_are(bars, 'bar')} held more than one exit level, so that the bars do not tell which came first. "
        f"{_are(moved, 'trade')} of the list below would differ. The truth lies between the two rows."
        if bars
        else "No bar held more than one exit level: the order of touches decides nothing here."
    )
    heads = ("Order inside a bar", "Final equity", "Closed trades", "Max drawdown", "Win rate")
    rows = [_bound("Stop first", first), _bound("Target first", second)]
    return joined([tag("p", sentence), tables.table("Both intrabar bounds", heads, rows, hidden=True)])


def _remark(remark: Mapping[str, Any]) -> SafeString:
    severity = Severity(remark["severity"])
    badge = tag("span", tag("span", SIGNS[severity], aria_hidden="true"), " ", WORDS[severity], class_="badge")
    return tag(
        "li",
        badge,
        tag(
            "div",
            tag("p", remark["sentence"]),
            tag("p", remark["remedy"], " ", tag("code", remark["code"]), class_="remedy"),
        ),
        class_=severity.value,
    )


def _card(statistics: Mapping[str, Any], key: str, signed: bool, below: str, word: str) -> SafeString:
    value = statistics.get(key)
    entry, other = catalogue.ENTRIES[key], catalogue.ENTRIES[below]
    tone = wording.tone(value) if signed and isinstance(value, int | float) else None
    beside = f"{word} {wording.figure(statistics.get(below), other.unit)}"
    if below in ("win_rate_pct", "expectancy"):
        beside = f"{wording.figure(statistics.get(below), other.unit, signed=below == 'expectancy')} {word}"
    return tag(
        "div",
        tag("dt", entry.label),
        tag("dd", wording.figure(value, entry.unit, signed=signed), class_=tone),
        tag("dd", beside, class_="beside"),
    )


def _bound(name: str, bound: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        name,
        wording.money(bound["final_equity"]),
        wording.count(bound["closed_trades"]),
        wording.percent(bound["max_drawdown_pct"]),
        wording.percent(bound["win_rate_pct"]),
    )


def _are(count: int, word: str) -> str:
    return f"1 {word}" if count == 1 else f"{count:,} {word}s"


def _remarks(count: int) -> str:
    return "One remark" if count == 1 else f"{count} remarks"
