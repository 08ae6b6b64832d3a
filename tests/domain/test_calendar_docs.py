"""docs/calendars.md says what the code does: the table of usual rules, and every line of the rule language it shows."""

import re
from pathlib import Path

import pytest

from apps.domain import exchanges, rule_text
from apps.domain.usual_rules import USUAL

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs/calendars.md").read_text()


def section(title: str) -> str:
    return DOCUMENT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_table_of_usual_rules_is_the_code() -> None:
    rows = re.findall(
        r"^\| `(.+?)` \| (.+?) \| (.*?) \| `(.+?)` \| (.+?) \|$", section("The usual rules"), re.MULTILINE
    )
    assert rows == [
        (each.name, ", ".join(each.items), f"`{each.cron}`" if each.cron else "", each.text, each.calendar)
        for each in USUAL
    ]


def test_usual_rules_go_by_known_calendars() -> None:
    assert {each.calendar for each in USUAL} <= set(exchanges.ZONES)


def first_cells() -> list[str]:
    cells = re.findall(r"^\| (`.+?) \|", section("Rules"), re.MULTILINE)
    return [line for cell in cells for line in re.findall(r"`(.+?)`", cell)]


@pytest.mark.parametrize("line", first_cells())
def test_every_line_shown_is_a_rule(line: str) -> None:
    rule_text.parse(f"at 12:00 {line}" if line.startswith("on ") else line)


def test_the_lines_shown_are_many() -> None:
    assert len(first_cells()) > 12
