"""The lists of the terminal desk: which columns they have, how a row becomes cells, and how cells change in place."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from rich.text import Text
from textual.widgets import DataTable
from textual.widgets.data_table import RowDoesNotExist

from apps.web.terminal import board, words
from apps.web.terminal.board import Board, Row

Cells = Sequence[str | Text]
Table = DataTable[Any]
STOPS: Final = ("stop_loss",)
TARGETS: Final = ("take_profit",)
RIDING: Final = {"trailing_stop": "trail", "break_even": "even"}
COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "positions": (
        "#",
        "instrument",
        "side",
        "held",
        "entry",
        "price",
        "P&L",
        "%",
        "stop",
        "target",
        "account",
        "state",
    ),
    "orders": ("#", "instrument", "what", "kind", "status", "quantity", "filled", "limit", "stop", "made"),
    "exits": ("#", "position", "instrument", "reason", "status", "price", "P&L", "took", "closed", "asked by"),
}


def positions(known: Board) -> dict[str, Cells]:
    """Return the open positions at live prices."""
    names = {account["id"]: account["name"] for account in known.reading.accounts} if known.reading else {}
    return {str(row["id"]): _position(known, row, names) for row in (known.reading.positions if known.reading else ())}


def _position(known: Board, row: Row, names: Mapping[int, str]) -> Cells:
    price, gain = known.price(row), known.gain(row)
    worth = Decimal(row["entry_price"]) * Decimal(row["remaining"])
    old = price is not None and not price.fresh
    return (
        str(row["id"]),
        row["instrument"],
        "▲ long" if row["side"] == "long" else "▼ short",
        words.plain(row["remaining"]),
        words.plain(row["entry_price"]),
        Text(f"{words.plain(price.price)} old", words.WARN) if price and old else words.plain(price and price.price),
        words.signed(gain),
        words.rate(gain / worth if gain is not None and worth else None),
        _stop(row),
        words.plain(board.level(row, *TARGETS)),
        str(names.get(row["account"], row["account"])),
        words.word(row["status"]),
    )


def _stop(row: Row) -> str:
    """Return the nearest fixed stop, and which stops ride along with the price: where those rest the site knows."""
    riding = [RIDING[leg["kind"]] for leg in row["legs"] if leg["status"] == "live" and leg["kind"] in RIDING]
    fixed = board.level(row, *STOPS)
    return " ".join([words.plain(fixed), *riding] if fixed is not None or not riding else riding)


def orders(known: Board) -> dict[str, Cells]:
    """Return the newest orders."""
    return {str(row["id"]): _order(row) for row in (known.reading.orders if known.reading else ())}


def _order(row: Row) -> Cells:
    return (
        str(row["id"]),
        row["instrument"],
        f"{row['side']} ({row['purpose']})",
        row["kind"].replace("_", " "),
        words.word(row["status"]),
        words.plain(row["quantity"]),
        words.plain(row["filled"]),
        words.plain(row["limit_price"]),
        words.plain(row["stop_price"]),
        words.clock(board.instant(row.get("created_at"))),
    )


def exits(known: Board) -> dict[str, Cells]:
    """Return the newest exits with what they took from the price to the commit."""
    return {str(row["id"]): _exit(row) for row in (known.reading.exits if known.reading else ())}


def _exit(row: Row) -> Cells:
    return (
        str(row["id"]),
        str(row["position"]),
        row["instrument"],
        row["reason"].replace("_", " "),
        words.word(row["status"]),
        words.plain(row["fill_price"]),
        words.signed(None if row["pnl"] is None else Decimal(row["pnl"])),
        words.milliseconds(row["tick_to_close_ms"]),
        words.clock(board.instant(row["closed_at"])),
        row["actor"] or row["source"],
    )


ROWS: Final = {"positions": positions, "orders": orders, "exits": exits}


def show(table: Table, rows: Mapping[str, Cells]) -> None:
    """Bring a table up to date: cells in place while its rows stay, else anew with the cursor on the row it was on."""
    if [str(key.value) for key in table.rows] == list(rows):
        _amend(table, rows)
        return
    chosen, across = key_under_cursor(table), table.scroll_offset
    table.clear()
    for key, cells in rows.items():
        table.add_row(*cells, key=key)
    try:
        if chosen is not None:
            table.move_cursor(row=table.get_row_index(chosen), scroll=False)
    except RowDoesNotExist:
        pass  # it is gone: the cursor begins at the top
    table.scroll_to(across.x, across.y, animate=False)


def key_under_cursor(table: Table) -> str | None:
    """Return the number of the row that the cursor is on."""
    if not table.row_count:
        return None
    return table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value


def _amend(table: Table, rows: Mapping[str, Cells]) -> None:
    columns = list(table.columns)
    for key, cells in rows.items():
        for column, cell, before in zip(columns, cells, table.get_row(key), strict=True):
            if cell != before:
                table.update_cell(key, column, cell, update_width=True)
