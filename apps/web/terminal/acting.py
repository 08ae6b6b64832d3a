"""What can be done from the terminal: the questions it asks, and the request that each answer becomes."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from apps.web.terminal import words
from apps.web.terminal.board import Board, Row
from apps.web.terminal.dialogs import Answer, Question

SITE: Final = "site:0"
OLD: Final = "Careful: what you see is not up to date."


class Wish(NamedTuple):
    """A request to the site, and how to tell that it was carried out."""

    path: str
    body: Mapping[str, object]
    done: Callable[[Any], str]


def ask_to_close(known: Board, row: Row, stale: str) -> Question:
    """Ask before a position is left."""
    price, gain = known.price(row), known.gain(row)
    entry = words.plain(row["entry_price"])
    note = (
        f"{row['side']} {words.plain(row['remaining'])} {row['instrument']}, entered at {entry}. "
        f"Leaving at {words.plain(price and price.price)} would bring {words.signed(gain).plain} before fees."
    )
    return Question(f"Close position #{row['id']} at the market?", note, "Close it", warning=OLD if stale else "")


def closing(row: Row, answer: Answer) -> Wish:
    """Return the request to leave a position."""
    number = row["id"]
    return Wish(
        f"positions/{number}/close",
        {"note": answer.reason},
        lambda told: f"Position #{number} is being left (exit #{told['id']}, {told['status']}).",
    )


def ask_to_stop(known: Board, stale: str) -> Question:
    """Ask before trading is stopped."""
    accounts = known.reading.accounts if known.reading else ()
    places = [("the whole site", "site:0"), *((f"account {row['name']}", f"account:{row['id']}") for row in accounts)]
    choices = [
        (f"{what} {name}", f"{state}:{place}")
        for state, what in (("halted", "Halt"), ("reducing", "Only reduce"))
        for name, place in places
    ]
    note = "Nothing is opened any more, at once and without Redis; stops and targets go on. A person allows it again."
    return Question("Stop trading?", note, "Stop trading", choices=choices, flatten=True, warning=OLD if stale else "")


def stopping(answer: Answer) -> Wish:
    """Return the request to stop trading."""
    state, scope, target = answer.chosen.split(":")
    body = {"state": state, "scope": scope, "target": int(target), "reason": answer.reason, "flatten": answer.flatten}
    return Wish("trading-state", body, _stopped)


def ask_to_allow(known: Board, stale: str) -> Question | None:
    """Ask before trading goes on where it is stopped; None when it is stopped nowhere."""
    rows = known.reading.state["restrictions"] if known.reading else ()
    if not rows:
        return None
    choices = [
        (f"{_place(row)}: {row['state']}, {row['reason']}"[:66], f"{row['scope']}:{row['target']}") for row in rows
    ]
    note = "Positions may be opened there again from now on."
    return Question("Allow trading again?", note, "Allow it again", choices=choices, warning=OLD if stale else "")


def allowing(answer: Answer) -> Wish:
    """Return the request to let trading go on."""
    scope, target = answer.chosen.split(":")
    body = {"state": "active", "scope": scope, "target": int(target), "reason": answer.reason}
    return Wish("trading-state", body, lambda told: f"Allowed again. The site is {told['state']}.")


def _stopped(told: Any) -> str:
    exits = f" {told['exits']} positions are being left." if told["exits"] else ""
    return f"Trading is stopped; the site is {told['state']}.{exits}"


def _place(row: Row) -> str:
    return "site" if row["scope"] == "site" else f"{row['scope']} {row['target']}"
