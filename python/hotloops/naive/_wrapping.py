"""From the callers' arrays and tensors to lists of numbers, and back: for the naive twins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hotloops import _arguments, _array_likes, _tensors

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def rounded(values: list[Any], dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Nested lists as an array: real numbers rounded to ``dtype``, integers wrapped to it."""
    if dtype.kind in "iu":
        low, count = np.iinfo(dtype).min, 2 ** (8 * dtype.itemsize)
        values = (np.array(values, dtype=object) - low) % count + low
    with np.errstate(over="ignore"):  # a sum above the largest float32 is infinity
        return np.array(values).astype(dtype).reshape(shape)


def as_arrays(
    function: str, operands: dict[str, Any], out: Any
) -> tuple[list[NDArray[Any]], Callable[[NDArray[Any], int], Any]]:
    """Return the operands as arrays, and what makes the caller's kind of thing of a result."""
    if not _tensors.has_tensor(*operands.values(), out):

        def finish_array(result: NDArray[Any], core_ndim: int) -> Any:
            return result[()] if out is None else _written(function, out, result, core_ndim)

        arrays = [
            np.asarray(_arguments.as_numbers(function, name, x)) for name, x in operands.items()
        ]
        return arrays, finish_array

    tensors = _tensors.as_arrays(function, operands, out)
    # What is still a tensor has a type that NumPy lacks, such as bfloat16; float32 includes those.
    unknown = [x.dtype for x in tensors if not isinstance(x, np.ndarray)]
    arrays = [x if isinstance(x, np.ndarray) else x.float().numpy() for x in tensors]

    def finish_tensor(result: NDArray[Any], core_ndim: int) -> Any:
        target = _tensors.out_array(out)
        if isinstance(target, np.ndarray):
            _written(function, target, result, core_ndim)
            return out
        tensor = _tensors.result_tensor(result, None)
        if out is not None:
            _array_likes.check_out(function, out, result.shape, result.dtype, core_ndim)
            return _tensors.written(tensor, out)
        return tensor.to(unknown[0]) if len(unknown) == len(arrays) else tensor

    return arrays, finish_tensor


def _written(function: str, out: Any, result: NDArray[Any], core_ndim: int) -> Any:
    _array_likes.check_out(function, out, result.shape, result.dtype, core_ndim)
    np.copyto(out, result, casting="same_kind")
    return out
