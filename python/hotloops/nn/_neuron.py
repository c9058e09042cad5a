"""One neuron, and the loop that trains it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from hotloops import _arguments, _core, _operations
from hotloops.nn._layers import writable

Derivative = Literal["classic", "exact"]


class Neuron:
    """One neuron, ``tanh(x @ weights)``, that learns from all samples at once.

    Training repeats ``weights += x.T @ (error * derivative)``, where ``y = tanh(x @ weights)`` is
    the answer and ``error = targets - y``. If ``derivative`` is that of tanh at ``x @ weights``,
    this is gradient descent on half of the sum of squared errors, in steps as long as the gradient.

    Parameters
    ----------
    inputs : int
        How many numbers go in.
    seed : int
        Of the weights to start with: uniform from -1 to 1, the numbers that
        ``2 * numpy.random.random(inputs) - 1`` gives after ``numpy.random.seed(seed)``.
    derivative : {"classic", "exact"}
        The derivative of tanh is ``1 - tanh(x @ weights)**2 = 1 - y**2``, and "exact" uses it. The
        classic program of one neuron writes ``1 - tanh(y)**2``: tanh of the answer, which has been
        through tanh already. Its sign is right, so it learns; but where the answer is near 1 or -1
        it is 0.42 instead of nearly 0, and a neuron that is sure of itself keeps on learning as if
        it were not.

    Attributes
    ----------
    weights : ndarray, shape (inputs,)
        float64.

    See Also
    --------
    hotloops.nn.naive.Neuron : The same in plain Python.

    Examples
    --------
    The answer is the first of three bits; the neuron finds out from four examples.

    >>> neuron = Neuron()
    >>> neuron.weights
    array([-0.16595599,  0.44064899, -0.99977125])
    >>> inputs = [[0, 0, 1], [1, 1, 1], [1, 0, 1], [0, 1, 1]]
    >>> neuron.fit(inputs, [0, 1, 1, 0], iterations=10_000)
    >>> neuron.weights
    array([5.39428067, 0.19482422, 0.34317086])
    >>> print(f"{neuron.predict([1, 0, 0]):.8f}")
    0.99995873
    """

    def __init__(
        self, inputs: int = 3, *, seed: int = 1, derivative: Derivative = "classic"
    ) -> None:
        inputs = _arguments.as_count("Neuron", "inputs", inputs, 1)
        self.derivative = _arguments.as_choice(
            "Neuron", "derivative", derivative, ("classic", "exact")
        )
        # The legacy generator's stream never changes, and a state of its own disturbs nobody's.
        with _arguments.naming("Neuron", seed=seed):
            random = np.random.RandomState(seed)
        self.weights = 2 * random.random_sample(inputs) - 1

    def fit(self, x: Any, targets: Any, *, iterations: int = 10_000) -> None:
        """Train in place: the loop runs in C++, and Ctrl-C ends it.

        Parameters
        ----------
        x : array_like, shape (samples, inputs)
            Samples.
        targets : array_like, shape (samples,) or (samples, 1)
            What the answers should be, from -1 to 1.
        iterations : int
            How often all samples are learned from.
        """
        x = _arguments.as_reals("fit", "x", x, np.float64)
        targets = _arguments.as_reals("fit", "targets", targets, np.float64)
        if x.ndim != 2 or x.shape[1] != self.weights.size:
            raise ValueError(
                f"fit: x has shape {x.shape} but (samples, {self.weights.size}) is needed"
            )
        if targets.shape not in ((len(x),), (len(x), 1)):
            raise ValueError(f"fit: targets has shape {targets.shape} but ({len(x)},) is needed")
        iterations = _arguments.as_count("fit", "iterations", iterations, 0)
        classic = self.derivative == "classic"
        self.weights = writable(self.weights)
        _core.train_neuron(x, targets, self.weights, iterations, classic)

    def predict(self, x: Any) -> Any:
        """Return the answers to samples, or to one sample.

        Parameters
        ----------
        x : array_like, shape (samples, inputs) or (inputs,)
            Samples.

        Returns
        -------
        ndarray, shape (samples,), or scalar
            Numbers from -1 to 1.
        """
        x = _arguments.as_reals("predict", "x", x, np.float64)
        if x.ndim == 0 or x.shape[-1] != self.weights.size:
            raise ValueError(
                f"predict: x has shape {x.shape} but (samples, {self.weights.size}) is needed"
            )
        return _operations.dense(x, self.weights[:, np.newaxis], activation="tanh")[..., 0]
