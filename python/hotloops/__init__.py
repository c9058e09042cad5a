"""Matrix products, ReLU and dense layers at the limit of the CPU.

Fast kernels for NumPy arrays and torch CPU tensors whose results have the same bits for every
number of threads, batch size and memory layout; their naive twins (`hotloops.naive`); the ladder
between the two (`hotloops.ladder`); and neural networks made of them (`hotloops.nn`).
"""

from __future__ import annotations

from hotloops import ladder, naive, nn
from hotloops._core import __version__
from hotloops._operations import dense, linear, matmul, relu
from hotloops._settings import (
    get_num_threads,
    isa,
    isas,
    set_num_threads,
    show_config,
    threads,
    use_isa,
)
from hotloops._vjp import dense_vjp, matmul_vjp, relu_vjp

__all__ = [
    "__version__",
    "dense",
    "dense_vjp",
    "get_num_threads",
    "isa",
    "isas",
    "ladder",
    "linear",
    "matmul",
    "matmul_vjp",
    "naive",
    "nn",
    "relu",
    "relu_vjp",
    "set_num_threads",
    "show_config",
    "threads",
    "use_isa",
]
