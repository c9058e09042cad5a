"""Operations with their vector-Jacobian products: forward now, gradients on demand.

As in `_operations`, the compiled core takes what needs no conversion and answers NotImplemented to
everything else, which goes through `Primals`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hotloops import _core, _tensors
from hotloops._operations import matmul
from hotloops._primals import Primals

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def dense_vjp(
    x: Any, kernel: Any, bias: Any = None, *, activation: str | None = None
) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """Dense layer and the function that pulls a gradient back through it, as `jax.vjp`.

    Parameters
    ----------
    x : array_like, shape (..., in)
        Inputs, in rows.
    kernel : array_like, shape (in, units)
        Weights.
    bias : array_like, shape (units,), optional
        Added to each row.
    activation : {None, 'relu', 'gelu', 'gelu_tanh', 'sigmoid', 'tanh', 'silu', 'softmax'}, optional
        As for `dense`.

    Returns
    -------
    y : ndarray or Tensor, shape (..., units)
        ``dense(x, kernel, bias, activation=activation)``.
    pullback : callable
        ``pullback(grad_y)`` takes the gradient of a scalar with respect to `y`, an array of its
        shape, and returns the tuple ``grad_x, grad_kernel, grad_bias``: new arrays of the operands'
        shapes and dtypes, with None in the place of a bias that was not given. It may be called
        any number of times.

    Raises
    ------
    ValueError
        If shapes do not fit, that of `grad_y` included, or the activation is unknown.
    TypeError
        If an operand is of integers or another dtype that has no gradients here, or NumPy arrays
        and tensors are mixed.
    RuntimeError
        If a tensor requires its gradient while torch records; `hotloops.torch` has layers for that.

    See Also
    --------
    dense : The layer alone.

    Notes
    -----
    What the pullback keeps is `x`, `kernel` and one array of the size of `y` at most, none of them
    copied. They must not be overwritten before it is called for the last time.

    ==================================== =====================================
    activation                           kept besides `x` and `kernel`
    ==================================== =====================================
    None                                 nothing
    'relu', 'sigmoid', 'tanh', 'softmax' `y`
    'gelu', 'gelu_tanh', 'silu'          ``x @ kernel + bias``
    ==================================== =====================================

    With ``grad_z``, the gradient with respect to ``x @ kernel + bias``, the three gradients are
    ``grad_z @ kernel.T``, ``x.T @ grad_z`` and the sum of the rows of ``grad_z`` (a batch of any
    dimensions counts as one of rows), all by the rule for the sums of `matmul`: over blocks of 256
    units or rows, added in order. So they, too, have the same bits for any number of threads and
    any strides. The only temporary array is a part of ``grad_z``, 8 MB or 256 rows of it at most,
    and there is none without activation. Products of float32 have the precision that
    `set_float32_precision` and `float32_precision` say when they are computed, forward and
    backward.

    At 0, the derivative of 'relu' is 0. Elements of ``grad_z`` below the smallest normal number are
    flushed to 0 (but not those that 'relu' or no activation lets pass): CPUs take a hundred times
    longer for each operation on such numbers.

    Examples
    --------
    >>> import numpy as np
    >>> import hotloops as hl
    >>> x, kernel = np.array([[1.0, 2.0]]), np.array([[1.0, -1.0, 0.5], [0.0, -1.0, 0.25]])
    >>> y, pullback = hl.dense_vjp(x, kernel, np.zeros(3), activation="relu")
    >>> y
    array([[1., 0., 1.]])
    >>> grad_x, grad_kernel, grad_bias = pullback(np.array([[1.0, 1.0, 2.0]]))
    >>> grad_x
    array([[2. , 0.5]])
    >>> grad_kernel
    array([[1., 0., 2.],
           [2., 0., 4.]])
    >>> grad_bias
    array([1., 0., 2.])
    """
    y: Any = NotImplemented
    if _core.has_gradients(x):
        y, saved = _dense_forward(x, kernel, bias, activation)
    if y is NotImplemented:
        return _dense_vjp_of_others(x, kernel, bias, activation)
    has_bias = bias is not None

    def pullback(grad_y: Any) -> tuple[Any, ...]:
        gradients = _core.dense_pullback(
            x, kernel, activation, saved, grad_y, False, True, True, has_bias
        )
        if gradients is NotImplemented:
            primals = Primals("dense_vjp", x=x, kernel=kernel, bias=bias)
            return _dense_gradients(primals, activation, saved, grad_y)
        return gradients  # type: ignore[no-any-return]

    return y, pullback


def relu_vjp(x: Any, /) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """`relu` and the function that pulls a gradient back through it, as `jax.vjp`.

    Parameters
    ----------
    x : array_like
        Any shape.

    Returns
    -------
    y : ndarray, Tensor or scalar
        ``relu(x)``.
    pullback : callable
        ``pullback(grad_y)`` returns the tuple of one gradient, ``(grad_x,)``: `grad_y` where `x` is
        above 0, and 0 elsewhere. It keeps `y`, which must not be overwritten.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        As `dense_vjp`.

    Examples
    --------
    >>> import numpy as np
    >>> import hotloops as hl
    >>> y, pullback = hl.relu_vjp(np.array([-1.0, 0.0, 2.0]))
    >>> pullback(np.array([5.0, 6.0, 7.0]))
    (array([0., 0., 7.]),)
    """
    y = _core.activate("relu", x)
    if y is NotImplemented:
        primals = Primals("relu_vjp", x=x)
        relu_of_x = np.asarray(_core.activate("relu", primals.arrays[0]))
        return primals.result(relu_of_x), lambda grad_y: _relu_gradient(primals, relu_of_x, grad_y)

    def pullback(grad_y: Any) -> tuple[Any, ...]:
        grad_x = _core.activation_grad("relu", y, grad_y)
        if grad_x is NotImplemented:
            return _relu_gradient(Primals("relu_vjp", x=x), y, grad_y)
        return (grad_x,)

    return y, pullback


def matmul_vjp(a: Any, b: Any, /) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """Matrix product and the function that pulls a gradient back through it, as `jax.vjp`.

    Parameters
    ----------
    a : array_like, shape (..., m, k) or (k,)
        Left operand.
    b : array_like, shape (..., k, n) or (k,)
        Right operand. Shapes are those of `matmul`.

    Returns
    -------
    y : ndarray, Tensor or scalar
        ``matmul(a, b)``.
    pullback : callable
        ``pullback(grad_y)`` returns ``(grad_a, grad_b)``, of the operands' shapes and dtypes. The
        gradient of an operand that was stretched over a batch is the sum over the batch. It keeps
        `a` and `b`, which must not be overwritten.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        As `dense_vjp`.

    Notes
    -----
    Sums over the batch are formed as `matmul` does, over blocks of 256 values. Where `b` is one
    matrix for all of `a`, the batch and the rows are one dimension, as for `dense_vjp`.

    Examples
    --------
    >>> import numpy as np
    >>> import hotloops as hl
    >>> y, pullback = hl.matmul_vjp(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))
    >>> pullback(np.array([[10.0]]))
    (array([[30., 40.]]), array([[10.],
           [20.]]))
    """
    primals = Primals("matmul_vjp", a=a, b=b)
    y = np.asarray(matmul(*primals.arrays))

    def pullback(grad_y: Any) -> tuple[Any, ...]:
        left, right = primals.arrays
        return primals.like_operands(
            *_matmul_gradients(left, right, primals.gradient(grad_y, y.shape))
        )

    return primals.result(y), pullback


# ---- Dense layers --------------------------------------------------------------------------------


def _dense_forward(x: Any, kernel: Any, bias: Any, activation: str | None) -> tuple[Any, Any]:
    """Return the layer's result, or NotImplemented, and what its pullback needs of it."""
    if isinstance(activation, str) and activation in _core.SAVES_INPUT:
        z = _core.dense(x, kernel, bias, None, None, None, None)
        return (z, None) if z is NotImplemented else (_core.activate(activation, z), z)
    y = _core.dense(x, kernel, bias, activation, None, None, None)
    return y, None if activation is None else y


def _dense_vjp_of_others(
    x: Any, kernel: Any, bias: Any, activation: str | None
) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    primals = Primals("dense_vjp", x=x, kernel=kernel, bias=bias)
    x, kernel, bias = primals.arrays
    if bias is not None:
        bias = np.asarray(bias, order="C")
    y, saved = _dense_forward(x, kernel, bias, activation)
    return primals.result(y), lambda grad_y: _dense_gradients(primals, activation, saved, grad_y)


def _dense_gradients(
    primals: Primals, activation: str | None, saved: Any, grad_y: Any
) -> tuple[Any, ...]:
    x, kernel, bias = primals.arrays
    gradient = primals.gradient(grad_y, (*x.shape[:-1], kernel.shape[1]))
    kept = None if saved is None else _as_array(saved)
    # The core asks for one stride from row to row.
    x, gradient = np.asarray(x, order="C"), np.asarray(gradient, order="C")
    gradients = _core.dense_pullback(
        x, kernel, activation, kept, gradient, False, True, True, bias is not None
    )
    return primals.like_operands(*gradients)


def _relu_gradient(primals: Primals, y: Any, grad_y: Any) -> tuple[Any, ...]:
    gradient = primals.gradient(grad_y, tuple(np.shape(y)))
    grad_x = _core.activation_grad("relu", _as_array(y), gradient)
    return primals.like_operands(np.asarray(grad_x))


def _as_array(saved: Any) -> NDArray[Any]:
    """Return what a forward pass has saved as an array on its memory."""
    return np.asarray(saved.detach() if _tensors.is_tensor(saved) else saved)


# ---- Products ------------------------------------------------------------------------------------


def _matmul_gradients(
    a: NDArray[Any], b: NDArray[Any], grad_y: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    rows = a[np.newaxis, :] if a.ndim == 1 else a
    columns = b[:, np.newaxis] if b.ndim == 1 else b
    if b.ndim == 1:
        grad_y = grad_y[..., np.newaxis]
    if a.ndim == 1:
        grad_y = grad_y[..., np.newaxis, :]
    grad_rows = _summed(matmul(grad_y, columns.swapaxes(-1, -2)), rows.shape)
    if columns.ndim == 2:
        depth, width = columns.shape
        count = math.prod(rows.shape[:-1])
        grad_columns = matmul(rows.reshape(count, depth).T, grad_y.reshape(count, width))
    else:
        grad_columns = _summed(matmul(rows.swapaxes(-1, -2), grad_y), columns.shape)
    return grad_rows.reshape(a.shape), grad_columns.reshape(b.shape)


def _summed(gradient: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Sum over the dimensions along which an operand of this shape was stretched."""
    extra = gradient.ndim - len(shape)
    sizes = (1,) * extra + shape
    axes = [d for d, size in enumerate(sizes) if size == 1 and gradient.shape[d] != 1]
    if axes:
        first = np.moveaxis(gradient, axes, range(len(axes)))
        count, rest = math.prod(first.shape[: len(axes)]), math.prod(first.shape[len(axes) :])
        ones = np.broadcast_to(gradient.dtype.type(1), (count,))
        gradient = matmul(ones, first.reshape(count, rest))
    return gradient.reshape(shape)
