"""relu, from a loop with an if to every core in place.

One comparison an element is next to nothing: from the first NumPy rung on, this ladder is about
memory. A rung is faster because it touches less of it, or because more cores do. The rungs up to
``maximum(x, 0)`` return a new array, for which the system must find and clear memory; the others
write to one that exists.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hotloops import _core
from hotloops._elementwise import relu
from hotloops._settings import threads
from hotloops.ladder.rung import Rung, as_lists

Array = NDArray[Any]


def loop(x: list[list[float]]) -> list[list[float]]:
    """Look at every element by its indices."""
    y = [[0.0] * len(row) for row in x]
    for i in range(len(x)):
        for j in range(len(x[i])):
            y[i][j] = 0.0 if x[i][j] <= 0.0 else x[i][j]
    return y


def comprehension(x: list[list[float]]) -> list[list[float]]:
    """Build each row in one expression."""
    return [[0.0 if value <= 0.0 else value for value in row] for row in x]


def half_of_sum(x: Array) -> Array:
    """Compute (|x| + x) / 2."""
    return np.asarray((abs(x) + x) / 2)


def times_mask(x: Array) -> Array:
    """Compute x * (x > 0)."""
    return np.asarray(x * (x > 0))


def maximum(x: Array) -> Array:
    """Compute maximum(x, 0)."""
    return np.asarray(np.maximum(x, 0))


def one_thread(x: Array, out: Array) -> Array:
    """Compute relu by the vector kernel, on the calling thread."""
    with threads(1):
        return np.asarray(relu(x, out=out))


def all_threads(x: Array, out: Array) -> Array:
    """Compute relu by the vector kernel, a part of x a thread."""
    return np.asarray(relu(x, out=out))


def in_place(x: Array) -> Array:
    """Overwrite x by its relu."""
    return np.asarray(relu(x, out=x))


def with_output(x: Array) -> tuple[Any, ...]:
    """Return x and an array for the result, whose memory the system has provided."""
    return x, np.ones_like(x)


def as_copy(x: Array) -> tuple[Any, ...]:
    """Return an array that may be overwritten."""
    return (x.copy(),)


RELU_RUNGS = (
    Rung(
        name="loop",
        idea="The definition: look at every element.",
        language="Python",
        run=loop,
        prepare=as_lists,
    ),
    Rung(
        name="list comprehension",
        idea="No indices: each row hands out its elements one by one, in C.",
        language="Python",
        run=comprehension,
        prepare=as_lists,
    ),
    Rung(
        name="loop in C++",
        idea="Compiled; but where signs are random, half of the predicted branches are wrong.",
        language="C++",
        run=_core.rung_relu_scalar,
    ),
    Rung(
        name="(abs(x) + x) / 2",
        idea="Arithmetic instead of a branch; but three passes over memory.",
        language="NumPy",
        run=half_of_sum,
    ),
    Rung(
        name="x * (x > 0)",
        idea="One temporary, of one byte an element.",
        language="NumPy",
        run=times_mask,
    ),
    Rung(
        name="maximum(x, 0)",
        idea="No temporary: one pass over x.",
        language="NumPy",
        run=maximum,
    ),
    Rung(
        name="SIMD",
        idea="Vector stores, past the caches, into an array that is there: no page to be mapped.",
        language="hotloops",
        run=one_thread,
        prepare=with_output,
    ),
    Rung(
        name="threads",
        idea="One core cannot use all the memory bandwidth.",
        language="hotloops",
        run=all_threads,
        prepare=with_output,
        threaded=True,
    ),
    Rung(
        name="in place",
        idea="One array instead of two: half the memory to reach.",
        language="hotloops",
        run=in_place,
        prepare=as_copy,
        threaded=True,
    ),
)
