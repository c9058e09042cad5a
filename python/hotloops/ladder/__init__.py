"""The ladder: one operation, from the naive Python loop to the limit of the machine, rung by rung.

`rungs` returns the rungs of ``"matmul"``, ``"relu"`` or ``"dense"``, slowest first. Each adds one
idea to what is below it, each can be called, and all give the same answer:

>>> import numpy as np
>>> from hotloops import ladder
>>> a = np.arange(6.0).reshape(2, 3)
>>> for rung in ladder.rungs("matmul"):
...     assert np.array_equal(rung(a, a.T), [[5, 14], [14, 50]])
>>> print(ladder.rungs("matmul")[0].name)
loop over array elements

``python -m hotloops ladder`` measures all of them on this machine; the package's modules are its
parts:

- ``rung``: what a rung is;
- ``matmul_rungs``, ``relu_rungs``, ``dense_rungs``: the rungs, worth reading in this order;
- ``workloads``: the inputs, and how a result is checked before it is timed;
- ``peers``: NumPy and torch, and the number of threads that everyone may use;
- ``measuring``: trials that take turns, and the measured peaks;
- ``report``, ``tables``, ``plots``: what is made of the measurements;
- ``runner``: the command.
"""

from __future__ import annotations

from hotloops import _arguments
from hotloops._settings import isas
from hotloops.ladder.dense_rungs import DENSE_RUNGS
from hotloops.ladder.matmul_rungs import MATMUL_RUNGS, TILE_RUNGS
from hotloops.ladder.relu_rungs import RELU_RUNGS
from hotloops.ladder.rung import Rung

__all__ = ["Rung", "rungs"]

_RUNGS = {"matmul": MATMUL_RUNGS, "relu": RELU_RUNGS, "dense": DENSE_RUNGS}


def rungs(op: str) -> tuple[Rung, ...]:
    """Return the rungs of an operation, slowest first.

    Parameters
    ----------
    op : {"matmul", "relu", "dense"}
        A matmul rung takes matrices ``a`` and ``b``; a relu rung takes a matrix ``x``; a dense rung
        takes ``x``, ``kernel`` and ``bias`` and computes ``relu(x @ kernel + bias)``.

    Returns
    -------
    tuple of Rung
        Those that this machine can climb (the last ones of matmul need AMX tiles), in the order of
        their speed, or nearly: it depends on the problem and the machine.

    Raises
    ------
    ValueError
        If there is no such operation.

    Examples
    --------
    >>> from hotloops import ladder
    >>> for rung in ladder.rungs("dense"):
    ...     print(rung.name)
    plain Python
    NumPy
    matmul, then bias, then relu
    fused dense
    """
    op = _arguments.as_choice("rungs", "op", op, tuple(_RUNGS))
    on_tiles = TILE_RUNGS if op == "matmul" and "amx" in isas() else ()
    return _RUNGS[op] + on_tiles
