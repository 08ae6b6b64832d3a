"""As much of Prometheus' language as our alerts and dashboards use, evaluated over scraped samples.

Differences from Prometheus: `increase` and `rate` add up what they see and extrapolate nothing; a series that is not
in the newest scrape is gone at once. What is not known here is refused, so that an expression cannot pass unread.
"""

import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Value = float | Vector
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
TOKEN = re.compile(
    r"\s*(?:(?P<duration>\d+[smhd])(?![\w.])|(?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?)|(?P<text>\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<word>[a-zA-Z_:][\w:]*)|(?P<sign>==|!=|=~|!~|<=|>=|[-+*/<>=(){}\[\],]))"
)
COMPARE = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
COUNT = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
LEVELS = (("or",), ("and", "unless"), tuple(COMPARE), ("+", "-"), ("*", "/"))
AGGREGATIONS: dict[str, Callable[[list[float]], float]] = {
    "sum": math.fsum,
    "max": max,
    "min": min,
    "count": lambda values: float(len(values)),
    "avg": lambda values: math.fsum(values) / len(values),
}


class Unknown(Exception):
    """The expression uses what this evaluator does not know, or cannot be read."""


class Scrape(NamedTuple):
    """All samples of one moment, by metric."""

    at: float
    samples: Mapping[str, Vector]


@dataclass(frozen=True)
class Selector:
    name: str
    matchers: tuple[tuple[str, str, str], ...]
    range: int = 0


@dataclass(frozen=True)
class Call:
    name: str
    arguments: tuple["Node", ...]
    by: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Binary:
    sign: str
    left: "Node"
    right: "Node"
    on: tuple[str, ...] | None = None


Node = float | Selector | Call | Binary


def parse(text: str) -> Node:
    """Read an expression. Raises Unknown."""
    reader = _Reader(text)
    node = reader.binary(0)
    if reader.kind != "end":
        raise Unknown(f"{reader.word!r} is left over in {text!r}")
    return node


def metrics(node: Node) -> Iterator[str]:
    """Yield the names of all metrics an expression asks for."""
    if isinstance(node, Selector):
        yield node.name
    elif isinstance(node, Call):
        for each in node.arguments:
            yield from metrics(each)
    elif isinstance(node, Binary):
        yield from metrics(node.left)
        yield from metrics(node.right)


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._next()

    def _next(self) -> None:
        self.kind, self.word = self._tokens.pop(0) if self._tokens else ("end", "")

    def _take(self, *words: str) -> str:
        if self.word not in words or self.kind == "text":
            raise Unknown(f"{self.word!r} where one of {words} should be")
        found = self.word
        self._next()
        return found

    def binary(self, level: int) -> Node:
        if level == len(LEVELS):
            return self.unary()
        left = self.binary(level + 1)
        while self.kind in {"sign", "word"} and self.word in LEVELS[level]:
            sign = self.word
            self._next()
            on = None
            if self.word == "on":
                self._next()
                on = self.names()
            left = Binary(sign, left, self.binary(level + 1), on)
        return left

    def unary(self) -> Node:
        if self.kind == "sign" and self.word == "-":
            self._next()
            return Binary("*", -1.0, self.unary())
        if self.kind == "number":
            number = float(self.word)
            self._next()
            return number
        if self.kind == "sign" and self.word == "(":
            self._next()
            node = self.binary(0)
            self._take(")")
            return node
        if self.kind != "word":
            raise Unknown(f"{self.word!r} begins nothing")
        name = self.word
        self._next()
        if name in AGGREGATIONS:
            return self.aggregation(name)
        return self.call(name) if self.word == "(" else self.selector(name)

    def aggregation(self, name: str) -> Node:
        by: tuple[str, ...] = ()
        if self.word == "by":
            self._next()
            by = self.names()
        return Call(name, self.arguments(), by)

    def call(self, name: str) -> Node:
        if name not in FUNCTIONS:
            raise Unknown(f"the function {name}")
        return Call(name, self.arguments())

    def arguments(self) -> tuple[Node, ...]:
        self._take("(")
        found = [self.binary(0)]
        while self.word == ",":
            self._next()
            found.append(self.binary(0))
        self._take(")")
        return tuple(found)

    def names(self) -> tuple[str, ...]:
        self._take("(")
        found = []
        while self.word != ")":
            found.append(self.word)
            self._next()
            if self.word == ",":
                self._next()
        self._take(")")
        return tuple(found)

    def selector(self, name: str) -> Node:
        matchers = []
        if self.kind == "sign" and self.word == "{":
            self._next()
            while self.word != "}":
                label = self.word
                self._next()
                sign = self._take("=", "!=", "=~", "!~")
                matchers.append((label, sign, self.word[1:-1]))
                self._next()
                if self.word == ",":
                    self._next()
            self._next()
        span = 0
        if self.kind == "sign" and self.word == "[":
            self._next()
            span = seconds(self.word)
            self._next()
            self._take("]")
        return Selector(name, tuple(matchers), span)


def seconds(text: str) -> int:
    """Return a duration like 5m in seconds."""
    return int(text[:-1]) * UNITS[text[-1]]


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at, text = 0, text.strip()
    while at < len(text):
        found = TOKEN.match(text, at)
        if found is None:
            raise Unknown(f"{text[at:]!r}")
        assert found.lastgroup
        yield found.lastgroup, found[found.lastgroup]
        at = found.end()


def evaluate(node: Node, scrapes: Sequence[Scrape]) -> Value:
    """Return what an expression says at the moment of the last scrape."""
    if isinstance(node, float):
        return node
    if isinstance(node, Selector):
        return _select(node, scrapes[-1])
    if isinstance(node, Binary):
        return _binary(node, evaluate(node.left, scrapes), evaluate(node.right, scrapes))
    if node.name in AGGREGATIONS:
        return _aggregate(node, evaluate(node.arguments[0], scrapes))
    return FUNCTIONS[node.name](node.arguments, scrapes)


def _select(selector: Selector, scrape: Scrape) -> Vector:
    series = scrape.samples.get(selector.name, {})
    return {labels: value for labels, value in series.items() if _matches(dict(labels), selector.matchers)}


def _matches(labels: Mapping[str, str], matchers: Iterable[tuple[str, str, str]]) -> bool:
    for label, sign, wanted in matchers:
        found = labels.get(label, "")
        same = bool(re.fullmatch(wanted, found)) if "~" in sign else found == wanted
        if same is sign.startswith("!"):
            return False
    return True


def _key(labels: Labels, on: tuple[str, ...] | None) -> Labels:
    return labels if on is None else frozenset(pair for pair in labels if pair[0] in on)


def _binary(node: Binary, left: Value, right: Value) -> Value:
    if node.sign in {"or", "and", "unless"}:
        assert isinstance(left, dict)
        assert isinstance(right, dict)
        keys = {_key(labels, node.on) for labels in right}
        if node.sign == "or":
            mine = {_key(labels, node.on) for labels in left}
            return left | {labels: value for labels, value in right.items() if _key(labels, node.on) not in mine}
        return {k: v for k, v in left.items() if (_key(k, node.on) in keys) is (node.sign == "and")}
    if isinstance(left, float) and isinstance(right, float):
        return _scalar(node.sign, left, right)
    return dict(_pairs(node, left, right))


def _scalar(sign: str, left: float, right: float) -> float:
    if sign in COMPARE:
        return float(COMPARE[sign](left, right))
    return _counted(sign, left, right)


def _counted(sign: str, left: float, right: float) -> float:
    if sign == "/" and right == 0:
        return math.nan if left == 0 else math.copysign(math.inf, left)
    return float(COUNT[sign](left, right))


def _pairs(node: Binary, left: Value, right: Value) -> Iterator[tuple[Labels, float]]:
    series = left if isinstance(left, dict) else right
    assert isinstance(series, dict)
    matched = {_key(labels, node.on): value for labels, value in right.items()} if isinstance(right, dict) else {}
    for labels in series:
        a = left[labels] if isinstance(left, dict) else left
        b = right if isinstance(right, float) else matched.get(_key(labels, node.on), math.nan)
        if isinstance(right, dict) and isinstance(left, dict) and _key(labels, node.on) not in matched:
            continue
        if node.sign not in COMPARE:
            yield labels, _counted(node.sign, a, b)
        elif COMPARE[node.sign](a, b):
            yield labels, a if isinstance(left, dict) else b


def _aggregate(node: Call, value: Value) -> Vector:
    assert isinstance(value, dict)
    groups: dict[Labels, list[float]] = {}
    for labels, each in value.items():
        groups.setdefault(_key(labels, node.by), []).append(each)
    return {labels: AGGREGATIONS[node.name](values) for labels, values in groups.items()}


def _increase(arguments: Sequence[Node], scrapes: Sequence[Scrape]) -> Vector:
    (selector,) = arguments
    if not isinstance(selector, Selector) or not selector.range:
        raise Unknown("increase and rate want a range")
    inside = [each for each in scrapes if each.at > scrapes[-1].at - selector.range]
    found: Vector = {}
    for labels in _select(selector, scrapes[-1]):
        values = [
            each.samples[selector.name][labels] for each in inside if labels in each.samples.get(selector.name, {})
        ]
        if len(values) > 1:
            found[labels] = math.fsum(now - before if now >= before else now for before, now in pairwise(values))
    return found


def _changes(arguments: Sequence[Node], scrapes: Sequence[Scrape]) -> Vector:
    (selector,) = arguments
    assert isinstance(selector, Selector)
    inside = [_select(selector, each) for each in scrapes if each.at > scrapes[-1].at - selector.range]
    return {
        labels: float(sum(a.get(labels) != b.get(labels) for a, b in pairwise(inside)))
        for labels in _select(selector, scrapes[-1])
    }


def _rate(arguments: Sequence[Node], scrapes: Sequence[Scrape]) -> Vector:
    (selector,) = arguments
    assert isinstance(selector, Selector)
    return {labels: value / selector.range for labels, value in _increase(arguments, scrapes).items()}


def _absent(arguments: Sequence[Node], scrapes: Sequence[Scrape]) -> Vector:
    return {} if evaluate(arguments[0], scrapes) else {frozenset(): 1.0}


def _quantile(arguments: Sequence[Node], scrapes: Sequence[Scrape]) -> Vector:
    wanted, series = (evaluate(each, scrapes) for each in arguments)
    assert isinstance(wanted, float)
    assert isinstance(series, dict)
    groups: dict[Labels, list[tuple[float, float]]] = {}
    for labels, count in series.items():
        bound = float(dict(labels)["le"])
        groups.setdefault(frozenset(pair for pair in labels if pair[0] != "le"), []).append((bound, count))
    return {labels: _within(wanted, sorted(buckets)) for labels, buckets in groups.items()}


def _within(wanted: float, buckets: list[tuple[float, float]]) -> float:
    total = buckets[-1][1]
    if not total:
        return math.nan
    rank, low, below = wanted * total, 0.0, 0.0
    for bound, count in buckets:
        if count >= rank:
            if math.isinf(bound):
                return low
            return low + (bound - low) * (rank - below) / (count - below) if count > below else bound
        low, below = bound, count
    return low


FUNCTIONS: dict[str, Callable[[Sequence[Node], Sequence[Scrape]], Vector]] = {
    "increase": _increase,
    "rate": _rate,
    "changes": _changes,
    "absent": _absent,
    "histogram_quantile": _quantile,
}
