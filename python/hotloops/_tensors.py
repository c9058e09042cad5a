"""torch tensors that need a word with torch first; torch is here only if the caller brought it."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


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
    for operand in named.values():
        tensor = operand.detach().resolve_conj().resolve_neg()
        try:
            arrays.append(tensor.numpy())
        except TypeError:
            arrays.append(tensor)
    return arrays


def check_tensors(function: str, named: dict[str, Any], out: Any) -> None:
    """Refuse what is not a strided CPU tensor, or whose gradient would be lost."""
    for name, operand in {**named, **({} if out is None else {"out": out})}.items():
        _check_tensor(function, name, operand)


def _check_tensor(function: str, name: str, operand: Any) -> None:
    torch = torch_module()
    if not is_tensor(operand):
        raise TypeError(
            f"{function}: {name} is a {type(operand).__name__} but other arguments are tensors; "
            "convert it with torch.as_tensor"
        )
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
    """Return the array on the memory of `out`, if there is one; a tensor if NumPy lacks its dtype.

    `out` has to have passed `check_tensors`.
    """
    if out is None:
        return None
    try:
        return out.detach().numpy()
    except TypeError:
        return out.detach()


def detached(out: Any) -> Any:
    """Return what can be written to without autograd's notice: `out`, or its memory if a tensor."""
    return out.detach() if is_tensor(out) else out


def result_tensor(result: Any, out: Any) -> Any:
    """Return `out`, which has been written to, or a tensor on the memory of `result`."""
    return torch_module().from_numpy(np.asarray(result)) if out is None else out


def written(tensor: Any, out: Any) -> Any:
    """Return `tensor`, or `out` with its values."""
    if out is None:
        return tensor
    out.detach().copy_(tensor)
    return out


def numpy_dtype(dtype: Any) -> Any:
    """Return NumPy's name for a torch dtype; other dtypes as they are."""
    torch = torch_module()
    if isinstance(dtype, torch.dtype):
        return torch.empty(0, dtype=dtype).numpy().dtype
    return dtype


def torch_dtype(name: Any) -> Any:
    """Return torch's dtype of NumPy's name for it."""
    return getattr(torch_module(), str(name))


def promoted(*tensors: Any) -> Any:
    """Return the dtype to which torch promotes."""
    torch = torch_module()
    dtype = tensors[0].dtype
    for tensor in tensors[1:]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype
