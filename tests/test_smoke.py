"""The whole public interface in seconds; CI runs this file on emulated old CPUs, too."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import hotloops
from hotloops import ladder, naive, nn
from support import ACTIVATIONS, contract_matmul, normal, small_integers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support import Array

INTEGERS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
FLOATS = ["float16", "float32", "float64", "complex64", "complex128"]
# A row, a column, dot products, tiles and what sticks out of them; one block of k and several.
SHAPES = [(1, 600, 70), (70, 600, 1), (1, 600, 1), (3, 260, 5), (20, 9, 40), (37, 530, 67)]


def whole(seed: int, *shape: int, dtype: Any = np.float32) -> Array:
    """Return small whole numbers, with which every order of operations gives one result."""
    return small_integers(seed, shape, dtype)


CALLS: dict[str, Callable[[Any], Any]] = {
    "matmul": lambda f: f(whole(1, 2, 7, 9), whole(2, 9, 5)),
    "dense": lambda f: f(whole(1, 7, 9), whole(2, 9, 5), whole(3, 5), activation="relu"),
    "linear": lambda f: f(whole(1, 7, 9), whole(2, 5, 9), whole(3, 5), residual=whole(4, 7, 5)),
    "relu": lambda f: f(whole(1, 7, 9)),
    "multiply": lambda f: f(whole(1, 7, 9), whole(2, 9)),
    "add": lambda f: f(whole(1, 7, 1), whole(2, 9)),
    "subtract": lambda f: f(whole(1, 9, 7).T, whole(2, 7, 9)),
    "greater": lambda f: f(whole(1, 7, 9), whole(2, 7, 9)),
    "all_greater": lambda f: f(whole(1, 7, 9), -5.0),
    "where": lambda f: f(whole(1, 7, 9) > 0, whole(2, 7, 9), 2.0),
    "where_greater": lambda f: f(whole(1, 7, 9), 0.0, whole(2, 7, 9), whole(3, 9)),
    "einsum": lambda f: f("ij,jk,k->i", whole(1, 7, 9), whole(2, 9, 5), whole(3, 5)),
    "dense_vjp": lambda f: with_pullback(
        f(whole(1, 7, 9), whole(2, 9, 5), whole(3, 5), activation="relu"), whole(4, 7, 5)
    ),
    "matmul_vjp": lambda f: with_pullback(f(whole(1, 7, 9), whole(2, 9, 5)), whole(3, 7, 5)),
    "relu_vjp": lambda f: with_pullback(f(whole(1, 7, 9)), whole(2, 7, 9)),
}


def with_pullback(result: tuple[Any, Callable[[Any], Any]], grad: Array) -> list[Any]:
    """Return a result and the gradients of its operands."""
    y, pullback = result
    grads = pullback(grad)
    return [y, *(grads if isinstance(grads, tuple) else (grads,))]


def test_every_function_with_a_naive_twin_is_called() -> None:
    twins = {name for name in hotloops.__all__ if hasattr(naive, name)}
    assert twins == set(CALLS)


@pytest.mark.usefixtures("any_isa")
@pytest.mark.parametrize("name", CALLS)
def test_every_function_agrees_with_its_naive_twin(name: str) -> None:
    call = CALLS[name]
    actual, expected = call(getattr(hotloops, name)), call(getattr(naive, name))
    if not isinstance(actual, list):
        actual, expected = [actual], [expected]
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a, e)


@pytest.mark.usefixtures("any_isa")
@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
def test_products_of_every_dtype(dtype: str) -> None:
    for m, k, n in SHAPES:
        a, b = whole(1, m, k), whole(2, k, n)
        exact = a.astype(np.int64) @ b.astype(np.int64)
        a, b = a.astype(np.int64).astype(dtype), b.astype(np.int64).astype(dtype)
        for threads in (1, 2):
            with hotloops.threads(threads):
                np.testing.assert_array_equal(hotloops.matmul(a, b), exact.astype(dtype))
                c = hotloops.matmul(a, np.asfortranarray(b))
                np.testing.assert_array_equal(c, exact.astype(dtype))
    a, b = whole(1, 4, 600).astype(np.int8), whole(2, 600, 1030).astype(np.int8)
    exact = a.astype(np.int64) @ b.astype(np.int64)
    for rows in (1, 4):
        c = hotloops.matmul(a[:rows], hotloops.pack(b), dtype=np.int32)
        np.testing.assert_array_equal(c, exact[:rows])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_real_values(any_isa: str, dtype: str) -> None:
    for m, k, n in SHAPES:
        a, b = normal(1, (m, k), dtype), normal(2, (k, n), dtype)
        c = hotloops.matmul(a, b)
        # The definition of float64 is computed in fractions, which takes seconds for many sums.
        if any_isa != "baseline" and (dtype == "float32" or m * n == 1):
            np.testing.assert_array_equal(c, contract_matmul(a, b))
        bound = np.abs(a).astype(np.float64) @ np.abs(b) * k * np.finfo(dtype).eps
        assert (abs(c - a.astype(np.float64) @ b) <= bound).all()
        np.testing.assert_array_equal(hotloops.matmul(a, hotloops.pack(b)), c)


@pytest.mark.usefixtures("any_isa")
@pytest.mark.parametrize("activation", [name for name in ACTIVATIONS if name is not None])
def test_activations(activation: Any) -> None:
    x, kernel, bias = normal(1, (9, 30), "f4"), normal(2, (30, 21), "f4"), normal(3, (21,), "f4")
    actual = hotloops.dense(x, kernel, bias, activation=activation)
    expected = naive.dense(x.astype("f8"), kernel, bias, activation=activation)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)


@pytest.fixture
def network() -> nn.Sequential:
    """Return a network that has learned a little."""
    model = nn.Sequential([nn.Dense(8, "tanh"), nn.Dense(3, "softmax")], seed=1)
    model.compile(loss="sparse_categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    x, classes = normal(1, (64, 5), "f4"), np.arange(64) % 3
    losses = model.fit(x, classes, epochs=4, batch_size=16, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    return model


@pytest.mark.usefixtures("any_isa")
def test_networks(network: nn.Sequential, tmp_path: Path) -> None:
    x = normal(2, (10, 5), "f4")
    network.save(tmp_path / "model.npz")
    loaded = nn.Sequential.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.predict(x), network.predict(x))
    np.testing.assert_allclose(network.predict(x).sum(axis=1), 1, rtol=1e-6)
    neuron = nn.Neuron(3, seed=1)
    neuron.fit([[0, 0, 1], [1, 1, 1], [1, 0, 1], [0, 1, 1]], [0, 1, 1, 0], iterations=2000)
    assert neuron.predict([1, 0, 0]) > 0.9


@pytest.mark.parametrize("operation", ["matmul", "relu", "dense"])
def test_rungs(operation: str) -> None:
    a, b = whole(1, 12, 9, dtype=np.float64), whole(2, 9, 10, dtype=np.float64)
    bias = whole(3, 10, dtype=np.float64)
    arguments: dict[str, tuple[Array, ...]] = {
        "matmul": (a, b),
        "relu": (a,),
        "dense": (a, b, bias),
    }
    expected = {"matmul": a @ b, "relu": np.maximum(a, 0), "dense": np.maximum(a @ b + bias, 0)}
    for rung in ladder.rungs(operation):
        np.testing.assert_array_equal(rung(*arguments[operation]), expected[operation])


def test_settings() -> None:
    with redirect_stdout(io.StringIO()) as printed:
        hotloops.show_config()
    assert hotloops.isa() in printed.getvalue()
    assert hotloops.isas()[-1] == "baseline"
    with hotloops.float32_precision("bf16x3"), hotloops.threads(1):
        assert hotloops.get_float32_precision() == "bf16x3"
        c = hotloops.matmul(whole(1, 70, 300), whole(2, 300, 90))
        np.testing.assert_array_equal(c, whole(1, 70, 300).astype("f8") @ whole(2, 300, 90))
    assert hotloops.release_workspace() >= 0
