"""The public operations: arguments and documentation around the compiled core.

The core takes what needs no conversion and answers NotImplemented to everything else, which
`_array_likes` converts.
"""

from __future__ import annotations

from typing import Any

from hotloops import _array_likes, _core
from hotloops._computed import computed_by


@computed_by(_core.matmul)
def matmul(
    a: Any,
    b: Any,
    /,
    out: Any = None,
    *,
    dtype: Any = None,
    precision: str | None = None,
) -> Any:
    """Matrix product of two arrays, as `numpy.matmul`.

    Parameters
    ----------
    a : array_like, shape (..., m, k) or (k,)
        Left operand: NumPy array, torch CPU tensor, or anything that NumPy makes an array of.
    b : array_like, shape (..., k, n) or (k,)
        Right operand, of the same kind. Leading dimensions of both are broadcast; a stretched
        operand is not copied. A one-dimensional operand is a row (a) or a column (b), and its
        dimension is missing in the result.
    out : ndarray or Tensor, shape (..., m, n), optional
        Where the result is written, cast as 'same_kind' if it has another dtype. Its old values
        are not read, and it may overlap the operands.
    dtype : data-type, optional
        Of the computation and the result. By default what NumPy promotes the operands' to.
    precision : {None, 'float32', 'bf16x6', 'bf16x3', 'bf16'}, optional
        The least accuracy that is acceptable for float32; see Notes. By default that of
        `set_float32_precision`, at first 'float32'.

    Returns
    -------
    ndarray, Tensor or scalar
        The product, of the operands' kind; a scalar if both are one-dimensional NumPy arrays.

    Raises
    ------
    ValueError
        If the shapes do not fit each other or `out`, or an operand is a scalar.
    TypeError
        If a dtype cannot be cast, or NumPy arrays and tensors are mixed.
    RuntimeError
        If a tensor requires its gradient while torch records: there would be none.

    Notes
    -----
    float32 and float64 products are defined to the bit: ``c[i, j]`` is a sum over consecutive
    blocks of 256 values of k, added in order, each block one chain of fused multiply-adds from
    zero [1]_. The number of threads, the batch around a row, the strides of the operands and the
    instruction set (of those with FMA) therefore do not change the result. Component by component
    ``|c - exact| <= n u / (1 - n u) (|a| @ |b|)`` with ``n = min(k, 256) + ceil(k / 256)`` and u
    the unit roundoff.

    Integers of 8 to 64 bits are multiplied exactly and wrap as NumPy's do. float16 and bfloat16
    (of the package ml_dtypes, or torch's) are summed in float32 and rounded once; the order of
    bfloat16's sums is that of the CPU's instructions for it, AMX or AVX512-BF16, where it has them,
    and subnormal numbers then count as zero. On AMX tiles a float16 row has other bits than alone,
    within the same bound, if a row near it holds NaN or infinity. Where `dtype` names the type of
    the sums (int32 for int8, uint8 and int16; float32 for the half types), the operands are not
    converted first. uint16, longdouble, clongdouble, bool and object go to `numpy.matmul`.

    A product of complex numbers is the real one of twice as large matrices, to the bit:
    ``c.view(real) = a.view(real) @ d`` with ``d[2p] = (b[p, 0].real, b[p, 0].imag, ...)`` and
    ``d[2p + 1] = (-b[p, 0].imag, b[p, 0].real, ...)``. So blocks have 128 values of k, and the
    bound holds for each part by itself: ``n = min(2 k, 256) + ceil(2 k / 256)``, and ``|a| @ |b|``
    is ``|a.real| @ |b.real| + |a.imag| @ |b.imag|`` for the real part, likewise for the imaginary
    one. NaN and infinity are those of these sums: nothing is recovered as C's Annex G does.

    Other values of `precision` allow products of bfloat16, summed in float32, where the CPU has a
    tile unit (AMX), or for 'bf16' instructions for pairs (AVX512-BF16), and that is faster;
    elsewhere they change nothing. A float32 is then a sum of bfloat16 [2]_: of three for 'bf16x6',
    with six products of them and no larger an error than the bound above; of two for 'bf16x3',
    three products and an error below ``2**-15 |a| @ |b|`` more; of one for 'bf16', and
    ``2**-7 |a| @ |b|``. Values outside the range in which that works, NaN
    and infinity among them, are multiplied as float32. Threads do not change these results either,
    the rest of a batch may.

    References
    ----------
    .. [1] N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., SIAM 2002,
       sections 3.1 and 4.2 (inner products in blocks).
    .. [2] G. Henry, P. T. P. Tang and A. Heinecke, "Leveraging the bfloat16 artificial intelligence
       datatype for higher-precision computations", ARITH 2019.

    Examples
    --------
    >>> import numpy as np
    >>> import hotloops as hl
    >>> hl.matmul(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 0.0], [1.0, 1.0]]))
    array([[3., 2.],
           [7., 4.]])
    """
    return _array_likes.matmul(a, b, out, dtype, precision)


@computed_by(_core.dense)
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
    """Dense layer with Keras' layout: ``activation(x @ kernel + bias + residual)``.

    Bias, residual and activation are applied while the sums are still in registers; there is no
    temporary array.

    Parameters
    ----------
    x : array_like, shape (..., in)
        Inputs, in rows.
    kernel : array_like, shape (in, units)
        Weights.
    bias : array_like, shape (units,), optional
        Added to each row.
    activation : {None, 'relu', 'gelu', 'gelu_tanh', 'sigmoid', 'tanh', 'silu', 'softmax'}, optional
        Applied last; 'softmax' along the last axis. 'gelu' is ``x/2 (1 + erf(x/sqrt(2)))`` and
        'gelu_tanh' its approximation by tanh [1]_; 'silu' is ``x sigmoid(x)``. Of complex numbers
        there is 'relu' alone, in the order that `numpy.maximum` gives them.
    residual : array_like, shape (..., units), optional
        Added before the activation; of the result's shape exactly (no broadcasting).
    out : ndarray or Tensor, shape (..., units), optional
        Where the result is written. Its old values are not read.
    precision : {None, 'float32', 'bf16x6', 'bf16x3', 'bf16'}, optional
        The least accuracy that is acceptable for float32; see `matmul`.

    Returns
    -------
    ndarray or Tensor, shape (..., units)
        Of the operands' kind and promoted dtype. Without an activation the bits are those of
        ``matmul(x, kernel) + bias + residual``; half types are rounded once, after the activation.

    Raises
    ------
    ValueError
        If shapes do not fit, or the activation is unknown.
    TypeError
        If a dtype cannot be cast or has no such activation, or NumPy arrays and tensors are mixed.
    RuntimeError
        If a tensor requires its gradient while torch records.

    See Also
    --------
    linear : The same with torch's layout of the weights.

    References
    ----------
    .. [1] D. Hendrycks and K. Gimpel, "Gaussian Error Linear Units (GELUs)", arXiv:1606.08415.

    Examples
    --------
    >>> import numpy as np
    >>> import hotloops as hl
    >>> x = np.array([[1.0, 2.0]])
    >>> kernel = np.array([[1.0, -1.0, 0.5], [0.0, -1.0, 0.25]])
    >>> hl.dense(x, kernel, np.array([0.0, 1.0, 1.0]), activation="relu")
    array([[1., 0., 2.]])
    """
    return _array_likes.dense(
        x, kernel, bias, activation, residual, out, transposed=False, precision=precision
    )


@computed_by(_core.linear)
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
    """Dense layer with torch's layout: ``activation(x @ weight.T + bias + residual)``.

    Parameters
    ----------
    x : array_like, shape (..., in)
        Inputs, in rows.
    weight : array_like, shape (units, in)
        Weights, one row a unit, as `torch.nn.Linear` has them.
    bias : array_like, shape (units,), optional
        Added to each row.
    activation : {None, 'relu', 'gelu', 'gelu_tanh', 'sigmoid', 'tanh', 'silu', 'softmax'}, optional
        Applied last; see `dense`.
    residual : array_like, shape (..., units), optional
        Added before the activation; of the result's shape exactly (no broadcasting).
    out : ndarray or Tensor, shape (..., units), optional
        Where the result is written. Its old values are not read.
    precision : {None, 'float32', 'bf16x6', 'bf16x3', 'bf16'}, optional
        The least accuracy that is acceptable for float32; see `matmul`.

    Returns
    -------
    ndarray or Tensor, shape (..., units)
        The same bits as ``dense(x, weight.T, bias, activation=activation, residual=residual)``.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        As `dense`.

    See Also
    --------
    dense : The same with Keras' layout of the weights.

    Examples
    --------
    >>> import numpy as np
    >>> import hotloops as hl
    >>> hl.linear(np.array([[1.0, 2.0]]), np.array([[1.0, 0.0], [-1.0, 0.25]]), activation="relu")
    array([[1., 0.]])
    """
    return _array_likes.dense(
        x, weight, bias, activation, residual, out, transposed=True, precision=precision
    )
