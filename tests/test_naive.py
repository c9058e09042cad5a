"""The naive twins: right on small inputs, of every kind, and the same answers as the fast ones."""

from __future__ import annotations

import doctest
import math
from typing import Any

import numpy as np
import pytest

import hotloops
from hotloops import naive
from support import (
    ACTIVATIONS,
    MATMUL_SHAPES,
    assert_same_bits,
    assert_within_bound,
    normal,
    run_python,
    small_integers,
)

mpmath: Any = pytest.importorskip("mpmath")

NAMED_ACTIVATIONS = [name for name in ACTIVATIONS if name is not None]


def test_examples() -> None:
    assert doctest.testmod(naive).failed == 0


# --- matmul -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape_a", "shape_b"), MATMUL_SHAPES)
@pytest.mark.parametrize("code", [*"?bBhHiIlLqQefdgFDGO"])
def test_matmul_is_exact_on_small_integers(code: str, shape_a: Any, shape_b: Any) -> None:
    a, b = small_integers(1, shape_a, code), small_integers(2, shape_b, code)
    actual, expected = naive.matmul(a, b), np.matmul(a, b)
    assert type(actual) is type(expected)
    assert np.asarray(actual).dtype == np.asarray(expected).dtype
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("other", [*"?bBhHiIlLqQefdgFDGO"])
def test_matmul_result_types(dtype: np.dtype[Any], other: str) -> None:
    a, b = small_integers(1, (2, 3), dtype), small_integers(2, (3, 2), other)
    for left, right in ((a, b), (b.T, a.T)):
        assert naive.matmul(left, right).dtype == np.matmul(left, right).dtype
        np.testing.assert_array_equal(naive.matmul(left, right), np.matmul(left, right))


@pytest.mark.parametrize("code", [*"bBhHiIlLqQ"])
def test_integers_wrap(code: str) -> None:
    rng = np.random.default_rng(1)
    info = np.iinfo(code)
    a, b = (rng.integers(info.min, info.max, (5, 5), code, endpoint=True) for _ in range(2))
    np.testing.assert_array_equal(naive.matmul(a, b), np.matmul(a, b))
    wide = np.int64 if info.min < 0 else np.uint64
    np.testing.assert_array_equal(naive.matmul(a, b, dtype=wide), np.matmul(a, b, dtype=wide))


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 7, 5), (5, 256, 3), (2, 100, 9)])
def test_matmul_is_within_the_bound(dtype: np.dtype[Any], shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    a, b = normal(1, (m, k), dtype), normal(2, (k, n), dtype)
    assert_within_bound(naive.matmul(a, b), a, b)
    np.testing.assert_allclose(
        naive.matmul(a, b), hotloops.matmul(a, b), atol=2 * k * np.finfo(dtype).eps * 10
    )


def test_float32_is_rounded_once() -> None:
    a, b = normal(1, (4, 50), np.float32), normal(2, (50, 4), np.float32)
    exact = a.astype(np.longdouble) @ b.astype(np.longdouble)
    assert_same_bits(naive.matmul(a, b), exact.astype(np.float32))
    huge = np.full((1, 1), 2e38, np.float32)
    assert naive.matmul(huge, huge) == np.inf


def test_nan_and_infinity_propagate(dtype: np.dtype[Any]) -> None:
    a = np.array([[np.nan, 0], [np.inf, 0], [np.inf, -np.inf], [1, 2]], dtype)
    b = np.array([[0, 1], [1, 1]], dtype)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(naive.matmul(a, b), np.matmul(a, b))


def test_lists_are_taken_as_numpy_takes_them() -> None:
    result = naive.matmul([[1, 2], [3, 4]], [[1.5], [2.0]])
    assert_same_bits(result, np.array([[5.5], [12.5]]))
    assert type(naive.matmul([1, 2], [3, 4])) is np.int64
    assert_same_bits(naive.relu([[-1, 2]]), np.array([[0, 2]]))
    assert_same_bits(
        naive.dense([1.0], [[2.0, -3.0]], [1, 1], activation="relu"), np.array([3.0, 0.0])
    )


@pytest.mark.parametrize("out_dtype", [np.float32, np.float64])
def test_out(out_dtype: Any) -> None:
    a, b = small_integers(1, (2, 3, 4), np.float32), small_integers(2, (4, 5), np.float32)
    out = np.full((3, 2, 5), np.nan, out_dtype).transpose(1, 0, 2)
    assert naive.matmul(a, b, out) is out
    np.testing.assert_array_equal(out, a @ b)
    x = normal(1, (3, 4), out_dtype)
    expected = np.maximum(x, 0)
    assert naive.relu(x, out=x) is x
    np.testing.assert_array_equal(x, expected)
    y = np.empty(5, out_dtype)
    assert naive.dense(a[0, 0], b, out=y) is y
    np.testing.assert_array_equal(y, a[0, 0] @ b)


# --- Errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("twins", [naive, hotloops])
def test_errors_are_those_of_the_fast_twin(twins: Any) -> None:
    one = np.ones
    cases: list[tuple[type[Exception], str, Any]] = [
        (
            ValueError,
            r"^matmul: a has 3 columns but b has 4 rows \(shapes \(2, 3\) and \(4, 5\)\)$",
            lambda: twins.matmul(one((2, 3)), one((4, 5))),
        ),
        (ValueError, "a has 0 dimensions", lambda: twins.matmul(one(()), one(3))),
        (ValueError, "batch", lambda: twins.matmul(one((2, 3, 4)), one((3, 4, 5)))),
        (ValueError, "out", lambda: twins.matmul(one((2, 3)), one((3, 5)), one((2, 4)))),
        (TypeError, "cast", lambda: twins.matmul(one((2, 2)), one((2, 2)), one((2, 2), int))),
        (TypeError, "cast", lambda: twins.matmul(one((2, 2)), one((2, 2)), dtype=int)),
        (ValueError, "precision", lambda: twins.matmul(one(2), one(2), precision="bf8")),
        (ValueError, "relu: out", lambda: twins.relu(one(3), out=one(4))),
        (ValueError, "dense: x", lambda: twins.dense(one((2, 3)), one((4, 5)))),
        (ValueError, "linear: x", lambda: twins.linear(one((2, 3)), one((4, 5)))),
        (ValueError, "kernel", lambda: twins.dense(one(3), one(3))),
        (ValueError, "dense: bias", lambda: twins.dense(one(3), one((3, 2)), one(3))),
        (ValueError, "activation", lambda: twins.dense(one(3), one((3, 2)), activation="step")),
        (ValueError, "precision", lambda: twins.dense(one(3), one((3, 2)), precision="bf8")),
    ]
    for error, message, call in cases:
        with pytest.raises(error, match=message):
            call()


# --- relu and the activations -----------------------------------------------------------------


@pytest.mark.parametrize("code", [*"?bBhHiIlLqQefdgO"])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 5), (2, 0, 3), (2, 3, 4)])
def test_relu_of_every_type(code: str, shape: tuple[int, ...]) -> None:
    x = small_integers(1, shape, code)
    actual, expected = naive.relu(x), np.maximum(x, np.zeros((), x.dtype))
    assert type(actual) is type(expected)
    assert np.asarray(actual).dtype == np.asarray(expected).dtype
    np.testing.assert_array_equal(actual, expected)


def test_relu_of_specials(dtype: np.dtype[Any]) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40], dtype)
    assert_same_bits(naive.relu(x), hotloops.relu(x))


def exact(name: str, x: float) -> Any:
    """Return an activation of one number in high precision."""
    with mpmath.workdps(60):
        z = mpmath.mpf(x)
        u = mpmath.sqrt(2 / mpmath.pi) * (z + mpmath.mpf("0.044715") * z**3)
        value = {
            "relu": lambda: max(z, mpmath.mpf(0)),
            "gelu": lambda: z * mpmath.erfc(-z / mpmath.sqrt(2)) / 2,
            "gelu_tanh": lambda: z / (1 + mpmath.exp(-2 * u)),
            "sigmoid": lambda: 1 / (1 + mpmath.exp(-z)),
            "tanh": lambda: mpmath.tanh(z),
            "silu": lambda: z / (1 + mpmath.exp(-z)),
        }[name]()
        return float(value)


@pytest.mark.parametrize("name", NAMED_ACTIVATIONS[:-1])
def test_activations_are_accurate(name: str) -> None:
    x = np.concatenate([np.linspace(-30, 30, 241), [1e-300, -1e-300, 700, -700, 0.1, -37.5]])
    expected = np.array([exact(name, value) for value in x])
    # Most of the error is the argument's: exp(z (1 + u)) is exp(z) (1 + z u).
    with np.errstate(under="ignore"):
        np.testing.assert_allclose(getattr(naive, name)(x), expected, rtol=3e-13, atol=1e-300)


@pytest.mark.parametrize("name", NAMED_ACTIVATIONS)
def test_activations_of_specials_are_torchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor([[math.nan, 1.0], [math.inf, 1.0], [-math.inf, 1.0], [0.0, 1e308]]).double()
    functional = torch.nn.functional
    theirs = {
        "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
        "tanh": torch.tanh,
        "softmax": lambda x: functional.softmax(x, -1),
    }.get(name) or getattr(functional, name)
    ours = getattr(naive, name)(x)
    assert torch.allclose(ours, theirs(x), equal_nan=True)


def test_softmax_sums_to_one() -> None:
    x = normal(1, (3, 4, 5), np.float64) * 500
    y = naive.softmax(x)
    assert (y >= 0).all()
    np.testing.assert_allclose(y.sum(axis=-1), 1, rtol=1e-15)
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    np.testing.assert_allclose(y, powers / powers.sum(axis=-1, keepdims=True), rtol=1e-13)
    with pytest.raises(ValueError, match="softmax: x has 0 dimensions"):
        naive.softmax(1.0)


def test_activations_of_integers_are_real() -> None:
    assert naive.sigmoid(np.zeros(2, np.int8)).dtype == np.float32
    assert naive.sigmoid(np.zeros(2, np.int32)).dtype == np.float64
    assert naive.sigmoid(np.zeros(2, np.float16)).dtype == np.float16


# --- dense and linear -------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(7,), (1, 7), (5, 7), (2, 3, 7), (0, 7)])
def test_dense_and_linear_are_those_of_the_fast_twins(
    dtype: np.dtype[Any], activation: Any, shape: tuple[int, ...]
) -> None:
    x, kernel, bias = normal(1, shape, dtype), normal(2, (7, 4), dtype), normal(3, (4,), dtype)
    for given_bias in (None, bias):
        slow = naive.dense(x, kernel, given_bias, activation=activation)
        fast = hotloops.dense(x, kernel, given_bias, activation=activation)
        assert (slow.dtype, slow.shape) == (fast.dtype, fast.shape)
        # Sums of at most 8 terms of about 1, and activations with slopes of at most about 1.13.
        np.testing.assert_allclose(slow, fast, atol=40 * np.finfo(dtype).eps, rtol=0)
        assert_same_bits(naive.linear(x, kernel.T, given_bias, activation=activation), slow)


def test_dense_of_nothing(dtype: np.dtype[Any]) -> None:
    bias = np.array([1, -2], dtype)
    y = naive.dense(np.empty((3, 0), dtype), np.empty((0, 2), dtype), bias, activation="relu")
    np.testing.assert_array_equal(y, [[1, 0]] * 3)
    assert naive.dense(np.ones((3, 2)), np.ones((2, 0)), activation="softmax").shape == (3, 0)


# --- Tensors ----------------------------------------------------------------------------------


def test_tensors_in_tensors_out() -> None:
    torch = pytest.importorskip("torch")
    for dtype in (torch.float32, torch.float64, torch.int32, torch.bfloat16, torch.float16):
        a = torch.from_numpy(small_integers(1, (2, 3, 4), np.int64)).to(dtype)
        b = torch.from_numpy(small_integers(2, (4, 5), np.int64)).to(dtype)
        for result, expected in (
            (naive.matmul(a, b), a @ b),
            (naive.matmul(a[0, 0], b[:, 0]), a[0, 0] @ b[:, 0]),
            (naive.relu(a), torch.relu(a)),
            (naive.dense(a, b, b[0], activation="relu"), torch.relu(a @ b + b[0])),
            (naive.linear(a, b.T), a @ b),
        ):
            assert type(result) is torch.Tensor
            assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
            assert torch.equal(result, expected)
    out = torch.full((2, 3, 5), math.nan)
    a, b = a.float(), b.float()
    assert naive.matmul(a, b, out=out) is out
    assert torch.equal(out, a @ b)


def test_tensors_are_refused_as_by_the_fast_twins() -> None:
    torch = pytest.importorskip("torch")
    array, tensor = np.ones((3, 3)), torch.ones(3, 3, dtype=torch.float64)
    calls: list[Any] = [
        lambda: naive.matmul(array, tensor),
        lambda: naive.matmul(tensor, tensor, out=array),
        lambda: naive.relu(array, out=tensor),
        lambda: naive.dense(tensor, array),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="tensor"):
            call()
    recorded = tensor.clone().requires_grad_()
    with pytest.raises(RuntimeError, match=r"detach\(\).*no_grad"):
        naive.matmul(recorded, tensor)
    with torch.no_grad():
        assert torch.equal(naive.matmul(recorded, tensor), tensor @ tensor)


def test_torch_is_not_imported() -> None:
    program = """
import sys
from hotloops import naive
naive.dense([[1.0, 2.0]], [[1.0], [2.0]], activation="gelu")
print("torch" in sys.modules)
"""
    assert run_python(program).strip() == "False"
