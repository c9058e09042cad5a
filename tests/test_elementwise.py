"""multiply, add, subtract, greater, all_greater: NumPy's values, types, shapes and layouts."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest

import hotloops
import support
from hotloops import _core, naive
from support import LAYOUTS, assert_same_bits

if TYPE_CHECKING:
    from collections.abc import Callable

ARITHMETIC: dict[str, Callable[..., Any]] = {
    "multiply": np.multiply,
    "add": np.add,
    "subtract": np.subtract,
}
BINARY: dict[str, Callable[..., Any]] = {**ARITHMETIC, "greater": np.greater}
KERNEL_TYPES = ["f4", "f8", "i4", "i8", "f2", "bfloat16"]

# Equal, stretched on either side, on both, rank 0, empty, short rows, rows across blocks.
SHAPES = [
    ((3, 4), (3, 4)),
    ((3, 3), (3,)),
    ((3, 1), (1, 4)),
    ((5, 1, 7), (6, 1)),
    ((), (3,)),
    ((), ()),
    ((2, 0), (1,)),
    ((700, 3), (3,)),
    ((700, 3), (700, 1)),
    ((200, 300), (300,)),
    ((200, 300), (200, 1)),
    ((70, 1, 5), (1, 80, 1)),
    ((300, 2, 2), (2, 1)),
    ((20_001,), (20_001,)),
    ((1,), (20_001,)),
]


def dtype_of(name: str) -> np.dtype[Any]:
    """Return a dtype by name, the one of ml_dtypes included."""
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def values_of(array: Any) -> support.Array:
    """Return numbers that can be compared, also of a type that NumPy does not know."""
    return np.asarray(array).astype(np.complex128)


def across(x: support.Array) -> support.Array:
    """Return the same values, stored with the axes in a circle."""
    return x if x.ndim < 2 else np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0)


VIEWS: dict[str, Callable[[support.Array], support.Array]] = {
    **{name: LAYOUTS[name] for name in ("contiguous", "fortran", "strided", "reversed")},
    "across": across,
}


def views(x: support.Array) -> list[support.Array]:
    """Return the same values in every layout that kernels take without a copy."""
    return [layout(x) for layout in VIEWS.values()] if x.ndim > 0 else [x]


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("name", KERNEL_TYPES)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_every_layout(name: str, shapes: Any) -> None:
    dtype = dtype_of(name)
    a, b = (support.small_integers(seed, shape, dtype) for seed, shape in enumerate(shapes))
    for function, reference in BINARY.items():
        expected = reference(a, b)
        for x, y in itertools.product(views(a), views(b)):
            # By the core itself: nothing may fall back to what it is compared with.
            actual = getattr(_core, function)(x, y, None)
            assert actual is not NotImplemented
            assert type(actual) is type(expected)
            assert_same_bits(np.asarray(actual), np.asarray(expected))
            if expected.size > 1 and 1 not in expected.shape:
                assert actual.strides == reference(x, y).strides
            assert _core.all_greater(x, y) == bool(np.all(x > y))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("function", ARITHMETIC)
def test_integers_wrap(function: str) -> None:
    for dtype in (np.int32, np.int64):
        info = np.iinfo(dtype)
        rng = np.random.default_rng(1)
        a, b = (rng.integers(info.min, info.max, 101, dtype, endpoint=True) for _ in range(2))
        assert_same_bits(getattr(hotloops, function)(a, b), ARITHMETIC[function](a, b))
        assert_same_bits(hotloops.greater(a, b), a > b)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("name", ["f2", "bfloat16"])
def test_half_types_round_once_for_every_value(name: str) -> None:
    every = np.arange(2**16, dtype=np.uint16).view(dtype_of(name))
    others = [0.0, -0.0, 1.0, -1.001, 6e-8, 1e-38, 65504, 3e38, np.inf, np.nan]
    for other, (function, reference) in itertools.product(others, BINARY.items()):
        with np.errstate(all="ignore"):
            scalar = np.array(other).astype(every.dtype)
            expected = reference(every, scalar)
        actual = getattr(_core, function)(every, scalar, None)
        assert actual.dtype == expected.dtype
        np.testing.assert_array_equal(values_of(actual), values_of(expected))
        signs = [np.signbit(np.asarray(y).astype(np.float32)) for y in (actual, expected)]
        numbers = ~np.isnan(values_of(expected))
        np.testing.assert_array_equal(signs[0][numbers], signs[1][numbers])


@pytest.mark.usefixtures("isa")
def test_special_values(dtype: np.dtype[Any]) -> None:
    specials = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -1.5, np.finfo(dtype).max]
    a, b = (np.resize(x, 163) for x in zip(*itertools.product(specials, specials), strict=True))
    a, b = a.astype(dtype), b.astype(dtype)
    with np.errstate(all="ignore"):
        for function, reference in BINARY.items():
            actual, expected = getattr(hotloops, function)(a, b), reference(a, b)
            np.testing.assert_array_equal(actual, expected)
            numbers = expected == expected
            np.testing.assert_array_equal(
                np.signbit(actual[numbers]), np.signbit(expected[numbers])
            )


def test_the_formulas_of_relu_differ_on_specials() -> None:
    x = np.array([np.nan, -0.0, np.inf, -np.inf])
    relu = hotloops.relu(x)
    np.testing.assert_array_equal(relu, [np.nan, 0.0, np.inf, 0.0])
    with np.errstate(invalid="ignore"):
        times_mask = hotloops.multiply(x, hotloops.greater(x, 0.0))
        half_of_sum = hotloops.multiply(hotloops.add(abs(x), x), 0.5)
    np.testing.assert_array_equal(times_mask, [np.nan, -0.0, np.inf, np.nan])
    assert (np.signbit(relu[1]), np.signbit(times_mask[1])) == (False, True)
    np.testing.assert_array_equal(half_of_sum, [np.nan, 0.0, np.inf, np.nan])


@pytest.mark.parametrize(
    ("code", "other"), list(itertools.product("?bBhHiIlLqQefdgFDGO", repeat=2))
)
def test_every_pair_of_types_is_as_numpy_has_it(code: str, other: str) -> None:
    a, b = support.small_integers(1, (3, 4), code), support.small_integers(2, (4,), other)
    for function, reference in BINARY.items():
        try:
            with np.errstate(over="ignore"):
                expected = reference(a, b)
        except TypeError:
            with pytest.raises(TypeError):
                getattr(hotloops, function)(a, b)
            continue
        actual = getattr(hotloops, function)(a, b)
        assert actual.dtype == expected.dtype
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("scalar", [2, -3, 2.5, True, 1 + 2j, 2**40, 1e300, np.float32(2.5)])
@pytest.mark.parametrize("code", [*"?iqefdF"])
def test_scalars_are_as_numpy_has_them(code: str, scalar: Any) -> None:
    x = support.small_integers(1, (3, 4), code)
    for (function, reference), swap in itertools.product(BINARY.items(), [False, True]):
        operands = (scalar, x) if swap else (x, scalar)
        try:
            with np.errstate(all="ignore"):
                expected = reference(*operands)
        except (TypeError, OverflowError) as error:
            with pytest.raises(type(error)):
                getattr(hotloops, function)(*operands)
            continue
        with np.errstate(all="ignore"):
            actual = getattr(hotloops, function)(*operands)
        assert actual.dtype == expected.dtype
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("operands", [(2**63, 1), (2**63, True), (2**70, 1.5), (2**70, 1)])
def test_two_scalars_are_as_numpy_has_them(operands: tuple[Any, Any]) -> None:
    for function, reference in BINARY.items():
        try:
            expected = reference(*operands)
        except OverflowError:
            with pytest.raises(OverflowError):
                getattr(hotloops, function)(*operands)
            continue
        actual = getattr(hotloops, function)(*operands)
        assert type(actual) is type(expected)
        assert actual == expected


@pytest.mark.parametrize("with_out", [False, True])
def test_dates_and_times_are_numpys(with_out: bool) -> None:
    dates = np.array(["2020-01-01", "2020-03-01"], "M8[D]")
    days = np.array([1, 2], "m8[D]")
    for function, a, b in [
        ("subtract", dates, dates[::-1]),
        ("subtract", dates, 1),
        ("subtract", dates, days),
        ("add", days, dates),
        ("multiply", 2.5, days),
        ("multiply", np.float32(2), days),
        ("greater", dates, dates[:1]),
    ]:
        expected = BINARY[function](a, b)
        out = np.empty_like(expected) if with_out else None
        actual = getattr(hotloops, function)(a, b, out=out)
        assert actual.dtype == expected.dtype
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("code", ["f", "d", "i", "e", "h", "?"])
def test_out_is_cast_as_numpy_casts(code: str, layout: str) -> None:
    a, b = support.small_integers(1, (30, 7), "f"), support.small_integers(2, (7,), "f")
    for function, reference in BINARY.items():
        out = LAYOUTS[layout](np.ones((30, 7), code))
        if layout == "read_only":
            with pytest.raises(ValueError, match=f"{function}: out is read-only"):
                getattr(hotloops, function)(a, b, out=out)
            continue
        try:
            expected = reference(a, b, out=out.copy())
        except TypeError:
            with pytest.raises(TypeError, match=f"{function}: out has dtype"):
                getattr(hotloops, function)(a, b, out=out)
            assert (out == 1).all()
            continue
        assert getattr(hotloops, function)(a, b, out=out) is out
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("function", ARITHMETIC)
@pytest.mark.parametrize("layout", ["contiguous", "strided", "reversed", "fortran"])
def test_in_place(function: str, layout: str) -> None:
    a, b = (support.normal(seed, (37, 53), np.float64) for seed in (1, 2))
    for row in (b, b[0], b[:, :1], b[:1, :1]):
        expected = ARITHMETIC[function](a, row)
        x = LAYOUTS[layout](a.copy())
        assert getattr(_core, function)(x, row, x) is x
        assert_same_bits(x, expected)
        expected = ARITHMETIC[function](row, a)
        x = LAYOUTS[layout](a.copy())
        assert getattr(hotloops, function)(row, x, out=x) is x
        assert_same_bits(x, expected)
    x = LAYOUTS[layout](a.copy())
    assert_same_bits(getattr(hotloops, function)(x, x, out=x), ARITHMETIC[function](a, a))


@pytest.mark.parametrize("shift", [1, -1, 3])
def test_out_that_overlaps(shift: int) -> None:
    for function, reference in ARITHMETIC.items():
        x = support.normal(1, (5000,), np.float64)
        source, target = x[3:-3], x[3 + shift : x.size - 3 + shift]
        expected = reference(source.copy(), 2.0)
        getattr(hotloops, function)(source, 2.0, out=target)
        assert_same_bits(target, expected)
        square = support.normal(2, (50, 50), np.float64)
        expected = reference(square, square.T)
        assert_same_bits(getattr(hotloops, function)(square, square.T, out=square), expected)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_any_number_of_threads(count: int) -> None:
    a, b = (support.normal(seed, (1003, 509), np.float64) for seed in (1, 2))
    with hotloops.threads(count):
        for function, reference in BINARY.items():
            for x, y in ((a, b), (a, b[0]), (a[:, :1], b), (a, np.asfortranarray(b))):
                assert_same_bits(getattr(hotloops, function)(x, y), reference(x, y))


def test_a_result_past_the_caches() -> None:
    # Above the size from which on results are streamed, from an address that is not aligned.
    n = (32 << 20) // 4 + 1000
    a, b = np.arange(n, dtype=np.float32), np.ones(n, np.float32)
    out = np.zeros(n + 2, np.float32)
    hotloops.subtract(a, b, out=out[1:-1])
    assert_same_bits(out[1:-1], a - b)
    assert (out[0], out[-1]) == (0, 0)


@pytest.mark.parametrize("count", [1, 2])
def test_all_greater_wherever_it_is_decided(count: int) -> None:
    a, b = np.ones(300_001), np.zeros(300_001)
    with hotloops.threads(count):
        assert hotloops.all_greater(a, b)
        assert hotloops.all_greater(a[::3], 0.0)
        assert hotloops.all_greater(a[:0], a[:0])
        for place in (0, 2047, 2048, 150_000, 300_000):
            for value in (0.0, np.nan):
                a[place] = value
                assert not hotloops.all_greater(a, b)
            a[place] = 1
    assert type(hotloops.all_greater(a, b)) is bool


@pytest.mark.parametrize("twins", [naive, hotloops])
def test_shapes_that_do_not_fit(twins: Any) -> None:
    one = np.ones
    message = r"dimension -1 has size 3 in a but 4 in b; sizes must be equal or 1 \(shapes \(2, 3\)"
    for function in ("multiply", "add", "subtract", "greater", "all_greater"):
        for dtype in ("f4", "i2", "O"):
            with pytest.raises(ValueError, match=f"^{function}: {message}"):
                getattr(twins, function)(one((2, 3), dtype), one(4, dtype))
    with pytest.raises(ValueError, match=r"multiply: out has shape \(3,\) but the result has"):
        twins.multiply(one((2, 3)), one(3), out=one(3))
    with pytest.raises(TypeError, match="multiply: out is a list"):
        twins.multiply(one((2, 3)), one(3), out=[1])


def test_subclasses_keep_their_meaning() -> None:
    masked = np.ma.masked_array([1.0, 2.0], mask=[False, True])
    result = hotloops.multiply(masked, 2.0)
    assert type(result) is np.ma.MaskedArray
    assert result.mask.tolist() == [False, True]


@pytest.mark.parametrize("code", [*"?bHiqefdD"])
@pytest.mark.parametrize("shapes", SHAPES[:7], ids=str)
def test_the_naive_twins(code: str, shapes: Any) -> None:
    a, b = (support.small_integers(seed, shape, code) for seed, shape in enumerate(shapes))
    for function in BINARY:
        if (code, function) in (("?", "subtract"), ("D", "greater")):
            continue  # NumPy refuses the one; Python has no order of complex numbers
        actual, expected = (getattr(m, function)(a, b) for m in (naive, hotloops))
        assert type(actual) is type(expected)
        assert_same_bits(np.asarray(actual), np.asarray(expected))
    if code != "D":
        assert naive.all_greater(a, b) == hotloops.all_greater(a, b)


# --- torch ------------------------------------------------------------------------------------


def test_tensors() -> None:
    torch = pytest.importorskip("torch")
    names = {"multiply": "mul", "add": "add", "subtract": "sub", "greater": "gt"}
    dtypes = [torch.float32, torch.float64, torch.int32, torch.int64, torch.float16]
    dtypes += [torch.bfloat16, torch.uint8, torch.complex64]
    for one, other in itertools.product(dtypes, dtypes):
        a = torch.from_numpy(support.small_integers(1, (30, 4), np.int64)).abs().to(one)
        b = torch.from_numpy(support.small_integers(2, (4,), np.int64)).abs().to(other)
        for function, name in names.items():
            if name == "gt" and (one.is_complex or other.is_complex):
                continue
            expected = getattr(torch, name)(a, b)
            for x, y in ((a, b), (a.T.contiguous().T, b[None])):
                actual = getattr(hotloops, function)(x, y)
                assert type(actual) is torch.Tensor
                assert actual.dtype == expected.dtype
                assert torch.equal(actual, expected)
            out = torch.zeros_like(expected)
            assert getattr(hotloops, function)(a, b, out=out) is out
            assert torch.equal(out, expected)
    x = torch.ones(3, 4)
    assert hotloops.add(x.T, x.T).stride() == (1, 4)
    assert torch.equal(hotloops.multiply(x, 2), x * 2)
    assert torch.equal(hotloops.multiply(0.1, x.double()), 0.1 * x.double())
    assert hotloops.multiply(torch.ones(3, dtype=torch.int32), 0.5).dtype == torch.float32
    assert hotloops.all_greater(x, 0.5) is True
    assert hotloops.add(x, 1.0, out=x) is x
    assert torch.equal(x, torch.full((3, 4), 2.0))
    assert torch.equal(hotloops.add(x, x[0], out=x), torch.full((3, 4), 4.0))


def test_tensors_that_are_refused() -> None:
    torch = pytest.importorskip("torch")
    x = torch.ones(3)
    with pytest.raises(TypeError, match="multiply: b is a ndarray but a is a Tensor"):
        hotloops.multiply(x, np.ones(3))
    with pytest.raises(RuntimeError, match="multiply: a requires its gradient"):
        hotloops.multiply(x.clone().requires_grad_(), x)
    with torch.no_grad():
        assert torch.equal(hotloops.multiply(x.clone().requires_grad_(), x), x)
    with pytest.raises(ValueError, match="add: dimension -1 has size 3 in a but 2 in b"):
        hotloops.add(x, torch.ones(2))
    with pytest.raises(ValueError, match="add: out has shape"):
        hotloops.add(x, x, out=torch.ones(2))
    with pytest.raises(TypeError, match=r"add: out has dtype torch\.int32"):
        hotloops.add(x, x, out=torch.ones(3, dtype=torch.int32))


# --- Windows and dimensions ---------------------------------------------------------------------


@pytest.mark.parametrize("function", ["multiply", "add", "subtract", "greater"])
@pytest.mark.parametrize("columns", [40, 68, 300, 1100])
@pytest.mark.parametrize("between", [2, 5, 40])
def test_overlapping_windows_with_a_broadcast_dimension_between(
    function: str, columns: int, between: int
) -> None:
    """Blocks of different lengths begin at one address, and are not the same block."""
    values = support.normal(1, (20 * columns,), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(values, 2 * columns)
    other = support.normal(2, (3, between, columns), np.float32)
    for step in (1, 2, 64, 2 * columns - 8, 128, 1024):
        x = windows[::step][:3, None, ::2]
        if len(x) < 3:
            continue
        for a, b in ((x, other), (other, x), (x[::-1], other), (x[..., ::-1], other)):
            want = getattr(np, function)(a.copy(), b.copy())
            np.testing.assert_array_equal(getattr(hotloops, function)(a, b), want)


def test_tensors_of_more_dimensions_than_numpy_has() -> None:
    torch = pytest.importorskip("torch")
    x = torch.arange(4.0).sub(1).reshape(*[1] * 66, 2, 2)
    y = torch.ones(2)
    condition = x > y
    results = {
        "relu": (hotloops.relu(x), torch.relu(x)),
        "multiply": (hotloops.multiply(x, y), x * y),
        "add": (hotloops.add(y, x), y + x),
        "subtract": (hotloops.subtract(x, 2.0), x - 2),
        "greater": (hotloops.greater(x, y), condition),
        "where": (hotloops.where(condition, x, y), torch.where(condition, x, y)),
        "where_greater": (hotloops.where_greater(x, y, x, y), torch.where(condition, x, y)),
    }
    for name, (actual, expected) in results.items():
        assert actual.shape == expected.shape, name
        assert torch.equal(actual, expected), name
    assert hotloops.all_greater(x, -2.0) is True
    assert hotloops.all_greater(x, y) is False
    out = torch.zeros_like(x)
    assert hotloops.add(x, y, out=out) is out
    assert torch.equal(out, x + y)
    with pytest.raises(ValueError, match="add: dimension -1 has size 2 in a but 3 in b"):
        hotloops.add(x, torch.ones(3))
    with pytest.raises(ValueError, match="add: out has shape"):
        hotloops.add(x, y, out=torch.zeros(2, 2))


def test_products_of_tensors_of_more_dimensions_than_numpy_has() -> None:
    torch = pytest.importorskip("torch")
    x, y = torch.ones(*[1] * 66, 2, 2), torch.ones(2, 2)
    assert torch.equal(hotloops.einsum("...ij,jk->...ik", x, y), torch.full_like(x, 2.0))
    refused: dict[str, Callable[[], Any]] = {
        "matmul: a": lambda: hotloops.matmul(x, y),
        "dense: x": lambda: hotloops.dense(x, y),
        "linear: x": lambda: hotloops.linear(x, y),
        "matmul_vjp: a": lambda: hotloops.matmul_vjp(x, y),
        "dense_vjp: x": lambda: hotloops.dense_vjp(x, y),
        "relu_vjp: x": lambda: hotloops.relu_vjp(x),
    }
    for name, call in refused.items():
        with pytest.raises(ValueError, match=f"{name} has 68 dimensions but 64 at most"):
            call()
