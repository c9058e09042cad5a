"""Samples and targets as the core takes them: contiguous, of one dtype, of fitting shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hotloops import _arguments

if TYPE_CHECKING:
    from hotloops.nn._layers import Array


def as_pair(function: str, name: str, value: Any) -> tuple[Any, Any]:
    """Return samples and what their outputs should be."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(
            f"{function}: {name} {_arguments.described(value)} but must be a pair (x, y)"
        )
    return value[0], value[1]


def as_inputs(function: str, name: str, x: Any, inputs: int | None, dtype: np.dtype[Any]) -> Array:
    """Return rows of `inputs` values, or of any number if that is not known yet."""
    rows: Array = _arguments.as_reals(function, name, x, dtype)
    if rows.ndim != 2 or inputs not in (None, rows.shape[1]):
        needed = f"(samples, {'inputs' if inputs is None else inputs})"
        raise ValueError(f"{function}: {name} has shape {rows.shape} but {needed} is needed")
    return rows


def as_targets(
    function: str, name: str, y: Any, shape: tuple[int, int], dtype: np.dtype[Any]
) -> Array:
    """Return what each output should be; one output may come without its dimension."""
    targets: Array = _arguments.as_reals(function, name, y, dtype)
    if targets.shape != shape and not (shape[1] == 1 and targets.shape == shape[:1]):
        raise _of_another_shape(function, name, targets, shape)
    return targets


def as_classes(function: str, name: str, y: Any, samples: int, units: int) -> Array:
    """Return the number of each sample's class, one for each output."""
    y = _arguments.as_array(function, name, y)
    if y.dtype.kind not in "iu":
        raise TypeError(
            f"{function}: {name} has dtype {y.dtype} but the integers of classes are needed"
        )
    if y.shape not in ((samples,), (samples, 1)):
        raise _of_another_shape(function, name, y, (samples,))
    for extreme in (y.min(), y.max()):
        if not 0 <= extreme < units:
            raise ValueError(
                f"{function}: {name} has the class {extreme} but the classes of {units} outputs "
                f"are 0 to {units - 1}"
            )
    return np.ascontiguousarray(y, np.int64)


def _of_another_shape(function: str, name: str, y: Array, needed: tuple[int, ...]) -> ValueError:
    x = f"{name.removesuffix('y')}x"
    return ValueError(
        f"{function}: {name} has shape {y.shape} but {needed} is needed: {x} has {needed[0]} rows"
    )
