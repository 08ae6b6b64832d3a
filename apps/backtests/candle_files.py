"""How are candles read from a file? CSV, Parquet or Feather; the first column is the time, the others are named."""

import csv
import gzip
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOBase, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from apps.backtests import moments
from apps.domain.errors import Problem, Refused
from apps.domain.strategies.contract import Candles

PRICES: Final = ("open", "high", "low", "close")
COLUMNS: Final = (*PRICES, "volume")
TIMES: Final = ("time", "date", "datetime", "timestamp", "at")
KINDS: Final = (".csv", ".csv.gz", ".txt", ".parquet", ".feather")
_PART: Final = 50_000  # rows in memory as text at once
_LARGE: Final = 1_000_000  # bytes, from which on it pays to load pyarrow

Floats = npt.NDArray[np.float64]


class Rows(NamedTuple):
    """Candles as a file has them, unchecked, and the line each stands on (1 is the first of the file).

    Read `hastily`, lines are counted as if none was empty: read again before naming one.
    """

    candles: Candles
    lines: npt.NDArray[np.int64]
    problems: tuple[Problem, ...]
    hastily: bool = False


class _Columns(NamedTuple):
    """Where in a row the time and the prices are."""

    time: int
    prices: tuple[int, ...]
    volume: int | None


def read(path: Path, *, haste: bool = True) -> Rows:
    """Return what a file holds; cells that are no number are NaN and have their problem. Raises Refused.

    In `haste` a large file without any such cell is read ten times faster.
    """
    name = path.name.lower()
    if not name.endswith(KINDS):
        raise Refused(_of_file(path, "is of no known kind", f"end its name with one of {', '.join(KINDS)}"))
    try:
        if name.endswith((".parquet", ".feather")):
            return _arrow(path)
        large = haste and path.stat().st_size > _LARGE
        return (_hasty(path) if large else None) or _csv(path)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        said = getattr(error, "strerror", None) or str(error).splitlines()[0][:200]
        raise Refused(
            _of_file(path, f"cannot be read: {said}", "check the name of the file and what it holds")
        ) from None


def _csv(path: Path) -> Rows:
    with _text(path) as file:
        lines = csv.reader(file, strict=True)
        header = next(lines, None)
        if not header:
            raise Refused(_of_file(path, "is empty", "give a file with a header line and one line per bar"))
        columns = _columns(path, header)
        parts = [_part(path, rows, columns, len(header)) for rows in _parts(lines)]
    if not parts:
        raise Refused(_of_file(path, "holds a header and no bars", "give a file with one line per bar"))
    candles = Candles._make(np.concatenate([part.candles[n] for part in parts]) for n in range(len(Candles._fields)))
    problems = [problem for part in parts for problem in part.problems]
    return Rows(candles, np.concatenate([part.lines for part in parts]), tuple(problems))


def _hasty(path: Path) -> Rows | None:
    """Return what a file of clean cells holds, and None where a cell needs a closer look."""
    import pyarrow as pa  # type: ignore[import-untyped]  # here: it costs a tenth of a second that small files need not wait for
    from pyarrow import csv as arrow_csv

    with _text(path) as file:
        lines = csv.reader(file, strict=True)
        header = next(lines, None) or [""]
        columns, skipped, sample = _columns(path, header), lines.line_num, next(lines, [""])
    names = [str(place) for place in range(len(header))]
    kinds = {str(place): pa.float64() for place in (*columns.prices, columns.volume) if place is not None}
    try:
        table = arrow_csv.read_csv(
            path,
            read_options=arrow_csv.ReadOptions(column_names=names, skip_rows=skipped),
            convert_options=arrow_csv.ConvertOptions(column_types=kinds),
        )
    except pa.ArrowException:
        return None
    time, prices = table.column(columns.time), [table.column(place) for place in columns.prices]
    if any(column.null_count for column in (time, *prices)) or any(map(moments.is_day, sample)):
        return None
    volume = np.zeros(len(table)) if columns.volume is None else _column(table.column(columns.volume), path, "Volume")
    values = [_column(column, path, name) for column, name in zip(prices, PRICES, strict=True)]
    candles = Candles._make([_stamps(time, path), *values, np.nan_to_num(volume)])
    return Rows(candles, np.arange(len(table)) + skipped + 1, (), hastily=True)


@contextmanager
def _text(path: Path) -> Iterator[TextIOBase]:
    if path.name.lower().endswith(".gz"):
        with gzip.open(path, "rb") as packed:
            yield TextIOWrapper(cast(Any, packed), encoding="utf-8-sig", newline="")
    else:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file


def _parts(lines: Any) -> Iterator[list[tuple[int, list[str]]]]:
    numbered = ((lines.line_num, row) for row in lines if row)
    while part := list(islice(numbered, _PART)):
        yield part


def _columns(path: Path, header: Sequence[object]) -> _Columns:
    """Find the columns by name, in any case. Raises Refused with each one that is missing or there twice."""
    names = [str(name).strip().lower() for name in header]
    found = ", ".join(str(name) for name in header)[:200]
    problems = [
        _of_file(
            path, f"has no column {name.title()}; found: {found}", "name the columns Open, High, Low, Close, Volume"
        )
        for name in PRICES
        if name not in names
    ]
    problems += [
        _of_file(path, f"has the column {name.title()} {names.count(name)} times", "keep one of them")
        for name in COLUMNS
        if names.count(name) > 1
    ]
    time = next((names.index(name) for name in TIMES if name in names), -1) if names[0] in COLUMNS else 0
    if time < 0:
        problems.append(
            _of_file(path, f"has no time: its first column is {header[0]}", "put the time of each bar first")
        )
    if problems:
        raise Refused(*problems)
    return _Columns(time, tuple(map(names.index, PRICES)), names.index("volume") if "volume" in names else None)


def _part(path: Path, rows: list[tuple[int, list[str]]], columns: _Columns, width: int) -> Rows:
    problems = [
        _of_line(line, f"{len(row)} values", f"must have one value for each of the {width} columns", "mend the line")
        for line, row in rows
        if len(row) != width
    ]
    whole = [(line, row) for line, row in rows if len(row) == width]
    lines = [line for line, _ in whole]
    cells = list(zip(*(row for _, row in whole), strict=True)) or [()] * width
    at = _times(cells[columns.time], lines, problems)
    prices = [
        _floats(cells[place], name.title(), lines, problems) for name, place in zip(PRICES, columns.prices, strict=True)
    ]
    volume = _volumes(cells[columns.volume], lines, problems) if columns.volume is not None else np.zeros(len(lines))
    return Rows(Candles._make([at, *prices, volume]), np.array(lines, np.int64), tuple(problems))


def _times(cells: Sequence[str], lines: Sequence[int], problems: list[Problem]) -> npt.NDArray[np.int64]:
    try:
        return moments.of_texts(cells) if cells else np.zeros(0, np.int64)
    except (ValueError, OverflowError):
        return np.array([_time(cell, line, problems) for cell, line in zip(cells, lines, strict=True)], np.int64)


def _time(cell: str, line: int, problems: list[Problem]) -> int:
    try:
        return moments.of(cell)
    except (ValueError, OverflowError):
        problems.append(_of_line(line, cell, "is no time", moments.FORMS))
        return 0


def _floats(cells: Sequence[str], name: str, lines: Sequence[int], problems: list[Problem]) -> Floats:
    try:
        return np.array(cells, np.float64)
    except ValueError:
        found = [_float(cell, name, line, problems) for cell, line in zip(cells, lines, strict=True)]
        return np.array(found, np.float64)


def _float(cell: str, name: str, line: int, problems: list[Problem]) -> float:
    try:
        return float(cell)
    except ValueError:
        rule = f"{name} must be a number above zero"
        problems.append(_of_line(line, cell or "an empty cell", rule, "write it with digits and one decimal point"))
        return float("nan")


def _volumes(cells: Sequence[str], lines: Sequence[int], problems: list[Problem]) -> Floats:
    # Indices and currencies come with an empty volume: nobody counted, which is no fault of the prices.
    told = ["0" if cell.strip().lower() in ("", "nan", "null", "none") else cell for cell in cells]
    return _floats(told, "Volume", lines, problems)


def _arrow(path: Path) -> Rows:
    import pyarrow as pa  # here: it costs a tenth of a second that CSV need not wait for
    from pyarrow import feather, parquet

    try:
        table = parquet.read_table(path) if path.name.lower().endswith(".parquet") else feather.read_table(path)
    except pa.ArrowException as error:
        said = str(error).splitlines()[0][:200]
        raise Refused(_of_file(path, f"cannot be read: {said}", "check what the file holds")) from None
    names = list(table.column_names)
    stamped = [n for n, field in enumerate(table.schema) if pa.types.is_temporal(field.type)]
    first = names[stamped[0]] if stamped else names[0] if names else ""
    table = table.select([first, *(name for name in names if name != first)]) if names else table
    columns = _columns(path, table.column_names or [""])
    values = [_column(table.column(place), path, table.column_names[place]) for place in columns.prices]
    volume = np.zeros(len(table)) if columns.volume is None else _column(table.column(columns.volume), path, "Volume")
    stamps = _stamps(table.column(columns.time), path)
    candles = Candles._make([stamps, *values, np.nan_to_num(volume)])
    return Rows(candles, np.arange(1, len(table) + 1), ())


def _column(column: Any, path: Path, name: str) -> Floats:
    import pyarrow as pa

    try:
        return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
    except (pa.ArrowException, ValueError) as error:
        said = str(error).splitlines()[0][:120]
        raise Refused(_of_file(path, f"holds something else than numbers in {name}: {said}", "store numbers")) from None


def _stamps(column: Any, path: Path) -> npt.NDArray[np.int64]:
    import pyarrow as pa

    try:
        if pa.types.is_temporal(column.type):
            stamps = column.cast(pa.timestamp("s"), safe=False)
            return np.asarray(stamps.cast(pa.int64()).to_numpy(zero_copy_only=False), np.int64)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            return moments.of_texts(column.to_pylist())
        return moments.of_numbers(np.asarray(column.to_numpy(zero_copy_only=False)))
    except (pa.ArrowException, ValueError, TypeError) as error:
        said = str(error).splitlines()[0][:120]
        raise Refused(
            _of_file(path, f"holds something else than times in its first column: {said}", moments.FORMS)
        ) from None


def _of_file(path: Path, rule: str, remedy: str) -> Problem:
    return Problem(field="candles", value=str(path), rule=rule, remedy=remedy)


def _of_line(line: int, value: str, rule: str, remedy: str) -> Problem:
    return Problem(field=f"line {line}", value=value[:60], rule=rule, remedy=remedy)
