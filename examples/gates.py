"""Logical gates: one neuron, then AND and exclusive or by networks; the latter beside torch.

pip install 'hotloops[examples]'    # and torch, for the comparison
python examples/gates.py
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import numpy as np

import hotloops
from hotloops import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
AND = np.array([0, 0, 0, 1])
XOR = np.array([0, 1, 1, 0])


def show_neuron() -> None:
    """Train the classic neuron, with the classic program's derivative and with the exact one."""
    inputs = [[0, 0, 1], [1, 1, 1], [1, 0, 1], [0, 1, 1]]
    for derivative in ("classic", "exact"):
        neuron = nn.Neuron(3, seed=1, derivative=derivative)
        neuron.fit(inputs, [0, 1, 1, 0], iterations=10_000)
        answer = neuron.predict([1, 0, 0])
        print(f"A neuron, {derivative} derivative: [1, 0, 0] -> {answer:.8f}; {neuron.weights}")


def show_and() -> None:
    """Train the network of 32 softmax units and one sigmoid unit on AND."""
    model = nn.Sequential(seed=0)
    model.add(nn.Dense(32, input_dim=2, activation="softmax"))
    model.add(nn.Dense(1, activation="sigmoid"))
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
    history = model.fit(X, AND, epochs=2000, verbose=0)
    print(f"AND: {model.predict(X).ravel().round(2)}, accuracy {history.history['accuracy'][-1]}")


def xor_model() -> nn.Sequential:
    """Return the network for exclusive or."""
    layers = [nn.Dense(units, "sigmoid", kernel_initializer="he_normal") for units in (10, 10, 1)]
    model = nn.Sequential(layers, seed=3)
    model.compile(loss="binary_crossentropy", optimizer=nn.SGD(0.5), metrics=["accuracy"])
    model.build(2)
    return model


def torch_seconds(model: nn.Sequential, epochs: int) -> float:
    """Return how long torch takes for so many epochs, eagerly, as its tutorials write them."""
    import torch

    torch.set_num_threads(1)
    sizes = [(2, 10), (10, 10), (10, 1)]
    modules = [part for size in sizes for part in (torch.nn.Linear(*size), torch.nn.Sigmoid())]
    twin = torch.nn.Sequential(*modules)
    with torch.no_grad():
        for mine, weights in zip(twin.parameters(), model.get_weights(), strict=True):
            mine.copy_(torch.tensor(weights.T))
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.5)
    loss_of = torch.nn.BCELoss()
    x, y = torch.tensor(X), torch.tensor(XOR[:, np.newaxis], dtype=torch.float32)
    start = time.perf_counter()
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = loss_of(twin(x), y)
        loss.backward()
        optimizer.step()
    return time.perf_counter() - start


def show_xor(epochs: int, *, with_torch: bool) -> None:
    """Train exclusive or, and say how long it takes."""
    model = xor_model()
    fresh = xor_model()
    start = time.perf_counter()
    history = model.fit(X, XOR, epochs=epochs, batch_size=4, verbose=0)
    seconds = time.perf_counter() - start
    print(f"XOR: {model.predict(X).ravel().round(2)}, loss {history.history['loss'][-1]:.2g}")
    print(f"{epochs:,} epochs in {seconds:.3f} s: {seconds / epochs * 1e6:.2f} us each.")
    if with_torch:
        few = max(1, epochs // 50)
        theirs = torch_seconds(fresh, few) / few
        print(
            f"torch: {theirs * 1e6:.0f} us each ({few:,} epochs measured), "
            f"{theirs / seconds * epochs:.0f} times as long."
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=100_000, help="of exclusive or")
    parser.add_argument("--no-torch", action="store_true", help="skip the comparison")
    options = parser.parse_args(arguments)
    show_neuron()
    show_and()
    with hotloops.threads(1):
        show_xor(options.epochs, with_torch=not options.no_torch)


if __name__ == "__main__":
    main()
