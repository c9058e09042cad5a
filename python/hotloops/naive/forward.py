"""The forward operations: loops on lists of Python numbers, and what wraps them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hotloops import _arguments, _array_likes, _core, _tensors
from hotloops.naive._wrapping import as_arrays, rounded

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# ---- The loops -----------------------------------------------------------------------------------


@_arguments.names_arguments
def matmul_lists(a: list[list[Any]], b: list[list[Any]]) -> list[list[Any]]:
    """Multiply two matrices: each row of ``a`` with each column of ``b``.

    >>> matmul_lists([[1, 2], [3, 4]], [[5, 6], [7, 8]])
    [[19, 22], [43, 50]]
    """
    rows, inner, columns = len(a), len(b), len(b[0])
    if any(len(row) != inner for row in a):
        raise ValueError("a row of a needs as many values as b has rows")
    if any(len(row) != columns for row in b):
        raise ValueError("the rows of b need as many values each")
    c = [[0] * columns for _ in range(rows)]
    for i in range(rows):
        for j in range(columns):
            total = 0
            for p in range(inner):
                total += a[i][p] * b[p][j]
            c[i][j] = total
    return c


@_arguments.names_arguments
def relu_list(values: list[Any]) -> list[Any]:
    """Replace by zero what is not above it. NaN is neither above nor below: it stays.

    >>> relu_list([-1.5, -0.0, 2.5, float("nan")])
    [0, 0, 2.5, nan]
    """
    return [0 if value <= 0 else value for value in values]


@_arguments.names_arguments
def add_lists(values: list[Any], others: list[Any]) -> list[Any]:
    """Add two lists element by element."""
    return [value + other for value, other in zip(values, others, strict=True)]


def _sigmoid(x: float) -> float:
    # 1 / (1 + exp(-x)); for negative x expanded by exp(x), as exp(-x) would overflow.
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (math.exp(x) + 1)


def _silu(x: float) -> float:
    return x * _sigmoid(x)


def _gelu(x: float) -> float:
    # x times the normal distribution function, (1 + erf(x / sqrt(2))) / 2. erfc(z) = 1 - erf(z)
    # loses nothing where erf is close to -1.
    return x * math.erfc(-x / math.sqrt(2)) / 2


def _gelu_tanh(x: float) -> float:
    # x (1 + tanh(u)) / 2, and (1 + tanh(u)) / 2 = sigmoid(2 u).
    u = math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
    return x * _sigmoid(2 * u)


def softmax_list(values: list[Any]) -> list[Any]:
    """Exponentials divided by their sum; the largest value is taken off first: no overflow."""
    largest = max(values)
    powers = [math.exp(value - largest) for value in values]
    total = sum(powers)
    return [power / total for power in powers]


def _each(function: Callable[[float], float]) -> Callable[[list[Any]], list[Any]]:
    return lambda values: [function(value) for value in values]


_ACTIVATIONS: dict[str, Callable[[list[Any]], list[Any]]] = {
    "relu": relu_list,
    "gelu": _each(_gelu),
    "gelu_tanh": _each(_gelu_tanh),
    "sigmoid": _each(_sigmoid),
    "tanh": _each(math.tanh),
    "silu": _each(_silu),
    "softmax": softmax_list,
}

# ---- The public functions ------------------------------------------------------------------------


@_arguments.names_arguments
def matmul(
    a: Any,
    b: Any,
    /,
    out: Any = None,
    *,
    dtype: Any = None,
    precision: str | None = None,
) -> Any:
    """Matrix product, like `hotloops.matmul`: batches broadcast, vectors are promoted.

    Parameters
    ----------
    a, b : array_like or torch.Tensor
        Shapes (..., m, k) and (..., k, n). A 1-D ``a`` is one row, a 1-D ``b`` one column, and that
        axis is dropped from the result.
    out : numpy.ndarray or torch.Tensor, optional
        Where to put the result, of its shape.
    dtype : data-type, optional
        Type to which the operands are converted and in which the result is returned.
    precision : {None, "float32", "bf16x6", "bf16x3", "bf16"}, optional
        For the signature's sake: the loops know one precision, which is the best.

    Examples
    --------
    >>> matmul([[1, 2], [3, 4]], [5, 6])
    array([17, 39])
    """
    _core.check_precision("matmul", precision)
    if dtype is not None and _tensors.has_tensor(a, b):
        dtype = _tensors.numpy_dtype(dtype)
    (a, b), finish = as_arrays("matmul", {"a": a, "b": b}, out)
    shape = _core.matmul_shape(a.shape, b.shape)  # raises where they do not fit
    dtype = np.result_type(a, b) if dtype is None else _arguments.as_dtype("matmul", "dtype", dtype)
    with _arguments.naming("matmul", a=a, b=b, dtype=dtype):
        a, b = (x.astype(dtype, casting="same_kind") for x in (a, b))
    vectors = (a.ndim == 1) + (b.ndim == 1)
    rows = a[np.newaxis, :] if a.ndim == 1 else a
    columns = b[:, np.newaxis] if b.ndim == 1 else b
    return finish(_matmul_batches(rows, columns).reshape(shape), 2 - vectors)


@_arguments.names_arguments
def relu(x: Any, /, out: Any = None) -> Any:
    """Larger of ``x`` and zero, like `hotloops.relu`; NaN stays NaN.

    Examples
    --------
    >>> relu([-1.0, 0.0, 2.0])
    array([0., 0., 2.])
    """
    return _elementwise("relu", x, out)


@_arguments.names_arguments
def gelu(x: Any, /, out: Any = None) -> Any:
    """Gaussian error linear unit: ``x`` times the normal distribution function at ``x``."""
    return _elementwise("gelu", x, out)


@_arguments.names_arguments
def gelu_tanh(x: Any, /, out: Any = None) -> Any:
    """`gelu` by its usual approximation: ``x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715*x**3)))``."""
    return _elementwise("gelu_tanh", x, out)


@_arguments.names_arguments
def sigmoid(x: Any, /, out: Any = None) -> Any:
    """Logistic function ``1 / (1 + exp(-x))``."""
    return _elementwise("sigmoid", x, out)


@_arguments.names_arguments
def tanh(x: Any, /, out: Any = None) -> Any:
    """Hyperbolic tangent."""
    return _elementwise("tanh", x, out)


@_arguments.names_arguments
def silu(x: Any, /, out: Any = None) -> Any:
    """``x * sigmoid(x)``, also called swish."""
    return _elementwise("silu", x, out)


@_arguments.names_arguments
def softmax(x: Any, /, out: Any = None) -> Any:
    """Exponentials along the last axis, divided by their sum.

    Examples
    --------
    >>> softmax([0.0, 0.0])
    array([0.5, 0.5])
    """
    return _elementwise("softmax", x, out)


@_arguments.names_arguments
def dense(
    x: Any,
    kernel: Any,
    bias: Any = None,
    *,
    activation: str | None = None,
    residual: Any = None,
    out: Any = None,
    precision: str | None = None,
) -> Any:
    """``activation(x @ kernel + bias + residual)``, like `hotloops.dense`.

    Parameters
    ----------
    x : array_like or torch.Tensor
        Inputs, shape (..., in).
    kernel : array_like or torch.Tensor
        Weights, shape (in, units).
    bias : array_like or torch.Tensor, optional
        Shape (units,).
    activation : {None, "relu", "gelu", "gelu_tanh", "sigmoid", "tanh", "silu", "softmax"}
        Applied to every output, softmax to every row of outputs.
    residual : array_like or torch.Tensor, optional
        Added before the activation, of shape (..., units).
    out : numpy.ndarray or torch.Tensor, optional
        Where to put the result, of shape (..., units).
    precision : {None, "float32", "bf16x6", "bf16x3", "bf16"}, optional
        For the signature's sake: the loops know one precision, which is the best.

    Examples
    --------
    >>> dense([[1.0, 2.0]], [[3.0, -4.0], [5.0, -6.0]], [0.5, 0.5], activation="relu")
    array([[13.5,  0. ]])
    """
    return _dense("dense", "kernel", x, kernel, bias, activation, residual, out, precision)


@_arguments.names_arguments
def linear(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    activation: str | None = None,
    residual: Any = None,
    out: Any = None,
    precision: str | None = None,
) -> Any:
    """``activation(x @ weight.T + bias + residual)``, like `hotloops.linear`.

    Parameters are those of `dense`, but for ``weight``: its shape is (units, in).

    Examples
    --------
    >>> linear([1.0, 2.0], [[3.0, 5.0], [-4.0, -6.0]])
    array([ 13., -16.])
    """
    return _dense("linear", "weight", x, weight, bias, activation, residual, out, precision)


# ---- Batches, types and kinds of arrays ----------------------------------------------------------


def _matmul_batches(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Multiply stacks of matrices of one type, one matrix after another."""
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a = np.broadcast_to(a, batch + a.shape[-2:])
    b = np.broadcast_to(b, batch + b.shape[-2:])
    c = np.zeros((*batch, a.shape[-2], b.shape[-1]), a.dtype)
    for index in np.ndindex(batch):
        c[index] = rounded(_product(a[index], b[index]), c.dtype, c.shape[-2:])
    return c


def _product(a: NDArray[Any], b: NDArray[Any]) -> list[list[Any]]:
    if len(b) == 0:  # a list of no rows has no columns that could be counted; an empty sum is 0
        return [[0] * b.shape[1] for _ in range(len(a))]
    return matmul_lists(a.tolist(), b.tolist())


def _dense(
    function: str,
    weights_name: str,
    x: Any,
    weights: Any,
    bias: Any,
    activation: str | None,
    residual: Any,
    out: Any,
    precision: str | None,
) -> Any:
    _core.check_precision(function, precision)
    operands = {"x": x, weights_name: weights, "bias": bias, "residual": residual}
    given = {n: x for n, x in operands.items() if x is not None or n in ("x", weights_name)}
    arrays, finish = as_arrays(function, given, out)
    x, weights, bias, residual = map(dict(zip(given, arrays, strict=True)).get, operands)
    bias_shape = None if bias is None else bias.shape
    shape = _core.dense_shape(x.shape, weights.shape, bias_shape, function == "linear")
    _array_likes.check_residual(function, residual, shape)
    dtype = _activation_dtype(function, activation, np.result_type(*arrays))
    kernel = weights.T if function == "linear" else weights
    rows = _product(x.reshape(math.prod(x.shape[:-1]), x.shape[-1]), kernel)
    if bias is not None:
        rows = [add_lists(row, bias.tolist()) for row in rows]
    if residual is not None:
        addends = residual.reshape(len(rows), shape[-1]).tolist()
        rows = [add_lists(row, addend) for row, addend in zip(rows, addends, strict=True)]
    if activation is not None and shape[-1] > 0:
        rows = [_ACTIVATIONS[activation](row) for row in rows]
    return finish(rounded(rows, dtype, shape), 1)


def _elementwise(name: str, x: Any, out: Any) -> Any:
    """Apply an activation to every row of ``x``: all but softmax do not mind how long a row is."""
    (x,), finish = as_arrays(name, {"x": x}, out)
    if name == "softmax" and x.ndim == 0:
        raise ValueError("softmax: x has 0 dimensions but at least 1 is needed")
    rows = x.reshape(-1, x.shape[-1] if x.ndim > 0 else 1) if x.size > 0 else x
    with _arguments.naming(name, x=x):
        dtype = _activation_dtype(name, name, x.dtype)
    values = [_ACTIVATIONS[name](row) for row in rows.tolist()]
    return finish(rounded(values, dtype, x.shape), 0)


def _activation_dtype(function: str, name: str | None, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the result type: integers leave the integers by all activations but relu."""
    compute_dtype = _array_likes.activation_dtype(function, name, dtype)
    return compute_dtype if dtype.kind in "biu" else dtype
