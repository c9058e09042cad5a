"""The operands of a vector-Jacobian product, of whatever kind, dtype and layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hotloops import _arguments, _array_likes, _tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Primals:
    """The operands of a function as arrays that the core takes, and the way back from these.

    All are converted to one dtype: float64 if any is, else float32. Results are rounded to the
    dtype that the operands promote to, gradients to that of their operand.
    """

    def __init__(self, function: str, **operands: Any) -> None:
        self._function = function
        # A bias may be missing, and nothing else.
        given = {n: x for n, x in operands.items() if x is not None or n != "bias"}
        self._has_tensors = _tensors.has_tensor(*given.values())
        if self._has_tensors:
            arrays = _tensors.as_arrays(function, given, None)
            self._result_dtype = _tensors.promoted(*given.values())
        else:
            given = {name: _numbers(function, name, x) for name, x in given.items()}
            arrays = list(given.values())
            self._result_dtype = np.result_type(*arrays)
        dtypes = {name: _native(operand.dtype) for name, operand in given.items()}
        self._dtypes = [dtypes.get(name) for name in operands]
        floats = {
            name: _as_floats(function, name, a) for name, a in zip(given, arrays, strict=True)
        }
        self._dtype = np.result_type(np.float32, *floats.values())
        #: In the order of the operands, with None for one that was not given.
        self.arrays: list[Any] = [
            _array_likes.prepared(floats[name], self._dtype) if name in floats else None
            for name in operands
        ]

    def gradient(self, grad_y: Any, shape: tuple[int, ...]) -> NDArray[Any]:
        """Return the gradient of the result, whose shape is given, as an array for the core."""
        if _tensors.is_tensor(grad_y) != self._has_tensors:
            needed = "a torch.Tensor" if self._has_tensors else "an array"
            raise TypeError(
                f"{self._function}: grad_y is a {type(grad_y).__name__} but must be {needed}, "
                "as the operands are"
            )
        if self._has_tensors:
            (grad_y,) = _tensors.as_arrays(self._function, {"grad_y": grad_y}, None)
        else:
            grad_y = _numbers(self._function, "grad_y", grad_y)
        gradient = _as_floats(self._function, "grad_y", grad_y)
        if gradient.shape != shape:
            raise ValueError(
                f"{self._function}: grad_y has shape {gradient.shape} but y has shape {shape}"
            )
        prepared: NDArray[Any] = _array_likes.prepared(gradient, self._dtype)
        return prepared

    def result(self, y: NDArray[Any]) -> Any:
        """Return what the kernels computed as the caller's kind and dtype."""
        return self._restored(y, self._result_dtype)

    def like_operands(self, *gradients: Any) -> tuple[Any, ...]:
        """Return the gradients of the operands, each of its operand's kind and dtype."""
        return tuple(
            None if gradient is None else self._restored(gradient, dtype)
            for gradient, dtype in zip(gradients, self._dtypes, strict=True)
        )

    def _restored(self, array: NDArray[Any], dtype: Any) -> Any:
        if self._has_tensors:
            return _tensors.torch_module().from_numpy(array).to(dtype)
        with np.errstate(over="ignore"):  # what is above the largest float16 is infinity there
            array = array.astype(dtype, copy=False)
        return array if array.ndim > 0 else array[()]


def _numbers(function: str, name: str, operand: Any) -> NDArray[Any]:
    return np.asarray(_arguments.as_numbers(function, name, operand))


def _native(dtype: Any) -> Any:
    """Return a dtype of NumPy in native byte order, others as they are."""
    return dtype.newbyteorder("=") if isinstance(dtype, np.dtype) else dtype


def _as_floats(function: str, name: str, operand: Any) -> Any:
    """Return an operand as an array of floating-point numbers, or refuse it."""
    dtype = _native(operand.dtype)
    if _array_likes.dtype_name(dtype) == "bfloat16":
        is_tensor = _tensors.is_tensor(operand)
        return operand.float().numpy() if is_tensor else operand.astype(np.float32)
    if dtype not in (np.float16, np.float32, np.float64):
        raise TypeError(
            f"{function}: {name} has dtype {dtype}, which has no gradients here; convert it to "
            "float32 or float64"
        )
    return operand
