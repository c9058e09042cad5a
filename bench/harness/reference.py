"""Whether a result is right, and how accurate it is.

A product is compared with a reference in higher precision (float64 for float32, long
double for float64), entry by entry, under the component-wise bound that every honest
summation order meets::

    |C - exact| <= gamma_n * (|A| @ |B|),    gamma_n = n * u / (1 - n * u)

with n = k for any library and n = min(k, 256) + ceil(k / 256) for hotloops, which
promises as much. The reference of a large product is computed for a sample of its rows
and columns, corners included; the entries in between are covered by a probe: the
product's rows summed with random signs, against ``A @ (B @ signs)``.

Complex numbers are compared as what they are made of: each part of a sum of k products is a real
sum of 2k. Halves are summed in float32 and rounded once, which the bound allows for. Integers are
compared modulo 2^bits: whole rows of a product times random weights, which any wrong entry would
change. Products of lower precision have more roundings, as many as hotloops documents.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import ml_dtypes
import numpy as np

from harness.cases import Case, Operand
from harness.operands import Operands, unit_roundoff

if TYPE_CHECKING:
    from harness.libraries import Result
    from harness.operands import Array

BLOCK = 256
"""Summands in one chain of hotloops' sums."""

MATRICES = 16
"""Most matrices of a batch that are compared entry by entry."""

BUDGET = {"float32": 1e8, "float64": 8e6, "bfloat16": 1e10, "float16": 1e10}
"""Multiply-adds spent on the reference; long double has no fast product. Of halves, every entry is
compared: their roundings would hide a wrong one in a sum."""

HALVES = ("bfloat16", "float16")

MORE_ROUNDINGS = {None: 0, "bf16x6": 0, "bf16x3": 2**9, "bf16": 2**17}
"""By how many roundings more than float32's a product may be off, by precision."""


ROUNDINGS_OF_GRAD_Z = 6
"""By how many more gradients may be off: the derivative of an activation, times a gradient."""


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Attributes
    ----------
    problem : str or None
        Why the result is wrong; None for a right one.
    error : float or None
        The largest |C - exact| / (u * (|A| @ |B|)) over the entries compared, the error in units
        of what one rounding of the sum of magnitudes may cost. Products only.
    """

    problem: str | None
    error: float | None = None


@dataclass(frozen=True)
class Sampled:
    """Some entries of a product: reference, magnitudes |A| @ |B| and where they are."""

    exact: Array
    magnitude: Array
    index: tuple[Array, ...]


def gamma(n: int, dtype: str) -> float:
    """Bound of the relative error of n roundings in a row, of a half's sums in float32."""
    u = unit_roundoff("float32" if dtype in HALVES else dtype)
    return n * u / (1 - n * u)


def rounded_once(bound: Array, values: Array, dtype: str) -> Array:
    """Widen the bound of sums by the one rounding of the result, if it is a half."""
    if dtype not in HALVES:
        return bound
    tiny = float(ml_dtypes.finfo(dtype).smallest_subnormal) / 2
    return np.asarray(bound + unit_roundoff(dtype) * (abs(values) + bound) + tiny)


def roundings(k: int, library: str) -> int:
    """Length of the longest chain of roundings that a library may have in a sum of k terms."""
    return min(k, BLOCK) + math.ceil(k / BLOCK) if library == "hotloops" else k


def check(
    case: Case,
    operands: Operands,
    result: Result,
    library: str,
    *,
    widened: bool = False,
    more_roundings: int = 0,
) -> Verdict:
    """Check a library's result.

    Parameters
    ----------
    case, operands
        What was computed, from what.
    result : ndarray, or tuple of ndarray
        What the library gave.
    library : str
        Its name, for the bound that it must meet.
    widened : bool
        The library returns a wider type than that of the operands by design.
    more_roundings : int
        That the operands have had where the library used them, but not here.

    Returns
    -------
    Verdict
    """
    if isinstance(result, tuple):
        return check_gradients(case, operands, result, library)
    dtype = operands.x.dtype.name
    if result.shape != case.result_shape:
        return Verdict(f"shape {result.shape}, not {case.result_shape}")
    # NumPy's product of ml_dtypes' bfloat16 is float32, which spares it a rounding.
    wanted = [case.result_dtype or dtype, *(["float32"] if dtype == "bfloat16" else [])]
    if result.dtype.name not in wanted and not widened:
        return Verdict(f"dtype {result.dtype.name}, not {wanted[0]}")
    if case.operation == "relu":
        equal = np.array_equal(result, np.maximum(operands.x, 0))
        return Verdict(None if equal else "differs from maximum(x, 0)")

    a, b, c = stacked(operands, result)
    if operands.x.dtype.kind in "iu":
        return Verdict(None, 0.0) if same_integers(a, b, c) else Verdict("not the exact integers")
    if a.dtype.kind == "c":
        a, b, c = in_parts(a, b, c)
        dtype = a.dtype.name
    sampled = sample(a, b, dtype)
    u = unit_roundoff(dtype)
    n = roundings(a.shape[-1], library) + more_roundings
    n += MORE_ROUNDINGS[case.precision] if library == "hotloops" else 0
    exact, magnitude = sampled.exact, sampled.magnitude
    bound = rounded_once(gamma(n, dtype) * magnitude, exact, dtype)
    if case.operation == "dense":
        assert operands.bias is not None
        bias = operands.bias[sampled.index[2]].astype(exact.dtype)
        z = exact + bias
        magnitude = magnitude + abs(bias)
        exact = activate(case.activation, z)
        # The activations' slopes stay below 1.2; they are computed to a few units in the last
        # place of their value or, where it cancels, of their argument.
        bound = 1.2 * gamma(n + 1, dtype) * magnitude + 8 * u * (abs(exact) + abs(z))
    error = abs(c[sampled.index].astype(exact.dtype) - exact)
    if not np.all(error <= bound):
        worst = np.unravel_index(
            np.nanargmax(np.where(np.isfinite(error), error, np.inf)), error.shape
        )
        place = tuple(int(np.broadcast_to(i, error.shape)[worst]) for i in sampled.index)
        return Verdict(f"error {error[worst]:.3g} at {place}, allowed {bound[worst]:.3g}")
    if case.operation == "dense":
        return Verdict(None)
    if not probe(a, b, c, n, dtype):
        return Verdict("some row sums to what it must not")
    with np.errstate(invalid="ignore"):
        relative = np.where(magnitude > 0, error / (u * magnitude), 0.0)
    return Verdict(None, float(relative.max()))


def check_gradients(
    case: Case, operands: Operands, result: tuple[Array, ...], library: str
) -> Verdict:
    """Check a layer and its gradients, each a product: a sum of rows is that of a row of ones.

    The activation's derivative is taken at the y that the library gave, once that is right: what
    is next to 0 may be on either side of relu's edge.
    """
    x, w = operands.x, operands.w
    assert w is not None
    assert operands.grad_y is not None
    y, *gradients = result
    verdict = check(replace(case, operation="dense"), operands, y, library)
    if verdict.problem is not None:
        return verdict
    slope = derivative(case.activation, y.astype(np.longdouble))
    grad_z = (operands.grad_y * slope).astype(x.dtype)
    ones = np.ones((1, len(x)), x.dtype)
    for name, a, b, gradient in zip(
        ("x", "w", "bias"), (grad_z, x.T, ones), (w.T, grad_z, grad_z), gradients, strict=True
    ):
        left, right = Operand(a.shape), Operand(b.shape)
        product = Case(case.shape_class, "matmul", left, right, precision=case.precision)
        factors = Operands(a, b, None, None)
        rows = gradient[np.newaxis] if name == "bias" else gradient
        verdict = check(product, factors, rows, library, more_roundings=ROUNDINGS_OF_GRAD_Z)
        if verdict.problem is not None:
            return Verdict(f"gradient of {name}: {verdict.problem}")
    return Verdict(None)


def stacked(operands: Operands, result: Array) -> tuple[Array, Array, Array]:
    """View operands and result as stacks: (batch, m, k), (batch, k, n), (batch, m, n)."""
    a, b = operands.x, operands.w
    assert b is not None
    a = a[np.newaxis, :] if a.ndim == 1 else a
    b = b[:, np.newaxis] if b.ndim == 1 else b
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    count = math.prod(batch)
    a = np.broadcast_to(a, batch + a.shape[-2:])
    b = np.broadcast_to(b, batch + b.shape[-2:])
    if len(batch) > 1:
        a, b = a.reshape(count, *a.shape[-2:]), b.reshape(count, *b.shape[-2:])
    elif not batch:
        a, b = a[np.newaxis], b[np.newaxis]
    return a, b, result.reshape(count, a.shape[-2], b.shape[-1])


def in_parts(a: Array, b: Array, c: Array) -> tuple[Array, Array, Array]:
    """Write a stack of products of complex numbers as the real one that has its parts by turns."""
    real_b = np.empty((len(b), 2 * b.shape[-2], 2 * b.shape[-1]), b.real.dtype)
    real_b[:, ::2, ::2] = real_b[:, 1::2, 1::2] = b.real
    real_b[:, ::2, 1::2] = b.imag
    real_b[:, 1::2, ::2] = -b.imag
    real_a, real_c = (np.ascontiguousarray(x).view(x.real.dtype) for x in (a, c))
    return real_a, real_b, real_c


def sample(a: Array, b: Array, dtype: str) -> Sampled:
    """Compute some entries of a stack of products in higher precision."""
    batch, m, k = a.shape
    n = b.shape[-1]
    matrices = pick(batch, MATRICES)
    entries = max(1, int(BUDGET[dtype] / (k * len(matrices))))
    side = math.isqrt(entries)
    row_count = min(m, max(side, entries // n, 1))
    column_count = min(n, max(entries // row_count, 1))
    rows, columns = pick(m, row_count), pick(n, column_count)
    wide = np.longdouble if dtype == "float64" else np.float64
    left = a[matrices][:, rows].astype(wide)
    right = b[matrices][:, :, columns].astype(wide)
    exact = np.matmul(left, right)
    magnitude = np.matmul(abs(left).astype(np.float64), abs(right).astype(np.float64))
    return Sampled(exact, magnitude, np.ix_(matrices, rows, columns))


def pick(size: int, count: int) -> Array:
    """Choose count of the indices 0 .. size - 1: both ends, the rest at random."""
    if count >= size:
        return np.arange(size)
    if count == 1:
        return np.array([size - 1])
    inside = np.random.default_rng(size).choice(size - 2, count - 2, replace=False) + 1
    return np.concatenate(([0], np.sort(inside), [size - 1]))


def probe(a: Array, b: Array, c: Array, n: int, dtype: str) -> bool:
    """Compare every row's sum with random signs with that of the exact product."""
    signs = np.random.default_rng(1).choice([-1.0, 1.0], c.shape[-1])
    a, b, c = a.astype(np.float64), b.astype(np.float64), c.astype(np.float64)
    difference = abs(c @ signs - (a @ (b @ signs)[..., np.newaxis])[..., 0])
    magnitude = (abs(a) @ abs(b).sum(axis=-1)[..., np.newaxis])[..., 0]
    own_error = gamma(a.shape[-1] + c.shape[-1], "float64")
    bound = (gamma(n, dtype) + 2 * own_error) * magnitude
    return bool(np.all(difference <= rounded_once(bound, abs(c).sum(axis=-1), dtype)))


def same_integers(a: Array, b: Array, c: Array) -> bool:
    """Tell whether c is a @ b modulo 2^bits of its type, by random sums of its columns.

    A wrong row passes with a probability below 2^-bits times the largest power of two in what it
    is off by; after R. Freivalds.
    """
    generator = np.random.default_rng(1)
    limits = np.iinfo(np.int64)
    weights = generator.integers(limits.min, limits.max, (c.shape[-1], 1), endpoint=True)
    a, b, wide_c = a.astype(np.int64), b.astype(np.int64), c.astype(np.int64)
    difference = np.matmul(a, np.matmul(b, weights)) - np.matmul(wide_c, weights)
    return not difference.astype(c.dtype).any()


def activate(activation: str | None, z: Array) -> Array:
    """Apply an activation in the precision of its argument (GELU's erf: in float64)."""
    if activation is None:
        return z
    if activation == "relu":
        return np.asarray(np.maximum(z, 0))
    if activation == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-z)))
    if activation == "gelu":
        erfc = np.vectorize(math.erfc, otypes=[np.float64])
        return np.asarray(0.5 * z * erfc(-z.astype(np.float64) / math.sqrt(2)))
    raise ValueError(f"no reference for the activation {activation!r}")


def derivative(activation: str | None, y: Array) -> Array:
    """Differentiate an activation, from its result."""
    if activation is None:
        return np.ones_like(y)
    if activation == "relu":
        return np.asarray(y > 0, y.dtype)
    if activation == "sigmoid":
        return np.asarray(y * (1 - y))
    raise ValueError(f"no reference for the derivative of {activation!r}")
