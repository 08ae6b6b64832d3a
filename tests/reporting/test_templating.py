"""Templates say what they were given, and can reach nothing else."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.domain.errors import Refused
from apps.reporting import templating, wording

ROOT = Path(__file__).parents[2]
FACTS: dict[str, Any] = {
    "name": "Ann",
    "empty": "",
    "none": None,
    "yes": True,
    "amount": "1234.5",
    "inner": {"name": "Bob", "deep": {"x": 1}},
    "legs": [{"kind": "stop_loss", "level": "90"}, {"kind": "take_profit", "level": "110"}],
    "at": "2026-11-21T09:11:32+00:00",
    "notes": ["late", "overfilled"],
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Hello {{ name }}", "Hello Ann"),
        ("{{name}}{{ missing }}{{ none }}", "Ann"),
        ("{{ inner.name }} {{ inner.deep.x }}", "Bob 1"),
        ("{{ inner.missing.x }}|{{ name.x }}", "|"),
        ("{{#legs}}{{ kind | words }} {{ level }};{{/legs}}", "stop loss 90;take profit 110;"),
        ("{{#notes}}[{{ item }}]{{/notes}}", "[late][overfilled]"),
        ("{{ notes }}", "late, overfilled"),
        ("{{#empty}}a{{/empty}}{{^empty}}b{{/empty}}", "b"),
        ("{{#yes}}{{ name }}{{/yes}}{{^yes}}no{{/yes}}", "Ann"),
        ("{{#inner}}{{ name }}{{/inner}} {{ name }}", "Bob Ann"),
        ("{{ amount | signed }} {{ amount | rounded }}", "+1234.5 1,234.50"),
        ("{{ at | instant }} {{ name | upper }} {{ yes }}", "2026-11-21 09:11:32 ANN yes"),
        ("{{ name | rounded }} {{ name | instant }}", "Ann Ann"),
    ],
)
def test_a_template_says_what_it_was_given(template: str, text: str) -> None:
    assert templating.render(template, FACTS) == text


@pytest.mark.parametrize(
    "template",
    [
        "{{ name.__class__ }}",
        "{{ __class__ }}",
        "{{ inner.__init__.__globals__ }}",
        "{{ name.upper() }}",
        "{{ name | nope }}",
        "{{ 1 + 1 }}",
        "{{#legs}}never closed",
        "closed {{/legs}}",
        "{{#a}}{{#b}}{{/a}}{{/b}}",
        "{{ }}",
        "{{ name",
        "name }}",
        "{{ inner..name }}",
        "{{ inner. }}",
        "{% load x %}{{% raise %}}",
    ],
)
def test_what_is_no_template_is_refused(template: str) -> None:
    with pytest.raises(Refused):
        templating.check(template)


class Trap:
    """An object whose attributes must not be read, and that must not be called or printed."""

    def __getattribute__(self, name: str) -> Any:
        if name in {"__class__", "__eq__", "__hash__"}:
            return object.__getattribute__(self, name)
        raise AssertionError(name)

    def __str__(self) -> str:
        raise AssertionError("printed")

    def __call__(self) -> str:
        raise AssertionError("called")


def test_no_attribute_is_ever_read_and_nothing_is_called() -> None:
    text = "{{ trap.name }}{{ trap }}{{ outer.trap.x.y }}{{ trap | upper }}{{ trap | rounded }}"
    assert templating.render(text, {"trap": Trap(), "outer": {"trap": Trap()}}) == ""


def test_facts_are_never_taken_for_templates() -> None:
    assert templating.render("{{ name }}", {"name": "{{ secret }}", "secret": "no"}) == "{{ secret }}"


def test_a_text_is_cut_and_cleaned() -> None:
    assert len(templating.render("{{ x }}", {"x": "y" * 10_000})) == templating.LONGEST
    assert templating.render("{{ x }}", {"x": "a\x00b\u202ec\x1bd"}) == "a b c d"


def test_a_long_list_is_cut() -> None:
    assert templating.render("{{#x}}.{{/x}}", {"x": [{}] * 1000}) == "." * 50


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="{}#^/|. ax_\n", max_size=60))
def test_any_text_is_a_template_or_refused(text: str) -> None:
    try:
        templating.check(text)
    except Refused:
        return
    assert isinstance(templating.render(text, FACTS), str)


def documented() -> list[str]:
    rows = re.findall(r"^\| `([a-z]+\.[a-z_]+)` \|", (ROOT / "docs/events.md").read_text(), re.MULTILINE)
    assert len(rows) > 40
    return rows


def test_every_kind_of_event_has_words_of_its_own() -> None:
    """A new kind needs a line in apps/reporting/wording.py: how loud it is, and what it says."""
    assert [kind for kind in documented() if kind not in wording.KINDS] == []


@pytest.mark.parametrize("kind", sorted(wording.KINDS))
def test_all_built_in_words_can_be_used(kind: str) -> None:
    words = wording.of(kind)
    facts = {"subject": "order:1", "facts": "{}", "actor": "ann", "happened_at": datetime.now(UTC).isoformat()}
    assert templating.render(words.title, facts)
    assert len(words.title) <= 200
    templating.render(words.body, facts)


def test_an_unknown_kind_has_plain_words() -> None:
    words = wording.of("moon.landed")
    facts = {"kind": "moon.landed", "subject": "moon:1", "facts": "{}"}
    assert templating.render(words.title, facts) == "moon.landed moon:1"
