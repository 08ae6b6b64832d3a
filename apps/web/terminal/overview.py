"""The first page of the terminal desk: what one is worth, whether trading is allowed, whether everything works."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from rich.console import Group
from rich.table import Table
from rich.text import Text

from apps.web.terminal import words
from apps.web.terminal.board import Board, Reading, Row, instant

MOST_LINES = 4  # restrictions and troubles shown; the rest is counted


def draw(known: Board, now: datetime) -> Group:
    """Draw everything at a glance, in a width of 78 and a height of 18."""
    if known.reading is None:
        return Group(Text("Nothing was read yet.", words.DIM))
    return Group(_money(known, known.reading), Text(), *_state(known.reading), Text(), *_parts(known.reading, now))


def _money(known: Board, reading: Reading) -> Table:
    table = Table(box=None, expand=True, pad_edge=False, header_style=words.DIM)
    for name in ("", "equity", "open P&L", "taken today", "taken in all", "fees", "positions"):
        table.add_column(name, justify="left" if not name else "right")
    for each in known.sums():
        table.add_row(
            each.currency,
            Text(words.money(each.equity), "bold"),
            words.signed(_live(known, each.currency) if each.unrealised is None else each.unrealised),
            words.signed(reading.today.get(each.currency, Decimal(0))),
            words.signed(each.realised),
            words.money(each.fees),
            str(reading.total),
        )
    return table


def _live(known: Board, currency: str) -> Decimal | None:
    """Return the gain of what has a price, where the site could not sum because a price is missing."""
    rows = known.reading.positions if known.reading else ()
    gains = [known.gain(row) for row in rows if str(row["instrument"]).endswith(f"-{currency}")]
    return sum((gain for gain in gains if gain is not None), Decimal(0)) if any(g is not None for g in gains) else None


def _state(reading: Reading) -> Iterator[Text]:
    line = Text("Trading   ").append_text(Text(reading.state["state"].upper(), words.TONES[reading.state["state"]]))
    line.append("   real money " + ("ON" if reading.system["live_trading"] else "off"))
    yield line
    yield from _some([_restricted(row) for row in reading.state["restrictions"]], "restrictions")


def _restricted(row: Row) -> Text:
    where = row["scope"] if row["scope"] == "site" else f"{row['scope']} {row['target']}"
    line = Text(f"  {where}: ").append(row["state"], words.TONES[row["state"]])
    return line.append(
        f" since {words.clock(instant(row['since']))} by {row['actor'] or 'the machine'}: {row['reason']}"
    )


def _parts(reading: Reading, now: datetime) -> Iterator[Text]:
    yield _feeds(reading)
    yield _waiting(reading, now)
    yield _processes(reading.system["processes"])
    wrong = [check for check in reading.system["checks"] if not check["ok"]]
    fine = len(reading.system["checks"]) - len(wrong)
    yield Text("Checks    ").append(f"{fine} of {fine + len(wrong)} green", words.BAD if wrong else words.GOOD)
    yield from _some(
        [Text(f"  {check['name']} is red: {check['seen'] or 'ask staff'}", words.BAD) for check in wrong], "checks"
    )


def _feeds(reading: Reading) -> Text:
    feeds = reading.system["feeds"]
    line = Text("Feeds     ")
    if not feeds:
        return line.append("no listener has reported yet", words.WARN)
    for feed in feeds[:MOST_LINES]:
        line.append(f"{feed['name']} ").append(feed["state"], words.TONES.get(feed["state"], words.BAD)).append("  ")
    return line.append(f"and {len(feeds) - MOST_LINES} more" if len(feeds) > MOST_LINES else "")


def _waiting(reading: Reading, now: datetime) -> Text:
    """Say whether exits wait, and how long the queues are where the site tells."""
    system = reading.system
    line, oldest = Text("Queues    "), instant(system["oldest_exit_at"])
    if oldest is None:
        line.append("no exit waits", words.GOOD)
    else:
        since = words.span(max((now - oldest).total_seconds(), 0))
        line.append(f"{system['exits_waiting']} exits wait, the oldest for {since}", words.WARN)
    return line.append("   ").append_text(_queues(system["queues"]))


def _queues(queues: Sequence[Row] | None) -> Text:
    if queues is None:
        return Text("the broker is away, or is not Redis", words.WARN)
    full = [f"{queue['name']} {queue['waiting']}" for queue in queues if queue["waiting"]]
    return Text(", ".join(full), words.WARN) if full else Text("every queue is empty", words.GOOD)


def _processes(rows: Sequence[Row]) -> Text:
    """Say whether each process gives signs of life; one that ended in an earlier run is no trouble."""
    line = Text("Processes ")
    silent = sorted({str(row["name"]) for row in rows if row["state"] == "silent"})
    live = sum(row["state"] == "live" for row in rows)
    if silent:
        return line.append(f"{live} live, no sign of life of {', '.join(silent[:MOST_LINES])}", words.BAD)
    return line.append(f"{live} live", words.GOOD if live else words.WARN)


def _some(lines: list[Text], what: str) -> Iterator[Text]:
    yield from lines[:MOST_LINES]
    if len(lines) > MOST_LINES:
        yield Text(f"  and {len(lines) - MOST_LINES} more {what}", words.DIM)
