"""The command ``python -m hotloops ladder``: arguments, progress, files."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import hotloops
from hotloops.ladder import rungs
from hotloops.ladder.workloads import OPS, workloads

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from hotloops.ladder.measuring import Kind
    from hotloops.ladder.report import Section
    from hotloops.ladder.rung import Rung
    from hotloops.ladder.workloads import Workload

EXTRA = {"rich": "rich", "matplotlib": "matplotlib", "sklearn": "scikit-learn"}
LARGEST_SIZE = 8192
MOST_THREADS = 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to a parser."""
    parser.add_argument(
        "--quick", action="store_true", help="smaller problems and fewer rounds: some seconds"
    )
    parser.add_argument(
        "--op", action="append", choices=OPS, help="only this operation (may be repeated)"
    )
    parser.add_argument(
        "--sizes",
        nargs="+",
        type=_number_to(LARGEST_SIZE),
        metavar="N",
        help="sides of the square products (default: 256 1024; quick: 128)",
    )
    parser.add_argument(
        "--threads",
        type=_number_to(MOST_THREADS),
        metavar="N",
        help="threads to use (default: as hotloops does by itself)",
    )
    parser.add_argument(
        "--dtype",
        choices=["float32", "float64"],
        default="float32",
        help="of matmul and dense (default: float32); relu is measured on float64",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("ladder-output"),
        metavar="DIR",
        help="where to write ladder.json and the plots (default: ladder-output)",
    )
    parser.add_argument(
        "--update",
        type=Path,
        metavar="FILE",
        help="rewrite the tables between <!-- ladder:begin --> and <!-- ladder:end --> in FILE",
    )


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run the ladder; return the exit status."""
    missing = [package for module, package in EXTRA.items() if not _is_importable(module)]
    if missing:
        print(
            f'hotloops ladder needs {", ".join(missing)}: pip install "hotloops[bench]"',
            file=sys.stderr,
        )
        return 1
    from rich.console import Console

    from hotloops.ladder import plots, report, tables

    if arguments.output.exists() and not arguments.output.is_dir():
        parser.error(f"--output: {arguments.output} is not a directory")
    if arguments.update is not None:
        if not arguments.update.is_file():
            parser.error(f"--update: there is no file {arguments.update}")
        if not tables.has_markers(arguments.update.read_text()):
            parser.error(
                f"--update: {arguments.update} must have {tables.BEGIN} and then {tables.END}, once"
            )
    try:
        arguments.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--output: {error}")

    console = Console()
    threads = arguments.threads or hotloops.get_num_threads()
    description = report.describe_run(threads, quick=arguments.quick)
    console.print(report.summary(description), style="dim", highlight=False)
    sections = measure(arguments, threads, console)
    report.write_json(arguments.output / "ladder.json", description, sections)
    written = plots.write_plots(arguments.output, description, sections)
    written.insert(0, arguments.output / "ladder.json")
    if arguments.update is not None:
        tables.update_file(arguments.update, tables.markdown(description, sections))
        written.append(arguments.update)
    for path in written:
        console.print(f"wrote {path}", style="dim", markup=False, highlight=False, soft_wrap=True)
    return 0


def measure(arguments: argparse.Namespace, threads: int, console: Console) -> list[Section]:
    """Measure one workload after the other; show the table of each as it fills."""
    from hotloops.ladder import measuring, peers, report, tables

    torch = peers.find_torch()
    limits = peers.ThreadLimits(torch)
    effort = measuring.QUICK if arguments.quick else measuring.FULL
    sizes = arguments.sizes or ([128] if arguments.quick else [256, 1024])
    ops = [op for op in OPS if arguments.op is None or op in arguments.op]
    sections = []
    for workload in workloads(ops, sizes, np.dtype(arguments.dtype), quick=arguments.quick):
        climbed, missing = rungs_for(workload)
        contestants: list[tuple[Kind, Rung, int]] = [
            *(("rung", rung, threads if rung.threaded else 1) for rung in climbed),
            *peers.with_threads(peers.peers(workload.op, torch), threads),
        ]
        peaks = measuring.peak_trials(workload, climbed, sorted({1, threads}), effort)
        turns = (len(contestants) + len(peaks)) * effort.rounds
        with tables.live_table(console, len(contestants) + turns) as show:
            trials: list[measuring.Trial] = []
            for kind, rung, limit in contestants:
                show(None, f"checking {rung.name}")
                trials.append(measuring.RungTrial(kind, rung, limit, workload, effort, limits))
            trials += peaks
            for trial in measuring.take_turns(trials, effort.rounds):
                show(report.make_section(workload, trials, missing), f"measured {trial.name}")
        sections.append(report.make_section(workload, trials, missing))
        console.print(tables.terminal_table(sections[-1], console.width))
    return sections


def rungs_for(workload: Workload) -> tuple[list[Rung], str]:
    """Return the rungs that a workload can climb here, and a sentence on those that are missing."""
    found = list(rungs(workload.op))
    if workload.op != "matmul":
        return found, ""
    on_vectors = [rung for rung in found if not rung.tile_products]
    if workload.dtype != np.float32:
        return on_vectors, f"There are no rungs on AMX tiles for {workload.dtype}."
    if found == on_vectors:
        return found, "The rungs on AMX tiles are missing: this machine has no usable ones."
    return found, ""


def _is_importable(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def _number_to(largest: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from 1 to `largest`."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text) <= largest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {largest}")
        return int(text)

    return parse
