"""Compare hotloops with NumPy, torch and others, shape class by shape class.

Run it as ``python bench/peers.py``; ``bench/README.md`` says how to read what it prints.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from dataclasses import dataclass
from pathlib import Path

try:
    import matplotlib as _matplotlib  # noqa: F401
    import ml_dtypes as _ml_dtypes  # noqa: F401
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
except ImportError as error:
    sys.exit(f"{error.name} is missing: pip install 'hotloops[bench,test]'")

from typing import TYPE_CHECKING

from harness import machine, plots, report
from harness.classes import SCALING, SHAPE_CLASSES, catalogue
from harness.figures import figure
from harness.libraries import LIBRARIES
from harness.turns import Contestant, Measurement, Plan, Workers, measure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.cases import Case

PLAIN_WIDTH = 160
"""Columns of the tables where there is no terminal to ask."""

DEFAULT_OUTPUT = Path("bench-output")


@dataclass(frozen=True)
class Task:
    """A case to be measured: with what and who."""

    case: Case
    dtype: str
    subject: Contestant
    others: tuple[Contestant, ...]


def tasks(
    cases: Sequence[Case],
    dtypes: Sequence[str],
    threads: Sequence[int],
    subject: str,
    others: Sequence[str],
) -> Iterator[Task]:
    """List what is to be measured, one number of threads after the other."""
    for count in threads:
        peers = tuple(Contestant(name, count) for name in others)
        one_thread = (Contestant(subject, 1),)
        for dtype in dtypes:
            for case in cases:
                if case.dtype is not None:
                    continue
                if case.shape_class != SCALING:
                    yield Task(case, dtype, Contestant(subject, count), peers)
                elif count > 1:
                    yield Task(case, dtype, Contestant(subject, count), one_thread)
        for case in cases:
            if case.dtype is not None:
                yield Task(case, case.dtype, Contestant(subject, count), peers)


def run_tasks(
    workers: Workers, todo: Sequence[Task], plan: Plan, console: Console
) -> list[Measurement]:
    """Measure, showing progress between the cases only: drawing must not disturb a timing."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    measurements = []
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        bar = progress.add_task("", total=len(todo))
        for task in todo:
            case = task.case
            text = f"{task.subject.threads}T {task.dtype} {case.shape_class}: {case.name}"
            progress.update(bar, description=text, refresh=True)
            measurements.append(measure(workers, case, task.dtype, task.subject, task.others, plan))
            progress.advance(bar)
        progress.update(bar, description="done", refresh=True)
    return measurements


def failed(measurements: Sequence[Measurement]) -> Iterator[str]:
    """Say what fails a run: wrong results of anyone, and cases that the subject could not compute.

    The subject is also measured against itself, on another number of threads.
    """
    for m in measurements:
        for contestant, refusal in m.refusals.items():
            if refusal.kind == "wrong" or contestant.library == m.subject.library:
                yield (
                    f"{contestant.library} on {contestant.threads} threads, {m.dtype} "
                    f"{m.case.shape_class}: {m.case.name}: {refusal.kind}: {refusal.reason}"
                )


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    classes = "\n".join(f"  {name:<11} {group.about}" for name, group in SHAPE_CLASSES.items())
    parser = argparse.ArgumentParser(
        prog="peers.py",
        description="Compare hotloops with NumPy, torch and others, shape class by shape class.",
        epilog=f"classes:\n{classes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--classes", nargs="+", choices=SHAPE_CLASSES, default=list(SHAPE_CLASSES), metavar="CLASS")
    add(
        "--threads",
        nargs="+",
        type=int,
        default=sorted({1, min(2, machine.usable_cpus())}),
        metavar="N",
    )
    add(
        "--dtypes",
        nargs="+",
        choices=("float32", "float64"),
        default=["float32", "float64"],
        help="of the cases that have none of their own (default: both)",
    )
    add("--rounds", type=int, help="turns of each library (default: 9; with --quick 5)")
    add("--libraries", nargs="+", choices=LIBRARIES, default=list(LIBRARIES))
    add("--subject", choices=LIBRARIES, default="hotloops", help="whom to compare with the rest")
    add("--quick", action="store_true", help="two or three cases a class, under a minute")
    add("--output", type=Path, default=DEFAULT_OUTPUT, metavar="DIR", help="default: %(default)s")
    options = parser.parse_args(arguments)
    if min(options.threads) < 1:
        parser.error("--threads: at least 1")
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds: at least 1")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    Returns
    -------
    int
        1 if the subject is missing or could not compute a case, or if any library gave a wrong
        result, whatever it is compared as; else 0.
    """
    options = parse(arguments)
    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_WIDTH)
    subject: str = options.subject
    if options.quick:
        plan = Plan(rounds=options.rounds or 5, sample_seconds=1e-3, case_seconds=0.4)
    else:
        plan = Plan(rounds=options.rounds or Plan.rounds)
    others = [name for name in options.libraries if name != subject]
    threads = list(dict.fromkeys(options.threads))
    cases = catalogue(options.classes, quick=options.quick)
    todo = list(tasks(cases, options.dtypes, threads, subject, others))

    start, neighbours = time.perf_counter(), machine.Neighbours()
    with contextlib.closing(Workers()) as workers:
        first = Contestant(subject, threads[0])
        workers.start([first])
        if first in workers.missing:
            console.print(f"{subject} cannot be measured ({workers.missing[first].reason})")
            return 1
        measurements = run_tasks(workers, todo, plan, console)

    missing = {
        item.library: f"{refusal.kind}: {refusal.reason}"
        for item, refusal in workers.missing.items()
        if refusal.kind == "missing"
    }
    figures = [item for item in map(figure, measurements) if item is not None]
    run = report.Run(
        subject,
        machine.describe(),
        plan,
        workers.versions,
        workers.details,
        missing,
        time.perf_counter() - start,
        neighbours.seconds(),
        measurements,
        figures,
    )
    console.print(report.heading(run))
    for table in report.terminal_tables(run):
        table.print(console)
    output: Path = options.output
    output.mkdir(parents=True, exist_ok=True)
    report.write_json(run, output / "peers.json")
    report.write_markdown(run, output / "peers.md")
    written = [output / "peers.json", output / "peers.md"]
    written += plots.plot_ratios(figures, run.machine, output)
    console.print("Written: " + ", ".join(map(str, written)), soft_wrap=True)

    failures = list(failed(measurements))
    for failure in failures:  # last, where no table hides them
        console.print(f"FAILED: {failure}", soft_wrap=True, markup=False, highlight=False)
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
