"""Where do the candles of a backtest come from? Files, instruments of the market store, or arrays at hand."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np

from apps.backtests import candle_checks, candle_files, candle_lengths, moments
from apps.domain.errors import Problem, Refused
from apps.domain.strategies.contract import Candles


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What to load: files or instruments, and which span of them ([since, until), instants with an offset).

    `bar_seconds` is the length of the bars; for files it is theirs, or longer ones made of them. `detail` is a file of
    finer bars, `detail_seconds` the length of finer bars of the first instrument: what happened inside a bar.
    """

    files: tuple[str, ...] = ()
    instruments: tuple[str, ...] = ()
    bar_seconds: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    detail: str = ""
    detail_seconds: int | None = None

    def __str__(self) -> str:
        return ", ".join([*(Path(file).name for file in self.files), *self.instruments])

    def as_json(self) -> dict[str, Any]:
        """Return it with plain values, files by their full name, so that another process finds them."""
        plain = {key: value for key, value in asdict(self).items() if value}
        for key in ("since", "until"):
            if key in plain:
                plain[key] = plain[key].isoformat()
        if self.files:
            plain["files"] = [str(Path(file).resolve()) for file in self.files]
        if self.detail:
            plain["detail"] = str(Path(self.detail).resolve())
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Return what `as_json` was made of."""
        values = dict(plain)
        for key in ("files", "instruments"):
            values[key] = tuple(values.get(key, ()))
        for key in ("since", "until"):
            values[key] = datetime.fromisoformat(values[key]) if values.get(key) else None
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Candles that may be backtested on: one set of arrays per instrument, all on the same bars."""

    candles: tuple[Candles, ...]
    names: tuple[str, ...]
    bar_seconds: int
    missing_bars: int  # holes in the data, counted over all instruments
    notes: tuple[str, ...]  # what is strange about it, one sentence each
    data_hash: str  # SHA-256 of every number
    detail: Candles | None = None

    @property
    def bars(self) -> int:
        """The number of bars."""
        return len(self.candles[0].at)

    @property
    def since(self) -> datetime:
        """When the first bar began."""
        return datetime.fromtimestamp(int(self.candles[0].at[0]), UTC)

    @property
    def until(self) -> datetime:
        """When the last bar began."""
        return datetime.fromtimestamp(int(self.candles[0].at[-1]), UTC)

    def as_json(self) -> dict[str, Any]:
        """Say what the candles are, without the candles."""
        return {
            "names": list(self.names),
            "bars": self.bars,
            "bar_seconds": self.bar_seconds,
            "first_bar": moments.shown(int(self.candles[0].at[0])),
            "last_bar": moments.shown(int(self.candles[0].at[-1])),
            "missing_bars": self.missing_bars,
            "notes": list(self.notes),
            "hash": self.data_hash,
        }


def load(spec: Spec) -> Loaded:
    """Read, check and align what `spec` names. Raises Refused with every problem found, and StoreUnavailable."""
    _insist_on_one_kind(spec)
    if spec.files:
        candles = [_at_length(one, spec.bar_seconds) for one in _of_files(spec.files, spec.since, spec.until)]
        names = tuple(Path(file).name.partition(".")[0] for file in spec.files)
        detail = _of_files((spec.detail,), spec.since, spec.until)[0] if spec.detail else None
        return given(candles, names=names, detail=detail)
    return _of_instruments(spec)


def given(
    candles: Sequence[Candles],
    *,
    names: Sequence[str] = (),
    bar_seconds: int | None = None,
    detail: Candles | None = None,
    checked: bool = True,
) -> Loaded:
    """Make arrays at hand ready for a backtest; unless `checked`, every row is looked at. Raises Refused."""
    named = tuple(names) or tuple(f"candles {number}" for number in range(1, len(candles) + 1))
    if not checked:
        for one, name in zip([*candles, *([detail] if detail else [])], [*named, "detail"], strict=False):
            candle_checks.insist(one, name, np.arange(len(one.at)))
    aligned, notes = _aligned(candles)
    seconds = bar_seconds or candle_lengths.bar_seconds(aligned[0].at)
    odd = [f"{name}: {text}" for name, one in zip(named, aligned, strict=True) for text in candle_checks.oddities(one)]
    return Loaded(
        candles=aligned,
        names=named,
        bar_seconds=seconds,
        missing_bars=sum(candle_lengths.missing_bars(one.at, seconds) for one in candles),
        notes=(*notes, *odd),
        data_hash=hash_of([*aligned, *([detail] if detail else [])]),
        detail=detail,
    )


def hash_of(candles: Sequence[Candles]) -> str:
    """Return the SHA-256 of every number, as 64 hex digits."""
    digest = hashlib.sha256()
    for one in candles:
        digest.update(f"{len(one.at)};".encode())
        for part, kind in zip(one, ("<i8", *["<f8"] * 5), strict=True):
            digest.update(np.ascontiguousarray(part, kind).data)
    return digest.hexdigest()


def _insist_on_one_kind(spec: Spec) -> None:
    if bool(spec.files) == bool(spec.instruments):
        value = "both" if spec.files else "neither"
        rule = "a backtest runs on candle files or on instruments"
        raise Refused(_problem("candles", value, rule, "give --candles FILE, or --instrument SYMBOL --timeframe 1h"))
    if spec.since and spec.until and spec.since >= spec.until:
        raise Refused(
            _problem("since", spec.since.isoformat(), f"must be before until ({spec.until.isoformat()})", "swap them")
        )


def _of_files(files: Sequence[str], since: datetime | None, until: datetime | None) -> list[Candles]:
    problems: list[Problem] = []
    found = []
    for file in files:
        try:
            found.append(_cut(_checked(Path(file)), file, since, until))
        except Refused as refused:
            problems += refused.problems
    if problems:
        raise Refused(*problems)
    return found


def _checked(path: Path) -> Candles:
    rows = candle_files.read(path)
    try:
        candle_checks.insist(rows.candles, path.name, rows.lines, rows.problems)
    except Refused:
        if not rows.hastily:
            raise
        rows = candle_files.read(path, haste=False)
        candle_checks.insist(rows.candles, path.name, rows.lines, rows.problems)
    return rows.candles


def _cut(candles: Candles, file: str, since: datetime | None, until: datetime | None) -> Candles:
    if since is None and until is None:
        return candles
    first = int(np.searchsorted(candles.at, since.timestamp())) if since else 0
    last = int(np.searchsorted(candles.at, until.timestamp())) if until else len(candles.at)
    if first >= last:
        span = f"{since.isoformat() if since else 'its beginning'} to {until.isoformat() if until else 'its end'}"
        held = (
            f"{datetime.fromtimestamp(int(candles.at[0]), UTC)} to {datetime.fromtimestamp(int(candles.at[-1]), UTC)}"
        )
        raise Refused(_problem("candles", file, f"has no bar from {span}; it holds {held}", "name another span"))
    return Candles._make(part[first:last] for part in candles)


def _at_length(candles: Candles, seconds: int | None) -> Candles:
    own = candle_lengths.bar_seconds(candles.at)
    if seconds is None or seconds == own:
        return candles
    if not own or seconds % own:
        rule = f"bars of {own} seconds do not make up bars of {seconds}"
        raise Refused(_problem("timeframe", f"{seconds} seconds", rule, "name a multiple, or leave it out"))
    return candle_lengths.joined(candles, seconds)


def _of_instruments(spec: Spec) -> Loaded:
    from apps.backtests import stored_candles  # here: a backtest on files needs neither database nor SQLAlchemy

    if spec.bar_seconds is None or spec.until is None:
        raise ValueError("candles of an instrument need the length of a bar and until when")
    rows = stored_candles.find(spec.instruments)
    candles = [stored_candles.read(row, spec.bar_seconds, spec.since, spec.until) for row in rows]
    detail = None
    if spec.detail_seconds:
        detail = stored_candles.read(rows[0], spec.detail_seconds, spec.since, spec.until)
    return given(candles, names=spec.instruments, bar_seconds=spec.bar_seconds, detail=detail)


def _aligned(candles: Sequence[Candles]) -> tuple[tuple[Candles, ...], tuple[str, ...]]:
    """Keep the bars that every instrument has, and say how many were left out."""
    if len(candles) == 1 or all(np.array_equal(one.at, candles[0].at) for one in candles):
        return tuple(candles), ()
    shared = candles[0].at
    for one in candles[1:]:
        shared = np.intersect1d(shared, one.at, assume_unique=True)
    if not len(shared):
        raise Refused(_problem("candles", f"{len(candles)} instruments", "have no bar in common", "name another span"))
    left = sum(len(one.at) - len(shared) for one in candles)
    kept = tuple(Candles._make(part[np.searchsorted(one.at, shared)] for part in one) for one in candles)
    return kept, (f"{left} bars were left out that not every instrument has",)


def _problem(field: str, value: str, rule: str, remedy: str) -> Problem:
    return Problem(field=field, value=value, rule=rule, remedy=remedy)
