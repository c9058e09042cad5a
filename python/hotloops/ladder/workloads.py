"""What the ladder computes: real inputs, and what a right result is.

A slow rung cannot finish the whole problem in reasonable time. It gets the first rows of the first
operand and *all* of the others: a row costs the same then as in the whole problem, caches included,
and the rate that is measured on a few rows is the rate for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Array = NDArray[Any]
Op = Literal["matmul", "relu", "dense"]
OPS: tuple[Op, ...] = ("matmul", "relu", "dense")

PROTOTYPES = 128


@dataclass(frozen=True)
class Workload:
    """One problem: an operation and its operands.

    Attributes
    ----------
    op : {"matmul", "relu", "dense"}
        What is computed.
    title, note : str
        The problem in a few words, and what one should know of it.
    operands : tuple of numpy.ndarray
        The first one is what a slow rung gets only the first rows of.
    unit : {"GFLOP/s", "GB/s"}
        In what rates are given.
    work_per_row : float
        Floating-point operations, or bytes to and from memory, for a row of the first operand.
    """

    op: Op
    title: str
    note: str
    operands: tuple[Array, ...]
    unit: Literal["GFLOP/s", "GB/s"]
    work_per_row: float

    @property
    def rows(self) -> int:
        """Rows of the whole problem."""
        return len(self.operands[0])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of all operands."""
        return self.operands[0].dtype

    @property
    def shape(self) -> str:
        """Shapes of the operands that matter, as text."""
        shapes = [" x ".join(map(str, operand.shape)) for operand in self.operands[:2]]
        return " @ ".join(shapes)

    def first_rows(self, rows: int) -> tuple[Array, ...]:
        """Return operands of the same problem with fewer rows."""
        return (self.operands[0][:rows], *self.operands[1:])

    def rate(self, rows: int, seconds: float) -> float:
        """Return FLOP/s or bytes/s, for so many rows in so many seconds."""
        return self.work_per_row * rows / seconds

    def check(self, result: Array, more_roundings: int = 0) -> None:
        """Raise AssertionError if a result, of the first rows, is not right.

        A sum of k products in any order, each product and each sum rounded, is within
        gamma_k * (|a| @ |b|) of the exact one, gamma_k = k * u / (1 - k * u), component by
        component; the bias is one more term. The reference is such a sum itself, hence twice that.
        relu brings numbers closer. `more_roundings` are those of each product of lower precision.
        """
        expected, magnitude = (part[: len(result)] for part in self._reference)
        terms = self.operands[0].shape[1] + (self.op == "dense")
        bound = (self._gamma(terms) + self._gamma(terms + more_roundings)) * magnitude
        if result.shape != expected.shape or not (abs(result - expected) <= bound).all():
            raise AssertionError(f"wrong result for {self.op} {self.title}")

    def _gamma(self, roundings: int) -> float:
        unit_roundoff = float(np.finfo(self.dtype).eps) / 2
        return roundings * unit_roundoff / (1 - roundings * unit_roundoff)

    @cached_property
    def _reference(self) -> tuple[Array, Array]:
        """Reference in float64, and the magnitude of its terms: of relu, which is exact, none."""
        if self.op == "relu":
            expected = np.maximum(self.operands[0], 0)
            return expected, np.broadcast_to(0.0, expected.shape)
        a, b, *bias = (operand.astype(np.float64) for operand in self.operands)
        expected, magnitude = a @ b, abs(a) @ abs(b)
        if bias:
            expected, magnitude = np.maximum(expected + bias[0], 0), magnitude + abs(bias[0])
        return expected, magnitude


def workloads(
    ops: Sequence[Op], sizes: Sequence[int], dtype: np.dtype[Any], *, quick: bool
) -> Iterator[Workload]:
    """Yield the problems of a run, one at a time: the operands of relu take 200 MB.

    Parameters
    ----------
    ops : sequence of {"matmul", "relu", "dense"}
        What to measure.
    sizes : sequence of int
        Sides of the square matrix products.
    dtype : numpy.dtype
        Type of the operands of matmul and dense.
    quick : bool
        Whether to make do with a smaller batch and a smaller relu.
    """
    if "matmul" in ops:
        yield digits_product(dtype, quick=quick)
        for size in sizes:
            yield square_product(size, dtype)
    if "relu" in ops:
        yield large_relu(1000 if quick else 5000)
    if "dense" in ops:
        yield digits_layer(dtype, quick=quick)


def digits_product(dtype: np.dtype[Any], *, quick: bool) -> Workload:
    """Mini-batch of handwritten digits times the weights of a layer."""
    batch, weights, _, accuracy = _digits(dtype, quick=quick)
    return Workload(
        op="matmul",
        title="handwritten digits @ weights",
        note=f"A batch of 8x8 images of digits times {PROTOTYPES} templates, the weights of a "
        f"nearest-template classifier that is right for {accuracy:.0%} of them. The weights fit "
        "in L1: rungs whose idea is a better order of memory cannot gain here.",
        operands=(batch, weights),
        unit="GFLOP/s",
        work_per_row=2 * weights.size,
    )


def digits_layer(dtype: np.dtype[Any], *, quick: bool) -> Workload:
    """Mini-batch of handwritten digits through a dense layer with bias and relu."""
    batch, weights, bias, accuracy = _digits(dtype, quick=quick)
    return Workload(
        op="dense",
        title="handwritten digits through a layer",
        note=f"relu(x @ kernel + bias) for a batch of 8x8 images of digits and {PROTOTYPES} units, "
        "each with a template for its weights: the unit of the nearest template answers loudest, "
        f"and has the right digit for {accuracy:.0%} of the images.",
        operands=(batch, weights, bias),
        unit="GFLOP/s",
        work_per_row=2 * weights.size,
    )


def square_product(size: int, dtype: np.dtype[Any]) -> Workload:
    """Product of two square matrices of normal random numbers."""
    rng = np.random.default_rng(size)
    a, b = (rng.standard_normal((size, size)).astype(dtype) for _ in range(2))
    return Workload(
        op="matmul",
        title=f"square matrices of {size}",
        note="Normal random numbers.",
        operands=(a, b),
        unit="GFLOP/s",
        work_per_row=2 * b.size,
    )


def large_relu(size: int) -> Workload:
    """Relu of a matrix much larger than the caches."""
    x = np.random.default_rng(size).standard_normal((size, size))
    return Workload(
        op="relu",
        title="relu of a large matrix",
        note="Normal random numbers. Rates count each element read once and written once. The peak "
        "is that of negating a matrix in place; relu in place has been seen up to 16% above it.",
        operands=(x,),
        unit="GB/s",
        work_per_row=2 * x[0].nbytes,
    )


def _digits(dtype: np.dtype[Any], *, quick: bool) -> tuple[Array, Array, Array, float]:
    """Images, weights and bias of a nearest-template classifier, and its accuracy.

    The templates are the first images of the data set. The distance from an image x to a template t
    is |x - t|^2 = |x|^2 - 2 (x t - |t|^2 / 2): the nearest template is the one with the largest
    x t - |t|^2 / 2, which is a dense layer with weights t and bias -|t|^2 / 2.
    """
    from sklearn.datasets import load_digits  # part of an extra; slow to import

    pixels, labels = load_digits(return_X_y=True)
    images = pixels / 16  # from 0 to 1; exact, and so are products and sums of them
    templates, batch = images[:PROTOTYPES], images[PROTOTYPES:]
    bias = -(templates**2).sum(axis=1) / 2
    nearest = np.argmax(batch @ templates.T + bias, axis=1)
    accuracy = float(np.mean(labels[:PROTOTYPES][nearest] == labels[PROTOTYPES:]))
    if quick:
        batch = batch[:256]
    weights = np.ascontiguousarray(templates.T, dtype)
    return batch.astype(dtype), weights, bias.astype(dtype), accuracy
