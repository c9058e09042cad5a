"""Compare hotloops' elementwise operations and einsum with NumPy, torch, numexpr and numba.

Run it as ``python bench/elementwise.py``. As in `peers.py`, each library lives in a process of its
own, the processes take turns, results are checked before they are timed, and a figure is the median
over rounds of (its time / hotloops' time in the same round): above 1 hotloops is faster.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import multiprocessing
import statistics
import sys
import timeit
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import machine
from harness.libraries import Loaded
from harness.report import Table, duration
from harness.turns import THREAD_VARIABLES, environment
from harness.worker import Estimate, Refused, Take, Taken, Worker
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection

LIBRARIES = ("hotloops", "by hand", "numpy", "torch", "numexpr", "numba")

# No peer, and not part of the ratio: what einsum does, as calls of hotloops that a person would
# write instead. In hotloops' own process and on the same operands: where arrays lie in memory makes
# more of a difference than there is between the two.
BY_HAND = "by hand"

SETUP = {
    "hotloops": "import hotloops as hl",
    BY_HAND: "import hotloops as hl; ones = np.ones(a.shape[-1], a.dtype)",
    "numpy": "",
    "torch": "import torch; torch.set_num_threads(threads); {tensors}",
    "numexpr": "import numexpr as ne; ne.set_num_threads(threads)",
    "numba": """
import numba; numba.set_num_threads(threads)
loops = numba.njit(parallel=threads > 1)
@loops
def multiply(a, b, out):
    for i in numba.prange(a.shape[0]):
        for j in range(a.shape[1]):
            out[i, j] = a[i, j] * b[i, j]
@loops
def relu(a, out):
    for i in numba.prange(a.shape[0]):
        for j in range(a.shape[1]):
            out[i, j] = max(a[i, j], 0)
@loops
def where(c, a, b):
    out = np.empty_like(a)
    for i in numba.prange(a.shape[0]):
        for j in range(a.shape[1]):
            out[i, j] = a[i, j] if c[i, j] else b[i, j]
    return out
@loops
def where_greater(a, b):
    out = np.empty_like(a)
    for i in numba.prange(a.shape[0]):
        for j in range(a.shape[1]):
            out[i, j] = a[i, j] if a[i, j] > b[i, j] else b[i, j]
    return out
@loops
def all_greater(a, b):
    rows = np.ones(a.shape[0], np.bool_)
    for i in numba.prange(a.shape[0]):
        for j in range(a.shape[1]):
            if not a[i, j] > b[i, j]:
                rows[i] = False
                break
    return rows.all()
""",
}
"""What a person does once. `{tensors}` becomes tensors on the memory of the operands."""


@dataclass(frozen=True)
class Case:
    """An operation: how its operands are made, what each library is told, and what is read.

    Attributes
    ----------
    name : str
    operands : str
        Statements that make arrays, with `rng`.
    code : dict
        The expression that is timed, by library.
    arrays : int
        How many arrays as large as the first one are read or written; 0 where arithmetic counts.
    group : str
        What ``--groups`` chooses by.
    """

    name: str
    operands: str
    code: dict[str, str]
    arrays: int = 0
    group: str = "large"
    names: tuple[str, ...] = field(default=("a", "b", "c", "out"))


LARGE = "a, b = rng.random((10, 5_000_000)), rng.random((10, 5_000_000))"


def _einsum(subscripts: str, by_hand: str, *shapes: tuple[int, ...]) -> Case:
    names = "abcd"[: len(shapes)]
    arguments = ", ".join(names)
    return Case(
        f"einsum {subscripts} {'x'.join(map(str, shapes[0]))}",
        "; ".join(
            f"{name} = rng.random({shape}, dtype='f4')"
            for name, shape in zip(names, shapes, strict=True)
        ),
        {
            "hotloops": f"hl.einsum({subscripts!r}, {arguments})",
            BY_HAND: by_hand,
            "numpy": f"np.einsum({subscripts!r}, {arguments}, optimize=True)",
            "torch": f"torch.einsum({subscripts!r}, {arguments})",
        },
        group="einsum",
        names=tuple(names),
    )


def _small(name: str, hotloops: str, numpy: str, torch: str) -> Case:
    operands = "a, b = rng.random((4, 4)), rng.random((4, 4)); c = a > b; out = np.ones((4, 4))"
    return Case(name, operands, {"hotloops": hotloops, "numpy": numpy, "torch": torch}, 0, "4x4")


CASES = [
    Case(
        "multiply out=",
        LARGE + "; out = np.ones_like(a)",
        {
            "hotloops": "hl.multiply(a, b, out=out)",
            "numpy": "np.multiply(a, b, out=out)",
            "torch": "torch.mul(a, b, out=out)",
            "numexpr": "ne.evaluate('a * b', {'a': a, 'b': b}, out=out)",
            "numba": "multiply(a, b, out)",
        },
        3,
    ),
    Case(
        "multiply",
        LARGE,
        {"hotloops": "hl.multiply(a, b)", "numpy": "np.multiply(a, b)", "torch": "torch.mul(a, b)"},
        3,
    ),
    Case(
        "relu out=",
        "a = rng.random((5000, 5000)) - 0.5; out = np.ones_like(a)",
        {
            "hotloops": "hl.relu(a, out=out)",
            "numpy": "np.maximum(a, 0, out=out)",
            "torch": "torch.clamp_min(a, 0, out=out)",
            "numexpr": "ne.evaluate('where(a > 0, a, 0)', {'a': a}, out=out)",
            "numba": "relu(a, out)",
        },
        2,
    ),
    Case(
        "where",
        LARGE + "; c = a > 0.5",
        {
            "hotloops": "hl.where(c, a, b)",
            "numpy": "np.where(c, a, b)",
            "torch": "torch.where(c, a, b)",
            "numexpr": "ne.evaluate('where(c, a, b)', {'a': a, 'b': b, 'c': c})",
            "numba": "where(c, a, b)",
        },
        3,
    ),
    Case(
        "where_greater",
        LARGE,
        {
            "hotloops": "hl.where_greater(a, b, a, b)",
            "numpy": "np.where(a > b, a, b)",
            "torch": "torch.where(a > b, a, b)",
            "numexpr": "ne.evaluate('where(a > b, a, b)', {'a': a, 'b': b})",
            "numba": "where_greater(a, b)",
        },
        3,
    ),
    Case(
        "all_greater, true",
        LARGE + "; b += 1",
        {
            "hotloops": "hl.all_greater(b, a)",
            "numpy": "bool((a < b).all())",
            "torch": "bool((a < b).all())",
            "numba": "all_greater(b, a)",
        },
        2,
    ),
    Case(
        "all_greater, decided early",
        LARGE,
        {
            "hotloops": "hl.all_greater(b, a)",
            "numpy": "bool((a < b).all())",
            "torch": "bool((a < b).all())",
            "numba": "all_greater(b, a)",
        },
    ),
    Case(
        "add a vector to each row of three",
        "a, b = rng.random((2_000_000, 3)), rng.random(3); out = np.ones_like(a)",
        {
            "hotloops": "hl.add(a, b, out=out)",
            "numpy": "np.add(a, b, out=out)",
            "torch": "torch.add(a, b, out=out)",
        },
        2,
        "views",
    ),
    Case(
        "add the transposed",
        "a, b = rng.random((3000, 3000)), rng.random((3000, 3000)).T; out = np.ones_like(a)",
        {
            "hotloops": "hl.add(a, b, out=out)",
            "numpy": "np.add(a, b, out=out)",
            "torch": "torch.add(a, b, out=out)",
        },
        3,
        "views",
    ),
    _small("4x4 multiply", "hl.multiply(a, b)", "np.multiply(a, b)", "torch.mul(a, b)"),
    _small(
        "4x4 multiply out=",
        *(f"{f}(a, b, out=out)" for f in ("hl.multiply", "np.multiply", "torch.mul")),
    ),
    _small("4x4 by a number", "hl.multiply(a, 2.5)", "np.multiply(a, 2.5)", "torch.mul(a, 2.5)"),
    _small("4x4 greater", "hl.greater(a, b)", "np.greater(a, b)", "torch.gt(a, b)"),
    _small("4x4 where", "hl.where(c, a, b)", "np.where(c, a, b)", "torch.where(c, a, b)"),
    _small("4x4 all_greater", "hl.all_greater(a, b)", "bool((a > b).all())", "bool((a > b).all())"),
    *(
        _einsum(*case)
        for n in (64, 512)
        for case in (
            ("ik,kj->ij", "hl.matmul(a, b)", (n, n), (n, n)),
            ("ij,jk->ik", "hl.matmul(a, b)", (n, 2 * n), (2 * n, n)),
            ("bik,bkj->bij", "hl.matmul(a, b)", (16, n, n), (16, n, n)),
            ("i,ij->i", "hl.multiply(a, hl.matmul(b, ones))", (n,), (n, n)),
            ("ij,ij->", "hl.matmul(a.reshape(-1), b.reshape(-1))", (n, n), (n, n)),
            ("ik,kj->j", "hl.matmul(hl.matmul(ones, a), b)", (n, n), (n, n)),
            ("bhqd,bhkd->bhqk", "hl.matmul(a, b.swapaxes(2, 3))", (4, 8, n, 64), (4, 8, n, 64)),
            ("ij,jk,kl->il", "hl.matmul(a, hl.matmul(b, c))", (n, n // 2), (n // 2, n), (n, n)),
            ("i,ij,j->", "hl.matmul(a, hl.matmul(b, c))", (n,), (n, n), (n,)),
        )
    ),
]


# ---- A worker: one library in one process --------------------------------------------------------


WRONG = "its result is wrong"


class StatementWorker(Worker):
    """Times the expression of a `Case`; all else of a worker is the harness'."""

    def prepare(self, case: Case, operands: dict[str, Any]) -> str | None:
        """Check the result; returns why the case cannot be timed."""
        names = {**operands, "threads": self._threads}
        reference = eval(case.code["numpy"], names)
        reference = np.array(reference)  # of its own: others may write to the same `out`
        tensors = "; ".join(f"{x} = torch.from_numpy({x})" for x in case.names if x in names)
        exec(SETUP[self._name].format(tensors=tensors), names)
        result = eval(case.code[self._name], names)
        result = names["out"] if result is None else result
        tolerance = 1e-4 if case.group == "einsum" else 0
        if not np.allclose(np.asarray(result), reference, rtol=tolerance, atol=0):
            return WRONG
        self._timer, self._seconds = (
            timeit.Timer(case.code[self._name], globals=names),
            float("inf"),
        )
        self._settle()
        return None


def operands_of(case: Case) -> dict[str, Any]:
    """Return the names that a case's code knows."""
    names: dict[str, Any] = {"np": np, "rng": np.random.default_rng(1)}
    exec(case.operands, names)
    return names


def serve(connection: Connection, library: str, threads: int) -> None:
    """Answer with seconds a call, or in words why there are none, until None comes.

    A request names the contestant that it is for.
    """
    try:
        module = importlib.import_module(library)
    except ImportError as error:
        connection.send(str(error))
        return
    connection.send(None)
    loaded = Loaded(library=module, version="")  # type: ignore[arg-type]  # no adapter is needed
    contestants = {
        name: StatementWorker(name, loaded, threads)
        for name in (library, *([BY_HAND] if library == "hotloops" else []))
    }
    made_for, operands = None, {}
    while (message := connection.recv()) is not None:
        name, request = message
        if isinstance(request, Case):
            if request != made_for:
                made_for, operands = request, operands_of(request)
            connection.send(contestants[name].prepare(request, operands))
            continue
        reply = contestants[name].answer(request)
        assert isinstance(reply, (Taken, Refused))
        connection.send(reply.value if isinstance(reply, Taken) else reply.reason)


@contextlib.contextmanager
def workers(threads: int) -> Iterator[dict[str, Connection]]:
    """Start a process for each library that is installed, and end them."""
    context = multiprocessing.get_context("spawn")
    connections, processes = {}, []
    with environment(dict.fromkeys(THREAD_VARIABLES, str(threads))):
        for library in LIBRARIES:
            if library == BY_HAND:
                continue
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, library, threads), daemon=True)
            process.start()
            processes.append(process)
            if ours.recv() is None:
                connections[library] = ours
    try:
        yield connections | {BY_HAND: connections["hotloops"]}
    finally:
        for connection in connections.values():
            connection.send(None)
        for process in processes:
            process.join()


def measure(
    connections: dict[str, Connection], case: Case, rounds: int
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Return the seconds of each library, a round after the other, and who was refused for what."""
    samples: dict[str, list[float]] = {}
    refusals: dict[str, str] = {}

    def ask(library: str, request: Any) -> Any:
        connections[library].send((library, request))
        return connections[library].recv()

    for library in case.code:
        if library not in connections:
            continue
        problem = ask(library, case)
        if problem is None:
            samples[library] = []
            ask(library, Estimate())
        else:
            refusals[library] = problem
    for turn in range(rounds):
        order = list(samples)
        for library in order[turn % len(order) :] + order[: turn % len(order)]:
            samples[library].append(ask(library, Take(2e-3)))
    return samples, refusals


def row(case: Case, samples: dict[str, list[float]]) -> list[str]:
    """Format a case: hotloops' time and rate, and the others' ratios to it."""
    ours = samples["hotloops"]
    rate = ""
    if case.arrays:
        moved = case.arrays * operands_of(case)["a"].nbytes
        rate = f"{moved / statistics.median(ours) / 1e9:.1f} GB/s"
    ratios = {
        library: statistics.median(t / own for t, own in zip(times, ours, strict=True))
        for library, times in samples.items()
        if library != "hotloops"
    }
    return [
        case.name,
        f"{min(ratio for library, ratio in ratios.items() if library != BY_HAND):.2f}",
        *(f"{ratios[x]:.2f}" if x in ratios else "" for x in LIBRARIES[1:]),
        duration(statistics.median(ours)),
        rate,
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 if hotloops could not compute a case or anyone gave a wrong result."""
    groups = list(dict.fromkeys(case.group for case in CASES))
    parser = argparse.ArgumentParser(prog="elementwise.py", description=__doc__)
    default = sorted({1, min(2, machine.usable_cpus())})
    parser.add_argument("--threads", nargs="+", type=int, default=default, metavar="N")
    parser.add_argument("--groups", nargs="+", choices=groups, default=groups)
    parser.add_argument("--cases", metavar="TEXT", default="", help="those with this in their name")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(machine.describe())
    failures = []
    for threads in options.threads:
        table = Table(
            f"Best peer / hotloops: {threads} thread{'s' if threads > 1 else ''}",
            ("case", "ratio", *LIBRARIES[1:], "hotloops", "rate"),
        )
        with workers(threads) as connections:
            for case in CASES:
                if case.group not in options.groups or options.cases not in case.name:
                    continue
                samples, refusals = measure(connections, case, options.rounds)
                for library, problem in refusals.items():
                    refusal = f"{case.name}: {library}: {problem}"
                    console.print(refusal)
                    if library == "hotloops" or problem == WRONG:
                        failures.append(f"{refusal}, on {threads} threads")
                if "hotloops" in samples:
                    table.rows.append(row(case, samples))
        table.print(console)
    for failure in failures:  # last, where no table hides them
        console.print(f"FAILED: {failure}")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
