"""The single neuron: every digit of the classic program's results, and the true gradient."""

from __future__ import annotations

import _thread
import threading

import numpy as np
import pytest

from hotloops import _core, nn

INPUTS = [[0, 0, 1], [1, 1, 1], [1, 0, 1], [0, 1, 1]]
TARGETS = [0, 1, 1, 0]

START = "[-0.16595599  0.44064899 -0.99977125]"
END = "[5.39428067 0.19482422 0.34317086]"
ANSWER = "0.99995873"


@pytest.mark.usefixtures("isa")
def test_every_digit_of_the_classic_program() -> None:
    neuron = nn.Neuron(3, seed=1)
    assert str(neuron.weights) == START
    neuron.fit(INPUTS, TARGETS, iterations=10_000)
    assert str(neuron.weights) == END
    assert f"{neuron.predict([1, 0, 0]):.8f}" == ANSWER
    assert f"{neuron.predict([[1, 0, 0]])[0]:.8f}" == ANSWER


def test_every_digit_of_the_naive_twin() -> None:
    neuron = nn.naive.Neuron(3, seed=1)
    assert str(np.array(neuron.weights)) == START
    neuron.fit([[float(v) for v in row] for row in INPUTS], [0.0, 1.0, 1.0, 0.0])
    assert str(np.array(neuron.weights)) == END
    assert f"{neuron.predict([[1, 0, 0]])[0]:.8f}" == ANSWER


def test_the_seed_is_numpys_and_the_global_state_is_left_alone() -> None:
    np.random.seed(7)
    expected = 2 * np.random.random((4, 1)) - 1
    np.random.seed(3)
    np.testing.assert_array_equal(nn.Neuron(4, seed=7).weights, expected[:, 0])
    after = np.random.random()
    np.random.seed(3)
    assert np.random.random() == after


@pytest.mark.parametrize("derivative", ["classic", "exact"])
def test_both_derivatives_as_their_naive_twin(derivative: nn._neuron.Derivative) -> None:
    rng = np.random.default_rng(1)
    x, targets = rng.normal(size=(300, 7)) / 10, rng.uniform(-0.9, 0.9, 300)
    fast = nn.Neuron(7, seed=2, derivative=derivative)
    slow = nn.naive.Neuron(7, seed=2, derivative=derivative)
    fast.fit(x, targets, iterations=50)
    slow.fit(x.tolist(), targets.tolist(), iterations=50)
    np.testing.assert_allclose(fast.weights, slow.weights, rtol=1e-12)


def test_exact_is_the_gradient_of_half_the_squared_error_and_classic_is_not() -> None:
    rng = np.random.default_rng(2)
    x, targets = rng.normal(size=(20, 3)), rng.uniform(-1, 1, 20)
    steps = {}
    for derivative in ("classic", "exact"):
        neuron = nn.Neuron(3, seed=5, derivative=derivative)
        start = neuron.weights.copy()
        neuron.fit(x, targets, iterations=1)
        steps[derivative] = neuron.weights - start

    def half_squared_error(weights: np.ndarray) -> float:
        return float(((targets - np.tanh(x @ weights)) ** 2).sum() / 2)

    h = 1e-5
    slope = np.array(
        [
            (half_squared_error(start + h * e) - half_squared_error(start - h * e)) / (2 * h)
            for e in np.eye(3)
        ]
    )
    np.testing.assert_allclose(steps["exact"], -slope, rtol=1e-7)
    assert (abs(steps["classic"] + slope) > 1e-3 * abs(slope)).all()


def test_arguments_that_do_not_fit_are_named() -> None:
    neuron = nn.Neuron(3)
    with pytest.raises(ValueError, match=r"fit: x has shape \(2, 4\) but \(samples, 3\) is needed"):
        neuron.fit(np.zeros((2, 4)), [0, 0])
    with pytest.raises(ValueError, match=r"fit: targets has shape \(3,\) but \(2,\) is needed"):
        neuron.fit(np.zeros((2, 3)), [0, 0, 0])
    with pytest.raises(ValueError, match="derivative is 'true' but must be 'classic' or 'exact'"):
        nn.Neuron(3, derivative="true")  # type: ignore[arg-type]


@pytest.mark.usefixtures("_interruptible")
def test_ctrl_c_ends_the_loop() -> None:
    neuron = nn.Neuron(3)
    threading.Timer(0.1, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        neuron.fit(INPUTS, TARGETS, iterations=10**12)
    assert np.isfinite(neuron.weights).all()


def test_the_core_refuses_arrays_that_it_cannot_use_as_they_are() -> None:
    x, targets, weights = np.zeros((4, 3)), np.zeros(4), np.zeros(3)
    wrongs: list[np.ndarray] = [x.astype(np.float32), x.T, x[:, ::2]]
    for wrong in wrongs:
        with pytest.raises(ValueError, match=r"(x|targets|weights): "):
            _core.train_neuron(wrong, targets, weights, 1, True)
    weights.flags.writeable = False
    with pytest.raises(ValueError, match="weights: is read-only"):
        _core.train_neuron(x, targets, weights, 1, True)
