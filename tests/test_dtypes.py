"""matmul of halves and integers: every kernel, sums that wrap, one rounding, dtype=, out=."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest

import hotloops
from hotloops import _core, naive
from support import (
    KC,
    LAYOUTS,
    MATMUL_SHAPES,
    assert_rounded_once,
    assert_same_bits,
    contract_matmul,
    normal,
    small_integers,
    wide_range,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support import Array


class Kind(NamedTuple):
    """The dtypes of both operands, and the one asked for."""

    a: str
    b: str
    dtype: str | None = None

    def __str__(self) -> str:
        """Name it in a test's name."""
        operands = self.a if self.a == self.b else f"{self.a} and {self.b}"
        return operands if self.dtype is None else f"{operands} to {self.dtype}"


INTEGERS = ["int8", "uint8", "int16", "int32", "uint32", "int64", "uint64"]
INTEGER_KINDS = [
    *(Kind(dtype, dtype) for dtype in INTEGERS),
    *(Kind(a, b, "int32") for a, b in product(["int8", "uint8"], repeat=2)),
    Kind("uint8", "int8"),
    Kind("int16", "int16", "int32"),
    Kind("int32", "int32", "int64"),
    Kind("int32", "int32", "int8"),
]
HALF_KINDS = [
    Kind(dtype, dtype, result) for dtype in ("bfloat16", "float16") for result in (None, "float32")
]
KINDS = INTEGER_KINDS + HALF_KINDS
PLAIN_KINDS = [kind for kind in KINDS if kind.dtype is None]
# Those of whose second operand all panels can be packed before: no conversion comes between.
PACKED_KINDS = [kind for kind in KINDS if kind.dtype is None or kind.a != "int32"]
# Above the sizes at which tiles are used, over several blocks, and no multiples.
LARGE = [(150, 413, 170), (40, 1100, 70), (300, 64, 45)]

each_kind = pytest.mark.parametrize("kind", KINDS, ids=str)
each_integer_kind = pytest.mark.parametrize("kind", INTEGER_KINDS, ids=str)
each_half_kind = pytest.mark.parametrize("kind", HALF_KINDS, ids=str)


def full_range(seed: int, shape: tuple[int, ...], dtype: Any) -> Array:
    """Return integers from all of a dtype's range."""
    limits = np.iinfo(dtype)
    drawn = np.random.default_rng(seed).integers(
        limits.min, limits.max, shape, np.dtype(dtype), endpoint=True
    )
    return np.asarray(drawn)


def extremes(seed: int, shape: tuple[int, ...], dtype: Any) -> Array:
    """Return nothing but the smallest and the largest integer of a dtype."""
    limits = np.iinfo(dtype)
    chosen = np.random.default_rng(seed).integers(0, 2, shape)
    return np.array([limits.min, limits.max], dtype)[chosen]


def operands(
    values: Any, kind: Kind, shape: tuple[int, int, int] = LARGE[0], *batch: int
) -> tuple[Array, Array]:
    """Make operands of shapes (m, k) and (k, n), the first one perhaps a batch."""
    m, k, n = shape
    return values(1, (*batch, m, k), np.dtype(kind.a)), values(2, (k, n), np.dtype(kind.b))


def shapes(isa: str, kind: Kind) -> Iterator[tuple[int, int, int]]:
    """Yield (m, k, n) around the tiles of the ISA's kernels for such operands, and around KC."""
    names = {kind.a, f"{kind.a}_{kind.b}", kind.a.removeprefix("u"), "float32"}
    isas = {isa, "avx512"} if isa == "amx" else {isa}
    kernels = [k for k in _core.kernels() if k["isa"] in isas and k["dtype"] in names]
    assert kernels
    rows, columns, depths = ({k[field] for k in kernels} for field in ("mr", "nr", "kr"))

    def around(sizes: set[int]) -> set[int]:
        return {0, 1, *(size + i for size in sizes for i in (-1, 0, 1))}

    m, n = max(rows) + 1, max(columns) + 1
    yield from ((rows_, 5, n) for rows_ in around(rows))
    yield from ((m, 5, columns_) for columns_ in around(columns))
    yield from ((m, k, n) for k in around(depths | {KC}))


def expected(a: Array, b: Array, dtype: Any) -> Array:
    """Return the product modulo 2^bits; of halves, whose sums float32 must hold, rounded once."""
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        return np.asarray(np.matmul(a.astype(np.uint64), b.astype(np.uint64)).astype(dtype))
    exact = np.matmul(a.astype(np.float64), b.astype(np.float64))
    assert (exact == exact.astype(np.float32)).all()
    return np.asarray(exact.astype(dtype))


def assert_exact(kind: Kind, a: Array, b: Array) -> None:
    """Fail unless hotloops.matmul gives exactly the integers that it must."""
    c = hotloops.matmul(a, b, dtype=kind.dtype)
    if a.dtype.kind in "iu":
        assert c.dtype == (kind.dtype or np.result_type(a, b))
    np.testing.assert_array_equal(c, expected(a, b, c.dtype))


# --- Integers ---------------------------------------------------------------------------------


@each_integer_kind
def test_the_reference_is_that_of_pythons_integers(kind: Kind) -> None:
    for values in (full_range, extremes):
        a, b = operands(values, kind, (5, 67, 6))
        dtype = np.dtype(kind.dtype or np.result_type(a, b))
        low, count = int(np.iinfo(dtype).min), 2 ** (8 * dtype.itemsize)
        exact = a.astype(object) @ b.astype(object)
        wrapped = (exact - low) % count + low
        np.testing.assert_array_equal(expected(a, b, dtype).astype(object), wrapped)
        widened = dtype.itemsize > max(a.itemsize, b.itemsize)
        assert widened or (exact != wrapped).any(), "nothing wraps"


@each_integer_kind
def test_integers_are_exact_around_the_tiles(any_isa: str, kind: Kind) -> None:
    for shape in shapes(any_isa, kind):
        assert_exact(kind, *operands(full_range, kind, shape))


@pytest.mark.usefixtures("any_isa")
@each_integer_kind
def test_integers_are_exact_over_many_tiles(kind: Kind) -> None:
    for shape in LARGE:
        assert_exact(kind, *operands(full_range, kind, shape))
        # Intermediate sums of instructions for short integers may saturate.
        assert_exact(kind, *operands(extremes, kind, shape))


@pytest.mark.usefixtures("any_isa")
@each_integer_kind
def test_a_row_of_integers_is_exact(kind: Kind) -> None:
    for k, n in ((1, 1), (2, 7), (31, 8), (33, 31), (64, 70), (300, 257), (513, 300)):
        a, b = operands(full_range, kind, (1, k, n))
        spread = np.repeat(a, 3, axis=1)[:, ::3]
        for left, right in ((a, b), (spread, b), (a, np.asfortranarray(b)), (spread, b[:, ::-1])):
            assert_exact(kind, left, right)
        assert_exact(kind, b.T, a.T)


@pytest.mark.usefixtures("any_isa")
def test_narrow_results_over_several_blocks_of_everything() -> None:
    a, b = operands(full_range, Kind("int8", "int8"), (1060, 1170, 1190))
    exact = np.matmul(a.astype(np.float64), b.astype(np.float64)).astype(np.int64)
    transposed = np.empty(exact.shape[::-1], np.int8).T
    for threads, out in ((1, None), (2, None), (5, None), (2, transposed)):
        with hotloops.threads(threads):
            c = hotloops.matmul(a, b, out)
        np.testing.assert_array_equal(c, exact.astype(np.int8))


# --- Halves -----------------------------------------------------------------------------------


@each_half_kind
def test_whole_numbers_are_rounded_once_around_the_tiles(any_isa: str, kind: Kind) -> None:
    for shape in shapes(any_isa, kind):
        assert_exact(kind, *operands(small_integers, kind, shape))


@pytest.mark.usefixtures("any_isa")
@each_half_kind
def test_halves_are_within_the_bound(kind: Kind) -> None:
    for shape in [*LARGE, (1, 700, 40), (4, 300, 1), (33, 33, 33)]:
        for values in (normal, wide_range) if kind.a == "bfloat16" else (normal,):
            a, b = operands(values, kind, shape)
            c = hotloops.matmul(a, b, dtype=kind.dtype)
            assert c.dtype in (kind.a, "float32") if kind.dtype is None else c.dtype == kind.dtype
            assert_rounded_once(c, a, b)


@each_half_kind
def test_the_bound_is_not_met_by_chance(kind: Kind) -> None:
    a, b = operands(normal, kind)
    dtype = np.dtype(kind.dtype or kind.a)
    once = np.matmul(a.astype(np.float64), b.astype(np.float64)).astype(dtype)
    assert_rounded_once(once, a, b)
    eps = float(ml_dtypes.finfo(dtype).eps)
    off = (once.astype(np.float64) * (1 + 8 * eps)).astype(dtype)
    wrong = [np.zeros_like(once), once * np.nan]
    # The last place of float32 is below the bound of so long a sum.
    wrong += [] if dtype == np.float32 else [off]
    for c in wrong:
        with pytest.raises(AssertionError):
            assert_rounded_once(c.astype(dtype), a, b)


@pytest.mark.usefixtures("any_isa")
@pytest.mark.parametrize("size", [3, 40])
def test_float16_overflows_where_float32_does_not(size: int) -> None:
    a, b = np.zeros((2, size, size), np.float16)
    a[:, 0], a[:, 1] = 65504, 1  # the largest, and what rounds there or to the next power of two
    b[0], b[1, 0], b[1, 1:] = 1, 15, 16
    b[0, 2] = -1
    b[1, 2] = -16
    with np.errstate(all="ignore"):
        c = hotloops.matmul(a, b)
        sums = hotloops.matmul(a, b, dtype=np.float32)
    row = np.full(size, np.inf)
    row[0], row[2] = 65504, -np.inf
    np.testing.assert_array_equal(c, np.broadcast_to(row.astype(np.float16), c.shape))
    row = np.full(size, 65520.0)
    row[0], row[2] = 65519, -65520
    np.testing.assert_array_equal(sums, np.broadcast_to(row.astype(np.float32), c.shape))


@pytest.mark.usefixtures("any_isa")
@each_half_kind
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity(kind: Kind, special: float) -> None:
    a, b = operands(normal, kind, (70, 300, 65))
    a[40, 7] = special
    b[250, 50] = special
    b[7, 3] = 0  # times infinity: NaN
    with np.errstate(all="ignore"):
        c = hotloops.matmul(a, b, dtype=kind.dtype).astype(np.float64)
        exact = np.matmul(a.astype(np.float64), b.astype(np.float64))
    ordinary = np.isfinite(exact)
    assert not ordinary[40].any()
    assert not ordinary[:, 50].any()
    np.testing.assert_array_equal(c[~ordinary], exact[~ordinary])
    rows, columns = np.arange(70) != 40, np.arange(65) != 50
    result = hotloops.matmul(a[rows], b[:, columns], dtype=kind.dtype)
    assert_rounded_once(result, a[rows], b[:, columns])
    np.testing.assert_array_equal(np.isfinite(c), ordinary)


def has_bf16_instruction(isa: str) -> bool:
    """Return whether pairs of bfloat16 are multiplied, instead of float32."""
    return isa == "avx512" and "avx512_bf16" in _core.cpu_features()


@each_half_kind
def test_subnormal_halves(isa: str, kind: Kind) -> None:
    flushed = kind.a == "bfloat16" and has_bf16_instruction(isa)
    limits = ml_dtypes.finfo(np.dtype(kind.a))
    tiny = float(limits.smallest_subnormal)
    a = (small_integers(1, (40, 50), np.float64) * tiny).astype(kind.a)
    for scale in (1.0, 1024.0):
        b = (small_integers(2, (50, 45), np.float64) * scale).astype(kind.b)
        c = hotloops.matmul(a, b, dtype=kind.dtype)
        exact = np.matmul(a.astype(np.float64), b.astype(np.float64))
        assert np.count_nonzero(exact) > exact.size / 2
        np.testing.assert_array_equal(c, np.zeros_like(c) if flushed else exact.astype(c.dtype))


@pytest.mark.parametrize("k", [1, 2, 9, KC, KC + 3, 3 * KC])
def test_sums_of_bfloat16_to_the_bit(isa: str, k: int) -> None:
    """As the contract has them, but that AVX512-BF16 begins with the second product of a pair."""
    if isa == "baseline":
        pytest.skip("it rounds the products")
    a, b = (
        normal(seed, shape, np.float32).astype(ml_dtypes.bfloat16)
        for seed, shape in ((1, (15, k)), (2, (k, 35)))
    )
    order = np.arange(k)
    if has_bf16_instruction(isa):
        pairs = order[: k // 2 * 2]
        pairs ^= 1
    c = hotloops.matmul(a, b, dtype="float32")
    wide_a, wide_b = a[:, order].astype(np.float32), b[order].astype(np.float32)
    assert_same_bits(c, contract_matmul(wide_a, wide_b))
    assert_same_bits(hotloops.matmul(a, b), c.astype(ml_dtypes.bfloat16))


# --- Both: shapes, layouts, results, threads ---------------------------------------------------


@pytest.mark.usefixtures("any_isa")
@each_kind
def test_batches_vectors_and_nothing(kind: Kind) -> None:
    for a_shape, b_shape in MATMUL_SHAPES:
        a, b = small_integers(1, a_shape, kind.a), small_integers(2, b_shape, kind.b)
        assert_exact(kind, a, b)
        actual, theirs = hotloops.matmul(a, b), np.matmul(a, b)
        assert (type(actual) is np.ndarray) == (type(theirs) is np.ndarray)
        assert actual.shape == theirs.shape


@pytest.mark.usefixtures("any_isa")
@each_kind
def test_large_batches(kind: Kind) -> None:
    a, b = operands(small_integers, kind, (33, 70, 65), 3)
    assert_exact(kind, a, b)
    assert_exact(kind, b.swapaxes(-1, -2), a.swapaxes(-1, -2))


@pytest.mark.usefixtures("any_isa")
@each_kind
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(kind: Kind, layout: str) -> None:
    for shape in ((37, 300, 70), (29, 1021, 96), (2, 40, 33), (130, 9, 1)):
        a, b = operands(small_integers, kind, shape)
        assert_exact(kind, LAYOUTS[layout](a), LAYOUTS[layout](b))
    assert_exact(kind, np.broadcast_to(a[:1], a.shape), b)


def out_dtypes(kind: Kind) -> list[str]:
    """Return dtypes that a result of this kind may be cast to."""
    result = np.result_type(np.dtype(kind.a), np.dtype(kind.b))
    wider = ["float64", "float32", "int64", "uint64", result.name]
    return [name for name in wider if np.can_cast(result, name, "same_kind")]


@pytest.mark.usefixtures("any_isa")
@pytest.mark.parametrize("kind", PLAIN_KINDS, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_out(kind: Kind, layout: str) -> None:
    a, b = operands(small_integers, kind, (37, 9, 40))  # sums that every dtype but int8 holds
    for name in out_dtypes(kind):
        out = LAYOUTS[layout](np.zeros((37, 40), name))
        if not out.flags.writeable:
            with pytest.raises(ValueError, match="read-only"):
                hotloops.matmul(a, b, out)
            continue
        assert hotloops.matmul(a, b, out) is out
        product_ = expected(a, b, np.result_type(a, b))
        np.testing.assert_array_equal(out, product_.astype(name))


@pytest.mark.usefixtures("any_isa")
@each_kind
def test_threads_change_nothing(kind: Kind) -> None:
    values = normal if kind in HALF_KINDS else full_range
    for batch in ((), (3,)):
        a, b = operands(values, kind, (120, 300, 130), *batch)
        with hotloops.threads(1):
            alone = hotloops.matmul(a, b, dtype=kind.dtype)
        for threads in (2, 5):
            with hotloops.threads(threads):
                assert_same_bits(hotloops.matmul(a, b, dtype=kind.dtype), alone)


@pytest.mark.usefixtures("any_isa")
@each_kind
def test_rows_are_the_same_alone(kind: Kind) -> None:
    values = normal if kind in HALF_KINDS else full_range
    a, b = operands(values, kind, (131, 300, 130))
    c = hotloops.matmul(a, b, dtype=kind.dtype)
    for first, last in ((0, 1), (77, 78), (130, 131), (3, 6), (0, 40), (50, 131)):
        part = hotloops.matmul(a[first:last], b, dtype=kind.dtype)
        assert_same_bits(part, c[first:last])
    assert_same_bits(hotloops.matmul(a[7], b, dtype=kind.dtype), c[7])
    assert_same_bits(hotloops.matmul(a[:6].reshape(2, 3, 300), b, dtype=kind.dtype)[1, 2], c[5])


@pytest.mark.usefixtures("any_isa")
@pytest.mark.parametrize("dtype", [None, "float32"])
def test_rows_are_the_same_alone_where_products_are_subnormal(dtype: str | None) -> None:
    bfloat16 = ml_dtypes.bfloat16
    a, b = (
        (normal(seed, shape, np.float32) * np.float32(2.0**-63)).astype(bfloat16)
        for seed, shape in ((1, (40, 1300)), (2, (1300, 150)))
    )
    c = hotloops.matmul(a, b, dtype=dtype)
    assert (c != 0).any()
    for rows in (1, 2, 3, 5):
        for right in (b, np.asfortranarray(b), np.repeat(b, 2, axis=1)[:, ::2]):
            assert_same_bits(hotloops.matmul(a[:rows], right, dtype=dtype), c[:rows])


@pytest.mark.usefixtures("any_isa")
@each_half_kind
@pytest.mark.parametrize("special", [None, np.nan, np.inf])
def test_a_row_of_any_width_is_the_same_alone(kind: Kind, special: float | None) -> None:
    for k, n in ((1, 1), (17, 33), (31, 64), (300, 1), (300, 7), (300, 161), (513, 96)):
        a, b = operands(normal, kind, (5, k, n))
        if special is not None:  # of B: one of A changes the bits of the rows beside it
            b[k // 2, n // 3] = special
        with np.errstate(all="ignore"):
            c = hotloops.matmul(a, b, dtype=kind.dtype)
            assert np.isnan(c).any() or np.isinf(c).any() or special is None
            for right in (b, np.asfortranarray(b), np.repeat(b, 2, axis=1)[:, ::2]):
                for row in range(5):
                    alone = hotloops.matmul(a[row : row + 1], right, dtype=kind.dtype)
                    assert_same_bits(alone, c[row : row + 1])
                with hotloops.threads(3):
                    assert_same_bits(hotloops.matmul(a[:1], right, dtype=kind.dtype), c[:1])


@pytest.mark.usefixtures("any_isa")
@each_half_kind
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_change_no_bits(kind: Kind, layout: str) -> None:
    for shape in ((37, 300, 70), (3, 700, 33), (130, 70, 1)):
        a, b = operands(normal, kind, shape)
        c = hotloops.matmul(a, b, dtype=kind.dtype)
        assert_same_bits(
            hotloops.matmul(LAYOUTS[layout](a), LAYOUTS[layout](b), dtype=kind.dtype), c
        )


def in_lines(x: Array) -> Array:
    """Return the same values from the beginning of a cache line on."""
    buffer = np.empty(x.nbytes + 64, np.uint8)
    start = -buffer.ctypes.data % 64
    view = buffer[start : start + x.nbytes].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


@pytest.mark.usefixtures("any_isa")
@pytest.mark.parametrize("kind", PACKED_KINDS, ids=str)
def test_rows_that_are_tiles_as_they_lie_change_no_bits(kind: Kind) -> None:
    values = normal if kind in HALF_KINDS else full_range
    apart = LAYOUTS["padded_rows"]
    for shape in ((32, 64, 32), (64, 192, 70), (96, 512, 40), (64, 1152, 33)):
        a, b = operands(values, kind, shape)
        packed = hotloops.pack(b)
        for right in (b, packed):
            c = hotloops.matmul(apart(a), right, dtype=kind.dtype)
            assert_same_bits(hotloops.matmul(in_lines(a), right, dtype=kind.dtype), c)


# --- Types ------------------------------------------------------------------------------------


@pytest.mark.parametrize("a", [*INTEGERS, "float16", "float32", "float64"])
@pytest.mark.parametrize("b", [*INTEGERS, "float16", "float32", "float64"])
def test_results_have_numpys_dtype(a: str, b: str) -> None:
    x, y = small_integers(1, (4, 5), a), small_integers(2, (5, 3), b)
    actual, theirs = hotloops.matmul(x, y), np.matmul(x, y)
    assert actual.dtype == theirs.dtype
    np.testing.assert_array_equal(actual, theirs)


@pytest.mark.parametrize(
    ("a", "b", "result"),
    [
        ("bfloat16", "bfloat16", "bfloat16"),
        ("bfloat16", "float32", "float32"),
        ("float64", "bfloat16", "float64"),
    ],
)
def test_results_of_bfloat16(a: str, b: str, result: str) -> None:
    # Rounded as torch does. NumPy, which has no product of bfloat16, returns float32 for two.
    x, y = small_integers(1, (4, 5), a), small_integers(2, (5, 3), b)
    for matmul in (hotloops.matmul, naive.matmul):
        assert matmul(x, y).dtype == result
        np.testing.assert_array_equal(matmul(x, y), expected(x, y, result))


@pytest.mark.parametrize("kind", [Kind("float16", "float16", "int32"), Kind("int8", "int8", "S1")])
def test_dtypes_that_operands_cannot_be_cast_to(kind: Kind) -> None:
    a, b = operands(small_integers, kind, (2, 3, 4))
    for matmul in (np.matmul, hotloops.matmul):
        with pytest.raises(TypeError):
            matmul(a, b, dtype=kind.dtype)


@each_kind
def test_the_naive_twin_agrees(kind: Kind) -> None:
    for shape in ((5, 9, 7), (1, 3, 1)):
        values = small_integers if kind in HALF_KINDS else full_range
        a, b = operands(values, kind, shape)
        c, twin = hotloops.matmul(a, b, dtype=kind.dtype), naive.matmul(a, b, dtype=kind.dtype)
        assert c.dtype == twin.dtype
        np.testing.assert_array_equal(c, twin)


@pytest.mark.parametrize("other", ["float16", "int16", "int32", "uint64"])
def test_what_bfloat16_has_no_common_dtype_with(other: str) -> None:
    # NumPy finds one for the product: a type that holds both.
    x, y = small_integers(1, (4, 5), "bfloat16"), small_integers(2, (5, 3), other)
    for a, b in ((x, y), (y.T, x.T)):
        actual, theirs = hotloops.matmul(a, b), np.matmul(a, b)
        assert actual.dtype == theirs.dtype
        np.testing.assert_array_equal(actual, theirs)


# --- One row ----------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("k", [KC + 8, 2 * KC, 3 * KC + 16])
@pytest.mark.usefixtures("any_isa")
def test_one_row_over_blocks_of_k_and_columns(kind: Kind, k: int) -> None:
    """Whether the row is packed, and interleaved with what, depends on the columns and on k."""
    values = full_range if kind in INTEGER_KINDS else small_integers
    for n in (1, 512, 1024, 2300):
        a, b = operands(values, kind, (1, k, n))
        want = expected(a, b, kind.dtype or np.result_type(a, b))
        lefts, rights = (a, LAYOUTS["strided"](a)), (b, LAYOUTS["fortran"](b))
        for threads, left, right in product((1, 2), lefts, rights):
            with hotloops.threads(threads):
                got = hotloops.matmul(left, right, dtype=kind.dtype)
                np.testing.assert_array_equal(got, want)
                got = hotloops.matmul(left[0], right, dtype=kind.dtype)
                np.testing.assert_array_equal(got, want[0])
        if kind in PACKED_KINDS:
            got = hotloops.matmul(a, hotloops.pack(b), dtype=kind.dtype)
            np.testing.assert_array_equal(got, want)
        if kind.dtype is None:
            np.testing.assert_array_equal(hotloops.einsum("ij,jk->ik", a, b), want)
        if kind.dtype is None and kind in HALF_KINDS:
            np.testing.assert_array_equal(hotloops.dense(a, b), want)
            np.testing.assert_array_equal(hotloops.linear(a, b.T), want)
