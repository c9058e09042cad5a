"""relu is numpy.maximum(x, 0) in x's dtype, with NaN kept and no -0.0, for every layout."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import hotloops
import support
from support import LAYOUTS, assert_same_bits

SIZES = [*range(70), 127, 128, 129, 1000, 4097, 300_000]


@pytest.mark.usefixtures("isa")
def test_every_length(dtype: np.dtype[Any]) -> None:
    for n in SIZES:
        x = support.normal(n, (n,), dtype)
        assert_same_bits(hotloops.relu(x), np.maximum(x, 0))


@pytest.mark.usefixtures("isa")
def test_special_values(dtype: np.dtype[Any]) -> None:
    info = np.finfo(dtype)
    tiny = info.smallest_subnormal
    specials = [np.nan, np.inf, -np.inf, 0.0, -0.0, tiny, -tiny, info.max, info.min, info.tiny]
    # Longer than any vector, so that the same values go through the body and the tail.
    x = np.resize(np.array(specials, dtype), 163)
    y = hotloops.relu(x)
    np.testing.assert_array_equal(y, np.maximum(x, 0))
    assert not np.signbit(y[~np.isnan(y)]).any()


@pytest.mark.parametrize("code", [*"?bBhHiIlLqQefdgFDGO"])
def test_every_type_is_as_numpy_has_it(code: str) -> None:
    x = support.small_integers(1, (5, 7), code)
    actual = hotloops.relu(x)
    assert actual.dtype == x.dtype
    np.testing.assert_array_equal(actual, np.maximum(x, 0))


def test_truth_values_stay_what_they_are() -> None:
    x = np.array([[True, False], [False, True]])
    for relu in hotloops.relu, hotloops.naive.relu:
        for values in (x, x.T, x.tolist(), x[0, 0], True):
            y = relu(values)
            assert y.dtype == bool
            np.testing.assert_array_equal(y, values)
    out = np.empty(x.shape, np.float32)
    assert hotloops.relu(x, out=out) is out
    np.testing.assert_array_equal(out, x)
    layer = hotloops.dense(x, x, activation="relu")
    assert_same_bits(layer, x @ x)
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(x)
    y = hotloops.relu(tensor)
    assert torch.equal(y, tensor)
    assert y.data_ptr() != tensor.data_ptr()


def matrix(x: support.Array) -> support.Array:
    """Return a view as a subclass whose operations are NumPy's."""
    return x.view(np.matrix)


@pytest.mark.parametrize("out_code", [None, *"dgD"])
@pytest.mark.parametrize("code", ["e", "f", "d", "g", ">f4", "bfloat16"])
def test_no_result_is_a_negative_zero(code: str, out_code: str | None) -> None:
    dtype = ml_dtypes.bfloat16 if code == "bfloat16" else code
    x = np.full((3, 40), -0.0).astype(dtype)
    for values in (x, x[:, ::3], matrix(x), LAYOUTS["misaligned"](x), x[0, 0]):
        out = None if out_code is None else np.ones(values.shape, out_code)
        y = np.asarray(hotloops.relu(values, out=out))
        assert not y.any()
        assert not np.signbit(y.real.astype(float)).any()
    if code != "bfloat16":
        weights = np.ones((40, 1), dtype)
        y = hotloops.dense(x, weights, activation="relu")
        assert not np.signbit(y).any()


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_no_result_of_tensors_is_a_negative_zero(name: str) -> None:
    torch = pytest.importorskip("torch")
    zero = torch.zeros(120, dtype=getattr(torch, name))
    for x in (-zero, torch._neg_view(zero), (-zero)[::2]):
        assert not torch.signbit(hotloops.relu(x)).any()
        for other in (torch.float16, torch.float64, torch.complex64):
            out = torch.ones(x.shape, dtype=other)
            assert hotloops.relu(x, out=out) is out
            assert not out.any()
            assert not torch.signbit(torch.real(out)).any()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(0,), (1,), (5, 0, 3), (37, 41), (3, 5, 7, 2), (300, 1000)])
def test_any_layout(dtype: np.dtype[Any], layout: str, shape: tuple[int, ...]) -> None:
    values = support.normal(1, shape, dtype)
    expected = np.maximum(values, 0)
    x = LAYOUTS[layout](values)
    assert_same_bits(hotloops.relu(x), expected)
    out = LAYOUTS[layout](np.full(shape, np.nan, dtype))
    if layout == "read_only":
        with pytest.raises(ValueError, match="read-only"):
            hotloops.relu(values, out=out)
        return
    assert hotloops.relu(values, out=out) is out
    assert_same_bits(out, expected)
    assert hotloops.relu(x, out=x) is x
    assert_same_bits(x, expected)


def test_zero_strides(dtype: np.dtype[Any]) -> None:
    x = np.broadcast_to(support.normal(1, (1, 30), dtype), (20, 30))
    assert_same_bits(hotloops.relu(x), np.maximum(x, 0))


@pytest.mark.parametrize("shift", [1, -1, 3])
def test_out_that_overlaps_x(dtype: np.dtype[Any], shift: int) -> None:
    x = support.normal(1, (5000,), dtype)
    source, target = (x[3:-3], x[3 + shift : x.size - 3 + shift])
    expected = np.maximum(source.copy(), 0)
    hotloops.relu(source, out=target)
    assert_same_bits(target, expected)
    reverse = x[::-1]
    expected = np.maximum(reverse.copy(), 0)
    hotloops.relu(reverse, out=x)
    assert_same_bits(x, expected)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_any_number_of_threads(dtype: np.dtype[Any], count: int) -> None:
    x = support.normal(1, (1_000_003,), dtype)
    with hotloops.threads(count):
        assert_same_bits(hotloops.relu(x), np.maximum(x, 0))


@pytest.mark.parametrize("out_code", [*"?ilefdgDO"])
@pytest.mark.parametrize("code", ["f", "d", "i"])
def test_out_is_cast_as_numpy_casts(code: str, out_code: str) -> None:
    x = support.small_integers(1, (4, 6), code)
    out = np.zeros((4, 6), out_code)
    try:
        expected = np.maximum(x, 0, out=out.copy())
    except TypeError:
        with pytest.raises(TypeError):
            hotloops.relu(x, out=out)
        assert not out.any()
    else:
        assert hotloops.relu(x, out=out) is out
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("shape", [(4,), (6, 4), (2, 3, 4, 6), (1, 6), (4, 5)])
def test_out_of_another_shape_is_as_numpy_has_it(shape: tuple[int, ...]) -> None:
    x = support.normal(1, (4, 6), np.float32)
    out = np.zeros(shape, np.float32)
    try:
        expected = np.maximum(x, 0, out=out.copy())
    except ValueError:
        with pytest.raises(ValueError, match="out"):
            hotloops.relu(x, out=out)
        assert not out.any()
    else:
        assert_same_bits(hotloops.relu(x, out=out), expected)


def test_scalars_and_lists_are_as_numpy_has_them() -> None:
    values: list[Any] = [3, -3, 2.5, -2.5, True, [1, -1], [[1.5, -1.5]], [], np.float32(-1), 3 - 4j]
    values += [np.array(-2.5), np.array(2.5, np.float32)]
    for value in values:
        zero = False if np.asarray(value).dtype == bool else 0
        actual, expected = hotloops.relu(value), np.maximum(value, zero)
        assert type(actual) is type(expected)
        assert np.asarray(actual).dtype == np.asarray(expected).dtype
        np.testing.assert_array_equal(actual, expected)


def test_a_type_without_order_fails_as_in_numpy() -> None:
    for value in (np.array(["a"]), np.array([None])):
        with pytest.raises(TypeError):
            hotloops.relu(value)
