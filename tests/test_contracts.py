"""What the package promises as a whole: signatures, documentation, memory, packaging."""

from __future__ import annotations

import doctest
import importlib
import importlib.metadata
import importlib.resources
import importlib.util
import inspect
import pkgutil
import random
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import hotloops
import support
from support import needs_proc, peak_extra_memory

if TYPE_CHECKING:
    from collections.abc import Callable

COMPUTING = [
    *("matmul", "relu", "dense", "linear", "einsum"),
    *("multiply", "add", "subtract", "greater", "all_greater", "where", "where_greater"),
    *("dense_vjp", "matmul_vjp", "relu_vjp"),
]
PUBLIC = [name for name in hotloops.__all__ if callable(getattr(hotloops, name))]
MODULES = [info.name for info in pkgutil.walk_packages(hotloops.__path__, "hotloops.")]
MODULES = ["hotloops", *(name for name in MODULES if not name.endswith(("._core", "__main__")))]
if importlib.util.find_spec("torch") is None:
    MODULES = [name for name in MODULES if not name.startswith("hotloops.torch")]

SIGNATURES = {
    "matmul": "(a, b, /, out=None, *, dtype=None, precision=None)",
    "relu": "(x, /, out=None)",
    "dense": (
        "(x, kernel, bias=None, *, activation=None, residual=None, out=None, precision=None)"
    ),
    "linear": (
        "(x, weight, bias=None, *, activation=None, residual=None, out=None, precision=None)"
    ),
    "multiply": "(a, b, /, out=None)",
    "add": "(a, b, /, out=None)",
    "subtract": "(a, b, /, out=None)",
    "greater": "(a, b, /, out=None)",
    "all_greater": "(a, b, /)",
    "where": "(condition, x, y, /, out=None)",
    "where_greater": "(a, b, x, y, /, out=None)",
    "einsum": "(subscripts, *operands, out=None, optimize=True)",
    "pack": "(b, *, precision=None)",
    "PackedMatrix": "(b, precision=None)",
    "dense_vjp": "(x, kernel, bias=None, *, activation=None)",
    "matmul_vjp": "(a, b, /)",
    "relu_vjp": "(x, /)",
    "float32_precision": "(precision)",
    "get_float32_precision": "()",
    "set_float32_precision": "(precision)",
    "release_workspace": "()",
    "set_num_threads": "(n)",
    "get_num_threads": "()",
    "threads": "(n)",
    "isas": "()",
    "isa": "()",
    "use_isa": "(name)",
    "show_config": "(mode='stdout')",
}


def signature(function: Callable[..., Any]) -> str:
    """Return the signature of a function without its annotations."""
    bare = inspect.signature(function)
    parameters = [p.replace(annotation=p.empty) for p in bare.parameters.values()]
    return str(bare.replace(parameters=parameters, return_annotation=bare.empty))


# --- Names and documentation ------------------------------------------------------------------


def test_the_public_names_are_those_of_the_design() -> None:
    names = {*SIGNATURES, "naive", "nn", "ladder", "__version__"}
    assert set(hotloops.__all__) == names
    assert sorted(hotloops.__all__) == list(hotloops.__all__)


@pytest.mark.parametrize("name", SIGNATURES)
def test_signature(name: str) -> None:
    assert signature(getattr(hotloops, name)) == SIGNATURES[name]


@pytest.mark.parametrize("name", COMPUTING)
def test_a_naive_twin_has_the_same_signature(name: str) -> None:
    assert signature(getattr(hotloops.naive, name)) == SIGNATURES[name]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented(name: str) -> None:
    value = getattr(hotloops, name)
    text = inspect.getdoc(value)
    assert text
    assert text.splitlines()[0].endswith(".")
    assert "Examples\n--------\n>>> " in text
    sections = [section for section in ("Parameters", "Returns") if f"\n{section}\n---" in text]
    takes = [p for p in inspect.signature(value).parameters if p != "self"]
    assert ("Parameters" in sections) == bool(takes)
    for parameter in takes:
        assert re.search(rf"\n\*?{parameter} : ", text)
    if not inspect.isclass(value) and not name.startswith("set_"):
        assert "Returns" in sections


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    assert doctest.testmod(module).failed == 0


# --- Packaging --------------------------------------------------------------------------------


def test_the_version_is_that_of_the_distribution() -> None:
    assert hotloops.__version__ == importlib.metadata.version("hotloops")


def test_the_package_is_typed() -> None:
    files = importlib.resources.files("hotloops")
    assert files.joinpath("py.typed").is_file()
    assert files.joinpath("_core.pyi").is_file()


def test_import_needs_nothing_but_numpy() -> None:
    program = """
import sys
import hotloops
extras = {"torch", "rich", "matplotlib", "sklearn", "scipy", "ml_dtypes", "threadpoolctl"}
print(sorted(extras & set(sys.modules)))
"""
    assert support.run_python(program).strip() == "[]"


# --- out is never read ------------------------------------------------------------------------


@pytest.mark.parametrize("fill", [np.nan, np.inf])
def test_out_is_never_read(isa: str, dtype: np.dtype[Any], fill: float) -> None:
    tallest = support.kernels_of(isa, dtype)[0]
    rows, columns = tallest["mr"] + 1, tallest["nr"] + 1
    shapes = [(rows, 600, columns), (1, 600, columns), (rows, 600, 1), (1, 600, 1)]
    for m, k, n in [*shapes, (3, 0, 3), (90, 1, 90)]:
        a, b = support.small_integers(1, (m, k), dtype), support.small_integers(2, (k, n), dtype)
        bias = support.small_integers(3, (n,), dtype)
        out = np.full((m, n), fill, dtype)
        np.testing.assert_array_equal(hotloops.matmul(a, b, out=out), a @ b)
        out.fill(fill)
        np.testing.assert_array_equal(hotloops.dense(a, b, bias, out=out), a @ b + bias)
        out.fill(fill)
        assert np.isfinite(hotloops.dense(a, b, activation="softmax", out=out)).all()


# --- Memory -----------------------------------------------------------------------------------


@needs_proc
def test_the_measure_of_memory_sees_a_copy() -> None:
    x = np.ones((2000, 2000))
    np.ones(4_100_000)  # from now on glibc's malloc keeps what is smaller,
    [np.ones(400_000) for _ in range(6)]  # as these, which the measure must not miss
    # The kernel counts pages a few at a time for each thread.
    assert peak_extra_memory(lambda: x * 2) > 0.9 * x.nbytes


BIG = 3000
OPERANDS: dict[str, Callable[[], tuple[support.Array, support.Array]]] = {
    "transposed": lambda: (np.ones((BIG, BIG)).T, np.ones((BIG, 8))),
    "strided": lambda: (np.ones((BIG, 2 * BIG))[:, ::2], np.ones((BIG, 8))),
    "reversed": lambda: (np.ones((BIG, BIG))[::-1, ::-1], np.ones((BIG, 8))),
    "transposed right": lambda: (np.ones((8, BIG)), np.ones((BIG, BIG)).T),
    "strided right": lambda: (np.ones((8, BIG)), np.ones((BIG, 2 * BIG))[:, ::2]),
    "vector": lambda: (np.ones((BIG, BIG)).T, np.ones(BIG)),
    "zero strides": lambda: (np.broadcast_to(np.ones(8), (8 * BIG, 8)).T, np.ones((8 * BIG, 8))),
    "stretched batch": lambda: (np.ones((1, BIG // 2, BIG)), np.ones((20, BIG, 2))),
}


@needs_proc
@pytest.mark.parametrize("case", OPERANDS)
def test_no_operand_is_copied_whole(case: str) -> None:
    a, b = OPERANDS[case]()
    hotloops.matmul(np.ones((500, 600)), np.ones((600, 700)))  # the packing buffers are there
    largest = BIG * BIG * a.itemsize
    assert peak_extra_memory(lambda: hotloops.matmul(a, b)) < largest / 5


@needs_proc
def test_dense_makes_no_temporary_of_the_outputs_size() -> None:
    x, kernel, bias = np.ones((BIG, 40)), np.ones((40, BIG)), np.ones(BIG)
    out = np.ones((BIG, BIG))
    hotloops.dense(x, kernel, bias, activation="softmax", out=out)
    for activation in (None, "relu", "gelu", "softmax"):
        extra = peak_extra_memory(
            lambda name=activation: hotloops.dense(x, kernel, bias, activation=name, out=out)  # type: ignore[misc]
        )
        assert extra < out.nbytes / 5


@needs_proc
@pytest.mark.parametrize("activation", [None, "relu", "softmax"])
def test_dense_vjp_makes_at_most_one_temporary_of_the_outputs_size(activation: str | None) -> None:
    x, kernel, grad_y = np.ones((BIG, 40)), np.ones((40, BIG)), np.ones((BIG, BIG))
    _, pullback = hotloops.dense_vjp(x, kernel, np.ones(BIG), activation=activation)
    pullback(grad_y)
    temporaries = 0 if activation is None else 1
    assert peak_extra_memory(lambda: pullback(grad_y)) < (temporaries + 0.2) * grad_y.nbytes


# --- Results that overlap their operands --------------------------------------------------------

# The operands' shapes, the result's, and the function.
OVERLAPS: dict[str, tuple[list[tuple[int, ...]], tuple[int, ...], Callable[..., Any]]] = {
    "relu": ([(3, 4)], (3, 4), hotloops.relu),
    "relu of a vector": ([(9,)], (9,), hotloops.relu),
    "add": ([(3, 4), (3, 4)], (3, 4), hotloops.add),
    "add vectors": ([(9,), (9,)], (9,), hotloops.add),
    "multiply by a row": ([(3, 4), (4,)], (3, 4), hotloops.multiply),
    "subtract": ([(2, 1, 4), (3, 1)], (2, 3, 4), hotloops.subtract),
    "greater": ([(3, 4), (3, 4)], (3, 4), hotloops.greater),
    "where": (
        [(3, 4)] * 3,
        (3, 4),
        lambda c, x, y, **out: hotloops.where(hotloops.greater(c, 0), x, y, **out),
    ),
    "where_greater": ([(9,)] * 4, (9,), hotloops.where_greater),
    "matmul": ([(4, 5), (5, 3)], (4, 3), hotloops.matmul),
    "vector times matrix": ([(5,), (5, 3)], (3,), hotloops.matmul),
    "batch": ([(2, 1, 4, 5), (3, 5, 2)], (2, 3, 4, 2), hotloops.matmul),
    "packed": (
        [(4, 5), (5, 3)],
        (4, 3),
        lambda a, b, **out: hotloops.matmul(a, hotloops.pack(b), **out),
    ),
    "dense": (
        [(4, 5), (5, 3), (3,), (4, 3)],
        (4, 3),
        lambda x, k, b, r, **out: hotloops.dense(x, k, b, residual=r, activation="relu", **out),
    ),
    "packed dense": (
        [(4, 5), (5, 3), (3,), (4, 3)],
        (4, 3),
        lambda x, k, b, r, **out: hotloops.dense(x, hotloops.pack(k), b, residual=r, **out),
    ),
    "linear": (
        [(4, 5), (3, 5), (3,)],
        (4, 3),
        lambda x, w, b, **out: hotloops.linear(x, w, b, activation="softmax", **out),
    ),
}


@pytest.mark.parametrize("kind", ["arrays", "tensors"])
@pytest.mark.parametrize("function", OVERLAPS)
def test_results_that_overlap_operands(function: str, kind: str) -> None:
    torch = pytest.importorskip("torch") if kind == "tensors" else None
    rng = random.Random(function)
    shapes, result_shape, compute = OVERLAPS[function]
    for code in ("f4", "f8", "f2") * 20:
        views = support.overlapping_views(rng, [*shapes, result_shape], code)
        if rng.random() < 0.25 and result_shape in shapes:
            views[-1] = views[shapes.index(result_shape)]
        apart = [torch.from_numpy(x.copy()) if torch else x.copy() for x in views[:-1]]
        expected = np.asarray(compute(*apart)).astype(code)
        *operands, out = (torch.from_numpy(x) for x in views) if torch else views
        assert compute(*operands, out=out) is out
        support.assert_same_bits(np.asarray(out), expected)
