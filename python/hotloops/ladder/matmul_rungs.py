"""Matrix multiplication, from a loop over array elements to all cores, and to tiles.

The ladder leaves Python twice: first into NumPy, one call at a time, then into C++. The C++ rungs
start again from the three naive loops, which is slower than the better NumPy rungs; so the two
climbs interleave.

The C++ rungs are in csrc/naive.cc and csrc/rungs.cc, the microkernel in csrc/kernels.

The last rungs need a CPU with AMX tiles, and float32. The first of them is as accurate as those
before it; the others are faster still at less precision, which their names and ideas say.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hotloops import _core
from hotloops._operations import matmul
from hotloops._settings import threads, use_isa
from hotloops.ladder.rung import Rung, as_lists
from hotloops.naive import matmul_lists

if TYPE_CHECKING:
    from collections.abc import Callable

Array = NDArray[Any]


def loop_over_elements(a: Array, b: Array) -> Array:
    """Multiply by the definition, indexing the arrays."""
    rows, inner = a.shape
    columns = b.shape[1]
    c = np.zeros((rows, columns), a.dtype)
    for i in range(rows):
        for j in range(columns):
            for p in range(inner):
                c[i, j] += a[i, p] * b[p, j]
    return c


def comprehensions(a: list[list[float]], b: list[list[float]]) -> list[list[float]]:
    """Multiply lists with no index in sight: b is transposed once by zip."""
    columns = list(zip(*b, strict=True))
    return [[sum(map(operator.mul, row, column)) for column in columns] for row in a]


def row_times_column(a: Array, b: Array) -> Array:
    """Compute each element of c by one NumPy product and one NumPy sum."""
    c = np.empty((a.shape[0], b.shape[1]), a.dtype)
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            c[i, j] = (a[i] * b[:, j]).sum()
    return c


def broadcast_row(a: Array, b: Array) -> Array:
    """Compute each row of c at once: row i of a, as a column, times all of b, summed."""
    c = np.empty((a.shape[0], b.shape[1]), a.dtype)
    for i in range(a.shape[0]):
        c[i] = (a[i, :, np.newaxis] * b).sum(axis=0)
    return c


def einsum(a: Array, b: Array) -> Array:
    """Leave all three loops to NumPy."""
    return np.asarray(np.einsum("ip,pj->ij", a, b))


def one_thread(a: Array, b: Array) -> Array:
    """Multiply by the microkernel, on the calling thread."""
    with threads(1):
        return np.asarray(matmul(a, b))


def on_tiles(precision: str) -> Callable[[Array, Array], Array]:
    """Return a function that multiplies on AMX tiles, at a precision of float32."""

    def product(a: Array, b: Array) -> Array:
        with use_isa("amx"):
            return np.asarray(matmul(a, b, precision=precision))

    return product


MATMUL_RUNGS = (
    Rung(
        name="loop over array elements",
        idea="The definition. Every a[i, p] makes a Python object out of eight bytes.",
        language="Python",
        run=loop_over_elements,
    ),
    Rung(
        name="loop over lists",
        idea="The numbers in a list are Python objects already: nothing to make, only to look up.",
        language="Python",
        run=matmul_lists,
        prepare=as_lists,
    ),
    Rung(
        name="list comprehensions",
        idea="No indices: zip, map and sum step through the lists in C.",
        language="Python",
        run=comprehensions,
        prepare=as_lists,
    ),
    Rung(
        name="row times column",
        idea="The inner loop runs in NumPy; each call costs as much as some 60 steps of a list.",
        language="NumPy",
        run=row_times_column,
    ),
    Rung(
        name="i-j-k in C++",
        idea="The same three loops, compiled: no interpreter, but a cache line for each b[p][j].",
        language="C++",
        run=_core.rung_matmul_ijk_scalar,
    ),
    Rung(
        name="broadcast one row",
        idea="NumPy walks along rows of b, as they are stored: gains where columns miss the cache.",
        language="NumPy",
        run=broadcast_row,
    ),
    Rung(
        name="i-k-j in C++",
        idea="The two inner loops change places: b and c are walked along rows, no temporaries.",
        language="C++",
        run=_core.rung_matmul_ikj_scalar,
    ),
    Rung(
        name="einsum",
        idea="NumPy's own i-k-j loop: several elements an instruction (SIMD).",
        language="NumPy",
        run=einsum,
    ),
    Rung(
        name="i-k-j, auto-vectorised",
        idea="The scalar source, compiled with the vectoriser on: einsum's loop without NumPy.",
        language="C++",
        run=_core.rung_matmul_ikj,
    ),
    Rung(
        name="cache blocking",
        idea="All rows of a meet one block of b while it is in cache: gains once b outgrows L2.",
        language="C++",
        run=_core.rung_matmul_blocked,
    ),
    Rung(
        name="packing and register tile",
        idea="A tile of c stays in registers for all of k; its operands lie in the order of use.",
        language="C++",
        run=_core.rung_matmul_register_tile,
    ),
    Rung(
        name="SIMD microkernel",
        idea="The widest vectors and fused multiply-add of this CPU, chosen at run time.",
        language="hotloops",
        run=one_thread,
    ),
    Rung(
        name="OpenMP",
        idea="Every core computes its own part of c.",
        language="hotloops",
        run=matmul,
        threaded=True,
    ),
)

TILE_RUNGS = (
    Rung(
        name="AMX tiles, bf16x6",
        idea="float32 as three bfloat16 each, six tile products: as accurate; gains on large ones.",
        language="hotloops",
        run=on_tiles("bf16x6"),
        threaded=True,
        tile_products=6,
    ),
    Rung(
        name="AMX tiles, bf16x3",
        idea="Precision bf16x3, about 2^-16 a product: two bfloat16 each, three products.",
        language="hotloops",
        run=on_tiles("bf16x3"),
        threaded=True,
        tile_products=3,
        more_roundings=2**9,
    ),
    Rung(
        name="AMX tiles, bf16",
        idea="Precision bf16, about 2^-8 a product: float32 rounded to bfloat16, one product.",
        language="hotloops",
        run=on_tiles("bf16"),
        threaded=True,
        tile_products=1,
        more_roundings=2**17,
    ),
)
