"""References, bounds and array makers that the tests share."""

from __future__ import annotations

import ctypes
import math
import os
import subprocess
import sys
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest

from hotloops import _core

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    Array = npt.NDArray[Any]

KC = 256
FMA_ISAS = frozenset({"avx2", "avx512", "amx", "neon"})
ACTIVATIONS = [None, "relu", "gelu", "gelu_tanh", "sigmoid", "tanh", "silu", "softmax"]
# Operands of matmul: every number of dimensions, broadcasting, and nothing in each of them.
MATMUL_SHAPES = [
    ((3, 4), (4, 5)),
    ((4,), (4,)),
    ((4,), (4, 5)),
    ((3, 4), (4,)),
    ((2, 3, 4), (4, 5)),
    ((3, 4), (2, 4, 5)),
    ((6, 1, 3, 4), (5, 4, 2)),
    ((1, 3, 4), (7, 4, 2)),
    ((2, 3, 4), (4,)),
    ((4,), (2, 4, 3)),
    ((0, 4), (4, 5)),
    ((3, 0), (0, 5)),
    ((3, 4), (4, 0)),
    ((0, 3, 4), (4, 5)),
    ((1, 3, 4), (0, 4, 5)),
    ((1, 1), (1, 1)),
    ((0,), (0,)),
]


# --- Values -----------------------------------------------------------------------------------


def small_integers(seed: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Integers from -4 to 4: their products and sums are exact in every dtype but the smallest."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(dtype)


def normal(seed: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Return standard normal values."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def wide_range(seed: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Return values over 40 binary orders of magnitude, so that sums cancel and absorb."""
    exponents = np.random.default_rng(seed + 1).integers(-20, 21, shape)
    return np.ldexp(normal(seed, shape, np.float64), exponents).astype(dtype)


# --- References -------------------------------------------------------------------------------


def gamma(n: int, unit_roundoff: float) -> float:
    """Return the error factor of n roundings, n*u / (1 - n*u)."""
    return n * unit_roundoff / (1 - n * unit_roundoff)


def assert_within_bound(c: Array, a: Array, b: Array, more_roundings: int = 0) -> None:
    """Fail unless c is a @ b within the contract's bound, component by component.

    `more_roundings` are those of each product, for arithmetics with less precision than c's dtype.

    The reference is formed in long double. The bound is widened by that reference's own error,
    a part in 2048 of it for float64.
    """
    wide = np.longdouble
    a_wide, b_wide = np.asarray(a).astype(wide), np.asarray(b).astype(wide)
    exact = np.matmul(a_wide, b_wide)
    magnitude = np.matmul(abs(a_wide), abs(b_wide))
    assert c.shape == exact.shape, f"shape is {c.shape}, not {exact.shape}"
    assert np.isfinite(magnitude).all(), "the bound holds for finite values only"
    k = a_wide.shape[-1]
    roundings = min(k, KC) + math.ceil(k / KC) + more_roundings
    factor = gamma(roundings, float(np.finfo(c.dtype).eps) / 2)
    factor += gamma(k, float(np.finfo(wide).eps))
    excess = abs(np.asarray(c).astype(wide) - exact) - wide(factor) * magnitude
    # Written so that a NaN fails as well.
    wrong = ~(excess <= 0)
    assert not wrong.any(), (
        f"{np.count_nonzero(wrong)} of {c.size} components outside the bound, "
        f"first at {tuple(int(i) for i in np.argwhere(wrong)[0])}, by {excess[wrong][0]}"
    )


def assert_rounded_once(c: Array, a: Array, b: Array) -> None:
    """Fail unless c, float32 or a half, is a @ b within float32's bound and, if a half, a rounding.

    The bound allows for float32's own underflow and for the reference's error.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    exact, magnitude = np.matmul(a, b), np.matmul(abs(a), abs(b))
    k = a.shape[-1]
    roundings = min(k, KC) + math.ceil(k / KC)
    bound = gamma(roundings, 2.0**-24) * magnitude + k * 2.0**-150 + gamma(k, 2.0**-53) * magnitude
    if c.dtype != np.float32:
        limits = ml_dtypes.finfo(c.dtype)
        u, tiny = float(limits.eps) / 2, float(limits.smallest_subnormal) / 2
        bound += u * (abs(exact) + bound) + tiny
    assert c.shape == exact.shape
    assert (abs(c.astype(np.float64) - exact) <= bound).all()


def fma_float32(x: Array, y: Array, z: Array) -> Array:
    """Return x * y + z, rounded once, for float32 arrays.

    The product is exact in float64. The sum is rounded to odd there, after which rounding to
    float32 cannot round twice (Boldo and Melquiond, 2008).
    """
    product_, z = x.astype(np.float64) * y.astype(np.float64), z.astype(np.float64)
    total = product_ + z
    z_part = total - product_
    error = (product_ - (total - z_part)) + (z - z_part)
    even = total.view(np.int64) % 2 == 0
    towards = np.where(error > 0, np.inf, -np.inf)
    odd = np.where((error != 0) & even, np.nextafter(total, towards), total)
    return np.asarray(odd.astype(np.float32))


@np.vectorize
def _fma_float64(x: float, y: float, z: float) -> float:
    return float(Fraction(x) * Fraction(y) + Fraction(z))


def fma(x: Array, y: Array, z: Array) -> Array:
    """Return x * y + z, rounded once, in the dtype of z, for finite values."""
    if z.dtype == np.float32:
        return fma_float32(x, y, z)
    return np.asarray(_fma_float64(x, y, z))


def contract_matmul(a: Array, b: Array) -> Array:
    """Return a @ b as the numerical contract defines it, for two matrices of one float dtype."""
    total: Array | None = None
    for first in range(0, a.shape[1], KC):
        block = np.zeros((a.shape[0], b.shape[1]), a.dtype)
        for p in range(first, min(first + KC, a.shape[1])):
            block = fma(a[:, p, None], b[None, p, :], block)
        total = block if total is None else total + block
    return np.zeros((a.shape[0], b.shape[1]), a.dtype) if total is None else total


def assert_same_bits(actual: Array, expected: Array) -> None:
    """Fail unless both arrays have the same dtype, shape and bits."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    if actual.tobytes() != expected.tobytes():
        np.testing.assert_array_equal(actual, expected)
        raise AssertionError("equal values, but different bits (the sign of a zero, or a NaN's)")


def canonical(x: Array) -> Array:
    """Return the values with one NaN for all: its sign and payload are not part of the contract."""
    return np.where(np.isnan(x), x.dtype.type(np.nan), x)


# --- Layouts ----------------------------------------------------------------------------------


def _misaligned(x: Array) -> Array:
    buffer = bytearray(x.nbytes + 1)
    view = np.frombuffer(buffer, x.dtype, x.size, offset=1).reshape(x.shape)
    view[...] = x
    return view


def _filler(dtype: np.dtype[Any]) -> Any:
    """Return what must not be read: NaN, where the dtype has it."""
    return 77 if dtype.kind in "?bui" else np.nan


def _strided(x: Array) -> Array:
    spread = np.full([3 * n for n in x.shape], _filler(x.dtype), x.dtype)
    view = spread[tuple(slice(1, None, 3) for _ in x.shape)]
    view[...] = x
    return view


def _reversed(x: Array) -> Array:
    flip = tuple(slice(None, None, -1) for _ in x.shape)
    return x[flip].copy()[flip]


def _padded_rows(x: Array) -> Array:
    wide = np.full((*x.shape[:-1], x.shape[-1] + 5), _filler(x.dtype), x.dtype)
    wide[..., : x.shape[-1]] = x
    return wide[..., : x.shape[-1]]


def _read_only(x: Array) -> Array:
    x = x.copy()
    x.flags.writeable = False
    return x


# Each makes an array of the same values with another layout; what lies between them is NaN.
LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "contiguous": np.ascontiguousarray,
    "fortran": np.asfortranarray,
    "padded_rows": _padded_rows,
    "strided": _strided,
    "reversed": _reversed,
    "misaligned": _misaligned,
    "read_only": _read_only,
}


def overlapping_views(rng: random.Random, shapes: list[tuple[int, ...]], dtype: str) -> list[Array]:
    """Return views of one small memory; the elements of each one alone do not meet."""
    memory = small_integers(rng.randint(0, 99), (500,), dtype)
    views = []
    for shape in shapes:
        strides, stride = [0] * len(shape), rng.randint(1, 3)
        for d in rng.sample(range(len(shape)), len(shape)):
            strides[d] = stride * memory.itemsize
            stride = stride * shape[d] + rng.choice([0, 0, 1])
        start = memory[rng.randint(0, 20) :]
        views.append(np.lib.stride_tricks.as_strided(start, shape, strides))
    return views


# --- Shapes -----------------------------------------------------------------------------------


def kernels_of(isa: str, dtype: npt.DTypeLike) -> list[dict[str, Any]]:
    """Return the descriptions of the matmul kernels of an ISA and dtype, the tallest tile first."""
    name = np.dtype(dtype).name
    return [k for k in _core.kernels() if (k["isa"], k["dtype"]) == (isa, name)]


def tile_shapes(isa: str, dtype: npt.DTypeLike) -> Iterator[tuple[int, int, int]]:
    """Yield every (m, k, n) around the tiles of the kernels and around the block of k."""
    kernels = kernels_of(isa, dtype)

    def around(*tiles: int) -> list[int]:
        return sorted({0, 1, *(tile + i for tile in tiles for i in (-1, 0, 1))})

    rows, columns, depths = ({k[field] for k in kernels} for field in ("mr", "nr", "kr"))
    yield from product(around(*rows), around(*depths, KC), around(*columns))


# --- Memory -----------------------------------------------------------------------------------

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident(field: str) -> int:
    """Return a field of this process' status, in bytes."""
    lines = (line.split() for line in STATUS.read_text().splitlines())
    return next(int(line[1]) for line in lines if line[0] == f"{field}:") * 1024


def peak_extra_memory(call: Callable[[], Any]) -> int:
    """Return by how many bytes a call raises the peak of this process' resident memory."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # glibc's
        trim(0)  # memory that malloc has kept would hide what the call allocates
    CLEAR.write_text("5")  # resets the peak
    before = resident("VmRSS")
    call()
    return resident("VmHWM") - before


needs_proc = pytest.mark.skipif(not CLEAR.exists(), reason="/proc/self/clear_refs is Linux's")


# --- Processes --------------------------------------------------------------------------------


def run_python(program: str, **environment: str) -> str:
    """Run a program in a fresh interpreter and return what it printed; its failure is ours."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- Activations ------------------------------------------------------------------------------

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _gelu_tanh(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


# Activations of float64; steep by at most 1.2 anywhere.
REFERENCES: dict[str | None, Callable[[Array], Array]] = {
    None: lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))),
    "gelu_tanh": _gelu_tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "silu": lambda x: x / (1 + np.exp(-x)),
    "softmax": _softmax,
}
