"""Every page of the site, walked from the resolver: as whom it is asked for, and what came of it.

`matrix.tsv` holds the answers that are meant, one line for each address and method, one letter for each kind of person:

    L  is asked to sign in        -  is refused (403, or 404 for what is not theirs)
    +  is let in                  =  gets the same as everybody (a page that needs no rights)
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from django.urls import URLPattern, URLResolver, get_resolver

FILE = Path(__file__).with_name("matrix.tsv")
METHODS = ("GET", "POST")
PEOPLE = ("anonymous", "other user", "viewer", "trader", "risk officer", "administrator", "superuser")
# The API has a matrix of its own (tests/web/test_access.py); these need nobody, and say nothing that is anybody's.
ELSEWHERE = ("api/v1/", "static/")
# Django's own of every table: the history asks for the same right as the page, the other only leads on to it.
SPARED = ("_history", ":None")
_KEY = re.compile(r"<(?:\w+:)?\w+>")


class Page(NamedTuple):
    """An address of the resolver."""

    name: str
    route: str

    @property
    def model(self) -> str:
        """Return the table a page of the admin is about, like `trading_position`; empty for other pages."""
        found = re.fullmatch(r"admin/(\w+)/(\w+)/.*", self.route)
        return f"{found[1]}_{found[2]}" if found else ""

    def address(self, key: object) -> str:
        """Return the address for a row."""
        return "/" + _KEY.sub(str(key), self.route)


def pages() -> list[Page]:
    """Return every page, patterns of regular expressions left out: they only catch what nothing else does."""
    found = [page for page in _walk(get_resolver().url_patterns, "", "") if not re.search(r"[\^$(\\]", page.route)]
    return [page for page in found if not page.route.startswith(ELSEWHERE) and not page.name.endswith(SPARED)]


def _walk(patterns: list[URLPattern | URLResolver], space: str, before: str) -> Iterator[Page]:
    for pattern in patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            inner = f"{space}{pattern.namespace}:" if pattern.namespace else space
            yield from _walk(pattern.url_patterns, inner, route)
        else:
            yield Page(f"{space}{pattern.name}", route)


def meant() -> dict[tuple[str, str], str]:
    """Return the answers that are meant, by route and method."""
    rows = [line.split("\t") for line in FILE.read_text().splitlines() if line and not line.startswith("#")]
    return {(route, method): letters for letters, method, route in rows}


def write(answers: dict[tuple[str, str], str]) -> None:
    """Write answers to the file, to be read by a person before they are committed."""
    head = "# " + ", ".join(PEOPLE) + "; see matrix.py\n"
    lines = [f"{letters}\t{method}\t{route}\n" for (route, method), letters in sorted(answers.items())]
    FILE.write_text(head + "".join(lines))
