"""An einsum as a list of products of earlier values, found from layouts alone.

Parsing, the path and lowering take ten times as long as a product of 64 x 64. They depend on
nothing but the subscripts and the operands' shapes and strides, so that what they come to is kept,
and a later call runs it straight away.

What is in one operand alone and not in the result is summed first. float32 and float64 have kernels
for that; others are multiplied with ones: with one element, stretched.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hotloops import _array_likes, _core, _tensors
from hotloops._einsum_lowering import Layout, Lowered, lower
from hotloops._einsum_subscripts import Letters, Problem, Shape, solve
from hotloops._elementwise import multiply
from hotloops._operations import matmul

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Strides = tuple[int, ...]
Axes = tuple[int, ...] | None


class Product(NamedTuple):
    """A product of two values, each permuted and then reshaped; None leaves a value as it is."""

    operation: Callable[..., Any]
    left: int
    left_axes: Axes
    left_shape: Shape | None
    right: int
    right_axes: Axes
    right_shape: Shape | None
    shape: Shape | None  # the product's own, or what it is reshaped to


class Sum(NamedTuple):
    """A sum over one dimension of a value."""

    value: int
    axis: int


class Program(NamedTuple):
    """What to do with operands of some layouts.

    Attributes
    ----------
    problem : Problem
    views : tuple, optional
        The shape and strides with which to look at each operand; None if all stay as they are.
    steps : tuple
        Each appends its result to the values, of which the operands are the first. The last value
        is the result.
    axes : tuple of int, optional
        What brings the result's dimensions into order.
    target : tuple, optional
        The axes and the shape with which the last product can be written to `out`.
    """

    problem: Problem
    views: tuple[tuple[Shape, Strides], ...] | None
    steps: tuple[Product | Sum, ...]
    axes: Axes
    target: tuple[Axes, Shape] | None


@lru_cache(maxsize=1024)
def program(
    subscripts: str, shapes: tuple[Shape, ...], strides: tuple[Strides, ...], optimize: Any
) -> Program:
    """Plan the einsum of operands of these shapes and strides."""
    problem = solve(subscripts, shapes, optimize)
    layouts = [Layout(*each) for each in zip(problem.terms, shapes, strides, strict=True)]
    views = None
    if not all(problem.plain):
        layouts = [_diagonal(layout, problem.sizes) for layout in layouts]
        views = tuple((layout.shape, layout.strides) for layout in layouts)
    planner = _Planner(layouts)
    operands = list(range(len(layouts)))
    target = None
    for first, second, needed, last in problem.steps:
        a, b = operands[first], operands[second]
        operands = [operand for i, operand in enumerate(operands) if i not in (first, second)]
        lowered = planner.contract(a, b, needed, problem.output if last else None)
        operands.append(len(planner.layouts) - 1)
        if last and lowered.writes:
            target = _axes(problem.output, lowered.letters), lowered.product_shape
    (result,) = operands
    result = planner.sum(result, frozenset(problem.output))
    axes = _axes(planner.layouts[result].letters, problem.output)
    return Program(problem, views, tuple(planner.steps), axes, target)


class _Planner:
    """Collects steps and knows the layouts of all values."""

    def __init__(self, layouts: Iterable[Layout]) -> None:
        self.layouts = list(layouts)
        self.steps: list[Product | Sum] = []

    def contract(self, a: int, b: int, needed: frozenset[str], output: Letters | None) -> Lowered:
        """Multiply two values and sum over what is not needed any more.

        With `output` this is the last step: its result should have these letters.
        """
        a = self.sum(a, needed.union(self.layouts[b].letters))
        b = self.sum(b, needed.union(self.layouts[a].letters))
        first, second = self.layouts[a], self.layouts[b]
        lowered = lower(first, second, needed, output)
        if lowered.exchanged:
            a, b = b, a
        operation = multiply if lowered.elementwise else matmul
        left = (a, lowered.left_axes, lowered.left_shape)
        right = (b, lowered.right_axes, lowered.right_shape)
        self.steps.append(Product(operation, *left, *right, lowered.shape))
        shape = lowered.product_shape if lowered.shape is None else lowered.shape
        order = lowered.letters
        for operand in (first, second) if lowered.elementwise else ():
            if set(operand.letters) == set(order):  # the product lies in memory as this one does
                order = operand.by_stride(order)
                break
        self.layouts.append(_new(lowered.letters, shape, order))
        return lowered

    def sum(self, value: int, needed: frozenset[str]) -> int:
        """Sum over the letters that are not needed, in the order in which they stand there."""
        for letter in self.layouts[value].letters:
            if letter in needed:
                continue
            layout = self.layouts[value]
            kept = tuple(x for x in layout.letters if x != letter)
            self.steps.append(Sum(value, layout.letters.index(letter)))
            shape = tuple(layout.size(x) for x in kept)
            self.layouts.append(_new(kept, shape, kept))
            value = len(self.layouts) - 1
        return value


def remember(planned: Program, subscripts: str, operands: tuple[Any, ...], optimize: Any) -> None:
    """Have the core carry out these steps the next time, if it can."""
    if planned.views is not None:
        return
    steps = [
        (step.value, step.axis)
        if isinstance(step, Sum)
        else (
            step.operation is matmul,
            (step.left, step.left_axes, step.left_shape),
            (step.right, step.right_axes, step.right_shape),
            step.shape,
        )
        for step in planned.steps
    ]
    _core.remember_einsum(subscripts, operands, optimize, steps, planned.axes)


def run(planned: Program, arrays: list[Any], out: Any, tensors: bool) -> Any:
    """Return the result, which is `out`, written to, if there is one."""
    values = arrays
    if planned.views is not None:
        values = [_strided_view(x, *view) for x, view in zip(arrays, planned.views, strict=True)]
    target = None if out is None else planned.target
    last = None if target is None else planned.steps[-1]
    for step in planned.steps:
        if isinstance(step, Sum):
            values.append(_sum(values[step.value], step.axis))
            continue
        left = _viewed(values[step.left], step.left_axes, step.left_shape, tensors)
        right = _viewed(values[step.right], step.right_axes, step.right_shape, tensors)
        if target is not None and step is last:
            step.operation(left, right, _viewed(out, *target, tensors))
            return out
        values.append(_viewed(step.operation(left, right), None, step.shape, tensors))
    result = _viewed(values[-1], planned.axes, None, tensors)
    return _array_likes.rounded(result, None, out)


def _sum(value: Any, axis: int) -> Any:
    """Sum over an axis: by kernels of its own, or as a product with ones."""
    tensor = not isinstance(value, np.ndarray)
    as_it_is = value.resolve_neg() if tensor else _array_likes.prepared(value, value.dtype)
    result = _core.sum(as_it_is, axis)
    if result is not NotImplemented:
        return result
    last = [x for x in range(value.ndim) if x != axis] + [axis]
    ones = _stretched_one(value.dtype if tensor else value.dtype.type, value.shape[axis])
    return matmul(_viewed(value, tuple(last), None, tensor), ones)


def _diagonal(layout: Layout, sizes: dict[str, int]) -> Layout:
    """Return the layout with each letter once: its diagonals, without stretched dimensions."""
    strides: dict[str, int] = {}
    for letter, size, stride in zip(*layout, strict=True):
        if size == sizes[letter]:
            strides[letter] = strides.get(letter, 0) + stride
    return Layout(tuple(strides), tuple(sizes[x] for x in strides), tuple(strides.values()))


def _new(letters: Letters, shape: Shape, order: Letters) -> Layout:
    """Return the layout of a new array whose dimensions lie in memory in this order."""
    strides, stride = {}, 1
    for letter in reversed(order):
        strides[letter] = stride
        stride *= shape[letters.index(letter)]
    return Layout(letters, shape, tuple(strides[letter] for letter in letters))


def _axes(letters: Letters, order: Letters) -> Axes:
    """Return the axes that bring letters into an order; None if they are in it."""
    return None if letters == order else tuple(letters.index(letter) for letter in order)


# ---- Views, of arrays and of tensors -------------------------------------------------------------


def _viewed(array: Any, axes: Axes, shape: Shape | None, tensor: bool) -> Any:
    """Permute and reshape; None leaves things as they are."""
    if axes is not None:
        array = array.permute(axes) if tensor else array.transpose(axes)
    return array if shape is None else array.reshape(shape)


def _strided_view(array: Any, shape: Shape, strides: Strides) -> Any:
    if isinstance(array, np.ndarray):
        return np.lib.stride_tricks.as_strided(array, shape, strides)
    return array.as_strided(shape, strides, array.storage_offset())


@lru_cache(maxsize=1024)
def _stretched_one(dtype: Any, count: int) -> Any:
    if isinstance(dtype, type):  # NumPy's, as C's types of one size have dtypes that are equal
        return np.broadcast_to(np.ones((), dtype), count)
    return _tensors.torch_module().ones((), dtype=dtype).expand(count)
