"""How do the parts become one file? A template with a style sheet inside, and nothing that is fetched."""

from functools import cache
from pathlib import Path
from string import Template

from django.utils.safestring import SafeString

from apps.backtests.report import appendix, curves, overview, periods, prices, trading, wording
from apps.backtests.report.subject import Subject
from apps.backtests.report.tags import joined, tag

HERE = Path(__file__).parent


def html(subject: Subject) -> str:
    """Return a report as one HTML file that opens without a network."""
    sections = (
        _section("critique", "What speaks against it", overview.critique(subject)),
        _section("equity-section", "The account", curves.equity(subject), curves.drawdown(subject)),
        _section("bounds", "Inside the bars", overview.bounds(subject)),
        _section(
            "calendar", "Months and years", periods.table(subject), periods.years(subject), periods.yearly(subject)
        ),
        _section("trades-on-prices", "Trades on the candles", prices.whole(subject), prices.window(subject)),
        _section("spread", "How the trades spread", trading.distributions(subject), trading.reasons(subject)),
        _section("steadiness", "Steadiness", curves.rolling_sharpe(subject), curves.exposure(subject)),
        _section("trades", "Trades", trading.listing(subject), trading.holdings(subject)),
        _section("rejected", "Entries not made", trading.rejected(subject)),
        _section("statistics", "All figures", appendix.statistics(subject)),
        _section("conventions", "Conventions", appendix.conventions(subject)),
        _section("reproduction", "To compute it again", appendix.reproduction(subject)),
    )
    return _template().substitute(
        title=tag("title", subject.heading),
        style=_style(),
        heading=tag("h1", subject.heading),
        about=_about(subject),
        verdict=tag("p", overview.verdict(subject), class_=f"verdict {_gravest(subject)}"),
        headline=overview.headline(subject),
        contents=_contents(sections),
        sections=joined(section for _, _, section in sections if section),
        made=_made(subject),
    )


def _section(name: str, heading: str, *parts: SafeString) -> tuple[str, str, SafeString]:
    body = joined(part for part in parts if part)
    return name, heading, tag("section", tag("h2", heading), body, id=name) if body else SafeString()


def _contents(sections: tuple[tuple[str, str, SafeString], ...]) -> SafeString:
    return joined(tag("a", heading, href=f"#{name}") for name, heading, section in sections if section)


def _about(subject: Subject) -> SafeString:
    at = subject.result.at
    first, last = (wording.moment(int(at[end]), with_time=subject.intraday) for end in (0, -1))
    length = wording.span(float(subject.statistics.get("bar_seconds") or 0))
    said = ", ".join(f"{name} {value}" for name, value in subject.parameters.items())
    parts = [subject.plugin, *([said] if said else []), f"{len(at):,} bars of {length}", f"{first} to {last} UTC"]
    return tag("p", joined(tag("span", part) for part in parts), class_="about")


def _gravest(subject: Subject) -> str:
    return str(subject.critique[0]["severity"]) if subject.critique else "fine"


def _made(subject: Subject) -> SafeString:
    when = f"Made {wording.moment(subject.made_at.timestamp())} UTC. " if subject.made_at else ""
    text = f"{when}A backtest shows what would have been under the stated conventions, not what will be."
    return tag("p", text)


@cache
def _template() -> Template:
    return Template((HERE / "page.html").read_text(encoding="utf-8"))


@cache
def _style() -> str:
    return (HERE / "style.css").read_text(encoding="utf-8")
