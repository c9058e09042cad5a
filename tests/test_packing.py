"""Packed matrices: the same bits as the matrix itself, whatever it is; pickling; refusals."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import hotloops
import support
from support import LAYOUTS, assert_same_bits, normal, small_integers

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Array

INTEGERS = ["int8", "uint8", "int16", "int32", "uint32", "int64", "uint64"]
DTYPES = ["float32", "float64", "float16", *INTEGERS]
SHAPES = [(1, 1, 1), (1, 300, 70), (3, 5, 7), (70, 700, 130), (300, 64, 600), (4, 0, 5), (0, 3, 2)]


def values(seed: int, shape: tuple[int, int], dtype: str) -> Array:
    if np.dtype(dtype).kind == "f":
        return normal(seed, shape, dtype)
    limits = np.iinfo(dtype)
    random = np.random.default_rng(seed)
    return random.integers(limits.min, limits.max, shape, dtype, endpoint=True)


@pytest.mark.usefixtures("any_isa")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_bits(dtype: str, shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    a, b = values(1, (m, k), dtype), values(2, (k, n), dtype)
    packed = hotloops.pack(b)
    assert packed.shape == (k, n)
    assert packed.dtype_name == dtype
    assert_same_bits(hotloops.matmul(a, packed), hotloops.matmul(a, b))
    assert_same_bits(packed.unpack(), b)
    assert_same_bits(np.asarray(packed), b)


@pytest.mark.usefixtures("any_isa")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_few_rows_call_after_call(dtype: str) -> None:
    # They walk over the panels to and fro, a few columns each thread. With 1700 values of k there
    # are more of these than L2 holds, on most CPUs.
    for m in (1, 2, 14, 15, 28, 29):
        for k in (0, 5, 256, 700, 1700):
            x, kernel = values(1, (m, k), dtype), values(2, (k, 330), dtype)
            bias, residual = normal(3, (330,), dtype), normal(4, (m, 330), dtype)
            last: dict[str, Any] = {"activation": "gelu", "residual": residual}
            expected = hotloops.dense(x, kernel, bias, **last)
            packed = hotloops.pack(kernel)
            for threads in (1, 1, 3, 3):
                with hotloops.threads(threads):
                    assert_same_bits(hotloops.dense(x, packed, bias, **last), expected)


@pytest.mark.usefixtures("any_isa")
@pytest.mark.parametrize("precision", ["float32", "bf16x6", "bf16"])
def test_several_blocks_of_columns_call_after_call(precision: Any) -> None:
    # Half of L2 for a block of B: 5000 columns are several, which are walked to and fro.
    a, b = values(1, (70, 300), "float32"), values(2, (300, 5000), "float32")
    packed = hotloops.pack(b, precision=precision)
    with hotloops.float32_precision(precision):
        expected = hotloops.matmul(a, b)
        for threads in (1, 1, 3, 3):
            with hotloops.threads(threads):
                assert_same_bits(hotloops.matmul(a, packed), expected)


@pytest.mark.usefixtures("any_isa")
def test_bfloat16() -> None:
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    a, b = normal(1, (40, 300), np.float32), normal(2, (300, 70), np.float32)
    a, b = a.astype(bfloat16), b.astype(bfloat16)
    packed = hotloops.pack(b)
    assert packed.dtype_name == "bfloat16"
    for dtype in (None, np.float32):
        assert_same_bits(
            hotloops.matmul(a, packed, dtype=dtype), hotloops.matmul(a, b, dtype=dtype)
        )
    assert_same_bits(packed.unpack(), b)


@pytest.mark.usefixtures("any_isa")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: str) -> None:
    a, b = normal(1, (20, 300), np.float32), normal(2, (300, 70), np.float32)
    expected = hotloops.matmul(a, b)
    packed = hotloops.pack(LAYOUTS[layout](b))
    assert_same_bits(hotloops.matmul(LAYOUTS[layout](a), packed), expected)
    out = LAYOUTS[layout](np.zeros_like(expected))
    if out.flags.writeable:
        assert hotloops.matmul(a, packed, out) is out
        assert_same_bits(np.ascontiguousarray(out), expected)


@pytest.mark.usefixtures("any_isa")
def test_threads_batches_and_rows() -> None:
    a, b = normal(1, (3, 60, 300), np.float32), normal(2, (300, 170), np.float32)
    packed = hotloops.pack(b)
    expected = hotloops.matmul(a, b)
    for threads in (1, 2, 5):
        with hotloops.threads(threads):
            assert_same_bits(hotloops.matmul(a, packed), expected)
    assert_same_bits(hotloops.matmul(a[1, 7], packed), expected[1, 7])
    assert_same_bits(hotloops.matmul(a[1, 7:9].T.copy().T, packed), expected[1, 7:9])


@pytest.mark.usefixtures("any_isa")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layers(dtype: str) -> None:
    x, kernel = normal(1, (21, 300), dtype), normal(2, (300, 70), dtype)
    bias, residual = normal(3, (70,), dtype), normal(4, (21, 70), dtype)
    packed = hotloops.pack(kernel)
    for activation in ("relu", "gelu", "softmax"):
        expected = hotloops.dense(x, kernel, bias, activation=activation, residual=residual)
        for layer in (hotloops.dense, hotloops.linear):
            y = layer(x, packed, bias, activation=activation, residual=residual)
            assert_same_bits(y, expected)
        y = hotloops.dense(x.tolist() if dtype == "float64" else x[::-1][::-1], packed)
        assert_same_bits(y, hotloops.dense(x, kernel))
    wide = np.zeros((21, 70), np.float64)
    hotloops.dense(x, packed, bias, out=wide)
    assert_same_bits(wide, hotloops.dense(x, kernel, bias).astype(np.float64))


@pytest.mark.parametrize("precision", ["bf16x6", "bf16x3", "bf16"])
def test_precisions(precision: str) -> None:
    a, b = normal(1, (150, 413), np.float32), normal(2, (413, 170), np.float32)
    packed = hotloops.pack(b, precision=precision)
    assert packed.precision == precision
    expected = hotloops.matmul(a, b, precision=precision)
    assert_same_bits(hotloops.matmul(a, packed), expected)
    assert_same_bits(hotloops.matmul(a, packed, precision=precision), expected)
    if precision == "bf16x6":
        assert_same_bits(packed.unpack(), b)
    with pytest.raises(ValueError, match="precision is 'float32' but b was packed for"):
        hotloops.matmul(a, packed, precision="float32")


@pytest.mark.parametrize("precision", ["bf16x6", "bf16x3", "bf16"])
@pytest.mark.parametrize("special", [np.nan, np.inf, 1e-40, np.finfo(np.float32).max])
def test_values_that_pieces_cannot_hold(precision: str, special: float) -> None:
    a, b = normal(1, (150, 413), np.float32), normal(2, (413, 170), np.float32)
    b[300, 50] = special
    packed = hotloops.pack(b, precision=precision)
    assert_same_bits(packed.unpack(), b)
    with np.errstate(all="ignore"):
        assert_same_bits(hotloops.matmul(a, packed), hotloops.matmul(a, b, precision="float32"))


def test_products_that_pieces_cannot_hold() -> None:
    # Neither operand alone is out of range; the tiles of the row are computed from unpacked values.
    a, b = normal(1, (150, 413), np.float32), normal(2, (413, 170), np.float32)
    a[40] = np.ldexp(a[40], -60)
    b[:, 50] = np.ldexp(b[:, 50], -60)
    c = hotloops.matmul(a, hotloops.pack(b, precision="bf16x6"))
    support.assert_within_bound(np.delete(c, 50, 1), a, np.delete(b, 50, 1))


@pytest.mark.usefixtures("any_isa")
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "int32"])
def test_pickling(dtype: str) -> None:
    a, b = values(1, (40, 90), dtype), values(2, (90, 50), dtype)
    packed = pickle.loads(pickle.dumps(hotloops.pack(b)))
    assert isinstance(packed, hotloops.PackedMatrix)
    assert packed.version == hotloops.__version__
    assert_same_bits(hotloops.matmul(a, packed), hotloops.matmul(a, b))


def test_a_copy() -> None:
    b = small_integers(1, (5, 4), np.float32)
    packed, before = hotloops.pack(b), b.copy()
    b[:] = 0
    assert_same_bits(packed.unpack(), before)


def test_signed_and_unsigned_bytes() -> None:
    a, b = values(1, (40, 300), "uint8"), values(2, (300, 70), "int8")
    for dtype in (None, np.int32):
        expected = np.matmul(a, b, dtype=dtype)
        assert_same_bits(hotloops.matmul(a, hotloops.pack(b), dtype=dtype), expected)


def test_tensors() -> None:
    torch = pytest.importorskip("torch")
    x, w = torch.randn(30, 200), torch.randn(60, 200)
    packed = hotloops.pack(w.T)
    y = hotloops.linear(x, packed)
    assert isinstance(y, torch.Tensor)
    assert torch.equal(y, hotloops.linear(x, w))
    assert torch.equal(packed.unpack(), w.T)
    half = w.T.bfloat16()
    assert torch.equal(
        hotloops.matmul(x.bfloat16(), hotloops.pack(half)), hotloops.matmul(x.bfloat16(), half)
    )
    with pytest.raises(RuntimeError, match="requires its gradient"):
        hotloops.pack(torch.randn(2, 2, requires_grad=True))


def ones(*shape: int, dtype: Any = np.float32) -> Array:
    return np.ones(shape, dtype)


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (
            ValueError,
            r"pack: b has shape \(3,\) but must be a matrix",
            lambda: hotloops.pack(ones(3)),
        ),
        (
            ValueError,
            "pack: precision is 'low'",
            lambda: hotloops.pack(ones(2, 2), precision="low"),
        ),
        (TypeError, "pack: b has dtype bool", lambda: hotloops.pack(ones(2, 2, dtype="?"))),
        (
            ValueError,
            r"a has 2 columns but b has 3 rows \(shapes \(4, 2\) and \(3, 5\)\)",
            lambda: hotloops.matmul(ones(4, 2), hotloops.pack(ones(3, 5))),
        ),
        (
            ValueError,
            "linear: x has 2 columns but weight has 3 rows",
            lambda: hotloops.linear(ones(4, 2), hotloops.pack(ones(3, 5))),
        ),
        (
            TypeError,
            "a has dtype float64 and b was packed with float32",
            lambda: hotloops.matmul(ones(4, 3, dtype="f8"), hotloops.pack(ones(3, 5))),
        ),
        (
            TypeError,
            "x has dtype float64 but kernel was packed with float32",
            lambda: hotloops.dense(ones(4, 3, dtype="f8"), hotloops.pack(ones(3, 5))),
        ),
        (
            ValueError,
            "must not be False",
            lambda: np.asarray(hotloops.pack(ones(3, 5)), copy=False),
        ),
    ],
)
def test_refusals(error: type[Exception], match: str, call: Any) -> None:
    with pytest.raises(error, match=match):
        call()


def test_one_that_was_never_made_is_refused() -> None:
    packed = hotloops.PackedMatrix.__new__(hotloops.PackedMatrix)
    uses: list[Callable[[], Any]] = [
        lambda: packed.shape,
        lambda: packed.kernel,
        packed.unpack,
        lambda: repr(packed),
        lambda: np.asarray(packed),
        lambda: pickle.dumps(packed),
        lambda: hotloops.matmul(ones(4, 3), packed),
        lambda: hotloops.dense(ones(4, 3), packed),
        lambda: hotloops.linear(ones(4, 3), packed),
    ]
    for use in uses:
        with pytest.raises(TypeError, match=r"PackedMatrix.__init__\(\) has not been called"):
            use()
    packed.__init__(ones(3, 5))  # type: ignore[misc]
    assert_same_bits(hotloops.matmul(ones(4, 3), packed), np.full((4, 5), 3, np.float32))


@pytest.mark.parametrize("code", [*"bBhiIlLqQ"])
def test_every_name_of_an_integer_type(code: str) -> None:
    a, b = small_integers(1, (3, 4), code), small_integers(2, (4, 5), code)
    assert_same_bits(hotloops.matmul(a, hotloops.pack(b)), np.matmul(a, b))


@pytest.mark.skipif(len(hotloops.isas()) < 2, reason="only one ISA here")
def test_another_isa_is_refused() -> None:
    packed = hotloops.pack(ones(3, 5))
    with hotloops.use_isa("baseline"):
        for call in (hotloops.matmul, hotloops.dense):
            with pytest.raises(ValueError, match=r"was packed for .* but baseline is in use"):
                call(ones(4, 3), packed)
