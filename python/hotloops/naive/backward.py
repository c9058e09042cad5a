"""The gradients: the chain rule, written out for lists of Python numbers, and what wraps it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hotloops._primals import Primals
from hotloops.naive import forward
from hotloops.naive.forward import _product, _sigmoid

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# ---- The loops -----------------------------------------------------------------------------------


def relu_gradient_list(z: list[float], grad_y: list[float]) -> list[float]:
    """Let a gradient pass where relu let its input pass.

    >>> relu_gradient_list([-1.5, 0.0, 2.5], [5.0, 6.0, 7.0])
    [0, 0, 7.0]
    """
    return [0 if value <= 0 else grad for value, grad in zip(z, grad_y, strict=True)]


def _sigmoid_slope(z: float) -> float:
    # sigmoid(z) (1 - sigmoid(z)), without the difference, which would cancel.
    return _sigmoid(z) * _sigmoid(-z)


def _tanh_slope(z: float) -> float:
    return (1 - math.tanh(z)) * (1 + math.tanh(z))


def _silu_slope(z: float) -> float:
    return _sigmoid(z) + z * _sigmoid_slope(z)


def _gelu_slope(z: float) -> float:
    # The normal distribution function, and z times the normal density.
    return math.erfc(-z / math.sqrt(2)) / 2 + z * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _gelu_tanh_slope(z: float) -> float:
    u = math.sqrt(2 / math.pi) * (z + 0.044715 * z * z * z)
    slope_of_u = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z * z)
    return _sigmoid(2 * u) + z * _sigmoid_slope(2 * u) * 2 * slope_of_u


def _chain(slope: Callable[[float], float]) -> Callable[[list[float], list[float]], list[float]]:
    return lambda z, grad_y: [grad * slope(value) for value, grad in zip(z, grad_y, strict=True)]


def softmax_gradient_list(z: list[float], grad_y: list[float]) -> list[float]:
    """Pull a gradient back through softmax, where every output depends on every input.

    >>> softmax_gradient_list([0.0, 0.0], [1.0, 0.0])
    [0.25, -0.25]
    """
    y = forward.softmax_list(z)
    total = sum(value * grad for value, grad in zip(y, grad_y, strict=True))
    return [value * (grad - total) for value, grad in zip(y, grad_y, strict=True)]


_CHAIN_RULES: dict[str, Callable[[list[float], list[float]], list[float]]] = {
    "relu": relu_gradient_list,
    "gelu": _chain(_gelu_slope),
    "gelu_tanh": _chain(_gelu_tanh_slope),
    "sigmoid": _chain(_sigmoid_slope),
    "tanh": _chain(_tanh_slope),
    "silu": _chain(_silu_slope),
    "softmax": softmax_gradient_list,
}

# ---- The public functions ------------------------------------------------------------------------


def dense_vjp(
    x: Any, kernel: Any, bias: Any = None, *, activation: str | None = None
) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """`dense` and the function that pulls a gradient back through it, like `hotloops.dense_vjp`.

    It keeps the operands alone, and computes what else it needs again.

    Examples
    --------
    >>> y, pullback = dense_vjp([[1.0, 2.0]], [[3.0], [4.0]], [0.5], activation="relu")
    >>> y
    array([[11.5]])
    >>> grad_x, grad_kernel, grad_bias = pullback([[10.0]])
    >>> grad_x
    array([[30., 40.]])
    """
    primals = Primals("dense_vjp", x=x, kernel=kernel, bias=bias)
    x_array, weights, bias_array = primals.arrays
    y = forward.dense(x_array, weights, bias_array, activation=activation)

    def pullback(grad_y: Any) -> tuple[Any, ...]:
        rows = x_array.reshape(math.prod(x_array.shape[:-1]), x_array.shape[-1])
        grad_z = primals.gradient(grad_y, y.shape).reshape(len(rows), weights.shape[1])
        if activation is not None:
            z = _product(rows, weights)
            if bias_array is not None:
                z = [forward.add_lists(row, bias_array.tolist()) for row in z]
            each = zip(z, grad_z.tolist(), strict=True)
            grad_z = _as_matrix([_CHAIN_RULES[activation](*pair) for pair in each], grad_z.shape)
        grad_x = _as_matrix(_product(grad_z, weights.T), x_array.shape)
        grad_kernel = _as_matrix(_product(rows.T, grad_z), weights.shape)
        grad_bias = None if bias_array is None else np.array([sum(c) for c in grad_z.T.tolist()])
        return primals.like_operands(grad_x, grad_kernel, grad_bias)

    return primals.result(y), pullback


def relu_vjp(x: Any, /) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """`relu` and the function that pulls a gradient back through it, like `hotloops.relu_vjp`.

    Examples
    --------
    >>> y, pullback = relu_vjp([-1.0, 2.0])
    >>> pullback([5.0, 6.0])
    (array([0., 6.]),)
    """
    primals = Primals("relu_vjp", x=x)
    (values,) = primals.arrays

    def pullback(grad_y: Any) -> tuple[Any, ...]:
        gradient = primals.gradient(grad_y, values.shape)
        grad_x = relu_gradient_list(values.ravel().tolist(), gradient.ravel().tolist())
        return primals.like_operands(_as_matrix(grad_x, values.shape))

    return primals.result(np.asarray(forward.relu(values))), pullback


def matmul_vjp(a: Any, b: Any, /) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """`matmul` and the function that pulls a gradient back through it, like `hotloops.matmul_vjp`.

    Examples
    --------
    >>> y, pullback = matmul_vjp([[1.0, 2.0]], [[3.0], [4.0]])
    >>> grad_a, grad_b = pullback([[10.0]])
    >>> grad_a
    array([[30., 40.]])
    """
    primals = Primals("matmul_vjp", a=a, b=b)
    left, right = primals.arrays
    y = np.asarray(forward.matmul(left, right))
    rows = left[np.newaxis, :] if left.ndim == 1 else left
    columns = right[:, np.newaxis] if right.ndim == 1 else right
    batch = np.broadcast_shapes(rows.shape[:-2], columns.shape[:-2])

    def pullback(grad_y: Any) -> tuple[Any, ...]:
        gradient = primals.gradient(grad_y, y.shape)
        gradient = gradient.reshape(*batch, rows.shape[-2], columns.shape[-1])
        grad_rows, grad_columns = np.zeros(rows.shape), np.zeros(columns.shape)
        for index in np.ndindex(batch):
            i, j = _index_in(rows, index), _index_in(columns, index)
            of_rows = _product(gradient[index], columns[j].T)
            of_columns = _product(rows[i].T, gradient[index])
            grad_rows[i] += _as_matrix(of_rows, rows.shape[-2:])
            grad_columns[j] += _as_matrix(of_columns, columns.shape[-2:])
        return primals.like_operands(
            grad_rows.reshape(left.shape), grad_columns.reshape(right.shape)
        )

    return primals.result(y), pullback


def _index_in(operand: NDArray[Any], index: tuple[int, ...]) -> tuple[int, ...]:
    """Return where in its batch an operand has what is used at this place of the whole batch."""
    sizes = operand.shape[:-2]
    own = index[len(index) - len(sizes) :]
    return tuple(0 if size == 1 else i for i, size in zip(own, sizes, strict=True))


def _as_matrix(values: list[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    return np.array(values, np.float64).reshape(shape)
