"""The naive twin of einsum: one loop for each letter."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from hotloops._einsum_subscripts import check_out_shape, checked_path, solve, split_arguments
from hotloops.naive._wrapping import as_arrays, rounded


def einsum(subscripts: Any, *operands: Any, out: Any = None, optimize: Any = True) -> Any:
    """Products and sums by Einstein's convention, like `hotloops.einsum`.

    For every value of every letter, the operands' elements at those letters are multiplied and
    added to the result's element at its letters.

    Parameters
    ----------
    subscripts : str
        ``'ik,kj->ij'`` and the like; or lists of integers after the operands.
    *operands : array_like or torch.Tensor
        One for each term of the subscripts.
    out : numpy.ndarray or torch.Tensor, optional
        Where to put the result, of its shape.
    optimize : optional
        For the signature's sake: the loops know one order.

    Examples
    --------
    >>> einsum("ik,kj->ij", [[1, 2], [3, 4]], [[5, 6], [7, 8]])
    array([[19, 22],
           [43, 50]])
    """
    text, operands = split_arguments(subscripts, operands)
    checked_path(optimize)
    named = {f"operand {i}": operand for i, operand in enumerate(operands)}
    arrays, finish = as_arrays("einsum", named, out)
    problem = solve(text, tuple(array.shape for array in arrays), optimize=False)
    letters = list(problem.sizes)
    totals: dict[tuple[int, ...], Any] = dict.fromkeys(
        itertools.product(*(range(size) for size in problem.shape)), 0
    )
    for values in itertools.product(*(range(size) for size in problem.sizes.values())):
        place = dict(zip(letters, values, strict=True))
        factors = [
            array.item(
                tuple(place[x] if n > 1 else 0 for x, n in zip(term, array.shape, strict=True))
            )
            for array, term in zip(arrays, problem.terms, strict=True)
        ]
        totals[tuple(place[letter] for letter in problem.output)] += math.prod(factors)
    check_out_shape(out, problem.shape)
    dtype = np.result_type(*arrays)
    result = rounded(list(totals.values()), dtype, problem.shape)
    return finish(result, len(problem.shape))
