"""How is a chart drawn? One SVG that stretches with the page, and labels of ordinary text around it.

The drawing knows shares of its width and height only. Lines keep their width however it is stretched, and the labels
stay as large as the rest of the page, so that the same chart reads on a telephone, on a wall and on paper.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from django.utils.safestring import SafeString

from apps.backtests.report import scales
from apps.backtests.report.scales import Floats, Range, Tick
from apps.backtests.report.tags import joined, tag

WIDTH, HEIGHT = 1000, 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A sign on a chart: where, as shares from the left and the top, what it looks like and what it says."""

    left: float
    top: float
    sign: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A drawing with its axes; `title` and `description` are for who cannot see it, `caption` for everybody."""

    name: str
    title: str
    description: str
    drawing: SafeString
    caption: object = ""
    left: Sequence[Tick] = ()
    below: Sequence[Tick] = ()
    marks: Sequence[Mark] = field(default=())
    size: str = "tall"
    key: Sequence[tuple[str, str]] = ()  # (class of the line, what it is)


def figure(chart: Chart) -> SafeString:
    """Return a chart as one figure."""
    names = [f"{chart.name}-title", f"{chart.name}-description"]
    picture = tag(
        "svg",
        tag("title", chart.title, id=names[0]),
        tag("desc", chart.description, id=names[1]),
        _grid(chart.left),
        chart.drawing,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_labelledby=" ".join(names),
    )
    keys = [tag("span", tag("i", class_=f"key {kind}"), text) for kind, text in chart.key]
    return tag(
        "figure",
        tag("figcaption", tag("strong", chart.title), tag("span", *keys, class_="keys") if keys else ""),
        tag("div", _left(chart.left), _plot(picture, chart), _below(chart.below), class_=f"chart {chart.size}"),
        tag("p", chart.caption, class_="caption") if chart.caption else "",
    )


def line(values: Floats, span: Range, kind: str, *, places: Floats | None = None) -> SafeString:
    """Return a curve; its points are spread evenly, or lie at `places`, shares from the left."""
    return tag("path", d=_points(values, span, places), class_=f"line {kind}")


def area(values: Floats, span: Range, kind: str, *, base: float = 0.0, places: Floats | None = None) -> SafeString:
    """Return a curve with what lies between it and `base` filled."""
    path = _points(values, span, places)
    level = float(span.down(np.array([min(max(base, span.low), span.high)]))[0]) * HEIGHT
    ends = (places[0], places[-1]) if places is not None and len(places) else (0.0, 1.0)
    closed = f"{path}L{_at(ends[1] * WIDTH)} {_at(level)}L{_at(ends[0] * WIDTH)} {_at(level)}Z"
    return joined([tag("path", d=closed, class_=f"area {kind}"), tag("path", d=path, class_=f"line {kind}")])


def bars(values: Sequence[float], span: Range, kinds: Sequence[str]) -> SafeString:
    """Return columns of equal width between zero and each value."""
    wide = WIDTH / max(len(values), 1)
    zero = float(span.down(np.zeros(1))[0])
    tops = span.down(np.asarray(values, dtype=np.float64))
    return joined(
        tag(
            "rect",
            x=_at(number * wide + wide * 0.08),
            width=_at(wide * 0.84),
            y=_at(min(float(top), zero) * HEIGHT),
            height=_at(abs(float(top) - zero) * HEIGHT),
            class_=f"bar {kind}",
        )
        for number, (top, kind) in enumerate(zip(tops, kinds, strict=True))
    )


def dots(across: Floats, down: Floats, kind: str) -> SafeString:
    """Return round dots at shares from the left and the top: strokes of no length, which no stretching deforms."""
    steps = "".join(f"M{_at(x * WIDTH)} {_at(y * HEIGHT)}h0" for x, y in zip(across, down, strict=True))
    return tag("path", d=steps, class_=f"dots {kind}") if steps else SafeString()


def verticals(across: Floats, above: Floats, below: Floats, kind: str) -> SafeString:
    """Return upright lines from one share of the height to another."""
    steps = "".join(
        f"M{_at(x * WIDTH)} {_at(a * HEIGHT)}V{_at(b * HEIGHT)}" for x, a, b in zip(across, above, below, strict=True)
    )
    return tag("path", d=steps, class_=f"line {kind}") if steps else SafeString()


def boxes(across: Floats, wide: float, above: Floats, below: Floats, kind: str) -> SafeString:
    """Return boxes around shares from the left, `wide` as a share, at least a hair high."""
    half, steps = wide / 2 * WIDTH, []
    for x, a, b in zip(across * WIDTH, above * HEIGHT, below * HEIGHT, strict=True):
        steps.append(f"M{_at(x - half)} {_at(a)}H{_at(x + half)}V{_at(max(b, a + 0.8))}H{_at(x - half)}Z")
    return tag("path", d="".join(steps), class_=f"box {kind}") if steps else SafeString()


def level(value: float, span: Range, kind: str = "zero") -> SafeString:
    """Return a level line across the whole chart, nothing where it lies outside."""
    if not span.low <= value <= span.high:
        return SafeString()
    y = _at(float(span.down(np.array([value]))[0]) * HEIGHT)
    return tag("line", x1=0, x2=WIDTH, y1=y, y2=y, class_=f"line {kind}")


def curve(values: Floats, span: Range, kind: str, *, filled_to: float | None = None) -> SafeString:
    """Return a long curve by its extremes, so that no peak and no fall is lost."""
    kept = scales.extremes(values)
    places = kept / max(len(values) - 1, 1)
    if filled_to is None:
        return line(values[kept], span, kind, places=places)
    return area(values[kept], span, kind, base=filled_to, places=places)


def _points(values: Floats, span: Range, places: Floats | None) -> str:
    across = np.linspace(0.0, 1.0, len(values)) if places is None else places
    down = np.clip(span.down(values), -0.5, 1.5)
    parts: list[str] = []
    pen = "M"
    for x, y in zip(across.tolist(), down.tolist(), strict=True):
        if y != y:
            pen = "M"
            continue
        parts.append(f"{pen}{_at(x * WIDTH)} {_at(y * HEIGHT)}")
        pen = "L"
    return "".join(parts)


def _grid(ticks: Iterable[Tick]) -> SafeString:
    return joined(
        tag("line", x1=0, x2=WIDTH, y1=_at(tick.where * HEIGHT), y2=_at(tick.where * HEIGHT), class_="grid")
        for tick in ticks
    )


def _plot(picture: SafeString, chart: Chart) -> SafeString:
    signs = (
        tag(
            "span",
            mark.sign,
            class_=f"mark {mark.kind}",
            title=mark.text,
            style=f"left:{mark.left:.2%};top:{mark.top:.2%}",
        )
        for mark in chart.marks
    )
    return tag("div", picture, tag("div", *signs, class_="marks", aria_hidden="true"), class_="plot")


def _left(ticks: Sequence[Tick]) -> SafeString:
    # The longest label gives the column its width; the others hang over their own place.
    widest = max((tick.text for tick in ticks), key=len, default="")
    labels = (tag("span", tick.text, style=f"top:{tick.where:.2%}") for tick in ticks)
    return tag("div", tag("b", widest), *labels, class_="left", aria_hidden="true")


def _below(ticks: Sequence[Tick]) -> SafeString:
    labels = (tag("span", tick.text, style=f"left:{tick.where:.2%}", class_=_edge(tick.where)) for tick in ticks)
    crowd = "below many" if len(ticks) > 6 else "below some" if len(ticks) > 3 else "below"
    return tag("div", *labels, class_=crowd, aria_hidden="true")


def _edge(where: float) -> str | None:
    return "first" if where < 0.04 else "last" if where > 0.96 else None


def _at(number: float) -> str:
    text = f"{number:.1f}"
    return text.removesuffix(".0")


def shares(values: npt.ArrayLike, low: float, high: float) -> Floats:
    """Return where values lie between two ends."""
    return np.asarray((np.asarray(values, dtype=np.float64) - low) / ((high - low) or 1.0))
