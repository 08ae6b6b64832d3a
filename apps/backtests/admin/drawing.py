"""Small pictures of equity curves for the admin's pages, as SVG."""

import itertools
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

Floats = npt.NDArray[np.float64]
WIDTH: Final = 800.0
HEIGHT: Final = 220.0
POINTS: Final = 400
# Legible on a light and on a dark page, and apart for people who see few colours.
COLOURS: Final = ("#2f81f7", "#d97706", "#0f9d76", "#b25fd0")


class Curve(NamedTuple):
    """One line of a chart: its name, the place of each value from left (0) to right (1), and the values."""

    name: str
    across: Floats
    values: Floats


def thinned(values: Floats, most: int) -> npt.NDArray[np.int64]:
    """Return which values to draw so that no peak and no fall is lost: the ends and the extremes of each piece."""
    count = len(values)
    if count <= most:
        return np.arange(count)
    edges = np.linspace(0, count, most // 2 + 1).astype(np.int64)
    kept = {0, count - 1}
    for start, end in itertools.pairwise(edges.tolist()):
        piece = values[start:end]
        kept |= {int(start + piece.argmin()), int(start + piece.argmax())}
    return np.array(sorted(kept), np.int64)


def sparkline(values: Floats) -> str:
    """Return a curve of 120 by 28 pixels as a file of its own, green where it gained and red where it lost."""
    if len(values) < 2:
        return '<svg xmlns="http://www.w3.org/2000/svg" width="120" height="28"/>'
    kept = thinned(values, 80)
    path = _path(kept / (len(values) - 1), values[kept], _span(values), 120.0, 28.0)
    colour = "#0f9d76" if values[-1] >= values[0] else "#d0453b"
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="120" height="28" viewBox="0 -1 120 30">'
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.4" stroke-linejoin="round"/></svg>'
    )


def chart(curves: Sequence[Curve], label: str) -> SafeString:
    """Return curves on shared axes, with the highest and the lowest value and a key when there are several."""
    low, high = _span(np.concatenate([curve.values for curve in curves]))
    lines = [
        (_path(one.across[kept], one.values[kept], (low, high), WIDTH, HEIGHT), colour)
        for one, colour in zip(curves, COLOURS, strict=False)
        for kept in [thinned(one.values, POINTS)]
    ]
    paths = format_html_join("", '<path d="{}" stroke="{}"/>', lines)
    key = [(colour, one.name) for one, colour in zip(curves, COLOURS, strict=False)] if len(curves) > 1 else []
    keys = format_html_join("", '<li><span class="swatch" style="background:{}"></span>{}</li>', key)
    return format_html(
        '<figure class="curves">'
        '<svg viewBox="0 -4 {} {}" role="img" aria-label="{}" preserveAspectRatio="none">{}</svg>'
        '<figcaption><span class="num">{}</span><span class="num">{}</span></figcaption>'
        '<ul class="key">{}</ul></figure>',
        int(WIDTH),
        int(HEIGHT) + 8,
        label,
        paths,
        f"{high:,.2f}",
        f"{low:,.2f}",
        keys,
    )


def _span(values: Floats) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)


def _path(across: Floats, values: Floats, span: tuple[float, float], width: float, height: float) -> str:
    low, high = span
    down = (1.0 - (values - low) / (high - low)) * height if high > low else np.full(len(values), height / 2)
    points = [f"{x:.1f} {y:.1f}" for x, y in zip(across * width, down, strict=True) if np.isfinite(y)]
    return f"M{'L'.join(points)}" if points else ""
