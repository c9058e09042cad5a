"""A case's arrays: the same values in every process that asks for them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, Literal

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from harness.cases import Case, Layout, Operand

Array = NDArray[Any]
Data = Literal["normal", "wide"]
DATA: tuple[Data, ...] = ("normal", "wide")

WIDE_EXPONENT = 20
"""Wide-range data are normal numbers times 2**e, e uniform in +-WIDE_EXPONENT."""


def unit_roundoff(dtype: str) -> float:
    """Return half the distance from 1 to the next number of a type that rounds."""
    return float(ml_dtypes.finfo(dtype).eps) / 2


def kinds_of_data(dtype: str) -> tuple[Data, ...]:
    """Return the kinds of data for a type: float16 and integers have no wide range."""
    return ("normal",) if dtype == "float16" or "int" in dtype else DATA


@dataclass(frozen=True)
class Operands:
    """The arrays of a case; those that its operation does not have are None."""

    x: Array
    w: Array | None
    bias: Array | None
    out: Array | None
    grad_y: Array | None = None
    """What is pulled back: a gradient with respect to the result."""


def allocate(operand: Operand, dtype: str) -> Array:
    """Allocate an uninitialised array with an operand's shape and layout."""
    shape, layout = operand.shape, operand.layout
    last_axes = min(len(shape), 2)
    batch, matrix = shape[:-last_axes], shape[-last_axes:]
    if layout == "contiguous":
        return np.empty(shape, dtype)
    if layout == "transposed":
        return np.empty(batch + matrix[::-1], dtype).swapaxes(-1, -2)
    if layout == "strided":
        longer = tuple(2 * n for n in matrix)
        return step(np.empty(batch + longer, dtype), 2)
    if layout == "sliced":
        width = shape[-1] + shape[-1] // 2 + 3
        return np.empty((*shape[:-1], width), dtype)[..., : shape[-1]]
    if layout == "reversed":
        return step(np.empty(shape, dtype), -1)
    row = np.empty((*shape[:-2], 1, shape[-1]), dtype)
    strides = (*row.strides[:-2], 0, row.strides[-1])
    return np.lib.stride_tricks.as_strided(row, shape, strides)


def step(array: Array, by: int) -> Array:
    """Step through the last two axes, or the only one."""
    return array[::by] if array.ndim == 1 else array[..., ::by, ::by]


def fill(array: Array, generator: np.random.Generator, data: Data) -> None:
    """Fill an array of any layout with random values: integers over the type's whole range."""
    repeated = array.ndim > 1 and array.strides[-2] == 0 and array.shape[-2] > 1
    target = array[..., :1, :] if repeated else array
    if target.dtype.kind in "iu":
        limits = np.iinfo(target.dtype)
        target[...] = generator.integers(
            limits.min, limits.max, target.shape, target.dtype, endpoint=True
        )
        return
    if target.dtype.kind == "c":
        fill(target.real, generator, data)
        fill(target.imag, generator, data)
        return
    drawn = np.float64 if target.dtype == np.float64 else np.float32
    values = generator.standard_normal(target.shape, dtype=drawn)
    if data == "wide":
        exponents = generator.uniform(-WIDE_EXPONENT, WIDE_EXPONENT, target.shape)
        values *= np.exp2(exponents).astype(values.dtype)
    target[...] = values


def make(case: Case, dtype: str, data: Data = "normal") -> Operands:
    """Make the arrays of a case.

    The values depend on the case, the dtype and the kind of data alone, so that each
    worker process makes its own and all compute the same. They are ordinary arrays from
    the process's own allocator: what a user of the library would have.
    """
    seed = zlib.crc32(f"{case.name}/{dtype}/{data}".encode())
    generator = np.random.default_rng(seed)

    def filled(operand: Operand) -> Array:
        array = allocate(operand, dtype)
        fill(array, generator, data)
        return array

    x = filled(case.x)
    w = None if case.w is None else filled(case.w)
    bias = filled(Operand(case.result_shape[-1:])) if case.is_layer else None
    grad_y = filled(Operand(case.result_shape)) if case.operation == "dense_vjp" else None
    return Operands(x, w, bias, _make_out(case.out, case.result_shape, dtype), grad_y)


def _make_out(layout: Layout | None, shape: tuple[int, ...], dtype: str) -> Array | None:
    if layout is None:
        return None
    out = allocate(Operand(shape, layout), dtype)
    out.fill(np.nan)
    return out
