"""The naive twins of the elementwise operations: one loop, which looks every operand up by index.

Where an operand is stretched, its only index along that dimension is 0: that is all there is to
broadcasting, and nothing is copied for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hotloops import _arguments, _core
from hotloops.naive._wrapping import as_arrays, rounded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray


def places(shape: tuple[int, ...], of: tuple[int, ...]) -> list[tuple[int, ...]]:
    """List, for each index of a result of this shape, the index of an operand of the other shape.

    >>> places((2, 3), of=(3,))
    [(0,), (1,), (2,), (0,), (1,), (2,)]
    >>> places((2, 2), of=(2, 1))
    [(0, 0), (0, 0), (1, 0), (1, 0)]
    """
    missing = len(shape) - len(of)
    return [
        tuple(0 if size == 1 else i for i, size in zip(index[missing:], of, strict=True))
        for index in np.ndindex(shape)
    ]


@_arguments.names_arguments
def multiply(a: Any, b: Any, /, out: Any = None) -> Any:
    """Multiply element by element, like `hotloops.multiply`.

    Examples
    --------
    >>> multiply([[1, 2], [3, 4]], [10, 100])
    array([[ 10, 200],
           [ 30, 400]])
    """
    return _arithmetic("multiply", lambda x, y: x * y, a, b, out)


@_arguments.names_arguments
def add(a: Any, b: Any, /, out: Any = None) -> Any:
    """Add element by element, like `hotloops.add`.

    Examples
    --------
    >>> add([1, 2, 3], 10)
    array([11, 12, 13])
    """
    return _arithmetic("add", lambda x, y: x + y, a, b, out)


@_arguments.names_arguments
def subtract(a: Any, b: Any, /, out: Any = None) -> Any:
    """Subtract element by element, like `hotloops.subtract`.

    Examples
    --------
    >>> subtract([5, 7], [[1], [2]])
    array([[4, 6],
           [3, 5]])
    """
    return _arithmetic("subtract", lambda x, y: x - y, a, b, out)


@_arguments.names_arguments
def greater(a: Any, b: Any, /, out: Any = None) -> Any:
    """Compare element by element, ``a > b``, like `hotloops.greater`.

    Examples
    --------
    >>> greater([1.0, 2.0], 1.5)
    array([False,  True])
    """
    (a, b), finish = as_arrays("greater", {"a": a, "b": b}, out)
    shape, rows = _rows("greater", {"a": a, "b": b})
    return finish(_filled(shape, np.dtype(bool), [x > y for x, y in rows]), 0)


@_arguments.names_arguments
def all_greater(a: Any, b: Any, /) -> bool:
    """Whether ``a > b`` for every pair of elements, like `hotloops.all_greater`.

    Examples
    --------
    >>> all_greater([3, 4], [1, 2])
    True
    """
    (a, b), _ = as_arrays("all_greater", {"a": a, "b": b}, None)
    _, rows = _rows("all_greater", {"a": a, "b": b})
    return all(x > y for x, y in rows)


@_arguments.names_arguments
def where(condition: Any, x: Any, y: Any, /, out: Any = None) -> Any:
    """Take ``x if condition else y`` element by element, like `hotloops.where`.

    Examples
    --------
    >>> where([True, False], [1, 2], [10, 20])
    array([ 1, 20])
    """
    named = {"condition": condition, "x": x, "y": y}
    (condition, x, y), finish = as_arrays("where", named, out)
    shape, rows = _rows("where", {"condition": condition, "x": x, "y": y})
    chosen = [p if c else q for c, p, q in rows]
    return finish(_filled(shape, np.result_type(x, y), chosen), 0)


@_arguments.names_arguments
def where_greater(a: Any, b: Any, x: Any, y: Any, /, out: Any = None) -> Any:
    """Take ``x if a > b else y`` element by element, like `hotloops.where_greater`.

    Examples
    --------
    >>> where_greater([1, 5], [2, 3], [1, 5], [2, 3])
    array([2, 5])
    """
    named = {"a": a, "b": b, "x": x, "y": y}
    (a, b, x, y), finish = as_arrays("where_greater", named, out)
    shape, rows = _rows("where_greater", {"a": a, "b": b, "x": x, "y": y})
    chosen = [p if s > t else q for s, t, p, q in rows]
    return finish(_filled(shape, np.result_type(x, y), chosen), 0)


def _arithmetic(
    function: str, operation: Callable[[Any, Any], Any], a: Any, b: Any, out: Any
) -> Any:
    (a, b), finish = as_arrays(function, {"a": a, "b": b}, out)
    shape, rows = _rows(function, {"a": a, "b": b})
    values = [operation(x, y) for x, y in rows]
    return finish(rounded(values, np.result_type(a, b), shape), 0)


def _rows(
    function: str, named: dict[str, NDArray[Any]]
) -> tuple[tuple[int, ...], Iterator[tuple[Any, ...]]]:
    """Return the result's shape and, element by element, the operands' values as Python numbers."""
    arrays = list(named.values())
    shape = _core.broadcast_shape(function, list(named), [array.shape for array in arrays])
    columns = ([array.item(i) for i in places(shape, array.shape)] for array in arrays)
    return shape, zip(*columns, strict=True)


def _filled(shape: tuple[int, ...], dtype: np.dtype[Any], values: list[Any]) -> NDArray[Any]:
    result = np.empty(shape, dtype)
    result.reshape(-1)[:] = values
    return result
