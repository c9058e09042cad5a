"""The activations' error in units in the last place, their special values and their bits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import mpmath
import numpy as np
import pytest

import hotloops
from hotloops import _core
from support import FMA_ISAS, assert_same_bits, normal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support import Array

NAMES = ["sigmoid", "tanh", "silu", "gelu", "gelu_tanh"]

# Maximum error in units in the last place of the exact result, over the whole range, subnormal
# results included: with fused multiply-add, and without. Without it the exponent of gelu_tanh, up
# to 104 in float32 and 745 in float64, is right only relatively, and the result loses as much.
MAX_ULPS = {
    ("float32", "sigmoid"): (1.6, 1.6),
    ("float32", "tanh"): (1.5, 1.5),
    ("float32", "silu"): (2.5, 2.5),
    ("float32", "gelu"): (5.5, 6),
    ("float32", "gelu_tanh"): (2.7, 80),
    ("float64", "sigmoid"): (1.6, 1.6),
    ("float64", "tanh"): (1.5, 1.5),
    ("float64", "silu"): (2.5, 2.6),
    ("float64", "gelu"): (6, 8),
    ("float64", "gelu_tanh"): (2.7, 650),
}

# Where results become subnormal, vanish or saturate: the ends of what is interesting.
EDGES = {
    "sigmoid": {"float32": [-87.4, -104.0, 17.0], "float64": [-708.4, -745.2, 37.0]},
    "tanh": {"float32": [0.65, 9.02], "float64": [0.65, 19.1]},
    "silu": {"float32": [-92.0, -108.6], "float64": [-715.0, -751.8]},
    "gelu": {"float32": [-13.1, -14.4, 5.5], "float64": [-37.5, -38.6, 8.3]},
    "gelu_tanh": {"float32": [-10.0, -10.7], "float64": [-21.1, -21.6]},
}


# --- References -------------------------------------------------------------------------------

_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def reference_float64(name: str, x: Array) -> Array:
    """Return an activation of finite float64 values, good to a few units of float64."""
    with np.errstate(under="ignore", over="ignore"):
        if name == "tanh":
            return np.asarray(np.tanh(x))
        if name == "gelu":
            # Beyond -40 the result is below float32's range, and erfc nearly below float64's.
            return np.where(x < -40, -0.0, x * 0.5 * _erfc(np.maximum(x, -40) * -math.sqrt(0.5)))
        z = x if name in ("sigmoid", "silu") else gelu_tanh_argument(np.clip(x, -30, 30))
        z = np.maximum(z, -700)
        cdf = np.exp(np.minimum(z, 0)) / (1 + np.exp(-abs(z)))
        return np.asarray(cdf if name == "sigmoid" else np.maximum(x, -1000) * cdf)


def gelu_tanh_argument(x: Any) -> Any:
    """Return 2 u of gelu_tanh(x) = x / (1 + exp(-2 u)), of an array or an mpmath number."""
    if isinstance(x, np.ndarray):
        return math.sqrt(8 / math.pi) * (x + 0.044715 * x**3)
    return mpmath.sqrt(8 / mpmath.pi) * (x + mpmath.mpf("0.044715") * x**3)


def reference_mpmath(name: str, x: mpmath.mpf) -> mpmath.mpf:
    """Return an activation of one finite value to the working precision."""
    if name == "tanh":
        return mpmath.tanh(x)
    if name == "gelu":
        # mpmath's erfc cannot take all of float64. Beyond 50 the result is 0 or x to 500 digits.
        if abs(x) > 50:
            return max(x, mpmath.mpf(0))
        return x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2
    z = x if name in ("sigmoid", "silu") else gelu_tanh_argument(x)
    cdf = 1 / (1 + mpmath.exp(-z))
    return cdf if name == "sigmoid" else x * cdf


def ulp(exact: Array) -> Array:
    """Return the unit in the last place of float32 at float64 values."""
    _, exponent = np.frexp(exact)
    return np.asarray(np.ldexp(1.0, np.maximum(exponent - 1, -126) - 23))


def max_ulps(name: str, x: Array) -> tuple[float, float]:
    """Return the largest error of an activation of finite x, in ulps, and where it is."""
    y = _core.activate(name, x)
    assert y.dtype == x.dtype
    assert np.isfinite(y).all()
    if x.dtype == np.float32:
        exact = reference_float64(name, x.astype(np.float64))
        errors = abs(y - exact) / ulp(exact)
    else:
        with mpmath.workdps(40):
            errors = np.array(
                [
                    float(abs(mpmath.mpf(float(v)) - w) / mpmath.mpf(2) ** (max(e, -1022) - 52))
                    for v, w, e in (
                        (v, w, int(mpmath.mag(w)) - 1 if w else -1022)
                        for v, w in zip(y, _exact_values(name, x), strict=True)
                    )
                ]
            )
    worst = int(errors.argmax())
    return float(errors[worst]), float(x[worst])


_exact: dict[tuple[str, bytes], list[mpmath.mpf]] = {}


def _exact_values(name: str, x: Array) -> list[mpmath.mpf]:
    """Return the references of float64 values, computed once for all ISAs."""
    key = name, x.tobytes()
    if key not in _exact:
        _exact[key] = [reference_mpmath(name, mpmath.mpf(float(v))) for v in x]
    return _exact[key]


# --- Arguments --------------------------------------------------------------------------------


def every_exponent(dtype: np.dtype[Any], count: int) -> Array:
    """Return finite values of evenly spaced bit patterns: all exponents, both signs."""
    unsigned = np.dtype(f"u{dtype.itemsize}")
    step = 2 ** (8 * dtype.itemsize) // count | 1
    x = (np.arange(count, dtype=unsigned) * unsigned.type(step)).view(dtype)
    return np.asarray(x[np.isfinite(x)])


def arguments(name: str, dtype: np.dtype[Any], count: int) -> Array:
    """Return values over the whole range, most of them where the function is not trivial."""
    rng = np.random.default_rng(8)
    lowest = min(EDGES[name][dtype.name] + [-10.0])
    edges = np.array(EDGES[name][dtype.name])
    parts = [
        every_exponent(dtype, count // 4),
        rng.uniform(lowest, -lowest, count // 4),
        rng.uniform(-4, 4, count // 4),
        rng.normal(0, 1, count // 8),
        (edges[:, None] * (1 + rng.uniform(-0.01, 0.01, count // 8 // edges.size))).ravel(),
        np.array([0.0, np.finfo(dtype).max, -np.finfo(dtype).max]),
    ]
    return np.concatenate([part.astype(dtype) for part in parts])


# --- Elementwise ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_error_in_ulps(isa: str, dtype: np.dtype[Any], name: str) -> None:
    bound = MAX_ULPS[dtype.name, name][isa not in FMA_ISAS]
    x = arguments(name, dtype, 200_000 if dtype == np.float32 else 8_000)
    error, where = max_ulps(name, x)
    assert error <= bound, f"{error:.3g} ulp at {where.hex()} ({where})"
    assert error > 0.4, "smaller than rounding alone: not measured at all"


# Where the results are about to become subnormal.
TAIL_ENDS = {
    "silu": {"float32": -91.0, "float64": -714.0},
    "gelu": {"float32": -13.0, "float64": -37.4},
    "gelu_tanh": {"float32": -9.8, "float64": -21.0},
}


@pytest.mark.parametrize("name", TAIL_ENDS)
def test_negative_tail_is_relatively_accurate(isa: str, dtype: np.dtype[Any], name: str) -> None:
    """Where 1 + erf or 1 + tanh would cancel."""
    x = np.linspace(TAIL_ENDS[name][dtype.name], -1, 200, dtype=dtype)
    y = _core.activate(name, x)
    assert (y <= -np.finfo(dtype).tiny).all()
    assert max_ulps(name, x)[0] <= MAX_ULPS[dtype.name, name][isa not in FMA_ISAS]


SPECIALS: dict[str, dict[float, float]] = {
    "relu": {math.inf: math.inf, -math.inf: 0.0, -1.0: 0.0, 3.0: 3.0},
    "sigmoid": {math.inf: 1.0, -math.inf: 0.0, 0.0: 0.5, 1e30: 1.0, -1e30: 0.0},
    "tanh": {math.inf: 1.0, -math.inf: -1.0, 1e30: 1.0, -1e30: -1.0},
    "silu": {math.inf: math.inf, -math.inf: -0.0, 1e30: 1e30, -1e30: -0.0},
    "gelu": {math.inf: math.inf, -math.inf: -0.0, 1e30: 1e30, -1e30: -0.0},
    "gelu_tanh": {math.inf: math.inf, -math.inf: -0.0, 1e30: 1e30, -1e30: -0.0},
}


@pytest.mark.parametrize("name", SPECIALS)
@pytest.mark.usefixtures("isa")
def test_special_values(dtype: np.dtype[Any], name: str) -> None:
    x = np.array(list(SPECIALS[name]), dtype)
    expected = np.array(list(SPECIALS[name].values()), dtype)
    assert_same_bits(_core.activate(name, x), expected)


@pytest.mark.parametrize("name", SPECIALS)
@pytest.mark.usefixtures("isa")
def test_nan_stays_and_stays_alone(dtype: np.dtype[Any], name: str) -> None:
    patterns = np.array([math.nan, -math.nan], dtype)
    # A NaN whose payload lies in the lowest bits only: what masks off bits may make it infinite.
    low = (np.array([math.inf], dtype).view(f"i{dtype.itemsize}") + 1).view(dtype)
    for nan in [*patterns, *low]:
        for place in range(20):
            x = np.ones(20, dtype)
            x[place] = nan
            assert np.flatnonzero(np.isnan(_core.activate(name, x))).tolist() == [place]


@pytest.mark.parametrize("name", ["relu", "tanh", "silu", "gelu", "gelu_tanh"])
@pytest.mark.usefixtures("isa")
def test_sign_of_zero(dtype: np.dtype[Any], name: str) -> None:
    y = _core.activate(name, np.array([0.0, -0.0], dtype))
    assert_same_bits(y, np.array([0.0, 0.0 if name == "relu" else -0.0], dtype))


@pytest.mark.usefixtures("isa")
def test_subnormal_arguments_are_not_flushed(dtype: np.dtype[Any]) -> None:
    smallest = float(np.finfo(dtype).smallest_subnormal)
    x = np.array([smallest, -smallest, 4 * smallest, -4 * smallest], dtype)
    assert_same_bits(_core.activate("tanh", x), x)
    assert_same_bits(_core.activate("relu", x), np.maximum(x, dtype.type(0)))
    for name in ["silu", "gelu", "gelu_tanh"]:
        assert_same_bits(_core.activate(name, x)[2:], x[2:] / 2)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("isa")
def test_length_changes_no_bits(dtype: np.dtype[Any], name: str) -> None:
    x = 3 * normal(5, (70,), dtype)
    whole = _core.activate(name, x)
    for n in range(x.size):
        assert_same_bits(_core.activate(name, x[:n]), whole[:n])


# --- Softmax ----------------------------------------------------------------------------------

ROW_LENGTHS = [1, 2, 3, 10, 15, 16, 17, 31, 32, 33, 100, 1000]


@pytest.mark.parametrize("n", ROW_LENGTHS)
@pytest.mark.parametrize("spread", [1e-3, 1.0, 10.0, 60.0])
@pytest.mark.usefixtures("isa")
def test_softmax(dtype: np.dtype[Any], n: int, spread: float) -> None:
    x = (spread * normal(n, (7, n), np.float64)).astype(dtype)
    y = _core.activate("softmax", x)
    assert (y.dtype, y.shape) == (x.dtype, x.shape)
    wide = x.astype(np.longdouble)
    distance = wide - wide.max(axis=-1, keepdims=True)
    exact = np.exp(distance)
    exact /= exact.sum(axis=-1, keepdims=True)
    # Roundings: of x - max, which e^ turns from relative to absolute; of e^; n / 16 of each partial
    # sum, 4 of their sum; of its reciprocal and of the product.
    unit = np.finfo(dtype).eps / 2
    bound = unit * (abs(distance) + 2 + n / 16 + 4 + 2) * exact
    bound += np.finfo(dtype).smallest_subnormal
    assert (abs(y - exact) <= bound).all()
    assert (abs(y.astype(np.longdouble).sum(axis=-1) - 1) <= unit * (n / 8 + 8)).all()


@pytest.mark.usefixtures("isa")
def test_softmax_of_one_value_is_one(dtype: np.dtype[Any]) -> None:
    x = np.array([[0.0], [-0.0], [1e30], [-1e30], [np.finfo(dtype).max]], dtype)
    assert_same_bits(_core.activate("softmax", x), np.ones((5, 1), dtype))


@pytest.mark.usefixtures("isa")
def test_softmax_is_stable(dtype: np.dtype[Any]) -> None:
    largest = np.finfo(dtype).max
    x = np.array([[largest, largest, -largest, -math.inf], [-largest] * 4], dtype)
    expected = np.array([[0.5, 0.5, 0, 0], [0.25] * 4], dtype)
    assert_same_bits(_core.activate("softmax", x), expected)


@pytest.mark.parametrize("n", [5, 16, 21, 40])
@pytest.mark.usefixtures("isa")
def test_softmax_where_it_is_undefined(dtype: np.dtype[Any], n: int) -> None:
    for value in [math.nan, math.inf]:
        for place in range(n):
            x = normal(n, (3, n), dtype)
            x[1, place] = value
            y = _core.activate("softmax", x)
            assert np.isnan(y[1]).all()
            assert np.isfinite(y[[0, 2]]).all()
    assert np.isnan(_core.activate("softmax", np.full(n, -math.inf, dtype))).all()


# --- Bits -------------------------------------------------------------------------------------


@pytest.fixture
def fma_isas() -> list[str]:
    """Return the ISAs here that have fused multiply-add, when there are some to compare."""
    names = [name for name in hotloops.isas() if name in FMA_ISAS]
    if len(names) < 2:
        pytest.skip("this machine has fewer than two ISAs with fused multiply-add")
    return names


def _on_each(isas: list[str], name: str, x: Array) -> Iterator[Array]:
    for isa in isas:
        with hotloops.use_isa(isa):
            assert hotloops.isa() == isa
            yield _core.activate(name, x)


@pytest.mark.parametrize("name", SPECIALS)
def test_same_bits_on_every_isa_with_fma(
    fma_isas: list[str], dtype: np.dtype[Any], name: str
) -> None:
    edges = name if name in EDGES else "sigmoid"
    first, *others = _on_each(fma_isas, name, arguments(edges, dtype, 500_000))
    for other in others:
        assert_same_bits(other, first)


@pytest.mark.parametrize("n", [*ROW_LENGTHS, 4099])
def test_softmax_has_the_same_bits_on_every_isa_with_fma(
    fma_isas: list[str], dtype: np.dtype[Any], n: int
) -> None:
    x = 5 * normal(n, (9, n), dtype)
    first, *others = _on_each(fma_isas, "softmax", x)
    for other in others:
        assert_same_bits(other, first)
