"""einsum on the kernels: views, matrix products and elementwise products.

The subscripts are parsed to letters and steps (`_einsum_subscripts`), each step is lowered to views
of two operands (`_einsum_lowering`), and the products of these are carried out (`_einsum_program`).
The core remembers the steps, and carries them out itself when the same subscripts come again for
operands of the same layout.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hotloops import _arguments, _array_likes, _core, _tensors
from hotloops._einsum_program import Program, program, remember, run
from hotloops._einsum_subscripts import Shape, check_out_shape, checked_path, split_arguments


def einsum(subscripts: Any, *operands: Any, out: Any = None, optimize: Any = True) -> Any:
    """Products and sums of arrays by Einstein's convention, as `numpy.einsum`.

    Parameters
    ----------
    subscripts : str or bytes
        A letter for each dimension of each operand, operands separated by commas, then ``->`` and
        the letters of the result: ``'ik,kj->ij'`` is the product of two matrices. Values are
        multiplied where letters agree and summed over letters that the result has not. A letter
        that an operand repeats is its diagonal. ``...`` stands for dimensions that are broadcast.
        Without ``->`` the result has the letters that occur once, in alphabetical order.
        Instead, each operand may be followed by a list of integers, with a last list for the
        result, as `numpy.einsum` has it.
    *operands : array_like
        NumPy arrays, or torch CPU tensors.
    out : ndarray or Tensor, optional
        Where the result is written.
    optimize : {True, False, 'greedy', 'optimal'} or list, optional
        The order of contractions of more than two operands: from `numpy.einsum_path`, or from left
        to right if False.

    Returns
    -------
    ndarray, Tensor or scalar
        Of the operands' kind. With one operand and nothing to sum, a view of it.

    Raises
    ------
    ValueError
        If the subscripts are not of this language, or do not fit the operands or `out`.
    TypeError, RuntimeError
        As `matmul`.

    See Also
    --------
    matmul : What sums are lowered to.
    multiply : What products without sums are lowered to.

    Notes
    -----
    Operands are permuted and merged as views. Sums of products are those of `matmul`, with its
    promises. What one operand alone sums over is summed before it is multiplied, as NumPy does it:
    in ``'i,ij->i'`` zero times a row whose sum is infinite is NaN.

    Such a sum of float32 or float64 over a letter, and one letter after the other as they stand in
    the subscripts, is defined to the bit, too: in consecutive blocks of 256 values, 16 chains of
    additions from zero, one for each value of k modulo 16; then chain c plus chain c + 8, of these
    c plus c + 4, c + 2 and c + 1; the blocks' sums are added in order. Strides, threads and
    instruction sets do not change it. ``|s - exact| <= n u / (1 - n u) sum |x|`` with
    ``n = min(ceil(k / 16), 16) + 4 + ceil(k / 256)``. Other types are multiplied with ones.

    Examples
    --------
    >>> import numpy as np
    >>> import hotloops as hl
    >>> a, b = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    >>> hl.einsum("ik,kj->ij", a, b)
    array([[20., 23., 26., 29.],
           [56., 68., 80., 92.]])
    >>> hl.einsum("ii->i", b[:, 1:])
    array([ 1.,  6., 11.])
    """
    if out is None:
        result = _core.einsum(subscripts, operands, optimize)
        if result is not NotImplemented:
            return result
    return _planned(subscripts, operands, out, optimize)


def _planned(subscripts: Any, operands: tuple[Any, ...], out: Any, optimize: Any) -> Any:
    """Find the steps, carry them out, and have them remembered."""
    if _tensors.is_lazy(out):
        result = _planned(subscripts, operands, _tensors.plain_like(out), optimize)
        return _tensors.written(result, out)
    text, operands = split_arguments(subscripts, operands)
    if not operands:
        raise ValueError("einsum: at least one operand is needed")
    tensors = _tensors.has_tensor(*operands, out)
    if _array_likes.overrides_functions(*operands, out):
        return np.einsum(text, *operands, out=out, optimize=optimize)
    if tensors:
        named = {f"operand {i}": operand for i, operand in enumerate(operands)}
        _tensors.check_tensors("einsum", named, out)
        arrays = [operand.detach() for operand in operands]
    else:
        arrays = [
            np.asarray(_arguments.as_numbers("einsum", f"operand {i}", operand))
            for i, operand in enumerate(operands)
        ]  # NumPy, too, looks through subclasses
    path = checked_path(optimize)
    planned = _program(text, arrays, path, tensors)
    if out is not None:
        _check_out(out, planned.problem.shape, arrays)
    if any(array.dtype == object for array in arrays):
        # In one loop: the steps of NumPy's paths, too, stumble over Python's numbers.
        return np.einsum(text, *arrays, out=out)
    if len(planned.steps) > 1 and len({array.dtype for array in arrays}) > 1:
        # Sums and products on the way are of the result's type, as the last one.
        arrays = _promoted(arrays, tensors)
        planned = _program(text, arrays, path, tensors)
    if out is not None:
        run(planned, arrays, out.detach() if tensors else np.asarray(out), tensors)
        return out
    remember(planned, text, tuple(arrays), optimize)
    result = run(planned, arrays, None, tensors)
    # A view of an operand is another object, as NumPy has it; and a scalar is no array.
    is_new = tensors or (planned.steps and result.ndim > 0)
    return result if is_new else result[()]


def _program(text: str, arrays: list[Any], path: Any, tensors: bool) -> Program:
    shapes = tuple([array.shape for array in arrays])
    strides = tuple([array.stride() if tensors else array.strides for array in arrays])
    return program(text, shapes, strides, path)


def _promoted(arrays: list[Any], tensors: bool) -> list[Any]:
    if tensors:
        return [array.to(_tensors.promoted(*arrays)) for array in arrays]
    return [array.astype(np.result_type(*arrays), copy=False) for array in arrays]


def _check_out(out: Any, shape: Shape, arrays: list[Any]) -> None:
    check_out_shape(out, shape)
    if _tensors.is_tensor(out):
        _tensors.check_cast("einsum", _tensors.promoted(*arrays), out)
    else:
        _array_likes.check_out("einsum", out, shape, np.result_type(*arrays), len(shape))
