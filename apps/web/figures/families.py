"""Figures in the terms of Prometheus."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from apps.journal.figures import Figure

PREFIX = "tradingsite_"


def gauges(figures: Iterable[Figure]) -> Iterator[Metric]:
    """Yield each figure as a gauge; one without values still says what it is."""
    for figure in figures:
        names = [name for name, _ in next(iter(figure.values), ())]
        family = GaugeMetricFamily(PREFIX + figure.name, figure.text, labels=names)
        for labels, value in figure.values.items():
            family.add_metric([word for _, word in labels], value)
        yield family


def counter(name: str, text: str, labels: Sequence[str], values: Iterable[tuple[Sequence[str], float]]) -> Metric:
    """Return a counter: something that only grows."""
    family = CounterMetricFamily(PREFIX + name, text, labels=labels)
    for words, value in values:
        family.add_metric(words, value)
    return family


def histogram(name: str, text: str, labels: Sequence[str]) -> HistogramMetricFamily:
    """Return a histogram without series."""
    return HistogramMetricFamily(PREFIX + name, text, labels=labels)


def fill(
    family: HistogramMetricFamily, words: Sequence[str], bounds: Sequence[float], counts: Sequence[int], total: float
) -> None:
    """Add a series to a histogram: how many fell into each bucket, one more than there are bounds."""
    names = [*(str(bound) for bound in bounds), "+Inf"]
    family.add_metric(words, list(zip(names, map(float, accumulate(counts)), strict=True)), sum_value=total)
