"""What a person may write as a rule, and what is said when it is none."""

import contextlib
from datetime import time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import rule_text
from apps.domain.calendar_rules import (
    WEEK,
    AtEdge,
    AtTime,
    DayOf,
    Edge,
    Every,
    EveryDay,
    Rule,
    RuleRefused,
    Sessions,
    Weekdays,
    Window,
)
from apps.domain.periods import Period, Which
from apps.domain.usual_rules import USUAL

SPANS = st.integers(1, 86_400).map(lambda seconds: timedelta(seconds=seconds))
MOMENTS = st.one_of(
    st.builds(
        AtEdge, edge=st.sampled_from(Edge), offset=SPANS.flatmap(lambda span: st.sampled_from([span, -span, span * 0]))
    ),
    st.builds(Every, step=SPANS, window=st.sampled_from(Window), including_end=st.booleans()),
    st.builds(
        AtTime,
        wall=st.times().map(lambda each: each.replace(microsecond=0)),
        zone=st.sampled_from([None, "UTC", "America/New_York", "Etc/GMT+5", "America/Argentina/Buenos_Aires"]),
    ),
)
DAYS = st.one_of(
    st.just(EveryDay()),
    st.just(Sessions()),
    st.builds(Weekdays, st.frozensets(st.sampled_from(WEEK), min_size=1)),
    st.builds(DayOf, which=st.sampled_from(Which), period=st.sampled_from(Period), session=st.booleans()),
)


@given(rule=st.builds(Rule, MOMENTS, DAYS))
def test_what_is_written_reads_back_as_the_same_rule(rule: Rule) -> None:
    assert rule_text.parse(rule_text.write(rule)) == rule


@pytest.mark.parametrize("text", sorted({each.text for each in USUAL}))
def test_usual_rules_are_written_as_they_are_shown(text: str) -> None:
    assert rule_text.write(rule_text.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("AT Open", "at open"),
        ("at  close-15M", "at close - 15m"),
        ("at open + 60m on sessions", "at open + 1h"),
        ("at 9:30", "at 09:30"),
        ("at 17:00:30 UTC on every day", "at 17:00:30 UTC"),
        ("every 60s in Session Including END", "every 1m in session including end"),
        ("at 03:00 on sun", "at 03:00 on Sun"),
        ("at 03:00 on Mon,Tue Wed , fri", "at 03:00 on Mon, Tue, Wed, Fri"),
        ("at 03:00 on mon - fri", "at 03:00 on Mon-Fri"),
        ("at 03:00 on Sat-Mon", "at 03:00 on Mon, Sat, Sun"),
        ("at 18:00 on last session of the month", "at 18:00 on last session of month"),
    ],
)
def test_a_person_may_write_loosely(text: str, canonical: str) -> None:
    assert rule_text.write(rule_text.parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "write a rule", id="nothing"),
        pytest.param("x" * 201, "at most 200", id="too long"),
        pytest.param("* 9-16 * * 1-5", "looks like cron, which knows no holidays", id="cron"),
        pytest.param("0 18 L * *", "looks like cron", id="cron with L"),
        pytest.param("sometimes", "'sometimes' is not a moment", id="no moment"),
        pytest.param("at noon", "'at noon' is not a moment", id="no time"),
        pytest.param("at 24:00", "names no time of day", id="past midnight"),
        pytest.param("at 12:60", "names no time of day", id="sixty minutes"),
        pytest.param("at 12:00 New_York", "no time zone is called 'New_York'", id="an unknown zone"),
        pytest.param("at 12:00 america/new_york", "no time zone is called", id="a zone in small letters"),
        pytest.param("at open + 25h", "at most 24h", id="too far"),
        pytest.param("every 0m in session", "from 1s to 24h", id="no step"),
        pytest.param("every 5 minutes in session", "is not a moment", id="a unit written out"),
        pytest.param("every 5m", "is not a moment", id="no window"),
        pytest.param("every 5m in after-hours", "is not a moment", id="another window"),
        pytest.param("at 12:00 on", "'on' needs days", id="on nothing"),
        pytest.param("at 12:00 on Monday", "'Monday' are no days", id="a day written out"),
        pytest.param("at 12:00 on Mon-", "'Mon-' are no days", id="half a range"),
        pytest.param("at 12:00 on -", "are no days", id="a dash"),
        pytest.param("at 12:00 on last session of fortnight", "are no days", id="an unknown period"),
        pytest.param("at 12:00 on Mon on Tue", "are no days", id="on twice"),
        pytest.param("at ١٢:00", "is not a moment", id="other digits"),
    ],
)
def test_what_is_no_rule_is_refused_with_a_remedy(text: str, says: str) -> None:
    with pytest.raises(RuleRefused, match=says) as caught:
        rule_text.parse(text)
    assert len(str(caught.value)) > len(says), "the sentence says what is right, too"


@given(text=st.text(max_size=60))
def test_any_other_text_is_refused_and_nothing_worse(text: str) -> None:
    with contextlib.suppress(RuleRefused):
        rule = rule_text.parse(text)
        assert rule_text.parse(rule_text.write(rule)) == rule


@pytest.mark.parametrize(
    "make",
    [
        lambda: AtEdge(edge=Edge.OPEN, offset=timedelta(days=2)),
        lambda: Every(step=timedelta(milliseconds=500)),
        lambda: AtTime(wall=time(12, 0, 0, 5)),
        lambda: AtTime(wall=time(12), zone="Mars/Olympus"),
        lambda: Weekdays(frozenset()),
    ],
)
def test_values_that_make_no_rule_cannot_be_made(make: "object") -> None:
    with pytest.raises(RuleRefused):
        make()
