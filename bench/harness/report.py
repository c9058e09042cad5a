"""Figures to tables: the terminal, Markdown and JSON.

Tables are built once, as rows of text (`Table`), and then either printed with rich or
written as Markdown.
"""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.table import Table as RichTable

from harness import figures as fig
from harness.classes import SCALING
from harness.libraries import LIBRARIES
from harness.operands import DATA, Data

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from harness.figures import Figure, Ratio, Summary
    from harness.turns import Contestant, Measurement, Plan

WORST = 12
"""Cases listed as the worst."""

CASE_BY_CASE = {
    "calls": "Calls",
    "relu": "relu",
    "precision": "Precisions of float32",
    "dtypes": "Other types",
}
"""Classes whose cases are listed one by one, and the title of the table."""

CLIFF_CLASSES = ("square", "neighbours")

QUIET = 0.1
"""CPUs that others may keep busy without a word."""

SCHEMA = 1
"""Version of the JSON's layout."""


@dataclass(frozen=True)
class Run:
    """All that is known of a run of the benchmark."""

    subject: str
    machine: str
    plan: Plan
    versions: Mapping[str, str]
    details: Mapping[str, str]
    missing: Mapping[str, str]
    seconds: float
    """What the measuring took."""
    others_seconds: float | None
    """CPU time that other processes used meanwhile, if it is known."""
    measurements: Sequence[Measurement]
    figures: Sequence[Figure]


@dataclass
class Table:
    """A table of text; the first column is left-aligned, the others right-aligned."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    note: str = ""

    def print(self, console: Console) -> None:
        """Print it with rich."""
        table = RichTable(
            title=self.title, title_justify="left", caption=self.note, caption_justify="left"
        )
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left", overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)

    def markdown(self) -> str:
        """Write it as Markdown."""
        lines = [f"## {self.title}", ""]
        if self.note:
            lines += [self.note, ""]
        rule = ["---", *("---:" for _ in self.columns[1:])]
        lines += [_markdown_row(row) for row in (self.columns, rule, *self.rows)]
        return "\n".join(lines) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def duration(seconds: float) -> str:
    """Format a time with three digits and a fitting unit.

    Examples
    --------
    >>> duration(3.7e-7)
    '370 ns'
    """
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def _title(what: str, dtype: str, threads: int) -> str:
    return f"{what}: {dtype}, {threads} thread{'s' if threads > 1 else ''}"


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _ratio(ratio: Ratio | None) -> str:
    return "" if ratio is None else f"{ratio.median:.2f}"


def _errors(errors: Mapping[Data, float] | None) -> str:
    if errors is None:
        return ""
    return " / ".join(f"{errors[data]:.2g}" if data in errors else "-" for data in DATA)


def _without_empty_columns(table: Table) -> Table:
    kept = [i for i in range(len(table.columns)) if any(row[i] for row in table.rows)]
    rows: list[Sequence[str]] = [[row[i] for i in kept] for row in table.rows]
    return Table(table.title, [table.columns[i] for i in kept], rows, table.note)


def summary_table(figures: Sequence[Figure], dtype: str, threads: int) -> Table:
    """Tabulate the ratios of each shape class for one dtype and number of threads."""

    def row(name: str, summary: Summary) -> Sequence[str]:
        worst = summary.worst
        return (
            name,
            str(summary.count),
            f"{summary.median:.2f}",
            f"{summary.mean:.2f}",
            f"{worst.value:.2f}",
            worst.case.name,
            worst.best_peer.library,
            _share(summary.peak_share),
        )

    table = Table(
        _title(f"Best peer / {figures[0].subject.library} by class", dtype, threads),
        ("class", "cases", "median", "geo. mean", "worst", "worst case", "best peer", "of peak"),
    )
    table.rows = [row(item.shape_class, item) for item in fig.summaries(figures)]
    if len(table.rows) > 1:
        table.rows.append(row("all", fig.summarise("all", figures)))
    return table


def case_table(figures: Sequence[Figure], title: str) -> Table:
    """Tabulate single cases: times stand beside the ratios that they belong to."""
    peers = list(dict.fromkeys(peer.library for item in figures for peer in item.ratios))
    yardsticks = list(dict.fromkeys(peer.library for item in figures for peer in item.yardsticks))
    subject = figures[0].subject.library
    table = Table(
        title,
        (
            *("case", "dtype", "threads", "ratio", "quartiles"),
            *(f"{name} / {subject}" for name in (*peers, *yardsticks)),
            *(subject, "rate", "of peak"),
        ),
    )
    for item in figures:
        ratios = {peer.library: ratio for peer, ratio in item.ratios.items()}
        ratios |= {peer.library: ratio for peer, ratio in item.yardsticks.items()}
        best = item.ratios[item.best_peer]
        table.rows.append(
            (
                f"{item.case.shape_class}: {item.case.name}",
                item.dtype,
                str(item.subject.threads),
                f"{item.value:.2f}",
                f"{best.low:.2f}-{best.high:.2f}",
                *(_ratio(ratios.get(name)) for name in (*peers, *yardsticks)),
                duration(item.seconds),
                f"{item.rate / 1e9:.3g} G{item.case.unit}/s",
                _share(item.peak_share),
            )
        )
    return table


def scaling_table(figures: Sequence[Figure]) -> Table:
    """Tabulate the subject's own gain from threads."""
    table = Table(
        "Threads: time on 1 thread / time on more",
        ("case", "dtype", "threads", "speed-up", "quartiles", "time on more", "of peak"),
    )
    for item in figures:
        ratio = item.ratios[item.best_peer]
        table.rows.append(
            (
                item.case.name,
                item.dtype,
                str(item.subject.threads),
                f"{ratio.median:.2f}",
                f"{ratio.low:.2f}-{ratio.high:.2f}",
                duration(item.seconds),
                _share(item.peak_share),
            )
        )
    return table


def cliff_table(figures: Sequence[Figure]) -> Table:
    """Tabulate the sizes at which the subject's rate drops."""
    table = Table(
        f"Cliffs: squares below {fig.CLIFF:.0%} of the next smaller size's rate",
        ("from", "to", "dtype", "threads", "rate kept"),
    )
    for cliff in fig.cliffs(figures):
        table.rows.append(
            (
                str(cliff.below.case.inner),
                str(cliff.above.case.inner),
                cliff.above.dtype,
                str(cliff.above.subject.threads),
                f"{cliff.kept:.0%}",
            )
        )
    return table


def accuracy_table(measurements: Iterable[Measurement]) -> Table:
    """Tabulate the largest errors by class, dtype and kind of data."""
    errors = fig.accuracy(measurements)
    libraries = list(dict.fromkeys(name for row in errors.values() for name in row))
    table = Table(
        "Accuracy: largest |error| / (u |A||B|)",
        ("class", "dtype", *libraries),
        note="normal data / wide-range data (normal times 2^e, e uniform in +-20)",
    )
    for (dtype, group), row in errors.items():
        table.rows.append((group, dtype, *(_errors(row.get(name)) for name in libraries)))
    return table


def refusal_table(run: Run) -> Table:
    """Tabulate who did not take part and why, one row per reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for measurement in run.measurements:
        case = f"{measurement.case.shape_class}: {measurement.case.name} ({measurement.dtype})"
        for contestant, refusal in measurement.refusals.items():
            library = contestant.library
            if library in run.missing or LIBRARIES[library].yardstick:
                continue
            reason = f"{refusal.kind}: {refusal.reason}"
            who = library if refusal.kind == "unsupported" else str(contestant)
            reasons.setdefault((who, reason), []).append(case)

    table = Table("Not measured", ("library", "case", "reason"))
    table.rows = [(library, "all", reason) for library, reason in run.missing.items()]
    for (who, reason), cases in reasons.items():
        others = len(cases) - 1
        table.rows.append((who, cases[0] + (f" and {others} more" if others else ""), reason))
    return table


def terminal_tables(run: Run) -> list[Table]:
    """Choose what a person wants to see at once."""
    compared = fig.against_peers(run.figures)
    tables = [
        summary_table(group, dtype, threads)
        for (dtype, threads), group in fig.groups(compared).items()
    ]
    for name, title in CASE_BY_CASE.items():
        chosen = [item for item in compared if item.case.shape_class == name]
        if chosen:
            tables.append(case_table(chosen, title))
    scaling = [item for item in run.figures if item.case.shape_class == SCALING]
    if scaling:
        tables.append(scaling_table(scaling))
    if compared:
        tables.append(case_table(fig.worst(compared, WORST), "Worst cases"))
        tables.append(cliff_table(compared))
    tables.append(accuracy_table(run.measurements))
    tables.append(refusal_table(run))
    return [_without_empty_columns(table) for table in tables if table.rows]


def heading(run: Run) -> str:
    """Say what was compared, where."""
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    details = "".join(f", {name} {value}" for name, value in run.details.items())
    restless = sum(measurement.restless for measurement in run.measurements)
    text = (
        f"{run.machine}. {versions}{details}.\n"
        f"A ratio is the best peer's time over that of {run.subject} in the same round, median "
        f"over {run.plan.rounds} rounds: above 1, {run.subject} is faster.\n"
    )
    others = (run.others_seconds or 0.0) / run.seconds
    if others > QUIET:
        text += (
            f"Other processes kept {others:.2f} CPUs busy meanwhile: run it again on a quiet "
            "machine before believing figures with as many threads as CPUs.\n"
        )
    if restless:
        text += f"After {restless} turns a thread pool did not come to rest.\n"
    if any(item.case.shape_class in CLIFF_CLASSES for item in run.figures):
        text += f"Cliffs among the squares: {len(fig.cliffs(run.figures)) or 'none'}.\n"
    return text


def write_markdown(run: Run, path: Path) -> None:
    """Write every table, single cases included."""
    compared = fig.against_peers(run.figures)
    tables = terminal_tables(run)
    for (dtype, threads), group in fig.groups(compared).items():
        tables.append(
            _without_empty_columns(case_table(group, _title("All cases", dtype, threads)))
        )
    text = "\n".join([f"# {run.subject} and its peers\n", heading(run)])
    path.write_text(text + "\n" + "\n".join(table.markdown() for table in tables), "utf-8")


def to_json(run: Run) -> dict[str, Any]:
    """Everything measured, as plain data."""
    by_measurement = {(item.case, item.dtype, item.subject): item for item in run.figures}

    def named(values: Mapping[Contestant, Any]) -> dict[str, Any]:
        return {str(contestant): value for contestant, value in values.items()}

    results = []
    for measurement in run.measurements:
        case, subject = measurement.case, measurement.subject
        item = by_measurement.get((case, measurement.dtype, subject))
        result: dict[str, Any] = {
            "class": case.shape_class,
            "case": case.name,
            "dtype": measurement.dtype,
            "threads": subject.threads,
            "subject": str(subject),
            "code": named({c: p.code for c, p in measurement.prepared.items()}),
            "errors": named({c: p.errors for c, p in measurement.prepared.items()}),
            "refusals": named(
                {c: f"{r.kind}: {r.reason}" for c, r in measurement.refusals.items()}
            ),
            "seconds": named(measurement.samples),
            "peak_flops": measurement.peak,
        }
        if item is not None:
            result |= {
                "ratio": item.value,
                "best_peer": str(item.best_peer),
                "ratios": named({c: vars(r) for c, r in item.ratios.items()}),
                "yardsticks": named({c: vars(r) for c, r in item.yardsticks.items()}),
                "rate": item.rate,
                "rate_unit": f"{case.unit}/s",
                "peak_share": item.peak_share,
            }
        results.append(result)
    return {
        "schema": SCHEMA,
        "subject": run.subject,
        "machine": run.machine,
        "python": platform.python_version(),
        "versions": dict(run.versions),
        "details": dict(run.details),
        "missing": dict(run.missing),
        "seconds": run.seconds,
        "others_cpu_seconds": run.others_seconds,
        "plan": vars(run.plan),
        "results": results,
    }


def write_json(run: Run, path: Path) -> None:
    """Write everything measured."""
    path.write_text(json.dumps(to_json(run), indent=1) + "\n", "utf-8")
