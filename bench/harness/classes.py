"""The shape classes, as data.

Cases that people meet for the same reason form a class (`SHAPE_CLASSES`), and a class is what the
report summarises. `catalogue` gives the cases of the chosen classes.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.cases import Case, Layout, Operand, layer, product, squares

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class ShapeClass:
    """Cases that people meet for the same reason.

    Attributes
    ----------
    about : str
        One line on what they have in common.
    cases : list of Case
    quick : tuple of str
        Names of those that stand for the class in a ``--quick`` run.
    """

    about: str
    cases: list[Case]
    quick: tuple[str, ...]


def _odd() -> list[Case]:
    # One more than a multiple of the usual register tiles (6x16, 12x32, 14x32 and their halves
    # for float64) and of the usual depth of a block (256): the most wasted padding.
    tile_plus_one = [(7, 257, 17), (13, 257, 33), (15, 257, 33), (29, 257, 65), (141, 513, 321)]
    return squares("odd", (17, 31, 61, 127, 251, 509, 1021)) + [
        product("odd", (m, k), (k, n)) for m, k, n in tile_plus_one
    ]


def _rows() -> list[Case]:
    cases = []
    layouts: tuple[Layout, ...] = ("contiguous", "transposed")
    for layout in layouts:
        cases += [
            product("rows", (rows, 768), (768, 3072), b_layout=layout)
            for rows in (1, 2, 3, 5, 8, 16)
        ]
        cases.append(product("rows", (1, 384), (384, 384), b_layout=layout))
        cases.append(product("rows", (1, 4096), (4096, 4096), b_layout=layout))
    return cases


def _vector() -> list[Case]:
    cases = []
    layouts: tuple[Layout, ...] = ("contiguous", "transposed")
    for layout in layouts:
        for n in (100, 1000, 4000):
            cases.append(product("vector", (n, n), (n,), a_layout=layout))
            cases.append(product("vector", (n,), (n, n), b_layout=layout))
    return cases


def _tall() -> list[Case]:
    return [
        product("tall", (10000, 784), (784, 10)),
        product("tall", (10000, 784), (784, 10), b_layout="transposed"),
        product("tall", (100000, 16), (16, 16)),
        product("tall", (10000, 3), (3, 3)),
        product("tall", (4000, 500), (500, 3)),
        product("tall", (4000, 500), (500, 3), a_layout="transposed"),
        product("tall", (2000, 2000), (2000, 8)),
        product("tall", (10, 784), (784, 10000)),
        product("tall", (8, 2000), (2000, 2000)),
    ]


def _inner() -> list[Case]:
    return [
        product("inner", (1_000_000,), (1_000_000,)),
        product("inner", (1000,), (1000,)),
        product("inner", (1, 100_000), (100_000, 1)),
        product("inner", (8, 100_000), (100_000, 8)),
        product("inner", (37, 20_000), (20_000, 41)),
        product("inner", (64, 16_384), (16_384, 64)),
        product("inner", (64, 16_384), (16_384, 64), a_layout="transposed"),
    ]


def _update() -> list[Case]:
    return [
        product("update", (2000, 1), (1, 2000)),
        product("update", (1000, 3), (3, 1000)),
        product("update", (3000, 3), (3, 3000)),
        product("update", (2000, 16), (16, 2000)),
        product("update", (3000, 64), (64, 3000)),
    ]


def _batch() -> list[Case]:
    return [
        product("batch", (2000, 4, 4), (2000, 4, 4)),
        product("batch", (1000, 8, 8), (1000, 8, 8)),
        product("batch", (512, 32, 32), (512, 32, 32)),
        product("batch", (64, 100, 100), (64, 100, 100)),
        product("batch", (64, 100, 100), (100, 100)),
        product("batch", (100, 100), (64, 100, 100)),
        product("batch", (2000, 4, 4), (4, 4)),
        product("batch", (2000, 1, 32), (2000, 32, 1)),
        product("batch", (8, 1, 64, 64), (1, 8, 64, 64)),
        product("batch", (12, 128, 64), (12, 64, 128), b_layout="transposed"),
        product("batch", (12, 128, 128), (12, 128, 64)),
    ]


def _layout() -> list[Case]:
    pairs: list[tuple[Layout, Layout]] = [
        ("transposed", "contiguous"),
        ("contiguous", "transposed"),
        ("transposed", "transposed"),
        ("sliced", "sliced"),
        ("strided", "strided"),
        ("reversed", "reversed"),
        ("repeated", "contiguous"),
        ("contiguous", "repeated"),
    ]
    return [
        product("layout", (n, n), (n, n), a_layout=a, b_layout=b)
        for n in (100, 512)
        for a, b in pairs
    ]


def _random() -> list[Case]:
    # Nobody chose these shapes, so nobody left any out: sizes whose logarithms are evenly spread,
    # of products that take neither nothing nor seconds. The same in every run.
    draw = random.Random(SEED)
    layouts: tuple[Layout, ...] = ("contiguous", "transposed")
    cases: list[Case] = []
    while len(cases) < 40:
        m, k, n = (round(math.exp(draw.uniform(0, math.log(3000)))) for _ in range(3))
        a_layout, b_layout = draw.choice(layouts), draw.choice(layouts)
        if 2e3 < m * k * n < 1e8:
            cases.append(product("random", (m, k), (k, n), a_layout=a_layout, b_layout=b_layout))
    return cases


def _out() -> list[Case]:
    return [
        product("out", (16, 16), (16, 16), out="contiguous"),
        product("out", (100, 100), (100, 100), out="contiguous"),
        product("out", (1024, 1024), (1024, 1024), out="contiguous"),
        product("out", (2000, 16), (16, 2000), out="contiguous"),
        product("out", (512, 32, 32), (512, 32, 32), out="contiguous"),
        product("out", (512, 512), (512, 512), out="transposed"),
        product("out", (512, 512), (512, 512), out="strided"),
    ]


def _calls() -> list[Case]:
    return [
        product("calls", (4, 4), (4, 4)),
        product("calls", (4, 4), (4, 4), out="contiguous"),
        product("calls", (4,), (4,)),
        Case("calls", "relu", Operand((4, 4))),
        Case("calls", "relu", Operand((4, 4)), out="contiguous"),
        layer("calls", 4, 4, 4, None),
        layer("calls", 4, 4, 4, "relu"),
    ]


def _relu() -> list[Case]:
    return [
        Case("relu", "relu", Operand((5000, 5000)), out="contiguous"),
        Case("relu", "relu", Operand((5000, 5000))),
        Case("relu", "relu", Operand((1000, 1000)), out="contiguous"),
        Case("relu", "relu", Operand((100, 100)), out="contiguous"),
        Case("relu", "relu", Operand((100, 100))),
        Case("relu", "relu", Operand((1000, 1000), "transposed")),
        Case("relu", "relu", Operand((1000, 1000), "strided")),
    ]


def _layers() -> list[Case]:
    shapes = [(4, 4, 4), (8, 8, 8), (4, 16, 16), (16, 10, 10), (1, 64, 64)]
    return [
        layer("layers", *shape, activation)
        for shape in shapes
        for activation in ("relu", "sigmoid", "gelu")
    ]


def _gradients() -> list[Case]:
    cases = [
        layer("gradients", *shape, activation, operation="dense_vjp")
        for shape in ((4, 10, 10), (32, 784, 128), (256, 784, 512))
        for activation in (None, "relu", "sigmoid")
    ]
    cases.append(
        layer("gradients", 256, 784, 512, "relu", operation="dense_vjp", precision="bf16x6")
    )
    return cases


def _dense() -> list[Case]:
    large = [(64, 384, 1536, "gelu"), (1024, 384, 1536, "gelu"), (2048, 512, 512, "sigmoid")]
    return [
        layer("dense", 32, 784, 128, "relu"),
        *(
            layer("dense", rows, inputs, units, activation, precision=precision)
            for precision in (None, "bf16x6")
            for rows, inputs, units, activation in large
        ),
        layer("dense", 1024, 512, 512, None),
    ]


def _precision() -> list[Case]:
    shapes = [(n, n, n) for n in (512, 1024, 2048)] + [(m, 384, 1536) for m in (16, 64, 256)]
    return [
        product("precision", (m, k), (k, n), precision=precision, dtype="float32")
        for precision in ("bf16x6", "bf16x3", "bf16")
        for m, k, n in shapes
    ]


def _packed() -> list[Case]:
    layers = [
        layer("packed", rows, inputs, units, "relu", packed=True)
        for inputs, units in ((384, 1536), (1536, 384))
        for rows in (1, 16, 64, 256)
    ]
    tiles = [
        product("packed", (m, 384), (384, 1536), precision="bf16x6", dtype="float32", packed=True)
        for m in (16, 64, 256)
    ]
    halves = [
        product("packed", (n, n), (n, n), dtype="bfloat16", packed=True) for n in (512, 1024, 2048)
    ]
    return [*layers, *tiles, *halves]


def _dtypes() -> list[Case]:
    sizes = (256, 512, 1024, 2048)
    kinds: list[tuple[str, str | None, tuple[int, ...]]] = [
        ("bfloat16", None, sizes),
        ("float16", None, sizes),
        ("int8", "int32", sizes),
        ("int32", None, sizes),
        ("int64", None, (384,)),
        ("complex64", None, (4, 64, *sizes)),
        ("complex128", None, (4, 64, *sizes)),
    ]
    cases = [
        product("dtypes", (n, n), (n, n), dtype=dtype, result_dtype=result)
        for dtype, result, squares_of in kinds
        for n in squares_of
    ]
    cases += [
        product("dtypes", (1, 2048), (2048, 2048), dtype=dtype, result_dtype=result)
        for dtype, result, _ in kinds[:3]
    ]
    return cases


SEED = 2026
"""Of the random shapes."""

SCALING = "scaling"
"""The class that compares hotloops with itself: one thread against more."""

SHAPE_CLASSES: Mapping[str, ShapeClass] = {
    "tiny": ShapeClass(
        "squares from 2 to 32: the cost of a call",
        squares("tiny", (2, 3, 4, 6, 8, 12, 16, 24, 32)),
        quick=("4x4 @ 4x4", "16x16 @ 16x16"),
    ),
    "square": ShapeClass(
        "squares from 48 to 4096",
        squares("square", (48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096)),
        quick=("64x64 @ 64x64", "512x512 @ 512x512"),
    ),
    "odd": ShapeClass(
        "primes, and tile sizes plus one",
        _odd(),
        quick=("127x127 @ 127x127", "29x257 @ 257x65"),
    ),
    "neighbours": ShapeClass(
        "n - 1 and n + 1 around round sizes: is there a cliff?",
        squares("neighbours", (95, 97, 127, 129, 191, 193, 255, 257, 383, 385, 511, 513)),
        quick=("255x255 @ 255x255", "257x257 @ 257x257"),
    ),
    "rows": ShapeClass(
        "1 to 16 rows times a weight (k, n), or one stored (n, k)",
        _rows(),
        quick=("1x768 @ 768x3072", "8x768 @ 768x3072 transposed"),
    ),
    "vector": ShapeClass(
        "matrix times vector, vector times matrix",
        _vector(),
        quick=("1000x1000 @ 1000", "1000 @ 1000x1000"),
    ),
    "tall": ShapeClass(
        "tall and skinny, short and wide",
        _tall(),
        quick=("100000x16 @ 16x16", "4000x500 @ 500x3"),
    ),
    "inner": ShapeClass(
        "long sums, few results",
        _inner(),
        quick=("1000000 @ 1000000", "37x20000 @ 20000x41"),
    ),
    "update": ShapeClass(
        "rank-k updates: short sums, many results",
        _update(),
        quick=("1000x3 @ 3x1000", "2000x16 @ 16x2000"),
    ),
    "batch": ShapeClass(
        "stacks of matrices, broadcast on either side",
        _batch(),
        quick=("2000x4x4 @ 2000x4x4", "64x100x100 @ 100x100"),
    ),
    "layout": ShapeClass(
        "transposed, sliced, strided, reversed and zero-stride operands",
        _layout(),
        quick=("100x100 transposed @ 100x100 transposed", "512x512 strided @ 512x512 strided"),
    ),
    "out": ShapeClass(
        "the result into a given array",
        _out(),
        quick=("16x16 @ 16x16 out=", "512x512 @ 512x512 out=strided"),
    ),
    "random": ShapeClass(
        "sizes between 1 and 3000 and layouts drawn at random, once and for all",
        _random(),
        quick=("24x67 transposed @ 67x864", "100x460 @ 460x699 transposed"),
    ),
    "calls": ShapeClass(
        "4x4: what one call costs",
        _calls(),
        quick=("4x4 @ 4x4", "relu 4x4", "dense 4x4 @ 4x4 relu"),
    ),
    "relu": ShapeClass(
        "maximum(x, 0), against a copy",
        _relu(),
        quick=("relu 1000x1000 out=", "relu 1000x1000 strided"),
    ),
    "layers": ShapeClass(
        "small layers: product, bias and activation for the cost of a call",
        _layers(),
        quick=("dense 4x4 @ 4x4 relu", "dense 1x64 @ 64x64 relu"),
    ),
    "dense": ShapeClass(
        "product, bias and activation",
        _dense(),
        quick=("dense 32x784 @ 784x128 relu", "dense 64x384 @ 384x1536 gelu"),
    ),
    "gradients": ShapeClass(
        "a layer forward and backward, against torch's autograd: gradients of x, weights and bias",
        _gradients(),
        quick=("dense_vjp 4x10 @ 10x10 relu", "dense_vjp 256x784 @ 784x512 relu"),
    ),
    "precision": ShapeClass(
        "float32 at precisions below its own, against the peers' float32",
        _precision(),
        quick=("512x512 @ 512x512 bf16x6", "64x384 @ 384x1536 bf16x3"),
    ),
    "packed": ShapeClass(
        "weights packed before, against the peers' as they are",
        _packed(),
        quick=("dense 16x384 @ 384x1536 relu packed", "64x384 @ 384x1536 packed bf16x6"),
    ),
    "dtypes": ShapeClass(
        "halves, integers and complex numbers: squares, and one row",
        _dtypes(),
        quick=(
            "256x256 @ 256x256 bfloat16",
            "256x256 @ 256x256 float16",
            "256x256 @ 256x256 int8 to int32",
            "256x256 @ 256x256 int32",
            "384x384 @ 384x384 int64",
            "256x256 @ 256x256 complex64",
            "256x256 @ 256x256 complex128",
        ),
    ),
    SCALING: ShapeClass(
        "one thread against more",
        squares(SCALING, (512, 1024, 2048)),
        quick=("1024x1024 @ 1024x1024",),
    ),
}
"""Every class by its name."""


def catalogue(classes: Iterable[str], *, quick: bool = False) -> list[Case]:
    """List the cases of some classes.

    Parameters
    ----------
    classes : iterable of str
        Keys of `SHAPE_CLASSES`.
    quick : bool
        Only those that a ``--quick`` run measures.

    Returns
    -------
    list of Case

    Examples
    --------
    >>> [case.name for case in catalogue(["tiny"], quick=True)]
    ['4x4 @ 4x4', '16x16 @ 16x16']
    """
    chosen = [SHAPE_CLASSES[name] for name in classes]
    return [
        case for group in chosen for case in group.cases if not quick or case.name in group.quick
    ]
