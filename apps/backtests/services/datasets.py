"""Candles of files as rows, so that a worker on another machine computes on the very same numbers."""

import zlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import numpy as np
from django.db import transaction

from apps.backtests import sources
from apps.backtests.models import Dataset, DatasetPart
from apps.backtests.sources import Loaded
from apps.domain.errors import Problem, Refused
from apps.domain.strategies.contract import Candles

PART: Final = 4 * 1024 * 1024  # bytes in one row
MOST: Final = 2 * 1024**3  # bytes of plain arrays
_KINDS: Final = ("<i8", *["<f8"] * 5)
_FAST: Final = 1  # zlib's level; a higher one takes several times as long for a tenth less


def store(loaded: Loaded, now: datetime) -> Dataset:
    """Keep candles, once however often they are asked for; returns their row. Raises Refused when they are too many."""
    known = Dataset.objects.filter(data_hash=loaded.data_hash).first()
    if known is not None:
        return known
    series = _series(loaded)
    size = sum(8 * len(_KINDS) * len(one.at) for one in series)
    if size > MOST:
        rule, remedy = f"are {size} bytes, more than {MOST}", "search on a shorter span or on longer bars"
        raise Refused(Problem(field="candles", value=", ".join(loaded.names)[:60], rule=rule, remedy=remedy))
    columns = [_packed(part, kind) for one in series for part, kind in zip(one, _KINDS, strict=True)]
    layout = {
        "names": list(loaded.names),
        "bars": [len(one.at) for one in series],
        "lengths": [len(column) for column in columns],
        "detail": loaded.detail is not None,
        "bar_seconds": loaded.bar_seconds,
        "missing_bars": loaded.missing_bars,
        "notes": list(loaded.notes),
    }
    with transaction.atomic():
        dataset, made = Dataset.objects.get_or_create(
            data_hash=loaded.data_hash, defaults={"layout": layout, "made_at": now}
        )
        if made:
            for number, content in enumerate(_parts(columns)):
                DatasetPart.objects.create(dataset=dataset, number=number, content=content)
    return dataset


def load(dataset: Dataset) -> Loaded:
    """Return the candles of a dataset. Raises Refused when they are no longer what was stored."""
    parts = DatasetPart.objects.filter(dataset=dataset).order_by("number").values_list("content", flat=True)
    stored = memoryview(b"".join(bytes(part) for part in parts.iterator(chunk_size=8)))
    layout = dataset.layout
    try:
        series = list(_unpacked(stored, layout))
    except (zlib.error, ValueError) as error:
        raise _damaged(dataset) from error
    detail = series.pop() if layout["detail"] else None
    loaded = Loaded(
        candles=tuple(series),
        names=tuple(layout["names"]),
        bar_seconds=layout["bar_seconds"],
        missing_bars=layout["missing_bars"],
        notes=tuple(layout["notes"]),
        data_hash=sources.hash_of([*series, *([detail] if detail else [])]),
        detail=detail,
    )
    if loaded.data_hash != dataset.data_hash:
        raise _damaged(dataset)
    return loaded


def _series(loaded: Loaded) -> list[Candles]:
    return [*loaded.candles, *([loaded.detail] if loaded.detail else [])]


def _packed(values: "np.ndarray[Any, Any]", kind: str) -> bytes:
    # Bytes of equal weight side by side: neighbouring prices share their high bytes, so this halves what zlib makes.
    shuffled = np.ascontiguousarray(values, kind).view(np.uint8).reshape(-1, 8).T
    return zlib.compress(shuffled.tobytes(), _FAST)


def _parts(columns: list[bytes]) -> Iterator[bytes]:
    whole = b"".join(columns)
    for start in range(0, len(whole), PART):
        yield whole[start : start + PART]


def _unpacked(stored: memoryview, layout: dict[str, Any]) -> Iterator[Candles]:
    place = 0
    lengths = iter(layout["lengths"])
    for bars in layout["bars"]:
        arrays = []
        for kind in _KINDS:
            length = next(lengths)
            plain = np.frombuffer(zlib.decompress(stored[place : place + length]), np.uint8)
            arrays.append(np.ascontiguousarray(plain.reshape(8, bars).T).reshape(-1).view(kind))
            place += length
        yield Candles._make(arrays)


def _damaged(dataset: Dataset) -> Refused:
    rule, remedy = "are not what was stored", "run `manage.py verify`, and begin the search again from the file"
    return Refused(Problem(field="candles", value=dataset.data_hash[:12], rule=rule, remedy=remedy))
