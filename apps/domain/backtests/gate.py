"""When may a strategy trade? The stages of its life, what may become what, and the evidence a promotion needs.

Plain rules on plain values: rows become `Tested`, `Span` and `Compared` before they come here, and a verdict goes back.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple

from apps.domain.errors import Problem, Refused


class Stage(StrEnum):
    """How far a strategy has come."""

    DRAFT = "draft"  # nothing is known of the present code and parameters
    BACKTESTED = "backtested"  # a backtest of them was finished and its critique is not red
    PAPER = "paper"  # they held on data they were not chosen by; accounts follow on paper
    LIVE = "live"  # paper trading went as the backtest of the same days says
    PAUSED = "paused"  # a person stopped it; it goes back to where it was
    RETIRED = "retired"  # over; its rows stay


class Need(StrEnum):
    """What kind of evidence a promotion rests on."""

    BACKTEST = "backtest"  # a finished backtest
    OUT_OF_SAMPLE = "out_of_sample"  # a walk-forward, or a backtest of days the parameters were not chosen by
    PAPER = "paper"  # days of paper trading compared with their backtest


LADDER: Final = (Stage.DRAFT, Stage.BACKTESTED, Stage.PAPER, Stage.LIVE)
FOLLOWED: Final = frozenset({Stage.PAPER, Stage.LIVE})  # asked for signals, and the signals are followed
PROVEN: Final = frozenset({Stage.BACKTESTED, Stage.PAPER, Stage.LIVE, Stage.PAUSED})  # rest on what was proven
MOVES: Final[Mapping[Stage, frozenset[Stage]]] = {
    Stage.DRAFT: frozenset({Stage.BACKTESTED, Stage.RETIRED}),
    Stage.BACKTESTED: frozenset({Stage.PAPER, Stage.DRAFT, Stage.RETIRED}),
    Stage.PAPER: frozenset({Stage.LIVE, Stage.PAUSED, Stage.DRAFT, Stage.RETIRED}),
    Stage.LIVE: frozenset({Stage.PAPER, Stage.PAUSED, Stage.DRAFT, Stage.RETIRED}),
    Stage.PAUSED: frozenset({Stage.PAPER, Stage.LIVE, Stage.DRAFT, Stage.RETIRED}),
    Stage.RETIRED: frozenset({Stage.DRAFT}),
}
NEEDS: Final[Mapping[Stage, Need]] = {
    Stage.BACKTESTED: Need.BACKTEST,
    Stage.PAPER: Need.OUT_OF_SAMPLE,
    Stage.LIVE: Need.PAPER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What evidence is about: the code and every number that decides what a strategy says."""

    plugin: str
    code_hash: str
    parameters: Mapping[str, Any]  # every parameter with its value
    bar_seconds: int

    @property
    def digest(self) -> str:
        """Return the SHA-256 of all of it; equal numbers count as equal, 2 and 2.0 alike."""
        numbers = [(name, _comparable(value)) for name, value in sorted(self.parameters.items())]
        told = [self.plugin, self.code_hash, numbers, self.bar_seconds]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()


class Span(NamedTuple):
    """A piece of history, both ends included."""

    since: datetime
    until: datetime

    def overlaps(self, other: "Span") -> bool:
        """Say whether two pieces share an instant."""
        return self.since <= other.until and other.since <= self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """A backtest or walk-forward as the gate sees it."""

    label: str  # how people call it: run 12
    version: Version
    finished: bool
    span: Span | None
    reds: tuple[str, ...] = ()  # codes of its red remarks
    walked: bool = False  # each piece of it was computed with parameters chosen on earlier data only


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Paper trading beside the backtest of the same days."""

    label: str
    version_digest: str
    span: Span
    signals: int  # the backtest's
    missed: int  # signals of the backtest that paper trading did not give
    extra: int  # signals of paper trading that the backtest does not give
    fills: int  # entries and exits found on both sides
    slippage: float  # mean rate by which paper fills were worse than the backtest's, negative when better


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How long paper trading must have lasted and how far it may lie from its backtest."""

    days: float = 14.0
    missed: float = 0.05  # share of the backtest's signals
    extra: float = 0.05
    slippage: float = 0.001  # rate per fill
    fills: int = 10  # fewer say nothing


class Verdict(NamedTuple):
    """What the gate says: the index of the evidence that is enough, or why there is none."""

    chosen: int | None
    why: tuple[str, ...]


def check_move(now: Stage, wanted: Stage, *, paused_from: str = "") -> None:
    """Refuse a move that the table does not know, and to leave a pause for another stage than it began in."""
    if wanted not in MOVES[now]:
        allowed = ", ".join(sorted(MOVES[now]))
        raise Refused(_problem(wanted, f"cannot follow {now}", f"from {now} it goes to {allowed}"))
    if now == Stage.PAUSED and wanted in FOLLOWED and wanted != paused_from:
        back = paused_from or Stage.DRAFT
        raise Refused(_problem(wanted, "is not where the pause began", f"go back to {back}"))


def is_promotion(now: Stage, wanted: Stage) -> bool:
    """Say whether a move needs evidence: one step up the ladder. Going back after a pause is none."""
    return now in LADDER and wanted in LADDER and LADDER.index(wanted) > LADDER.index(now)


def next_stage(now: Stage) -> Stage | None:
    """Name the stage that the next promotion leads to, if there is one."""
    index = LADDER.index(now) + 1 if now in LADDER else len(LADDER)
    return LADDER[index] if index < len(LADDER) else None


def judge_backtest(version: Version, tests: Sequence[Tested]) -> Verdict:
    """Choose the first finished backtest of this version without a red remark; give the newest ones first."""
    return _choose([tuple(_flaws(version, test)) for test in tests], tests, "there is no backtest of it yet")


def judge_out_of_sample(version: Version, tests: Sequence[Tested], searched: Sequence[Span]) -> Verdict:
    """Choose the first test of this version on days that its parameters were not chosen by; newest ones first.

    `searched` are the days of every search among the plug-in's parameters, and of the backtest that came before.
    """
    none = "there is neither a walk-forward nor a backtest of other days yet"
    return _choose([(*_flaws(version, test), *_seen(test, searched)) for test in tests], tests, none)


def judge_paper(version: Version, rows: Sequence[Compared], tolerance: Tolerance) -> Verdict:
    """Choose the first comparison of this version within tolerance; give the newest ones first."""
    flaws = []
    for row in rows:
        other = () if row.version_digest == version.digest else ("is about other code or parameters",)
        flaws.append((*other, *beyond(row, tolerance)))
    return _choose(flaws, rows, "paper trading was not compared with its backtest yet")


def beyond(row: Compared, tolerance: Tolerance) -> Iterator[str]:
    """Yield what keeps a comparison from being evidence, a sentence each."""
    days = (row.span.until - row.span.since) / timedelta(days=1)
    if days < tolerance.days:
        yield f"spans {days:.1f} days, {tolerance.days:g} are asked for"
    if row.fills < tolerance.fills:
        yield f"has {row.fills} fills, at least {tolerance.fills} are asked for"
    for name, count, limit in (("missed", row.missed, tolerance.missed), ("extra", row.extra, tolerance.extra)):
        share = count / max(row.signals, 1)
        if share > limit:
            yield f"has {count} {name} signals beside {row.signals} of the backtest, {limit:.0%} are tolerated"
    if not row.slippage <= tolerance.slippage:  # NaN is refused as well
        yield f"fills were {row.slippage:.4%} worse than in the backtest, {tolerance.slippage:.4%} are tolerated"


def _flaws(version: Version, test: Tested) -> Iterator[str]:
    if not test.finished:
        yield "is not finished"
    if test.version.code_hash != version.code_hash or test.version.plugin != version.plugin:
        yield "was computed by other code"
    elif test.version.digest != version.digest:
        yield _difference(version, test.version)
    if test.reds:
        yield f"has a red critique: {', '.join(test.reds)}"


def _difference(version: Version, other: Version) -> str:
    if other.bar_seconds != version.bar_seconds:
        return f"has bars of {other.bar_seconds} s, the strategy of {version.bar_seconds} s"
    names = sorted(set(version.parameters) | set(other.parameters))
    differ = [name for name in names if version.parameters.get(name) != other.parameters.get(name)]
    return f"has other parameters: {', '.join(differ)}"


def _seen(test: Tested, searched: Sequence[Span]) -> Iterator[str]:
    if test.walked:
        return
    if test.span is None:
        yield "does not say which days it is about"
        return
    for span in searched:
        if span.overlaps(test.span):
            yield f"shares days with a search or earlier backtest of {span.since:%Y-%m-%d} to {span.until:%Y-%m-%d}"
            return


def _comparable(value: Any) -> Any:
    return float(value) if isinstance(value, int | float) else value


def _choose(flaws: Sequence[tuple[str, ...]], items: Sequence[Tested | Compared], none: str) -> Verdict:
    """Return the first without a flaw, or the flaws of the three that come nearest."""
    for index, found in enumerate(flaws):
        if not found:
            return Verdict(index, ())
    nearest = sorted(range(len(flaws)), key=lambda index: len(flaws[index]))[:3]
    return Verdict(None, tuple(f"{items[index].label} {'; '.join(flaws[index])}" for index in nearest) or (none,))


def _problem(wanted: Stage, rule: str, remedy: str) -> Problem:
    return Problem(field="stage", value=wanted, rule=rule, remedy=remedy)
