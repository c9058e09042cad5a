"""The machine that a run takes place on, and who else uses it."""

from __future__ import annotations

import os
import platform
from pathlib import Path

PROCESSORS = Path("/proc/cpuinfo")
BUSY = Path("/proc/stat")

IDLE_FIELDS = (3, 4)
"""idle and iowait among the numbers of the line ``cpu`` of /proc/stat."""


def usable_cpus() -> int:
    """Count the CPUs that this process may run on."""
    return len(os.sched_getaffinity(0))


def describe() -> str:
    """Name the machine in one line: processor, CPUs, system."""
    processor = platform.processor() or platform.machine()
    if PROCESSORS.exists():
        for line in PROCESSORS.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                processor = line.split(":", 1)[1].strip()
                break
    cpus = usable_cpus()
    return f"{processor}, {cpus} CPU{'s' if cpus > 1 else ''}, {platform.system()}"


def busy_seconds() -> float | None:
    """Sum the CPU time that everyone on the machine has used; None where nothing tells."""
    if not BUSY.exists():
        return None
    first = BUSY.read_text("utf-8").splitlines()[0].split()[1:9]
    ticks = sum(int(ticks) for field, ticks in enumerate(first) if field not in IDLE_FIELDS)
    return ticks / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """Sum the CPU time of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Neighbours:
    """How much CPU time others have used since this object was made.

    The children of this process count as its own once they have ended.
    """

    def __init__(self) -> None:
        self._busy, self._own = busy_seconds(), own_seconds()

    def seconds(self) -> float | None:
        """CPU time of others; None where nothing tells."""
        busy = busy_seconds()
        if busy is None or self._busy is None:
            return None
        return max(0.0, busy - self._busy - (own_seconds() - self._own))
