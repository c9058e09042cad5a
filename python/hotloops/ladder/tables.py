"""The measurements as tables: for a terminal with rich, and in Markdown for a README."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from hotloops.ladder.report import Row, Section, summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BEGIN = "<!-- ladder:begin -->"
END = "<!-- ladder:end -->"


def terminal_table(section: Section, width: int) -> Table:
    """Make a section's table; a wide terminal shows the ideas as well."""
    table = Table(
        title=f"{section.title}   {section.shape}, {section.dtype}",
        caption=caption(section),
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title_style="bold",
        title_justify="left",
        caption_justify="left",
    )
    with_ideas = width >= 150
    table.add_column("", justify="right", style="dim")
    table.add_column("rung", min_width=25)
    for heading in _headings(section):
        table.add_column(heading, justify="right", no_wrap=True)
    if with_ideas:
        table.add_column("why it is faster than the one before", style="dim")
    number = 0
    for kind, group in groupby(section.rows, key=lambda row: row.kind):
        for row in group:
            number += kind == "rung"
            style = {"rung": "", "peer": "cyan", "peak": "yellow"}[kind]
            cells = [str(number) if kind == "rung" else "", row.label, *_cells(row)]
            cells += [row.idea] if with_ideas else []
            table.add_row(*map(escape, cells), style=style)  # a[i, p] is no markup
        table.add_section()
    return table


@contextmanager
def live_table(console: Console, steps: int) -> Iterator[Callable[[Section | None, str], None]]:
    """Give a function that shows how far things are, in a terminal, until the block ends.

    Nothing is drawn but by calls of that function: a thread that drew by itself would disturb what
    is measured.
    """
    progress = Progress(BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
    task = progress.add_task("", total=steps)
    with Live(progress, console=console, transient=True, auto_refresh=False) as live:

        def show(section: Section | None, activity: str) -> None:
            progress.update(task, advance=1, description=activity)
            if console.is_terminal:
                table = [terminal_table(section, console.width)] if section else []
                live.update(Group(*table, progress), refresh=True)

        yield show


def caption(section: Section) -> str:
    """Explain what the table cannot say itself."""
    text = section.note
    if any(row.tile_products for row in section.rows):
        text += (
            " For rungs on tiles, % peak is that of the tiles' peak over the 6, 3 or 1 products of "
            "bfloat16 in one of float32; bf16x3 and bf16 are less precise than the other rungs."
        )
    if any(row.extrapolated for row in section.rows):
        text += " ~ extrapolated: a slow rung ran the first rows only, against all of the rest."
    return text


def markdown(run: dict[str, Any], sections: list[Section]) -> str:
    """Return all tables in Markdown."""
    lines = [f"Measured on {summary(run)}."]
    for section in sections:
        headings = ["", "rung", *_headings(section), "why"]
        lines += ["", f"**{section.title}** ({section.shape}, {section.dtype})", ""]
        lines += [_line(headings), _line(["--:", "---", "--:", "--:", "--:", "--:", "--:", "---"])]
        number = 0
        for row in section.rows:
            number += row.kind == "rung"
            place = str(number) if row.kind == "rung" else ""
            lines.append(_line([place, row.label, *_cells(row), row.idea]))
        lines += ["", caption(section)]
    return "\n".join(lines)


def has_markers(text: str) -> bool:
    """Tell whether a text has one block between the markers."""
    return text.count(BEGIN) == 1 and text.count(END) == 1 and text.index(BEGIN) < text.index(END)


def update_file(path: Path, block: str) -> None:
    """Replace what stands between the markers in a file."""
    text = path.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{block}\n{END}{after}")


def _headings(section: Section) -> list[str]:
    return ["time", section.unit, "x first", "x before", "% peak"]


def _cells(row: Row) -> list[str]:
    return [
        _seconds(row),
        _digits(row.rate),
        _factor(row.speedup_over_first),
        _factor(row.speedup_over_previous),
        "" if row.fraction_of_peak is None else _digits(100 * row.fraction_of_peak),
    ]


def _seconds(row: Row) -> str:
    if row.seconds is None:
        return ""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if row.seconds >= size or unit == "us":
            return f"{'~' if row.extrapolated else ''}{_digits(row.seconds / size)} {unit}"
    raise AssertionError("not reached")


def _factor(value: float | None) -> str:
    return "" if value is None else f"{_digits(value)}x"


def _digits(value: float) -> str:
    """Three digits: more would be noise."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
