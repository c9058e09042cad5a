"""torch tensors that need a word with torch first; torch is here only if the caller brought it."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

_MOST_DIMENSIONS = 64
"""Of a NumPy array; a tensor may have more."""


def torch_module() -> Any:
    """Return the module that the caller's tensors are from."""
    return sys.modules["torch"]


def _tensor_type() -> Any:
    """Return torch.Tensor, or None: while another thread imports torch, the module has none yet."""
    return getattr(sys.modules.get("torch"), "Tensor", None)


def is_tensor(operand: Any) -> bool:
    """Tell whether an operand is a torch tensor."""
    tensor = _tensor_type()
    return tensor is not None and isinstance(operand, tensor)


def has_tensor(*operands: Any) -> bool:
    """Tell whether any operand is a torch tensor."""
    tensor = _tensor_type()
    if tensor is None:
        return False
    for operand in operands:  # noqa: SIM110 - any() takes three times as long
        if isinstance(operand, tensor):
            return True
    return False


def as_arrays(function: str, named: dict[str, Any], out: Any) -> list[Any]:
    """Return the named operands as arrays on the tensors' memory, after checking all and `out`.

    Operands of dtypes that NumPy lacks stay tensors.
    """
    check_tensors(function, named, out)
    arrays = []
    for name, operand in named.items():
        if operand.ndim > _MOST_DIMENSIONS:
            raise ValueError(
                f"{function}: {name} has {operand.ndim} dimensions but {_MOST_DIMENSIONS} at most "
                "are supported; join some of them with .reshape()"
            )
        tensor = operand.detach().resolve_conj().resolve_neg()
        try:
            arrays.append(tensor.numpy())
        except TypeError:
            arrays.append(tensor)
    return arrays


def check_tensors(function: str, named: dict[str, Any], out: Any) -> None:
    """Refuse what is not a strided CPU tensor, or whose gradient would be lost."""
    every = {**named, **({} if out is None else {"out": out})}
    for name, operand in every.items():
        if not is_tensor(operand):
            tensor = next(other for other in every if is_tensor(every[other]))
            raise TypeError(
                f"{function}: {name} is a {type(operand).__name__} but {tensor} is a Tensor; "
                f"convert {name} with torch.as_tensor"
            )
        _check_tensor(function, name, operand)


def _check_tensor(function: str, name: str, operand: Any) -> None:
    torch = torch_module()
    if operand.device.type != "cpu" or operand.layout is not torch.strided:
        raise ValueError(
            f"{function}: {name} is on device {operand.device} with layout {operand.layout} but "
            "must be a strided tensor on the CPU; convert it with .cpu() or .to_dense()"
        )
    if operand.requires_grad and torch.is_grad_enabled():
        raise RuntimeError(
            f"{function}: {name} requires its gradient, which would be lost; pass "
            f"{name}.detach() or compute under torch.no_grad()"
        )


def check_cast(function: str, dtype: Any, out: Any) -> None:
    """Refuse an `out` of a lesser kind of numbers than a result of this dtype."""
    if not torch_module().can_cast(dtype, out.dtype):
        raise TypeError(
            f"{function}: out has dtype {out.dtype}, to which the result's {dtype} cannot be cast"
        )


def out_array(out: Any) -> Any:
    """Return the array on the memory of `out`; a tensor if NumPy lacks its dtype, or it is lazy.

    `out` has to have passed `check_tensors`.
    """
    if out is None:
        return None
    try:
        return out.detach() if is_lazy(out) else out.detach().numpy()
    except TypeError:
        return out.detach()


def is_lazy(tensor: Any) -> bool:
    """Tell whether the values in memory are not the tensor's: of conjugated and negated views."""
    return is_tensor(tensor) and (tensor.is_conj() or tensor.is_neg())


def plain_like(tensor: Any) -> Any:
    """Return a new tensor for a result that is then `written` to a lazy one."""
    return torch_module().empty_like(tensor.detach(), requires_grad=tensor.requires_grad)


def result_tensor(result: Any, out: Any) -> Any:
    """Return `out`, which has been written to, or a tensor on the memory of `result`."""
    return torch_module().from_numpy(np.asarray(result)) if out is None else out


def written(tensor: Any, out: Any) -> Any:
    """Return `tensor`, which may be a view of the memory of `out`, or `out` with its values."""
    if out is None:
        return tensor
    # torch copies one element after another, and reads what it has written.
    out.detach().copy_(tensor.clone() if _may_share_memory(tensor, out) else tensor)
    return out


def _may_share_memory(x: Any, y: Any) -> bool:
    (x_begin, x_end), (y_begin, y_end) = _extent(x), _extent(y)
    return bool(x_begin < y_end and y_begin < x_end)


def _extent(tensor: Any) -> tuple[int, int]:
    """Return the addresses between which a tensor's elements lie."""
    begin = tensor.data_ptr()
    if tensor.numel() == 0:
        return begin, begin
    reach = sum(
        (size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True)
    )
    return begin, begin + (reach + 1) * tensor.element_size()


def as_scalar(value: Any, like: Any, *, wraps: bool) -> Any:
    """Return a Python number as a tensor, of the dtype that torch gives it beside another operand.

    Where it `wraps`, integers out of the range of that dtype do.
    """
    torch = torch_module()
    if like is None:
        return torch.as_tensor(value)
    dtype = torch.result_type(like, value)
    is_integer = not (dtype.is_floating_point or dtype.is_complex or dtype is torch.bool)
    if wraps and is_integer and -(2**63) <= value < 2**64:  # torch refuses others
        limits = torch.iinfo(dtype)
        value = (value - limits.min) % 2**limits.bits + limits.min
    return torch.as_tensor(value, dtype=dtype)


def numpy_dtype(dtype: Any) -> Any:
    """Return NumPy's dtype for a torch dtype, if it has one; other dtypes as they are."""
    torch = torch_module()
    try:
        return torch.empty(0, dtype=dtype).numpy().dtype if is_torch_dtype(dtype) else dtype
    except TypeError:
        return dtype


def is_torch_dtype(dtype: Any) -> bool:
    """Tell whether a dtype is one of torch's."""
    return isinstance(dtype, torch_module().dtype)


def torch_dtype(function: str, name: Any, given: Any = None) -> Any:
    """Return torch's dtype of NumPy's name for it, which may have been given in another way."""
    dtype = getattr(torch_module(), str(name), None)
    if not is_torch_dtype(dtype):
        what = repr(name if given is None else given)
        raise TypeError(f"{function}: dtype is {what} but must be one that torch has")
    return dtype


def promoted(*tensors: Any) -> Any:
    """Return the dtype to which torch promotes."""
    torch = torch_module()
    dtype = tensors[0].dtype
    for tensor in tensors[1:]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype
