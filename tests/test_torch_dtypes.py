"""matmul of torch tensors of halves and integers: torch's dtypes in and out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import hotloops
from support import MATMUL_SHAPES, assert_rounded_once, normal, run_python, small_integers

torch = pytest.importorskip("torch")

if TYPE_CHECKING:
    from collections.abc import Callable

DTYPES = ["int8", "uint8", "int16", "int32", "int64", "float16", "bfloat16"]
HALVES = ["float16", "bfloat16"]
LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.mT.contiguous().mT,
    "strided": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "narrowed": lambda x: torch.cat([x, x], -1).narrow(-1, 0, x.shape[-1]),
    "offset": lambda x: torch.cat([x.flatten()[:1], x.flatten()])[1:].view(x.shape),
}

pytestmark = pytest.mark.usefixtures("any_isa")
each_dtype = pytest.mark.parametrize("dtype", DTYPES)
each_half = pytest.mark.parametrize("dtype", HALVES)


def integers(seed: int, shape: tuple[int, ...], dtype: str) -> Any:
    """Return a tensor of small integers; negative ones wrap in uint8."""
    return torch.from_numpy(small_integers(seed, shape, np.int64)).to(getattr(torch, dtype))


def expected(a: Any, b: Any, dtype: Any) -> Any:
    """Return the exact product of integers, wrapped or rounded once to a dtype."""
    wide = torch.float64 if dtype.is_floating_point else torch.int64
    return torch.matmul(a.to(wide), b.to(wide)).to(dtype)


@each_dtype
def test_as_torch_has_it(dtype: str) -> None:
    for a_shape, b_shape in [*MATMUL_SHAPES, ((70, 300), (300, 65)), ((3, 40, 65), (65, 33))]:
        a, b = integers(1, a_shape, dtype), integers(2, b_shape, dtype)
        c = hotloops.matmul(a, b)
        assert isinstance(c, torch.Tensor)
        assert c.dtype == torch.matmul(a[..., :0], b[..., :0, :] if b.ndim > 1 else b[:0]).dtype
        assert torch.equal(c, expected(a, b, a.dtype))


@each_dtype
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(dtype: str, layout: str) -> None:
    for shape in ((37, 300, 70), (3, 40, 33), (130, 9, 1)):
        m, k, n = shape
        a, b = integers(1, (m, k), dtype), integers(2, (k, n), dtype)
        product = hotloops.matmul(LAYOUTS[layout](a), LAYOUTS[layout](b))
        assert torch.equal(product, expected(a, b, a.dtype))
    rows = a[:1].expand(m, k)
    assert torch.equal(hotloops.matmul(rows, b), expected(rows, b, a.dtype))


@each_dtype
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided"])
def test_out(dtype: str, layout: str) -> None:
    a, b = integers(1, (37, 300), dtype), integers(2, (300, 70), dtype)
    out = LAYOUTS[layout](torch.zeros((37, 70), dtype=a.dtype))
    assert hotloops.matmul(a, b, out) is out
    assert torch.equal(out, expected(a, b, a.dtype))


@pytest.mark.parametrize("shape", [(20, 24, 16), (37, 300, 70), (150, 413, 170)])
def test_int8_in_int32_is_torchs_int_mm(shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    generator = torch.Generator().manual_seed(m)
    a = torch.randint(-128, 128, (m, k), dtype=torch.int8, generator=generator)
    b = torch.randint(-128, 128, (k, n), dtype=torch.int8, generator=generator)
    c = hotloops.matmul(a, b, dtype=torch.int32)
    assert c.dtype == torch.int32
    assert torch.equal(c, torch._int_mm(a, b))
    unsigned = a.view(torch.uint8)
    for x, y in ((unsigned, b), (unsigned, b.view(torch.uint8)), (a, b.view(torch.uint8))):
        c = hotloops.matmul(x, y, dtype=torch.int32)
        assert torch.equal(c, expected(x, y, torch.int32))


@each_half
def test_halves_in_float32(dtype: str) -> None:
    a, b = integers(1, (70, 300), dtype), integers(2, (300, 65), dtype)
    c = hotloops.matmul(a, b, dtype=torch.float32)
    assert c.dtype == torch.float32
    assert torch.equal(c, expected(a, b, torch.float32))


@each_half
def test_halves_are_rounded_once(dtype: str) -> None:
    for m, k, n in [(150, 413, 170), (1, 700, 40), (5, 64, 3)]:
        a, b = normal(1, (m, k), np.float32), normal(2, (k, n), np.float32)
        x, y = (torch.from_numpy(array).to(getattr(torch, dtype)) for array in (a, b))
        c = hotloops.matmul(x, y)
        assert c.dtype == x.dtype
        assert_rounded_once(c.float().numpy().astype(dtype), a.astype(dtype), b.astype(dtype))


# --- Complex numbers --------------------------------------------------------------------------

each_complex = pytest.mark.parametrize("dtype", ["complex64", "complex128"])
# Views that torch evaluates later: what lies in memory are other values.
LAZY: dict[str, Callable[[Any], Any]] = {
    "conjugate": lambda x: x.conj(),
    "adjoint": lambda x: x.mT.contiguous().mH,
    "negative": lambda x: torch._neg_view(x),
    "negative conjugate": lambda x: torch._neg_view(x).conj(),
}


def complex_integers(seed: int, shape: tuple[int, ...], dtype: str) -> Any:
    """Return a tensor of complex numbers with small whole parts."""
    real, imaginary = (integers(seed + i, shape, "float64") for i in (0, 10))
    return torch.complex(real, imaginary).to(getattr(torch, dtype))


def complex_operands(dtype: str) -> tuple[Any, Any]:
    """Return matrices of several tiles and blocks of k."""
    return complex_integers(1, (37, 300), dtype), complex_integers(2, (300, 70), dtype)


@each_complex
def test_complex_as_torch_has_it(dtype: str) -> None:
    for a_shape, b_shape in [*MATMUL_SHAPES, ((37, 300), (300, 70)), ((3, 40, 65), (65, 33))]:
        a, b = complex_integers(1, a_shape, dtype), complex_integers(2, b_shape, dtype)
        c = hotloops.matmul(a, b)
        assert isinstance(c, torch.Tensor)
        assert c.dtype == a.dtype
        assert torch.equal(c, torch.matmul(a, b))


@each_complex
@pytest.mark.parametrize("layout", LAYOUTS)
def test_complex_layouts(dtype: str, layout: str) -> None:
    a, b = complex_operands(dtype)
    expected = torch.matmul(a, b)
    out = LAYOUTS[layout](torch.full((37, 70), torch.nan, dtype=a.dtype))
    assert hotloops.matmul(LAYOUTS[layout](a), LAYOUTS[layout](b), out) is out
    assert torch.equal(out, expected)


@each_complex
@pytest.mark.parametrize("lazy", LAZY)
def test_values_that_are_not_in_memory(dtype: str, lazy: str) -> None:
    a, b = complex_operands(dtype)
    x, y = LAZY[lazy](a), LAZY[lazy](b)
    assert x.is_conj() or x.is_neg()
    assert not torch.equal(x, a.reshape(x.shape))
    for left, right in ((x, b), (a, y), (x, y)):
        assert torch.equal(hotloops.matmul(left, right), torch.matmul(left, right))
        assert torch.equal(hotloops.dense(left, right), torch.matmul(left, right))
    packed = hotloops.pack(y)
    assert torch.equal(packed.unpack(), y)
    assert torch.equal(hotloops.matmul(x, packed), torch.matmul(x, y))
    bias = LAZY["conjugate"](b[0])
    assert torch.equal(hotloops.dense(a, b, bias), torch.matmul(a, b) + bias)


def test_bfloat16_needs_no_package_of_its_own() -> None:
    # Nor do the operands that are converted to it, while NumPy does not know its name.
    program = """
import sys, torch, hotloops
a = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.bfloat16)
half, integers = a.to(torch.float16), a.to(torch.int32)
for left, options in ((a, {}), (half, {"dtype": torch.bfloat16}), (integers, {}), (-a, {})):
    c = hotloops.matmul(left, a, **options)
    assert c.dtype == torch.bfloat16 and torch.equal(c, left.to(a.dtype) @ a), left
assert torch.equal(hotloops.matmul(a, a, out=torch.empty(2, 2)), (a @ a).to(torch.float32))
assert torch.equal(hotloops.matmul(torch._neg_view(a), a), -a @ a)
assert "ml_dtypes" not in sys.modules
"""
    run_python(program)


def right_operands() -> dict[str, Callable[..., Any]]:
    """Return products of a tensor of shape (2, 3), of 1 x 3 = 3, by every kind of right operand."""
    right = torch.ones(3, 4)
    halves = right.bfloat16()
    packed = hotloops.pack(halves)
    return {
        "matmul": lambda x, **out: hotloops.matmul(x, halves, **out),
        "dense": lambda x, **out: hotloops.dense(x, halves, **out),
        "softmax": lambda x, **out: 12 * hotloops.dense(x, halves, activation="softmax", **out),
        "mixed": lambda x, **out: hotloops.matmul(x, right, **out),
        "mixed dense": lambda x, **out: hotloops.dense(x, right, **out),
        "einsum": lambda x, **out: hotloops.einsum("ij,jk", x, halves, **out),
        "packed": lambda x, **out: hotloops.matmul(x, packed, **out),
        "packed dense": lambda x, **out: hotloops.dense(x, packed, **out),
        "naive": lambda x, **out: hotloops.naive.matmul(x, halves, **out),
    }


@pytest.mark.parametrize("by", right_operands())
def test_out_for_a_product_of_bfloat16(by: str) -> None:
    x, product = torch.ones(2, 3, dtype=torch.bfloat16), right_operands()[by]
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        assert (product(x, out=torch.empty(2, 4, dtype=dtype)) == 3).all()
    for dtype in (torch.int64, torch.bool):
        out = torch.zeros(2, 4, dtype=dtype)
        with pytest.raises(TypeError, match=r"out has dtype .*, to which the result's"):
            product(x, out=out)
        assert not out.any()
    with pytest.raises(ValueError, match=r"out has shape \(2, 3\) but the result has shape"):
        product(x, out=torch.empty(2, 3))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bfloat16"])
def test_an_out_of_bfloat16(dtype: str) -> None:
    a, b = (integers(seed, shape, dtype) for seed, shape in enumerate([(5, 7), (7, 6)]))
    products: list[Callable[[Any], Any]] = [
        lambda out: hotloops.matmul(a, b, out=out),
        lambda out: hotloops.dense(a, b, out=out),
        lambda out: hotloops.einsum("ij,jk", a, b, out=out),
        lambda out: hotloops.naive.matmul(a, b, out=out),
        lambda out: hotloops.matmul(a, hotloops.pack(b), out=out),
    ]
    if dtype != "int64":
        products.append(lambda out: hotloops.dense(a, hotloops.pack(b), out=out))
    for product in products:
        out = torch.empty(5, 6, dtype=torch.bfloat16)
        assert product(out) is out
        assert torch.equal(out, expected(a, b, a.dtype).to(torch.bfloat16))


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_layers_of_types_that_have_none(dtype: Any) -> None:
    x = torch.ones(2, 2)
    for operands in ((x.to(dtype), x), (x, x.to(dtype)), (x.to(dtype), x.to(dtype))):
        for layer in hotloops.dense, hotloops.linear:
            with pytest.raises(TypeError, match=r"has dtype torch\.float8.*no kernels; convert it"):
                layer(*operands)


def test_bfloat16_by_what_was_packed_as_another_type() -> None:
    a, packed = torch.ones(2, 3, dtype=torch.bfloat16), hotloops.pack(torch.ones(3, 4))
    with pytest.raises(TypeError, match=r"bfloat16 and b was packed with float32.*; convert a"):
        hotloops.matmul(a, packed)


@each_complex
@pytest.mark.parametrize("lazy", LAZY)
def test_out_that_is_not_in_memory(dtype: str, lazy: str) -> None:
    a, b = complex_operands(dtype)
    expected = torch.matmul(a, b)
    calls: list[Callable[[Any], Any]] = [
        lambda out: hotloops.matmul(a, b, out),
        lambda out: hotloops.matmul(a, hotloops.pack(b), out),
        lambda out: hotloops.dense(a, b, out=out),
        lambda out: hotloops.dense(a, hotloops.pack(b), out=out),
        lambda out: hotloops.linear(a, b.T, out=out),
        lambda out: hotloops.einsum("ij,jk->ik", a, b, out=out),
        lambda out: hotloops.einsum("ij->ij", expected, out=out),
        lambda out: hotloops.add(expected, 0, out=out),
        lambda out: hotloops.naive.add(expected, torch.zeros((), dtype=a.dtype), out=out),
    ]
    for call in calls:
        out = LAZY[lazy](torch.full((70, 37) if lazy == "adjoint" else (37, 70), 5, dtype=a.dtype))
        out = out.mT if lazy == "adjoint" else out
        assert out.is_conj() or out.is_neg()
        assert call(out) is out
        assert torch.equal(out, expected)
    negative = torch.full((37, 70), 5, dtype=a.dtype).conj().imag
    assert negative.is_neg()
    assert hotloops.matmul(a.real, b.real, negative) is negative
    assert torch.equal(negative, a.real @ b.real)


def test_errors_of_an_out_that_is_not_in_memory() -> None:
    a, b = complex_operands("complex64")
    out = torch.zeros((70, 37), dtype=a.dtype).conj()
    with pytest.raises(ValueError, match=r"matmul: out has shape \(70, 37\) but the result has"):
        hotloops.matmul(a, b, out)
    out = torch.zeros((37, 70), dtype=a.dtype, requires_grad=True).conj()
    with pytest.raises(RuntimeError, match="dense: out requires its gradient"):
        hotloops.dense(a, b, out=out)


@each_half
def test_halves_are_not_cast_to_integers(dtype: str) -> None:
    a = integers(1, (3, 3), dtype)
    for wanted in (torch.int32, "int8", np.int64, bool):
        with pytest.raises(TypeError, match="cast"):
            hotloops.matmul(a, a, dtype=wanted)
        with pytest.raises(TypeError, match="cast"):
            hotloops.matmul(a, integers(1, (3, 3), "int32"), dtype=wanted)
    assert hotloops.matmul(a, a, dtype=torch.complex64).dtype == torch.complex64


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "int8"])
@pytest.mark.parametrize("wanted", [torch.bfloat16, "bfloat16", torch.float16], ids=str)
def test_half_products_of_other_types(dtype: str, wanted: Any) -> None:
    a, b = integers(1, (5, 70), dtype), integers(2, (70, 6), dtype)
    half = torch.float16 if wanted is torch.float16 else torch.bfloat16
    c = hotloops.matmul(a, b, dtype=wanted)
    assert c.dtype == half
    assert torch.equal(c, expected(a.to(half), b.to(half), half))
    out = torch.empty(5, 6)
    assert hotloops.matmul(a, b, out, dtype=wanted) is out
    assert torch.equal(out, c.float())
    with pytest.raises(TypeError, match="cast"):
        hotloops.matmul(a.to(torch.complex64), b, dtype=wanted)


def test_types_that_torch_has_not() -> None:
    a = integers(1, (3, 3), "bfloat16")
    with pytest.raises(TypeError, match=r"matmul: dtype is .*object.* but must be one that torch"):
        hotloops.matmul(a, a, dtype=object)


@each_complex
def test_parts_of_complex_tensors_are_real_ones(dtype: str) -> None:
    a, b = complex_operands(dtype)
    negative = a.conj().imag
    assert negative.is_neg()
    assert torch.equal(hotloops.matmul(negative, b.real), torch.matmul(negative, b.real))
    mixed = hotloops.matmul(a.real, b)
    assert mixed.dtype == a.dtype
    assert torch.equal(mixed, torch.matmul(a.real + 0j, b))


def test_complex_tensors_that_require_their_gradient_are_refused() -> None:
    a, b = complex_operands("complex64")
    with pytest.raises(RuntimeError, match="requires its gradient"):
        hotloops.matmul(a.requires_grad_(), b)
    with torch.no_grad():
        assert torch.equal(hotloops.matmul(a, b), torch.matmul(a, b))
