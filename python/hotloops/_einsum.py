"""einsum on the kernels: views, matrix products and elementwise products.

The subscripts are parsed to letters and steps (`_einsum_subscripts`), each step is lowered to views
of two operands (`_einsum_lowering`), and here it is carried out. What is in one operand alone and
not in the result is summed first, by a product with ones: with one element, stretched.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hotloops import _array_likes, _tensors
from hotloops._einsum_lowering import Layout, lower
from hotloops._einsum_subscripts import Letters, Problem, Shape, solve, split_arguments
from hotloops._elementwise import multiply
from hotloops._operations import matmul


class _Labelled(NamedTuple):
    """An array with a letter for each dimension, each once."""

    array: Any
    letters: Letters

    def layout(self) -> Layout:
        """Return what lowering needs to know."""
        return Layout(self.letters, tuple(self.array.shape), _strides(self.array))

    def arranged(self, letters: Letters) -> Any:
        """Return a view with its dimensions in this order."""
        return _viewed(self.array, _axes(self.letters, letters), None)


def einsum(subscripts: Any, *operands: Any, out: Any = None, optimize: Any = True) -> Any:
    """Products and sums of arrays by Einstein's convention, as `numpy.einsum`.

    Parameters
    ----------
    subscripts : str
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
    Operands are permuted and merged as views. Sums are those of `matmul`, with its promises.

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
    text, operands = split_arguments(subscripts, operands)
    if not operands:
        raise ValueError("einsum: at least one operand is needed")
    if _tensors.has_tensor(*operands, out):
        named = {f"operand {i}": operand for i, operand in enumerate(operands)}
        _tensors.check_tensors("einsum", named, out)
        arrays = [operand.detach() for operand in operands]
    else:
        arrays = [np.asanyarray(operand) for operand in operands]
    shapes = tuple([tuple(array.shape) for array in arrays])
    problem = solve(text, shapes, tuple(optimize) if isinstance(optimize, list) else optimize)
    if out is not None:
        _check_out(out, tuple(problem.sizes[letter] for letter in problem.output), arrays)
    result = _contract_all(problem, arrays, None if out is None else _tensors.detached(out))
    if out is not None:
        return out
    return result[()] if isinstance(result, np.ndarray) else result


def _check_out(out: Any, shape: Shape, arrays: list[Any]) -> None:
    if not _tensors.is_tensor(out):
        dtype = np.result_type(*arrays)
        _array_likes.check_out("einsum", out, shape, dtype, len(shape))
    elif tuple(out.shape) != shape:
        raise ValueError(
            f"einsum: out has shape {tuple(out.shape)} but the result has shape {shape}"
        )


def _contract_all(problem: Problem, arrays: list[Any], out: Any) -> Any:
    """Return the result, written to `out` if there is one."""
    operands = [
        _Labelled(array, term) if plain else _prepared(array, term, problem.sizes)
        for array, term, plain in zip(arrays, problem.terms, problem.plain, strict=True)
    ]
    for first, second, needed, last in problem.steps:
        a, b = operands[first], operands[second]
        operands = [operand for i, operand in enumerate(operands) if i not in (first, second)]
        operands.append(_contract(a, b, needed, problem.output if last else None, out))
    (operand,) = operands
    result = _summed(operand, frozenset(problem.output)).arranged(problem.output)
    if out is None or result is out:
        return result
    return _copied(result, out)


def _contract(
    a: _Labelled, b: _Labelled, needed: frozenset[str], output: Letters | None, out: Any
) -> _Labelled:
    """Multiply two operands and sum over what is not needed any more.

    With `output` this is the last step: its result should have these letters, and be `out`.
    """
    a = _summed(a, needed.union(b.letters))
    b = _summed(b, needed.union(a.letters))
    lowered = lower(a.layout(), b.layout(), needed, output)
    if lowered.exchanged:
        a, b = b, a
    left = _viewed(a.array, lowered.left_axes, lowered.left_shape)
    right = _viewed(b.array, lowered.right_axes, lowered.right_shape)
    operation = multiply if lowered.elementwise else matmul
    if output is None or out is None or not lowered.writes:
        result = operation(left, right)
        return _Labelled(_viewed(result, None, lowered.shape), lowered.letters)
    target = _viewed(out, _axes(output, lowered.letters), lowered.product_shape)
    operation(left, right, target)
    return _Labelled(out, output)


def _summed(x: _Labelled, needed: frozenset[str]) -> _Labelled:
    """Sum over the letters that are not needed, the outermost first: products with ones."""
    letters = [letter for letter in x.letters if letter not in needed]
    while letters:
        strides = dict(zip(x.letters, _strides(x.array), strict=True))
        letter = max(letters, key=lambda y: abs(strides[y]))
        letters.remove(letter)
        kept = tuple(y for y in x.letters if y != letter)
        ones = _stretched_one(x.array, x.array.shape[x.letters.index(letter)])
        if kept and abs(strides[kept[-1]]) < abs(strides[letter]):
            x = _Labelled(matmul(ones, x.arranged((*kept[:-1], letter, kept[-1]))), kept)
        else:
            x = _Labelled(matmul(x.arranged((*kept, letter)), ones), kept)
    return x


def _prepared(array: Any, term: Letters, sizes: dict[str, int]) -> _Labelled:
    """Return the operand with each letter once: its diagonals, without stretched dimensions."""
    kept = dict.fromkeys(
        letter for letter, size in zip(term, array.shape, strict=True) if size == sizes[letter]
    )
    letters = tuple(kept)
    if letters == term:
        return _Labelled(array, term)
    strides = dict.fromkeys(letters, 0)
    for letter, stride in zip(term, _strides(array), strict=True):
        if letter in strides:
            strides[letter] += stride
    shape = [sizes[letter] for letter in letters]
    return _Labelled(_strided_view(array, shape, list(strides.values())), letters)


# ---- Views, of arrays and of tensors -------------------------------------------------------------


def _strides(array: Any) -> tuple[int, ...]:
    return tuple(array.stride()) if _tensors.is_tensor(array) else array.strides


def _axes(letters: Letters, order: Letters) -> tuple[int, ...] | None:
    """Return the axes that bring letters into an order; None if they are in it."""
    return None if letters == order else tuple(letters.index(letter) for letter in order)


def _viewed(array: Any, axes: tuple[int, ...] | None, shape: Shape | None) -> Any:
    """Permute and reshape; None leaves things as they are."""
    if axes is not None:
        array = array.permute(axes) if _tensors.is_tensor(array) else array.transpose(axes)
    return array if shape is None else array.reshape(shape)


def _strided_view(array: Any, shape: list[int], strides: list[int]) -> Any:
    if isinstance(array, np.ndarray):
        return np.lib.stride_tricks.as_strided(array, shape, strides)
    return array.as_strided(shape, strides, array.storage_offset())


def _stretched_one(like: Any, count: int) -> Any:
    if _tensors.is_tensor(like):
        return like.new_ones(()).expand(count)
    return np.broadcast_to(np.ones((), like.dtype), count)


def _copied(result: Any, out: Any) -> Any:
    if isinstance(out, np.ndarray):
        np.copyto(out, result, casting="same_kind")
        return out
    return _tensors.written(result, out)
