"""The surface of hotloops.nn: layers, initializers, arguments, reports, other processes."""

from __future__ import annotations

import builtins
import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import hotloops
from hotloops import nn
from nn_support import XOR_X, XOR_Y, network, problem, xor_network
from support import assert_same_bits

if TYPE_CHECKING:
    from collections.abc import Callable


def compiled(**options: Any) -> nn.Sequential:
    """Return a small model, ready to be trained."""
    model = nn.Sequential([nn.Dense(3, "tanh", input_dim=2), nn.Dense(1, "sigmoid")], seed=0)
    model.compile(**({"loss": "binary_crossentropy", "metrics": ["accuracy"]} | options))
    return model


# --- Initializers -----------------------------------------------------------------------------

INPUTS, UNITS = 300, 700
VARIANCES = {
    "normal": 0.05**2,
    "uniform": 0.05**2 / 3,
    "glorot_normal": 2 / (INPUTS + UNITS),
    "glorot_uniform": 2 / (INPUTS + UNITS),
    "xavier_normal": 2 / (INPUTS + UNITS),
    "xavier_uniform": 2 / (INPUTS + UNITS),
    "he_normal": 2 / INPUTS,
    "he_uniform": 2 / INPUTS,
    "kaiming_normal": 2 / INPUTS,
    "kaiming_uniform": 2 / INPUTS,
}


@pytest.mark.parametrize("name", VARIANCES)
def test_an_initializer_draws_what_its_name_says(name: str) -> None:
    values = nn.initializers.get(name)((INPUTS, UNITS), np.random.default_rng(1))
    variance, count = VARIANCES[name], INPUTS * UNITS
    assert abs(values.mean()) < 4 * np.sqrt(variance / count)
    fourth = 3 if name.endswith("normal") else 9 / 5  # moment, in squares of the variance
    assert abs(values.var() / variance - 1) < 4 * np.sqrt((fourth - 1) / count)
    assert abs((values**4).mean() / variance**2 / fourth - 1) < 0.1
    if not name.endswith("normal"):
        assert abs(values).max() <= np.sqrt(3 * variance)


def test_zeros_and_functions_of_ones_own() -> None:
    layers = [
        nn.Dense(4, kernel_initializer="zeros", bias_initializer="uniform"),
        nn.Dense(2, kernel_initializer=functools.partial(nn.initializers.normal, stddev=9.0)),
        nn.Dense(5, kernel_initializer=lambda shape, rng: np.full(shape, rng.integers(1, 2))),
    ]
    model = nn.Sequential(layers, seed=0)
    model.build(200)
    weights = model.get_weights()
    assert (weights[0] == 0).all()
    assert (weights[1] != 0).all()
    assert abs(weights[2]).max() > 4
    assert (weights[4] == 1).all()
    with pytest.raises(ValueError, match="initializer is 'lecun' but must be a function or one of"):
        nn.Dense(1, kernel_initializer="lecun")
    with pytest.raises(ValueError, match=r"shape is \(3,\) but this initializer needs"):
        nn.Sequential([nn.Dense(3, bias_initializer="he_normal")]).build(2)


def test_the_seed_gives_the_weights() -> None:
    def weights(seed: int | None) -> Any:
        model = nn.Sequential([nn.Dense(5), nn.Dense(5)], seed=seed)
        model.build(5)
        return model.get_weights()

    for first, second in zip(weights(3), weights(3), strict=True):
        assert_same_bits(first, second)
    assert (weights(3)[0] != weights(4)[0]).any()
    assert (weights(3)[0] != weights(3)[2]).any()
    assert (weights(None)[0] != weights(None)[0]).any()


def test_statistics_show_why_initialization_matters() -> None:
    x = np.random.default_rng(0).normal(size=(500, 200))

    def stds(initializer: Any, activation: str) -> list[float]:
        layers = [nn.Dense(200, activation, kernel_initializer=initializer) for _ in range(8)]
        statistics = nn.Sequential(layers, seed=1).activation_statistics(x)
        assert [each.layer for each in statistics] == [f"dense_{i}" for i in range(1, 9)]
        return [each.std for each in statistics]

    assert all(0.4 < std < 1.2 for std in stds("he_normal", "relu"))
    assert all(0.2 < std < 0.7 for std in stds("glorot_uniform", "tanh"))
    assert stds("normal", "relu")[-1] < 0.01
    large = functools.partial(nn.initializers.normal, stddev=1.0)
    assert all(std > 0.9 for std in stds(large, "tanh"))


def test_statistics_are_those_of_the_outputs_of_each_layer() -> None:
    model = nn.Sequential([nn.Dense(4), nn.Activation("relu")], seed=2, dtype=np.float64)
    model.add(nn.Dense(2, "sigmoid"))
    x = problem("mse", 50, 3, 1)[0]
    statistics = model.activation_statistics(x)
    k1, b1, k2, b2 = model.get_weights()
    z = x @ k1 + b1
    y = 1 / (1 + np.exp(-(np.maximum(z, 0) @ k2 + b2)))
    for each, values in zip(statistics, [z, np.maximum(z, 0), y], strict=True):
        np.testing.assert_allclose([each.mean, each.std], [values.mean(), values.std()], rtol=1e-12)
    assert [each.layer for each in statistics] == ["dense_1", "activation_1", "dense_2"]


# --- Layers and weights -----------------------------------------------------------------------


def test_predict_is_dense_after_dense(dtype: np.dtype[Any]) -> None:
    model = network([5, 70, 3], ["gelu", "softmax"], dtype=dtype)
    x = problem("mse", 100, 5, 1)[0].astype(dtype)
    k1, b1, k2, b2 = model.get_weights()
    hidden = hotloops.dense(x, k1, b1, activation="gelu")
    expected = hotloops.dense(hidden, k2, b2, activation="softmax")
    assert_same_bits(model.predict(x), expected)
    for batch_size in (1, 7, 100, 1000):
        assert_same_bits(model.predict(x, batch_size=batch_size), expected)
    assert model.predict(x[:0]).shape == (0, 3)


def test_an_activation_after_a_dense_layer_is_that_layers_own() -> None:
    apart = nn.Sequential([nn.Dense(4), nn.Activation("silu"), nn.Dense(1)], seed=5)
    joined = nn.Sequential([nn.Dense(4, "silu"), nn.Dense(1)], seed=5)
    x, y = problem("mse", 30, 3, 1)
    for model in (apart, joined):
        model.compile(loss="mse", optimizer="adam")
        model.fit(x, y, epochs=2, verbose=0)
    assert_same_bits(apart.predict(x), joined.predict(x))


def test_weights_go_out_as_copies_and_come_in_by_shape() -> None:
    model = nn.Sequential([nn.Dense(3, input_dim=2), nn.Dense(1, use_bias=False)], seed=0)
    weights = model.get_weights()
    assert [w.shape for w in weights] == [(2, 3), (3,), (3, 1)]
    assert model.count_params() == 12
    weights[0][...] = 7
    assert (model.get_weights()[0] != 7).all()
    model.set_weights([w.tolist() for w in weights])
    assert (model.get_weights()[0] == 7).all()
    first, second = model.layers
    assert isinstance(first, nn.Dense)
    assert isinstance(second, nn.Dense)
    first.kernel[0, 0] = 5
    assert model.get_weights()[0][0, 0] == 5
    assert second.bias is None
    with pytest.raises(ValueError, match=r"weights have shapes \[\(2, 3\), \(3,\)\] but"):
        model.set_weights(weights[:2])
    with pytest.raises(ValueError, match=r"but \[\(2, 3\), \(3,\), \(3, 1\)\] are needed"):
        model.set_weights([weights[0].T, *weights[1:]])


def test_summary() -> None:
    model = nn.Sequential([nn.Dense(1000, "relu", input_dim=64), nn.Dense(10)], seed=0)
    model.add(nn.Activation("softmax"))
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    assert lines == [
        "layer           shape           activation       weights",
        "dense_1         64 -> 1000      relu              65,000",
        "dense_2         1000 -> 10                        10,010",
        "activation_1    10 -> 10        softmax                0",
        "total           float32                           75,010",
    ]


# --- Arguments --------------------------------------------------------------------------------

ERRORS: dict[str, tuple[type[Exception], str, Callable[[], Any]]] = {
    "dtype": (
        ValueError,
        "Sequential: dtype is int64 but must be float32 or float64",
        lambda: nn.Sequential(dtype=np.int64),
    ),
    "units": (ValueError, "Dense: units is 0 but must be at least 1", lambda: nn.Dense(0)),
    "activation": (
        ValueError,
        "Dense: activation is 'swish' but must be None, 'relu'",
        lambda: nn.Dense(1, "swish"),
    ),
    "no activation": (
        ValueError,
        "Activation: activation is None but must be 'relu', 'gelu'",
        lambda: nn.Activation(None),  # type: ignore[arg-type]
    ),
    "not a layer": (
        TypeError,
        "add: layer is 'dense' but must be Dense or Activation",
        lambda: nn.Sequential().add("dense"),  # type: ignore[arg-type]
    ),
    "a layer twice": (
        ValueError,
        "Sequential: dense_1 is part of a model already",
        lambda: nn.Sequential([nn.Dense(1)] * 2),
    ),
    "layers": (
        TypeError,
        "Sequential: layers is a Dense but must be a sequence",
        lambda: nn.Sequential(nn.Dense(2)),  # type: ignore[arg-type]
    ),
    "input_dim inside": (
        ValueError,
        "Sequential: input_dim is for the first layer only",
        lambda: nn.Sequential([nn.Dense(1), nn.Dense(1, input_dim=1)]),
    ),
    "a late layer": (
        RuntimeError,
        "add: the model has its weights already",
        lambda: xor_network().add(nn.Dense(1)),
    ),
    "no layers": (
        RuntimeError,
        "build: the model has no layers; add some first",
        lambda: nn.Sequential().build(3),
    ),
    "no input_dim": (
        ValueError,
        "build: input_dim is None and not known from the first layer",
        lambda: nn.Sequential([nn.Dense(1)]).get_weights(),
    ),
    "no weights yet": (RuntimeError, "there are no weights yet", lambda: nn.Dense(1).kernel),
    "loss": (
        ValueError,
        "compile: loss is 'mae' but must be one of 'mse', 'binary_crossentropy'",
        lambda: compiled(loss="mae"),
    ),
    "optimizer": (
        ValueError,
        "compile: optimizer is 'lbfgs' but must be 'sgd', 'adam', an SGD or an Adam",
        lambda: compiled(optimizer="lbfgs"),
    ),
    "metrics": (
        ValueError,
        r"compile: metrics is \['auc'\] but must be \[\] or \['accuracy'\]",
        lambda: compiled(metrics=["auc"]),
    ),
    "not compiled": (
        RuntimeError,
        "fit: the model has no loss yet; compile it first",
        lambda: xor_network().fit(XOR_X, XOR_Y),
    ),
    "epochs": (
        ValueError,
        "fit: epochs is -1 but must be at least 0",
        lambda: compiled().fit(XOR_X, XOR_Y, epochs=-1),
    ),
    "verbose": (
        ValueError,
        "fit: verbose is 3 but must be 0, 1 or 2",
        lambda: compiled().fit(XOR_X, XOR_Y, verbose=3),  # type: ignore[arg-type]
    ),
    "batch_size": (
        ValueError,
        "evaluate: batch_size is 0 but must be at least 1",
        lambda: compiled().evaluate(XOR_X, XOR_Y, batch_size=0),
    ),
    "batch_size of predict": (
        ValueError,
        "predict: batch_size is 0 but must be at least 1",
        lambda: compiled().predict(XOR_X, batch_size=0),
    ),
    "x": (
        ValueError,
        r"predict: x has shape \(4, 1\) but \(samples, 2\) is needed",
        lambda: compiled().predict(XOR_Y),
    ),
    "one sample": (
        ValueError,
        r"predict: x has shape \(2,\) but \(samples, inputs\) is needed",
        lambda: nn.Sequential([nn.Dense(1)]).predict([0, 1]),
    ),
    "no samples": (
        ValueError,
        r"fit: x has shape \(0, 2\) but samples are needed",
        lambda: compiled().fit(XOR_X[:0], XOR_Y[:0]),
    ),
    "y": (
        ValueError,
        r"fit: y has shape \(3, 1\) but \(4, 1\) is needed",
        lambda: compiled().fit(XOR_X, XOR_Y[:3]),
    ),
    "y of validation": (
        ValueError,
        r"fit: validation_data's y has shape \(2,\) but \(4, 1\) is needed",
        lambda: compiled().fit(XOR_X, XOR_Y, validation_data=(XOR_X, [0, 1])),
    ),
    "classes that are not integers": (
        TypeError,
        "fit: y has dtype float64 but the integers of classes are needed",
        lambda: compiled(loss="sparse_categorical_crossentropy").fit(XOR_X, XOR_Y),
    ),
    "classes that do not exist": (
        ValueError,
        "fit: y has the class 1 but the classes of 1 outputs are 0 to 0",
        lambda: compiled(loss="sparse_categorical_crossentropy").fit(XOR_X, [0, 1, 0, 0]),
    ),
    "learning_rate": (
        ValueError,
        "SGD: learning_rate is 0 but must be above 0",
        lambda: nn.SGD(0),
    ),
    "momentum": (
        ValueError,
        "SGD: momentum is 1.0 but must be from 0 to below 1",
        lambda: nn.SGD(momentum=1.0),
    ),
    "nesterov": (
        ValueError,
        "SGD: nesterov is True but momentum is 0; nesterov needs a momentum above 0",
        lambda: nn.SGD(nesterov=True),
    ),
    "beta_2": (
        ValueError,
        "Adam: beta_2 is nan but must be from 0 to below 1",
        lambda: nn.Adam(beta_2=float("nan")),
    ),
    "epsilon": (
        ValueError,
        "Adam: epsilon is 0 but must be above 0",
        lambda: nn.Adam(epsilon=0),
    ),
    "units that are no integer": (
        TypeError,
        "Dense: units is 2.5 but must be an integer",
        lambda: nn.Dense(2.5),  # type: ignore[arg-type]
    ),
    "input_dim": (
        ValueError,
        "Dense: input_dim is -1 but must be at least 1",
        lambda: nn.Dense(2, input_dim=-1),
    ),
    "input_dim of build": (
        ValueError,
        "build: input_dim is 0 but must be at least 1",
        lambda: nn.Sequential([nn.Dense(2)]).build(0),
    ),
    "epochs that are no integer": (
        TypeError,
        "fit: epochs is 1.5 but must be an integer",
        lambda: compiled().fit([[0, 1]], [1], epochs=1.5),  # type: ignore[arg-type]
    ),
    "batch_size that is no integer": (
        TypeError,
        "fit: batch_size is '2' but must be an integer",
        lambda: compiled().fit([[0, 1]], [1], batch_size="2"),  # type: ignore[arg-type]
    ),
    "batch_size of predict that is no integer": (
        TypeError,
        "predict: batch_size is 2.5 but must be an integer",
        lambda: compiled().predict([[0, 1]], batch_size=2.5),  # type: ignore[arg-type]
    ),
    "validation_data": (
        TypeError,
        r"fit: validation_data has shape \(4, 2\) .* but must be a pair \(x, y\)",
        lambda: compiled().fit([[0, 1]], [1], validation_data=np.ones((4, 2))),  # type: ignore[arg-type]
    ),
    "iterations": (
        ValueError,
        "fit: iterations is -1 but must be at least 0",
        lambda: nn.Neuron().fit([[0, 1, 1]], [1], iterations=-1),
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_is_wrong(name: str) -> None:
    kind, message, call = ERRORS[name]
    with pytest.raises(kind, match=message):
        call()


def test_a_refused_call_changes_nothing() -> None:
    model = compiled()
    before = model.get_weights()
    with pytest.raises(ValueError, match="y has shape"):
        model.fit(XOR_X, XOR_Y[:3], verbose=0)
    for now, then in zip(model.get_weights(), before, strict=True):
        assert_same_bits(now, then)


# --- Reports ----------------------------------------------------------------------------------


def test_history_and_evaluate_without_and_with_metrics() -> None:
    model = compiled(metrics=[])
    history = model.fit(XOR_X, XOR_Y, epochs=3, verbose=0)
    assert history is model.history
    assert history.epoch == [0, 1, 2]
    assert list(history.history) == ["loss"]
    assert isinstance(model.evaluate(XOR_X, XOR_Y), float)
    model.compile(loss="mse", metrics=["accuracy"])
    history = model.fit(XOR_X, XOR_Y, epochs=2, verbose=0)
    assert list(history.history) == ["loss", "accuracy"]
    assert [len(values) for values in history.history.values()] == [2, 2]
    result = model.evaluate(XOR_X, XOR_Y)
    assert isinstance(result, list)
    assert len(result) == 2
    assert model.fit(XOR_X, XOR_Y, epochs=0, verbose=0) == nn.History()


def test_a_new_optimizer_starts_afresh() -> None:
    one, other = compiled(optimizer="adam"), compiled(optimizer=nn.SGD(momentum=0.9))
    other.fit(XOR_X, XOR_Y, epochs=3, verbose=0)
    other.set_weights(one.get_weights())
    other.compile(loss="binary_crossentropy", optimizer="adam")
    for model in (one, other):
        model.fit(XOR_X, XOR_Y, epochs=3, shuffle=False, verbose=0)
    assert_same_bits(one.predict(XOR_X), other.predict(XOR_X))


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    compiled().fit(XOR_X, XOR_Y, epochs=3, verbose=0)
    assert capsys.readouterr() == ("", "")


def test_a_line_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    model = compiled()
    model.fit(XOR_X, XOR_Y, epochs=3, verbose=2, validation_data=(XOR_X, XOR_Y))
    lines = capsys.readouterr().out.splitlines()
    assert model.history is not None
    figures = [
        " - ".join(f"{name}: {values[epoch]:.4f}" for name, values in model.history.history.items())
        for epoch in range(3)
    ]
    assert lines == [f"Epoch {epoch + 1}/3 - {figures[epoch]}" for epoch in range(3)]
    assert "val_accuracy: " in lines[-1]


def test_a_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    compiled().fit(XOR_X, XOR_Y, epochs=12_345)
    out = capsys.readouterr().out
    assert "12345/12345" in out
    assert "accuracy: 1.0000" in out or "accuracy: 0." in out


def test_lines_where_rich_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = builtins.__import__

    def without_rich(name: str, *args: Any, **options: Any) -> Any:
        if name.split(".")[0] == "rich":
            raise ImportError(name)
        return original(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without_rich)
    compiled().fit(XOR_X, XOR_Y, epochs=3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("Epoch 3/3 - loss: ")


# --- Other processes --------------------------------------------------------------------------


def fitted(model: Any, *data: Any) -> Any:
    """Train a model or a neuron, as a job of joblib; what is imported with it takes time."""
    model.fit(*data, **({} if isinstance(model, nn.Neuron) else {"verbose": 0}))
    return model


def test_a_model_that_does_not_come_to_be_leaves_its_layers_alone() -> None:
    layer = nn.Dense(1, input_dim=2)
    with pytest.raises(TypeError, match=r"Sequential: layers\[1\] is None but must be"):
        nn.Sequential([layer, None])  # type: ignore[list-item]
    assert nn.Sequential([layer]).layers == (layer,)


def test_a_refusal_does_not_build_the_model() -> None:
    model = nn.Sequential([nn.Dense(1)], seed=0)
    model.compile(loss="mse")
    with pytest.raises(ValueError, match="fit: y has shape"):
        model.fit(XOR_X, XOR_Y[:2])
    with pytest.raises(ValueError, match=r"fit: validation_data's x has shape \(4, 1\)"):
        model.fit(XOR_X, XOR_Y, validation_data=(XOR_Y, XOR_Y))
    assert not model.built
    model.build(7)


def test_models_are_trained_in_other_processes() -> None:
    """Joblib maps what is large, weights and samples, into the memory of its processes."""
    joblib: Any = pytest.importorskip("joblib")
    x, y = problem("mse", 30, 4, 2)
    options: dict[str, Any] = {"max_nbytes": 100, "mmap_mode": "r"}
    model = network([4, 50, 2], ["tanh", None])
    model.compile(loss="mse", optimizer="adam")
    fitted(model, x, y)
    neuron = nn.Neuron(20)
    samples = np.ones((2, 20)), [0.5, 0.5]
    jobs = [joblib.delayed(fitted)(model, x, y), joblib.delayed(fitted)(neuron, *samples)]
    results = joblib.Parallel(n_jobs=2, **options)(jobs)
    joblib.externals.loky.get_reusable_executor().shutdown()
    assert_same_bits(results[0].predict(x), fitted(model, x, y).predict(x))
    assert_same_bits(results[1].weights, fitted(neuron, *samples).weights)
