"""Trials that take turns.

Machines are shared and their clocks drift. So nothing is measured on its own: in every round each
trial (rung, peer or measured peak) takes its turn, and what is reported is the median over rounds.
What slows one round down slows all of them, and hardly moves the ratios.
"""

from __future__ import annotations

import time
import timeit
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from hotloops import _core
from hotloops._settings import use_isa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hotloops.ladder.peers import ThreadLimits
    from hotloops.ladder.rung import Rung
    from hotloops.ladder.workloads import Workload

Kind = Literal["rung", "peer", "peak"]

FMA_PEAK = "peak of FMA"
TILE_PEAK = "peak of tiles"
MEMORY_PEAK = "peak of memory"


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes
    ----------
    rounds : int
        How often every trial takes its turn.
    shortest, longest : float
        Seconds that a turn takes about: a fast call is repeated, a slow one gets fewer rows.
    """

    rounds: int
    shortest: float
    longest: float


FULL = Effort(rounds=7, shortest=0.03, longest=0.25)
QUICK = Effort(rounds=3, shortest=0.005, longest=0.03)


def settle(step: float = 0.005, longest: float = 0.5) -> None:
    """Wait until no thread of this process computes, or for `longest` seconds.

    After a call, the threads of a pool look for more work for a while, up to a tenth of a second,
    and would keep a core from whoever has the next turn.
    """
    for _ in range(round(longest / step)):
        before = time.process_time()
        time.sleep(step)
        if time.process_time() - before < step / 4:
            return


class Trial(Protocol):
    """Something that takes turns; `peak` names the peak that `peak_work` times its rate nears."""

    name: str
    kind: Kind
    threads: int
    rates: list[float]
    peak: str
    peak_work: int

    def take_turn(self) -> None:
        """Measure once; add a rate, in FLOP/s or bytes/s."""


@dataclass
class RungTrial:
    """A rung or peer on one workload, checked before it is timed."""

    kind: Kind
    rung: Rung
    threads: int
    workload: Workload
    effort: Effort
    limits: ThreadLimits
    rates: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Find out how many rows, and how many calls, make a turn; check the result."""
        self.name = self.rung.name
        vector_peak = MEMORY_PEAK if self.workload.op == "relu" else FMA_PEAK
        self.peak = TILE_PEAK if self.rung.tile_products else vector_peak
        self.peak_work = max(self.rung.tile_products, 1)
        self.rows = 1
        while True:
            self._operands = self.rung.prepare(*self.workload.first_rows(self.rows))
            with self.limits(self.threads):
                seconds, result = self._time(calls=1)
                if seconds > self.effort.longest / 2:  # slow, or only slow to start?
                    seconds, result = self._time(calls=1)
            if self.rows == self.workload.rows or seconds > self.effort.longest / 2:
                break
            growth = min(max(self.effort.longest / seconds, 2), 16)
            self.rows = min(int(self.rows * growth), self.workload.rows)
        self.workload.check(np.asarray(result), self.rung.more_roundings)
        self.calls = max(1, round(self.effort.shortest / seconds))

    @property
    def extrapolated(self) -> bool:
        """Whether only a part of the problem was computed."""
        return self.rows < self.workload.rows

    def take_turn(self) -> None:
        """Time some calls, after one that wakes the threads and warms the caches."""
        with self.limits(self.threads):
            settle()
            if self.calls > 1:
                self._time(calls=1)
            seconds, _ = self._time(self.calls)
        self.rates.append(self.workload.rate(self.rows, seconds))

    def _time(self, calls: int) -> tuple[float, Any]:
        """Return seconds a call, and the last result."""
        run, operands = self.rung.run, self._operands
        start = time.perf_counter()
        for _ in range(calls):
            result = run(*operands)
        return (time.perf_counter() - start) / calls, result


@dataclass
class PeakTrial:
    """The most that this machine does: products in registers, or updates of memory."""

    name: str
    threads: int
    measure: Callable[[int], float]
    kind: Kind = "peak"
    rates: list[float] = field(default_factory=list)
    peak_work: int = 1

    def __post_init__(self) -> None:
        """Be a peak of its own."""
        self.peak = self.name

    def take_turn(self) -> None:
        """Measure the peak once."""
        settle()
        self.rates.append(self.measure(self.threads))


def of_all_threads(burst: Callable[[], float]) -> Callable[[int], float]:
    """Return a function that measures FLOP/s of so many threads that compute in registers."""

    def measure(threads: int) -> float:
        with ThreadPoolExecutor(threads) as pool:
            return float(sum(pool.map(lambda _: burst(), range(threads))))

    return measure


def fma_peak(dtype: str, seconds: float) -> Callable[[int], float]:
    """Return a function that measures fused multiply-adds of so many threads."""
    return of_all_threads(lambda: _core.fma_peak(dtype, seconds))


def tile_peak(seconds: float) -> Callable[[int], float]:
    """Return a function that measures bfloat16 products on the tiles of so many threads."""
    measure = of_all_threads(lambda: _core.tile_peak("bfloat16", seconds))

    def measure_with_tiles(threads: int) -> float:
        with use_isa("amx"):
            return measure(threads)

    return measure_with_tiles


def memory_peak(like: Any) -> Callable[[int], float]:
    """Return a function that measures bytes/s, read and written, of threads that update memory."""
    values = np.ones_like(like, dtype=np.float64)

    def measure(threads: int) -> float:
        passes = timeit.repeat(lambda: _core.update_in_place(values, threads), number=1, repeat=5)
        return 2 * float(values.nbytes) / min(passes)

    return measure


def peak_trials(
    workload: Workload, rungs: Sequence[Rung], threads: list[int], effort: Effort
) -> list[PeakTrial]:
    """Return the trials for the peaks of a workload's rungs, one a number of threads for each."""
    if workload.op == "relu":
        peaks = {MEMORY_PEAK: memory_peak(workload.operands[0])}
    else:
        peaks = {FMA_PEAK: fma_peak(workload.dtype.name, effort.shortest)}
    if any(rung.tile_products for rung in rungs):
        peaks[TILE_PEAK] = tile_peak(effort.shortest)
    return [PeakTrial(name, count, peaks[name]) for name in peaks for count in threads]


def take_turns(trials: Sequence[Trial], rounds: int) -> Iterator[Trial]:
    """Let every trial take its turn in every round; yield it each time it did."""
    for _ in range(rounds):
        for trial in trials:
            trial.take_turn()
            yield trial
