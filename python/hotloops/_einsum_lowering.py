"""How a contraction of two operands becomes one product of views.

The letters of the two fall into four groups,

    batch       in both, and still needed     one product for each
    rows        in the left one alone         m
    columns     in the right one alone        n
    summed      in both, and needed no more   k

and a permutation of the dimensions makes of the contraction a `matmul` of shapes (batch, m, k) and
(batch, k, n); where nothing is summed, an elementwise product. Nothing is copied for that, but
where several letters of a group do not lie in memory as one dimension would.

Only letters, shapes and strides enter, so that what was found is kept for the next call.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hotloops._einsum_subscripts import Letters, Shape

# Fewer rows than this are copied to lie together, rather than made a batch of products.
_ENOUGH_ROWS = 32


class Layout(NamedTuple):
    """An array's letters, each once, with their sizes and strides."""

    letters: Letters
    shape: Shape
    strides: tuple[int, ...]

    def size(self, letter: str) -> int:
        """Return the size of a letter's dimension."""
        return self.shape[self.letters.index(letter)]

    def stride(self, letter: str) -> int:
        """Return the distance of neighbours along a letter's dimension."""
        return self.strides[self.letters.index(letter)]

    def product(self, letters: Letters) -> int:
        """Return the product of the sizes of letters."""
        return math.prod(self.size(letter) for letter in letters)

    def is_one_dimension(self, letters: Letters) -> bool:
        """Tell whether these dimensions are one in memory, so that merging them is a view.

        >>> rows = Layout(("i", "j"), (2, 3), (24, 8))
        >>> rows.is_one_dimension(("i", "j")), rows.is_one_dimension(("j", "i"))
        (True, False)
        """
        real = [letter for letter in letters if self.size(letter) != 1]
        return 0 in self.shape or all(
            self.stride(outer) == self.size(inner) * self.stride(inner)
            for outer, inner in itertools.pairwise(real)
        )

    def by_stride(self, letters: Letters) -> Letters:
        """Sort letters, the outermost in memory first."""
        return tuple(sorted(letters, key=lambda letter: -abs(self.stride(letter))))


class Lowered(NamedTuple):
    """A contraction as a product of views.

    Each operand is permuted by its axes, then reshaped; None leaves it as it is. The product, of
    `product_shape`, is reshaped to `shape`, which has the dimensions of `letters`.
    """

    elementwise: bool
    exchanged: bool  # the second operand is the left one
    left_axes: tuple[int, ...] | None
    left_shape: Shape | None
    right_axes: tuple[int, ...] | None
    right_shape: Shape | None
    product_shape: Shape
    shape: Shape | None
    letters: Letters
    writes: bool  # an array of `letters` in any layout, reshaped to `product_shape`, is a view


@lru_cache(maxsize=1024)
def lower(a: Layout, b: Layout, needed: frozenset[str], output: Letters | None) -> Lowered:
    """Lower a contraction. Letters that one operand alone has are all needed.

    With `output` the result has these letters, in this order if that is for nothing.
    """
    shared = tuple(letter for letter in a.letters if letter in b.letters)
    summed = tuple(letter for letter in shared if letter not in needed)
    if not summed:
        return _elementwise(a, b, output)
    exchanged = output is not None and output[-1:] != () and output[-1] not in b.letters
    if exchanged:  # the last dimension of the result should be the product's: C^T = B^T A^T
        a, b = b, a
    groups = (
        tuple(letter for letter in shared if letter in needed),
        tuple(letter for letter in a.letters if letter not in b.letters),
        tuple(letter for letter in b.letters if letter not in a.letters),
    )
    if output is not None:
        groups = tuple(tuple(sorted(group, key=output.index)) for group in groups)  # type: ignore[assignment]
    batch, rows, columns = groups
    rows, more_rows = _split(a, rows)
    columns, more_columns = _split(b, columns)
    batch += more_rows + more_columns
    # The summed letters in an order in which they are one dimension in both, if there is one.
    orders = (summed, a.by_stride(summed), b.by_stride(summed))
    summed = min(orders, key=lambda order: _copied_elements(a, order) + _copied_elements(b, order))

    m, n, k = a.product(rows), b.product(columns), a.product(summed)
    left, right = _batch_shape(a, batch), _batch_shape(b, batch)
    both = tuple(max(p, q) if 0 not in (p, q) else 0 for p, q in zip(left, right, strict=True))
    # Vectors where there is nothing else: matmul has kernels of its own for them.
    one_row, one_column = not batch and not rows, not batch and not columns
    letters = batch + rows + columns
    shape = tuple((a if x in a.letters else b).size(x) for x in letters)
    product_shape = (*both, *(() if one_row else (m,)), *(() if one_column else (n,)))
    return Lowered(
        False,
        exchanged,
        *_view(a, (*_own(a, batch), *rows, *summed), (*left, *(() if one_row else (m,)), k)),
        *_view(b, (*_own(b, batch), *summed, *columns), (*right, k, *(() if one_column else (n,)))),
        product_shape,
        None if shape == product_shape else shape,
        letters,
        writes=len(rows) <= 1 and len(columns) <= 1 and letters != (),
    )


def _elementwise(a: Layout, b: Layout, output: Letters | None) -> Lowered:
    letters = tuple(dict.fromkeys(a.letters + b.letters)) if output is None else output
    shape = tuple((a if x in a.letters else b).size(x) for x in letters)
    views = (_view(x, _own(x, letters), _batch_shape(x, letters)) for x in (a, b))
    return Lowered(True, False, *next(views), *next(views), shape, None, letters, writes=True)


def _own(x: Layout, letters: Letters) -> Letters:
    return tuple(letter for letter in letters if letter in x.letters)


def _batch_shape(x: Layout, letters: Letters) -> Shape:
    """Return the sizes of letters, 1 where the operand has them not: it is stretched there."""
    return tuple(x.size(letter) if letter in x.letters else 1 for letter in letters)


def _view(x: Layout, order: Letters, shape: Shape) -> tuple[tuple[int, ...] | None, Shape | None]:
    axes = None if order == x.letters else tuple(x.letters.index(letter) for letter in order)
    return axes, None if tuple(x.size(letter) for letter in order) == shape else shape


def _split(x: Layout, group: Letters) -> tuple[Letters, Letters]:
    """Split rows or columns into what is one dimension in memory and a batch.

    In a batch of products the other operand is stretched. Where too few rows would be left in each,
    they are copied to lie together instead.
    """
    by_stride = x.by_stride(group)
    for order in (group, by_stride):
        if x.is_one_dimension(order):
            return order, ()
    for first in range(1, len(by_stride)):
        inner = by_stride[first:]
        if x.is_one_dimension(inner) and x.product(inner) >= _ENOUGH_ROWS:
            return inner, by_stride[:first]
    return group, ()


def _copied_elements(x: Layout, order: Letters) -> int:
    return 0 if x.is_one_dimension(order) else math.prod(x.shape)
