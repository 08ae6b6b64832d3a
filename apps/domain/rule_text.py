"""How is a calendar rule written? As one line a person can edit; what is written reads back as the same rule.

at open | at close - 15m | at 17:00 America/New_York | every 5m in session including end
... on sessions | on every day | on Mon-Fri | on last session of month
"""

import re
from datetime import time, timedelta

from apps.domain.calendar_rules import (
    WEEK,
    AtEdge,
    AtTime,
    DayOf,
    Days,
    Edge,
    Every,
    EveryDay,
    Moment,
    Rule,
    RuleRefused,
    Sessions,
    Weekday,
    Weekdays,
    Window,
)
from apps.domain.periods import Period, Which

MOMENTS = "'at open', 'at close - 15m', 'at 17:00 America/New_York', 'every 5m in session', 'every 1h in pre-market'"
DAYS = "'on sessions', 'on every day', 'on Mon-Fri', 'on last session of month', 'on last day of month'"
LONGEST_TEXT = 200

_SPAN = r"(?P<count>[0-9]{1,5})\s*(?P<unit>[smh])"
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_EDGE = re.compile(rf"at (?P<edge>open|close)(?:\s*(?P<sign>[+-])\s*{_SPAN})?", re.ASCII | re.IGNORECASE)
_TIME = re.compile(
    r"at (?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2}))?(?: (?P<zone>\S+))?",
    re.ASCII | re.IGNORECASE,
)
_EVERY = re.compile(
    rf"every {_SPAN} in (?P<window>session|pre-market|after-market)(?P<end> including end)?", re.ASCII | re.IGNORECASE
)
_DAY_OF = re.compile(
    r"(?P<which>first|last) (?P<unit>session|day) of (?:the )?(?P<period>week|month|quarter|year)",
    re.ASCII | re.IGNORECASE,
)
_CRON = re.compile(r"[0-9*/,\-LW#?]+( [0-9A-Za-z*/,\-LW#?]+){4,5}", re.ASCII)
_BY_NAME = {day.lower(): day for day in WEEK}


def parse(text: str) -> Rule:
    """Return the rule that a line spells; without days, times are every day and the rest on sessions.

    Raises RuleRefused, a ValueError whose sentence quotes the part that is wrong and shows what would be right.
    """
    line = " ".join(text.split())
    if not line or len(line) > LONGEST_TEXT:
        raise RuleRefused(f"write a rule of at most {LONGEST_TEXT} characters, like {MOMENTS}")
    if _CRON.fullmatch(line):
        raise RuleRefused(f"{line!r} looks like cron, which knows no holidays; write {MOMENTS}, then {DAYS}")
    parts = re.split(r" on(?: |$)", line, maxsplit=1, flags=re.IGNORECASE)
    moment = _moment(parts[0])
    if len(parts) == 1:
        return Rule(moment, _default_days(moment))
    return Rule(moment, _days(parts[1]))


def write(rule: Rule) -> str:
    """Return the line that spells a rule; `parse` reads it back."""
    moment = _write_moment(rule.moment)
    if rule.days == _default_days(rule.moment):
        return moment
    return f"{moment} on {_write_days(rule.days)}"


def _default_days(moment: Moment) -> Days:
    return EveryDay() if isinstance(moment, AtTime) else Sessions()


def _moment(text: str) -> Moment:
    for pattern, make in ((_EDGE, _edge), (_TIME, _time), (_EVERY, _every)):
        found = pattern.fullmatch(text)
        if found:
            return make(found)
    raise RuleRefused(f"{text!r} is not a moment; write {MOMENTS}")


def _edge(found: re.Match[str]) -> AtEdge:
    offset = _span(found) if found["sign"] else timedelta(0)
    return AtEdge(edge=Edge(found["edge"].lower()), offset=-offset if found["sign"] == "-" else offset)


def _time(found: re.Match[str]) -> AtTime:
    try:
        wall = time(int(found["hour"]), int(found["minute"]), int(found["second"] or 0))
    except ValueError:
        raise RuleRefused(f"{found[0]!r} names no time of day; write 00:00 to 23:59") from None
    return AtTime(wall=wall, zone=found["zone"])


def _every(found: re.Match[str]) -> Every:
    window = Window(found["window"].lower())
    return Every(step=_span(found), window=window, including_end=found["end"] is not None)


def _span(found: re.Match[str]) -> timedelta:
    return timedelta(seconds=int(found["count"]) * _SECONDS[found["unit"].lower()])


def _days(text: str) -> Days:
    words = text.lower()
    if words in {"sessions", "every day"}:
        return Sessions() if words == "sessions" else EveryDay()
    found = _DAY_OF.fullmatch(text)
    if found:
        which, period = Which(found["which"].lower()), Period(found["period"].lower())
        return DayOf(which=which, period=period, session=found["unit"].lower() == "session")
    return Weekdays(_weekdays(text))


def _weekdays(text: str) -> frozenset[Weekday]:
    days: set[Weekday] = set()
    for part in re.sub(r"\s*-\s*", "-", text).replace(",", " ").lower().split():
        first, _, last = part.partition("-")
        days.update(_stretch(_BY_NAME.get(first), _BY_NAME.get(last or first) if part[-1] != "-" else None, text))
    if not days:
        raise RuleRefused(f"'on' needs days; write {DAYS}")
    return frozenset(days)


def _stretch(first: Weekday | None, last: Weekday | None, text: str) -> list[Weekday]:
    if first is None or last is None:
        raise RuleRefused(f"{text!r} are no days; write {DAYS}")
    count = (WEEK.index(last) - WEEK.index(first)) % 7 + 1
    return [WEEK[(WEEK.index(first) + each) % 7] for each in range(count)]


def _write_moment(moment: Moment) -> str:
    if isinstance(moment, AtTime):
        wall = moment.wall.isoformat("seconds" if moment.wall.second else "minutes")
        return f"at {wall} {moment.zone}" if moment.zone else f"at {wall}"
    if isinstance(moment, AtEdge):
        sign = "-" if moment.offset < timedelta(0) else "+"
        offset = f" {sign} {_write_span(abs(moment.offset))}" if moment.offset else ""
        return f"at {moment.edge}{offset}"
    end = " including end" if moment.including_end else ""
    return f"every {_write_span(moment.step)} in {moment.window}{end}"


def _write_span(span: timedelta) -> str:
    seconds = span // timedelta(seconds=1)
    unit = next(unit for unit in ("h", "m", "s") if seconds % _SECONDS[unit] == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"


def _write_days(days: Days) -> str:
    if isinstance(days, Sessions):
        return "sessions"
    if isinstance(days, Weekdays):
        return _write_weekdays([day for day in WEEK if day in days.days])
    if isinstance(days, DayOf):
        return f"{days.which} {'session' if days.session else 'day'} of {days.period}"
    return "every day"


def _write_weekdays(days: list[Weekday]) -> str:
    if len(days) > 2 and days == _stretch(days[0], days[-1], ""):
        return f"{days[0]}-{days[-1]}"
    return ", ".join(days)
