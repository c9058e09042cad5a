"""What `hotloops.nn` does, in plain Python: backpropagation as one would first write it.

Lists of numbers, one sample after another, the chain rule one link at a time. The fast twin takes a
whole batch through matrix products, and joins the last activation with the loss; the weights that
they end with agree to 12 digits and more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hotloops import _arguments

if TYPE_CHECKING:
    from hotloops.nn._neuron import Derivative

__all__ = ["Layer", "Neuron", "backward", "forward", "train"]

Row = list[float]
Matrix = list[Row]

# ---- One neuron ----------------------------------------------------------------------------------


class Neuron:
    """One neuron, ``tanh(x @ weights)``, like `hotloops.nn.Neuron`.

    Parameters
    ----------
    inputs : int
        How many numbers go in.
    seed : int
        Of the weights to start with.
    derivative : {"classic", "exact"}
        Of tanh, where its result is y: ``1 - tanh(y)**2`` in the classic program, exactly
        ``1 - y**2``.

    Examples
    --------
    >>> neuron = Neuron()
    >>> neuron.fit([[0, 0, 1], [1, 1, 1], [1, 0, 1], [0, 1, 1]], [0, 1, 1, 0], iterations=100)
    >>> print(f"{neuron.predict([[1, 0, 0]])[0]:.3f}")
    0.996
    """

    def __init__(
        self, inputs: int = 3, *, seed: int = 1, derivative: Derivative = "classic"
    ) -> None:
        inputs = _arguments.as_count("Neuron", "inputs", inputs, 1)
        self.derivative = _arguments.as_choice(
            "Neuron", "derivative", derivative, ("classic", "exact")
        )
        with _arguments.naming("Neuron", seed=seed):
            random = np.random.RandomState(seed)
        self.weights = [2 * random.random_sample() - 1 for _ in range(inputs)]

    @_arguments.names_arguments
    def fit(self, x: Matrix, targets: Row, *, iterations: int = 10_000) -> None:
        """Train in place, from all samples at once.

        Parameters
        ----------
        x : list of list of float
            Samples.
        targets : list of float
            What the answers should be, from -1 to 1.
        iterations : int
            How often all samples are learned from.
        """
        for _ in range(_arguments.as_count("fit", "iterations", iterations, 0)):
            step = [0.0] * len(self.weights)
            for sample, target, y in zip(x, targets, self.predict(x), strict=True):
                slope = 1 - (math.tanh(y) if self.derivative == "classic" else y) ** 2
                for i, value in enumerate(sample):
                    step[i] += value * ((target - y) * slope)
            for i, change in enumerate(step):
                self.weights[i] += change

    @_arguments.names_arguments
    def predict(self, x: Matrix) -> Row:
        """Return the answers to samples.

        Parameters
        ----------
        x : list of list of float
            Samples.

        Returns
        -------
        list of float
            Numbers from -1 to 1.
        """
        answers = []
        for sample in x:
            total = 0.0
            for value, weight in zip(sample, self.weights, strict=True):
                total += value * weight
            answers.append(math.tanh(total))
        return answers


# ---- A network -----------------------------------------------------------------------------------


@dataclass
class Layer:
    """A dense layer.

    Attributes
    ----------
    kernel : list of list of float
        A row of weights for each input, a column for each unit.
    bias : list of float
        For each unit.
    activation : {None, "relu", "sigmoid", "tanh", "softmax"}
        Applied to the sums.
    """

    kernel: Matrix
    bias: Row
    activation: str | None = None


@_arguments.names_arguments
def forward(layers: list[Layer], x: Row) -> list[Row]:
    """Return the sample, and what comes out of each layer.

    Parameters
    ----------
    layers : list of Layer
        First to last.
    x : list of float
        A sample.

    Returns
    -------
    list of list of float
        One more than there are layers.

    Examples
    --------
    >>> forward([Layer([[1.0, -1.0], [2.0, 0.0]], [0.5, 0.5], "relu")], [1.0, 2.0])
    [[1.0, 2.0], [5.5, 0]]
    """
    outputs = [x]
    for layer in layers:
        sums = list(layer.bias)
        for i, value in enumerate(outputs[-1]):
            for j, weight in enumerate(layer.kernel[i]):
                sums[j] += value * weight
        outputs.append(_activated(layer.activation, sums))
    return outputs


@_arguments.names_arguments
def backward(layers: list[Layer], outputs: list[Row], slopes: Row) -> list[tuple[Matrix, Row]]:
    """Return the gradients of each layer's kernel and bias.

    From the last layer to the first: what each sum is to blame for follows from what its output is;
    a weight's share is that times what came in; and the blame of what came in is passed on.

    Parameters
    ----------
    layers : list of Layer
        First to last.
    outputs : list of list of float
        What `forward` returned.
    slopes : list of float
        The derivatives of the loss by the last of the outputs.

    Returns
    -------
    list of tuple
        For each layer, first to last, the gradients of its kernel and of its bias.

    Examples
    --------
    >>> layers = [Layer([[2.0], [3.0]], [0.0])]
    >>> backward(layers, forward(layers, [5.0, 7.0]), [1.0])
    [([[5.0], [7.0]], [1.0])]
    """
    gradients = []
    for number in reversed(range(len(layers))):
        layer, x, y = layers[number], outputs[number], outputs[number + 1]
        blame = _slopes_before(layer.activation, y, slopes)
        gradients.append(([[value * share for share in blame] for value in x], blame))
        slopes = [
            sum(weight * share for weight, share in zip(weights, blame, strict=True))
            for weights in layer.kernel
        ]
    return gradients[::-1]


@_arguments.names_arguments
def train(
    layers: list[Layer], x: Matrix, y: Matrix, *, loss: str, learning_rate: float, epochs: int
) -> Row:
    """Train in place by gradient descent on all samples together; return the loss of each epoch.

    Parameters
    ----------
    layers : list of Layer
        First to last.
    x, y : list of list of float
        Samples, and what the outputs should be.
    loss : {"mse", "binary_crossentropy", "categorical_crossentropy"}
        What is minimized: its mean over the samples.
    learning_rate : float
        Length of a step, in gradients.
    epochs : int
        How many steps to take.

    Returns
    -------
    list of float
        Before each step.

    Examples
    --------
    >>> line = Layer([[0.0]], [0.0])
    >>> x, y = [[1.0], [3.0]], [[3.0], [7.0]]
    >>> losses = train([line], x, y, loss="mse", learning_rate=0.1, epochs=1000)
    >>> print(f"y = {line.kernel[0][0]:.3f} x + {line.bias[0]:.3f}")
    y = 2.000 x + 1.000
    """
    learning_rate = _arguments.as_positive("train", "learning_rate", learning_rate)
    losses = []
    for _ in range(_arguments.as_count("train", "epochs", epochs, 0)):
        total = 0.0
        gradients = [([[0.0] * len(u.bias) for _ in u.kernel], [0.0] * len(u.bias)) for u in layers]
        for sample, targets in zip(x, y, strict=True):
            outputs = forward(layers, sample)
            value, slopes = _loss(loss, outputs[-1], targets)
            total += value / len(x)
            of_sample = backward(layers, outputs, slopes)
            for (kernel, bias), (kernel_share, bias_share) in zip(
                gradients, of_sample, strict=True
            ):
                _add(bias, bias_share, 1 / len(x))
                for row, share in zip(kernel, kernel_share, strict=True):
                    _add(row, share, 1 / len(x))
        for layer, (kernel, bias) in zip(layers, gradients, strict=True):
            _add(layer.bias, bias, -learning_rate)
            for row, change in zip(layer.kernel, kernel, strict=True):
                _add(row, change, -learning_rate)
        losses.append(total)
    return losses


def _add(values: Row, changes: Row, factor: float) -> None:
    for i, change in enumerate(changes):
        values[i] += factor * change


def _activated(name: str | None, sums: Row) -> Row:
    if name == "relu":
        return [max(value, 0) for value in sums]
    if name == "sigmoid":
        return [1 / (1 + math.exp(-value)) for value in sums]
    if name == "tanh":
        return [math.tanh(value) for value in sums]
    if name == "softmax":
        powers = [math.exp(value - max(sums)) for value in sums]
        return [power / sum(powers) for power in powers]
    if name is not None:
        raise ValueError(f"a layer's activation is {name!r}, which is not known here")
    return sums


def _slopes_before(name: str | None, y: Row, slopes: Row) -> Row:
    """Return the derivatives by the sums, from those by the activated sums, y."""
    pairs = list(zip(y, slopes, strict=True))
    if name == "relu":
        return [slope if value > 0 else 0.0 for value, slope in pairs]
    if name == "sigmoid":
        return [slope * value * (1 - value) for value, slope in pairs]
    if name == "tanh":
        return [slope * (1 - value * value) for value, slope in pairs]
    if name == "softmax":  # a larger sum makes its own output larger, and all others smaller
        mean = sum(value * slope for value, slope in pairs)
        return [value * (slope - mean) for value, slope in pairs]
    return slopes


def _loss(name: str, y: Row, targets: Row) -> tuple[float, Row]:
    """Return the loss of a sample, and its derivatives by the outputs."""
    pairs = list(zip(y, targets, strict=True))
    if name == "mse":
        losses = [(value - t) ** 2 for value, t in pairs]
        return sum(losses) / len(y), [2 * (value - t) / len(y) for value, t in pairs]
    if name == "binary_crossentropy":
        losses = [-t * math.log(value) - (1 - t) * math.log(1 - value) for value, t in pairs]
        slopes = [(value - t) / (value * (1 - value)) for value, t in pairs]
        return sum(losses) / len(y), [slope / len(y) for slope in slopes]
    if name == "categorical_crossentropy":
        return -sum(t * math.log(value) for value, t in pairs), [-t / value for value, t in pairs]
    raise ValueError(f"train: loss is {name!r}, which is not known here")
