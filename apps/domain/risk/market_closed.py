"""When an instrument's market may be entered."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from apps.domain.risk.contract import Facts, Need, Rule, Verdict, parameter, switch, unable
from apps.domain.risk.facts import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """Which part of a session is allowed."""

    extended: bool = switch(False, "Allow pre-market and after-market as well.")
    after_open: int = parameter(0, "Minutes after the open in which nothing is opened.", lowest=0, highest=1440)
    before_close: int = parameter(0, "Minutes before the close in which nothing is opened.", lowest=0, highest=1440)


class MarketClosed(Rule[Hours]):
    """The hours of the instrument's market: nothing is opened while it is closed, or too near to open and close."""

    name = "market_closed"
    Parameters = Hours
    needs = frozenset({Need.SESSION})

    def judge(self, facts: Facts, parameters: Hours) -> Verdict:
        """Look at the phase of the session, then at the minutes from its ends."""
        session = facts.session
        if session is None:
            return unable(self.name, "the trading hours are not known", "refresh the calendars", "market is open")
        found = _phase(session, parameters) or _near(session.since_open, parameters.after_open, "after the open")
        found = found or _near(session.until_close, parameters.before_close, "before the close")
        number, limit, finding = found or (Decimal(1), Decimal(1), f"{session.calendar} is {session.phase}")
        return Verdict(
            rule=self.name,
            allowed=found is None,
            number=number,
            limit=limit,
            formula="market is open, and not too near to its open or close",
            finding=finding,
            remedy=session.detail or "wait for the market",
        )


def _phase(session: Session, parameters: Hours) -> tuple[Decimal, Decimal, str] | None:
    allowed = {"open", "pre", "post"} if parameters.extended else {"open"}
    if session.phase in allowed:
        return None
    words = {"unknown": "has hours that are not known", "pre": "is in its pre-market", "post": "is in its after-market"}
    return Decimal(0), Decimal(1), f"the market {session.calendar} {words.get(session.phase, 'is closed')}"


def _near(span: timedelta | None, minutes: int, where: str) -> tuple[Decimal, Decimal, str] | None:
    if span is None or span >= timedelta(minutes=minutes):
        return None
    number = round(Decimal(str(span.total_seconds())) / 60, 2)
    return number, Decimal(minutes), f"it is {number} minutes {where}, nothing is opened within {minutes}"
