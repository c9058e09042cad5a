"""The checkers are checked: what they must refuse, they refuse."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import support
from support import LAYOUTS, assert_same_bits, assert_within_bound, contract_matmul, normal


def test_bound_accepts_the_correctly_rounded_product(dtype: np.dtype[Any]) -> None:
    a, b = support.wide_range(1, (5, 300), dtype), support.wide_range(2, (300, 7), dtype)
    exact = np.matmul(a.astype(np.longdouble), b.astype(np.longdouble))
    assert_within_bound(exact.astype(dtype), a, b)


@pytest.mark.parametrize("k", [1, 2, 255, 256, 257, 1000])
def test_bound_refuses_zeros_and_nan(dtype: np.dtype[Any], k: int) -> None:
    a, b = normal(1, (3, k), dtype), normal(2, (k, 4), dtype)
    for value in (0, np.nan):
        with pytest.raises(AssertionError, match="outside the bound"):
            assert_within_bound(np.full((3, 4), value, dtype), a, b)


@pytest.mark.parametrize("k", [1, 2, 3, 17])
def test_bound_refuses_a_single_component_a_few_ulps_off(dtype: np.dtype[Any], k: int) -> None:
    a, b = abs(normal(1, (6, k), dtype)), abs(normal(2, (k, 5), dtype))
    c = np.matmul(a.astype(np.longdouble), b.astype(np.longdouble)).astype(dtype)
    assert_within_bound(c, a, b)
    # An ulp is at least the unit roundoff times the value; k + 1 roundings are allowed.
    c[3, 2] += (k + 3) * np.spacing(c[3, 2])
    with pytest.raises(AssertionError, match=r"1 of 30 components .* at \(3, 2\)"):
        assert_within_bound(c, a, b)


def test_bound_refuses_a_missing_last_product(dtype: np.dtype[Any]) -> None:
    a, b = normal(1, (4, 513), dtype), normal(2, (513, 4), dtype)
    with pytest.raises(AssertionError, match="outside the bound"):
        assert_within_bound(contract_matmul(a[:, :-1], b[:-1]), a, b)


def test_fma_rounds_once() -> None:
    x, y, z = (support.wide_range(seed, (2000,), np.float32) for seed in (1, 2, 3))
    # Half of them cancel almost entirely, where rounding the product would show.
    z[::2] = -(x[::2] * y[::2])
    fused = support.fma(x, y, z)
    assert (fused != x * y + z).any()
    for result, *terms in zip(fused, x, y, z, strict=True):
        u, v, w = (Fraction(float(term)) for term in terms)
        error = abs(Fraction(float(result)) - (u * v + w))
        for neighbour in np.nextafter(result, np.array([-np.inf, np.inf], np.float32)):
            assert error <= abs(Fraction(float(neighbour)) - (u * v + w))


def test_contract_matmul_is_within_the_bound(dtype: np.dtype[Any]) -> None:
    a, b = normal(1, (3, 515), dtype), normal(2, (515, 2), dtype)
    assert_within_bound(contract_matmul(a, b), a, b)


def test_same_bits_refuses_another_zero() -> None:
    assert_same_bits(np.zeros(3), np.zeros(3))
    with pytest.raises(AssertionError, match="different bits"):
        assert_same_bits(np.array([0.0]), np.array([-0.0]))
    with pytest.raises(AssertionError):
        assert_same_bits(np.zeros(3), np.zeros(3, np.float32))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_keep_the_values(layout: str) -> None:
    x = normal(1, (4, 3, 5), np.float32)
    np.testing.assert_array_equal(LAYOUTS[layout](x), x)
