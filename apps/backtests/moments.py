"""Which instant does a cell of a candle file, or a word on the command line, name? Seconds since the epoch in UTC."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

Seconds = npt.NDArray[np.int64]
FORMS = "write it like 2026-01-31, 2026-01-31T14:30:00Z, or as seconds or milliseconds since 1970"
# From each on, a number since the epoch can only count the finer unit: a second so far away is beyond the year 5138.
_UNITS = ((10**17, 10**9), (10**14, 10**6), (10**11, 10**3))
_DATE, _DATE_AND_TIME = 10, 19  # characters of 2026-01-31 and of 2026-01-31T14:30:00
_FIRST_DAY, _LAST_DAY = 18_000_101, 22_001_231  # eight digits between them are a day, not a second of 1970
_LENGTHS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def instant(text: str) -> datetime:
    """Return the instant that a text names, in UTC where it names no offset. Raises ValueError."""
    return datetime.fromtimestamp(of(text), UTC)


def of(text: str) -> int:
    """Return the second that a text names; fractions are cut off. Raises ValueError."""
    cell = text.strip().removesuffix(" UTC")
    if cell.lstrip("-").replace(".", "", 1).isdigit() and not is_day(cell):
        return int(of_numbers(np.array([float(cell) if "." in cell else int(cell)]))[0])
    found = datetime.fromisoformat(cell.replace("/", "-"))
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() // 1)


def of_numbers(numbers: "npt.NDArray[np.int64] | npt.NDArray[np.float64]") -> Seconds:
    """Return the seconds that numbers since the epoch name, whichever unit they count."""
    size = float(np.abs(numbers).max()) if len(numbers) else 0.0
    if not np.isfinite(size):
        raise ValueError("not a number")
    unit = next((unit for above, unit in _UNITS if size >= above), 1)
    return np.floor_divide(numbers, unit).astype(np.int64)


def of_texts(cells: Sequence[str]) -> Seconds:
    """Return the seconds that many texts name. Raises ValueError when one of them names none."""
    lengths = set(map(len, cells))
    if lengths <= {_DATE, _DATE_AND_TIME} and all(cell[4:5] == "-" for cell in cells):
        return np.array(cells, "datetime64[s]").astype(np.int64)  # many times faster, and only sure of these two forms
    try:
        numbers = np.array(cells, np.int64)
    except (ValueError, OverflowError):
        return np.array([of(cell) for cell in cells], np.int64)
    return np.array([of(cell) for cell in cells], np.int64) if is_day(cells[0]) else of_numbers(numbers)


def length(text: str) -> int:
    """Return how many seconds a length like 90s, 5m, 4h, 1d or 1w lasts. Raises ValueError."""
    cell = text.strip().lower()
    count, unit = int(cell[:-1]), _LENGTHS.get(cell[-1:])
    if unit is None or count < 1:
        raise ValueError(text)
    return count * unit


def shown(second: int) -> str:
    """Write a second as people read it."""
    return datetime.fromtimestamp(int(second), UTC).isoformat().replace("+00:00", "Z")


def is_day(cell: str) -> bool:
    """Say whether eight digits are a day, 20260131, and no second of 1970."""
    return len(cell) == len(str(_FIRST_DAY)) and cell.isdigit() and _FIRST_DAY <= int(cell) <= _LAST_DAY
