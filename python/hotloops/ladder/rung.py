"""What a rung of the ladder is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hotloops import _arguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Language = Literal["Python", "NumPy", "C++", "hotloops", "torch"]


def as_they_are(*operands: NDArray[Any]) -> tuple[Any, ...]:
    """Return the operands: most rungs work on the arrays themselves."""
    return operands


def as_lists(*operands: NDArray[Any]) -> tuple[Any, ...]:
    """Turn the operands into (nested) lists of Python numbers."""
    return tuple(operand.tolist() for operand in operands)


@dataclass(frozen=True)
class Rung:
    """One way to compute an operation.

    Calling a rung with float32 or float64 arrays returns an array.

    Attributes
    ----------
    name : str
        What it is called in tables.
    idea : str
        One line: why it is faster than the rung below it.
    language : str
        In what it is written.
    run : callable
        What is timed: takes the operands as `prepare` gives them.
    prepare : callable
        What is not timed: takes C-contiguous arrays, returns the tuple of operands for `run`.
    threaded : bool
        Whether it uses all the threads it may; the others use one.
    tile_products : int
        On AMX tiles, how many products of bfloat16 make up one of float32; 0 without tiles.
    more_roundings : int
        By how many roundings more than the dtype's own each product may be off.
    """

    name: str
    idea: str
    language: Language
    run: Callable[..., Any]
    prepare: Callable[..., tuple[Any, ...]] = as_they_are
    threaded: bool = False
    tile_products: int = 0
    more_roundings: int = 0

    def __call__(self, *operands: NDArray[Any]) -> NDArray[Any]:
        """Return the result as an array."""
        named = {f"operand {i}": operand for i, operand in enumerate(operands)}
        arrays = [_arguments.as_numbers("Rung", name, x) for name, x in named.items()]
        if len(arrays) > 1 and arrays[0].shape[-1:] != arrays[1].shape[:1]:
            shapes = " and ".join(str(array.shape) for array in arrays)
            raise ValueError(
                f"Rung: operand 0 has not as many columns as operand 1 has rows (shapes {shapes})"
            )
        with _arguments.naming("Rung", **named):
            return np.asarray(self.run(*self.prepare(*map(np.ascontiguousarray, arrays))))
