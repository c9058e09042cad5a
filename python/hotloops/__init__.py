"""Matrix products, ReLU and dense layers at the limit of the CPU.

Fast kernels for NumPy arrays and torch CPU tensors whose results have the same bits for every
number of threads, batch size and memory layout; their naive twins (`hotloops.naive`); the ladder
between the two (`hotloops.ladder`); and neural networks made of them (`hotloops.nn`).
"""

from __future__ import annotations

from hotloops import ladder, naive, nn
from hotloops._core import __version__
from hotloops._einsum import einsum
from hotloops._elementwise import (
    add,
    all_greater,
    greater,
    multiply,
    relu,
    subtract,
    where,
    where_greater,
)
from hotloops._operations import dense, linear, matmul
from hotloops._packing import PackedMatrix, pack
from hotloops._settings import (
    float32_precision,
    get_float32_precision,
    get_num_threads,
    isa,
    isas,
    release_workspace,
    set_float32_precision,
    set_num_threads,
    show_config,
    threads,
    use_isa,
)
from hotloops._vjp import dense_vjp, matmul_vjp, relu_vjp

__all__ = [
    "PackedMatrix",
    "__version__",
    "add",
    "all_greater",
    "dense",
    "dense_vjp",
    "einsum",
    "float32_precision",
    "get_float32_precision",
    "get_num_threads",
    "greater",
    "isa",
    "isas",
    "ladder",
    "linear",
    "matmul",
    "matmul_vjp",
    "multiply",
    "naive",
    "nn",
    "pack",
    "release_workspace",
    "relu",
    "relu_vjp",
    "set_float32_precision",
    "set_num_threads",
    "show_config",
    "subtract",
    "threads",
    "use_isa",
    "where",
    "where_greater",
]
