"""Neural networks small enough to be trained on a CPU in seconds, with the habits of Keras.

`Sequential` is a stack of `Dense` and `Activation` layers. `Neuron` is a single neuron, trained by
a classic loop. Training runs in C++, on the same products as `hotloops.matmul`, and does not come
back to Python from step to step: exclusive or takes microseconds an epoch. What it does is written
out in plain Python in `hotloops.nn.naive`.

>>> import numpy as np
>>> from hotloops.nn import Dense, Sequential
>>> x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 0, 0, 1])
>>> model = Sequential([Dense(32, "softmax", input_dim=2), Dense(1, "sigmoid")], seed=0)
>>> model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
>>> history = model.fit(x, y, epochs=2000, verbose=0)
>>> loss, accuracy = model.evaluate(x, y)
>>> accuracy
1.0
"""

from __future__ import annotations

from hotloops.nn import initializers, naive
from hotloops.nn._history import ActivationStatistics, History
from hotloops.nn._layers import Activation, Dense
from hotloops.nn._neuron import Neuron
from hotloops.nn._optimizers import SGD, Adam
from hotloops.nn._sequential import Sequential

__all__ = [
    "SGD",
    "Activation",
    "ActivationStatistics",
    "Adam",
    "Dense",
    "History",
    "Neuron",
    "Sequential",
    "initializers",
    "naive",
]
