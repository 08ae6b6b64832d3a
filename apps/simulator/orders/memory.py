"""What the exchange remembers over a restart: one line of JSON per change, the last word on an order wins."""

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import IO

import msgspec

from apps.simulator.orders.accounts import Account
from apps.simulator.orders.book import Order


class Line(msgspec.Struct):
    """One change: an order as it is now and its account's balances after it."""

    account: str
    balances: dict[str, Decimal]
    order: Order | None = None
    opened: Account | None = None


class Memory:
    """A file that grows by one line per change; without a path nothing is kept."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def load(self) -> list[Line]:
        """Read what an earlier run wrote; a line torn by a kill ends the reading, and is cut off."""
        if self._path is None:
            return []
        self._path.touch(mode=0o600)
        lines, good = _whole_lines(self._path.read_bytes())
        self._file = self._path.open("r+b")
        self._file.truncate(good)
        self._file.seek(good)
        return lines

    def note(self, lines: Iterable[Line]) -> None:
        """Write changes down; they are with the operating system when this returns, so a killed process keeps them."""
        if self._file is not None:
            self._file.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _whole_lines(raw: bytes) -> tuple[list[Line], int]:
    decoder = msgspec.json.Decoder(Line)
    lines: list[Line] = []
    good = 0
    for text in raw.splitlines(keepends=True):
        if not text.endswith(b"\n"):
            break
        lines.append(decoder.decode(text))
        good += len(text)
    return lines, good
