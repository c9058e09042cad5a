"""Whether a result is right, and how accurate it is.

A product is compared with a reference in higher precision (float64 for float32, long
double for float64), entry by entry, under the component-wise bound that every honest
summation order meets::

    |C - exact| <= gamma_n * (|A| @ |B|),    gamma_n = n * u / (1 - n * u)

with n = k for any library and n = min(k, 256) + ceil(k / 256) for hotloops, which
promises as much. The reference of a large product is computed for a sample of its rows
and columns, corners included; the entries in between are covered by a probe: the
product's rows summed with random signs, against ``A @ (B @ signs)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from harness.cases import Case
    from harness.operands import Array, Operands

BLOCK = 256
"""Summands in one chain of hotloops' sums."""

MATRICES = 16
"""Most matrices of a batch that are compared entry by entry."""

BUDGET = {"float32": 1e8, "float64": 8e6}
"""Multiply-adds spent on the reference; long double has no fast product."""


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
    """Bound of the relative error of n roundings in a row."""
    u = float(np.finfo(dtype).eps) / 2
    return n * u / (1 - n * u)


def roundings(k: int, library: str) -> int:
    """Length of the longest chain of roundings that a library may have in a sum of k terms."""
    return min(k, BLOCK) + math.ceil(k / BLOCK) if library == "hotloops" else k


def check(
    case: Case, operands: Operands, result: Array, library: str, *, widened: bool = False
) -> Verdict:
    """Check a library's result.

    Parameters
    ----------
    case, operands
        What was computed, from what.
    result : ndarray
        What the library gave.
    library : str
        Its name, for the bound that it must meet.
    widened : bool
        The library returns a wider type than that of the operands by design.

    Returns
    -------
    Verdict
    """
    dtype = operands.x.dtype.name
    if result.shape != case.result_shape:
        return Verdict(f"shape {result.shape}, not {case.result_shape}")
    if result.dtype.name != dtype and not widened:
        return Verdict(f"dtype {result.dtype.name}, not {dtype}")
    if case.operation == "relu":
        equal = np.array_equal(result, np.maximum(operands.x, 0))
        return Verdict(None if equal else "differs from maximum(x, 0)")

    a, b, c = stacked(operands, result)
    sampled = sample(a, b, dtype)
    u = float(np.finfo(dtype).eps) / 2
    n = roundings(case.inner, library)
    exact, magnitude, bound = sampled.exact, sampled.magnitude, gamma(n, dtype) * sampled.magnitude
    if case.operation == "dense":
        assert operands.bias is not None
        bias = operands.bias[sampled.index[2]].astype(exact.dtype)
        z = exact + bias
        magnitude = magnitude + abs(bias)
        exact = activate(case.activation, z)
        # The activations' slopes stay below 1.2; they are computed to a few units in the last
        # place of their value or, where it cancels, of their argument.
        bound = 1.2 * gamma(n + 1, dtype) * magnitude + 8 * u * (abs(exact) + abs(z))
    error = abs(c[sampled.index] - exact)
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
    wide = np.float64 if dtype == "float32" else np.longdouble
    left = a[matrices][:, rows]
    right = b[matrices][:, :, columns]
    exact = np.matmul(left.astype(wide), right.astype(wide))
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
    return bool(np.all(difference <= (gamma(n, dtype) + 2 * own_error) * magnitude))


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
