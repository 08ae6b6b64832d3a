"""Which of two sources gives an instrument its prices? The named one, unless it is silent while the other one is not.

Pure: it is told who was heard when, and answers what changes. Nothing happens twice in a row in one direction, and a
source has to prove itself for a while before it is gone back to, so that a flapping one does not flap the prices.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchRules:
    """Every span of a switch, in seconds."""

    silent_after: float = 10.0  # without a sign of life, until the named source is given up
    live_within: float = 5.0  # the other one has to have been heard this lately
    healthy_for: float = 60.0  # of signs of life, until the named source is trusted again
    longest_pause: float = 5.0  # between two of those signs, or the count begins anew
    stay_at_least: float = 30.0  # in one place, unless the source fallen back to is silent as well


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The two sources of one instrument, by the names of their feeds."""

    instrument: str
    primary: str
    fallback: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """One change of an instrument's source, for the record."""

    instrument: str
    from_feed: str
    to_feed: str
    why: str
    at: datetime


@dataclass(slots=True, eq=False)
class _Line:
    """One source of one instrument; instants are monotonic seconds, 0 for never."""

    heard_at: float = 0.0
    healthy_since: float = 0.0

    def hear(self, now: float, longest_pause: float) -> None:
        if not self.healthy_since or now - self.heard_at > longest_pause:
            self.healthy_since = now
        self.heard_at = max(self.heard_at, now)

    def lose(self) -> None:
        self.healthy_since = 0.0

    def silence(self, now: float, since: float) -> float:
        return now - max(self.heard_at, since)


@dataclass(slots=True, eq=False)
class _Case:
    """One instrument: its pair, both lines, where it stands and since when."""

    pair: Pair
    primary: _Line
    fallback: _Line
    added_at: float
    moved_at: float
    is_on_fallback: bool = False

    @property
    def active(self) -> str:
        return self.pair.fallback if self.is_on_fallback else self.pair.primary


class Switchboard:
    """Decides for every instrument with two sources; safe from any thread. Times are monotonic seconds."""

    def __init__(self, rules: SwitchRules | None = None) -> None:
        self._rules = rules or SwitchRules()
        self._lock = threading.Lock()
        self._cases: dict[str, _Case] = {}

    def follow(self, pairs: Iterable[Pair], now: float) -> None:
        """Decide for exactly these pairs from now on; one that is unchanged keeps its place.

        Raises ValueError for a pair of one source with itself.
        """
        wanted = {pair.instrument: pair for pair in pairs}
        if same := [pair.instrument for pair in wanted.values() if pair.primary == pair.fallback]:
            raise ValueError(f"{', '.join(sorted(same))}: a source cannot be its own fallback")
        with self._lock:
            kept = {name: case for name, case in self._cases.items() if wanted.get(name) == case.pair}
            fresh = {name: _Case(pair, _Line(), _Line(), now, now) for name, pair in wanted.items()}
            self._cases = fresh | kept

    def heard(self, instrument: str, feed: str, now: float) -> None:
        """Note a sign of life of one source for one instrument: a price, or the venue's word that it is quiet."""
        case = self._cases.get(instrument)  # no lock: the receive threads never wait, and a lost sign decides nothing
        if case is None:
            return
        line = case.primary if feed == case.pair.primary else case.fallback if feed == case.pair.fallback else None
        if line is not None:
            line.hear(now, self._rules.longest_pause)

    def lost(self, feed: str) -> None:
        """Note that a source lost its connection: it has to prove its health from the beginning.

        Its silence goes on counting from the last sign of life, for it may be back within the second.
        """
        with self._lock:
            for case in self._cases.values():
                if feed == case.pair.primary:
                    case.primary.lose()
                elif feed == case.pair.fallback:
                    case.fallback.lose()

    def source_of(self, instrument: str) -> str:
        """Return the feed that gives this instrument its prices, "" when there are not two to choose from."""
        case = self._cases.get(instrument)
        return case.active if case else ""

    def accepts(self, instrument: str, feed: str) -> bool:
        """Say whether a price of this feed counts for this instrument now."""
        case = self._cases.get(instrument)
        return case is None or case.active == feed

    def judge(self, now: float, at: datetime) -> list[Switched]:
        """Return what changes now; call it several times a second."""
        with self._lock:
            found = [self._judge(case, now, at) for case in self._cases.values()]
        return [switched for switched in found if switched]

    def _judge(self, case: _Case, now: float, at: datetime) -> Switched | None:
        why = self._reason_back(case, now) if case.is_on_fallback else self._reason_away(case, now)
        if not why:
            return None
        before = case.active
        case.is_on_fallback, case.moved_at = not case.is_on_fallback, now
        return Switched(instrument=case.pair.instrument, from_feed=before, to_feed=case.active, why=why, at=at)

    def _reason_away(self, case: _Case, now: float) -> str:
        """Name why the primary is given up, "" to stay: silence is measured from the start, and the other must live."""
        silent_for = case.primary.silence(now, case.added_at)
        if silent_for <= self._rules.silent_after or not self._is_live(case.fallback, now):
            return ""
        return f"{case.pair.primary} silent for {silent_for:.1f} s"

    def _reason_back(self, case: _Case, now: float) -> str:
        rules = self._rules
        if not self._is_live(case.primary, now):
            return ""
        silent_for = case.fallback.silence(now, case.moved_at)
        if silent_for > rules.silent_after:
            return f"{case.pair.fallback} silent for {silent_for:.1f} s"
        healthy_for = now - case.primary.healthy_since
        if (
            not case.primary.healthy_since
            or healthy_for < rules.healthy_for
            or now - case.moved_at < rules.stay_at_least
        ):
            return ""
        return f"{case.pair.primary} healthy for {healthy_for:.1f} s"

    def _is_live(self, line: _Line, now: float) -> bool:
        return line.heard_at > 0.0 and now - line.heard_at <= self._rules.live_within
