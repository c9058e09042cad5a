"""What the compiled core does not take of elementwise operations as it is.

Python scalars, which have no dtype of their own, array-likes, and tensors that need a word with
torch first, may after all be the core's. The rest is computed by NumPy or torch: mixed dtypes,
those without a kernel, odd layouts, subclasses. They convert block by block what needs converting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hotloops import _arguments, _array_likes, _core, _tensors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SCALARS = (bool, int, float, complex)


def _where(condition: Any, x: Any, y: Any, out: Any = None) -> Any:
    result = np.where(condition, x, y)
    if out is None:
        return result[()]
    np.copyto(out, result, casting="same_kind")
    return out


def _where_greater(a: Any, b: Any, x: Any, y: Any, **out: Any) -> Any:
    return _where(np.greater(a, b), x, y, **out)


def _all_greater(a: Any, b: Any) -> bool:
    return bool(np.all(np.greater(a, b)))


_NUMPY: Mapping[str, Callable[..., Any]] = {
    "relu": _array_likes.relu_of_others,
    "multiply": np.multiply,
    "add": np.add,
    "subtract": np.subtract,
    "greater": np.greater,
    "where": _where,
    "where_greater": _where_greater,
    "all_greater": _all_greater,
}


def _torch(function: str) -> Callable[..., Any]:
    torch = _tensors.torch_module()
    functions: dict[str, Callable[..., Any]] = {
        # relu itself refuses truth values, and keeps -0.0.
        "relu": lambda x: x.clone() if x.dtype is torch.bool else torch.relu(x).add_(0),
        "multiply": torch.mul,
        "add": torch.add,
        "subtract": torch.sub,
        "greater": torch.gt,
        "where": lambda condition, x, y: torch.where(condition.bool(), x, y),
        "where_greater": lambda a, b, x, y: torch.where(torch.gt(a, b), x, y),
        # Flat, for all() takes no more than 64 dimensions.
        "all_greater": lambda a, b: bool(torch.gt(a, b).reshape(-1).all()),
    }
    return functions[function]


# Which operands have one dtype; without a name here all of an operation's have.
_VALUES = {"where": ("x", "y"), "where_greater": ("x", "y")}
_COMPARED = {"where_greater": ("a", "b")}


def apply(function: str, named: dict[str, Any], out: Any) -> Any:
    """Compute an operation of `_elementwise` where the core's function of that name declines."""
    if _tensors.has_tensor(*named.values(), out):
        return _apply_to_tensors(function, named, out)
    out = _array_likes.unwrapped(out)
    options = {} if out is None else {"out": out}
    if _array_likes.has_own_semantics(*named.values(), out):
        with _arguments.naming(function, **named, **options):
            return _NUMPY[function](*named.values(), **options)
    arrays = {
        name: operand if type(operand) in _SCALARS else _arguments.as_array(function, name, operand)
        for name, operand in named.items()
    }
    shapes = [np.shape(operand) for operand in arrays.values()]
    shape = _core.broadcast_shape(function, list(named), shapes)
    groups = [{name: arrays[name] for name in _VALUES.get(function, named)}]
    if function in _COMPARED:
        groups.append({name: arrays[name] for name in _COMPARED[function]})
    result: Any = NotImplemented
    if all(_are_numbers(*group.values()) for group in groups):
        if out is not None:
            is_bool = function == "greater"
            dtype = np.dtype(bool) if is_bool else np.result_type(*groups[0].values())
            _array_likes.check_out(function, out, shape, dtype, 0)
        converted = dict(arrays)
        for group in groups:
            converted |= _with_dtype(group)
        result = _call_core(function, converted, out)
    # NumPy gets scalars as they were given: it has rules of its own for them.
    if result is NotImplemented:
        with _arguments.naming(function, **named, **options):
            return _NUMPY[function](*arrays.values(), **options)
    return result


def _are_numbers(*operands: Any) -> bool:
    """Tell whether all have one numeric dtype. Of others, as dates, only NumPy knows the result."""
    try:
        dtype = np.result_type(*operands)
    except TypeError:
        return False
    if dtype.kind == "O":
        return all(map(_arguments.are_numbers, operands))
    return dtype.kind in "biufc" or dtype.name in _array_likes.PRODUCT_DTYPES


def _call_core(function: str, operands: dict[str, Any], out: Any) -> Any:
    core = getattr(_core, function)
    return core(*operands.values(), *(() if function == "all_greater" else (out,)))


def _with_dtype(operands: dict[str, Any]) -> dict[str, Any]:
    """Make arrays of Python scalars in the others' dtype, where NumPy would give them that."""
    arrays = [operand for operand in operands.values() if isinstance(operand, np.ndarray)]
    if len(arrays) == len(operands):
        return operands
    if not arrays:
        return {name: np.asarray(operand) for name, operand in operands.items()}
    dtype = np.result_type(*arrays)
    if np.result_type(*operands.values()) != dtype:
        return operands
    try:
        return {
            name: operand if isinstance(operand, np.ndarray) else np.asarray(operand, dtype)
            for name, operand in operands.items()
        }
    except OverflowError:  # NumPy compares integers of any size, and says what it refuses
        return operands


def _apply_to_tensors(function: str, named: dict[str, Any], out: Any) -> Any:
    torch = _tensors.torch_module()
    tensors = {name: value for name, value in named.items() if type(value) not in _SCALARS}
    _tensors.check_tensors(function, tensors, out)
    operands = {
        name: value.detach().resolve_conj().resolve_neg() for name, value in tensors.items()
    }
    for names in (_VALUES.get(function, tuple(named)), _COMPARED.get(function, ())):
        like = next((operands[name] for name in names if name in operands), None)
        wraps = names != _VALUES.get(function)  # torch.where alone refuses what is out of range
        for name in names:
            if name not in operands:
                with _arguments.naming(function, **{name: named[name]}):
                    operands[name] = _tensors.as_scalar(named[name], like, wraps=wraps)
    operands = {name: operands.get(name, named[name]) for name in named}
    if type(named.get("condition")) in _SCALARS:
        operands["condition"] = torch.as_tensor(bool(named["condition"]))
    shapes = [tuple(operand.shape) for operand in operands.values()]
    shape = _core.broadcast_shape(function, list(named), shapes)
    if out is not None and tuple(out.shape) != shape:
        raise ValueError(
            f"{function}: out has shape {tuple(out.shape)} but the result has shape {shape}"
        )
    if out is not None and _call_core(function, operands, out.detach()) is not NotImplemented:
        return out
    result = _call_core(function, operands, None)
    if result is NotImplemented:
        with _arguments.naming(function, **operands):
            result = _torch(function)(*operands.values())
    if out is not None:
        _tensors.check_cast(function, result.dtype, out)
    return _tensors.written(result, out)
