"""What was measured, in a form that tables, plots and JSON are made of."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import hotloops
from hotloops.ladder.measuring import Kind, RungTrial, Trial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotloops.ladder.workloads import Workload

PACKAGES = ("numpy", "torch", "scikit-learn")
METHOD = (
    "Medians over rounds; in each round all trials of a section take one turn, in one process. "
    "Rungs and peers are checked before they are timed. BLAS and torch are limited to the number "
    "of threads of their rows. Every turn starts when all pools are idle and, for short calls, "
    "with a call that is not timed. Extrapolated rows ran the first rows_run of rows_in_all rows."
)


@dataclass(frozen=True)
class Row:
    """One line of a table: a rung, a peer or the measured peak.

    Rates are in the section's unit, medians over rounds; `seconds` is the time for the whole
    problem, computed from the rate where `extrapolated`. `fraction_of_peak` is that of `peak`, the
    peak of tiles being divided by `tile_products`, those in one product of float32.
    """

    name: str
    kind: Kind
    idea: str
    language: str
    threads: int
    rate: float
    rates: list[float]
    peak: str
    fraction_of_peak: float | None
    seconds: float | None = None
    rows_run: int | None = None
    extrapolated: bool = False
    tile_products: int = 0
    speedup_over_first: float | None = None
    speedup_over_previous: float | None = None

    @property
    def label(self) -> str:
        """Name, with the number of threads where the name does not imply it."""
        if self.kind == "rung":
            return self.name
        return f"{self.name}, {self.threads} thread{'s' if self.threads > 1 else ''}"


@dataclass(frozen=True)
class Section:
    """All that was measured on one workload."""

    op: str
    title: str
    note: str
    shape: str
    dtype: str
    unit: str
    rows_in_all: int
    rows: list[Row]

    def of_kind(self, *kinds: Kind) -> list[Row]:
        """Return the rows of some kinds."""
        return [row for row in self.rows if row.kind in kinds]


def make_section(workload: Workload, trials: Sequence[Trial], missing: str = "") -> Section:
    """Make the section of a workload from its trials; those without a turn yet are left out.

    `missing` says which rungs are not among them, and why.
    """
    scale = 1e9
    started = [trial for trial in trials if trial.rates]
    peaks = {
        (trial.name, trial.threads): median(trial.rates)
        for trial in started
        if trial.kind == "peak"
    }
    rows: list[Row] = []
    first = previous = None
    for trial in started:
        rate = median(trial.rates)
        peak = peaks.get((trial.peak, trial.threads))
        common: dict[str, Any] = {
            "name": trial.name,
            "kind": trial.kind,
            "threads": trial.threads,
            "rate": rate / scale,
            "rates": [sample / scale for sample in trial.rates],
            "peak": trial.peak,
            "fraction_of_peak": trial.peak_work * rate / peak if peak else None,
        }
        if not isinstance(trial, RungTrial):
            rows.append(Row(idea="", language="", **common))
            continue
        first = first or rate
        rows.append(
            Row(
                idea=trial.rung.idea,
                language=trial.rung.language,
                seconds=workload.work_per_row * workload.rows / rate,
                rows_run=trial.rows,
                extrapolated=trial.extrapolated,
                tile_products=trial.rung.tile_products,
                speedup_over_first=rate / first,
                speedup_over_previous=rate / previous
                if previous and trial.kind == "rung"
                else None,
                **common,
            )
        )
        previous = rate
    return Section(
        op=workload.op,
        title=workload.title,
        note=f"{workload.note} {missing}".rstrip(),
        shape=workload.shape,
        dtype=workload.dtype.name,
        unit=workload.unit,
        rows_in_all=workload.rows,
        rows=rows,
    )


def describe_run(threads: int, *, quick: bool) -> dict[str, Any]:
    """Return what the figures depend on: machine, versions, ISA, threads, and how it was done."""
    return {
        "machine": {
            "cpu": _cpu_name(),
            "architecture": platform.machine(),
            "cores": os.cpu_count(),
            "system": platform.system(),
        },
        "versions": {
            "python": platform.python_version(),
            "hotloops": hotloops.__version__,
            **{name: _version(name) for name in PACKAGES},
        },
        "isa": hotloops.isa(),
        "threads": threads,
        "quick": quick,
        "hotloops": hotloops.show_config(mode="dicts"),
        "method": METHOD,
    }


def summary(run: dict[str, Any]) -> str:
    """Return one line that says where the figures come from."""
    versions = run["versions"]
    libraries = [f"{name} {versions[name]}" for name in PACKAGES[:2] if versions[name]]
    return (
        f"{run['machine']['cpu']}, {run['isa']}, {run['threads']} threads; "
        f"hotloops {versions['hotloops']}, {', '.join(libraries)}, Python {versions['python']}"
    )


def write_json(path: Path, run: dict[str, Any], sections: list[Section]) -> None:
    """Write everything that was measured."""
    report = run | {"sections": [asdict(section) for section in sections]}
    path.write_text(json.dumps(report, indent=2) + "\n")


def _cpu_name() -> str:
    """Return the processor's name where Linux tells it, else the architecture's."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
