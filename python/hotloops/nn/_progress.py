"""What a person sees while a model trains."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Show = Callable[[int, Mapping[str, float]], None]


@contextmanager
def progress(verbose: int, epochs: int) -> Iterator[Show]:
    """Yield what is to be called now and then, with the epochs done and the last one's figures.

    ``verbose`` is 0 for silence, 1 for a progress bar, 2 for a line each time; where rich is not
    installed, lines take the place of the bar.
    """
    if verbose == 1:
        try:
            from rich import progress as rich_progress  # an extra
            from rich.table import Column
        except ImportError:
            verbose = 2
    if verbose == 0:
        yield lambda _done, _figures: None
    elif verbose == 2:
        yield lambda done, figures: print(f"Epoch {done}/{epochs} - {_text(figures)}")
    else:
        columns = (
            rich_progress.TextColumn("Epoch {task.completed}/{task.total}"),
            rich_progress.BarColumn(bar_width=12),
            rich_progress.TimeRemainingColumn(),
            rich_progress.TextColumn("{task.description}", table_column=Column(ratio=1)),
        )
        with rich_progress.Progress(*columns, expand=True) as bar:
            task = bar.add_task("", total=epochs)
            yield lambda done, figures: bar.update(task, completed=done, description=_text(figures))


def _text(figures: Mapping[str, float]) -> str:
    return " - ".join(f"{name}: {value:.4f}" for name, value in figures.items())
