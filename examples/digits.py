"""Handwritten digits, 64-128-10: trained in seconds, and timed beside torch doing the same steps.

    pip install 'hotloops[examples]'    # and torch, for the comparison
    python examples/digits.py

The images are scikit-learn's 1,797 digits of 8x8 pixels; every fourth is held out as a test. torch
gets the same weights to begin with, and takes the same steps of the same batches, eagerly, as its
tutorials do. The two take turns, an epoch each, on one thread; what is printed are medians.
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits

import hotloops
from hotloops import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]

BATCH_SIZE = 32


class Digits(NamedTuple):
    """Images with pixels from 0 to 1, and what they show."""

    train_x: Array
    train_y: Array
    test_x: Array
    test_y: Array


def load(dtype: Any) -> Digits:
    """Return the digits, in a random order: they come sorted by who has written them."""
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    images, labels = (pixels[order] / 16).astype(dtype), labels[order]
    held_out = np.arange(len(labels)) % 4 == 0
    return Digits(images[~held_out], labels[~held_out], images[held_out], labels[held_out])


def make_model(optimizer: str, dtype: Any) -> nn.Sequential:
    """Return the network, with the weights to begin with."""
    model = nn.Sequential(seed=0, dtype=dtype)
    model.add(nn.Dense(128, "relu", kernel_initializer="he_uniform", input_dim=64))
    model.add(nn.Dense(10, "softmax"))
    model.compile(
        loss="sparse_categorical_crossentropy",
        optimizer=nn.Adam(0.002) if optimizer == "adam" else nn.SGD(0.05, momentum=0.9),
        metrics=["accuracy"],
    )
    return model


def torch_epochs(model: nn.Sequential, digits: Digits) -> Callable[[], float]:
    """Return a function that trains torch's twin of the model for an epoch; it returns the loss."""
    import torch

    torch.set_num_threads(1)
    k1, b1, k2, b2 = (torch.tensor(weights) for weights in model.get_weights())
    twin = torch.nn.Sequential(
        torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10)
    ).to(k1.dtype)
    twin.load_state_dict({"0.weight": k1.T, "0.bias": b1, "2.weight": k2.T, "2.bias": b2})
    ours = model.optimizer
    optimizer: torch.optim.Optimizer
    if isinstance(ours, nn.Adam):
        optimizer = torch.optim.Adam(twin.parameters(), ours.learning_rate, eps=ours.epsilon)
    else:
        assert ours is not None
        optimizer = torch.optim.SGD(twin.parameters(), ours.learning_rate, momentum=ours.momentum)
    loss_of = torch.nn.CrossEntropyLoss()
    x, y = torch.tensor(digits.train_x), torch.tensor(digits.train_y)

    def epoch() -> float:
        total = 0.0
        for first in range(0, len(x), BATCH_SIZE):
            batch = slice(first, first + BATCH_SIZE)
            loss = loss_of(twin(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x[batch])
        return total / len(x)

    return epoch


def compare(digits: Digits, optimizer: str, dtype: Any, epochs: int) -> None:
    """Print the medians of epochs that hotloops and torch take in turns."""
    model = make_model(optimizer, dtype)

    def ours() -> float:
        x, y = digits.train_x, digits.train_y
        history = model.fit(x, y, batch_size=BATCH_SIZE, shuffle=False, verbose=0)
        return history.history["loss"][0]

    seconds: dict[str, list[float]] = {"hotloops": [], "torch": []}
    with hotloops.threads(1):  # and torch, whose setting ends with this, too
        theirs = torch_epochs(model, digits)
        for _ in range(epochs):
            losses = []
            for name, epoch in (("hotloops", ours), ("torch", theirs)):
                start = time.perf_counter()
                losses.append(epoch())
                seconds[name].append(time.perf_counter() - start)
            # The same steps, or there is nothing to compare. float32's roundings drift apart.
            np.testing.assert_allclose(losses[0], losses[1], rtol=1e-2)
    fast, slow = median(seconds["hotloops"]), median(seconds["torch"])
    print(
        f"An epoch of {optimizer} in {np.dtype(dtype)}: {fast * 1e3:.2f} ms, "
        f"torch {slow * 1e3:.2f} ms, {slow / fast:.1f} times as long."
    )


def main(arguments: Sequence[str] | None = None) -> float:
    """Train, judge, and compare; return the accuracy on the test images."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--optimizer", choices=["adam", "sgd"], default="adam")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--verbose", type=int, choices=[0, 1, 2], default=1)
    parser.add_argument("--no-torch", action="store_true", help="skip the comparison")
    options = parser.parse_args(arguments)

    digits = load(options.dtype)
    model = make_model(options.optimizer, options.dtype)
    model.summary()
    start = time.perf_counter()
    model.fit(
        digits.train_x,
        digits.train_y,
        epochs=options.epochs,
        batch_size=BATCH_SIZE,
        verbose=options.verbose,
        validation_data=(digits.test_x, digits.test_y),
    )
    seconds = time.perf_counter() - start
    accuracy = float((model.predict(digits.test_x).argmax(axis=1) == digits.test_y).mean())
    print(f"{accuracy:.1%} of the test images are recognized after {seconds:.2f} s of training.")
    if not options.no_torch:
        compare(digits, options.optimizer, options.dtype, epochs=15)
    return accuracy


if __name__ == "__main__":
    main()
