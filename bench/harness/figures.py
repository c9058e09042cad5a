"""Samples to ratios, ratios to summaries.

The ratio of a peer is the median over rounds of (its time / the subject's time in the same
round): above 1 the subject is faster. The *figure* of a case is the smallest of its peers'
ratios: the comparison with the best peer. Medians are taken per peer first, for the
minimum over noisy single rounds would flatter whoever was lucky once.
"""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.classes import SCALING
from harness.libraries import LIBRARIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.cases import Case
    from harness.operands import Data
    from harness.turns import Contestant, Measurement

CLIFF = 0.9
"""A square that reaches less than this part of the next smaller one's rate is a cliff."""

CLIFF_FROM = 16
"""Smaller squares are calls rather than products; their rate climbs steeply with n."""


@dataclass(frozen=True)
class Ratio:
    """A median over rounds and the quartiles around it."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Figure:
    """What one measurement says.

    Attributes
    ----------
    case, dtype, subject
        What was measured.
    seconds : float
        Median time of a call of the subject; print it beside a ratio only.
    ratios : dict
        Ratio of each peer.
    yardsticks : dict
        Ratio of what is no peer: a copy.
    rate : float
        FLOP or bytes per second of the subject.
    peak_share : float, optional
        Median over rounds of the rate over the peak measured in the same round.
    """

    case: Case
    dtype: str
    subject: Contestant
    seconds: float
    ratios: dict[Contestant, Ratio]
    yardsticks: dict[Contestant, Ratio]
    rate: float
    peak_share: float | None

    @property
    def best_peer(self) -> Contestant:
        """The peer that comes closest to the subject, or is furthest ahead."""
        return min(self.ratios, key=lambda peer: self.ratios[peer].median)

    @property
    def value(self) -> float:
        """Ratio of the best peer."""
        return self.ratios[self.best_peer].median

    @property
    def label(self) -> str:
        """The case with dtype and threads."""
        return f"{self.case.shape_class}: {self.case.name} ({self.dtype}, {self.subject.threads}T)"


@dataclass(frozen=True)
class Summary:
    """The figures of one class, dtype and number of threads.

    `worst` is the figure with the smallest ratio; `peak_share` the median of those known.
    """

    shape_class: str
    dtype: str
    threads: int
    count: int
    median: float
    mean: float
    """Geometric mean."""
    worst: Figure
    peak_share: float | None


@dataclass(frozen=True)
class Cliff:
    """A square size whose rate drops against the next smaller one that was measured."""

    below: Figure
    above: Figure
    kept: float


def compare(times: Sequence[float], subject_times: Sequence[float]) -> Ratio:
    """Compare two contestants' times round by round.

    Examples
    --------
    >>> compare([2.0, 9.0, 4.0], [1.0, 3.0, 1.0]).median
    3.0
    """
    ratios = [a / b for a, b in zip(times, subject_times, strict=True)]
    low, median, high = (float(q) for q in np.percentile(ratios, (25, 50, 75)))
    return Ratio(median, low, high)


def figure(measurement: Measurement) -> Figure | None:
    """Turn a measurement into a figure; None if the subject or every peer is missing."""
    subject = measurement.subject
    times = measurement.samples.get(subject)
    if not times:
        return None
    ratios: dict[Contestant, Ratio] = {}
    yardsticks: dict[Contestant, Ratio] = {}
    for contestant, samples in measurement.samples.items():
        if contestant == subject:
            continue
        kind = yardsticks if LIBRARIES[contestant.library].yardstick else ratios
        kind[contestant] = compare(samples, times)
    if not ratios:
        return None
    work = measurement.case.work(np.dtype(measurement.dtype).itemsize)
    shares = [work / seconds / peak for seconds, peak in zip(times, measurement.peak, strict=False)]
    seconds = statistics.median(times)
    return Figure(
        measurement.case,
        measurement.dtype,
        subject,
        seconds,
        ratios,
        yardsticks,
        work / seconds,
        statistics.median(shares) if shares else None,
    )


def geometric_mean(values: Iterable[float]) -> float:
    """Geometric mean of positive numbers.

    Examples
    --------
    >>> geometric_mean([0.5, 2.0])
    1.0
    """
    return math.exp(statistics.fmean(math.log(value) for value in values))


def summarise(name: str, figures: Sequence[Figure]) -> Summary:
    """Summarise figures of one dtype and number of threads under a name."""
    values = [figure.value for figure in figures]
    shares = [figure.peak_share for figure in figures if figure.peak_share is not None]
    return Summary(
        name,
        figures[0].dtype,
        figures[0].subject.threads,
        len(figures),
        statistics.median(values),
        geometric_mean(values),
        min(figures, key=lambda figure: figure.value),
        statistics.median(shares) if shares else None,
    )


def groups(figures: Iterable[Figure]) -> dict[tuple[str, int], list[Figure]]:
    """Group figures by dtype and number of threads, in order of appearance."""
    grouped: dict[tuple[str, int], list[Figure]] = {}
    for item in figures:
        grouped.setdefault((item.dtype, item.subject.threads), []).append(item)
    return grouped


def summaries(figures: Sequence[Figure]) -> list[Summary]:
    """Summarise one dtype and number of threads class by class."""
    classes = dict.fromkeys(figure.case.shape_class for figure in figures)
    return [
        summarise(name, [figure for figure in figures if figure.case.shape_class == name])
        for name in classes
    ]


def against_peers(figures: Iterable[Figure]) -> list[Figure]:
    """Drop the figures that compare the subject with itself."""
    return [figure for figure in figures if figure.case.shape_class != SCALING]


def worst(figures: Iterable[Figure], count: int) -> list[Figure]:
    """Pick the figures with the smallest ratios."""
    return sorted(against_peers(figures), key=lambda figure: figure.value)[:count]


def cliffs(figures: Iterable[Figure]) -> list[Cliff]:
    """Find sizes of squares at which the subject's rate drops.

    Rates are taken relative to the peak of the same rounds where it is known, so that a
    busy moment of the machine is no cliff.
    """
    found = []
    for group in groups(against_peers(figures)).values():
        by_size: dict[int, Figure] = {}
        for item in group:
            case = item.case
            shapes = {case.x.shape, case.w.shape if case.w else ()}
            plain = case.operation == "matmul" and case.out is case.precision is None
            contiguous = case.w is not None and case.x.layout == case.w.layout == "contiguous"
            n = case.inner
            if plain and contiguous and shapes == {(n, n)} and n >= CLIFF_FROM:
                by_size[n] = item
        in_order = [by_size[n] for n in sorted(by_size)]
        for below, above in itertools.pairwise(in_order):
            if below.peak_share is not None and above.peak_share is not None:
                kept = above.peak_share / below.peak_share
            else:
                kept = above.rate / below.rate
            if kept < CLIFF:
                found.append(Cliff(below, above, kept))
    return found


def accuracy(
    measurements: Iterable[Measurement],
) -> dict[tuple[str, str], dict[str, dict[Data, float]]]:
    """Collect the largest error of each library.

    Returns
    -------
    dict
        (dtype, shape class and precision) to library to kind of data to the largest
        |C - exact| / (u * (|A| @ |B|)).
    """
    largest: dict[tuple[str, str], dict[str, dict[Data, float]]] = {}
    for measurement in measurements:
        for contestant, prepared in measurement.prepared.items():
            for data, error in prepared.errors.items():
                key = (measurement.dtype, measurement.case.group)
                errors = largest.setdefault(key, {}).setdefault(contestant.library, {})
                errors[data] = max(error, errors.get(data, 0.0))
    return largest
