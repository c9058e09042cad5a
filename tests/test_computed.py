"""Functions that the core computes first: their arguments, and what they are to Python."""

from __future__ import annotations

import copy
import gc
import inspect
import pickle
import re
import sys
import weakref
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import hotloops
from hotloops import _core
from hotloops._computed import computed_by
from support import assert_same_bits, normal

# The functions that are computed so.
FUNCTIONS = (
    "add",
    "all_greater",
    "dense",
    "greater",
    "linear",
    "matmul",
    "multiply",
    "relu",
    "subtract",
    "where",
    "where_greater",
)


@computed_by(_core.matmul)
def matmul(a: Any, b: Any, /, out: Any = None, *, dtype: Any = None, precision: Any = None) -> Any:
    """Return the arguments that the core declines."""
    return a, b, out, dtype, precision


A, B = normal(1, (3, 4), "float32"), normal(2, (4, 5), "float32")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_the_core(name: str) -> None:
    function = getattr(hotloops, name)
    assert repr(function) == f"<hotloops function {name}>"
    assert function.__name__ == name
    assert function.__module__.startswith("hotloops.")
    assert inspect.isroutine(function)
    assert pickle.loads(pickle.dumps(function)) is function
    assert copy.deepcopy(function) is function
    assert weakref.ref(function)() is function


def test_arguments_have_their_places() -> None:
    expected = hotloops.matmul(A, B)
    out = np.zeros_like(expected)
    assert matmul(A, B, out) is out
    assert_same_bits(out, expected)
    out[:] = 0
    assert matmul(A, B, precision="float32", out=out) is out
    assert_same_bits(out, expected)
    # A name that is equal, but another object.
    assert matmul(A, B, **{"".join(("o", "ut")): out}) is out
    for dtype in (None, np.float32, "f4", np.dtype("float32")):
        assert_same_bits(matmul(A, B, dtype=dtype), expected)
    with pytest.raises(ValueError, match="precision is 'float16'"):
        matmul(A, B, precision="float16")


def test_what_the_core_declines_reaches_the_function() -> None:
    rows = A.tolist()
    assert matmul(rows, B) == (rows, B, None, None, None)
    assert matmul(rows, B, precision="bf16", out=A) == (rows, B, A, None, "bf16")


@pytest.mark.parametrize(
    ("args", "keywords", "message"),
    [
        ((A,), {}, "missing 1 required positional argument: 'b'"),
        ((A, B, None, None), {}, "takes from 2 to 3 positional arguments but 4 were given"),
        ((A,), {"b": B}, "positional-only arguments passed as keyword arguments: 'b'"),
        ((A, B, None), {"out": None}, "got multiple values for argument 'out'"),
        ((A, B), {"output": None}, "got an unexpected keyword argument 'output'"),
    ],
)
def test_other_arguments_are_refused_as_by_any_function(
    args: tuple[Any, ...], keywords: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        matmul(*args, **keywords)


def test_an_attribute_of_a_class_is_a_method() -> None:
    class Left(np.ndarray):
        times = matmul

    left = A.view(Left)
    assert left.times(B) == (left, B, None, None, None)  # declined: a subclass
    assert Left.times is matmul


def test_what_refers_to_itself_is_collected() -> None:
    def function(a: Any, b: Any, out: Any, dtype: Any, precision: Any) -> None:
        pass

    computed = computed_by(_core.matmul)(function)
    computed.itself = computed  # type: ignore[attr-defined]
    gone = weakref.ref(computed)
    del computed
    gc.collect()
    assert gone() is None


def test_functions_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="no default but None"):
        computed_by(_core.matmul)(lambda _a, _b=0: None)
    with pytest.raises(ValueError, match="no default but None"):
        computed_by(_core.matmul)(lambda _a, *, _out: None)
    with pytest.raises(ValueError, match=re.escape("neither * nor **")):
        computed_by(_core.matmul)(lambda _a, *_b: None)
    with pytest.raises(ValueError, match="core must be a function of the core"):
        computed_by(len)(lambda _a: None)
    with pytest.raises(TypeError, match="expected 5 positional arguments, got 1"):
        computed_by(_core.matmul)(lambda _a: None)(A)


LISTS: dict[str, tuple[Any, ...]] = {
    "matmul": ([[1.0, 2.0]], [[3.0], [4.0]]),
    "relu": ([-1.0, 2.0],),
    "dense": ([[1.0, 2.0]], [[3.0], [4.0]]),
    "linear": ([[1.0, 2.0]], [[3.0, 4.0]]),
    "multiply": ([1.0, 2.0], [3.0, 4.0]),
    "add": ([1.0, 2.0], [3.0, 4.0]),
    "subtract": ([1.0, 2.0], [3.0, 4.0]),
    "greater": ([1.0, 2.0], [3.0, 4.0]),
    "all_greater": ([1.0, 2.0], [3.0, 4.0]),
    "where": ([True, False], [1.0, 2.0], [3.0, 4.0]),
    "where_greater": ([1.0, 2.0], [3.0, 4.0], [1.0, 2.0], [3.0, 4.0]),
    "einsum": ("ij,jk", [[1.0, 2.0]], [[3.0], [4.0]]),
    "pack": ([[1.0, 2.0]],),
    "dense_vjp": ([[1.0, 2.0]], [[3.0], [4.0]]),
    "matmul_vjp": ([[1.0, 2.0]], [[3.0], [4.0]]),
    "relu_vjp": ([-1.0, 2.0],),
}


@pytest.mark.parametrize("name", [*LISTS, *(f"naive.{name}" for name in LISTS if name != "pack")])
def test_lists_are_taken_while_another_thread_imports_torch(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is a module of that name already, but nothing in it."""

    def value() -> Any:
        module, _, function = name.rpartition(".")
        result = getattr(hotloops.naive if module else hotloops, function)(*LISTS[function])
        return result[0] if name.endswith("_vjp") else result

    expected = value()
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    np.testing.assert_array_equal(value(), expected)
