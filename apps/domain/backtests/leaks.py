"""Does a strategy see the future, or more of the past than it says?

Three trials, each on the strategy as it is, with nothing known of its inside:

truncated ends         what it says of a bar must not change when the bars after it are taken away
distorted futures      nor when one input column of the bars after it is changed, one column at a time
truncated beginnings   what it says of a bar must not change when only the declared warm-up is left before it

The first two find look-ahead and name the column it comes from; the third finds a warm-up declared too short, with
which a live run would differ from a backtest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from apps.domain.backtests.verdicts import Kind, Leak, Verdict
from apps.domain.errors import Problem, Refused
from apps.domain.strategies.contract import Candles, Several, Strategy

Floats = npt.NDArray[np.float64]
Markets = Sequence[Candles]
Said = dict[str, Floats]  # what a strategy says per bar, by output column

MOST: Final = 2000  # bars at which a history is cut, at most
_DISTORTED: Final = 12  # bars after which the future is distorted, besides those where a leak was seen
_SEEN: Final = 4
_TOLERANCE: Final = 1e-9  # relative: sums over arrays of another length may round another way
_ACTING: Final = ("stance", "weight")


def find(strategy: Strategy, markets: Markets, *, names: Sequence[str] = (), most: int = MOST) -> Verdict:
    """Try a strategy on candles (one array set per instrument, on the same bars) and return what leaks.

    Up to `most` bars every cut is tried and the first bar is exact; beyond that the cuts are spread evenly. `names`
    are those of the instruments, used when there are several. Raises Refused when there are fewer bars than the
    warm-up and one.
    """
    return _Trial(strategy, markets, names, most).verdict()


@dataclass(slots=True)
class _Found:
    """Where an output was first seen to leak, and some of the cuts at which it was."""

    bar: int
    cuts: list[int] = field(default_factory=list)
    inputs: set[str] = field(default_factory=set)

    def add(self, bar: int, cut: int) -> None:
        """Remember the earliest bar, and the cuts next to the earliest bars."""
        if len(self.cuts) < _SEEN or bar < self.bar:
            self.cuts = [*self.cuts, cut][-_SEEN:]
        self.bar = min(self.bar, bar)


class _Trial:
    """One strategy on one history."""

    def __init__(self, strategy: Strategy, markets: Markets, names: Sequence[str], most: int) -> None:
        self.strategy, self.markets, self.most = strategy, markets, most
        self.names = names or [str(number) for number in range(len(markets))]
        self.bars, self.warmup, self.runs = len(markets[0].at), strategy.warmup, 0
        if self.bars <= self.warmup:
            rule = f"must be more than the warm-up of {self.warmup}"
            raise Refused(Problem(field="bars", value=str(self.bars), rule=rule, remedy="use a longer history"))
        self.full = self.ask(markets)

    def verdict(self) -> Verdict:
        """Run every trial; later ones leave out what earlier ones found."""
        leaks = list(self._unstable())
        if not leaks:
            ahead = self._ahead()
            self._distort(ahead)
            leaks = [self._leak(Kind.LOOK_AHEAD, name, one.bar, inputs=_ordered(one)) for name, one in ahead.items()]
            leaks += [*self._early(), *self._short(set(ahead))]
        return Verdict(
            leaks=tuple(sorted(leaks, key=lambda leak: (leak.bar, leak.output))),
            bars=self.bars,
            warmup=self.warmup,
            outputs=tuple(self.full),
            runs=self.runs,
        )

    def ask(self, markets: Markets) -> Said:
        """Return everything the strategy says of candles."""
        self.runs += 1
        said = dict(_said(self.strategy, markets, self.names))
        bars = len(markets[0].at)
        for name, values in said.items():
            if values.shape != (bars,):
                rule = f"must be one value for each of {bars} bars"
                raise Refused(Problem(field=name, value=str(values.shape), rule=rule, remedy="mend the strategy"))
        return said

    def _unstable(self) -> Iterator[Leak]:
        again = self.ask(self.markets)
        for name in self.full:
            bar = _first_difference(self.full[name], again.get(name))
            if bar is not None:
                yield self._leak(Kind.UNSTABLE, name, bar)

    def _ahead(self) -> dict[str, _Found]:
        """Take the last bars away, one cut after the other."""
        found: dict[str, _Found] = {}
        cuts = _spread(self.warmup, self.bars - 1, self.most)
        for cut in cuts:
            self._compare(found, self.ask(_part(self.markets, slice(0, cut))), cut)
        stride = max(1, (self.bars - self.warmup) // self.most)
        if found and stride > 1:  # the cuts in between, just before the first bar seen
            first = min(one.bar for one in found.values())
            for cut in range(max(self.warmup, first - 2 * stride), first + 1):
                self._compare(found, self.ask(_part(self.markets, slice(0, cut))), cut)
        return found

    def _distort(self, found: dict[str, _Found]) -> None:
        """Change one column of the future at a time; adds the inputs, and outputs that only this shows."""
        cuts = {cut for one in found.values() for cut in one.cuts}
        cuts |= set(_spread(self.warmup, self.bars - 1, _DISTORTED))
        for cut in sorted(cuts):
            for number, candles in enumerate(self.markets):
                for column in Candles._fields:
                    label = column if len(self.markets) == 1 else f"{self.names[number]}.{column}"
                    for distorted in _futures(getattr(candles, column), cut):
                        changed = [*self.markets]
                        changed[number] = candles._replace(**{column: distorted})
                        if column == "at":  # the instruments keep the same bars
                            changed = [one._replace(at=distorted) for one in self.markets]
                        self._compare(found, self.ask(changed), cut, label)

    def _compare(self, found: dict[str, _Found], said: Said, cut: int, label: str | None = None) -> None:
        """Compare what was said of the bars before `cut` with what is said of them when all is known."""
        for name, values in self.full.items():
            other = said.get(name)
            bar = _first_difference(values[:cut], None if other is None else other[:cut])
            if bar is not None:
                one = found.setdefault(name, _Found(bar))
                one.add(bar, cut)
                one.inputs |= {label} if label else set()

    def _early(self) -> Iterator[Leak]:
        for name, values in self.full.items():
            early = values[: self.warmup - 1] != 0
            if name.partition(" ")[0] in _ACTING and early.any():
                yield self._leak(Kind.EARLY, name, int(np.argmax(early)))

    def _short(self, without: set[str]) -> Iterator[Leak]:
        """Take the first bars away and look at the last one that is left."""
        pending = set(self.full) - without
        for last in _spread(self.warmup - 1, self.bars - 1, self.most):
            if not pending:
                return
            said = self._last(last, self.warmup)
            for name in sorted(pending):
                if not _same(self.full[name][last], said.get(name)):
                    pending.remove(name)
                    yield self._leak(Kind.WARM_UP, name, last, needs=self._needs(name, last))

    def _last(self, last: int, length: int) -> dict[str, float]:
        """Return what is said of a bar when it and `length` - 1 before it are there."""
        said = self.ask(_part(self.markets, slice(last + 1 - length, last + 1)))
        return {name: float(values[-1]) for name, values in said.items()}

    def _needs(self, name: str, last: int) -> int:
        """Return how many bars lead to the same answer: double until they do, then halve the doubt."""
        wrong, right = self.warmup, min(2 * self.warmup, last + 1)
        while right < last + 1 and not self._agrees(name, last, right):
            wrong, right = right, min(2 * right, last + 1)
        while right - wrong > 1:
            middle = (wrong + right) // 2
            wrong, right = (wrong, middle) if self._agrees(name, last, middle) else (middle, right)
        return right

    def _agrees(self, name: str, last: int, length: int) -> bool:
        return _same(self.full[name][last], self._last(last, length).get(name))

    def _leak(self, kind: Kind, name: str, bar: int, *, inputs: tuple[str, ...] = (), needs: int | None = None) -> Leak:
        at = int(self.markets[0].at[bar])
        return Leak(kind=kind, output=name, bar=bar, at=at, inputs=inputs, needs=needs)


def _said(strategy: Strategy, markets: Markets, names: Sequence[str]) -> Iterator[tuple[str, Floats]]:
    if isinstance(strategy, Several):
        weights = np.asarray(strategy.weights_of(markets), np.float64)
        for number in range(weights.shape[1]):
            yield ("weight" if len(markets) == 1 else f"weight {names[number]}"), weights[:, number]
        return
    (candles,) = markets
    yield "stance", np.asarray(strategy.stances(candles), np.float64)
    shares = strategy.weights(candles)
    if shares is not None:
        yield "weight", np.asarray(shares, np.float64)
    plan = strategy.exit_plan(candles)
    if plan is not None:
        for name, values in plan._asdict().items():
            yield name, np.asarray(values, np.float64)


def _part(markets: Markets, span: slice) -> list[Candles]:
    return [Candles._make(column[span] for column in candles) for candles in markets]


def _futures(values: npt.NDArray[Any], cut: int) -> Iterator[npt.NDArray[Any]]:
    """Yield a column with its values from `cut` on changed in several ways, so that no comparison can hide all."""
    rest = values[cut:]
    if values.dtype.kind == "i":  # times: another hour, another day of the week
        changes = [rest + 5400, rest + 259_200]
    else:
        turns = np.where(np.arange(len(rest)) % 2, 3.0, 1 / 3)
        changes = [rest * 4.0, rest / 4.0, rest[::-1], rest * turns]
    for change in changes:
        yield np.concatenate((values[:cut], change))


def _first_difference(values: Floats, others: Floats | None) -> int | None:
    """Return the first bar that differs; a column that is not there differs wherever the other has numbers."""
    others = np.full_like(values, np.nan) if others is None else others
    with np.errstate(invalid="ignore"):
        close = np.abs(values - others) <= _TOLERANCE * np.maximum(np.abs(values), np.abs(others))
    different = ~(close | (values == others) | (np.isnan(values) & np.isnan(others)))
    return int(np.argmax(different)) if different.any() else None


def _same(value: float, other: float | None) -> bool:
    others = None if other is None else np.array([other])
    return _first_difference(np.array([value]), others) is None


def _spread(first: int, last: int, most: int) -> list[int]:
    """Return `most` numbers from first to last, both included; all of them when there are no more."""
    if last - first < most:
        return list(range(first, last + 1))
    return sorted({int(number) for number in np.linspace(first, last, most)})


def _ordered(one: _Found) -> tuple[str, ...]:
    split = sorted((name, Candles._fields.index(column)) for name, _, column in (i.rpartition(".") for i in one.inputs))
    return tuple(".".join(filter(None, (name, Candles._fields[column]))) for name, column in split)
