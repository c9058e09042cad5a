"""Products of complex numbers: the real ones of twice as large matrices, to the bit."""

from __future__ import annotations

import pickle
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import hotloops
from hotloops import naive
from support import (
    FMA_ISAS,
    KC,
    LAYOUTS,
    MATMUL_SHAPES,
    assert_same_bits,
    assert_within_bound,
    canonical,
    contract_matmul,
    kernels_of,
    normal,
    small_integers,
    wide_range,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support import Array

DTYPES = ["complex64", "complex128"]
# Over many tiles and several blocks, and no multiples of anything; a few rows, one; a column, a dot
# product of a few blocks and of many.
LARGE = [(45, 310, 110), (300, 33, 45), (4, 300, 70), (1, 700, 200), (130, 300, 1)]
LARGE += [(1, 300, 1), (1, 4099, 1)]

each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def numbers(values: Callable[..., Array], seed: int, shape: tuple[int, ...], dtype: Any) -> Array:
    """Return complex numbers whose parts are such values."""
    real, imaginary = values(seed, shape, np.float64), values(seed + 10, shape, np.float64)
    return np.asarray((real + 1j * imaginary).astype(dtype))


def operands(
    values: Callable[..., Array], dtype: Any, shape: tuple[int, int, int] = LARGE[0], *batch: int
) -> tuple[Array, Array]:
    """Make operands of shapes (m, k) and (k, n), the first one perhaps a batch."""
    m, k, n = shape
    return numbers(values, 1, (*batch, m, k), dtype), numbers(values, 2, (k, n), dtype)


def parts(x: Array) -> Array:
    """Return the parts by turns, in rows twice as long."""
    x = np.ascontiguousarray(x)
    return x.view(x.real.dtype)


def in_two_rows(b: Array) -> Array:
    """Return the real matrix by which `parts` are multiplied for the parts of a product with b."""
    k, n = b.shape
    real = np.empty((2 * k, 2 * n), b.real.dtype)
    real[::2] = parts(b)
    real[1::2] = parts(1j * b)
    real[1::2, ::2] = -b.imag  # the sign of a zero, too
    real[1::2, 1::2] = b.real
    return real


def exact(a: Array, b: Array) -> Array:
    """Return the product of small whole numbers."""
    whole = [part.astype(np.int64) for part in (a.real, a.imag, b.real, b.imag)]
    real = np.matmul(whole[0], whole[2]) - np.matmul(whole[1], whole[3])
    imaginary = np.matmul(whole[0], whole[3]) + np.matmul(whole[1], whole[2])
    return np.asarray((real + 1j * imaginary).astype(a.dtype))


def shapes(isa: str, dtype: str) -> Iterator[tuple[int, int, int]]:
    """Yield (m, k, n) around the tiles of the ISA's kernels, and around the block of k."""
    kernels = kernels_of("avx512" if isa == "amx" else isa, dtype)
    assert kernels
    columns = {kernel["nr"] // 2 for kernel in kernels}

    def around(sizes: set[int]) -> list[int]:
        return sorted({0, 1, *(size + i for size in sizes for i in (-1, 0, 1))})

    yield from product(around({kernel["mr"] for kernel in kernels}), (0, 1, 6), around(columns))
    m, n = kernels[0]["mr"] + 1, max(columns) + 1
    yield from ((m, k, n) for k in around({KC // 2, KC}))


# --- Values -----------------------------------------------------------------------------------


@each_dtype
def test_whole_numbers_are_exact_around_the_tiles(any_isa: str, dtype: str) -> None:
    for shape in shapes(any_isa, dtype):
        a, b = operands(small_integers, dtype, shape)
        c = hotloops.matmul(a, b)
        assert c.dtype == dtype
        np.testing.assert_array_equal(c, exact(a, b))


@pytest.mark.usefixtures("any_isa")
@each_dtype
def test_the_bits_are_those_of_the_real_product(dtype: str) -> None:
    for shape in LARGE:
        for values in (normal, wide_range):
            a, b = operands(values, dtype, shape)
            assert_same_bits(
                parts(hotloops.matmul(a, b)), hotloops.matmul(parts(a), in_two_rows(b))
            )


@each_dtype
def test_the_bits_are_those_of_the_definition(isa: str, dtype: str) -> None:
    if isa not in FMA_ISAS:
        pytest.skip("no fused multiply-add")
    few = ((3, 5, 4), (2, KC // 2 + 1, 3), (1, KC + 3, 2), (3, 7, 1))
    for shape in (*few, (19, 150, 1), (6, 3, 20), (1, 2 * KC + 3, 1)):
        a, b = operands(normal, dtype, shape)
        assert_same_bits(parts(hotloops.matmul(a, b)), contract_matmul(parts(a), in_two_rows(b)))


@pytest.mark.usefixtures("any_isa")
@each_dtype
def test_the_error_of_both_parts_is_within_the_bound(dtype: str) -> None:
    for shape in LARGE:
        for values in (normal, wide_range):
            a, b = operands(values, dtype, shape)
            assert_within_bound(parts(hotloops.matmul(a, b)), parts(a), in_two_rows(b))


@each_dtype
def test_the_bound_is_not_met_by_chance(dtype: str) -> None:
    a, b = operands(normal, dtype, (9, 310, 8))
    c = hotloops.matmul(a, b)
    off = c * (1 + 1e3 * np.finfo(c.dtype).eps)
    for wrong in (np.zeros_like(c), c.conj(), c * 1j, off.astype(c.dtype), c * np.nan):
        with pytest.raises(AssertionError):
            assert_within_bound(parts(wrong), parts(a), in_two_rows(b))


@pytest.mark.usefixtures("any_isa")
@each_dtype
@pytest.mark.parametrize("special", [np.nan, np.inf, complex(0, -np.inf), complex(np.inf, np.nan)])
def test_nan_and_infinity(dtype: str, special: complex) -> None:
    # As the definition has it, part by part: nothing is recovered as C's Annex G does.
    a, b = operands(normal, dtype, (40, 150, 70))
    a[30, 7] = special
    b[140, 50] = special
    b[7, 3] = 0  # times infinity: NaN
    with np.errstate(all="ignore"):
        c = parts(hotloops.matmul(a, b))
        expected = np.matmul(parts(a), in_two_rows(b))
    ordinary = np.isfinite(expected)
    assert not ordinary[30].any()
    assert not ordinary[:, 100:102].any()
    np.testing.assert_array_equal(c[~ordinary], expected[~ordinary])
    np.testing.assert_array_equal(np.isfinite(c), ordinary)
    with np.errstate(all="ignore"):
        rows, column = hotloops.matmul(a[29:32], b), hotloops.matmul(a, b[:, 3:4])
    assert_same_bits(canonical(parts(rows)), canonical(c[29:32]))
    assert_same_bits(canonical(parts(column)), canonical(c[:, 6:8]))


# --- Shapes, layouts, threads -----------------------------------------------------------------


@pytest.mark.usefixtures("any_isa")
@each_dtype
def test_batches_vectors_and_nothing(dtype: str) -> None:
    for a_shape, b_shape in MATMUL_SHAPES:
        a, b = (numbers(small_integers, i, s, dtype) for i, s in ((1, a_shape), (2, b_shape)))
        actual, theirs = hotloops.matmul(a, b), np.matmul(a, b)
        assert type(actual) is type(theirs)
        assert actual.dtype == theirs.dtype
        np.testing.assert_array_equal(actual, exact(a, b))


@pytest.mark.usefixtures("any_isa")
@each_dtype
def test_large_batches(dtype: str) -> None:
    a, b = operands(small_integers, dtype, (33, 70, 65), 3)
    np.testing.assert_array_equal(hotloops.matmul(a, b), exact(a, b))
    a, b = b.swapaxes(-1, -2), a.swapaxes(-1, -2)
    np.testing.assert_array_equal(hotloops.matmul(a, b), exact(a, b))


def aligned_to_parts(x: Array) -> Array:
    """Return the same values at an address that is no multiple of theirs, but of their parts'."""
    buffer = np.empty(2 * x.size + 1, x.real.dtype)
    view = buffer[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


@pytest.mark.usefixtures("any_isa")
@each_dtype
@pytest.mark.parametrize("make", [*LAYOUTS.values(), aligned_to_parts])
def test_layouts_change_no_bits(dtype: str, make: Callable[[Array], Array]) -> None:
    for shape in ((37, 300, 70), (3, 140, 33), (30, 70, 1), (1, 2100, 1), (20, 9, 900)):
        a, b = operands(normal, dtype, shape)
        c = hotloops.matmul(a, b)
        assert_same_bits(hotloops.matmul(make(a), make(b)), c)
        out = make(np.full_like(c, np.nan))
        if out.flags.writeable:
            assert hotloops.matmul(a, b, out) is out
            assert_same_bits(np.ascontiguousarray(out), c)
    stretched = np.broadcast_to(a[:1], a.shape)
    assert_same_bits(hotloops.matmul(stretched, b), np.broadcast_to(c[:1], c.shape))
    stretched = np.broadcast_to(b[:, :1], b.shape)
    assert_same_bits(hotloops.matmul(a, stretched), np.broadcast_to(c[:, :1], c.shape))


@pytest.mark.usefixtures("any_isa")
@each_dtype
def test_threads_change_nothing(dtype: str) -> None:
    one = ((400, 1100, 1), (1, 300_000, 1), (1, 900, 800), (120, 200, 130))
    for shape, batch in (*((shape, ()) for shape in one), ((120, 200, 130), (3,))):
        a, b = operands(normal, dtype, shape, *batch)
        with hotloops.threads(1):
            alone = hotloops.matmul(a, b)
        for threads in (2, 5):
            with hotloops.threads(threads):
                assert_same_bits(hotloops.matmul(a, b), alone)


@pytest.mark.usefixtures("any_isa")
@each_dtype
def test_rows_are_the_same_alone(dtype: str) -> None:
    a, b = operands(normal, dtype, (131, 150, 70))
    c = hotloops.matmul(a, b)
    for first, last in ((0, 1), (77, 78), (3, 6), (0, 40), (50, 131)):
        assert_same_bits(hotloops.matmul(a[first:last], b), c[first:last])
    assert_same_bits(hotloops.matmul(a[7], b), c[7])
    assert_same_bits(hotloops.matmul(a[:6].reshape(2, 3, 150), b)[1, 2], c[5])
    for column in (0, 69):
        assert_same_bits(hotloops.matmul(a, b[:, column]), c[:, column])


@pytest.mark.skipif(len(FMA_ISAS & set(hotloops.isas())) < 2, reason="fewer than two ISAs with FMA")
@each_dtype
def test_every_isa_with_fma_gives_the_same_bits(dtype: str) -> None:
    a, b = operands(normal, dtype)
    results = []
    for isa in sorted(FMA_ISAS & set(hotloops.isas())):
        with hotloops.use_isa(isa):
            assert hotloops.isa() == isa
            results.append(hotloops.matmul(a, b))
    for result in results[1:]:
        assert_same_bits(result, results[0])


# --- Types ------------------------------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize("other", ["float16", "float32", "float64", "int8", "int64", "complex64"])
def test_real_operands_are_converted(dtype: str, other: str) -> None:
    x, y = numbers(small_integers, 1, (20, 30), dtype), small_integers(2, (30, 25), other)
    for a, b in ((x, y), (y.T, x.T)):
        c = hotloops.matmul(a, b)
        assert c.dtype == np.matmul(a, b).dtype
        np.testing.assert_array_equal(c, exact(a.astype(c.dtype), b.astype(c.dtype)))
    a, b = (numbers(normal, 1, (20, 30), dtype), normal(2, (30, 25), "float32"))
    wide = np.result_type(a, b)
    assert_same_bits(hotloops.matmul(a, b), hotloops.matmul(a.astype(wide), b.astype(wide)))


def test_dtype_is_the_type_of_the_sums() -> None:
    a, b = operands(normal, "complex64")
    wide = hotloops.matmul(a, b, dtype=np.complex128)
    assert_same_bits(wide, hotloops.matmul(a.astype("complex128"), b.astype("complex128")))
    real = hotloops.matmul(a.real, b.imag, dtype="complex64")
    assert_same_bits(real, hotloops.matmul(a.real + 0j, b.imag + 0j))
    for matmul in (hotloops.matmul, np.matmul):
        with pytest.raises(TypeError):
            matmul(a, b, dtype=np.float64)
        with pytest.raises(TypeError):
            matmul(a, b, np.empty((45, 110), np.float32))


@each_dtype
def test_precision_is_about_float32_alone(dtype: str) -> None:
    a, b = operands(normal, dtype)
    for precision in ("float32", "bf16x6", "bf16"):
        assert_same_bits(hotloops.matmul(a, b, precision=precision), hotloops.matmul(a, b))


@each_dtype
def test_the_naive_twin_agrees(dtype: str) -> None:
    for shape in ((5, 9, 7), (1, 3, 1), (2, 0, 3)):
        a, b = operands(small_integers, dtype, shape)
        c, twin = hotloops.matmul(a, b), naive.matmul(a, b)
        assert c.dtype == twin.dtype
        np.testing.assert_array_equal(c, twin)


# --- Layers and packed matrices ---------------------------------------------------------------


@pytest.mark.usefixtures("any_isa")
@each_dtype
def test_layers(dtype: str) -> None:
    x, kernel = operands(normal, dtype, (2, 150, 70), 21)
    bias, residual = (numbers(normal, i, s, dtype) for i, s in ((3, (70,)), (4, (21, 2, 70))))
    packed = hotloops.pack(kernel)
    sums = hotloops.matmul(x, kernel)
    weight = np.ascontiguousarray(kernel.T)
    for layer, right in (
        (hotloops.dense, kernel),
        (hotloops.linear, weight),
        (hotloops.dense, packed),
        (hotloops.linear, packed),
    ):
        assert_same_bits(layer(x, right), sums)
        assert_same_bits(layer(x, right, bias), sums + bias)
        assert_same_bits(layer(x, right, bias, residual=residual), sums + bias + residual)
        out = np.full((2, 21, 70), np.nan, dtype).swapaxes(0, 1)
        assert layer(x, right, bias, out=out) is out
        assert_same_bits(np.ascontiguousarray(out), sums + bias)
        misaligned = LAYOUTS["misaligned"]
        assert_same_bits(layer(misaligned(x), right, misaligned(bias)), sums + bias)


@each_dtype
def test_layers_of_real_and_complex_operands(dtype: str) -> None:
    x, kernel = operands(small_integers, dtype, (3, 4, 5))
    bias = small_integers(3, (5,), np.float64)
    for layer in (hotloops.dense, naive.dense):
        y = layer(x, kernel.real, bias)
        assert y.dtype == "complex128"
        np.testing.assert_array_equal(y, exact(x, kernel.real + 0j) + bias)


@each_dtype
def test_activations_of_complex_numbers(dtype: str) -> None:
    x, kernel = operands(normal, dtype, (30, 4, 5))
    bias = numbers(normal, 3, (5,), dtype)
    expected = np.maximum(hotloops.matmul(x, kernel) + bias, 0)
    assert 0 < np.count_nonzero(expected) < expected.size
    for right in (kernel, hotloops.pack(kernel)):
        assert_same_bits(hotloops.dense(x, right, bias, activation="relu"), expected)
        out = np.full((30, 5), np.nan, "complex128")
        assert hotloops.dense(x, right, bias, activation="relu", out=out) is out
        np.testing.assert_array_equal(out, expected)
        with pytest.raises(TypeError, match="there is no activation 'gelu' for dtype complex"):
            hotloops.dense(x, right, activation="gelu")


@pytest.mark.usefixtures("any_isa")
@each_dtype
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (3, 5, 7), (70, 300, 130), (4, 300, 70), (4, 0, 5), (0, 3, 2), (2, 3, 0)]
)
def test_packed_matrices_give_the_same_bits(dtype: str, shape: tuple[int, int, int]) -> None:
    a, b = operands(normal, dtype, shape)
    for layout in ("contiguous", "fortran", "strided", "reversed"):
        packed = hotloops.pack(LAYOUTS[layout](b))
        assert (packed.shape, packed.dtype_name) == (b.shape, dtype)
        assert_same_bits(hotloops.matmul(a, packed), hotloops.matmul(a, b))
        assert_same_bits(packed.unpack(), b)
    again = pickle.loads(pickle.dumps(packed))
    assert_same_bits(hotloops.matmul(a, again), hotloops.matmul(a, b))


def test_packed_matrices_of_another_dtype_are_refused() -> None:
    a, b = operands(normal, "complex64", (3, 4, 5))
    packed = hotloops.pack(b)
    for left in (a.real, a.astype("complex128")):
        with pytest.raises(TypeError, match="b was packed with complex64"):
            hotloops.matmul(left, packed)
        with pytest.raises(TypeError, match="kernel was packed with complex64"):
            hotloops.dense(left, packed)
