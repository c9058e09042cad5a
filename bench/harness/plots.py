"""Figures to pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from harness.figures import Figure, against_peers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

BEHIND, AHEAD = "#c1440e", "#1f6f8b"
"""Dots below and above 1."""

TICKS = (0.125, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 32)

LIMITS = (0.125, 32.0)
"""Ratios beyond are drawn as triangles at the border."""


def plot_ratios(figures: Sequence[Figure], machine: str, directory: Path) -> list[Path]:
    """Plot the ratio of every case by shape class, a panel per dtype and number of threads.

    Halves and integers, which only one class has, share a panel with a place for each dtype. A dot
    is a case; the bar is the median of its class. Dots above the line at 1 are cases in which the
    subject is faster than the best peer.

    Parameters
    ----------
    figures : sequence of Figure
    machine : str
        One line that names the machine.
    directory : Path
        Where ``peers.png`` and ``peers.svg`` go.

    Returns
    -------
    list of Path
        The files written; none if there is nothing to plot.
    """
    compared = against_peers(figures)
    if not compared:
        return []
    subject = figures[0].subject.library
    threads = sorted({item.subject.threads for item in compared})
    titles = list(dict.fromkeys(map(_panel_of, compared)))
    places = {
        title: list(dict.fromkeys(_place_of(f) for f in compared if _panel_of(f) == title))
        for title in titles
    }
    widest = max(map(len, places.values()))
    size = max(6.0, 2.0 + 0.42 * widest * len(threads)), 1.0 + 3.4 * len(titles)

    canvas = Canvas(figsize=size)
    axes = canvas.subplots(len(titles), len(threads), sharey=True, squeeze=False)
    for row, title in enumerate(titles):
        for column, count in enumerate(threads):
            panel: Axes = axes[row, column]
            plural = "s" if count > 1 else ""
            drawn = [f for f in compared if (_panel_of(f), f.subject.threads) == (title, count)]
            _draw_panel(panel, places[title], drawn)
            panel.set_title(f"{title}, {count} thread{plural}", fontsize=10)
            if column == 0:
                panel.set_ylabel(f"best peer's time / {subject}'s")
    _scale(axes[0, 0], compared)
    canvas.suptitle(f"{subject} against the best peer (above 1: faster)\n{machine}", fontsize=10)
    canvas.tight_layout()

    directory.mkdir(parents=True, exist_ok=True)
    png, svg = directory / "peers.png", directory / "peers.svg"
    canvas.savefig(png, dpi=150)
    with mpl.rc_context({"svg.hashsalt": "hotloops", "svg.fonttype": "none"}):
        canvas.savefig(svg, metadata={"Date": None})
    return [png, svg]


def _has_panel_of_its_dtype(figure: Figure) -> bool:
    return figure.dtype in ("float32", "float64")


def _panel_of(figure: Figure) -> str:
    return figure.dtype if _has_panel_of_its_dtype(figure) else "other types"


def _place_of(figure: Figure) -> str:
    return figure.case.group if _has_panel_of_its_dtype(figure) else figure.dtype


def _draw_panel(axes: Axes, names: Sequence[str], figures: Sequence[Figure]) -> None:
    for position, name in enumerate(names):
        values = np.sort([item.value for item in figures if _place_of(item) == name])
        if not values.size:
            continue
        offsets = np.linspace(-0.25, 0.25, values.size) if values.size > 1 else np.zeros(1)
        drawn = np.clip(values, *LIMITS)
        for marker, chosen in (
            ("o", drawn == values),
            ("v", drawn > values),
            ("^", drawn < values),
        ):
            colors = np.where(values[chosen] >= 1, AHEAD, BEHIND)
            place = position + offsets[chosen]
            axes.scatter(place, drawn[chosen], s=14, c=colors, marker=marker, zorder=3)
        median = float(np.median(drawn))
        axes.plot((position - 0.35, position + 0.35), (median, median), color="black", lw=1.5)
    axes.axhline(1, color="grey", lw=1)
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.grid(axis="y", color="#e4e4e4", lw=0.6)
    axes.set_axisbelow(True)


def _scale(axes: Axes, figures: Sequence[Figure]) -> None:
    values = np.clip([item.value for item in figures], *LIMITS)
    axes.set_yscale("log")
    axes.set_ylim(min(0.5, values.min()) / 1.15, max(2.0, values.max()) * 1.15)
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in TICKS if low <= tick <= high]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
