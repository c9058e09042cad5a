"""Vector-Jacobian products: right by torch, by finite differences and by their naive twins."""

from __future__ import annotations

import importlib
import itertools
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest

import hotloops
from hotloops import _core, naive
from support import (
    ACTIVATIONS,
    FMA_ISAS,
    LAYOUTS,
    MATMUL_SHAPES,
    assert_same_bits,
    contract_matmul,
    normal,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Array

TWINS = pytest.mark.parametrize("twin", [hotloops, naive], ids=["hotloops", "naive"])

# Of x; kernels are (6, 5).
SHAPES = [(4, 6), (6,), (1, 6), (3, 2, 6), (2, 1, 3, 6), (0, 6), (2, 0, 6)]
# Of a batch, inputs and units.
EMPTY_SIZES = [(0, 3, 2), (4, 0, 2), (4, 3, 0), (0, 0, 2), (4, 0, 0), (0, 1, 1), (1, 0, 1)]
# Arrays of zeros; those that are empty have unlike strides.
EMPTY_LAYOUTS: dict[str, Callable[[tuple[int, ...]], Array]] = {
    "new": np.zeros,
    "sliced": lambda shape: np.zeros([n + 2 for n in shape])[tuple(slice(n) for n in shape)],
    "transposed": lambda shape: (
        np.zeros([n + 1 for n in shape[::-1]])[tuple(slice(1, n + 1) for n in shape[::-1])].T
    ),
    "permuted": lambda shape: np.moveaxis(np.zeros((shape[-1] + 1, *shape[:-1]))[1:], 0, -1),
}


def operands(
    shape: tuple[int, ...], units: int, dtype: Any = np.float64, *, bias: bool = True
) -> tuple[Any, Any, Any, Any]:
    """Return x, kernel, bias and the gradient of the result."""
    x, kernel = normal(1, shape, dtype), normal(2, (shape[-1], units), dtype)
    return (
        *(x, kernel / dtype(max(1, shape[-1]) ** 0.5)),
        normal(3, (units,), dtype) if bias else None,
        normal(4, (*shape[:-1], units), dtype),
    )


def assert_close(actual: Any, expected: Any, rtol: float = 1e-12) -> None:
    """Fail unless shapes and dtypes are equal and values nearly so, relative to the largest."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
    scale = abs(expected).max(initial=0)
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol * scale)


# --- Dense layers: right ----------------------------------------------------------------------


@TWINS
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_dense_as_torch_has_it(twin: Any, activation: Any, bias: bool) -> None:
    torch: Any = pytest.importorskip("torch")
    functional = torch.nn.functional
    layers: dict[Any, Callable[[Any], Any]] = {
        None: lambda z: z,
        "gelu": functional.gelu,
        "gelu_tanh": lambda z: functional.gelu(z, approximate="tanh"),
        "softmax": lambda z: torch.softmax(z, -1),
        "silu": functional.silu,
    }
    layer = layers.get(activation) or getattr(torch, activation)
    for shape in SHAPES:
        x, kernel, b, grad_y = operands(shape, 5, bias=bias)
        leaves = [torch.tensor(v, requires_grad=True) for v in (x, kernel, b) if v is not None]
        y = layer(leaves[0] @ leaves[1] + (leaves[2] if bias else 0))
        expected = torch.autograd.grad(y, leaves, torch.from_numpy(grad_y))
        actual, pullback = twin.dense_vjp(x, kernel, b, activation=activation)
        assert_close(actual, y.detach())
        gradients = pullback(grad_y)
        assert type(gradients) is tuple
        assert bias or gradients[-1] is None
        for gradient, wanted in zip(gradients[: len(leaves)], expected, strict=True):
            assert_close(gradient, wanted)


@TWINS
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_dense_by_finite_differences(twin: Any, activation: Any) -> None:
    *primals, grad_y = operands((3, 6), 5)
    _, pullback = twin.dense_vjp(*primals, activation=activation)
    step = 1e-5
    for place, gradient in enumerate(pullback(grad_y)):
        direction = normal(7, gradient.shape, np.float64)

        def value(t: float, place: int = place, direction: Array = direction) -> float:
            moved = [p + t * direction if i == place else p for i, p in enumerate(primals)]
            return float((grad_y * hotloops.dense(*moved, activation=activation)).sum())

        slope = (value(step) - value(-step)) / (2 * step)
        assert abs(slope - (gradient * direction).sum()) < 1e-8
        assert abs(slope) > 1e-3


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_dense_as_its_naive_twin(dtype: np.dtype[Any], activation: Any) -> None:
    *primals, grad_y = operands((2, 9, 30), 19, dtype.type)
    y, pullback = hotloops.dense_vjp(*primals, activation=activation)
    naive_y, naive_pullback = naive.dense_vjp(*primals, activation=activation)
    rtol = 100 * float(np.finfo(dtype).eps)
    assert_close(y, naive_y, rtol)
    for gradient, wanted in zip(pullback(grad_y), naive_pullback(grad_y), strict=True):
        assert_close(gradient, wanted, rtol)


def test_relu_has_no_slope_at_zero() -> None:
    for twin in (hotloops, naive):
        _, pullback = twin.dense_vjp(np.zeros((1, 2)), np.ones((2, 3)), activation="relu")
        assert not any(np.any(gradient) for gradient in pullback(np.ones((1, 3)))[:2])


# --- Dense layers: bits -----------------------------------------------------------------------


def gradients(x: Array, kernel: Array, bias: Array, grad_y: Array, activation: Any) -> list[Array]:
    """Return the result and the three gradients."""
    y, pullback = hotloops.dense_vjp(x, kernel, bias, activation=activation)
    return [y, *pullback(grad_y)]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(4, 10), (300, 70), (5, 103, 20)])
def test_the_bits_are_those_of_products(
    isa: str, dtype: np.dtype[Any], shape: tuple[int, ...], activation: Any
) -> None:
    """And with them the error bound, and that rows are summed in blocks of 256."""
    x, kernel, bias, grad_y = operands(shape, 37, dtype.type)
    y, *actual = gradients(x, kernel, bias, grad_y, activation)
    assert_same_bits(y, hotloops.dense(x, kernel, bias, activation=activation))
    saved = hotloops.dense(x, kernel, bias) if activation in _core.SAVES_INPUT else y
    grad_z = grad_y if activation is None else _core.activation_grad(activation, saved, grad_y)
    rows, grad_rows = x.reshape(-1, shape[-1]), grad_z.reshape(-1, 37)
    expected = [
        hotloops.matmul(grad_z, kernel.T),
        hotloops.matmul(rows.T, grad_rows),
        hotloops.matmul(np.ones(len(rows), dtype), grad_rows),
    ]
    for gradient, wanted in zip(actual, expected, strict=True):
        assert_same_bits(gradient, wanted)
    if isa in FMA_ISAS and dtype == np.float32:
        ones = np.ones((1, len(rows)), dtype)
        assert_same_bits(actual[2], contract_matmul(ones, grad_rows)[0])


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("in_", [1, 20])
@pytest.mark.parametrize("activation", ["relu", "softmax"])
def test_many_rows_in_blocks_have_the_bits_of_products(
    dtype: np.dtype[Any], activation: Any, in_: int
) -> None:
    """More of them, and of units, than are computed at a time."""
    units = 4100
    x, kernel, bias, grad_y = operands((600, in_), units, dtype.type)
    stretched = np.broadcast_to(grad_y[:, :1], grad_y.shape)
    for grad, threads in ((grad_y, 1), (stretched, 3)):
        with hotloops.threads(threads):
            y, *actual = gradients(x, kernel, bias, grad, activation)
        grad_z = _core.activation_grad(activation, y, grad)
        expected = [
            hotloops.matmul(grad_z, kernel.T),
            hotloops.matmul(x.T, grad_z),
            hotloops.matmul(np.ones(len(x), dtype), grad_z),
        ]
        for gradient, wanted in zip(actual, expected, strict=True):
            assert_same_bits(gradient, wanted)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_threads_batch_and_isas_change_no_bits(dtype: np.dtype[Any], activation: Any) -> None:
    x, kernel, bias, grad_y = operands((6, 55, 130), 70, dtype.type)
    expected = gradients(x, kernel, bias, grad_y, activation)
    flat = gradients(x.reshape(-1, 130), kernel, bias, grad_y.reshape(-1, 70), activation)
    for gradient, wanted in zip(flat, expected, strict=True):
        assert_same_bits(gradient.reshape(wanted.shape), wanted)
    one_row = gradients(x[2, 3], kernel, bias, grad_y[2, 3], activation)
    assert_same_bits(one_row[1], expected[1][2, 3])
    for threads in (1, 2, 3):
        with hotloops.threads(threads):
            for gradient, wanted in zip(
                gradients(x, kernel, bias, grad_y, activation), expected, strict=True
            ):
                assert_same_bits(gradient, wanted)
    results = []
    for isa in FMA_ISAS & set(hotloops.isas()):
        with hotloops.use_isa(isa):
            assert hotloops.isa() == isa
            results.append(gradients(x, kernel, bias, grad_y, activation))
    for result in results:
        for gradient, wanted in zip(result, results[0], strict=True):
            assert_same_bits(gradient, wanted)


@pytest.mark.parametrize("which", range(4), ids=["x", "kernel", "bias", "grad_y"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("activation", [None, "relu", "gelu", "softmax"])
def test_any_layout(dtype: np.dtype[Any], activation: Any, layout: str, which: int) -> None:
    arguments = [*operands((3, 5, 20), 17, dtype.type), activation]
    expected = gradients(*arguments)
    arguments[which] = LAYOUTS[layout](np.asarray(arguments[which]))
    for gradient, wanted in zip(gradients(*arguments), expected, strict=True):
        assert_same_bits(gradient, wanted)


def test_a_stretched_gradient() -> None:
    """As of a sum, whose gradient is one number everywhere."""
    x, kernel, bias, grad_y = operands((3, 5, 20), 17)
    stretched = np.broadcast_to(grad_y[0, 0, 0], grad_y.shape)
    for activation in ACTIVATIONS:
        expected = gradients(x, kernel, bias, stretched.copy(), activation)
        for gradient, wanted in zip(
            gradients(x, kernel, bias, stretched, activation), expected, strict=True
        ):
            assert_same_bits(gradient, wanted)


def test_a_pullback_may_be_called_again_and_writes_to_nothing() -> None:
    arguments = operands((7, 20), 17)
    before = [np.copy(array) for array in arguments if array is not None]
    for activation in ACTIVATIONS:
        x, kernel, bias, grad_y = arguments
        y, pullback = hotloops.dense_vjp(x, kernel, bias, activation=activation)
        y_before = y.copy()
        first, second = pullback(grad_y), pullback(grad_y)
        for gradient, again in zip(first, second, strict=True):
            assert_same_bits(again, gradient)
            assert not np.shares_memory(again, gradient)
        assert_same_bits(y, y_before)
        for array, was in zip(arguments, before, strict=True):
            assert_same_bits(np.asarray(array), was)


# --- relu and matmul --------------------------------------------------------------------------


@TWINS
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(), (7,), (5, 9), (3, 0, 2), (2, 3, 40)])
def test_relu(twin: Any, dtype: np.dtype[Any], shape: tuple[int, ...], layout: str) -> None:
    x, grad_y = normal(1, shape, dtype), normal(2, shape, dtype)
    if shape:
        x = LAYOUTS[layout](x)
    y, pullback = twin.relu_vjp(x)
    assert_same_bits(y, hotloops.relu(x))
    gradients_ = pullback(grad_y)
    assert len(gradients_) == 1
    assert_same_bits(gradients_[0], np.where(x > 0, grad_y, dtype.type(0)))


@TWINS
@pytest.mark.parametrize(("shape_a", "shape_b"), MATMUL_SHAPES)
def test_matmul_as_torch_has_it(
    twin: Any, shape_a: tuple[int, ...], shape_b: tuple[int, ...]
) -> None:
    torch: Any = pytest.importorskip("torch")
    a, b = normal(1, shape_a, np.float64), normal(2, shape_b, np.float64)
    leaves = [torch.tensor(v, requires_grad=True) for v in (a, b)]
    y = torch.matmul(*leaves)
    grad_y = normal(3, tuple(y.shape), np.float64)
    expected = torch.autograd.grad(y, leaves, torch.tensor(grad_y))
    actual, pullback = twin.matmul_vjp(a, b)
    assert_close(actual, y.detach())
    gradients_ = pullback(grad_y)
    assert type(gradients_) is tuple
    for gradient, wanted in zip(gradients_, expected, strict=True):
        assert_close(gradient, wanted)


def test_sums_over_a_batch_are_in_blocks() -> None:
    a, b = normal(1, (600, 3, 4), np.float32), normal(2, (4, 5), np.float32)
    grad_y = normal(3, (600, 3, 5), np.float32)
    _, grad_b = hotloops.matmul_vjp(a, b)[1](grad_y)
    assert_same_bits(grad_b, hotloops.matmul(a.reshape(-1, 4).T, grad_y.reshape(-1, 5)))
    left = normal(4, (3, 4), np.float32)
    stack = normal(5, (600, 4, 5), np.float32)
    grad_left, _ = hotloops.matmul_vjp(left, stack)[1](grad_y)
    each = hotloops.matmul(grad_y, stack.swapaxes(1, 2))
    ones = np.ones(600, np.float32)
    assert_same_bits(grad_left, hotloops.matmul(ones, each.reshape(600, -1)).reshape(3, 4))


# --- Dtypes and kinds -------------------------------------------------------------------------


@TWINS
def test_lists(twin: Any) -> None:
    y, pullback = twin.dense_vjp([[1.0, 2.0]], [[3.0], [4.0]], [0.5], activation="relu")
    assert_same_bits(y, np.array([[11.5]]))
    for gradient, wanted in zip(
        pullback([[2.0]]), ([[6.0, 8.0]], [[2.0], [4.0]], [2.0]), strict=True
    ):
        assert_same_bits(gradient, np.array(wanted))


@TWINS
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_each_gradient_has_the_dtype_of_its_operand(twin: Any, activation: Any) -> None:
    x, kernel, bias, grad_y = operands((3, 6), 5, np.float32)
    mixed = (x.astype(np.float16), kernel, bias.astype(np.float64))
    y, pullback = twin.dense_vjp(*mixed, activation=activation)
    assert y.dtype == np.float64
    wide = [operand.astype(np.float64) for operand in mixed]
    wide_y, wide_pullback = twin.dense_vjp(*wide, activation=activation)
    assert_same_bits(y, wide_y)
    for gradient, operand, wanted in zip(
        pullback(grad_y), mixed, wide_pullback(grad_y.astype(np.float64)), strict=True
    ):
        assert_same_bits(gradient, wanted.astype(operand.dtype))


@pytest.mark.parametrize("activation", [None, "relu", "gelu", "softmax"])
@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_half_types_are_computed_in_float32_and_rounded_once(name: str, activation: Any) -> None:
    torch: Any = pytest.importorskip("torch")
    dtype = getattr(torch, name)
    halves = [torch.from_numpy(v).to(dtype) for v in operands((7, 30), 20, np.float32)]
    singles = [half.float() for half in halves]
    y, pullback = hotloops.dense_vjp(*halves[:3], activation=activation)
    wide_y, wide_pullback = hotloops.dense_vjp(*singles[:3], activation=activation)
    assert torch.equal(y, wide_y.to(dtype))
    for gradient, wide in zip(pullback(halves[3]), wide_pullback(singles[3]), strict=True):
        assert torch.equal(gradient, wide.to(dtype))


@TWINS
@pytest.mark.parametrize("dtype", [">f2", ">f4", ">f8", ml_dtypes.bfloat16], ids=str)
def test_arrays_of_foreign_bytes_and_bfloat16(twin: Any, dtype: Any) -> None:
    foreign = [v.astype(dtype) for v in operands((3, 6), 5, np.float32)]
    native = foreign[0].dtype.newbyteorder("=")
    wide = [v.astype(np.float64 if native == np.float64 else np.float32) for v in foreign]
    cases: list[tuple[Any, tuple[int, ...]]] = [
        (lambda *v: twin.dense_vjp(*v, activation="gelu"), (0, 1, 2)),
        (twin.matmul_vjp, (0, 1)),
        (twin.relu_vjp, (3,)),
    ]
    for function, which in cases:
        y, pullback = function(*(foreign[i] for i in which))
        wanted_y, wanted_pullback = function(*(wide[i] for i in which))
        assert_same_bits(y, wanted_y.astype(native))
        gradients, wanted = pullback(foreign[3]), wanted_pullback(wide[3])
        for gradient, wide_gradient in zip(gradients, wanted, strict=True):
            assert_same_bits(gradient, wide_gradient.astype(native))


@pytest.mark.parametrize("sizes", EMPTY_SIZES, ids=str)
@pytest.mark.parametrize("kind", ["arrays", "tensors"])
def test_nothing_with_any_strides(sizes: tuple[int, int, int], kind: str) -> None:
    batch, inputs, units = sizes
    torch = pytest.importorskip("torch") if kind == "tensors" else None

    def made(shape: tuple[int, ...], layout: str) -> Any:
        x = EMPTY_LAYOUTS[layout](shape)
        return torch.from_numpy(x) if torch else x

    shape, product_shape = (2, batch, inputs), (2, batch, units)
    for layout, other in itertools.product(EMPTY_LAYOUTS, EMPTY_LAYOUTS):
        x, kernel = made(shape, layout), made((inputs, units), other)
        bias, grad_y = made((units,), layout), made(product_shape, other)
        for activation in (None, "relu", "gelu"):
            y, pullback = hotloops.dense_vjp(x, kernel, bias, activation=activation)
            gradients = pullback(grad_y)
            for gradient, operand in zip(gradients, (x, kernel, bias), strict=True):
                assert gradient.shape == operand.shape
                assert not gradient.any()
            again = hotloops.dense(x, kernel, bias, activation=activation, residual=grad_y)
            wide = hotloops.linear(x, kernel.T, bias, activation=activation, residual=grad_y)
            assert y.shape == again.shape == wide.shape == product_shape
            for result in (y, again, wide):
                assert not result.any()
        y, pullback = hotloops.matmul_vjp(x, kernel)
        assert [g.shape for g in pullback(grad_y)] == [x.shape, kernel.shape]
        assert hotloops.relu_vjp(x)[1](made(shape, other))[0].shape == shape
        if torch:
            x.requires_grad_()
            linear = importlib.import_module("hotloops.torch").linear
            linear(x, kernel.T, bias, "relu").backward(grad_y)
            assert x.grad.shape == shape


@TWINS
def test_tensors(twin: Any, dtype: np.dtype[Any]) -> None:
    torch: Any = pytest.importorskip("torch")
    arrays = operands((2, 3, 6), 5, dtype.type)
    x, kernel, bias, grad_y = (torch.from_numpy(array) for array in arrays)
    pairs = [
        (twin.dense_vjp(x, kernel, bias, activation="gelu"),
         twin.dense_vjp(*arrays[:3], activation="gelu")),
        (twin.dense_vjp(x, kernel), twin.dense_vjp(*arrays[:2])),
        (twin.matmul_vjp(x, kernel), twin.matmul_vjp(*arrays[:2])),
        (twin.relu_vjp(grad_y), twin.relu_vjp(arrays[3])),
    ]  # fmt: skip
    for (y, pullback), (array_y, array_pullback) in pairs:
        assert type(y) is torch.Tensor
        assert_same_bits(y.numpy(), array_y)
        for gradient, wanted in zip(pullback(grad_y), array_pullback(arrays[3]), strict=True):
            assert (gradient is None) == (wanted is None)
            if gradient is not None:
                assert type(gradient) is torch.Tensor
                assert_same_bits(gradient.numpy(), wanted)


def test_torch_may_differentiate_what_comes_after() -> None:
    """The loss by torch, the layer by hotloops: y becomes a leaf of torch's graph."""
    torch: Any = pytest.importorskip("torch")
    x, kernel = (torch.from_numpy(array) for array in operands((3, 6), 5)[:2])
    for activation in ACTIVATIONS:
        y, pullback = hotloops.dense_vjp(x, kernel, activation=activation)
        expected = pullback(2 * y.clone())
        y.requires_grad_()
        (y**2).sum().backward()
        for gradient, wanted in zip(pullback(y.grad)[:2], expected[:2], strict=True):
            assert torch.equal(gradient, wanted)


# --- What does not fit ------------------------------------------------------------------------


@TWINS
@pytest.mark.parametrize("shape", [(3,), (5,), (1, 5), (3, 4), (3, 5, 1)])
def test_a_gradient_of_another_shape(twin: Any, shape: tuple[int, ...]) -> None:
    x, kernel, bias, grad_y = operands((3, 6), 5)
    for y, pullback in (
        twin.dense_vjp(x, kernel, bias),
        twin.dense_vjp(x, kernel, activation="gelu"),
        twin.matmul_vjp(x, kernel),
        twin.relu_vjp(grad_y),
    ):
        assert y.shape == (3, 5)
        with pytest.raises(ValueError, match=r"_vjp: grad_y has shape .*\(3, 5\)"):
            pullback(np.ones(shape))


@TWINS
@pytest.mark.parametrize("dtype", [np.int64, np.bool_, np.complex128, np.longdouble])
def test_dtypes_without_gradients(twin: Any, dtype: Any) -> None:
    real, other = np.ones((2, 2)), np.ones((2, 2), dtype)
    calls: list[tuple[Any, str]] = [
        (lambda: twin.dense_vjp(other, real), "x"),
        (lambda: twin.dense_vjp(real, other), "kernel"),
        (lambda: twin.dense_vjp(real, real, other[0]), "bias"),
        (lambda: twin.matmul_vjp(other, real), "a"),
        (lambda: twin.relu_vjp(other), "x"),
        (lambda: twin.dense_vjp(real, real)[1](other), "grad_y"),
    ]
    for call, name in calls:
        with pytest.raises(TypeError, match=f"_vjp: {name} has dtype {np.dtype(dtype)}.*float64"):
            call()


@TWINS
def test_what_dense_refuses(twin: Any) -> None:
    x, kernel, bias, _ = operands((3, 6), 5)
    with pytest.raises(ValueError, match="6 columns but kernel has 5 rows"):
        twin.dense_vjp(x, kernel.T)
    with pytest.raises(ValueError, match="bias has shape"):
        twin.dense_vjp(x, kernel, bias[1:])
    for activation in ("Relu", 3, ["relu"]):
        with pytest.raises(ValueError, match="activation is"):
            twin.dense_vjp(x, kernel, activation=activation)


@TWINS
def test_kinds_do_not_mix(twin: Any) -> None:
    torch: Any = pytest.importorskip("torch")
    array, tensor = np.ones((3, 3)), torch.ones(3, 3, dtype=torch.float64)
    calls: list[Any] = [
        lambda: twin.dense_vjp(array, tensor),
        lambda: twin.dense_vjp(tensor, array),
        lambda: twin.matmul_vjp(array, tensor),
        lambda: twin.dense_vjp(array, array)[1](tensor),
        lambda: twin.dense_vjp(tensor, tensor)[1](array),
        lambda: twin.relu_vjp(array)[1](tensor),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="ensor"):
            call()


@TWINS
def test_a_tensor_that_requires_grad_is_refused(twin: Any) -> None:
    torch: Any = pytest.importorskip("torch")
    plain, leaf = torch.ones(3, 3), torch.ones(3, 3, requires_grad=True)
    calls: list[Any] = [
        lambda: twin.dense_vjp(leaf, plain),
        lambda: twin.matmul_vjp(plain, leaf),
        lambda: twin.relu_vjp(leaf),
        lambda: twin.dense_vjp(plain, plain)[1](leaf),
    ]
    for call in calls:
        with pytest.raises(RuntimeError, match=r"detach\(\).*no_grad"):
            call()
