"""float32 products at other precisions: error bounds, every kind of value, settings, threads."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import hotloops
from conftest import VECTOR_ISAS
from hotloops import _core
from support import (
    LAYOUTS,
    assert_same_bits,
    assert_within_bound,
    normal,
    small_integers,
    wide_range,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support import Array

# Of each, how many more roundings a product may have than in float32 (see splitting.h).
PRECISIONS = {"bf16x6": 0, "bf16x3": 512, "bf16": 2**17}
# Above the sizes at which tiles are used, and none of their multiples.
SHAPE = (150, 413, 170)
SHAPES = [SHAPE, (64, 192, 520), (70, 64, 1000), (1000, 40, 70), (257, 513, 129), (120, 1000, 121)]

# The ISAs that have kernels for them: tiles, or pairs where the CPU has AVX512-BF16.
SPLIT = [("amx", "bf16x6"), ("amx", "bf16x3"), ("amx", "bf16"), ("avx512", "bf16")]


def has_kernels(isa: str, precision: str) -> bool:
    """Tell whether this machine multiplies float32 in another way at a precision."""
    usable = isa != "avx512" or "avx512_bf16" in _core.cpu_features()
    return (isa, precision) in SPLIT and isa in hotloops.isas() and usable


@pytest.fixture(params=PRECISIONS)
def precision(request: pytest.FixtureRequest) -> str:
    """Run the test at each precision but float32's own."""
    name: str = request.param
    return name


@pytest.fixture(params=SPLIT, ids=" ".join)
def split(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test at each precision on each ISA that has kernels for it."""
    isa, name = request.param
    if not has_kernels(isa, name):
        pytest.skip(f"this machine has no {isa} kernels for {name}")
    with hotloops.use_isa(isa):
        assert hotloops.isa() == isa
        yield name


def operands(values: Any, shape: tuple[int, int, int] = SHAPE) -> tuple[Array, Array]:
    m, k, n = shape
    return values(1, (m, k), np.float32), values(2, (k, n), np.float32)


def differs(a: Array, b: Array, precision: str) -> bool:
    """Tell whether its kernels were in use: their sums differ from float32's in the last places."""
    c = hotloops.matmul(a, b, precision=precision)
    return not np.array_equal(c, hotloops.matmul(a, b, precision="float32"))


@pytest.mark.parametrize("shape", SHAPES)
def test_within_the_bound(split: str, shape: tuple[int, int, int]) -> None:
    for values in (normal, wide_range):
        a, b = operands(values, shape)
        assert differs(a, b, split), "its kernels were not used"
        c = hotloops.matmul(a, b, precision=split)
        assert_within_bound(c, a, b, PRECISIONS[split])


@pytest.mark.usefixtures("amx")
@pytest.mark.parametrize("shape", SHAPES)
def test_bf16x6_is_as_accurate_as_float32(shape: tuple[int, int, int]) -> None:
    a, b = operands(normal, shape)
    exact = a.astype(np.float64) @ b
    scale = abs(a).astype(np.float64) @ abs(b)
    worst = {
        name: float((abs(hotloops.matmul(a, b, precision=name) - exact) / scale).max())
        for name in ("float32", "bf16x6")
    }
    assert worst["bf16x6"] <= worst["float32"], worst


def test_the_bound_is_not_met_by_chance(split: str) -> None:
    # The next better precision's bound is too narrow for this one: the test above can fail.
    better = {"bf16x3": 0, "bf16": PRECISIONS["bf16x3"]}
    if split not in better:
        pytest.skip("bf16x6 is within float32's bound")
    a, b = operands(normal, (1000, 40, 70))  # few roundings else
    with pytest.raises(AssertionError):
        assert_within_bound(hotloops.matmul(a, b, precision=split), a, b, better[split])


def test_cancelling_sums(split: str) -> None:
    # What is left of each sum is a part in a million of its terms.
    a, b = operands(normal)
    a, b = np.hstack([a, -a]), np.vstack([b, b + np.float32(1e-6)])
    c = hotloops.matmul(a, b, precision=split)
    assert_within_bound(c, a, b, PRECISIONS[split])


def test_small_integers_are_exact(split: str) -> None:
    for shape in SHAPES:
        a, b = operands(small_integers, shape)
        expected = (a.astype(np.int64) @ b.astype(np.int64)).astype(np.float32)
        assert_same_bits(hotloops.matmul(a, b, precision=split), expected)


def test_pairs_are_those_of_bfloat16() -> None:
    # Rounded to the nearest, ties to even, and then multiplied as bfloat16 is, to the bit.
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    if not has_kernels("avx512", "bf16"):
        pytest.skip("this machine has no AVX512-BF16")
    a, b = operands(normal)
    ties = np.array([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 2 - 2**-8], np.float32)
    a[:, ::5], b[::7] = np.resize(ties, a[:, ::5].shape), np.resize(ties, b[::7].shape)
    with hotloops.use_isa("avx512"):
        c = hotloops.matmul(a, b, precision="bf16")
        halves = a.astype(bfloat16), b.astype(bfloat16)
        assert_same_bits(c, hotloops.matmul(*halves, dtype=np.float32))


@pytest.mark.parametrize("m", [1, 2, 7, 14, 15, 33])
def test_packed_for_a_few_rows(split: str, m: int) -> None:
    a, b = operands(normal)
    packed = hotloops.pack(b, precision=split)
    c = hotloops.matmul(a[:m], packed)
    assert_same_bits(c, hotloops.matmul(a, packed)[:m])
    assert_within_bound(c, a[:m], b, PRECISIONS[split])


# Values that bfloat16 pieces cannot hold, or whose products tiles lose: powers of two by which the
# normal values of one row or column are multiplied.
EXTREMES = {
    "subnormal": (-140, 0),
    "at the bottom": (-120, 0),
    "products at the bottom": (-60, -60),
    "large": (120, 0),
    "products at the top": (58, 58),
}


@pytest.mark.parametrize("extreme", EXTREMES)
def test_extreme_magnitudes(split: str, extreme: str) -> None:
    a, b = operands(normal)
    in_a, in_b = EXTREMES[extreme]
    a[40] = np.ldexp(a[40], in_a)
    b[:, 50] = np.ldexp(b[:, 50], in_b)
    c = hotloops.matmul(a, b, precision=split)
    # float32's own underflow: half of the smallest number for each product.
    tiny = np.float64(2.0**-150) * a.shape[1]
    exact = a.astype(np.float64) @ b
    bound = (2.0**-24) * (300 + PRECISIONS[split]) * (abs(a).astype(np.float64) @ abs(b)) + tiny
    assert (abs(c - exact) <= bound).all()


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf, np.finfo(np.float32).max])
def test_specials_are_multiplied_as_float32(split: str, special: float) -> None:
    a, b = operands(normal)
    a[40, 7] = special
    b[300, 50] = special
    with np.errstate(all="ignore"):
        expected = hotloops.matmul(a, b, precision="float32")
        c = hotloops.matmul(a, b, precision=split)
    assert_same_bits(c[40], expected[40])
    assert_same_bits(c[:, 50], expected[:, 50])
    ordinary = np.ix_(np.arange(len(a)) != 40, np.arange(b.shape[1]) != 50)
    assert np.isfinite(c[ordinary]).all()


def test_zeros_are_no_extremes(split: str) -> None:
    a, b = operands(normal)
    a[a < 0] = 0
    b[:, ::3] = 0
    assert differs(a, b, split)
    c = hotloops.matmul(a, b, precision=split)
    assert_within_bound(c, a, b, PRECISIONS[split])
    assert not c[:, ::3].any()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(split: str, layout: str) -> None:
    a, b = operands(normal)
    expected = hotloops.matmul(a, b, precision=split)
    out = LAYOUTS[layout](np.zeros_like(expected))
    result = hotloops.matmul(LAYOUTS[layout](a), LAYOUTS[layout](b), precision=split)
    assert_same_bits(result, expected)
    if out.flags.writeable:
        # Into columns, the transposed product is computed, whose pieces come in another order.
        hotloops.matmul(a, b, out, precision=split)
        assert_within_bound(out, a, b, PRECISIONS[split])


def test_threads_change_nothing(split: str) -> None:
    batch = normal(1, (3, *SHAPE[:2]), np.float32)
    for a in (*operands(normal)[:1], batch):
        b = normal(2, SHAPE[1:], np.float32)
        with hotloops.threads(1):
            expected = hotloops.matmul(a, b, precision=split)
        for threads in (2, 5):
            with hotloops.threads(threads):
                assert_same_bits(hotloops.matmul(a, b, precision=split), expected)


@pytest.mark.parametrize("m", [70, 100, 130])
def test_threads_leave_the_panels_of_special_values(split: str, m: int) -> None:
    # These rows' panels are multiplied as float32, with all of their rows.
    a, b = normal(1, (m, 300), np.float32), normal(2, (300, 500), np.float32)
    a[17, 5], a[40, 3], a[66, 7] = 1e-40, np.inf, 1e-44
    with hotloops.threads(1):
        expected = hotloops.matmul(a, b, precision=split)
    for threads in (2, 3, 5):
        with hotloops.threads(threads):
            assert_same_bits(hotloops.matmul(a, b, precision=split), expected)


def test_threads_leave_the_panels_of_special_columns(split: str) -> None:
    # Columns are counted from where lines of the whole result begin, not from a share's.
    m, k, n = 30, 300, 1000
    a, b = normal(1, (m, k), np.float32), normal(2, (k, n), np.float32)
    b[5, 25], b[7, 500] = np.inf, 1e-40
    memory = np.empty(m * 1008 + 32, np.float32)
    first = -memory.ctypes.data // 4 % 16 + 4
    out = memory[first:][: m * 1008].reshape(m, 1008)[:, :n]
    with hotloops.threads(1):
        expected = hotloops.matmul(a, b, out, precision=split).copy()
    for threads in (2, 3, 5):
        with hotloops.threads(threads):
            assert_same_bits(hotloops.matmul(a, b, out, precision=split), expected)


def test_dense_layers(split: str) -> None:
    x, kernel = operands(normal)
    bias, residual = normal(3, SHAPE[2:], np.float32), normal(4, (SHAPE[0], SHAPE[2]), np.float32)
    z = hotloops.matmul(x, kernel, precision=split) + bias + residual
    layers: list[Callable[..., Any]] = [
        partial(hotloops.dense, x, kernel, bias),
        partial(hotloops.linear, x, kernel.T.copy(), bias),
    ]
    for layer in layers:
        y = layer(residual=residual, precision=split)
        assert_same_bits(y, z)
        for activation in ("relu", "gelu", "softmax"):
            y = layer(residual=residual, activation=activation, precision=split)
            identity = np.eye(SHAPE[2], dtype=np.float32)
            expected = hotloops.dense(z, identity, activation=activation, precision="float32")
            assert_same_bits(y, expected)


@pytest.mark.usefixtures("amx")
def test_beside_torch_using_tiles() -> None:
    torch = pytest.importorskip("torch")
    a, b = operands(normal)
    expected = hotloops.matmul(a, b, precision="bf16x6")
    x, y = torch.from_numpy(a).bfloat16(), torch.from_numpy(b).bfloat16()
    theirs = x @ y
    failures: list[str] = []

    def work() -> None:
        for _ in range(20):
            if not np.array_equal(hotloops.matmul(a, b, precision="bf16x6"), expected):
                failures.append("hotloops")
            if not torch.equal(x @ y, theirs):
                failures.append("torch")

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures


@pytest.mark.parametrize("name", VECTOR_ISAS)
def test_without_kernels_it_is_float32(precision: str, name: str) -> None:
    if name not in hotloops.isas():
        pytest.skip(f"this machine has no {name}")
    a, b = operands(normal)
    with hotloops.use_isa(name):
        assert differs(a, b, precision) == has_kernels(name, precision)


def test_float64_has_one_precision(precision: str) -> None:
    a, b = (x.astype(np.float64) for x in operands(normal))
    assert_same_bits(hotloops.matmul(a, b, precision=precision), hotloops.matmul(a, b))


def test_the_setting_is_the_default(precision: str) -> None:
    a, b = operands(normal)
    expected = hotloops.matmul(a, b, precision=precision)
    plain = hotloops.matmul(a, b, precision="float32")
    with hotloops.float32_precision(precision):
        assert hotloops.get_float32_precision() == precision
        assert_same_bits(hotloops.matmul(a, b), expected)
        assert_same_bits(hotloops.matmul(a, b, precision="float32"), plain)
        with hotloops.float32_precision("float32"):
            assert_same_bits(hotloops.matmul(a, b), plain)
        assert_same_bits(hotloops.matmul(a, b), expected)
    assert_same_bits(hotloops.matmul(a, b), plain)


def test_gradients_have_the_precision_of_the_setting(precision: str) -> None:
    x, kernel = operands(normal)
    grad_y = normal(3, (len(x), kernel.shape[1]), np.float32)
    with hotloops.float32_precision(precision):
        y, pullback = hotloops.dense_vjp(x, kernel)
        grad_x, grad_kernel, _ = pullback(grad_y)
    for product, a, b in ((y, x, kernel), (grad_x, grad_y, kernel.T), (grad_kernel, x.T, grad_y)):
        assert_same_bits(product, hotloops.matmul(a, b, precision=precision))


def test_the_process_and_its_threads(precision: str) -> None:
    def seen_elsewhere() -> str:
        seen: list[str] = []
        other = threading.Thread(target=lambda: seen.append(hotloops.get_float32_precision()))
        other.start()
        other.join()
        return seen[0]

    with hotloops.float32_precision(precision):
        assert seen_elsewhere() == "float32"
    hotloops.set_float32_precision(precision)
    try:
        assert seen_elsewhere() == hotloops.get_float32_precision() == precision
        with hotloops.float32_precision("float32"):
            assert seen_elsewhere() == precision
    finally:
        hotloops.set_float32_precision("float32")


@pytest.mark.parametrize("setting", [hotloops.set_float32_precision, hotloops.float32_precision])
@pytest.mark.parametrize("wrong", ["tf32", "", 6, None])
def test_unknown_precisions(setting: Any, wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"precision is .* but must be"):
        setting(wrong)
