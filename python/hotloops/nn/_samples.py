"""Samples and targets as the core takes them: contiguous, of one dtype, of fitting shapes."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from hotloops.nn._layers import Array


def as_count(function: str, name: str, value: Any, least: int) -> int:
    """Return a whole number that is large enough."""
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{function}: {name} is {value!r} but must be an integer") from None
    if count < least:
        raise ValueError(f"{function}: {name} is {count} but must be at least {least}")
    return count


def as_pair(function: str, name: str, value: Any) -> tuple[Any, Any]:
    """Return samples and what their outputs should be."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{function}: {name} is a {type(value).__name__} but must be a pair (x, y)")
    return value[0], value[1]


def as_inputs(function: str, name: str, x: Any, inputs: int | None, dtype: np.dtype[Any]) -> Array:
    """Return rows of `inputs` values, or of any number if that is not known yet."""
    rows: Array = np.ascontiguousarray(x, dtype)
    if rows.ndim != 2 or inputs not in (None, rows.shape[1]):
        needed = f"(samples, {'inputs' if inputs is None else inputs})"
        raise ValueError(f"{function}: {name} has shape {rows.shape} but {needed} is needed")
    return rows


def as_targets(
    function: str, name: str, y: Any, shape: tuple[int, int], dtype: np.dtype[Any]
) -> Array:
    """Return what each output should be; one output may come without its dimension."""
    targets: Array = np.ascontiguousarray(y, dtype)
    if targets.shape != shape and not (shape[1] == 1 and targets.shape == shape[:1]):
        raise ValueError(f"{function}: {name} has shape {targets.shape} but {shape} is needed")
    return targets


def as_classes(function: str, name: str, y: Any, samples: int) -> Array:
    """Return the number of each sample's class. That it is one the core itself makes sure of."""
    y = np.asarray(y)
    if y.dtype.kind not in "iu":
        raise TypeError(
            f"{function}: {name} has dtype {y.dtype} but the integers of classes are needed"
        )
    if y.shape not in ((samples,), (samples, 1)):
        raise ValueError(f"{function}: {name} has shape {y.shape} but ({samples},) is needed")
    return np.ascontiguousarray(y, np.int64)
