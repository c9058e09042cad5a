"""Layers of half types: one rounding, of what float32 sums, biases and activations give."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest

import hotloops
from support import KC, LAYOUTS, REFERENCES, assert_same_bits, gamma, normal

if TYPE_CHECKING:
    from support import Array

DTYPES = ["float16", "bfloat16"]
# Less than a tile of anything, and several blocks of everything.
SHAPES = [((1, 5), 3), ((4, 64), 64), ((2, 17, 700), 65), ((1060, 640), 70)]

each_dtype = pytest.mark.parametrize("dtype", DTYPES)
each_activation = pytest.mark.parametrize("activation", REFERENCES, ids=str)


def operands(shape: tuple[int, ...], units: int, dtype: str) -> tuple[Array, Array, Array]:
    scaled = normal(2, (shape[-1], units), np.float32) / np.float32(np.sqrt(shape[-1]))
    each = normal(1, shape, np.float32), scaled, normal(3, (units,), np.float32)
    x, kernel, bias = (array.astype(np.dtype(dtype)) for array in each)
    return x, kernel, bias


@pytest.mark.usefixtures("any_isa")
@each_dtype
@each_activation
def test_rounded_once(dtype: str, activation: str | None) -> None:
    u = float(ml_dtypes.finfo(dtype).eps) / 2
    tiny = float(ml_dtypes.finfo(dtype).smallest_subnormal) / 2
    for shape, units in SHAPES:
        x, kernel, bias = operands(shape, units, dtype)
        y = hotloops.dense(x, kernel, bias, activation=activation)
        assert y.dtype == x.dtype
        wide_x, wide_kernel, wide_bias = (each.astype(np.float64) for each in (x, kernel, bias))
        exact = REFERENCES[activation](wide_x @ wide_kernel + wide_bias)
        magnitude = abs(wide_x) @ abs(wide_kernel) + abs(wide_bias)
        # As in test_dense: the sum's error through a function hardly steeper than 1, and its own.
        of_sum = gamma(min(shape[-1], KC) + math.ceil(shape[-1] / KC) + 1, 2.0**-24) * magnitude
        if activation == "softmax":
            of_sum = exact * (2 * of_sum.max(axis=-1, keepdims=True) + units * 2.0**-24)
        in_float32 = 1.2 * of_sum + 16 * 2.0**-24 * abs(exact) + 1e-15 * magnitude
        bound = in_float32 + u * (abs(exact) + in_float32) + tiny
        assert (abs(y.astype(np.float64) - exact) <= bound).all()
        assert (y != 0).any()


@pytest.mark.usefixtures("any_isa")
@each_dtype
def test_the_same_bits_however_it_is_called(dtype: str) -> None:
    x, kernel, bias = operands((75, 700), 70, dtype)
    with hotloops.threads(1):
        y = hotloops.dense(x, kernel, bias, activation="gelu")
    packed = hotloops.pack(kernel)
    for again in (
        hotloops.linear(x, np.ascontiguousarray(kernel.T), bias, activation="gelu"),
        hotloops.dense(x, packed, bias, activation="gelu"),
        hotloops.dense(x, kernel, bias, activation="gelu", residual=np.zeros_like(y)),
        hotloops.dense(x, packed, bias, activation="gelu", residual=np.zeros_like(y)),
        hotloops.dense(x, kernel, np.repeat(bias, 2)[::2], activation="gelu"),
        hotloops.dense(x.reshape(3, 25, 700), kernel, bias, activation="gelu").reshape(y.shape),
        np.concatenate(
            [
                hotloops.dense(x[i:j], kernel, bias, activation="gelu")
                for i, j in ((0, 1), (1, 6), (6, 75))
            ]
        ),
    ):
        assert_same_bits(again, y)
    for threads in (2, 5):
        with hotloops.threads(threads):
            assert_same_bits(hotloops.dense(x, kernel, bias, activation="gelu"), y)


@pytest.mark.usefixtures("any_isa")
@each_dtype
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(dtype: str, layout: str) -> None:
    x, kernel, bias = operands((37, 300), 41, dtype)
    y = hotloops.dense(x, kernel, bias, activation="relu")
    assert_same_bits(
        hotloops.dense(LAYOUTS[layout](x), LAYOUTS[layout](kernel), bias, activation="relu"), y
    )


@each_dtype
@each_activation
def test_a_residual_is_rounded_with_all_else(dtype: str, activation: str | None) -> None:
    x, kernel, bias = operands((9, 30), 20, dtype)
    residual = normal(4, (9, 20), np.float32).astype(np.dtype(dtype))
    for weights in (kernel, hotloops.pack(kernel)):
        y = hotloops.dense(x, weights, bias, activation=activation, residual=residual)
        sums = hotloops.matmul(x, kernel, dtype=np.float32)
        sums = sums + bias.astype(np.float32) + residual.astype(np.float32)
        wide = hotloops.dense(sums, np.eye(20, dtype=np.float32), activation=activation)
        assert_same_bits(y, wide.astype(y.dtype))


@each_dtype
@each_activation
def test_tensors(dtype: str, activation: str | None) -> None:
    torch: Any = pytest.importorskip("torch")
    x, kernel, bias = operands((9, 300), 20, dtype)
    y = hotloops.dense(x, kernel, bias, activation=activation)
    tensors = [
        torch.from_numpy(each.view(np.int16)).view(getattr(torch, dtype))
        for each in (x, kernel, bias)
    ]
    out = torch.full((9, 20), torch.nan, dtype=tensors[0].dtype)
    for weights in (tensors[1], hotloops.pack(tensors[1])):
        c = hotloops.dense(tensors[0], weights, tensors[2], activation=activation, out=out)
        assert c is out
        assert_same_bits(c.view(torch.int16).numpy(), y.view(np.int16))
        again = hotloops.dense(
            tensors[0], weights, tensors[2], activation=activation, residual=torch.zeros_like(out)
        )
        assert torch.equal(again, out)


@each_dtype
def test_out_of_any_layout(dtype: str) -> None:
    x, kernel, bias = operands((37, 300), 41, dtype)
    y = hotloops.dense(x, kernel, bias)
    for out in (np.ones_like(y), np.ones_like(y.T).T, np.ones((74, 123), y.dtype)[::2, ::3]):
        assert hotloops.dense(x, kernel, bias, out=out) is out
        assert_same_bits(out, y)
    wide = np.ones(y.shape, np.float32)
    assert_same_bits(hotloops.dense(x, kernel, bias, out=wide), y.astype(np.float32))


@each_dtype
@each_activation
def test_what_is_out_of_range_raises_no_warnings(dtype: str, activation: str | None) -> None:
    x = np.full((3, 4), np.ldexp(1.9, 15 if dtype == "float16" else 126)).astype(np.dtype(dtype))
    for value in (None, 1.9, -np.inf, np.nan):
        residual = None if value is None else np.full((3, 3), value, x.dtype)
        for weights in (x.T.copy(), hotloops.pack(x.T)):
            y = hotloops.dense(x, weights, activation=activation, residual=residual)
            assert y.dtype == x.dtype
    if activation is None:
        out = np.zeros((3, 3), np.float16)
        wide = x.astype(np.float32)
        hotloops.matmul(wide, wide.T, out=out)
        assert np.isposinf(out).all()
        hotloops.einsum("ij,kj->ik", wide, wide, out=out)
        assert np.isposinf(out).all()


def test_packed_weights_of_another_type_are_refused() -> None:
    x, kernel, bias = operands((3, 5), 4, "float16")
    packed: Any = hotloops.pack(kernel.astype(np.float32))
    with pytest.raises(TypeError, match="x has dtype float16 but kernel was packed with float32"):
        hotloops.dense(x, packed, bias)
    with pytest.raises(TypeError, match="bias has dtype float32"):
        hotloops.dense(x, hotloops.pack(kernel), bias.astype(np.float32))
