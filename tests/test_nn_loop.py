"""The training loop: its order, what it keeps, and how it lives with Python."""

from __future__ import annotations

import _thread
import copy
import pickle
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hotloops import _core, nn
from nn_support import XOR_X, XOR_Y, network, problem, shuffled, xor_network

if TYPE_CHECKING:
    from collections.abc import Callable


def test_every_sample_is_taken_once_an_epoch_in_an_order_that_changes() -> None:
    """One weight a sample, a batch of one: the losses of an epoch show who has been there."""
    samples = 20
    model = nn.Sequential([nn.Dense(1, use_bias=False)], seed=0, dtype=np.float64)
    model.build(samples)
    model.set_weights([np.zeros((samples, 1))])
    model.compile(loss="mse", optimizer=nn.SGD(0.25))
    model.fit(np.eye(samples), np.ones(samples), epochs=1, batch_size=1, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], np.full((samples, 1), 0.5))
    orders = shuffled(samples, 2, 123)
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(samples))
    assert orders[0] != orders[1]


def test_shuffling_is_even() -> None:
    counts = np.zeros((5, 5))
    for order in shuffled(5, 20_000, 1):
        counts[range(5), order] += 1
    assert abs(counts / 20_000 - 1 / 5).max() < 4 * np.sqrt(0.2 * 0.8 / 20_000)


@pytest.mark.parametrize(
    "optimizer", [nn.SGD(0.1, momentum=0.9), nn.SGD(0.1, momentum=0.9, nesterov=True), nn.Adam()]
)
@pytest.mark.usefixtures("isa")
def test_nothing_subnormal_is_kept(dtype: np.dtype[Any], optimizer: nn.SGD | nn.Adam) -> None:
    """An input that stays zero from now on: what is remembered of its gradients decays."""
    model = network([2, 21], [None], dtype=dtype)
    model.compile(loss="mse", optimizer=optimizer)
    model.fit([[1.0, 1.0]], np.ones((1, 21)), verbose=0)
    for slot in model._slots:
        slot[:21] = np.finfo(dtype).smallest_normal * 3
    model.fit([[0.0, 1.0]], np.ones((1, 21)), epochs=40, verbose=0)
    for slot in model._slots[:1]:
        assert (slot[:21] == 0).all()
    for slot in model._slots:
        assert (slot[21:42] != 0).all()


@pytest.mark.parametrize("values", [np.nan, np.inf])
def test_what_is_not_finite_stays_visible(values: float) -> None:
    model = network([2, 3, 1], ["relu", None])
    model.compile(loss="mse", optimizer="adam")
    history = model.fit([[values, 1.0], [1.0, 1.0]], [0, 0], epochs=2, verbose=0)
    assert not np.isfinite(history.history["loss"]).any()


def test_a_layer_that_is_only_an_activation() -> None:
    """At the start, twice in a row, and at the end; the last is joined with the loss."""
    torch: Any = pytest.importorskip("torch")
    layers: list[nn.Dense | nn.Activation] = [nn.Activation("gelu"), nn.Dense(4, "tanh")]
    layers += [nn.Activation("silu"), nn.Activation("softmax"), nn.Dense(3)]
    layers += [nn.Activation("gelu_tanh"), nn.Activation("sigmoid")]
    model = nn.Sequential(layers, seed=1, dtype=np.float64)
    x, y = problem("binary_crossentropy", 9, 5, 3)
    model.compile(loss="binary_crossentropy", optimizer=nn.SGD(0.5))
    loss = model.evaluate(x, y)
    k1, b1, k2, b2 = (torch.tensor(w, requires_grad=True) for w in model.get_weights())
    f = torch.nn.functional
    h = torch.tanh(f.gelu(torch.tensor(x)) @ k1 + b1)
    z = f.gelu(f.softmax(f.silu(h), dim=-1) @ k2 + b2, approximate="tanh")
    expected = f.binary_cross_entropy_with_logits(z, torch.tensor(y))
    assert loss == pytest.approx(expected.item(), rel=1e-14)
    np.testing.assert_allclose(model.predict(x), torch.sigmoid(z).detach(), rtol=1e-13)
    expected.backward()
    before = model.get_weights()
    model.fit(x, y, batch_size=9, verbose=0)
    for old, new, tensor in zip(before, model.get_weights(), (k1, b1, k2, b2), strict=True):
        assert tensor.grad is not None
        np.testing.assert_allclose((old - new) / 0.5, tensor.grad, rtol=1e-9, atol=1e-15)


# --- The loop ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("_interruptible")
def test_ctrl_c_ends_the_loop_in_c_plus_plus() -> None:
    layers = [_core.Layer(2, 1, "sigmoid", has_kernel=True, has_bias=True)]
    training = _core.Training(layers, "binary_crossentropy", XOR_X, XOR_Y, 4)
    parameters, state = np.zeros(3), _core.TrainingState(0, 0)
    threading.Timer(0.1, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        training.train(_core.Optimizer("sgd", 0.1), parameters, [], state, 10**12, 1e9, True)
    assert state.steps > 1000
    assert np.isfinite(parameters).all()


@pytest.mark.usefixtures("_interruptible")
def test_ctrl_c_leaves_a_model_that_works() -> None:
    model = xor_network()
    model.compile(loss="binary_crossentropy")
    threading.Timer(0.3, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        model.fit(XOR_X, XOR_Y, epochs=10**9, verbose=0)
    assert model.history is not None
    assert model.history.epoch[-1] > 1000
    assert len(model.history.history["loss"]) == len(model.history.epoch)
    assert model._steps >= len(model.history.epoch)
    model.fit(XOR_X, XOR_Y, epochs=1, verbose=0)


def test_other_threads_run_while_a_model_trains() -> None:
    model = xor_network()
    model.compile(loss="binary_crossentropy")
    done = threading.Event()

    def train() -> None:
        model.fit(XOR_X, XOR_Y, epochs=200_000, verbose=0)
        done.set()

    thread = threading.Thread(target=train)
    thread.start()
    rounds = 0
    while not done.is_set():
        rounds += 1
    thread.join()
    assert rounds > 1000


def test_one_thread_at_a_time_trains_a_model() -> None:
    model = xor_network()
    model.compile(loss="binary_crossentropy")
    started, stop = threading.Event(), threading.Event()

    def samples() -> Any:
        started.set()
        stop.wait()
        return XOR_X

    class Slow:
        def __array__(self, *_: Any, **__: Any) -> Any:
            return samples()

    thread = threading.Thread(target=lambda: model.fit(Slow(), XOR_Y, verbose=0))
    thread.start()
    started.wait()
    try:
        with pytest.raises(RuntimeError, match=r"fit: another thread is in this model's fit"):
            model.fit(XOR_X, XOR_Y, verbose=0)
        with pytest.raises(RuntimeError, match=r"compile: another thread"):
            model.compile(loss="mse")
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            other.fit(XOR_X, XOR_Y, verbose=0)  # a model of its own
    finally:
        stop.set()
        thread.join()
    assert model.history is not None
    model.fit(XOR_X, XOR_Y, verbose=0)


def test_the_core_refuses_what_does_not_fit() -> None:
    layer = _core.Layer(2, 1, "sigmoid", has_kernel=True, has_bias=True)
    good: dict[str, Any] = {
        "layers": [layer],
        "loss": "mse",
        "x": XOR_X,
        "y": XOR_Y,
        "batch_size": 4,
    }
    training = _core.Training(**good)
    sparse = "sparse_categorical_crossentropy"
    wrongs: list[tuple[str, dict[str, Any]]] = [
        ("y: a contiguous array of 4 elements of float32", {"x": XOR_X.astype(np.float32)}),
        ("x: float32 or float64 is needed", {"x": XOR_X.astype(np.int64)}),
        ("x: rows of samples are needed", {"x": XOR_X[:0]}),
        ("x: a contiguous array of 8 elements", {"x": XOR_X[:, :1].copy()}),
        ("x: a contiguous array of 8 elements", {"x": np.asfortranarray(XOR_X)}),
        ("y: a contiguous array of 4 elements", {"y": XOR_Y[:3]}),
        ("y: a contiguous array of 4 elements", {"y": XOR_Y.astype(np.float32)}),
        (
            "y has the class 1 but the classes of 1 outputs are 0 to 0",
            {"y": np.array([0, 1, 1, 0]), "loss": sparse},
        ),
        ("y has the class -1", {"y": np.array([0, -1, 0, 0]), "loss": sparse}),
        ("loss is 'mae' but must be 'mse', 'binary", {"loss": "mae"}),
        ("layers: at least one is needed", {"layers": []}),
        ("layers: a layer's inputs are not", {"layers": [layer, layer]}),
        ("batch_size: at least 1 is needed", {"batch_size": 0}),
    ]
    for message, wrong in wrongs:
        with pytest.raises(ValueError, match=message):
            _core.Training(**(good | wrong))
    with pytest.raises(ValueError, match="parameters: a contiguous array of 3 elements"):
        training.evaluate(np.zeros(4))
    state = _core.TrainingState(0, 0)
    with pytest.raises(ValueError, match="slots"):
        training.train(_core.Optimizer("adam", 0.1), np.zeros(3), [], state, 1, 1.0, True)
    with pytest.raises(ValueError, match="rule is 'lbfgs' but must be 'sgd', 'momentum'"):
        _core.Optimizer("lbfgs", 0.1)


def test_the_core_refuses_what_was_never_made() -> None:
    layer = _core.Layer(2, 1, "sigmoid", has_kernel=True, has_bias=True)
    training = _core.Training([layer], "mse", XOR_X, XOR_Y, 4)
    state, optimizer = _core.TrainingState(0, 0), _core.Optimizer("sgd", 0.1)
    uses: dict[Any, Callable[[Any], Any]] = {
        _core.Layer: lambda x: _core.Training([x], "mse", XOR_X, XOR_Y, 4),
        _core.Training: lambda x: x.evaluate(np.zeros(3)),
        _core.TrainingState: lambda x: x.steps,
        _core.Optimizer: lambda x: training.train(x, np.zeros(3), [], state, 1, 1.0, True),
    }
    for kind, use in uses.items():
        with pytest.raises(TypeError, match=rf"{kind.__name__}.__init__\(\) has not been called"):
            use(kind.__new__(kind))
    training.train(optimizer, np.zeros(3), [], state, 1, 1.0, True)
