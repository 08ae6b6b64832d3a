"""How are rows read from and written to files? CSV, JSON, Parquet and Feather, by the end of the file's name."""

import csv
import gzip
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from io import TextIOBase, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pyarrow as pa  # type: ignore[import-untyped] # ships no types
from pyarrow import parquet

from apps.domain.errors import Problem, Refused

Record = Mapping[str, object]
Numbered = tuple[int, Record]
READS = (".csv", ".csv.gz", ".json", ".json.gz", ".parquet", ".feather")
WRITES = (".csv", ".csv.gz", ".parquet", ".feather")
BATCH = 50_000  # rows in memory at once
EXACT = pa.decimal128(38, 18)
_BROKEN = (OSError, EOFError, UnicodeDecodeError, csv.Error, json.JSONDecodeError, RecursionError, pa.ArrowException)


def kind_of(path: Path, kinds: Sequence[str]) -> str:
    """Return the ending of a file's name. Raises Refused for one that is not offered."""
    found = next((kind for kind in sorted(kinds, key=len, reverse=True) if path.name.lower().endswith(kind)), None)
    if found is None:
        raise Refused(_problem(path, "is of no known kind", f"end its name with one of {', '.join(kinds)}"))
    return found


def read(path: Path) -> Iterator[Numbered]:
    """Yield the rows of a file with the number of their line (from 1 where a file has no lines).

    Raises Refused for a file that cannot be opened or is not what its name says.
    """
    kind = kind_of(path, READS)
    try:
        if kind in (".parquet", ".feather"):
            yield from _arrow(path, kind)
        else:
            with _text(path, kind, "r") as file:
                yield from _json(file) if kind.startswith(".json") else _csv(file)
    except _BROKEN as error:
        said = getattr(error, "strerror", None) or str(error).splitlines()[0][:200]
        raise Refused(_problem(path, f"cannot be read: {said}", "check the file")) from error


def write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, floats: bool = False) -> int:
    """Write rows to a file, whole or not at all, and return how many; the first column is a time.

    Numbers are exact: plain digits in CSV, 18 decimals in Parquet and Feather, unless `floats` asks for doubles there.
    Raises Refused.
    """
    kind = kind_of(path, WRITES)
    try:
        with _replaced(path) as unfinished:
            if kind in (".parquet", ".feather"):
                return _write_arrow(unfinished, kind, columns, rows, pa.float64() if floats else EXACT)
            with _text(unfinished, kind, "w") as file:
                return _write_csv(file, columns, rows)
    except (OSError, pa.ArrowException) as error:
        said = getattr(error, "strerror", None) or str(error).splitlines()[0][:200]
        raise Refused(_problem(path, f"cannot be written: {said}", "choose another place or kind of file")) from error


@contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    """Yield a name beside the file that takes its place at the end, and vanishes when something goes wrong."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    unfinished = Path(name)
    try:
        yield unfinished
        unfinished.chmod(0o644)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _text(path: Path, kind: str, mode: str) -> TextIOBase:
    encoding = "utf-8-sig" if mode == "r" else "utf-8"
    if kind.endswith(".gz"):
        return TextIOWrapper(cast(Any, gzip.open(path, f"{mode}b")), encoding=encoding, newline="")
    return cast(TextIOBase, path.open(mode, encoding=encoding, newline=""))


def _csv(file: TextIOBase) -> Iterator[Numbered]:
    lines = csv.reader(file, strict=True)
    header = next(lines, [])
    for row in lines:
        if row:
            # A line too short or too long has no value for some column, or values for none.
            yield lines.line_num, dict(zip(header, row, strict=True)) if len(row) == len(header) else {}


def _json(file: TextIOBase) -> Iterator[Numbered]:
    found = json.load(file, parse_float=Decimal)
    if isinstance(found, dict):
        found = next((value for value in found.values() if isinstance(value, list)), None)
    if not isinstance(found, list):
        raise json.JSONDecodeError("there is no list of rows", "", 0)
    for number, row in enumerate(found, 1):
        yield number, row if isinstance(row, dict) else {}


def _arrow(path: Path, kind: str) -> Iterator[Numbered]:
    number = 0
    for batch in _batches(path, kind):
        table = pa.Table.from_batches([batch])
        fields = [
            pa.field(one.name, pa.timestamp("us", one.type.tz)) if pa.types.is_timestamp(one.type) else one
            for one in table.schema
        ]
        for row in table.cast(pa.schema(fields), safe=False).to_pylist():
            number += 1
            yield number, row


def _batches(path: Path, kind: str) -> Iterator[Any]:
    if kind == ".parquet":
        with parquet.ParquetFile(path) as file:
            yield from file.iter_batches(BATCH)
    else:
        with pa.OSFile(str(path)) as source, pa.ipc.open_file(source) as file:
            for index in range(file.num_record_batches):
                yield file.get_batch(index)


def _write_csv(file: TextIOBase, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    written, number = csv.writer(file, lineterminator="\n"), 0
    written.writerow(columns)
    for row in rows:
        written.writerow([_plain(value) for value in row])
        number += 1
    return number


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return f"{value:f}" if isinstance(value, Decimal) else "" if value is None else str(value)


def _write_arrow(path: Path, kind: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], number: Any) -> int:
    types = {"at": pa.timestamp("us", "UTC"), "trades": pa.int64(), "trade_id": pa.int64(), "side": pa.string()}
    schema = pa.schema([(name, types.get(name, number)) for name in columns])
    written, source = 0, iter(rows)
    with _writer(path, kind, schema) as writer:
        while part := list(islice(source, BATCH)):
            values = zip(*part, strict=True)
            arrays = [_array(column, field.type) for column, field in zip(values, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            written += len(part)
    return written


def _array(values: Sequence[Any], kind: Any) -> Any:
    if pa.types.is_float64(kind):
        values = [None if value is None else float(value) for value in values]
    return pa.array(values, kind)


def _writer(path: Path, kind: str, schema: Any) -> Any:
    if kind == ".parquet":
        return parquet.ParquetWriter(path, schema, compression="zstd")
    return pa.ipc.new_file(str(path), schema, options=pa.ipc.IpcWriteOptions(compression="zstd"))


def _problem(path: Path, rule: str, remedy: str) -> Problem:
    return Problem(field="file", value=str(path), rule=rule, remedy=remedy)
