"""Where NumPy has an answer, matmul has the same: types, casts, out, errors, delegates."""

from __future__ import annotations

import warnings
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import hotloops
import support
from support import assert_same_bits, assert_within_bound, normal, small_integers

if TYPE_CHECKING:
    from collections.abc import Callable

DTYPES = [*"?bBhHiIlLqQefdgFDGO"]
OWN_BITS = "fdFD"  # of other values than whole numbers
OTHERS = [code for code in DTYPES if code not in OWN_BITS]


def assert_as_numpy(*args: Any, **kwargs: Any) -> None:
    """Fail unless hotloops.matmul and numpy.matmul give the same value, or fail alike."""
    try:
        expected = np.matmul(*args, **kwargs)
    except Exception as error:
        # NumPy's own types, such as UFuncTypeError, are private; the built-in ones are not.
        with pytest.raises(ValueError if isinstance(error, ValueError) else TypeError):
            hotloops.matmul(*args, **kwargs)
        return
    actual = hotloops.matmul(*args, **kwargs)
    assert type(actual) is type(expected)
    assert np.asarray(actual).dtype == np.asarray(expected).dtype
    np.testing.assert_array_equal(actual, expected)


# --- Types ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code_a", DTYPES)
def test_result_type_of_every_pair(code_a: str) -> None:
    for code_b in DTYPES:
        a, b = small_integers(1, (3, 4), code_a), small_integers(2, (4, 5), code_b)
        assert_as_numpy(a, b)


@pytest.mark.parametrize("code", OTHERS)
def test_other_types_are_numpys(code: str) -> None:
    dtype = np.dtype(code)
    a: support.Array
    b: support.Array
    if dtype.kind == "c":
        a, b = (normal(i, (9, 9), "d") + 1j * normal(i + 2, (9, 9), "d") for i in (1, 2))
    elif dtype.kind in "f":
        a, b = normal(1, (9, 9), "d"), normal(2, (9, 9), "d")
    else:
        # Large enough that integers wrap.
        a, b = (np.random.default_rng(i).integers(0, 120, (9, 9)) for i in (1, 2))
    a, b = a.astype(dtype), b.astype(dtype)
    assert_as_numpy(a, b)
    assert_as_numpy(a[::2, ::-2], b.T[::-2])
    assert_as_numpy(np.stack([a, b]), b)


@pytest.mark.parametrize("other", ["?", "b", "H", "i", "q", "e", "f", "d"])
@pytest.mark.parametrize("code", ["f", "d"])
def test_mixed_types_are_computed_in_the_result_type(code: str, other: str) -> None:
    a, b = normal(1, (20, 30), code), small_integers(2, (30, 25), other)
    for left, right in ((a, b), (b.T, a.T)):
        c = hotloops.matmul(left, right)
        assert c.dtype == np.result_type(a, b)
        assert_within_bound(c, left, right)


def test_big_endian_operands(dtype: np.dtype[Any]) -> None:
    a, b = small_integers(1, (5, 7), dtype), small_integers(2, (7, 6), dtype)
    swapped = a.astype(dtype.newbyteorder())
    assert_as_numpy(swapped, b)
    assert_as_numpy(a, b, out=np.empty((5, 6), dtype.newbyteorder()))


@pytest.mark.parametrize("code", ["U3", "S3", "M8[s]", "m8[s]", "i4,f4"])
def test_types_that_have_no_product(code: str) -> None:
    a = np.zeros((2, 2), code)
    assert_as_numpy(a, a)
    assert_as_numpy(a, np.ones((2, 2), np.float32))


@pytest.mark.parametrize("code", [*"bBhHiIlLqQ"])
@pytest.mark.parametrize("other", [*"bBhHiIlLqQ"])
def test_the_type_of_integers_is_the_one_of_c(code: str, other: str) -> None:
    a, b = small_integers(1, (3, 4), code), small_integers(2, (4, 5), other)
    expected = np.matmul(a, b).dtype
    for product_ in (
        hotloops.matmul(a, b),
        hotloops.matmul(a[0], b[:, 0]),
        hotloops.einsum("ij,jk->ik", a, b),
        hotloops.dense(a, b),
    ):
        assert product_.dtype.num == expected.num
    for subscripts in ("ij->", "ij->j"):
        assert hotloops.einsum(subscripts, a).dtype.num == a.dtype.num
    assert hotloops.matmul(a, a.T, dtype=code).dtype.num == a.dtype.num


# --- dtype= -----------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", DTYPES)
def test_dtype(dtype: np.dtype[Any], wanted: str) -> None:
    a, b = small_integers(1, (3, 4), dtype), small_integers(2, (4, 5), dtype)
    assert_as_numpy(a, b, dtype=wanted)
    assert_as_numpy(a.astype(np.int8), b.astype(np.int8), dtype=wanted)
    assert_as_numpy(a, b, dtype=np.dtype(wanted), out=np.empty((3, 5), dtype))


def test_dtype_has_no_byte_order() -> None:
    a = small_integers(1, (3, 3), np.float32)
    for x in a, a.astype(np.int64), a.astype(">f4"):
        assert_as_numpy(x, x, dtype=">f4")
    with pytest.raises(TypeError, match="no product of dtype >f4"):
        hotloops.matmul(a, hotloops.pack(a), dtype=">f4")


def test_dtype_is_the_type_of_the_sums() -> None:
    a, b = normal(1, (20, 300), np.float32), normal(2, (300, 20), np.float32)
    c = hotloops.matmul(a, b, dtype=np.float64)
    assert c.dtype == np.float64
    assert_within_bound(c, a, b)


# --- out= -------------------------------------------------------------------------------------


@pytest.mark.parametrize("out_code", DTYPES)
@pytest.mark.parametrize("code", ["f", "d", "i", "D"])
def test_out_is_cast_as_numpy_casts(code: str, out_code: str) -> None:
    a, b = small_integers(1, (3, 4), code), small_integers(2, (4, 5), code)
    out = np.full((3, 5), 7).astype(out_code)
    try:
        expected = np.matmul(a, b, out=out.copy())
    except TypeError:
        with pytest.raises(TypeError):
            hotloops.matmul(a, b, out=out)
        assert (out == np.full((3, 5), 7).astype(out_code)).all()
    else:
        assert hotloops.matmul(a, b, out=out) is out
        np.testing.assert_array_equal(out, expected)


def test_out_of_another_float_type_rounds_once() -> None:
    a, b = normal(1, (30, 300), np.float64), normal(2, (300, 20), np.float64)
    out = np.empty((30, 20), np.float32)
    hotloops.matmul(a, b, out=out)
    assert_same_bits(out, hotloops.matmul(a, b).astype(np.float32))


@pytest.mark.parametrize("shape", [(3, 4), (4, 5), (3, 5, 1), (15,), (3, 6), (0, 5), ()])
def test_out_of_a_wrong_shape(dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    a, b = np.ones((3, 4), dtype), np.ones((4, 5), dtype)
    assert_as_numpy(a, b, out=np.empty(shape, dtype))


@pytest.mark.parametrize(
    ("shape_a", "shape_b", "shape"),
    [
        ((3, 4), (4, 5), (2, 3, 5)),
        ((1, 3, 4), (4, 5), (6, 3, 5)),
        ((6, 3, 4), (4, 5), (1, 3, 5)),
        ((6, 3, 4), (4, 5), (3, 5)),
        ((6, 3, 4), (4, 5), (5, 3, 5)),
        ((4,), (4, 5), (5,)),
        ((4,), (4, 5), (1, 5)),
        ((3, 4), (4,), (3,)),
        ((4,), (4,), ()),
        ((0, 4), (4, 5), (0, 5)),
    ],
)
def test_out_of_a_batch_or_vector(
    dtype: np.dtype[Any], shape_a: Any, shape_b: Any, shape: Any
) -> None:
    a, b = small_integers(1, shape_a, dtype), small_integers(2, shape_b, dtype)
    assert_as_numpy(a, b, out=np.empty(shape, dtype))


def test_out_in_a_tuple(dtype: np.dtype[Any]) -> None:
    a = small_integers(1, (3, 3), dtype)
    out = np.empty((3, 3), dtype)
    assert hotloops.matmul(a, a, out=(out,)) is out
    np.testing.assert_array_equal(out, np.matmul(a, a))
    for wrong in ((out, out), (), [[0] * 3] * 3):
        with pytest.raises((TypeError, ValueError)):
            hotloops.matmul(a, a, out=wrong)


def test_out_read_only(dtype: np.dtype[Any]) -> None:
    a = np.ones((3, 3), dtype)
    out = np.zeros((3, 3), dtype)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        hotloops.matmul(a, a, out=out)
    assert not out.any()


@pytest.mark.parametrize("n", [3, 40, 300])
def test_out_that_overlaps_an_operand(dtype: np.dtype[Any], n: int) -> None:
    def buffer() -> support.Array:
        return small_integers(1, (2 * n, n), dtype)

    cases: list[Callable[[support.Array], tuple[support.Array, ...]]] = [
        lambda x: (x[:n], x[n:], x[:n]),
        lambda x: (x[:n], x[n:], x[n:]),
        lambda x: (x[:n], x[n:], x[:n].T),
        lambda x: (x[:n], x[n:], x[1 : n + 1]),
        lambda x: (x[:n], x[:n], x[:n]),
        lambda x: (x[:n], x[:n].T, x[n // 2 : n // 2 + n]),
        lambda x: (x[n - 1 :: -1], x[n:], x[:n]),
    ]
    for case in cases:
        a, b, out = case(buffer())
        expected = np.matmul(a.copy(), b.copy())
        assert hotloops.matmul(a, b, out=out) is out
        np.testing.assert_array_equal(out, expected)


# --- Errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape_a", "shape_b"),
    [
        ((2, 3), (4, 5)),
        ((2, 3), (4,)),
        ((3,), (4, 5)),
        ((3,), (4,)),
        ((), (3,)),
        ((3,), ()),
        ((), ()),
        ((2, 3, 4), (3, 4, 5)),
        ((2, 3, 4), (2, 5, 5)),
        ((5, 0), (1, 5)),
    ],
)
def test_shapes_that_do_not_fit(dtype: np.dtype[Any], shape_a: Any, shape_b: Any) -> None:
    a, b = np.ones(shape_a, dtype), np.ones(shape_b, dtype)
    with pytest.raises(ValueError):  # noqa: PT011
        np.matmul(a, b)
    with pytest.raises(ValueError, match="matmul: "):
        hotloops.matmul(a, b)


def test_wrong_arguments() -> None:
    a = np.ones((2, 2))
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((), {}),
        ((a,), {}),
        ((), {"a": a, "b": a}),
        ((a, a, None, None), {}),
        ((a, a), {"axis": 0}),
    ]
    for args, kwargs in calls:
        with pytest.raises(TypeError):
            hotloops.matmul(*args, **kwargs)
    with pytest.raises(TypeError):
        hotloops.matmul(a, a, dtype="no such type")


# --- Array-likes ------------------------------------------------------------------------------


def test_lists_scalars_and_none() -> None:
    rows = [[1.0, 2.0], [3.0, 4.0]]
    values: list[Any] = [rows, [[1, 2], [3, 4]], [1, 2], (1.0, 2.0), np.eye(2, dtype=np.float32)]
    values += [3, 2.5, [[True, False], [False, True]], [1j, 2j], range(2), np.float32(3)]
    for a, b in product(values, values):
        assert_as_numpy(a, b)
    # NumPy says of some that they lack a dimension.
    no_numbers: list[Any] = [None, {}, object()]
    for a, b in [*product(values, no_numbers), *product(no_numbers, values)]:
        with pytest.raises(TypeError, match=r"matmul: [ab] is .* but must be numbers"):
            hotloops.matmul(a, b)
    assert_as_numpy([["a", "b"]], rows)
    with pytest.raises(ValueError, match="inhomogeneous"):
        hotloops.matmul([[1, 2], [3]], rows)


class Shouting:
    """Implements __array_ufunc__, so that it decides what a product with it is."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Answer with what was asked."""
        return ufunc, method, len(inputs), sorted(kwargs)


class Refusing:
    """Takes part in no ufunc."""

    __array_ufunc__ = None


class Convertible:
    """Knows only how to become an array."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> support.Array:
        """Return the array."""
        return np.arange(4, dtype=dtype or np.float32).reshape(2, 2)


def test_array_ufunc_is_asked() -> None:
    x = np.ones((2, 2), np.float32)
    assert hotloops.matmul(Shouting(), x) == (np.matmul, "__call__", 2, [])
    assert hotloops.matmul(x, Shouting()) == (np.matmul, "__call__", 2, [])
    assert hotloops.matmul(x, x, out=Shouting()) == (np.matmul, "__call__", 2, ["out"])
    with pytest.raises(TypeError):
        hotloops.matmul(x, Refusing())


def test_array_is_asked() -> None:
    assert_as_numpy(Convertible(), np.ones((2, 3), np.float32))
    assert_as_numpy(np.ones((3, 2)), Convertible())


def test_subclasses_stay_what_they_are() -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    masked = np.ma.masked_array(x[:, :2], mask=x[:, :2] > 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        assert_as_numpy(np.matrix(x), x.T)
        assert_as_numpy(x.T, np.matrix(x))
    actual, expected = hotloops.matmul(masked, x[:, 1:]), np.matmul(masked, x[:, 1:])
    assert type(actual) is type(expected)
    np.testing.assert_array_equal(np.asarray(actual), np.asarray(expected))
    assert_as_numpy(x.view(np.recarray), x.T)
