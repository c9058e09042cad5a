"""The operators that torch knows of, and `linear`, which calls them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch

import hotloops
from hotloops import _arguments, _core

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str | None = None
) -> Tensor:
    """Dense layer that torch can differentiate and compile.

    It is ``activation(torch.nn.functional.linear(x, weight, bias))``.

    Parameters
    ----------
    x : Tensor, shape (..., in)
        Inputs, in rows.
    weight : Tensor, shape (units, in)
        Weights, of the dtype of `x`. Complex ones have no activations.
    bias : Tensor, shape (units,), optional
        Added to each row.
    activation : {None, 'relu', 'gelu', 'gelu_tanh', 'sigmoid', 'tanh', 'silu', 'softmax'}, optional
        As for `hotloops.linear`.

    Returns
    -------
    Tensor, shape (..., units)
        With the bits of `hotloops.linear`; its gradients have those of `hotloops.dense_vjp`.

    See Also
    --------
    hotloops.linear : The function alone, for arrays, too.

    Notes
    -----
    Once differentiable, in reverse mode: gradients cannot be differentiated again, and forward mode
    (`torch.func.jvp`) takes the result for a constant. While torch records, 'gelu',
    'gelu_tanh' and 'silu' are a pass of their own, as their derivatives need what they are applied
    to. In eager mode torch's dispatcher is left out: it takes many times as long as a small layer.

    Examples
    --------
    >>> import torch
    >>> from hotloops.torch import linear
    >>> x = torch.tensor([[1.0, -2.0]], requires_grad=True)
    >>> linear(x, torch.tensor([[3.0, 1.0], [1.0, 1.0]]), activation="relu").sum().backward()
    >>> x.grad
    tensor([[3., 1.]])
    """
    operands = (x, weight) if bias is None else (x, weight, bias)
    try:
        records = torch.is_grad_enabled() and any(operand.requires_grad for operand in operands)
    except AttributeError:
        _check_tensors(x=x, weight=weight, bias=bias)
        raise
    eager = x.device.type == "cpu" and not torch.compiler.is_compiling()
    if eager and not records:
        y = _core.linear(x, weight, bias, activation, None, None, None)
        if y is not NotImplemented:
            return y
        _check_tensors(x=x, weight=weight, bias=bias)
        return _linear(x, weight, bias, activation)
    if eager:
        apply_linear, apply_activation = _RecordedLinear.apply, _RecordedActivate.apply
    else:
        apply_linear, apply_activation = _linear, _activate
    if records and isinstance(activation, str) and activation in _core.SAVES_INPUT:
        return apply_activation(apply_linear(x, weight, bias, None), activation)
    return apply_linear(x, weight, bias, activation)


# ---- The computation, on CPU tensors, without autograd's eye on it -------------------------------


def _check_tensors(**operands: Any) -> None:
    for name, operand in operands.items():
        if name == "bias" and operand is None:
            continue
        if not isinstance(operand, torch.Tensor):
            raise TypeError(
                f"linear: {name} {_arguments.described(operand)} but must be a torch.Tensor"
            )
        if operand.layout is not torch.strided or operand.device != operands["x"].device:
            raise ValueError(
                f"linear: {name} is on device {operand.device} with layout {operand.layout} but "
                f"must be strided and on {operands['x'].device}, as x"
            )


def _computed(core: Callable[..., Any], *tensors: Tensor | None) -> Any:
    """Return what a function of the core makes of tensors: as they are, or else of plain copies.

    These are contiguous, and float32 in the place of the half types.
    """
    result = core(*tensors)
    if result is not NotImplemented:
        return result
    dtype = next(tensor.dtype for tensor in tensors if tensor is not None)
    wide = torch.promote_types(dtype, torch.float32)
    copies = (
        None if tensor is None else tensor.resolve_neg().to(wide).contiguous() for tensor in tensors
    )
    result = core(*copies)
    if isinstance(result, tuple):
        return tuple(None if part is None else part.to(dtype) for part in result)
    return result.to(dtype)


def _forward_linear(
    x: Tensor, weight: Tensor, bias: Tensor | None, activation: str | None
) -> Tensor:
    _check_dtypes(activation, x=x, weight=weight, bias=bias)
    return hotloops.linear(x, weight, bias, activation=activation)


def _check_dtypes(activation: str | None, **tensors: Tensor | None) -> None:
    dtypes = {name: tensor.dtype for name, tensor in tensors.items() if tensor is not None}
    first = next(iter(dtypes.values()))
    fits = first.is_floating_point or (first.is_complex and activation is None)
    if not fits or any(dtype is not first for dtype in dtypes.values()):
        found = ", ".join(f"{name} has dtype {dtype}" for name, dtype in dtypes.items())
        raise TypeError(
            f"linear: {found}, but all need the same, of real numbers or, without activation, of "
            "complex ones; use .to(dtype)"
        )


def _backward_linear(
    grad_y: Tensor,
    x: Tensor,
    weight: Tensor,
    saved: Tensor | None,
    activation: str | None,
    needs: Sequence[bool],
) -> list[Tensor]:
    """Return the gradients of x, weight and bias, of those that are needed."""
    if grad_y.is_complex():
        return _complex_gradients(grad_y, x, weight, needs)

    def pullback(grad_y: Tensor, x: Tensor, weight: Tensor, saved: Tensor | None) -> Any:
        return _core.dense_pullback(x, weight, activation, saved, grad_y, True, *needs)

    gradients = _computed(pullback, grad_y, x, weight, saved)
    return [gradient for gradient in gradients if gradient is not None]


def _complex_gradients(
    grad_y: Tensor, x: Tensor, weight: Tensor, needs: Sequence[bool]
) -> list[Tensor]:
    """Return what torch calls gradients of complex numbers: products with conjugates."""
    units, inputs = weight.shape
    rows, x = grad_y.reshape(-1, units), x.reshape(-1, inputs)
    products: tuple[Callable[[], Tensor], ...] = (
        lambda: hotloops.matmul(grad_y, weight.conj()),
        lambda: hotloops.matmul(rows.T, x.conj()),
        lambda: hotloops.matmul(rows.new_ones(len(rows)), rows),
    )
    return [product() for product, need in zip(products, needs, strict=True) if need]


def _forward_activate(z: Tensor, activation: str) -> Tensor:
    return _computed(functools.partial(_core.activate, activation), z)


def _backward_activate(grad_y: Tensor, saved: Tensor, activation: str) -> Tensor:
    def pullback(grad_y: Tensor, saved: Tensor) -> Any:
        return _core.activation_grad(activation, saved, grad_y)

    return _computed(pullback, grad_y, saved)


# ---- The operators, and their shapes for tracing -------------------------------------------------


def _operator(name: str, function: Callable[..., Any], schema: str) -> Any:
    # An operator's implementation runs below autograd, but in the caller's gradient mode.
    unrecorded = torch.no_grad()(function)
    return torch.library.custom_op(
        f"hotloops::{name}", unrecorded, mutates_args=(), device_types="cpu", schema=schema
    )


_linear = _operator(
    "linear",
    _forward_linear,
    schema="(Tensor x, Tensor weight, Tensor? bias, str? activation) -> Tensor",
)
_linear_backward = _operator(
    "linear_backward",
    _backward_linear,
    schema="(Tensor grad_y, Tensor x, Tensor weight, Tensor? saved, str? activation, bool[] needs)"
    " -> Tensor[]",
)
_activate = _operator("activate", _forward_activate, schema="(Tensor z, str activation) -> Tensor")
_activate_backward = _operator(
    "activate_backward",
    _backward_activate,
    schema="(Tensor grad_y, Tensor saved, str activation) -> Tensor",
)


@_linear.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None, activation: str | None) -> Tensor:
    _core.check_activation("linear", activation)
    _check_dtypes(activation, x=x, weight=weight, bias=bias)
    torch._check_value(
        x.dim() > 0 and weight.dim() == 2 and x.shape[-1] == weight.shape[1],
        lambda: (
            f"linear: x has shape {tuple(x.shape)} but weight has shape {tuple(weight.shape)}; the "
            "last sizes of both must be equal, and weight has 2 dimensions"
        ),
    )
    return x.new_empty((*x.shape[:-1], weight.shape[0]))


@_linear_backward.register_fake
def _(
    grad_y: Tensor,
    x: Tensor,
    weight: Tensor,
    saved: Tensor | None,  # noqa: ARG001
    activation: str | None,  # noqa: ARG001
    needs: Sequence[bool],
) -> list[Tensor]:
    shapes = (x.shape, weight.shape, weight.shape[:1])
    return [grad_y.new_empty(shape) for shape, need in zip(shapes, needs, strict=True) if need]


@_activate.register_fake
def _(z: Tensor, activation: str) -> Tensor:
    _core.check_activation("activate", activation)
    return z.new_empty(z.shape)


@_activate_backward.register_fake
def _(grad_y: Tensor, saved: Tensor, activation: str) -> Tensor:  # noqa: ARG001
    return saved.new_empty(saved.shape)


# ---- Autograd, for the operators and for eager mode ----------------------------------------------


def _save_for_linear(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, ctx.activation = inputs
    if ctx.activation is None:
        saved = None
    elif ctx.activation in _core.SAVES_INPUT:
        saved = bias  # what the activation is applied to is computed again; not if `linear` calls
    else:
        saved = output
    ctx.save_for_backward(x, weight, saved)


def _linear_gradients(
    backward: Callable[..., list[Tensor]], ctx: Any, grad_y: Tensor
) -> tuple[Tensor | None, ...]:
    x, weight, saved = ctx.saved_tensors
    if ctx.activation in _core.SAVES_INPUT:
        saved = _linear(x, weight, saved, None)
    needs = list(ctx.needs_input_grad[:3])
    gradients = iter(backward(grad_y, x, weight, saved, ctx.activation, needs))
    return (*(next(gradients) if need else None for need in needs), None)


def _save_for_activate(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    z, ctx.activation = inputs
    ctx.save_for_backward(z if ctx.activation in _core.SAVES_INPUT else output)


def _activate_gradients(
    backward: Callable[..., Tensor], ctx: Any, grad_y: Tensor
) -> tuple[Tensor | None, ...]:
    (saved,) = ctx.saved_tensors
    return backward(grad_y, saved, ctx.activation), None


_linear.register_autograd(
    functools.partial(_linear_gradients, _linear_backward), setup_context=_save_for_linear
)
_activate.register_autograd(
    functools.partial(_activate_gradients, _activate_backward), setup_context=_save_for_activate
)


class _RecordedLinear(torch.autograd.Function):
    # Not in the newer style, forward and setup_context apart: that inspects signatures, for 25 us.
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        output = _forward_linear(*inputs)
        _save_for_linear(ctx, inputs, output)
        return output

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
        # Where the gradient is recorded (create_graph), by the operator: it refuses to be
        # differentiated, while what the plain function returns would pass for a constant.
        backward = _linear_backward if torch.is_grad_enabled() else _backward_linear
        return _linear_gradients(backward, ctx, grad_y)


class _RecordedActivate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        output = _forward_activate(*inputs)
        _save_for_activate(ctx, inputs, output)
        return output

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
        backward = _activate_backward if torch.is_grad_enabled() else _backward_activate
        return _activate_gradients(backward, ctx, grad_y)
