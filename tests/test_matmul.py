"""matmul computes the product: every kernel, every shape around its tile, every layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hotloops
import support
from support import (
    KC,
    LAYOUTS,
    assert_within_bound,
    normal,
    small_integers,
    tile_shapes,
    wide_range,
)


def assert_exact(a: support.Array, b: support.Array) -> None:
    """Fail unless hotloops.matmul gives NumPy's product of small integers."""
    actual = hotloops.matmul(a, b)
    expected = np.matmul(a.astype(np.int64), b.astype(np.int64))
    assert actual.shape == expected.shape
    assert actual.dtype == np.result_type(a, b)
    np.testing.assert_array_equal(actual, expected)


# --- Every kernel, every shape around its tile ------------------------------------------------


def test_small_integers_are_exact_around_the_tile(isa: str, dtype: np.dtype[Any]) -> None:
    for m, k, n in tile_shapes(isa, dtype):
        assert_exact(small_integers(m + k, (m, k), dtype), small_integers(n + k, (k, n), dtype))


def test_small_integers_are_exact_over_many_tiles(isa: str, dtype: np.dtype[Any]) -> None:
    for kernel in support.kernels_of(isa, dtype):
        m, n = 3 * kernel["mr"] + 1, 5 * kernel["nr"] + 1
        for k in (2 * KC - 1, 2 * KC, 2 * KC + 1):
            assert_exact(small_integers(1, (m, k), dtype), small_integers(2, (k, n), dtype))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize(("m", "k", "n"), [(1500, 3, 5), (3, 5, 9000), (700, 600, 500)])
def test_small_integers_are_exact_over_many_blocks(
    dtype: np.dtype[Any], m: int, k: int, n: int
) -> None:
    a, b = small_integers(1, (m, k), dtype), small_integers(2, (k, n), dtype)
    # OpenBLAS is exact here too, and much faster than NumPy's loop over integers.
    np.testing.assert_array_equal(hotloops.matmul(a, b), np.matmul(a, b))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("threads", [1, 3])
def test_tiles_follow_the_result_to_cache_lines(dtype: np.dtype[Any], threads: int) -> None:
    # Where C begins within a cache line decides where its columns are cut; several blocks of k and
    # of columns, each with less than a tile at its ends.
    m, k, n = 31, KC + 44, 1600
    a, b = small_integers(1, (m, k), dtype), small_integers(2, (k, n), dtype)
    expected = np.matmul(a, b)
    for offset in range(0, 64, dtype.itemsize):
        memory = np.full(m * n * dtype.itemsize + 128, 0xFF, np.uint8)
        start = -memory.ctypes.data % 64 + offset
        out = memory[start : start + m * n * dtype.itemsize].view(dtype).reshape(m, n)
        assert out.ctypes.data % 64 == offset
        with hotloops.threads(threads):
            hotloops.matmul(a, b, out=out)
        np.testing.assert_array_equal(out, expected)
        assert (memory[:start] == 0xFF).all()
        assert (memory[start + out.nbytes :] == 0xFF).all()


@pytest.mark.parametrize("make", [normal, wide_range], ids=lambda make: make.__name__)
def test_identity_gives_the_operand_back(isa: str, dtype: np.dtype[Any], make: Any) -> None:
    shapes = [(k["mr"] + i, k["nr"] + i) for k in support.kernels_of(isa, dtype) for i in (0, 1)]
    for m, n in [*shapes, (70, 300)]:
        x = make(m, (m, n), dtype)
        np.testing.assert_array_equal(hotloops.matmul(x, np.eye(n, dtype=dtype)), x)
        np.testing.assert_array_equal(hotloops.matmul(np.eye(m, dtype=dtype), x), x)


@pytest.mark.parametrize("make", [normal, wide_range], ids=lambda make: make.__name__)
def test_real_values_are_within_the_bound(isa: str, dtype: np.dtype[Any], make: Any) -> None:
    depths = (1, 2, 7, KC - 1, KC, KC + 1, 2 * KC + 1)
    kernels = support.kernels_of(isa, dtype)
    shapes = [(kernel["mr"] + 1, k, kernel["nr"] + 1) for kernel in kernels for k in depths]
    shapes += [(1, 300, 1), (1, 300, 50), (50, 300, 1), (64, 64, 64), (101, 103, 107), (5, 3000, 5)]
    for m, k, n in shapes:
        a, b = make(m + k, (m, k), dtype), make(n + k, (k, n), dtype)
        assert_within_bound(hotloops.matmul(a, b), a, b)


# --- Layouts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("layout_b", LAYOUTS)
@pytest.mark.parametrize("layout_a", LAYOUTS)
def test_any_layout(dtype: np.dtype[Any], layout_a: str, layout_b: str) -> None:
    for m, k, n in [(1, 40, 60), (37, 300, 1), (2, 3, 2), (37, 300, 41)]:
        a, b = small_integers(1, (m, k), dtype), small_integers(2, (k, n), dtype)
        assert_exact(LAYOUTS[layout_a](a), LAYOUTS[layout_b](b))


def test_transposed_views(dtype: np.dtype[Any]) -> None:
    a, b = small_integers(1, (270, 33), dtype), small_integers(2, (45, 270), dtype)
    assert_exact(a.T, b.T)


def test_a_matrix_times_its_own_transpose(dtype: np.dtype[Any]) -> None:
    a = small_integers(1, (50, 270), dtype)
    assert_exact(a, a.T)
    assert_exact(a.T, a)


def test_zero_strides(dtype: np.dtype[Any]) -> None:
    a, b = small_integers(1, (40, 270), dtype), small_integers(2, (270, 50), dtype)
    assert_exact(np.broadcast_to(a[0], a.shape), b)
    assert_exact(np.broadcast_to(a[:, :1], a.shape), b)
    assert_exact(a, np.broadcast_to(b[:, :1], b.shape))
    assert_exact(np.broadcast_to(a[0, 0], a.shape), np.broadcast_to(b[0, 0], b.shape))


def test_overlapping_windows(dtype: np.dtype[Any]) -> None:
    windows = np.lib.stride_tricks.sliding_window_view(small_integers(1, (400,), dtype), 300)
    assert_exact(windows, windows.T)


@given(data=st.data())
def test_any_shape_and_strides(data: st.DataObject) -> None:
    m, k, n = (data.draw(st.integers(0, 40), label=label) for label in "mkn")
    dtype = data.draw(st.sampled_from([np.float32, np.float64]), label="dtype")

    def operand(seed: int, rows: int, columns: int) -> support.Array:
        steps = data.draw(st.tuples(*[st.sampled_from([-3, -2, -1, 1, 2, 3])] * 2), label="steps")
        transposed = data.draw(st.booleans(), label="transposed")
        shape = rows * abs(steps[0]), columns * abs(steps[1])
        x = small_integers(seed, shape[::-1] if transposed else shape, dtype)
        view: support.Array = (x.T if transposed else x)[:: steps[0], :: steps[1]]
        assert view.shape == (rows, columns)
        return view

    assert_exact(operand(1, m, k), operand(2, k, n))


# --- Batches and vectors ----------------------------------------------------------------------

BATCHES = [
    ((7, 3, 4), (7, 4, 5)),
    ((7, 3, 4), (4, 5)),
    ((3, 4), (7, 4, 5)),
    ((1, 3, 4), (7, 4, 5)),
    ((7, 3, 4), (1, 4, 5)),
    ((6, 1, 3, 4), (5, 4, 2)),
    ((2, 1, 3, 1, 4, 4), (5, 3, 7, 4, 1)),
    ((0, 3, 4), (4, 5)),
    ((0, 3, 4), (1, 4, 5)),
    ((3, 0, 4), (3, 4, 5)),
    ((3, 2, 0), (3, 0, 5)),
    ((600, 4, 4), (600, 4, 4)),
    ((40, 33, 30), (40, 30, 31)),
    ((4,), (4,)),
    ((1,), (1,)),
    ((0,), (0,)),
    ((4,), (4, 5)),
    ((3, 4), (4,)),
    ((4,), (6, 4, 5)),
    ((6, 3, 4), (4,)),
    ((2, 6, 3, 4), (4,)),
    ((0,), (0, 5)),
    ((3, 0), (0,)),
    ((3000,), (3000,)),
    ((300,), (300, 70)),
    ((70, 300), (300,)),
]


@pytest.mark.parametrize(("shape_a", "shape_b"), BATCHES)
def test_batches_and_vectors(
    dtype: np.dtype[Any], shape_a: tuple[int, ...], shape_b: tuple[int, ...]
) -> None:
    assert_exact(small_integers(1, shape_a, dtype), small_integers(2, shape_b, dtype))


def test_strided_and_broadcast_batches(dtype: np.dtype[Any]) -> None:
    a = small_integers(1, (6, 5, 8, 9), dtype)[::2, ::-1].swapaxes(-1, -2)
    b = np.broadcast_to(small_integers(2, (1, 5, 8, 7), dtype), (3, 5, 8, 7))
    assert_exact(a, b)


def test_a_product_of_two_vectors_is_a_scalar(dtype: np.dtype[Any]) -> None:
    x = small_integers(1, (30,), dtype)
    assert type(hotloops.matmul(x, x)) is dtype.type


# --- Special values ---------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 4), (0, 4), (3, 0), (0, 0)])
def test_an_empty_inner_dimension_gives_zeros(dtype: np.dtype[Any], shape: tuple[int, int]) -> None:
    m, n = shape
    c = hotloops.matmul(np.empty((m, 0), dtype), np.empty((0, n), dtype))
    support.assert_same_bits(c, np.zeros(shape, dtype))


@pytest.mark.usefixtures("isa")
def test_nan_and_infinity_propagate(dtype: np.dtype[Any]) -> None:
    a, b = small_integers(1, (40, 270), dtype), small_integers(2, (270, 50), dtype)
    a[3, 7], a[4, 200], a[5, 260] = np.nan, np.inf, -np.inf
    b[200, 6] = 0
    b[260, 9], b[260, 10], b[12, 20] = 2, -np.inf, np.nan
    with np.errstate(invalid="ignore"):
        expected = np.matmul(a, b)
    assert np.isnan(expected[3]).all()
    assert np.isnan(expected[4, 6])
    assert expected[5, 9] == -np.inf
    assert np.isfinite(expected[10, 11])
    np.testing.assert_array_equal(hotloops.matmul(a, b), expected)


@pytest.mark.usefixtures("isa")
def test_overflow_gives_infinity(dtype: np.dtype[Any]) -> None:
    huge = np.full((3, 300), np.finfo(dtype).max, dtype)
    np.testing.assert_array_equal(hotloops.matmul(huge, huge.T), np.full((3, 3), np.inf))
    np.testing.assert_array_equal(hotloops.matmul(huge, -huge.T), np.full((3, 3), -np.inf))


@pytest.mark.usefixtures("isa")
def test_subnormals_are_kept(dtype: np.dtype[Any]) -> None:
    tiny = np.full((5, 5), np.finfo(dtype).smallest_subnormal, dtype)
    np.testing.assert_array_equal(hotloops.matmul(tiny, np.eye(5, dtype=dtype)), tiny)


@pytest.mark.usefixtures("isa")
def test_no_floating_point_flag_from_padding(dtype: np.dtype[Any]) -> None:
    a, b = small_integers(1, (5, 300), dtype), small_integers(2, (300, 3), dtype)
    with np.errstate(all="raise"):
        # NumPy reads the flags around its own operations: a flag left behind shows in this one.
        c = hotloops.matmul(a, b) + dtype.type(0)
    assert_within_bound(c, a, b)
