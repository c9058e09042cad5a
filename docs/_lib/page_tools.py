"""What the pages of this site share: how plots look, and how things are measured in turns.

Importing it sets up matplotlib. The reasons for measuring in this way are on the page about timing.
"""

from __future__ import annotations

import itertools
import os
import time
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
from harness.machine import Neighbours
from IPython.display import Markdown
from matplotlib_inline.backend_inline import set_matplotlib_formats

import hotloops
from hotloops.ladder import measuring, peers, report
from hotloops.ladder.plots import COLOURS
from hotloops.ladder.runner import rungs_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from hotloops.ladder.report import Section
    from hotloops.ladder.workloads import Workload

__all__ = ["COLOURS", "in_turns", "measure_rungs", "neighbours_noted", "ratio", "table"]

set_matplotlib_formats("svg")
plt.rcParams.update(
    {
        "axes.grid": True,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.prop_cycle": plt.cycler(color=list(COLOURS.values())[::-1]),
        "figure.constrained_layout.use": True,
        "figure.figsize": (7.2, 3.6),
        "font.size": 9,
        "grid.color": "#E4E4E4",
        "legend.frameon": False,
    }
)


def in_turns(
    *calls: Callable[[], Any], rounds: int = 15, shortest: float = 1e-3
) -> list[list[float]]:
    """Return the seconds that each call takes, once a round: A B C, B C A, C A B, ...

    A call is repeated until its turn takes `shortest` seconds, after one that is not timed. A turn
    begins when the threads of the turn before have stopped looking for work.
    """
    counts = []
    for call in calls:
        call()
        seconds = _seconds(call, 1)
        counts.append(max(1, round(shortest / seconds)))
    samples: list[list[float]] = [[] for _ in calls]
    for first in range(rounds):
        for turn in range(len(calls)):
            i = (first + turn) % len(calls)
            measuring.settle()
            calls[i]()
            samples[i].append(_seconds(calls[i], counts[i]))
    return samples


def ratio(times: Sequence[float], others: Sequence[float]) -> float:
    """Return how many times as long one thing takes as another: the median over the rounds."""
    return median(time / other for time, other in zip(times, others, strict=True))


def measure_rungs(workload: Workload, torch: Any) -> Section:
    """Measure the rungs of a workload's operation, as ``hotloops ladder`` does.

    Peers get one thread: in one process with others, pools of threads would disturb each other.
    """
    threads = hotloops.get_num_threads()
    effort, limits = measuring.QUICK, peers.ThreadLimits(torch)
    climbed, missing = rungs_for(workload)
    contestants = [
        *(("rung", rung, threads if rung.threaded else 1) for rung in climbed),
        *peers.with_threads(peers.peers(workload.op, torch), 1),
    ]
    trials: list[measuring.Trial] = [
        measuring.RungTrial(kind, rung, count, workload, effort, limits)  # type: ignore[arg-type]
        for kind, rung, count in contestants
    ]
    trials += measuring.peak_trials(workload, climbed, sorted({1, threads}), effort)
    with neighbours_noted():
        for _ in measuring.take_turns(trials, effort.rounds):
            pass
    return report.make_section(workload, trials, missing)


@contextmanager
def neighbours_noted() -> Iterator[None]:
    """Print how busy other programs kept the CPUs while something was measured, if they did."""
    start, neighbours = time.perf_counter(), Neighbours()
    yield
    available = (time.perf_counter() - start) * (os.cpu_count() or 1)
    part = (neighbours.seconds() or 0.0) / available
    if part > 0.05:
        print(
            f"Meanwhile other programs kept the CPUs {part:.0%} busy. Do not believe what was "
            "measured with several threads: it waits for a thread that has no CPU."
        )


def table(headings: Iterable[str], rows: Iterable[Iterable[Any]]) -> Markdown:
    """Return a table; numbers to the right, with three digits."""
    cells = [[_cell(value) for value in row] for row in rows]
    headings = list(headings)
    right = [all(_is_number(text) for text in column) for column in zip(*cells, strict=True)]
    lines = [headings, ["--:" if number else "---" for number in right], *cells]
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))


def _seconds(call: Callable[[], Any], count: int) -> float:
    start = time.perf_counter()
    for _ in itertools.repeat(None, count):
        call()
    return (time.perf_counter() - start) / count


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return str(value).replace("|", r"\|")


def _is_number(text: str) -> bool:
    try:
        float(text.rstrip("x%").replace(",", ""))
    except ValueError:
        return not text
    return True
