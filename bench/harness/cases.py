"""What is computed: a `Case` is one computation on operands of given shapes and layouts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Layout = Literal["contiguous", "transposed", "strided", "sliced", "reversed", "repeated"]
Operation = Literal["matmul", "relu", "dense", "dense_vjp"]
Unit = Literal["FLOP", "B"]


@dataclass(frozen=True)
class Operand:
    """Shape and memory layout of one array.

    ``transposed`` swaps the last two axes in memory, ``strided`` takes every second
    element of each of them, ``sliced`` takes the left part of longer rows, ``reversed``
    runs backwards along them and ``repeated`` has stride zero along the rows.
    """

    shape: tuple[int, ...]
    layout: Layout = "contiguous"

    def __str__(self) -> str:
        """Write the shape, and the layout if it is a special one."""
        text = "x".join(map(str, self.shape))
        return text if self.layout == "contiguous" else f"{text} {self.layout}"


@dataclass(frozen=True)
class Case:
    """One computation: an operation and its operands.

    Attributes
    ----------
    shape_class : str
        The class it is summarised in, a key of `classes.SHAPE_CLASSES`.
    operation : str
        ``matmul`` is ``x @ w``; ``relu`` is ``maximum(x, 0)``; ``dense`` is
        ``activation(x @ w + bias)``; ``dense_vjp`` is that and the gradients of x, w and bias.
    x, w : Operand
        The operands; ``relu`` has no ``w``.
    activation : str, optional
        The activation of ``dense`` and ``dense_vjp``.
    out : Layout, optional
        The layout of the array given as ``out=``; None lets the library allocate.
    precision : str, optional
        The precision of float32 that hotloops is asked for; peers have one only.
    dtype : str, optional
        The type of the operands; None for cases of whatever type a run is about.
    result_dtype : str, optional
        The type that a product is summed in and returned as; None for that of the operands.
    packed : bool
        Whether libraries that can do so pack ``w`` beforehand, outside of the measured time.
    """

    shape_class: str
    operation: Operation
    x: Operand
    w: Operand | None = None
    activation: str | None = None
    out: Layout | None = None
    precision: str | None = None
    dtype: str | None = None
    result_dtype: str | None = None
    packed: bool = False

    @property
    def group(self) -> str:
        """What its accuracy is compared in: the class, and the precision if it has one."""
        return " ".join(filter(None, (self.shape_class, self.precision)))

    @property
    def is_layer(self) -> bool:
        """Whether there is a bias, and may be an activation."""
        return self.operation in ("dense", "dense_vjp")

    @property
    def name(self) -> str:
        """Unique among the cases of a class."""
        text = str(self.x) if self.w is None else f"{self.x} @ {self.w}"
        if self.is_layer:
            text = f"{self.operation} {text} {self.activation or 'linear'}"
        elif self.operation == "relu":
            text = f"relu {text}"
        if self.out is not None:
            text += " out=" if self.out == "contiguous" else f" out={self.out}"
        if self.packed:
            text += " packed"
        if self.precision is not None:
            return f"{text} {self.precision}"
        if self.dtype is not None:
            text += f" {self.dtype}"
        return text if self.result_dtype is None else f"{text} to {self.result_dtype}"

    @property
    def result_shape(self) -> tuple[int, ...]:
        """Shape of the result, by the rules of `numpy.matmul`."""
        if self.w is None:
            return self.x.shape
        a, b = self.x.shape, self.w.shape
        rows = a[-2:-1]
        columns = b[-1:] if len(b) > 1 else ()
        return broadcast(a[:-2], b[:-2]) + rows + columns

    @property
    def inner(self) -> int:
        """Length of the summed dimension."""
        return self.x.shape[-1]

    @property
    def unit(self) -> Unit:
        """What `work` counts: arithmetic where there is a product, else memory traffic."""
        return "B" if self.w is None else "FLOP"

    def work(self, itemsize: int) -> float:
        """FLOP of the product (a multiply-add is two), or bytes read and written.

        A multiply-add of complex numbers is four of real ones. Gradients of a layer are two
        products more.
        """
        entries = math.prod(self.result_shape)
        if self.w is None:
            return 2.0 * entries * itemsize
        products = 3 if self.operation == "dense_vjp" else 1
        return (8.0 if is_complex(self.dtype) else 2.0) * products * entries * self.inner


def is_complex(dtype: str | None) -> bool:
    """Tell whether a dtype, by its name, is that of complex numbers."""
    return dtype is not None and dtype.startswith("complex")


def broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """Broadcast two batch shapes."""
    length = max(len(a), len(b))
    padded_a = (1,) * (length - len(a)) + a
    padded_b = (1,) * (length - len(b)) + b
    return tuple(y if x == 1 else x for x, y in zip(padded_a, padded_b, strict=True))


def product(
    shape_class: str,
    a: Sequence[int],
    b: Sequence[int],
    *,
    a_layout: Layout = "contiguous",
    b_layout: Layout = "contiguous",
    out: Layout | None = None,
    precision: str | None = None,
    dtype: str | None = None,
    result_dtype: str | None = None,
    packed: bool = False,
) -> Case:
    """Make a matmul case."""
    x, w = Operand(tuple(a), a_layout), Operand(tuple(b), b_layout)
    return Case(
        shape_class,
        "matmul",
        x,
        w,
        out=out,
        precision=precision,
        dtype=dtype,
        result_dtype=result_dtype,
        packed=packed,
    )


def squares(shape_class: str, sizes: Iterable[int]) -> list[Case]:
    """Make one n x n by n x n product per size."""
    return [product(shape_class, (n, n), (n, n)) for n in sizes]


def layer(
    shape_class: str,
    batch: int,
    inputs: int,
    units: int,
    activation: str | None,
    *,
    operation: Literal["dense", "dense_vjp"] = "dense",
    precision: str | None = None,
    packed: bool = False,
) -> Case:
    """Make a dense layer, alone or with its gradients; of float32 if at some precision."""
    x, w = Operand((batch, inputs)), Operand((inputs, units))
    return Case(
        shape_class,
        operation,
        x,
        w,
        activation=activation,
        precision=precision,
        dtype=None if precision is None else "float32",
        packed=packed,
    )
