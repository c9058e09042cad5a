"""A dense layer with bias and relu: what is gained when the steps are not taken one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hotloops._elementwise import relu
from hotloops._operations import dense, matmul
from hotloops.ladder.rung import Rung, as_lists
from hotloops.naive import add_lists, matmul_lists, relu_list

Array = NDArray[Any]


def plain_python(
    x: list[list[float]], kernel: list[list[float]], bias: list[float]
) -> list[list[float]]:
    """Multiply, add and clip lists."""
    return [relu_list(add_lists(row, bias)) for row in matmul_lists(x, kernel)]


def numpy_steps(x: Array, kernel: Array, bias: Array) -> Array:
    """Three NumPy calls, three arrays of the output's size."""
    return np.asarray(np.maximum(x @ kernel + bias, 0))


def hotloops_steps(x: Array, kernel: Array, bias: Array) -> Array:
    """Take the same three steps; the last two overwrite the product."""
    y = matmul(x, kernel)
    y += bias
    return np.asarray(relu(y, out=y))


def fused(x: Array, kernel: Array, bias: Array) -> Array:
    """One call."""
    return np.asarray(dense(x, kernel, bias, activation="relu"))


DENSE_RUNGS = (
    Rung(
        name="plain Python",
        idea="The definition: three loops for the product, one for the bias, one for relu.",
        language="Python",
        run=plain_python,
        prepare=as_lists,
    ),
    Rung(
        name="NumPy",
        idea="The product is BLAS; then bias and relu pass over memory, each into a new array.",
        language="NumPy",
        run=numpy_steps,
        threaded=True,
    ),
    Rung(
        name="matmul, then bias, then relu",
        idea="hotloops' product, and no new array: bias and relu overwrite it.",
        language="hotloops",
        run=hotloops_steps,
        threaded=True,
    ),
    Rung(
        name="fused dense",
        idea="Bias and relu happen while a tile of the result is in registers: no further pass.",
        language="hotloops",
        run=fused,
        threaded=True,
    ),
)
