"""One thread at a time."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


class Turn:
    """Taken by a call that changes its object; a copy of the object has a turn of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Turn], tuple[()]]:
        return Turn, ()

    def take(self, function: str) -> threading.Lock:
        """Return the lock, taken, to be released; refuse where another thread has it."""
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(
                f"{function}: another thread is in this model's fit; wait for it, or give each "
                "thread a model of its own (copy.deepcopy)"
            )
        return self._lock


class _HasTurn(Protocol):
    _turn: Turn


S = TypeVar("S", bound=_HasTurn)


def in_turn(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Have a method refuse while another thread is in one that takes the object's turn, too."""

    @functools.wraps(method)
    def alone(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        lock = self._turn.take(method.__name__)
        try:
            return method(self, *args, **kwargs)
        finally:
            lock.release()

    return alone
