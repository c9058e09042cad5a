"""The measurements as pictures: one file an operation, one panel a workload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hotloops.ladder.measuring import TILE_PEAK
from hotloops.ladder.report import Row, Section, summary

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

# Okabe and Ito's colours, which colour-blind people can tell apart.
COLOURS = {
    "Python": "#0072B2",
    "NumPy": "#56B4E9",
    "C++": "#E69F00",
    "hotloops": "#D55E00",
}
PEER_COLOUR = "#A9A9A9"
PEAK_COLOUR = "#404040"
TILE_PEAK_COLOUR = "#009E73"


def write_plots(directory: Path, run: dict[str, Any], sections: list[Section]) -> list[Path]:
    """Draw the sections of each operation into ladder-OP.png and ladder-OP.svg."""
    paths = []
    for op in dict.fromkeys(section.op for section in sections):
        # Text stays text, and the same measurements give the same file.
        with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "hotloops"}):
            figure = draw(op, run, [section for section in sections if section.op == op])
            for suffix, metadata in ((".png", {}), (".svg", {"Date": None})):
                paths.append(directory / f"ladder-{op}{suffix}")
                figure.savefig(paths[-1], dpi=160, metadata=metadata)
    return paths


def draw(op: str, run: dict[str, Any], sections: list[Section]) -> Figure:
    """Draw the panels of one operation side by side: they have their rungs in common."""
    lines = len(sections[0].of_kind("rung", "peer"))
    figure = Figure(figsize=(3.2 + 4.2 * len(sections), 1.9 + 0.3 * lines), layout="constrained")
    panels = figure.subplots(1, len(sections), sharey=True, squeeze=False)[0]
    for panel, section in zip(panels, sections, strict=True):
        draw_panel(panel, section)
    panels[0].invert_yaxis()  # the first rung on top; for all panels, as they share the axis
    figure.suptitle(f"The {op} ladder", x=0.01, ha="left", fontsize=14, fontweight="bold")
    languages = {row.language for row in sections[0].of_kind("rung")}
    keys = [
        Patch(color=colour, label=name) for name, colour in COLOURS.items() if name in languages
    ]
    keys.append(Patch(color=PEER_COLOUR, label="peers"))
    figure.legend(handles=keys, loc="outside upper right", ncols=len(keys), frameon=False)
    figure.supxlabel(summary(run), x=0.01, ha="left", fontsize=8, color="#606060")
    return figure


def draw_panel(panel: Axes, section: Section) -> None:
    """Draw a bar for each rung and peer, on a logarithmic scale, and a line for each peak."""
    rows = section.of_kind("rung", "peer")
    places = list(range(len(rows)))
    lowest = min(row.rate for row in rows) / 2.5
    highest = max(row.rate for row in section.rows) * 6
    panel.barh(
        places,
        [row.rate - lowest for row in rows],
        left=lowest,
        height=0.74,
        color=[_colour(row) for row in rows],
        zorder=2,
    )
    for place, row in zip(places, rows, strict=True):
        panel.annotate(
            _digits(row.rate),
            (row.rate, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"},
            zorder=4,
        )
    for row in section.of_kind("peak"):
        panel.axvline(
            row.rate,
            color=TILE_PEAK_COLOUR if row.peak == TILE_PEAK else PEAK_COLOUR,
            linewidth=1.2,
            linestyle="--" if row.threads == 1 else "-",
            label=f"{row.label}: {_digits(row.rate)}",
            zorder=3,
        )
    # The slowest rungs are at the top: there is room to the right of their bars.
    panel.legend(loc="upper right", fontsize=8, frameon=True, framealpha=1, edgecolor="none")
    panel.set_yticks(places, [row.label for row in rows])
    panel.set_xscale("log")
    panel.set_xlim(lowest, highest)
    panel.set_xlabel(section.unit)
    panel.set_title(f"{section.title}\n{section.shape}, {section.dtype}", loc="left", fontsize=10)
    panel.grid(axis="x", color="#E4E4E4", zorder=0)
    panel.tick_params(axis="y", length=0)
    panel.spines[["top", "right", "left"]].set_visible(False)


def _colour(row: Row) -> str:
    return PEER_COLOUR if row.kind == "peer" else COLOURS[row.language]


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
