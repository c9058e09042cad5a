"""What the compiled core does not take as it is: conversions, other dtypes, other kinds.

NumPy arrays of other dtypes, layouts or subclasses, array-likes, and tensors that need a word with
torch first. dtypes without a kernel are computed by NumPy itself (and those that NumPy lacks, by
torch).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hotloops import _arguments, _core, _tensors

if TYPE_CHECKING:
    from collections.abc import Callable

_KERNEL_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
# By name: NumPy itself has no bfloat16.
_HALF_DTYPES = frozenset({"float16", "bfloat16"})
_REAL_DTYPES = _HALF_DTYPES | {"float32", "float64"}
_COMPLEX_DTYPES = frozenset({"complex64", "complex128"})
PRODUCT_DTYPES = (
    _REAL_DTYPES
    | _COMPLEX_DTYPES
    | {"int8", "uint8", "int16", "int32", "uint32", "int64", "uint64"}
)


def dtype_name(dtype: Any) -> str:
    """Return NumPy's name of a dtype of NumPy or torch, or of one by that name.

    Of a foreign byte order it is another name than that of the native one.
    """
    if isinstance(dtype, str) and dtype in PRODUCT_DTYPES:
        return dtype  # NumPy knows bfloat16 only once ml_dtypes has been imported
    if type(dtype).__module__ == "torch" and type(dtype).__name__ == "dtype":
        return str(dtype).removeprefix("torch.")
    dtype = _arguments.as_dtype("matmul", "dtype", dtype)
    return str(dtype.name if dtype.isnative else dtype.str)


def matmul(a: Any, b: Any, out: Any, dtype: Any, precision: str | None) -> Any:
    """Compute `hotloops.matmul` where `_core.matmul` declines."""
    if _tensors.is_lazy(out):
        return _tensors.written(matmul(a, b, _tensors.plain_like(out), dtype, precision), out)
    if isinstance(b, _core.PackedMatrix):
        return _matmul_packed(a, b, out, dtype, precision)
    if _tensors.has_tensor(a, b, out):
        return _matmul_tensors(a, b, out, dtype, precision)
    out = unwrapped(out)
    if has_own_semantics(a, b, out):
        return _numpy_matmul(a, b, out, dtype)
    a, b = _arguments.as_numbers("matmul", "a", a), _arguments.as_numbers("matmul", "b", b)
    if dtype is not None:
        dtype = _arguments.as_dtype("matmul", "dtype", dtype)
    try:
        result_dtype = np.result_type(a.dtype, b.dtype) if dtype is None else dtype
    except TypeError:  # none, such as of bfloat16 and float16; products may still have one
        return _numpy_matmul(a, b, out, dtype)
    shape = _core.matmul_shape(a.shape, b.shape)
    castable = all(np.can_cast(array.dtype, result_dtype, "same_kind") for array in (a, b))
    if dtype_name(result_dtype) not in PRODUCT_DTYPES or not castable:
        return _numpy_matmul(a, b, out, dtype)
    check_out("matmul", out, shape, result_dtype, (a.ndim > 1) + (b.ndim > 1))
    # As they are, if there are kernels that sum such operands in the result's type.
    for dtypes in ((a.dtype, b.dtype), (result_dtype, result_dtype)):
        x, y = prepared(a, dtypes[0]), prepared(b, dtypes[1])
        compute = partial(_matmul_core, x, y, precision=precision, name=result_dtype.name)
        result = _into(out, compute)
        if result is NotImplemented:
            continue
        # The core knows one of C's types of a size, NumPy has results in the operands' own.
        is_own = out is not None or result.dtype.num == result_dtype.num
        return result if is_own else result.view(result_dtype)
    return _numpy_matmul(a, b, out, dtype)


def _matmul_packed(a: Any, b: Any, out: Any, dtype: Any, precision: str | None) -> Any:
    """Multiply by a packed matrix what needs a conversion that does not change its values."""
    if _tensors.has_tensor(a, out):
        (array,) = _tensors.as_arrays("matmul", {"a": a}, out)
        target = _tensors.out_array(out)
        if _are_arrays(array, target):
            result = _matmul_packed(array, b, target, dtype, precision)
            return _tensors.result_tensor(result, out)
        a = a.detach().resolve_conj().resolve_neg()
    else:
        a, out = np.asarray(_arguments.as_numbers("matmul", "a", a)), unwrapped(out)
        a = prepared(a, a.dtype)
    shape = _core.matmul_shape(a.shape, b.shape)
    name = b.dtype_name if dtype is None else dtype_name(dtype)
    if name in PRODUCT_DTYPES:
        check_out("matmul", out, shape, name, (a.ndim > 1) + 1)
    wanted = None if dtype is None else name
    compute = partial(_matmul_core, a, b, precision=precision, name=wanted)
    result = _into(out, compute)
    if result is NotImplemented:
        raise TypeError(
            f"matmul: a has dtype {a.dtype} and b was packed with {b.dtype_name}, of which there "
            f"is no product of dtype {name}; convert a, or pack b again"
        )
    return result


def _matmul_core(a: Any, b: Any, out: Any, *, precision: str | None, name: str | None) -> Any:
    return _core.matmul(a, b, out, name, precision)


def _numpy_matmul(a: Any, b: Any, out: Any, dtype: Any) -> Any:
    options = {name: value for name, value in (("out", out), ("dtype", dtype)) if value is not None}
    with _arguments.naming("matmul", a=a, b=b, **options):
        return np.matmul(a, b, **options)


def _matmul_tensors(a: Any, b: Any, out: Any, dtype: Any, precision: str | None) -> Any:
    a, b = _tensors.as_arrays("matmul", {"a": a, "b": b}, out)
    target = _tensors.out_array(out)
    with _arguments.naming("matmul", dtype=dtype):
        name = None if dtype is None else dtype_name(dtype)
    numpys = _tensors.numpy_dtype(dtype)
    in_numpy = name != "bfloat16" and not _tensors.is_torch_dtype(numpys)
    if in_numpy and _are_arrays(a, b, target):
        result = matmul(a, b, target, numpys, precision)
        return _tensors.result_tensor(result, out)
    # bfloat16, which NumPy lacks, or another such dtype.
    torch = _tensors.torch_module()
    a, b = torch.as_tensor(a), torch.as_tensor(b)
    name = dtype_name(_tensors.promoted(a, b)) if name is None else name
    common = _tensors.torch_dtype("matmul", name, dtype)
    for operand, tensor in (("a", a), ("b", b)):
        if not torch.can_cast(tensor.dtype, common):
            raise TypeError(
                f"matmul: {operand} has dtype {tensor.dtype}, which cannot be cast to dtype "
                f"{name}; convert it with .to({common})"
            )
    shape = _core.matmul_shape(tuple(a.shape), tuple(b.shape))
    check_out("matmul", out, shape, name, (a.ndim > 1) + (b.ndim > 1))
    for operands in ((a, b), (a.to(common), b.to(common))):
        result = _core.matmul(*operands, None, name, precision)
        if result is not NotImplemented:
            return _tensors.written(result, out)
    return _tensors.written(torch.matmul(a.to(common), b.to(common)), out)


def dense(
    x: Any,
    kernel: Any,
    bias: Any,
    activation: Any,
    residual: Any,
    out: Any,
    *,
    transposed: bool,
    precision: str | None,
) -> Any:
    """Compute `hotloops.dense` or `linear` (`transposed`) where `_core.dense` declines."""
    if _tensors.is_lazy(out):
        to = _tensors.plain_like(out)
        options: dict[str, Any] = {"transposed": transposed, "precision": precision}
        return _tensors.written(dense(x, kernel, bias, activation, residual, to, **options), out)
    function = "linear" if transposed else "dense"
    named = {"x": x, "weight" if transposed else "kernel": kernel, "bias": bias}
    named["residual"] = residual
    if isinstance(kernel, _core.PackedMatrix):
        return _dense_packed(function, named, activation, out, precision)
    if _tensors.has_tensor(*named.values(), out):
        return _dense_tensors(function, named, activation, out, precision)
    out = unwrapped(out)
    arrays = {
        name: np.asarray(_arguments.as_numbers(function, name, operand))
        for name, operand in _given(named).items()
    }
    dtype = np.result_type(*(array.dtype for array in arrays.values()))
    x, kernel, bias, residual = (arrays.get(name) for name in named)
    bias_shape = None if bias is None else bias.shape
    shape = _core.dense_shape(x.shape, kernel.shape, bias_shape, transposed)
    check_residual(function, residual, shape)
    compute = activation_dtype(function, activation, dtype)
    result_dtype = dtype if dtype.kind == "f" or dtype.name in _HALF_DTYPES else compute
    check_out(function, out, shape, result_dtype, 1)
    if dtype.name in _REAL_DTYPES or (dtype.name in _COMPLEX_DTYPES and activation is None):
        x, kernel = prepared(x, dtype), prepared(kernel, dtype)
        bias, residual = _contiguous(bias, dtype), _contiguous(residual, dtype)
        return _dense_core(x, kernel, bias, activation, residual, out, transposed, precision)
    sums = matmul(x, kernel.T if transposed else kernel, None, None, precision)
    return _finished(sums, bias, residual, activation, result_dtype, out)


def _given(named: dict[str, Any]) -> dict[str, Any]:
    """Return the operands of a layer without those that may be missing, and are."""
    return {
        name: operand
        for name, operand in named.items()
        if operand is not None or name not in ("bias", "residual")
    }


def _dense_core(
    x: Any,
    kernel: Any,
    bias: Any,
    activation: Any,
    residual: Any,
    out: Any,
    transposed: bool,
    precision: str | None,
) -> Any:
    """Compute a layer of operands that the core takes as they are, arrays or tensors."""
    core = _core.linear if transposed else _core.dense
    y = _into(out, lambda to: core(x, kernel, bias, activation, residual, to, precision))
    if y is not NotImplemented:
        return y
    # Half types with a residual, or a softmax: the sums are finished in float32 and rounded once.
    is_kernel = isinstance(kernel, _core.PackedMatrix) or not transposed
    sums = _core.matmul(x, kernel if is_kernel else kernel.T, None, "float32", precision)
    return _finished(sums, bias, residual, activation, x.dtype, out)


def _finished(sums: Any, bias: Any, residual: Any, activation: Any, dtype: Any, out: Any) -> Any:
    """Return the layer whose sums of products these are, in a dtype or in `out`."""
    with np.errstate(all="ignore"):  # kernels raise no warnings either
        for addend in (bias, residual):
            if addend is not None:
                sums = sums + addend
        if activation is not None:
            sums = _activated(activation, sums)
    return rounded(sums, dtype, out)


def _activated(activation: str, sums: Any) -> Any:
    result = _core.activate(activation, sums)
    if result is not NotImplemented:
        return result
    if activation == "relu":
        return relu_of_others(sums)
    return _core.activate(activation, sums.astype(np.result_type(sums, np.float32)))


def relu_of_others(x: Any, **out: Any) -> Any:
    """Compute the rectified linear unit by NumPy, with the values that the kernels' have."""
    kind = x.dtype.kind if hasattr(x, "dtype") else np.asarray(x).dtype.kind
    y = np.maximum(x, False if kind == "b" else 0, **out)
    # Of two zeros maximum returns either one, and the sum of both is 0.0. (V: ml_dtypes' floats.)
    return np.add(y, 0, **out) if kind in "fV" else y


def _dense_packed(
    function: str, named: dict[str, Any], activation: Any, out: Any, precision: str | None
) -> Any:
    """Compute a layer of packed weights for what needs a conversion first."""
    name, packed = next((n, o) for n, o in named.items() if isinstance(o, _core.PackedMatrix))
    arrays = {n: o for n, o in _given(named).items() if o is not packed}
    tensors = _tensors.has_tensor(*arrays.values(), out)
    if tensors:
        arrays = dict(zip(arrays, _tensors.as_arrays(function, arrays, out), strict=True))
    for other, array in arrays.items():
        if not _tensors.is_tensor(array):
            array = np.asarray(_arguments.as_numbers(function, other, array))
            arrays[other] = array = prepared(array, array.dtype)
        dtype = dtype_name(array.dtype)
        if dtype != packed.dtype_name or dtype not in _REAL_DTYPES | _COMPLEX_DTYPES:
            raise TypeError(
                f"{function}: {other} has dtype {dtype} but {name} was packed with "
                f"{packed.dtype_name}; both must be of one real or complex dtype"
            )
    x = arrays["x"]
    shape = (*x.shape[:-1], packed.shape[1])
    check_residual(function, arrays.get("residual"), shape)
    bias, residual = (_contiguous(arrays.get(o), x.dtype) for o in ("bias", "residual"))
    last = function == "linear", precision
    target = _tensors.out_array(out) if tensors else unwrapped(out)
    if tensors and not _are_arrays(x, target):
        check_out(function, out, shape, dtype_name(x.dtype), 1)
        as_tensor = _tensors.torch_module().as_tensor
        x, bias, residual = (None if o is None else as_tensor(o) for o in (x, bias, residual))
        return _dense_core(x, packed, bias, activation, residual, out, *last)
    check_out(function, target, shape, x.dtype, 1)
    if x.dtype.name in _COMPLEX_DTYPES and activation is not None:
        activation_dtype(function, activation, x.dtype)
        sums = _core.matmul(x, packed, None, None, precision)
        result = _finished(sums, bias, residual, activation, x.dtype, target)
    else:
        result = _dense_core(x, packed, bias, activation, residual, target, *last)
    return _tensors.result_tensor(result, out) if tensors else result


def activation_dtype(function: str, activation: Any, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in which a dense layer of this dtype is computed, activation included.

    Half types are computed in float32 and rounded once; integers become floating-point numbers.

    Raises ValueError for an unknown activation, TypeError for one that the dtype has not.
    """
    _core.check_activation(function, activation)
    if dtype.name in _HALF_DTYPES:
        return np.dtype(np.float32)
    if activation in (None, "relu"):
        return dtype
    compute = np.result_type(dtype, np.float32)
    if compute not in _KERNEL_DTYPES:
        raise TypeError(
            f"{function}: there is no activation {activation!r} for dtype {dtype}; "
            "convert the operands to float32 or float64"
        )
    return compute


def _dense_tensors(
    function: str, named: dict[str, Any], activation: Any, out: Any, precision: str | None
) -> Any:
    given = _given(named)
    operands = dict(zip(given, _tensors.as_arrays(function, given, out), strict=True))
    transposed = function == "linear"
    target = _tensors.out_array(out)
    if _are_arrays(*operands.values(), target):
        x, kernel, bias, residual = (operands.get(name) for name in named)
        result = dense(
            x,
            kernel,
            bias,
            activation,
            residual,
            target,
            transposed=transposed,
            precision=precision,
        )
        return _tensors.result_tensor(result, out)
    # bfloat16, which NumPy lacks.
    torch = _tensors.torch_module()
    tensors = {name: torch.as_tensor(operand) for name, operand in operands.items()}
    for name, operand in operands.items():
        if _tensors.is_tensor(operand) and operand.dtype is not torch.bfloat16:
            raise TypeError(
                f"{function}: {name} has dtype {operand.dtype}, for which there are no kernels; "
                "convert it to float32"
            )
    common = _tensors.promoted(*tensors.values())
    x, kernel = tensors["x"], tensors["weight" if transposed else "kernel"]
    bias_shape = tuple(tensors["bias"].shape) if "bias" in tensors else None
    shape = _core.dense_shape(tuple(x.shape), tuple(kernel.shape), bias_shape, transposed)
    check_residual(function, tensors.get("residual"), shape)
    check_out(function, out, shape, dtype_name(common), 1)
    if dtype_name(common) not in _HALF_DTYPES:
        wide = {name: tensor.to(common) for name, tensor in tensors.items()}
        x, kernel, bias, residual = (wide.get(name) for name in named)
        result = dense(
            x, kernel, bias, activation, residual, None, transposed=transposed, precision=precision
        )
        return _tensors.written(result, out)
    bias, residual = (_contiguous(tensors.get(name), common) for name in ("bias", "residual"))
    x, kernel = x.to(common), kernel.to(common)
    return _dense_core(x, kernel, bias, activation, residual, out, transposed, precision)


def check_residual(function: str, residual: Any, shape: tuple[int, ...]) -> None:
    """Refuse a residual that has not the shape of the result."""
    if residual is not None and residual.shape != shape:
        raise ValueError(
            f"{function}: residual has shape {tuple(residual.shape)} but the result has shape "
            f"{shape}; stretch it with broadcast_to"
        )


def check_out(
    function: str, out: Any, shape: tuple[int, ...], dtype: np.dtype[Any] | str, core_ndim: int
) -> None:
    """Refuse, before any work, an `out` that the result cannot be written to.

    As NumPy has it, `out` may be larger than the result in its batch dimensions, all but the last
    `core_ndim`; the result is then repeated.
    """
    if out is None:
        return
    if not _tensors.is_tensor(out) and not isinstance(out, np.ndarray):
        raise TypeError(f"{function}: out is a {type(out).__name__} but must be a numpy.ndarray")
    out_shape = tuple(out.shape)
    batch, core = shape[: len(shape) - core_ndim], shape[len(shape) - core_ndim :]
    out_batch, out_core = out_shape[: out.ndim - core_ndim], out_shape[out.ndim - core_ndim :]
    if out_core != core or not _stretches(batch, out_batch):
        raise ValueError(f"{function}: out has shape {out_shape} but the result has shape {shape}")
    if _tensors.is_tensor(out):
        _tensors.check_cast(function, _tensors.torch_dtype(function, dtype), out)
        return
    if not out.flags.writeable:
        raise ValueError(f"{function}: out is read-only but must be writeable")
    if not np.can_cast(dtype, out.dtype, "same_kind"):
        raise TypeError(
            f"{function}: out has dtype {out.dtype}, to which the result's {dtype} cannot be cast "
            "with casting rule 'same_kind'"
        )


def _stretches(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, to) == to
    except ValueError:
        return False


def _are_arrays(*operands: Any) -> bool:
    return all(operand is None or isinstance(operand, np.ndarray) for operand in operands)


def unwrapped(out: Any) -> Any:
    """Return the array of a tuple of one, which NumPy takes as `out`, too."""
    return out[0] if isinstance(out, tuple) and len(out) == 1 else out


def has_own_semantics(*operands: Any) -> bool:
    """Tell whether any operand is of a subclass of ndarray, or overrides NumPy's functions."""
    plain = np.ndarray.__array_ufunc__
    return any(
        type(operand) is not np.ndarray
        and (
            isinstance(operand, np.ndarray)
            or getattr(type(operand), "__array_ufunc__", plain) is not plain
        )
        for operand in operands
    )


def overrides_functions(*operands: Any) -> bool:
    """Tell whether any operand overrides NumPy's functions that are no ufuncs, such as einsum."""
    plain = np.ndarray.__array_function__
    return any(
        getattr(type(operand), "__array_function__", plain) is not plain for operand in operands
    )


def prepared(array: Any, dtype: np.dtype[Any]) -> Any:
    """Return `array` as the core takes it, copied only if dtype, byte order or alignment demand."""
    array = array.astype(dtype.newbyteorder("="), copy=False)
    if array.dtype.kind in "iu":  # C has several types of one size, and the core knows NumPy's name
        array = array.view(array.dtype.name)
    on_grid = all(stride % array.itemsize == 0 for stride in array.strides)
    return array if array.flags.aligned and on_grid else array.copy()


def _contiguous(operand: Any, dtype: Any) -> Any:
    """Return an array or tensor of that dtype without gaps, or None."""
    if operand is None or not isinstance(operand, np.ndarray):
        return None if operand is None else operand.to(dtype).contiguous()
    return np.asarray(prepared(operand, dtype), order="C")


def _into(out: Any, compute: Callable[[Any], Any]) -> Any:
    """Return `compute(out)`, or where the core cannot write to `out`, a copy from a new array.

    NotImplemented if it cannot compute that at all.
    """
    result = compute(out)
    if result is NotImplemented and out is not None:
        result = compute(None)
        return result if result is NotImplemented else rounded(result, None, out)
    return result


def rounded(result: Any, dtype: Any, out: Any) -> Any:
    """Return `result` in its final dtype (None: its own), or `out` with its values.

    `result` may be a view of the memory of `out`. There are no floating-point warnings, as there
    are none where kernels round.
    """
    if out is None and dtype is None:
        return result
    if _tensors.is_tensor(result):
        return _tensors.written(result if dtype is None else result.to(dtype), out)
    with np.errstate(all="ignore"):
        if out is None:
            return result.astype(dtype, copy=False)
        # copyto sees to overlaps, but not to those of one dimension with two strides.
        source = result.copy() if np.may_share_memory(result, out) else result
        np.copyto(out, source, casting="same_kind")
    return out
