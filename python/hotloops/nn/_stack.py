"""Layers one after another: their weights, and what comes out of them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hotloops import _arguments, _core, _operations
from hotloops.nn import _samples
from hotloops.nn._history import ActivationStatistics
from hotloops.nn._layers import (
    Activation,
    Array,
    Dense,
    Layer,
    Place,
    Storage,
    count_params,
    with_inputs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Self


class Stage(NamedTuple):
    """What is computed in one go: a dense layer with its activation, or an activation alone."""

    dense: Dense | None
    activation: str | None
    inputs: int
    units: int


class Stack:
    """What a `Sequential` is without its training: layers, weights and outputs."""

    def __init__(
        self, layers: Iterable[Layer], dtype: np.dtype[Any], rng: np.random.Generator
    ) -> None:
        if dtype not in (np.float32, np.float64):
            raise ValueError(f"Sequential: dtype is {dtype} but must be float32 or float64")
        self.dtype = dtype
        self._rng = rng
        self._layers: list[Layer] = []
        self._input_dim: int | None = None
        self._storage = Storage(np.zeros(0, dtype))
        self._add_all(layers)

    def __copy__(self) -> Self:
        """Return a model of its own: a layer belongs to one model, so none is shared."""
        return copy.deepcopy(self)

    # ---- Making ----------------------------------------------------------------------------------

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, first to last."""
        return tuple(self._layers)

    @property
    def built(self) -> bool:
        """Whether the layers have their weights."""
        return self._input_dim is not None

    def add(self, layer: Layer) -> None:
        """Add a layer at the end.

        Parameters
        ----------
        layer : Dense or Activation
            A new one, of no other model.
        """
        self._add("add", "layer", layer)

    def _add(self, function: str, name: str, layer: Layer) -> None:
        if not isinstance(layer, (Dense, Activation)):
            raise TypeError(
                f"{function}: {name} {_arguments.described(layer)} but must be Dense or Activation"
            )
        if self.built:
            raise RuntimeError("add: the model has its weights already; add layers before build")
        if layer.name is not None:
            raise ValueError(
                f"{function}: {layer.name} is part of a model already; make another layer"
            )
        if layer.input_dim is not None and self._layers:
            raise ValueError(f"{function}: input_dim is for the first layer only")
        number = 1 + sum(other.kind == layer.kind for other in self._layers)
        layer.name = f"{layer.kind}_{number}"
        self._layers.append(layer)

    def _add_all(self, layers: Iterable[Layer]) -> None:
        try:
            iterator = _arguments.as_iterator("Sequential", "layers", layers)
            for i, layer in enumerate(iterator):
                self._add("Sequential", f"layers[{i}]", layer)
        except Exception:
            for layer in self._layers:  # of no model again: this one does not come to be
                layer.name = None
            raise

    def build(self, input_dim: int | None = None) -> None:
        """Draw the weights to begin with, unless that is done.

        Parameters
        ----------
        input_dim : int, optional
            How many values go in, if the first layer does not say it.
        """
        if self.built:
            return
        if input_dim is not None:
            input_dim = _arguments.as_count("build", "input_dim", input_dim, 1)
        if not self._layers:
            raise RuntimeError("build: the model has no layers; add some first")
        inputs = self._layers[0].input_dim
        inputs = input_dim if inputs is None else inputs
        if inputs is None:
            raise ValueError(
                "build: input_dim is None and not known from the first layer; give it here or there"
            )
        self._lay_out(np.zeros(count_params(self._layers, inputs), self.dtype), inputs)
        for layer in self._layers:
            if isinstance(layer, Dense):
                layer._begin(self._rng)
        self._input_dim = inputs

    def _lay_out(self, values: Array, inputs: int) -> None:
        """Give each layer its place in an array of all weights."""
        self._storage = Storage(values)
        offset = 0
        for layer, size in with_inputs(self._layers, inputs):
            if isinstance(layer, Dense):
                layer._place = Place(self._storage, offset, size)
            offset += layer.count_params(size)

    def _units(self, inputs: int) -> int:
        """Return how many values come out of the last layer."""
        units = inputs
        for layer in self._layers:
            units = layer.units if isinstance(layer, Dense) else units
        return units

    def _stages(self) -> list[Stage]:
        """Join each activation with the dense layer before it, if that has none."""
        assert self._input_dim is not None
        stages: list[Stage] = []
        for layer, inputs in with_inputs(self._layers, self._input_dim):
            if isinstance(layer, Dense):
                stages.append(Stage(layer, layer.activation, inputs, layer.units))
            elif stages and stages[-1].activation is None:
                stages[-1] = stages[-1]._replace(activation=layer.activation)
            else:
                stages.append(Stage(None, layer.activation, inputs, inputs))
        return stages

    # ---- Using -----------------------------------------------------------------------------------

    def predict(self, x: Any, *, batch_size: int | None = None) -> Array:
        """Return the outputs.

        Parameters
        ----------
        x : array_like, shape (samples, inputs)
            Samples.
        batch_size : int, optional
            How many to compute at once; all by default. It does not change the outputs.

        Returns
        -------
        ndarray, shape (samples, units)
            Of the model's dtype.
        """
        if batch_size is not None:
            batch_size = _arguments.as_count("predict", "batch_size", batch_size, 1)
        x = self._inputs("predict", x)
        if batch_size is None or batch_size >= len(x):
            return self._outputs(x)
        return np.concatenate(
            [self._outputs(x[i : i + batch_size]) for i in range(0, len(x), batch_size)]
        )

    def _outputs(self, x: Array) -> Array:
        for dense, activation, _, _ in self._stages():
            if dense is None:
                x = _core.activate(activation, x)
            else:
                x = _operations.dense(x, dense.kernel, dense.bias, activation=activation)
        return x

    def activation_statistics(self, x: Any) -> list[ActivationStatistics]:
        """Return mean and standard deviation of what comes out of each layer.

        A deep network learns if they are about the same in all layers. If the weights are too
        small, signals fade from layer to layer; if they are too large, units saturate.

        Parameters
        ----------
        x : array_like, shape (samples, inputs)
            Samples.

        Returns
        -------
        list of ActivationStatistics
            Name of the layer, mean and standard deviation over samples and units.

        Examples
        --------
        >>> import numpy as np
        >>> from hotloops.nn import Dense, Sequential
        >>> x = np.random.default_rng(0).normal(size=(1000, 100))
        >>> for initializer in "normal", "he_normal":
        ...     layers = [Dense(100, "relu", kernel_initializer=initializer) for _ in range(9)]
        ...     last = Sequential(layers, seed=0).activation_statistics(x)[-1]
        ...     print(f"{initializer}: {last.std:.2g} after {last.layer}")
        normal: 8.5e-05 after dense_9
        he_normal: 0.99 after dense_9
        """
        x = self._inputs("activation_statistics", x)
        statistics = []
        for layer in self._layers:
            assert layer.name is not None
            if isinstance(layer, Dense):
                x = _operations.dense(x, layer.kernel, layer.bias, activation=layer.activation)
            else:
                x = _core.activate(layer.activation, x)
            mean, std = float(x.mean(dtype=np.float64)), float(x.std(dtype=np.float64))
            statistics.append(ActivationStatistics(layer.name, mean, std))
        return statistics

    def _inputs(self, function: str, x: Any) -> Array:
        """Return samples as the core takes them; the model is built now at the latest."""
        rows = _samples.as_inputs(function, "x", x, self._known_inputs(), self.dtype)
        self.build(rows.shape[1])
        return rows

    def _known_inputs(self) -> int | None:
        """Return how many values go in, if that is known before there are samples."""
        if self.built or not self._layers:
            return self._input_dim
        return self._layers[0].input_dim

    # ---- Weights ---------------------------------------------------------------------------------

    @property
    def _parameters(self) -> Array:
        """All weights in one array."""
        return self._storage.values

    def get_weights(self) -> list[Array]:
        """Return copies of all weights: kernel and bias of the first layer, of the second, ...

        Returns
        -------
        list of ndarray
            Without biases that there are not.
        """
        return [weights.copy() for weights in self._weights()]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set all weights.

        Parameters
        ----------
        weights : sequence of array_like
            In the order and the shapes of `get_weights`.
        """
        arrays = _arguments.as_iterator("set_weights", "weights", weights)
        given = [
            _arguments.as_reals("set_weights", f"weights[{i}]", array, self.dtype)
            for i, array in enumerate(arrays)
        ]
        shapes = [array.shape for array in given]
        needed = [array.shape for array in self._weights()]
        if shapes != needed:
            raise ValueError(f"set_weights: weights have shapes {shapes} but {needed} are needed")
        self._storage.make_writable()
        for array, values in zip(self._weights(), given, strict=True):
            array[...] = values

    def _weights(self) -> list[Array]:
        self.build()
        dense = [layer for layer in self._layers if isinstance(layer, Dense)]
        arrays = [array for layer in dense for array in (layer.kernel, layer.bias)]
        return [array for array in arrays if array is not None]

    def count_params(self) -> int:
        """Return how many weights there are.

        Returns
        -------
        int
            Those of all layers.
        """
        self.build()
        return self._parameters.size

    def summary(self, *, print_fn: Callable[[str], Any] = print) -> None:
        """Print the layers with their shapes and how many weights they have.

        Parameters
        ----------
        print_fn : callable
            What is called with each line.
        """
        if not callable(print_fn):
            raise TypeError(
                f"summary: print_fn {_arguments.described(print_fn)} but must be a function"
            )
        self.build()
        assert self._input_dim is not None
        print_fn(f"{'layer':<16}{'shape':<16}{'activation':<12}{'weights':>12}")
        for layer, inputs in with_inputs(self._layers, self._input_dim):
            units = layer.units if isinstance(layer, Dense) else inputs
            shape, count = f"{inputs} -> {units}", layer.count_params(inputs)
            print_fn(f"{layer.name:<16}{shape:<16}{layer.activation or '':<12}{count:>12,}")
        print_fn(f"{'total':<16}{self.dtype.name:<28}{self.count_params():>12,}")
