"""where and where_greater: NumPy's values, types, shapes and layouts."""

from __future__ import annotations

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import hotloops
import support
from hotloops import _core, naive
from support import LAYOUTS, assert_same_bits

CORE: Any = _core  # what it declines would fall back to what it is compared with
KERNEL_TYPES = ["f4", "f8", "i4", "i8", "f2", "bfloat16", "?"]
SHAPES = [
    ((3, 4), (3, 4), (3, 4)),
    ((3, 1), (4,), ()),
    ((4,), (3, 1), (1, 4)),
    ((), (5,), (5,)),
    ((200, 300), (300,), (200, 1)),
    ((700, 3), (3,), (700, 3)),
    ((0, 3), (3,), (1, 3)),
    ((), (), ()),
]
VIEWS = [LAYOUTS[name] for name in ("contiguous", "fortran", "strided", "reversed")]


def dtype_of(name: str) -> np.dtype[Any]:
    """Return a dtype by name, the one of ml_dtypes included."""
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def in_every_layout(*arrays: support.Array) -> Any:
    """Yield the arrays in layouts of their own: one after another takes each."""
    for first in range(len(VIEWS)):
        yield tuple(
            VIEWS[(first + i) % len(VIEWS)](x) if x.ndim > 0 else x for i, x in enumerate(arrays)
        )


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("name", KERNEL_TYPES)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_where(name: str, shapes: Any) -> None:
    dtype = dtype_of(name)
    condition = np.asarray(support.small_integers(1, shapes[0], int) > 0)
    x, y = (support.small_integers(2 + i, shapes[1 + i], dtype) for i in range(2))
    expected = np.where(condition, x, y)
    for operands in in_every_layout(condition, x, y):
        actual = CORE.where(*operands, None)
        assert actual is not NotImplemented
        assert_same_bits(np.asarray(actual), expected)
        out = np.zeros_like(expected)
        assert CORE.where(*operands, out) is out
        assert_same_bits(out, expected)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("name", KERNEL_TYPES[:-1])
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_where_greater(name: str, shapes: Any) -> None:
    dtype = dtype_of(name)
    a, x, y = (support.small_integers(i, shapes[i], dtype) for i in range(3))
    b = support.small_integers(3, shapes[0][-1:], dtype)
    expected = np.where(a > b, x, y)
    for operands in in_every_layout(a, b, x, y):
        actual = CORE.where_greater(*operands, None)
        assert actual is not NotImplemented
        assert_same_bits(np.asarray(actual), expected)


def test_where_greater_chooses_among_another_type() -> None:
    a, b = support.normal(1, (9, 7), np.float32), support.normal(2, (7,), np.float32)
    for code in "fidqe":
        x, y = (support.small_integers(seed, (9, 7), code) for seed in (3, 4))
        assert_same_bits(hotloops.where_greater(a, b, x, y), np.where(a > b, x, y))


def test_nan_is_not_greater() -> None:
    a, b = np.array([np.nan, 1.0, np.nan] * 30), np.array([1.0, np.nan, np.nan] * 30)
    x, y = np.full(90, 7.0), np.full(90, np.nan)
    assert np.isnan(hotloops.where_greater(a, b, x, y)).all()


@pytest.mark.parametrize(("code", "other"), list(itertools.product("?bHiqefdFO", repeat=2)))
def test_every_pair_of_types_is_as_numpy_has_it(code: str, other: str) -> None:
    x, y = support.small_integers(1, (3, 4), code), support.small_integers(2, (4,), other)
    condition = support.small_integers(3, (3, 4), int)  # any number but 0 is true
    for chosen in (condition, condition > 0, (condition > 0).view(np.uint8) * 2, True):
        actual, expected = hotloops.where(chosen, x, y), np.where(chosen, x, y)
        assert actual.dtype == expected.dtype
        np.testing.assert_array_equal(actual, expected)


def test_bytes_of_truth_other_than_one() -> None:
    condition = np.array([0, 1, 2, 128, 255] * 20, np.uint8).view(bool)
    for code in "fdehi?":
        x, y = np.ones(100, code), np.zeros(100, code)
        assert_same_bits(hotloops.where(condition, x, y), np.where(condition, x, y))


@pytest.mark.parametrize("scalar", [2, 2.5, True, 1j])
@pytest.mark.parametrize("code", [*"?ifdF"])
def test_scalars_are_as_numpy_has_them(code: str, scalar: Any) -> None:
    x = support.small_integers(1, (3, 4), code)
    for a, b in ((x, scalar), (scalar, x), (scalar, scalar)):
        actual, expected = hotloops.where(x == 1, a, b), np.where(x == 1, a, b)
        assert actual.dtype == expected.dtype
        np.testing.assert_array_equal(actual, expected)


def test_out() -> None:
    condition = support.small_integers(1, (30, 7), int) > 0
    x, y = (support.normal(seed, (30, 7), np.float64) for seed in (2, 3))
    expected = np.where(condition, x, y)
    for code in "fd":
        out = np.zeros((30, 7), code)
        assert hotloops.where(condition, x, y, out=out) is out
        np.testing.assert_array_equal(out, expected.astype(code))
    assert hotloops.where(condition, x, y, out=x) is x
    assert_same_bits(x, expected)
    with pytest.raises(TypeError, match="where: out has dtype int32"):
        hotloops.where(condition, x, y, out=np.zeros((30, 7), np.int32))
    with pytest.raises(ValueError, match=r"where: out has shape \(7,\)"):
        hotloops.where(condition[0], x, y, out=np.zeros(7))


@pytest.mark.parametrize("twins", [naive, hotloops])
def test_shapes_that_do_not_fit(twins: Any) -> None:
    one = np.ones
    message = (
        r"^where: dimension -2 has size 2 in condition but 5 in y; sizes must be equal or 1 "
        r"\(shapes \(2, 3\), \(3,\) and \(5, 3\)\)$"
    )
    with pytest.raises(ValueError, match=message):
        twins.where(one((2, 3)) > 0, one(3), one((5, 3)))
    with pytest.raises(ValueError, match="where_greater: dimension -1 has size 3 in b but 4 in y"):
        twins.where_greater(one(1), one(3), one(1), one(4))


@pytest.mark.parametrize("code", [*"?iqefd"])
def test_the_naive_twins(code: str) -> None:
    for shapes in SHAPES[:4]:
        a, x, y = (support.small_integers(i, shapes[i], code) for i in range(3))
        operands = [((a != 0), x, y), (a, x, x, y)]
        for function, arguments in zip(("where", "where_greater"), operands, strict=True):
            actual, expected = (getattr(m, function)(*arguments) for m in (naive, hotloops))
            assert type(actual) is type(expected)
            assert_same_bits(np.asarray(actual), np.asarray(expected))


def test_tensors() -> None:
    torch = pytest.importorskip("torch")
    dtypes = [torch.float32, torch.float64, torch.int64, torch.bfloat16, torch.float16, torch.bool]
    for one, other in itertools.product(dtypes, dtypes):
        x = torch.from_numpy(support.small_integers(1, (30, 4), np.int64)).to(one)
        y = torch.from_numpy(support.small_integers(2, (4,), np.int64)).to(other)
        condition = x > 0
        for actual, expected in (
            (hotloops.where(condition, x, y), torch.where(condition, x, y)),
            (hotloops.where_greater(x, y, x, y), torch.where(x > y, x, y)),
            (hotloops.where(condition, x, 1), torch.where(condition, x, 1)),
        ):
            assert type(actual) is torch.Tensor
            assert actual.dtype == expected.dtype
            assert torch.equal(actual, expected)
