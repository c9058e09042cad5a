"""The coordinator: who computes when.

Each contestant, a library with a number of threads, has a process of its own. They take
turns: in every round each of them times the same case once, in an order that rotates from
round to round, while all others sleep. What drifts on the machine then drifts for all of
them, and a ratio of two times of one round is worth more than either time.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness import worker
from harness.worker import (
    REPEATS,
    Estimate,
    MeasurePeak,
    Prepare,
    Prepared,
    Ready,
    Refused,
    Reply,
    Request,
    Take,
    Taken,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from harness.cases import Case

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""How a user gives libraries a number of threads. Nothing else of their set-up is touched."""

PATIENCE = 300.0
"""Seconds after which a silent worker is ended."""

MOST_CRASHES = 3
"""A library whose worker died so often is not started again."""

FEWEST_ROUNDS = 3


@dataclass(frozen=True)
class Contestant:
    """A library with a number of threads."""

    library: str
    threads: int

    def __str__(self) -> str:
        """Write it as the reports do."""
        return f"{self.library} ({self.threads} thread{'s' if self.threads > 1 else ''})"


@dataclass(frozen=True)
class Plan:
    """How long to measure.

    Attributes
    ----------
    rounds : int
        Turns of each contestant.
    sample_seconds : float
        Short calls are repeated for so long in each sample.
    case_seconds : float
        A case that would take longer gets fewer rounds, at least `FEWEST_ROUNDS`.
    """

    rounds: int = 9
    sample_seconds: float = 2e-3
    case_seconds: float = 3.0

    def rounds_for(self, calls: Sequence[float]) -> int:
        """Choose the number of rounds for contestants whose calls take so long."""
        if not calls:
            return 0
        one_round = sum(max(seconds, REPEATS * self.sample_seconds) for seconds in calls)
        affordable = int(self.case_seconds / one_round)
        return min(self.rounds, max(affordable, FEWEST_ROUNDS))


@dataclass
class Measurement:
    """A case as measured.

    Attributes
    ----------
    samples : dict
        Seconds per call of each contestant that took part, one per round.
    peak : list of float
        FLOP/s of the machine's multiply-add or tile peak on the subject's threads, one per round;
        empty where it was not measured.
    prepared : dict
        The statement and the accuracy of each.
    refusals : dict
        Why the others took no part.
    restless : int
        Turns after which a pool did not stop spinning.
    """

    case: Case
    dtype: str
    subject: Contestant
    samples: dict[Contestant, list[float]] = field(default_factory=dict)
    peak: list[float] = field(default_factory=list)
    prepared: dict[Contestant, Prepared] = field(default_factory=dict)
    refusals: dict[Contestant, Refused] = field(default_factory=dict)
    restless: int = 0


@contextlib.contextmanager
def environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Change the environment that a process started meanwhile inherits."""
    saved = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in saved.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class WorkerProcess:
    """A contestant's process, seen from the coordinator; its first answer is its greeting."""

    def __init__(self, contestant: Contestant) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection: Connection
        self._connection, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(
            target=worker.serve, args=(theirs, contestant.library, contestant.threads), daemon=True
        )
        with environment(dict.fromkeys(THREAD_VARIABLES, str(contestant.threads))):
            self._process.start()
        theirs.close()

    def send(self, request: Request | None) -> None:
        """Send a request; that the process has died shows when its answer is received."""
        with contextlib.suppress(ConnectionError):
            self._connection.send(request)

    def receive(self) -> Reply:
        """Wait for an answer; a dead or silent process is a refusal."""
        try:
            if not self._connection.poll(PATIENCE):
                self._process.kill()
                return Refused("crashed", f"no answer in {PATIENCE:.0f} s")
            reply: Reply = self._connection.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            code = self._process.exitcode or 0
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            return Refused("crashed", f"the worker ended: {how}")
        return reply

    def close(self) -> None:
        """End the process."""
        self.send(None)
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._connection.close()


class Workers:
    """The workers of a run, started when first needed; a context manager that ends them.

    Attributes
    ----------
    versions : dict
        Version of each library that was loaded.
    details : dict
        What else the workers told of themselves.
    missing : dict
        Contestants that cannot or can no longer take part, and why.
    """

    def __init__(self) -> None:
        self._processes: dict[Contestant, WorkerProcess] = {}
        self._crashes: Counter[Contestant] = Counter()
        self.versions: dict[str, str] = {}
        self.details: dict[str, str] = {}
        self.missing: dict[Contestant, Refused] = {}

    def close(self) -> None:
        """End all of them."""
        for process in self._processes.values():
            process.close()
        self._processes.clear()

    def start(self, contestants: Iterable[Contestant]) -> None:
        """Start the workers that do not run yet, all at once: importing takes long."""
        new = [
            contestant
            for contestant in contestants
            if contestant not in self._processes and contestant not in self.missing
        ]
        self._processes |= {contestant: WorkerProcess(contestant) for contestant in new}
        for contestant in new:
            greeting = self._receive(contestant)
            if isinstance(greeting, Ready):
                self.versions[contestant.library] = greeting.version
                self.details |= greeting.details
            elif isinstance(greeting, Refused) and greeting.kind == "missing":
                self._processes.pop(contestant).close()
                self.missing[contestant] = greeting

    def ask(self, contestants: Iterable[Contestant], request: Request) -> dict[Contestant, Reply]:
        """Ask contestants to do the same at the same time, and wait for all of them."""
        asked = list(contestants)
        self.start(asked)
        for contestant in asked:
            if contestant in self._processes:
                self._processes[contestant].send(request)
        return {contestant: self._receive(contestant) for contestant in asked}

    def _receive(self, contestant: Contestant) -> Reply:
        if contestant in self.missing:
            return self.missing[contestant]
        if contestant not in self._processes:
            return Refused("crashed", "the worker ended as it started")
        reply = self._processes[contestant].receive()
        if isinstance(reply, Refused) and reply.kind == "crashed":
            self._processes.pop(contestant).close()
            self._crashes[contestant] += 1
            if self._crashes[contestant] >= MOST_CRASHES:
                self.missing[contestant] = reply
        return reply


def measure(
    workers: Workers,
    case: Case,
    dtype: str,
    subject: Contestant,
    others: Sequence[Contestant],
    plan: Plan,
) -> Measurement:
    """Measure a case in turns.

    Parameters
    ----------
    workers : Workers
    case : Case
    dtype : str
    subject : Contestant
        Whom the others are compared with.
    others : sequence of Contestant
    plan : Plan

    Returns
    -------
    Measurement
        Without samples of contestants that could not compute the case, computed it wrongly
        or crashed.
    """
    measurement = Measurement(case, dtype, subject)
    samples, refusals = measurement.samples, measurement.refusals
    for contestant, reply in workers.ask((subject, *others), Prepare(case, dtype)).items():
        if isinstance(reply, Prepared):
            measurement.prepared[contestant] = reply
            samples[contestant] = []
        elif isinstance(reply, Refused):
            refusals[contestant] = reply

    def take_turn(contestant: Contestant, request: Request) -> float | None:
        reply = workers.ask([contestant], request)[contestant]
        if isinstance(reply, Taken):
            measurement.restless += not reply.settled
            return reply.value
        assert isinstance(reply, Refused)
        refusals[contestant] = reply
        samples.pop(contestant, None)
        return None

    estimates = [take_turn(contestant, Estimate()) for contestant in list(samples)]
    rounds = plan.rounds_for([seconds for seconds in estimates if seconds is not None])
    with_peak = subject.library == "hotloops" and case.unit == "FLOP"
    for turn in range(rounds):
        order = deque(samples)
        order.rotate(-turn)
        for contestant in order:
            seconds = take_turn(contestant, Take(plan.sample_seconds))
            if seconds is not None:
                samples[contestant].append(seconds)
        if with_peak and subject in samples:
            peak = take_turn(subject, MeasurePeak(case, dtype, plan.sample_seconds))
            if peak:
                measurement.peak.append(peak)
    return measurement
