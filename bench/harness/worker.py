"""The process that one library lives in.

A worker makes the operands of a case itself, checks its library's result and then times
the case whenever it is told to. After each turn it waits until its library's threads have
stopped spinning (`settle`): a pool may keep a core busy for many milliseconds after its
last task, and the next worker must not pay for that. The libraries' own defaults stay as
they are.
"""

from __future__ import annotations

import math
import time
import timeit
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from harness import operands, reference
from harness.libraries import LIBRARIES, Hotloops, Loaded, UnsupportedError, load
from harness.operands import Data, kinds_of_data

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from harness.cases import Case

WARM_SECONDS = 1e-3
"""At the start of a turn the statement runs unmeasured for about so long: the pool wakes, the
operands return to the caches where they would be in a program that uses them."""

REPEATS = 3
"""Samples in a turn. The fastest counts: what disturbs a sample only ever adds to it."""

LONG_SECONDS = 0.05
"""A call that takes longer is timed once, cold: its own beginning is warm-up enough."""

ACCURACY_WORK = 1e9
"""Wide-range data are computed only for cases of at most this many FLOP."""

SETTLE_STEP = 12e-3
"""Seconds between two looks at whether the pool still spins. The kernel counts a running thread's
time at its ticks, up to ten milliseconds apart: between two of them it seems to rest. With steps of
two milliseconds, OpenBLAS was found quiet while it span on for a hundred, and whoever came next
waited for a CPU, four milliseconds in each call."""

SETTLE_LIMIT = 0.5
"""Seconds after which a pool is taken to spin for ever."""


@dataclass(frozen=True)
class Prepare:
    """Make a case's operands and statement and check the result."""

    case: Case
    dtype: str


@dataclass(frozen=True)
class Estimate:
    """Time the prepared case roughly."""


@dataclass(frozen=True)
class Take:
    """Time the prepared case in samples of about so many seconds."""

    seconds: float


@dataclass(frozen=True)
class MeasurePeak:
    """Measure the peak for a case on all of the worker's threads."""

    case: Case
    dtype: str
    seconds: float


Request: TypeAlias = Prepare | Estimate | Take | MeasurePeak


@dataclass(frozen=True)
class Ready:
    """The library is loaded."""

    version: str
    details: dict[str, str]


@dataclass(frozen=True)
class Prepared:
    """The case can be timed. `errors` has one figure per kind of data, see `reference`."""

    code: str
    errors: dict[Data, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    """Why the request cannot be met: ``missing``, ``unsupported``, ``wrong`` or ``failed``."""

    kind: str
    reason: str


@dataclass(frozen=True)
class Taken:
    """Seconds per call or, of the peak, FLOP/s (0: there is none); whether the pool rests again."""

    value: float
    settled: bool


Reply: TypeAlias = Ready | Prepared | Refused | Taken


def serve(connection: Connection, name: str, threads: int) -> None:
    """Load a library and answer requests until None comes."""
    try:
        loaded = load(name, threads)
    except ImportError as error:
        connection.send(Refused("missing", f"{type(error).__name__}: {error}"))
        return
    connection.send(Ready(loaded.version, loaded.details))
    worker = Worker(name, loaded, threads)
    while True:
        request: Request | None = connection.recv()
        if request is None:
            return
        connection.send(worker.answer(request))


class Worker:
    """What a worker process keeps between requests."""

    def __init__(self, name: str, loaded: Loaded, threads: int) -> None:
        self._name = name
        self._library = loaded.library
        self._threads = threads
        self._executor = ThreadPoolExecutor(threads)
        self._timer: timeit.Timer | None = None
        self._seconds = math.inf  # of a call, as last seen

    def answer(self, request: Request) -> Reply:
        """Do what is asked; an exception becomes a refusal."""
        try:
            if isinstance(request, Prepare):
                return self._prepare(request.case, request.dtype)
            if isinstance(request, Estimate):
                value = self._estimate()
            elif isinstance(request, Take):
                value = self._take(request.seconds)
            else:
                value = self._peak(request)
            return Taken(value, self._settle())
        except UnsupportedError as error:
            return Refused("unsupported", str(error))
        except Exception as error:  # whatever a library raises: the run goes on without it
            return Refused("failed", f"{type(error).__name__}: {error}")

    def _prepare(self, case: Case, dtype: str) -> Reply:
        self._timer, self._seconds = None, math.inf
        errors: dict[Data, float] = {}
        timed = None
        for data in reversed(kinds_of_data(dtype)):  # the last is the one that is timed
            if data == "wide" and (case.operation != "matmul" or case.work(1) > ACCURACY_WORK):
                continue
            arrays = operands.make(case, dtype, data)
            statement = self._library.statement(case, arrays)
            result = statement.result()
            if not LIBRARIES[self._name].yardstick:
                verdict = reference.check(
                    case, arrays, result, self._name, widened=self._library.widens
                )
                if verdict.problem is not None:
                    return Refused("wrong", f"{data} data: {verdict.problem}")
                if verdict.error is not None:
                    errors[data] = verdict.error
            timed = statement
        assert timed is not None
        self._timer = timeit.Timer(timed.code, globals=dict(timed.names))
        self._settle()
        return Prepared(timed.code, errors)

    def _time(self, number: int) -> float:
        if self._timer is None:
            raise RuntimeError("no case is prepared")
        return self._timer.timeit(number)

    def _estimate(self) -> float:
        number = 1
        while (elapsed := self._time(number)) < WARM_SECONDS:
            number *= 4
        self._seconds = elapsed / number
        return self._seconds

    def _take(self, seconds: float) -> float:
        long = self._seconds > LONG_SECONDS
        if not long:
            self._time(math.ceil(WARM_SECONDS / self._seconds))
        number = max(1, round(seconds / self._seconds))
        samples = [self._time(number) / number for _ in range(1 if long else REPEATS)]
        self._seconds = min(samples)
        return self._seconds

    def _peak(self, request: MeasurePeak) -> float:
        if not isinstance(self._library, Hotloops):
            raise UnsupportedError("hotloops measures the peak")
        peak = partial(self._library.peak, request.case, request.dtype, request.seconds)
        peaks = self._executor.map(lambda _: peak() or 0.0, range(self._threads))
        return sum(peaks)

    def _settle(self) -> bool:
        """Wait until this process uses no more CPU time; False if it never stopped."""
        if self._threads == 1:
            return True
        give_up = time.perf_counter() + SETTLE_LIMIT
        while time.perf_counter() < give_up:
            before = time.process_time()
            time.sleep(SETTLE_STEP)
            if time.process_time() - before < SETTLE_STEP / 4:
                return True
        return False
