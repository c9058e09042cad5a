"""NumPy and torch, on the same operands, and the number of threads that everyone may use."""

from __future__ import annotations

import importlib
import importlib.util
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import hotloops
from hotloops.ladder.relu_rungs import with_output
from hotloops.ladder.rung import Rung

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from hotloops.ladder.workloads import Op


def find_torch() -> Any:
    """Return the torch module, or None where it is not installed."""
    return importlib.import_module("torch") if importlib.util.find_spec("torch") else None


def numpy_relu(x: NDArray[Any], out: NDArray[Any]) -> NDArray[Any]:
    """Compute relu into an array that exists already."""
    return np.asarray(np.maximum(x, 0, out=out))


def peers(op: Op, torch: Any) -> list[Rung]:
    """Return what to measure beside the rungs of an operation."""
    found: list[Rung] = []
    if op == "matmul":
        found.append(Rung("NumPy", "numpy.matmul", "NumPy", np.matmul, threaded=True))
    if op == "relu":
        found.append(Rung("NumPy, out=", "numpy.maximum", "NumPy", numpy_relu, with_output))
    if torch is None:
        return found

    def as_tensors(*operands: NDArray[Any]) -> tuple[Any, ...]:
        return tuple(torch.from_numpy(operand) for operand in operands)

    def layer(x: Any, kernel: Any, bias: Any) -> Any:
        return torch.relu(torch.nn.functional.linear(x, kernel.T, bias))

    run = {"matmul": torch.matmul, "relu": torch.relu, "dense": layer}[op]
    idea = {"matmul": "torch.matmul", "relu": "torch.relu", "dense": "relu(linear(x, w, b))"}[op]
    return [*found, Rung("torch", idea, "torch", run, as_tensors, threaded=True)]


def with_threads(found: list[Rung], threads: int) -> Iterator[tuple[Literal["peer"], Rung, int]]:
    """Yield each peer with one thread and, where it can use them, with all."""
    for peer in found:
        for count in sorted({1, threads}) if peer.threaded else [1]:
            yield "peer", peer, count


class ThreadLimits:
    """Sets the number of threads of hotloops, of NumPy's BLAS and of torch at once.

    The pools of all three live in this process, and a pool's idle threads may spin for a while: the
    trials wait until they are done, yet the figures for peers are only a first orientation. The
    exact comparison, a process for each library, is the benchmark's in the repository.
    """

    def __init__(self, torch: Any) -> None:
        from threadpoolctl import ThreadpoolController  # comes with scikit-learn

        self._torch = torch
        self._blas = ThreadpoolController().select(user_api="blas")

    @contextmanager
    def __call__(self, threads: int) -> Iterator[None]:
        """Limit everyone to so many threads within a with block."""
        with ExitStack() as stack:
            stack.enter_context(hotloops.threads(threads))
            stack.enter_context(self._blas.limit(limits=threads))
            if self._torch is not None:
                stack.callback(self._torch.set_num_threads, self._torch.get_num_threads())
                self._torch.set_num_threads(threads)
            yield
