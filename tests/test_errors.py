"""Errors say which argument, what it has and what is needed; and nothing is half done."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import hotloops
import support

if TYPE_CHECKING:
    from collections.abc import Callable

F32 = np.float32


def ones(*shape: int) -> support.Array:
    return np.ones(shape, F32)


def read_only(*shape: int) -> support.Array:
    array = ones(*shape)
    array.flags.writeable = False
    return array


matmul, relu, dense, linear = hotloops.matmul, hotloops.relu, hotloops.dense, hotloops.linear

# What is called, what it raises, and what the message says, word for word where it is of words.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "inner": (
        lambda: matmul(ones(2, 3), ones(4, 5)),
        ValueError,
        "matmul: a has 3 columns but b has 4 rows (shapes (2, 3) and (4, 5))",
    ),
    "inner of one": (
        lambda: matmul(ones(2, 1), ones(4, 5)),
        ValueError,
        "matmul: a has 1 column but b has 4 rows (shapes (2, 1) and (4, 5))",
    ),
    "inner of vectors": (
        lambda: matmul(ones(3), ones(4)),
        ValueError,
        "matmul: a has 3 elements but b has 4 elements (shapes (3,) and (4,))",
    ),
    "batch": (
        lambda: matmul(ones(7, 2, 3, 4), ones(3, 4, 5)),
        ValueError,
        "matmul: batch dimension 1 has size 2 in a but 3 in b; sizes must be equal or 1",
    ),
    "scalar": (
        lambda: matmul(F32(3), ones(3)),
        ValueError,
        "matmul: a has 0 dimensions but at least 1 is needed; use * to scale (shapes () and (3,))",
    ),
    "out shape": (
        lambda: matmul(ones(2, 3), ones(3, 5), out=ones(2, 4)),
        ValueError,
        "matmul: out has shape (2, 4) but the result has shape (2, 5)",
    ),
    "out read-only": (
        lambda: matmul(ones(2, 3), ones(3, 5), out=read_only(2, 5)),
        ValueError,
        "matmul: out is read-only but must be writeable",
    ),
    "out dtype": (
        lambda: matmul(ones(2, 3), ones(3, 5), out=np.ones((2, 5), np.int32)),
        TypeError,
        "matmul: out has dtype int32, to which the result's float32 cannot be cast",
    ),
    "out kind": (
        lambda: matmul(ones(2, 3), ones(3, 5), out=[[0]]),
        TypeError,
        "matmul: out is a list but must be a numpy.ndarray",
    ),
    "precision": (
        lambda: matmul(ones(2, 2), ones(2, 2), precision="low"),
        ValueError,
        "matmul: precision is 'low' but must be None, 'float32', 'bf16x6', 'bf16x3', 'bf16'",
    ),
    "relu out": (
        lambda: relu(ones(2, 3), out=ones(2, 2)),
        ValueError,
        "relu: out has shape (2, 2) but the result has shape (2, 3)",
    ),
    "relu read-only": (
        lambda: relu(ones(2), out=read_only(2)),
        ValueError,
        "relu: out is read-only but must be writeable",
    ),
    "dense inner": (
        lambda: dense(ones(2, 3), ones(4, 5)),
        ValueError,
        "dense: x has 3 columns but kernel has 4 rows (shapes (2, 3) and (4, 5))",
    ),
    "linear inner": (
        lambda: linear(ones(2, 3), ones(5, 4)),
        ValueError,
        "linear: x has 3 columns but weight has 4 columns (shapes (2, 3) and (5, 4))",
    ),
    "kernel dimensions": (
        lambda: dense(ones(2, 3), ones(7, 3, 5)),
        ValueError,
        "dense: kernel has 3 dimensions but 2 are needed (shapes (2, 3) and (7, 3, 5))",
    ),
    "weight dimensions": (
        lambda: linear(ones(2, 3), ones(3)),
        ValueError,
        "linear: weight has 1 dimension but 2 are needed (shapes (2, 3) and (3,))",
    ),
    "x scalar": (
        lambda: dense(F32(3), ones(3, 4)),
        ValueError,
        "dense: x has 0 dimensions but at least 1 is needed (shapes () and (3, 4))",
    ),
    "bias shape": (
        lambda: dense(ones(2, 3), ones(3, 5), ones(4)),
        ValueError,
        "dense: bias has shape (4,) but (5,) is needed, one value a unit",
    ),
    "bias dimensions": (
        lambda: linear(ones(2, 3), ones(5, 3), ones(2, 5)),
        ValueError,
        "linear: bias has shape (2, 5) but (5,) is needed, one value a unit",
    ),
    "activation": (
        lambda: dense(ones(2, 3), ones(3, 5), activation="Relu"),
        ValueError,
        "dense: activation is 'Relu' but must be None, 'relu', 'gelu', 'gelu_tanh', 'sigmoid', '",
    ),
    "activation kind": (
        lambda: linear(ones(2, 3), ones(5, 3), activation=relu),  # type: ignore[arg-type]
        ValueError,
        "linear: activation is <hotloops function relu",
    ),
    "dense out": (
        lambda: dense(ones(2, 3), ones(3, 5), out=ones(2, 4)),
        ValueError,
        "dense: out has shape (2, 4) but the result has shape (2, 5)",
    ),
    "dense precision": (
        lambda: linear(ones(2, 3), ones(5, 3), precision="low"),
        ValueError,
        "linear: precision is 'low' but must be None, 'float32', 'bf16x6', 'bf16x3', 'bf16'",
    ),
    "no numbers": (
        lambda: matmul(ones(2, 2), [["a", "b"], ["c", "d"]]),
        TypeError,
        "matmul: b is a list of dtype <U1 but must be numbers",
    ),
    "ragged": (
        lambda: dense([[1.0], [1.0, 2.0]], ones(1, 1)),
        ValueError,
        "dense: x is a list, of which NumPy makes no array: setting an array element",
    ),
    "relu of None": (lambda: relu(None), TypeError, "relu: x is None: '>=' not supported"),
    "kernel scalar": (
        lambda: dense(ones(2, 3), F32(3)),
        ValueError,
        "dense: kernel has 0 dimensions but 2 are needed",
    ),
    "dtype": (
        lambda: matmul(ones(2, 2), ones(2, 2), dtype="x"),
        TypeError,
        "matmul: dtype is 'x': data type 'x' not understood",
    ),
    "pack": (
        lambda: hotloops.pack("x"),
        TypeError,
        "pack: b is 'x' but must be numbers",
    ),
    "default precision": (
        lambda: hotloops.set_float32_precision("high"),
        ValueError,
        "set_float32_precision: precision is 'high' but must be 'float32', 'bf16x6', 'bf16x3', 'bf",
    ),
    "no default precision": (
        lambda: hotloops.float32_precision(None),  # type: ignore[arg-type]
        ValueError,
        "float32_precision: precision is None but must be 'float32', 'bf16x6', 'bf16x3', 'bf16'",
    ),
    "isa": (
        lambda: hotloops.use_isa("x"),
        ValueError,
        "use_isa: name is 'x' but this CPU can use",
    ),
    "threads": (
        lambda: hotloops.set_num_threads(0),
        ValueError,
        "set_num_threads: n is 0 but must be from 1 to 1024",
    ),
    "thread kind": (
        lambda: hotloops.threads("2"),  # type: ignore[arg-type]
        TypeError,
        "threads: n is '2' but must be an integer",
    ),
    "mode": (
        lambda: hotloops.show_config(mode="poem"),  # type: ignore[call-overload]
        ValueError,
        "show_config: mode is 'poem' but must be 'stdout' or 'dicts'",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_message(case: str) -> None:
    call, kind, message = CASES[case]
    with pytest.raises(kind, match=re.escape(message)):
        call()


# Another dtype, a list and a misaligned array take another way to the same checks.
OTHER_WAYS: dict[str, Callable[[support.Array], Any]] = {
    "float64": lambda x: x.astype(np.float64),
    "int32": lambda x: x.astype(np.int32),
    "complex64": lambda x: x.astype(np.complex64),
    "big endian": lambda x: x.astype(">f4"),
    "list": lambda x: x.tolist(),
    "misaligned": support.LAYOUTS["misaligned"],
}


@pytest.mark.parametrize("way", OTHER_WAYS)
def test_shape_errors_do_not_depend_on_the_dtype(way: str) -> None:
    make = OTHER_WAYS[way]
    with pytest.raises(ValueError, match="matmul: a has 3 columns but b has 4 rows"):
        matmul(make(ones(2, 3)), make(ones(4, 5)))
    with pytest.raises(ValueError, match="dense: x has 3 columns but kernel has 4 rows"):
        dense(make(ones(2, 3)), make(ones(4, 5)))
    with pytest.raises(ValueError, match=r"dense: bias has shape \(4,\) but \(5,\) is needed"):
        dense(make(ones(2, 3)), make(ones(3, 5)), make(ones(4)))
    with pytest.raises(ValueError, match="linear: activation is 'nonsense'"):
        linear(make(ones(2, 3)), make(ones(5, 3)), activation="nonsense")


def test_out_is_as_it_was_after_an_error() -> None:
    out = np.full((2, 5), 7, F32)
    calls: list[Callable[[], Any]] = [
        lambda: matmul(ones(2, 3), ones(4, 5), out=out),
        lambda: matmul(ones(2, 3), ones(3, 5), out=out, precision="low"),
        lambda: matmul(ones(2, 3).astype(complex), ones(3, 5), out=out),
        lambda: matmul(ones(3, 3), ones(3, 5), out=out),
        lambda: relu(ones(2, 4), out=out),
        lambda: dense(ones(2, 3), ones(3, 5), ones(4), out=out),
        lambda: dense(ones(2, 3), ones(3, 5), activation="nonsense", out=out),
        lambda: dense(ones(2, 3), ones(3, 5), ones(5).astype(complex), out=out),
        lambda: linear(ones(2, 3), ones(3, 5), out=out),
    ]
    for call in calls:
        with pytest.raises((TypeError, ValueError)):
            call()
        assert (out == 7).all()


def broadcast_array(*shape: int) -> Any:
    return np.broadcast_to(ones(*(1,) * len(shape)), shape)


def broadcast_tensor(*shape: int) -> Any:
    return pytest.importorskip("torch").ones((1,) * len(shape)).expand(shape)


N = 2**31
# Operands of four bytes and huge sizes, and results that no memory holds: of 2**64 bytes or more.
TOO_LARGE: dict[str, Callable[[Any], Any]] = {
    "matmul": lambda huge: matmul(huge(N, 1), huge(1, N)),
    "matmul of a batch": lambda huge: matmul(huge(N, 1, 1), huge(1, 1, N)),
    "dense": lambda huge: dense(huge(N, 1), huge(1, N), activation="relu"),
    "linear": lambda huge: linear(huge(N, 1), huge(N, 1)),
    "add": lambda huge: hotloops.add(huge(N, 1), huge(1, N)),
    "subtract": lambda huge: hotloops.subtract(huge(N, 1), huge(1, N)),
    "multiply": lambda huge: hotloops.multiply(huge(N, 1), huge(1, N)),
    "greater": lambda huge: hotloops.greater(huge(N, 1), huge(1, 4 * N)),
    "all_greater": lambda huge: hotloops.all_greater(huge(N, 1), huge(1, 2 * N)),
    "all_greater of nothing but its sizes": lambda huge: hotloops.all_greater(
        huge(2 * N, 1), huge(1, 2 * N)
    ),
    "where": lambda huge: hotloops.where(huge(1, 1) > 0, huge(N, 1), huge(1, N)),
    "einsum": lambda huge: hotloops.einsum("ij,jk->ik", huge(N, 1), huge(1, N)),
    "einsum of vectors": lambda huge: hotloops.einsum("i,j,k->ijk", huge(N), huge(N), huge(4)),
}


@pytest.mark.parametrize("make", [broadcast_array, broadcast_tensor])
@pytest.mark.parametrize("name", TOO_LARGE)
def test_results_that_are_too_large(make: Any, name: str) -> None:
    with pytest.raises(ValueError, match=r"an array of shape \(.*\), of \d bytes .* is too large"):
        TOO_LARGE[name](make)


@pytest.mark.parametrize("make", [broadcast_array, broadcast_tensor])
def test_results_that_no_machine_has_memory_for(make: Any) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: matmul(make(N, 1), make(1, N // 2 - 1)),
        lambda: hotloops.add(make(N, 1), make(1, N // 2 - 1)),
        lambda: hotloops.relu(make(N, N // 16)),
        lambda: hotloops.pack(make(N, N // 16)),
        lambda: hotloops.pack(make(2, N * N // 16)),
        lambda: hotloops.pack(make(N * N // 16, 2)),
        lambda: hotloops.pack(make(N, N // 4)),
    ]
    for call in calls:
        with pytest.raises(MemoryError):
            call()


def test_a_packed_tensor_that_is_too_large() -> None:
    with pytest.raises(MemoryError):
        hotloops.pack(broadcast_tensor(N, N))


def test_more_dimensions_than_there_can_be() -> None:
    # Each operand is legal, and so is the result: 64 dimensions are NumPy's limit.
    deep = np.ones((1,) * 64, F32)
    np.testing.assert_array_equal(matmul(deep, deep), np.matmul(deep, deep))
