"""torch CPU tensors in, torch CPU tensors out: no copies, torch's errors, torch never imported."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import hotloops
import support
from support import assert_same_bits, assert_within_bound, normal, small_integers

torch: Any = pytest.importorskip("torch")

KERNEL_DTYPES = [torch.float32, torch.float64]
OTHER_DTYPES = [
    *(torch.float16, torch.bfloat16, torch.complex64, torch.complex128),
    *(torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8),
]


@pytest.fixture(params=KERNEL_DTYPES, ids=str)
def torch_dtype(request: pytest.FixtureRequest) -> Any:
    """Run the test with each tensor dtype that has kernels of its own."""
    return request.param


def tensor(seed: int, shape: tuple[int, ...], dtype: Any) -> Any:
    """Return a tensor of small integers."""
    return torch.from_numpy(small_integers(seed, shape, np.int64)).to(dtype)


def assert_as_torch(a: Any, b: Any) -> None:
    """Fail unless hotloops.matmul gives torch's product of small integers."""
    actual, expected = hotloops.matmul(a, b), torch.matmul(a, b)
    assert type(actual) is torch.Tensor
    assert (actual.dtype, actual.device, actual.shape) == (
        *(expected.dtype, expected.device),
        expected.shape,
    )
    assert torch.equal(actual, expected)
    assert actual.is_contiguous()


# --- Values -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape_a", "shape_b"),
    [
        ((3, 4), (4, 5)),
        ((37, 300), (300, 41)),
        ((6, 3, 4), (4, 5)),
        ((6, 1, 3, 4), (5, 4, 2)),
        ((4,), (4,)),
        ((4,), (4, 5)),
        ((3, 4), (4,)),
        ((0, 4), (4, 5)),
        ((3, 0), (0, 5)),
        ((0, 3, 4), (4, 5)),
    ],
)
@pytest.mark.parametrize("dtype", [*KERNEL_DTYPES, *OTHER_DTYPES], ids=str)
def test_matmul(dtype: Any, shape_a: tuple[int, ...], shape_b: tuple[int, ...]) -> None:
    if dtype in (torch.int8, torch.uint8) and max(shape_a) > 100:
        pytest.skip("the sums wrap, which torch leaves undefined")
    assert_as_torch(tensor(1, shape_a, dtype), tensor(2, shape_b, dtype))


def test_views(torch_dtype: Any) -> None:
    a, b = tensor(1, (60, 300), torch_dtype), tensor(2, (300, 60), torch_dtype)
    assert_as_torch(a, a.T)
    assert_as_torch(b.T, b)
    assert_as_torch(a[::2, ::3], b[::3, 1:40])
    assert_as_torch(a[:1].expand(20, 300), b)
    assert_as_torch(a, b[:, :1].expand(300, 7))
    permuted = tensor(1, (4, 5, 6), torch_dtype).permute(2, 0, 1)
    assert_as_torch(permuted, tensor(2, (5, 3), torch_dtype))
    assert_as_torch(a[3:, 7:], b[7:, 5:])


def test_the_bits_are_those_of_arrays() -> None:
    a, b = normal(1, (37, 300), np.float32), normal(2, (300, 41), np.float32)
    c = hotloops.matmul(torch.from_numpy(a), torch.from_numpy(b))
    assert_same_bits(c.numpy(), hotloops.matmul(a, b))
    assert_within_bound(c.numpy(), a, b)


def test_relu(torch_dtype: Any) -> None:
    x = torch.from_numpy(normal(1, (30, 41), np.float64)).to(torch_dtype)
    for view in (x, x.T, x[::2, ::3], x[0], x[0, 0]):
        y = hotloops.relu(view)
        assert type(y) is torch.Tensor
        assert torch.equal(y, torch.relu(view))
    out = torch.full_like(x, torch.nan)
    assert hotloops.relu(x, out=out) is out
    assert torch.equal(out, torch.relu(x))
    assert hotloops.relu(x, out=x) is x
    assert torch.equal(x, out)


@pytest.mark.parametrize("activation", [None, "relu", "gelu", "tanh", "softmax"])
def test_dense_and_linear(torch_dtype: Any, activation: Any) -> None:
    x, weight, bias = (
        torch.from_numpy(normal(seed, shape, np.float64)).to(torch_dtype)
        for seed, shape in ((1, (5, 7, 30)), (2, (20, 30)), (3, (20,)))
    )
    y = hotloops.linear(x, weight, bias, activation=activation)
    assert type(y) is torch.Tensor
    assert y.shape == (5, 7, 20)
    arrays = (x.numpy(), weight.numpy(), bias.numpy())
    assert_same_bits(y.numpy(), hotloops.linear(*arrays, activation=activation))
    assert torch.equal(hotloops.dense(x, weight.T, bias, activation=activation), y)
    out = torch.full_like(y, torch.nan)
    assert hotloops.linear(x, weight, bias, activation=activation, out=out) is out
    assert torch.equal(out, y)
    again = hotloops.linear(x, weight, bias, activation=activation, residual=torch.zeros_like(y))
    assert torch.equal(again, y)
    stretched = bias.expand(y.shape)
    assert torch.equal(hotloops.linear(x, weight, residual=stretched, activation=activation), y)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_types_are_computed_in_float32_and_rounded_once(dtype: Any) -> None:
    x, weight, bias = (
        torch.from_numpy(normal(seed, shape, np.float32)).to(dtype)
        for seed, shape in ((1, (7, 300)), (2, (20, 300)), (3, (20,)))
    )
    wide = hotloops.linear(x.float(), weight.float(), bias.float(), activation="gelu")
    y = hotloops.linear(x, weight, bias, activation="gelu")
    assert y.dtype == dtype
    assert torch.equal(y, wide.to(dtype))


def test_mixed_dtypes_are_promoted() -> None:
    single, double = tensor(1, (3, 4), torch.float32), tensor(2, (4, 5), torch.float64)
    for a, b in ((single, double), (double.T, single.T)):
        c = hotloops.matmul(a, b)
        assert c.dtype == torch.promote_types(a.dtype, b.dtype)
        assert torch.equal(c, a.to(c.dtype) @ b.to(c.dtype))


@pytest.mark.parametrize("wanted", [np.float64, "float64", torch.float64], ids=str)
def test_dtype(wanted: Any) -> None:
    a, b = tensor(1, (3, 4), torch.float32), tensor(2, (4, 5), torch.float32)
    c = hotloops.matmul(a, b, dtype=wanted)
    assert c.dtype == torch.float64
    assert torch.equal(c, a.double() @ b.double())


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64])
def test_integers_out_of_range_are_as_torch_has_them(dtype: Any) -> None:
    x = torch.tensor([0, 1, 127], dtype=dtype)
    numbers = [-1, 127, 128, 300, -129, 2**31, -(2**40), 2**63, 2**64 - 1, -(2**63)]
    functions = {"add": torch.add, "subtract": torch.sub, "multiply": torch.mul}
    for number in numbers:
        for name, reference in functions.items():
            for operands in ((x, number), (number, x)):
                actual, expected = getattr(hotloops, name)(*operands), reference(*operands)
                assert actual.dtype == expected.dtype
                assert torch.equal(actual, expected)
        is_greater = torch.gt(x, number)
        assert torch.equal(hotloops.greater(x, number), is_greater)
        chosen = hotloops.where_greater(x, number, x, -x)
        assert torch.equal(chosen, torch.where(is_greater, x, -x))
    for number in (2**64, -(2**63) - 1):
        with pytest.raises((OverflowError, RuntimeError, ValueError)):
            hotloops.add(x, number)
    if dtype != torch.int64:
        with pytest.raises(TypeError, match=r"where: y is .* overflow"):  # torch.where's own words
            hotloops.where(x > 0, x, 2**40)


# --- No copies --------------------------------------------------------------------------------


def test_out_is_written_in_place(torch_dtype: Any) -> None:
    a, b = tensor(1, (37, 300), torch_dtype), tensor(2, (300, 41), torch_dtype)
    for out in (
        torch.full((37, 41), torch.nan, dtype=torch_dtype),
        torch.full((41, 37), torch.nan, dtype=torch_dtype).T,
        torch.full((74, 123), torch.nan, dtype=torch_dtype)[::2, ::3],
    ):
        where = out.data_ptr()
        assert hotloops.matmul(a, b, out=out) is out
        assert out.data_ptr() == where
        assert torch.equal(out, a @ b)


@pytest.mark.parametrize("dtype", [*KERNEL_DTYPES, *OTHER_DTYPES], ids=str)
def test_out_is_returned_whatever_the_way(dtype: Any) -> None:
    x = tensor(1, (5, 5), dtype)
    expected = x @ x
    out = torch.zeros(5, 5, dtype=dtype)
    assert hotloops.matmul(x, x, out=out) is out
    assert torch.equal(out, expected)
    assert hotloops.matmul(x, x, out=x) is x
    assert torch.equal(x, expected)


def test_memory_shared_with_an_array_is_read_and_written() -> None:
    array = small_integers(1, (20, 20), np.float32)
    a, out = torch.from_numpy(array), torch.from_numpy(result := np.empty((20, 20), np.float32))
    hotloops.matmul(a, a, out=out)
    np.testing.assert_array_equal(result, array @ array)


def test_results_live_as_long_as_they_are_used(torch_dtype: Any) -> None:
    results = [hotloops.matmul(tensor(i, (20, 20), torch_dtype), torch.eye(20, dtype=torch_dtype))
               for i in range(200)]  # fmt: skip
    for i, result in enumerate(results):
        assert torch.equal(result, tensor(i, (20, 20), torch_dtype))


def test_result_is_an_ordinary_tensor(torch_dtype: Any) -> None:
    c = hotloops.matmul(tensor(1, (4, 4), torch_dtype), tensor(2, (4, 4), torch_dtype))
    assert torch.equal(copy.deepcopy(c), c)
    assert torch.equal(c.resize_(2, 2), c)
    c.requires_grad_()
    c.sum().backward()
    assert torch.equal(c.grad, torch.ones(2, 2, dtype=torch_dtype))


# --- Gradients --------------------------------------------------------------------------------


def test_a_tensor_that_requires_grad_is_refused() -> None:
    a, b = torch.ones(3, 3, requires_grad=True), torch.ones(3, 3)
    calls: list[Any] = [
        lambda: hotloops.matmul(a, b),
        lambda: hotloops.matmul(b, a),
        lambda: hotloops.relu(a),
        lambda: hotloops.dense(b, a),
        lambda: hotloops.linear(b, b, a[0]),
    ]
    for call in calls:
        with pytest.raises(RuntimeError, match=r"detach\(\).*no_grad"):
            call()
        with torch.no_grad():
            result = call()
        assert not result.requires_grad
    assert torch.equal(hotloops.matmul(a.detach(), b), a.detach() @ b)
    with torch.inference_mode():
        assert torch.equal(hotloops.matmul(a, b), a @ b)


# --- What does not fit ------------------------------------------------------------------------


def test_kinds_do_not_mix() -> None:
    array, tensor_ = np.ones((3, 3), np.float32), torch.ones(3, 3)
    calls: list[Any] = [
        lambda: hotloops.matmul(array, tensor_),
        lambda: hotloops.matmul(tensor_, array),
        lambda: hotloops.matmul(array, array, out=tensor_),
        lambda: hotloops.matmul(tensor_, tensor_, out=array),
        lambda: hotloops.relu(tensor_, out=array),
        lambda: hotloops.dense(array, array, tensor_[0]),
        lambda: hotloops.linear(tensor_, array),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="tensor"):
            call()


@pytest.mark.parametrize("operand", ["a", "b"])
def test_a_tensor_on_another_device_is_refused(operand: str) -> None:
    here, there = torch.ones(3, 3), torch.ones(3, 3, device="meta")
    a, b = (there, here) if operand == "a" else (here, there)
    with pytest.raises((TypeError, ValueError, RuntimeError), match=f"{operand} .*meta"):
        hotloops.matmul(a, b)


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"matmul: a has 3 columns but b has 4 rows"):
        hotloops.matmul(torch.ones(2, 3), torch.ones(4, 5))
    with pytest.raises(ValueError, match="out"):
        hotloops.matmul(torch.ones(2, 3), torch.ones(3, 5), out=torch.ones(2, 4))


def test_lazily_conjugated_and_negated_tensors() -> None:
    x = torch.tensor([[1 + 2j, 3 - 4j], [5j, 6.0]])
    assert_as_torch(x.conj(), x)
    # The imaginary part of a conjugate is a float tensor that is negated lazily.
    assert_as_torch(x.conj().imag, x.real)


def test_sparse_tensors_are_refused() -> None:
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        hotloops.matmul(torch.eye(3).to_sparse(), torch.ones(3, 3))


# --- torch is a guest -------------------------------------------------------------------------


def test_import_does_not_import_torch() -> None:
    program = """
import sys
import numpy as np
import hotloops
hotloops.matmul(np.ones((2, 2)), [[1.0, 2.0], [3.0, 4.0]])
hotloops.dense(np.ones((2, 2)), np.ones((2, 2)), activation="relu")
print("torch" in sys.modules)
"""
    assert support.run_python(program).strip() == "False"


@pytest.mark.parametrize("first", ["torch", "hotloops"])
def test_either_may_be_imported_first(first: str) -> None:
    second = {"torch": "hotloops", "hotloops": "torch"}[first]
    program = f"""
import {first}
import {second}
x = torch.arange(6.0).reshape(2, 3)
print(hotloops.matmul(x, x.T).tolist())
"""
    assert support.run_python(program).strip() == "[[5.0, 14.0], [14.0, 50.0]]"
