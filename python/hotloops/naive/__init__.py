"""The naive twins: every function of hotloops that computes, as the loops one would first write.

Each function here takes the same arguments as its fast twin and gives the same answer: array-likes
(lists included) in, NumPy array out; torch tensors in, torch tensor out. The work itself is done
by a few plain loops on lists of Python numbers, at the top of ``forward`` and ``backward`` and
in ``elementwise`` and ``_einsum``; everything else is wrapping.

"The same answer" means, for the kinds of numbers there are:

- Integers are exact: Python's never overflow, and the finished sum is wrapped to the result type,
  as NumPy's arithmetic wraps at every step.
- float16 and float32 are computed in Python's float, which is double precision, and rounded once,
  at the very end. That is at least as accurate as the fast twin, which rounds to float32 all along:
  good to judge it by, but not equal to it bit for bit.
- float64 is summed from left to right, with every product and every sum rounded. Its error is
  bounded by ``gamma_k * (|a| @ |b|)``, ``gamma_k = k * u / (1 - k * u)``, ``u = 2**-53``.

Everything here is slow on purpose, by four or five orders of magnitude. `hotloops.ladder` shows
where they went.
"""

from __future__ import annotations

from hotloops.naive._einsum import einsum
from hotloops.naive.backward import dense_vjp, matmul_vjp, relu_vjp
from hotloops.naive.elementwise import (
    add,
    all_greater,
    greater,
    multiply,
    subtract,
    where,
    where_greater,
)
from hotloops.naive.forward import (
    add_lists,
    dense,
    gelu,
    gelu_tanh,
    linear,
    matmul,
    matmul_lists,
    relu,
    relu_list,
    sigmoid,
    silu,
    softmax,
    tanh,
)

__all__ = [
    "add",
    "add_lists",
    "all_greater",
    "dense",
    "dense_vjp",
    "einsum",
    "gelu",
    "gelu_tanh",
    "greater",
    "linear",
    "matmul",
    "matmul_lists",
    "matmul_vjp",
    "multiply",
    "relu",
    "relu_list",
    "relu_vjp",
    "sigmoid",
    "silu",
    "softmax",
    "subtract",
    "tanh",
    "where",
    "where_greater",
]
