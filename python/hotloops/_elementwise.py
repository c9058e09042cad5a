"""The public elementwise operations: arguments and documentation around the compiled core.

As in `_operations`, the core takes what needs no conversion, and `_elementwise_likes` the rest.
"""

from __future__ import annotations

from typing import Any

from hotloops import _core
from hotloops import _elementwise_likes as _likes
from hotloops._computed import computed_by


@computed_by(_core.relu)
def relu(x: Any, /, out: Any = None) -> Any:
    """Rectified linear unit, ``max(x, 0)`` element by element.

    Parameters
    ----------
    x : array_like
        Any shape.
    out : ndarray or Tensor, same shape, optional
        Where the result is written; `x` itself works in place.

    Returns
    -------
    ndarray, Tensor or scalar
        Of the shape and dtype of `x`, truth values included. NaN stays NaN; -0.0 becomes 0.0.

    Raises
    ------
    ValueError
        If `out` has another shape or is read-only.
    TypeError
        If the result cannot be cast to the dtype of `out`, or NumPy arrays and tensors are mixed.
    RuntimeError
        If a tensor requires its gradient while torch records.

    See Also
    --------
    numpy.maximum : ``numpy.maximum(x, 0)`` has the same values, up to the sign of a zero.

    Examples
    --------
    >>> import numpy as np
    >>> import hotloops as hl
    >>> hl.relu(np.array([-1.5, 0.0, 2.0, np.nan]))
    array([ 0.,  0.,  2., nan])
    """
    return _likes.apply("relu", {"x": x}, out)


@computed_by(_core.multiply)
def multiply(a: Any, b: Any, /, out: Any = None) -> Any:
    """Product element by element (Hadamard's), ``a * b``, as `numpy.multiply`.

    Parameters
    ----------
    a : array_like
        NumPy array, torch CPU tensor, Python scalar, or what NumPy makes an array of.
    b : array_like
        The same. Shapes are broadcast: aligned at the last dimension, sizes equal or 1. What is
        stretched is not copied.
    out : ndarray or Tensor, optional
        Where the result is written, cast as 'same_kind' if it has another dtype; `a` or `b` itself
        works in place.

    Returns
    -------
    ndarray, Tensor or scalar
        Of the operands' kind and promoted dtype, in the memory order of the operands.

    Raises
    ------
    ValueError
        If the shapes do not fit each other or `out`, or `out` is read-only.
    TypeError
        If a dtype cannot be cast, or NumPy arrays and tensors are mixed.
    RuntimeError
        If a tensor requires its gradient while torch records.

    Notes
    -----
    float32, float64, int32, int64, float16 and bfloat16 have kernels; half types are computed in
    float32 and rounded once, integers wrap. Operands of two dtypes, and other dtypes, go to NumPy
    or torch. No floating-point warnings are raised.

    Examples
    --------
    >>> import numpy as np
    >>> import hotloops as hl
    >>> hl.multiply(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([10.0, 100.0]))
    array([[ 10., 200.],
           [ 30., 400.]])
    """
    return _likes.apply("multiply", {"a": a, "b": b}, out)


@computed_by(_core.add)
def add(a: Any, b: Any, /, out: Any = None) -> Any:
    """Sum element by element, ``a + b``, as `numpy.add`. A vector lands on each row of a matrix.

    Parameters
    ----------
    a : array_like
        As that of `multiply`.
    b : array_like
        As that of `multiply`.
    out : ndarray or Tensor, optional
        Where the result is written; `a` or `b` itself works in place.

    Returns
    -------
    ndarray, Tensor or scalar
        Of the operands' kind and promoted dtype.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        As `multiply`.

    Examples
    --------
    >>> import numpy as np
    >>> import hotloops as hl
    >>> hl.add(np.zeros((2, 3)), np.array([1.0, 2.0, 3.0]))
    array([[1., 2., 3.],
           [1., 2., 3.]])
    """
    return _likes.apply("add", {"a": a, "b": b}, out)


@computed_by(_core.subtract)
def subtract(a: Any, b: Any, /, out: Any = None) -> Any:
    """Difference element by element, ``a - b``, as `numpy.subtract`.

    Parameters
    ----------
    a : array_like
        As that of `multiply`.
    b : array_like
        As that of `multiply`.
    out : ndarray or Tensor, optional
        Where the result is written; `a` or `b` itself works in place.

    Returns
    -------
    ndarray, Tensor or scalar
        Of the operands' kind and promoted dtype.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        As `multiply`.

    Examples
    --------
    >>> import numpy as np
    >>> import hotloops as hl
    >>> hl.subtract(np.array([5, 7]), np.array([[1], [2]]))
    array([[4, 6],
           [3, 5]])
    """
    return _likes.apply("subtract", {"a": a, "b": b}, out)


@computed_by(_core.greater)
def greater(a: Any, b: Any, /, out: Any = None) -> Any:
    """Whether each element of `a` is greater than its counterpart in `b`, as `numpy.greater`.

    Parameters
    ----------
    a : array_like
        As that of `multiply`.
    b : array_like
        As that of `multiply`.
    out : ndarray or Tensor, optional
        Where the result is written.

    Returns
    -------
    ndarray, Tensor or scalar
        Truth values, of the operands' kind. NaN is not greater than anything, nor anything than it.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        As `multiply`.

    See Also
    --------
    all_greater : Whether all are.

    Examples
    --------
    >>> import numpy as np
    >>> import hotloops as hl
    >>> hl.greater(np.array([1.0, 2.0, np.nan]), 1.5)
    array([False,  True, False])
    """
    return _likes.apply("greater", {"a": a, "b": b}, out)


@computed_by(_core.all_greater)
def all_greater(a: Any, b: Any, /) -> bool:
    """Whether every element of `a` is greater than its counterpart in `b`.

    ``bool((a > b).all())`` in one pass: nothing is stored, and the first block of elements that
    decides ends it.

    Parameters
    ----------
    a : array_like
        As that of `multiply`.
    b : array_like
        As that of `multiply`.

    Returns
    -------
    bool
        True also if there are no elements. NaN makes it False.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        As `multiply`.

    See Also
    --------
    greater : Which elements are.

    Examples
    --------
    >>> import numpy as np
    >>> import hotloops as hl
    >>> hl.all_greater(np.array([3.0, 4.0]), np.array([1.0, 2.0]))
    True
    """
    return bool(_likes.apply("all_greater", {"a": a, "b": b}, None))


@computed_by(_core.where)
def where(condition: Any, x: Any, y: Any, /, out: Any = None) -> Any:
    """Elements of `x` where `condition` is true and of `y` elsewhere, as `numpy.where`.

    Parameters
    ----------
    condition : array_like
        Truth values; numbers are true unless they are zero.
    x : array_like
        Chosen where the condition is true.
    y : array_like
        Chosen where it is false. All three shapes are broadcast, as those of `multiply`.
    out : ndarray or Tensor, optional
        Where the result is written; `x` or `y` itself works in place.

    Returns
    -------
    ndarray, Tensor or scalar
        Of the operands' kind and of the promoted dtype of `x` and `y`.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        As `multiply`.

    See Also
    --------
    where_greater : With a comparison as its condition, which is not stored.

    Examples
    --------
    >>> import numpy as np
    >>> import hotloops as hl
    >>> hl.where(np.array([True, False]), np.array([1.0, 2.0]), np.array([[10.0], [20.0]]))
    array([[ 1., 10.],
           [ 1., 20.]])
    """
    return _likes.apply("where", {"condition": condition, "x": x, "y": y}, out)


@computed_by(_core.where_greater)
def where_greater(a: Any, b: Any, x: Any, y: Any, /, out: Any = None) -> Any:
    """Elements of `x` where ``a > b`` and of `y` elsewhere: ``where(a > b, x, y)`` in one pass.

    Parameters
    ----------
    a : array_like
        Compared with `b`.
    b : array_like
        Compared with `a`.
    x : array_like
        Chosen where `a` is greater.
    y : array_like
        Chosen elsewhere. All four shapes are broadcast, as those of `multiply`.
    out : ndarray or Tensor, optional
        Where the result is written; any of the operands works in place.

    Returns
    -------
    ndarray, Tensor or scalar
        Of the operands' kind and of the promoted dtype of `x` and `y`. Where `a` or `b` is NaN
        it is the element of `y`.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        As `multiply`.

    Notes
    -----
    The truth values are not stored if `a` and `b` have one dtype with a kernel, and `x` and `y`
    another, or the same, with as many bytes an element.

    Examples
    --------
    >>> import numpy as np
    >>> import hotloops as hl
    >>> a, b = np.array([1.0, 5.0, np.nan]), np.array([2.0, 3.0, 4.0])
    >>> hl.where_greater(a, b, a, b)
    array([2., 5., 4.])
    """
    return _likes.apply("where_greater", {"a": a, "b": b, "x": x, "y": y}, out)
