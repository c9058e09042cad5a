"""Training: against NumPy, torch and plain Python, to the bit against itself."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import hotloops
from hotloops import nn
from nn_support import (
    XOR_X,
    XOR_Y,
    in_order,
    network,
    numpy_train_sigmoid,
    problem,
    shuffled,
    torch_train,
    xor_network,
)
from support import ACTIVATIONS, FMA_ISAS, KC, assert_same_bits, contract_matmul, fma

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support import Array

CROSSENTROPIES = [
    "binary_crossentropy",
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",
]


def assert_weights_close(actual: list[Array], expected: list[Array], tolerance: float) -> None:
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)


# --- Against references -----------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [3, 4])
@pytest.mark.usefixtures("isa")
def test_xor_in_float64_is_numpys(batch_size: int, shuffle: bool) -> None:
    model = xor_network()
    start = model.get_weights()
    order = shuffled(4, 1000, model._shuffle_state) if shuffle else in_order(4, 1000)
    model.compile(loss="binary_crossentropy", optimizer=nn.SGD(0.5))
    history = model.fit(
        XOR_X, XOR_Y, epochs=1000, batch_size=batch_size, shuffle=shuffle, verbose=0
    )
    expected, losses = numpy_train_sigmoid(
        start, XOR_X, XOR_Y, learning_rate=0.5, order=order, batch_size=batch_size
    )
    assert_weights_close(model.get_weights(), expected, 1e-9)
    np.testing.assert_allclose(history.history["loss"], losses, rtol=0, atol=1e-9)
    assert max(abs(w - s).max() for w, s in zip(expected, start, strict=True)) > 0.1


def test_xor_is_learned_in_both_dtypes(dtype: np.dtype[Any]) -> None:
    model = xor_network(dtype)
    model.compile(loss="binary_crossentropy", optimizer=nn.SGD(0.5), metrics=["accuracy"])
    history = model.fit(XOR_X, XOR_Y, epochs=20_000, batch_size=4, verbose=0)
    assert history.history["accuracy"][-1] == 1.0
    assert history.history["loss"][-1] < 0.01
    assert_same_bits(model.predict(XOR_X).round(), XOR_Y.astype(dtype))


@pytest.mark.parametrize("seed", range(3))
def test_and_is_learned_through_a_softmax(seed: int) -> None:
    model = nn.Sequential(seed=seed)
    model.add(nn.Dense(32, input_dim=2, activation="softmax"))
    model.add(nn.Dense(1, activation="sigmoid"))
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
    model.fit(XOR_X, [0, 0, 0, 1], epochs=2000, verbose=0)
    assert model.evaluate(XOR_X, [0, 0, 0, 1])[1] == 1.0  # type: ignore[index]
    np.testing.assert_array_equal(model.predict(XOR_X).round().ravel(), [0, 0, 0, 1])


def sgd(torch: Any, tensors: list[Any]) -> Any:
    return torch.optim.SGD(tensors, lr=0.1)


def check_against_torch(
    activations: list[str | None],
    loss: str,
    optimizer: Callable[[Any, list[Any]], Any] = sgd,
    ours: nn.SGD | nn.Adam | str = "sgd",
    *,
    epochs: int = 3,
    last_bias: list[float] | None = None,
) -> nn.Sequential:
    """Train on 11 samples in batches of 4; compare weights and losses; return the start."""
    model = network([5, 7, 3], activations, seed=4)
    x, y = problem(loss, 11, 5, 3)
    if last_bias is not None:
        model.set_weights([*model.get_weights()[:-1], last_bias])
    start = copy.deepcopy(model)
    model.compile(loss=loss, optimizer=nn.SGD(0.1) if ours == "sgd" else ours)
    history = model.fit(x, y, epochs=epochs, batch_size=4, shuffle=False, verbose=0)
    expected, losses = torch_train(
        start.get_weights(),
        activations,
        x,
        y,
        loss=loss,
        optimizer=optimizer,
        order=in_order(11, epochs),
        batch_size=4,
    )
    assert_weights_close(model.get_weights(), expected, 1e-12)
    np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-12)
    pairs = zip(model.get_weights(), start.get_weights(), strict=True)
    assert all((now != then).any() for now, then in pairs)
    return start


@pytest.mark.parametrize("last", ACTIVATIONS)
@pytest.mark.parametrize("hidden", ACTIVATIONS)
@pytest.mark.usefixtures("isa")
def test_every_activation_is_differentiated_as_torch_does(
    hidden: str | None, last: str | None
) -> None:
    check_against_torch([hidden, last], "mse")


@pytest.mark.parametrize("loss", CROSSENTROPIES)
@pytest.mark.parametrize("last", ["sigmoid", "softmax"])
def test_crossentropies_with_and_without_their_own_activation(last: str, loss: str) -> None:
    check_against_torch(["tanh", last], loss)


@pytest.mark.parametrize("loss", CROSSENTROPIES)
def test_crossentropies_of_outputs_that_are_clipped(loss: str) -> None:
    start = check_against_torch(["sigmoid", "relu"], loss, last_bias=[1.0, 0.2, -0.2])
    outputs = start.predict(problem(loss, 11, 5, 3)[0])
    assert (outputs == 0).any()
    assert (outputs > 0).any(axis=1).all()


@pytest.mark.parametrize(
    ("optimizer", "ours"),
    [
        (lambda torch, p: torch.optim.SGD(p, lr=0.05, momentum=0.8), nn.SGD(0.05, momentum=0.8)),
        (
            lambda torch, p: torch.optim.SGD(p, lr=0.05, momentum=0.8, nesterov=True),
            nn.SGD(0.05, momentum=0.8, nesterov=True),
        ),
        (lambda torch, p: torch.optim.Adam(p, lr=0.01, eps=1e-7), nn.Adam(0.01)),
        (
            lambda torch, p: torch.optim.Adam(p, lr=0.02, betas=(0.5, 0.9), eps=1e-3),
            nn.Adam(0.02, beta_1=0.5, beta_2=0.9, epsilon=1e-3),
        ),
    ],
    ids=["momentum", "nesterov", "adam", "adam with other numbers"],
)
@pytest.mark.usefixtures("isa")
def test_every_optimizer_is_torchs(optimizer: Any, ours: nn.SGD | nn.Adam) -> None:
    check_against_torch(["tanh", "sigmoid"], "binary_crossentropy", optimizer, ours, epochs=30)


@pytest.mark.parametrize("loss", ["mse", "binary_crossentropy", "categorical_crossentropy"])
@pytest.mark.parametrize("hidden", ["relu", "sigmoid", "tanh", "softmax"])
def test_the_naive_twin_learns_the_same(hidden: str, loss: str) -> None:
    last = {"mse": None, "binary_crossentropy": "sigmoid"}.get(loss, "softmax")
    model = network([3, 5, 2], [hidden, last], seed=6)
    x, y = problem(loss, 6, 3, 2)
    kernels, biases = model.get_weights()[::2], model.get_weights()[1::2]
    layers = [
        nn.naive.Layer(kernel.tolist(), bias.tolist(), name)
        for kernel, bias, name in zip(kernels, biases, [hidden, last], strict=True)
    ]
    losses = nn.naive.train(
        layers, x.tolist(), y.tolist(), loss=loss, learning_rate=0.3, epochs=100
    )
    model.compile(loss=loss, optimizer=nn.SGD(0.3))
    history = model.fit(x, y, epochs=100, batch_size=6, verbose=0)
    twin = [np.array(part) for layer in layers for part in (layer.kernel, layer.bias)]
    assert_weights_close(model.get_weights(), twin, 1e-12)
    np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-12)


# --- To the bit -------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 5, KC, KC + 1, 2 * KC + 7])
def test_a_step_sums_as_the_contract_says(isa: str, dtype: np.dtype[Any], samples: int) -> None:
    if isa not in FMA_ISAS:
        pytest.skip(f"{isa} has no fused multiply-add")
    model = network([3, 2], [None], dtype=dtype)
    x, y = (array.astype(dtype) for array in problem("mse", samples, 3, 2))
    kernel, bias = model.get_weights()
    model.compile(loss="mse", optimizer=nn.SGD(0.25))
    model.fit(x, y, batch_size=samples, shuffle=False, verbose=0)
    outputs = contract_matmul(x, kernel) + bias
    scale = dtype.type(1) / dtype.type(samples)
    grad = (outputs - y) * scale  # 2 / units is 1
    grad_kernel = contract_matmul(np.ascontiguousarray(x.T), grad)
    grad_bias = contract_matmul(np.ones((1, samples), dtype), grad)[0]
    rate = np.array(-0.25, dtype)
    assert_same_bits(model.get_weights()[0], fma(rate, grad_kernel, kernel).astype(dtype))
    assert_same_bits(model.get_weights()[1], fma(rate, grad_bias, bias).astype(dtype))


def trained(
    dtype: Any = np.float32, optimizer: str | nn.SGD | nn.Adam = "adam", epochs: int = 2
) -> nn.Sequential:
    """Return a network wide enough for several threads, trained on its own seed's order."""
    names: list[str | None] = ["gelu", "softmax", "silu", "tanh", "softmax"]
    model = network([40, 300, 280, 290, 300, 5], names, dtype=dtype)
    x, y = problem("sparse_categorical_crossentropy", 700, 40, 5)
    model.compile(loss="sparse_categorical_crossentropy", optimizer=optimizer)
    model.fit(x, y, epochs=epochs, batch_size=300, verbose=0)
    return model


@pytest.mark.parametrize("threads", [2, 3])
def test_any_number_of_threads_gives_the_same_bits(dtype: np.dtype[Any], threads: int) -> None:
    with hotloops.threads(1):
        expected = trained(dtype)
    with hotloops.threads(threads):
        actual = trained(dtype)
    assert_same_bits(actual._parameters, expected._parameters)
    assert actual.history == expected.history


@pytest.mark.parametrize("optimizer", ["sgd", nn.SGD(momentum=0.9, nesterov=True), "adam"])
def test_every_isa_with_fma_gives_the_same_bits(
    dtype: np.dtype[Any], optimizer: str | nn.SGD
) -> None:
    isas = [name for name in hotloops.isas() if name in FMA_ISAS]
    if len(isas) < 2:
        pytest.skip("this machine has fewer than two ISAs with fused multiply-add")
    results = []
    for isa in isas:
        with hotloops.use_isa(isa):
            assert hotloops.isa() == isa
            results.append(trained(dtype, optimizer, epochs=1))
    for other in results[1:]:
        assert_same_bits(other._parameters, results[0]._parameters)
        assert other.history == results[0].history


def test_the_seed_decides_everything() -> None:
    def run(seed: int | None) -> Array:
        model = nn.Sequential([nn.Dense(4, "tanh"), nn.Dense(1)], seed=seed)
        model.compile(loss="mse", optimizer="adam")
        x, y = problem("mse", 50, 3, 1)
        model.fit(x, y, epochs=3, batch_size=8, verbose=0)
        return model._parameters

    assert_same_bits(run(1), run(1))
    assert (run(1) != run(2)).any()
    assert (run(None) != run(None)).any()


@pytest.mark.parametrize("optimizer", ["sgd", nn.SGD(0.1, momentum=0.9), "adam"])
@pytest.mark.parametrize("pause", ["none", "copy", "file", "joblib", "mapped", "pickle"])
def test_training_goes_on_where_it_stopped(
    pause: str, optimizer: str | nn.SGD, dtype: np.dtype[Any], tmp_path: Path
) -> None:
    x, y = problem("mse", 30, 4, 2)

    def start() -> nn.Sequential:
        model = nn.Sequential([nn.Dense(6, "silu"), nn.Dense(2)], seed=3, dtype=dtype)
        model.compile(loss="mse", optimizer=optimizer)
        return model

    whole = start()
    whole.fit(x, y, epochs=7, batch_size=8, verbose=0)
    first = start()
    first.fit(x, y, epochs=4, batch_size=8, verbose=0)
    second = first if pause == "none" else copied(first, pause, tmp_path)
    assert_same_bits(second.predict(x), first.predict(x))
    second.fit(x, y, epochs=3, batch_size=8, verbose=0)
    assert_same_bits(second._parameters, whole._parameters)
    assert_same_bits(second.predict(x), whole.predict(x))
    second.save(tmp_path / "second")
    assert_same_bits(nn.Sequential.load(tmp_path / "second").predict(x), whole.predict(x))
    if pause != "none":
        assert (first._parameters != second._parameters).any()


def copied(model: nn.Sequential, how: str, directory: Path) -> nn.Sequential:
    """Return a model of its own with the same weights and state."""
    path = directory / "model"
    if how == "copy":
        return copy.copy(model)
    if how == "deepcopy":
        return copy.deepcopy(model)
    if how == "pickle":
        again: nn.Sequential = pickle.loads(pickle.dumps(model))
        return again
    if how == "file":
        model.save(path)
        return nn.Sequential.load(path)
    joblib: Any = pytest.importorskip("joblib")
    joblib.dump(model, path)
    loaded: nn.Sequential = joblib.load(path, mmap_mode="r" if how == "mapped" else None)
    return loaded


@pytest.mark.parametrize("how", ["copy", "deepcopy", "file", "joblib", "mapped", "pickle"])
@pytest.mark.parametrize("built", [True, False])
def test_a_copys_layers_have_the_copys_weights(how: str, built: bool, tmp_path: Path) -> None:
    model = nn.Sequential([nn.Dense(5, input_dim=3), nn.Dense(2)], seed=3)
    if built:
        model.build()
    other = copied(model, how, tmp_path)
    assert other.count_params() == model.count_params() == 32
    assert_same_bits(other._parameters, model._parameters)
    zeros = [np.zeros_like(weights) for weights in other.get_weights()]
    other.set_weights(zeros)
    for mine, others in zip(model.layers, other.layers, strict=True):
        assert isinstance(mine, nn.Dense)
        assert isinstance(others, nn.Dense)
        assert (others.kernel == 0).all()
        assert (mine.kernel != 0).all()
        others.kernel[...] = 1
    assert other._parameters.sum() == 3 * 5 + 5 * 2
    assert (model._parameters != 0).any()


def test_samples_in_any_layout_and_dtype_give_the_same_bits() -> None:
    torch: Any = pytest.importorskip("torch")
    x, y = problem("mse", 20, 4, 1)
    x, y = x.round(1).astype(np.float32), y.round(1).astype(np.float32)
    results = []
    for samples, targets in [
        (x, y),
        (x.tolist(), y.ravel().tolist()),
        (np.asfortranarray(x), y[:, 0]),
        (x[::-1].copy()[::-1], y.astype(np.float64)),
        (torch.tensor(x), torch.tensor(y)),
    ]:
        model = nn.Sequential([nn.Dense(3, "tanh"), nn.Dense(1)], seed=1)
        model.compile(loss="mse")
        model.fit(samples, targets, epochs=3, batch_size=8, verbose=0)
        results.append(model._parameters)
    for other in results[1:]:
        assert_same_bits(other, results[0])


# --- Losses and accuracy ----------------------------------------------------------------------


def test_losses_from_logits_do_not_overflow(dtype: np.dtype[Any]) -> None:
    """A network that is wrong with certainty: its loss is finite, and it learns."""
    for loss, activation, y, expected in [
        ("binary_crossentropy", "sigmoid", [[0.0, 1.0]], 1500.0),
        ("categorical_crossentropy", "softmax", [[0.0, 1.0]], 3000.0),
        ("sparse_categorical_crossentropy", "softmax", [1], 3000.0),
    ]:
        model = nn.Sequential([nn.Dense(2, activation, use_bias=False)], dtype=dtype)
        model.build(1)
        model.set_weights([[[1500.0, -1500.0]]])
        model.compile(loss=loss, optimizer=nn.SGD(1.0))
        assert model.evaluate([[1.0]], y) == expected
        history = model.fit([[1.0]], y, verbose=0)
        assert history.history["loss"] == [expected]
        change = model.get_weights()[0] - [[1500.0, -1500.0]]
        each = 0.5 if loss == "binary_crossentropy" else 1.0
        np.testing.assert_array_equal(change, [[-each, each]])


def test_a_saturated_probability_that_is_clipped_has_no_gradient() -> None:
    model = nn.Sequential([nn.Dense(1, use_bias=False)], dtype=np.float64)
    model.build(1)
    model.set_weights([[[2.0]]])
    model.compile(loss="binary_crossentropy", optimizer=nn.SGD(1.0))
    history = model.fit([[1.0]], [0], verbose=0)
    np.testing.assert_allclose(history.history["loss"], -np.log(1e-7), rtol=1e-8)
    np.testing.assert_array_equal(model.get_weights()[0], [[2.0]])


@pytest.mark.parametrize("loss", ["mse", *CROSSENTROPIES])
@pytest.mark.parametrize("units", [1, 4])
@pytest.mark.parametrize("batch_size", [1, 32, 1000])
def test_accuracy_is_that_of_the_predictions(loss: str, units: int, batch_size: int) -> None:
    last = {"mse": None, "binary_crossentropy": "sigmoid"}.get(loss, "softmax")
    model = network([6, units], [last], seed=2)
    x, y = problem(loss, 90, 6, units)
    if loss == "mse" and units == 1:
        y = (y > 0).astype(np.float64)
    model.compile(loss=loss, metrics=["accuracy"])
    result = model.evaluate(x, y, batch_size=batch_size)
    assert isinstance(result, list)
    outputs = model.predict(x)
    if loss == "binary_crossentropy" or (loss == "mse" and units == 1):
        expected = ((outputs > 0.5) == y).mean()
    else:
        classes = y if y.ndim == 1 else y.argmax(axis=1)
        expected = (outputs.argmax(axis=1) == classes).mean()
    assert result[1] == pytest.approx(expected, abs=1e-15)
    if units > 1 or loss in ("mse", "binary_crossentropy"):
        assert 0 < result[1] < 1


def test_validation_is_that_of_evaluate_after_each_epoch() -> None:
    x, y = problem("binary_crossentropy", 60, 4, 1)
    held_out = x[40:], y[40:]
    options: dict[str, Any] = {"batch_size": 7, "verbose": 0}
    model, other = network([4, 8, 1], ["tanh", "sigmoid"]), network([4, 8, 1], ["tanh", "sigmoid"])
    for each in (model, other):
        each.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
    history = model.fit(x[:40], y[:40], epochs=5, validation_data=held_out, **options).history
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    for epoch in range(5):
        once = other.fit(x[:40], y[:40], **options).history
        loss, accuracy = other.evaluate(*held_out, batch_size=7)  # type: ignore[misc]
        assert history["val_loss"][epoch] == loss
        assert history["val_accuracy"][epoch] == accuracy
        assert history["loss"][epoch] == once["loss"][0]
    assert_same_bits(model._parameters, other._parameters)
