"""dense and linear: a product, a bias, an activation; fused, and the same as one after another."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import hotloops
import support
from hotloops import _core
from support import LAYOUTS, REFERENCES, assert_same_bits, normal, small_integers

SHAPES = [((3, 4), 5), ((1, 300), 70), ((37, 257), 41), ((2, 5, 30), 20), ((30,), 20), ((0, 4), 5)]


def operands(shape: tuple[int, ...], units: int, dtype: np.dtype[Any]) -> tuple[support.Array, ...]:
    kernel = normal(2, (shape[-1], units), dtype) / dtype.type(math.sqrt(shape[-1]))
    return normal(1, shape, dtype), kernel, normal(3, (units,), dtype)


@pytest.fixture(params=REFERENCES, ids=str)
def activation(request: pytest.FixtureRequest) -> Any:
    """Run the test with every activation."""
    return request.param


# --- Values -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("isa")
def test_against_float64(dtype: np.dtype[Any], activation: Any) -> None:
    x, kernel, bias = operands((37, 257), 41, dtype)
    y = hotloops.dense(x, kernel, bias, activation=activation)
    wide = [value.astype(np.longdouble) for value in (x, kernel, bias)]
    exact = np.matmul(wide[0], wide[1]) + wide[2]
    expected = REFERENCES[activation](exact.astype(np.float64))
    # The error of the sum, through a function that is hardly steeper than 1, and that function's
    # own: a few units in the last place.
    magnitude = np.matmul(abs(wide[0]), abs(wide[1])) + abs(wide[2])
    unit = float(np.finfo(dtype).eps) / 2
    of_sum = support.gamma(256 + 2 + 1, unit) * magnitude.astype(np.float64)
    if activation == "softmax":
        of_sum = expected * (2 * of_sum.max(axis=-1, keepdims=True) + 41 * unit)
    tolerance = 1.2 * of_sum + 16 * unit * abs(expected) + 1e-15 * abs(exact.astype(np.float64))
    assert (abs(y - expected) <= tolerance).all()
    # What such a tolerance would pass, it must not: zeros.
    assert (abs(expected) > tolerance).mean() > 0.4


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize(("shape", "units"), SHAPES)
def test_fused_is_one_after_another(
    dtype: np.dtype[Any], activation: Any, shape: tuple[int, ...], units: int
) -> None:
    x, kernel, bias = operands(shape, units, dtype)
    for b in (bias, None):
        y = hotloops.matmul(x, kernel) if b is None else hotloops.matmul(x, kernel) + b
        if activation is not None:
            y = _core.activate(activation, y)
        assert_same_bits(hotloops.dense(x, kernel, b, activation=activation), y)
        assert_same_bits(hotloops.linear(x, kernel.T, b, activation=activation), y)


def test_small_integers_are_exact(isa: str, dtype: np.dtype[Any]) -> None:
    for m, k, n in support.tile_shapes(isa, dtype):
        x, kernel = small_integers(1, (m, k), dtype), small_integers(2, (k, n), dtype)
        bias = small_integers(3, (n,), dtype)
        expected = x.astype(np.int64) @ kernel.astype(np.int64) + bias.astype(np.int64)
        np.testing.assert_array_equal(hotloops.dense(x, kernel, bias), expected)
        rectified = hotloops.dense(x, kernel, bias, activation="relu")
        np.testing.assert_array_equal(rectified, np.maximum(expected, 0))


def test_an_empty_inner_dimension_leaves_the_bias(dtype: np.dtype[Any], activation: Any) -> None:
    bias = normal(1, (7,), dtype)
    x, kernel = np.empty((3, 0), dtype), np.empty((0, 7), dtype)
    y = hotloops.dense(x, kernel, bias, activation=activation)
    rows = np.tile(bias, (3, 1))
    assert_same_bits(y, rows if activation is None else _core.activate(activation, rows))
    assert_same_bits(hotloops.dense(x, kernel), np.zeros((3, 7), dtype))


def test_softmax_is_over_the_last_axis_and_survives_large_values(dtype: np.dtype[Any]) -> None:
    x = dtype.type(1000) * normal(1, (3, 4, 6), dtype)
    y = hotloops.dense(x, np.eye(6, dtype=dtype), activation="softmax")
    np.testing.assert_array_equal(y.argmax(axis=-1), x.argmax(axis=-1))
    assert (abs(y.sum(axis=-1) - 1) <= 6 * np.finfo(dtype).eps).all()


def test_relu_keeps_nan(dtype: np.dtype[Any]) -> None:
    x = np.array([[np.nan, 1], [np.inf, 1], [-np.inf, 1], [1, 1]], dtype)
    y = hotloops.dense(x, np.array([[1], [2]], dtype), activation="relu")
    np.testing.assert_array_equal(y, np.array([[np.nan], [np.inf], [0], [3]], dtype))


# --- Residuals --------------------------------------------------------------------------------


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize(("shape", "units"), SHAPES)
def test_a_residual_is_added_before_the_activation(
    dtype: np.dtype[Any], activation: Any, shape: tuple[int, ...], units: int
) -> None:
    x, kernel, bias = operands(shape, units, dtype)
    residual = normal(4, (*shape[:-1], units), dtype)
    for b in (bias, None):
        y = hotloops.dense(x, kernel, b) + residual
        if activation is not None:
            y = _core.activate(activation, y)
        options = {"activation": activation, "residual": residual}
        assert_same_bits(hotloops.dense(x, kernel, b, **options), y)
        assert_same_bits(hotloops.linear(x, kernel.T, b, **options), y)


def test_small_integers_with_a_residual_are_exact(isa: str, dtype: np.dtype[Any]) -> None:
    for m, k, n in support.tile_shapes(isa, dtype):
        x, kernel = small_integers(1, (m, k), dtype), small_integers(2, (k, n), dtype)
        residual = small_integers(3, (m, n), dtype)
        expected = x.astype(np.int64) @ kernel.astype(np.int64) + residual.astype(np.int64)
        np.testing.assert_array_equal(hotloops.dense(x, kernel, residual=residual), expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_of_a_residual(dtype: np.dtype[Any], activation: Any, layout: str) -> None:
    x, kernel, bias = operands((3, 13, 257), 41, dtype)
    residual = normal(4, (3, 13, 41), dtype)
    expected = hotloops.dense(x, kernel, bias, activation=activation, residual=residual)
    options = {"activation": activation, "residual": LAYOUTS[layout](residual)}
    assert_same_bits(hotloops.dense(x, kernel, bias, **options), expected)
    for make in LAYOUTS.values():
        out = make(np.full(expected.shape, np.nan, dtype))
        if out.flags.writeable:
            assert hotloops.dense(x, kernel, bias, out=out, **options) is out
            assert_same_bits(out, expected)
            without_bias = hotloops.dense(x, kernel, out=out, **options)
            assert_same_bits(without_bias, hotloops.dense(x, kernel, **options))


def test_out_may_be_the_residual(dtype: np.dtype[Any], activation: Any) -> None:
    x, kernel, bias = operands((37, 513), 41, dtype)
    residual = normal(4, (37, 41), dtype)
    expected = hotloops.dense(x, kernel, bias, activation=activation, residual=residual)
    for out in (residual.copy(), np.asfortranarray(residual)):
        hotloops.dense(x, kernel, bias, activation=activation, residual=out, out=out)
        assert_same_bits(out, expected)


def test_a_stretched_residual(dtype: np.dtype[Any]) -> None:
    x, kernel, bias = operands((37, 257), 41, dtype)
    y = hotloops.dense(x, kernel, residual=np.broadcast_to(bias, (37, 41)))
    assert_same_bits(y, hotloops.dense(x, kernel, bias))


@pytest.mark.parametrize("shape", [(41,), (1, 41), (37, 1), (41, 37), (1, 37, 41), ()])
def test_a_residual_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    x, kernel, bias = operands((37, 257), 41, np.dtype(np.float32))
    for twin in (hotloops, hotloops.naive):
        with pytest.raises(
            ValueError, match=r"dense: residual has shape .*\(37, 41\).*broadcast_to"
        ):
            twin.dense(x[:, :3], kernel[:3], bias, residual=np.zeros(shape, np.float32))


def test_types_of_a_residual() -> None:
    x, kernel = small_integers(1, (3, 4), "f"), small_integers(2, (4, 5), "f")
    for code in "efdiF":
        residual = small_integers(3, (3, 5), code)
        y = hotloops.dense(x, kernel, residual=residual)
        assert y.dtype == (x @ kernel + residual).dtype
        np.testing.assert_array_equal(y, x @ kernel + residual)
        np.testing.assert_array_equal(hotloops.naive.dense(x, kernel, residual=residual), y)


# --- Types and layouts ------------------------------------------------------------------------


def test_types_combine_as_in_numpy() -> None:
    for codes in ["fff", "fdf", "fdd", "dff", "eff", "iff", "fif"]:
        x, kernel = small_integers(1, (3, 4), codes[0]), small_integers(2, (4, 5), codes[1])
        bias = small_integers(3, (5,), codes[2])
        y = hotloops.dense(x, kernel, bias)
        expected = x @ kernel + bias
        assert y.dtype == expected.dtype
        np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout(dtype: np.dtype[Any], activation: Any, layout: str) -> None:
    make = LAYOUTS[layout]
    x, kernel, bias = operands((37, 257), 41, dtype)
    expected = hotloops.dense(x, kernel, bias, activation=activation)
    views = make(x), make(kernel), make(bias)
    assert_same_bits(hotloops.dense(*views, activation=activation), expected)
    if layout != "read_only":
        out = make(np.full(expected.shape, np.nan, dtype))
        assert hotloops.dense(*views, activation=activation, out=out) is out
        assert_same_bits(out, expected)


def test_a_bias_of_zero_stride(dtype: np.dtype[Any]) -> None:
    x, kernel, _ = operands((37, 257), 41, dtype)
    bias = np.broadcast_to(dtype.type(2), (41,))
    assert_same_bits(hotloops.dense(x, kernel, bias), hotloops.dense(x, kernel, bias.copy()))


def test_lists(dtype: np.dtype[Any]) -> None:
    y = hotloops.dense([[1.0, 2.0]], [[1.0, 0.0], [0.0, -1.0]], [1.0, 1.0], activation="relu")
    np.testing.assert_array_equal(y, [[2.0, 0.0]])
    x, kernel, bias = operands((3, 4), 2, dtype)
    assert hotloops.dense(x, kernel.tolist(), bias).dtype == np.float64


@pytest.mark.parametrize("which", ["x", "kernel", "bias"])
def test_out_may_be_an_operand(dtype: np.dtype[Any], which: str) -> None:
    x, kernel, bias = operands((41, 41), 41, dtype)
    expected = hotloops.dense(x, kernel, bias, activation="relu")
    stretched = np.tile(bias, (41, 1))
    out = {"x": x, "kernel": kernel, "bias": stretched}[which]
    assert hotloops.dense(x, kernel, stretched[7], activation="relu", out=out) is out
    assert_same_bits(out, expected)
