"""Puts the file together: head, types, what sends, and the client with a method for each operation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from apps.web.typescript import methods, types

RUNTIME: Final = Path(__file__).with_name("runtime.ts")
_HEAD: Final = """\
// The client of {title}, version {version} of its API. Generated from its description: do not change it by hand.
// Decimals are strings, instants ISO 8601 with offset. Needs nothing but fetch; types can be stripped as they are.

"""
_CLASS: Final = (
    "/** The site. Every method throws Refused when the site says no. */\nexport class TradingSite extends Sender {\n"
)


def text(document: Mapping[str, Any]) -> str:
    """Return the client for a description of the API."""
    declared = "\n".join(types.declared(document["components"]["schemas"]))
    offered = "\n".join(methods.written(each) for each in methods.operations(document))
    head = _HEAD.format(**document["info"])
    return f"{head}{declared}\n{RUNTIME.read_text()}\n{_CLASS}{offered}}}\n"
