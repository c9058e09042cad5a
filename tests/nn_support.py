"""Models and problems for the tests of hotloops.nn; training as NumPy and torch do it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hotloops import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from support import Array

    Order = Sequence[Sequence[int]]  # for each epoch, the samples as they are taken

XOR_X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float64)
XOR_Y = np.array([[0], [1], [1], [0]], np.float64)


def network(
    sizes: list[int], activations: list[str | None], *, seed: int = 0, dtype: Any = np.float64
) -> nn.Sequential:
    """Return a model with normal weights, biases included."""
    layers = [nn.Dense(units, name) for units, name in zip(sizes[1:], activations, strict=True)]
    model = nn.Sequential(layers, seed=seed, dtype=dtype)
    model.build(sizes[0])
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 1, w.shape) / w.shape[0] ** 0.5 for w in model.get_weights()])
    return model


def xor_network(dtype: Any = np.float64) -> nn.Sequential:
    return network([2, 10, 10, 1], ["sigmoid"] * 3, dtype=dtype)


def problem(loss: str, samples: int, inputs: int, units: int) -> tuple[Array, Array]:
    """Return samples and targets as a loss takes them."""
    rng = np.random.default_rng(samples + inputs)
    x = rng.normal(size=(samples, inputs))
    if loss == "sparse_categorical_crossentropy":
        return x, rng.integers(0, units, samples)
    if loss == "categorical_crossentropy":
        return x, rng.dirichlet(np.ones(units), samples)
    if loss == "binary_crossentropy":
        return x, rng.integers(0, 2, (samples, units)).astype(np.float64)
    return x, rng.normal(size=(samples, units))


def torch_activation(name: str | None, z: Any) -> Any:
    """Return torch's activation of that name."""
    functional: Any = pytest.importorskip("torch").nn.functional
    if name is None:
        return z
    if name == "softmax":
        return functional.softmax(z, dim=-1)
    if name == "gelu_tanh":
        return functional.gelu(z, approximate="tanh")
    return getattr(functional, name)(z)


def torch_loss(name: str, y: Any, targets: Any) -> Any:
    """Return the mean loss of a batch, by its definition on probabilities."""
    torch: Any = pytest.importorskip("torch")
    if name == "mse":
        return ((y - targets) ** 2).mean()
    if name == "binary_crossentropy":
        y = y.clamp(1e-7, 1 - 1e-7)
        return -(targets * torch.log(y) + (1 - targets) * torch.log1p(-y)).mean()
    if name == "sparse_categorical_crossentropy":
        targets = torch.nn.functional.one_hot(targets.long(), y.shape[-1]).double()
    y = (y / y.sum(-1, keepdim=True)).clamp(1e-7, 1 - 1e-7)
    return -(targets * torch.log(y)).sum(-1).mean()


def torch_train(
    weights: Sequence[Array],
    activations: Sequence[str | None],
    x: Array,
    y: Array,
    *,
    loss: str,
    optimizer: Callable[[Any, list[Any]], Any],
    order: Order,
    batch_size: int,
) -> tuple[list[Array], list[float]]:
    """Return weights after training by torch, and the loss of each epoch."""
    torch: Any = pytest.importorskip("torch")
    tensors = [torch.tensor(array, dtype=torch.float64, requires_grad=True) for array in weights]
    torch_optimizer = optimizer(torch, tensors)
    losses = []
    for batches in _batches(order, batch_size):
        total = 0.0
        for batch in batches:
            outputs = torch.tensor(x[batch], dtype=torch.float64)
            for kernel, bias, name in zip(tensors[::2], tensors[1::2], activations, strict=True):
                outputs = torch_activation(name, outputs @ kernel + bias)
            value = torch_loss(loss, outputs, torch.tensor(y[batch]))
            torch_optimizer.zero_grad()
            value.backward()
            torch_optimizer.step()
            total += value.item() * len(batch)
        losses.append(total / len(x))
    return [tensor.detach().numpy() for tensor in tensors], losses


def numpy_train_sigmoid(
    weights: Sequence[Array],
    x: Array,
    y: Array,
    *,
    learning_rate: float,
    order: Order,
    batch_size: int,
) -> tuple[list[Array], list[float]]:
    """Return weights of sigmoid layers after descent on the binary cross-entropy, by hand."""
    weights = [array.copy() for array in weights]
    losses = []
    for batches in _batches(order, batch_size):
        total = 0.0
        for batch in batches:
            outputs = [x[batch]]
            for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
                outputs.append(1 / (1 + np.exp(-(outputs[-1] @ kernel + bias))))
            p, t = outputs[-1], y[batch]
            total += float(-(t * np.log(p) + (1 - t) * np.log(1 - p)).sum())
            gradient = (p - t) / p.size
            for layer in reversed(range(len(weights) // 2)):
                kernel, bias = weights[2 * layer : 2 * layer + 2]
                inputs = outputs[layer]
                to_inputs = gradient @ kernel.T
                kernel -= learning_rate * (inputs.T @ gradient)
                bias -= learning_rate * gradient.sum(axis=0)
                gradient = to_inputs * inputs * (1 - inputs)
        losses.append(total / len(x))
    return weights, losses


def in_order(samples: int, epochs: int) -> Order:
    """Return the order without shuffling."""
    return [range(samples)] * epochs


def shuffled(samples: int, epochs: int, state: int) -> Order:
    """Return the orders that the core makes from a state: Fisher and Yates', by SplitMix64."""
    mask = 2**64 - 1

    def draw() -> int:
        nonlocal state
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    orders = []
    for _ in range(epochs):
        order = list(range(samples))
        for i in range(samples, 1, -1):
            j = draw() * i >> 64
            order[i - 1], order[j] = order[j], order[i - 1]
        orders.append(order)
    return orders


def _batches(order: Order, batch_size: int) -> Iterator[list[list[int]]]:
    for epoch in order:
        yield [list(epoch[i : i + batch_size]) for i in range(0, len(epoch), batch_size)]
