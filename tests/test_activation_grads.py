"""The activations' derivatives: error in units in the last place, special values and bits."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import mpmath
import numpy as np
import pytest

import hotloops
from hotloops import _core
from support import FMA_ISAS, assert_same_bits, normal

if TYPE_CHECKING:
    from support import Array

# Computed from the input of the activation, x.
SLOPES = ["silu", "gelu", "gelu_tanh"]
# Computed from its result, y.
SIMPLE = ["relu", "sigmoid", "tanh"]

# Maximum error of the slope s(x) = F(x) + x F'(x) of x F(x), in units in the last place of
# F(x) + |x| F'(x): with fused multiply-add, and without.
MAX_ULPS = {
    ("float32", "silu"): (3, 3),
    ("float32", "gelu"): (5, 5),
    ("float32", "gelu_tanh"): (5, 80),
    ("float64", "silu"): (2.5, 2.5),
    ("float64", "gelu"): (5, 5),
    ("float64", "gelu_tanh"): (5, 650),
}

# Where slopes would become subnormal or vanish, and where they change their sign.
EDGES = {
    "silu": {"float32": [-92.0, -108.6, -1.2785], "float64": [-715.0, -751.8, -1.2785]},
    "gelu": {"float32": [-13.2, -14.5, -0.7518], "float64": [-37.6, -38.6, -0.7518]},
    "gelu_tanh": {"float32": [-10.1, -10.8, -0.7524], "float64": [-21.2, -21.7, -0.7524]},
}


def slope(name: str, x: Array) -> Array:
    """Return the derivative of an activation at x, by the kernels."""
    return np.asarray(_core.activation_grad(name, x, np.ones_like(x)))


# --- References -------------------------------------------------------------------------------


def terms(name: str, x: Any, lib: Any) -> tuple[Any, Any]:
    """Return F(-|x|) and |x| F'(x), whose difference is the slope at -|x|; lib is mpmath or ARRAYS.

    Each is good to a few units of the arithmetic it is computed in.
    """
    a = abs(x)
    if name == "gelu":
        power = lib.exp(-(a * a) / 2)
        return lib.erfc(a / lib.sqrt(2)) / 2, a * power / lib.sqrt(2 * lib.pi)
    cubic = 0.044715 if lib is not mpmath else mpmath.mpf("0.044715")
    rate = 1 if name == "silu" else lib.sqrt(8 / lib.pi) * (1 + 3 * cubic * a * a)
    w = a if name == "silu" else lib.sqrt(8 / lib.pi) * (a + cubic * a**3)
    tail = lib.exp(-w) / (1 + lib.exp(-w))
    return tail, a * rate * tail * (1 - tail)


# The functions of mpmath that `terms` needs, on arrays.
ARRAYS = SimpleNamespace(
    exp=np.exp, sqrt=np.sqrt, pi=np.pi, erfc=np.vectorize(math.erfc, otypes=[np.float64])
)


def errors_in_ulps(name: str, x: Array) -> Array:
    """Return the errors of the slopes at finite x, in ulps of the sum of the terms' magnitudes.

    What is flushed to zero is checked to be below the smallest normal number, within 2^-14, and
    counts as exact.
    """
    actual = slope(name, x)
    assert actual.dtype == x.dtype
    assert np.isfinite(actual).all()
    info = np.finfo(x.dtype)
    assert (abs(actual[actual != 0]) >= info.tiny).all()
    if x.dtype == np.float32:
        # Beyond 200 the terms vanish in float32, and in float64 nothing overflows up to it.
        tail, change = terms(name, np.clip(x.astype(np.float64), -200, 200), ARRAYS)
        exact = np.where(x < 0, tail - change, 1 - (tail - change))
        magnitude = np.where(x < 0, tail, 1 - tail) + change
        _, exponent = np.frexp(magnitude)
        errors = abs(actual - exact) / np.ldexp(1.0, np.maximum(exponent - 1, -126) - 23)
    else:
        pairs = [_exact_and_error(name, *at) for at in zip(x, actual, strict=True)]
        exact, errors = np.array(pairs).T
    flushed = (actual == 0) & (abs(exact) < float(info.tiny) * (1 + 2**-14))
    return np.where(flushed, 0, errors)


def _exact_and_error(name: str, x: float, actual: float) -> tuple[float, float]:
    # Beyond 2000 nothing changes any more, and mpmath's erfc does not go on for ever.
    with mpmath.workdps(40):
        limit = 50 if name == "gelu" else 2000
        wide = min(max(mpmath.mpf(float(x)), mpmath.mpf(-limit)), mpmath.mpf(limit))
        tail, change = terms(name, wide, mpmath)
        exact = tail - change if x < 0 else 1 - (tail - change)
        magnitude = (tail if x < 0 else 1 - tail) + change
        exponent = max(int(mpmath.mag(magnitude)) - 1, -1022)
        error = abs(mpmath.mpf(float(actual)) - exact) / mpmath.mpf(2) ** (exponent - 52)
        return float(exact), float(error)


# --- Arguments --------------------------------------------------------------------------------


def arguments(name: str, dtype: np.dtype[Any], count: int) -> Array:
    """Return values over the whole range, most of them where the derivative is not trivial."""
    rng = np.random.default_rng(9)
    unsigned = np.dtype(f"u{dtype.itemsize}")
    step = 2 ** (8 * dtype.itemsize) // (count // 4) | 1
    every_exponent = (np.arange(count // 4, dtype=unsigned) * unsigned.type(step)).view(dtype)
    edges = np.array(EDGES[name][dtype.name])
    lowest = edges.min()
    parts = [
        every_exponent[np.isfinite(every_exponent)],
        rng.uniform(lowest, -lowest, count // 4),
        rng.uniform(-4, 4, count // 4),
        (edges[:, None] * (1 + rng.uniform(-0.01, 0.01, count // 4 // edges.size))).ravel(),
        np.array([0.0, np.finfo(dtype).max, -np.finfo(dtype).max]),
    ]
    return np.concatenate([part.astype(dtype) for part in parts])


# --- Slopes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SLOPES)
def test_error_in_ulps(isa: str, dtype: np.dtype[Any], name: str) -> None:
    bound = MAX_ULPS[dtype.name, name][isa not in FMA_ISAS]
    x = arguments(name, dtype, 200_000 if dtype == np.float32 else 2_500)
    errors = errors_in_ulps(name, x)
    worst = int(errors.argmax())
    assert errors[worst] <= bound, f"{errors[worst]:.3g} ulp at {float(x[worst]).hex()}"
    assert errors[worst] > 0.4, "smaller than rounding alone: not measured at all"


@pytest.mark.parametrize("name", SLOPES)
@pytest.mark.usefixtures("isa")
def test_special_values(dtype: np.dtype[Any], name: str) -> None:
    """The limits, where the definition would be infinity times zero."""
    x = np.array([math.inf, 1e30, 0.0, -0.0, -1e30, -math.inf], dtype)
    assert_same_bits(slope(name, x), np.array([1, 1, 0.5, 0.5, 0, 0], dtype))


@pytest.mark.parametrize("name", [*SLOPES, "sigmoid", "tanh", "softmax"])
@pytest.mark.usefixtures("isa")
def test_gradients_below_the_normal_numbers_are_zero(dtype: np.dtype[Any], name: str) -> None:
    tiny = np.finfo(dtype).tiny
    # Half of what is saved: the derivatives are about 1/4 to 1.
    saved = np.full((3, 33), 0.5, dtype)
    grad_y = normal(1, saved.shape, dtype)
    for factor in (tiny / 8, np.finfo(dtype).smallest_subnormal):
        assert_same_bits(
            _core.activation_grad(name, saved, np.clip(grad_y, -1, 1) * factor),
            np.zeros_like(saved),
        )
    if name != "softmax":
        assert (abs(_core.activation_grad(name, saved, np.full_like(saved, 8 * tiny))) > tiny).all()


def test_relu_passes_subnormal_gradients(isa: str, dtype: np.dtype[Any]) -> None:
    assert hotloops.isa() == isa
    grad_y = np.full(20, np.finfo(dtype).smallest_subnormal, dtype)
    assert_same_bits(_core.activation_grad("relu", np.ones(20, dtype), grad_y), grad_y)


@pytest.mark.parametrize("name", [*SLOPES, *SIMPLE])
@pytest.mark.usefixtures("isa")
def test_nan_stays_and_stays_alone(dtype: np.dtype[Any], name: str) -> None:
    # A NaN whose payload lies in the lowest bits only: what masks off bits may make it infinite.
    low = (np.array([math.inf], dtype).view(f"i{dtype.itemsize}") + 1).view(dtype)
    for nan in [math.nan, -math.nan, *low]:
        for place in range(20):
            marked, ones = np.full(20, 0.25, dtype), np.ones(20, dtype)
            marked[place] = nan
            by_gradient = _core.activation_grad(name, np.full_like(ones, 0.25), marked)
            assert np.flatnonzero(np.isnan(by_gradient)).tolist() == [place]
            if name != "relu":  # whose derivative at NaN is one, as for torch
                by_saved = _core.activation_grad(name, marked, ones)
                assert np.flatnonzero(np.isnan(by_saved)).tolist() == [place]


@pytest.mark.parametrize("name", SLOPES)
@pytest.mark.usefixtures("isa")
def test_the_gradient_is_the_rounded_product_with_the_slope(
    dtype: np.dtype[Any], name: str
) -> None:
    x, grad_y = normal(1, (1000,), dtype), normal(2, (1000,), dtype)
    assert_same_bits(_core.activation_grad(name, x, grad_y), grad_y * slope(name, x))


# --- Derivatives in terms of the result -------------------------------------------------------


def test_relu_lets_through_where_it_is_positive(isa: str, dtype: np.dtype[Any]) -> None:
    assert hotloops.isa() == isa
    y = np.array([0.0, -0.0, np.finfo(dtype).smallest_subnormal, 2.0, math.inf, math.nan], dtype)
    for grad in (3.0, -0.0, math.inf):
        expected = np.array([0, 0, grad, grad, grad, grad], dtype)
        grad_x = _core.activation_grad("relu", y, np.full_like(y, grad))
        assert_same_bits(grad_x, expected)


@pytest.mark.parametrize(("name", "ulps"), [("sigmoid", 2.5), ("tanh", 3.5)])
@pytest.mark.usefixtures("isa")
def test_error_of_the_formula(dtype: np.dtype[Any], name: str, ulps: float) -> None:
    rng = np.random.default_rng(10)
    lowest = 0 if name == "sigmoid" else -1
    eps = float(np.finfo(dtype).eps)
    parts = [
        rng.uniform(lowest, 1, 20_000),
        1 - eps * rng.integers(0, 1000, 5_000),
        float(np.finfo(dtype).tiny) * rng.uniform(lowest, 1, 2_000),
        np.array([lowest, 1]),
    ]
    y = np.concatenate(parts).astype(dtype)
    grad_y = np.ldexp(normal(3, y.shape, np.float64), rng.integers(-20, 100, y.size)).astype(dtype)
    grad_x = _core.activation_grad(name, y, grad_y)
    wide = np.longdouble
    y_wide = y.astype(wide)
    derivative = y_wide * (1 - y_wide) if name == "sigmoid" else (1 - y_wide) * (1 + y_wide)
    exact = grad_y.astype(wide) * derivative
    spacing = np.spacing(abs(exact).astype(dtype)).astype(wide)
    tiny_wide = wide(np.finfo(dtype).tiny)
    flushed = (grad_x == 0) & (abs(exact) < tiny_wide * (1 + 4 * eps))
    errors = np.where(flushed, 0, abs(grad_x - exact) / spacing)
    assert errors.max() <= ulps + (0.01 if dtype == np.float64 else 0)  # the reference's own
    assert errors.max() > 0.4


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 33, 100, 1000])
@pytest.mark.usefixtures("isa")
def test_softmax(dtype: np.dtype[Any], n: int) -> None:
    y = _core.activate("softmax", 3 * normal(n, (7, n), dtype))
    grad_y = normal(n + 1, (7, n), dtype)
    grad_x = _core.activation_grad("softmax", y, grad_y)
    wide_y, wide_grad = y.astype(np.longdouble), grad_y.astype(np.longdouble)
    total = (wide_y * wide_grad).sum(axis=-1, keepdims=True)
    exact = wide_y * (wide_grad - total)
    # Roundings: n / 16 of each partial sum (twice without fused multiply-add), 4 of their sum; of
    # the difference and of the product.
    unit = np.finfo(dtype).eps / 2
    of_sum = (math.ceil(n / 16) + 6) * (abs(wide_y * wide_grad)).sum(axis=-1, keepdims=True)
    bound = unit * (wide_y * of_sum + 2.1 * abs(exact)) + np.finfo(dtype).tiny
    assert (abs(grad_x - exact) <= bound).all()
    if n > 1:
        assert (abs(exact) > bound).any()


@pytest.mark.parametrize("n", [5, 16, 40])
@pytest.mark.usefixtures("isa")
def test_a_nan_makes_its_row_of_softmax_nan(dtype: np.dtype[Any], n: int) -> None:
    y = _core.activate("softmax", normal(n, (3, n), dtype))
    for place in range(n):
        grad_y = normal(n, (3, n), dtype)
        grad_y[1, place] = math.nan
        grad_x = _core.activation_grad("softmax", y, grad_y)
        assert np.isnan(grad_x[1]).all()
        assert np.isfinite(grad_x[[0, 2]]).all()


# --- Bits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*SLOPES, *SIMPLE, "softmax"])
def test_same_bits_on_every_isa_with_fma(dtype: np.dtype[Any], name: str) -> None:
    isas = [isa for isa in hotloops.isas() if isa in FMA_ISAS]
    if len(isas) < 2:
        pytest.skip("this machine has fewer than two ISAs with fused multiply-add")
    saved = arguments(name if name in SLOPES else "silu", dtype, 200_000)
    saved = saved[: saved.size // 37 * 37].reshape(-1, 37)
    if name not in SLOPES:
        saved = _core.activate(name, saved)
    grad_y = normal(1, saved.shape, dtype)
    results = []
    for isa in isas:
        with hotloops.use_isa(isa):
            assert hotloops.isa() == isa
            results.append(_core.activation_grad(name, saved, grad_y))
    for other in results[1:]:
        assert_same_bits(other, results[0])


@pytest.mark.parametrize("name", [*SLOPES, *SIMPLE, "softmax"])
def test_threads_and_layout_of_the_gradient_change_no_bits(dtype: np.dtype[Any], name: str) -> None:
    saved, grad_y = abs(normal(1, (300, 257), dtype)) % 1, normal(2, (300, 257), dtype)
    expected = _core.activation_grad(name, saved, grad_y)
    for threads in (1, 2, 3):
        with hotloops.threads(threads):
            assert_same_bits(_core.activation_grad(name, saved, grad_y), expected)
    for layout in (np.asfortranarray(grad_y), grad_y[::-1, ::-1].copy()[::-1, ::-1]):
        assert_same_bits(_core.activation_grad(name, saved, layout), expected)
    stretched = np.broadcast_to(grad_y[:1], grad_y.shape)
    assert_same_bits(
        _core.activation_grad(name, saved, stretched),
        _core.activation_grad(name, saved, stretched.copy()),
    )
