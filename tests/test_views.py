"""Views cost nothing: whatever an operand's strides are, it goes into every kernel uncopied.

The operands stand for 64 MB each, or are views of such an array. A copy of one, or of a stretched
one written out, would show in the peak of the process' memory, or among NumPy's allocations.
"""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import hotloops
import support
from hotloops import naive
from support import needs_proc, peak_extra_memory

if TYPE_CHECKING:
    from collections.abc import Callable

N = 2896  # N x N float64 are 64 MB
LARGE = N * N * 8

# Views of shape (N, N), of an array of that size or more, or of a smaller one that is stretched.
VIEWS: dict[str, Callable[[Any], Any]] = {
    "broadcast_to": lambda x: np.broadcast_to(x[0], (N, N)),
    "stretched column": lambda x: np.broadcast_to(x[:, :1], (N, N)),
    "transposed": lambda x: x.T,
    "unsqueezed, squeezed": lambda x: x[:, None, :].squeeze(1),
    "reversed": lambda x: x[::-1, ::-1],
    "a column of a stack": lambda x: np.broadcast_to(x[:, None, :], (N, 2, N))[:, 1],
    "slices": lambda x: np.broadcast_to(x, (2, N, N))[1, :, :],
    "split": lambda x: np.split(np.broadcast_to(x, (2, N, N)), 2)[1][0],
}
TENSOR_VIEWS: dict[str, Callable[[Any], Any]] = {
    "expand": lambda x: x[0].expand(N, N),
    "expand_as": lambda x: x[:, :1].expand_as(x),
    "t": lambda x: x.t(),
    "unsqueeze, squeeze": lambda x: x.unsqueeze(1).squeeze(1),
    "None": lambda x: x[None][0],
    "chunk": lambda x: x.expand(2, N, N).chunk(2)[1][0],
    "split": lambda x: x.t().split(N)[0],
}

# What is computed of a view `v` of the array `x`; `out` has its shape, `flags` is of truth values.
KERNELS: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "relu": lambda v, _x, out, _f: hotloops.relu(v, out=out),
    "multiply": lambda v, x, out, _f: hotloops.multiply(x, v, out=out),
    "add": lambda v, x, out, _f: hotloops.add(v, x, out=out),
    "subtract": lambda v, _x, out, _f: hotloops.subtract(v, 1.0, out=out),
    "greater": lambda v, x, _o, flags: hotloops.greater(v, x, out=flags),
    "all_greater": lambda v, x, _o, _f: hotloops.all_greater(v, x),
    "where": lambda v, x, out, flags: hotloops.where(flags, v, x, out=out),
    "where_greater": lambda v, x, out, _f: hotloops.where_greater(v, x, x, v, out=out),
    "matmul": lambda v, x, _o, _f: hotloops.matmul(v, x[:, :4]),
    "matmul, on the right": lambda v, x, _o, _f: hotloops.matmul(x[:4], v),
    "dense": lambda v, x, _o, _f: hotloops.dense(v, x[:, :4], x[0, :4], activation="relu"),
    "einsum": lambda v, x, _o, _f: hotloops.einsum("ij,jk->ik", v, x[:, :4]),
}


@pytest.fixture(scope="module")
def arrays() -> Any:
    """Return an array, one for the result and one of truth values."""
    x = np.ones((N, N))
    return x, np.ones_like(x), np.zeros((N, N), bool)


@needs_proc
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_no_copy_of_a_view(arrays: Any, kernel: str, view: str) -> None:
    x, out, flags = arrays
    v = VIEWS[view](x)
    assert v.shape == (N, N)
    assert np.shares_memory(v, x)
    tracemalloc.start()
    try:
        extra = peak_extra_memory(lambda: KERNELS[kernel](v, x, out, flags))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert extra < LARGE / 5
    assert peak < LARGE / 50


@needs_proc
@pytest.mark.parametrize("view", TENSOR_VIEWS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_no_copy_of_a_view_of_a_tensor(arrays: Any, kernel: str, view: str) -> None:
    torch = pytest.importorskip("torch")
    x, out, flags = (torch.from_numpy(array) for array in arrays)
    v = TENSOR_VIEWS[view](x)
    assert v.shape == (N, N)
    assert peak_extra_memory(lambda: KERNELS[kernel](v, x, out, flags)) < LARGE / 5


@needs_proc
def test_the_measures_see_a_copy(arrays: Any) -> None:
    x = arrays[0]
    tracemalloc.start()
    extra = peak_extra_memory(x.copy)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert extra > 0.9 * LARGE
    assert peak > 0.9 * LARGE


def test_a_stretched_result_is_the_only_new_memory() -> None:
    row, column = np.ones((1, N)), np.ones((N, 1))
    tracemalloc.start()
    total = hotloops.add(row, column)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total.nbytes <= peak < 1.02 * total.nbytes


@pytest.mark.parametrize("twins", [hotloops, naive])
def test_a_vector_lands_on_each_row(twins: Any) -> None:
    matrix, vector = np.arange(9.0).reshape(3, 3), np.array([10.0, 20.0, 30.0])
    expected = [[10, 21, 32], [13, 24, 35], [16, 27, 38]]
    assert twins.add(matrix, vector).tolist() == expected
    assert twins.add(vector, matrix).tolist() == expected
    # As a column it lands on each column.
    expected = [[10, 11, 12], [23, 24, 25], [36, 37, 38]]
    assert twins.add(matrix, vector[:, None]).tolist() == expected


def test_one_stretched_element_takes_no_memory() -> None:
    # A billion elements, of which one is in memory; the answer is in the first block.
    one = np.broadcast_to(np.ones(()), (1 << 30,))
    assert not hotloops.all_greater(one, one)
    small = support.normal(1, (1000, 1000), np.float64)
    stretched = np.broadcast_to(np.float64(2), small.shape)
    support.assert_same_bits(hotloops.multiply(small, stretched), small * 2)
