"""The layers of a `Sequential`: what they are, and where their weights lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hotloops import _arguments, _core
from hotloops.nn import initializers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Array = NDArray[Any]


class Storage:
    """All weights of a model in one array, so that one pass trains all.

    The model and its layers refer to this object, not to the array. Whatever copies or pickles a
    model keeps the identity of an object, but not always that of an array: joblib stores an array
    once for every reference to it.

    Attributes
    ----------
    values : ndarray
        The weights, one layer after another.
    """

    def __init__(self, values: Array) -> None:
        self.values = values

    def __setstate__(self, state: dict[str, Array]) -> None:
        self.values = np.asarray(state["values"])  # joblib can map it into memory as a subclass

    def make_writable(self) -> None:
        """Copy the values before they change, if they are mapped from a file that must not."""
        self.values = writable(self.values)


def writable(array: Array) -> Array:
    """Return an array that can be written to: the same or, if that is read-only, a copy."""
    return array if array.flags.writeable else array.copy()


@dataclass(frozen=True)
class Place:
    """Where a layer has its weights.

    Attributes
    ----------
    storage : Storage
        Of the model.
    offset : int
        Where the kernel begins; the bias follows it.
    inputs : int
        How many values go into the layer.
    """

    storage: Storage
    offset: int
    inputs: int


class Dense:
    """Fully connected layer, ``activation(x @ kernel + bias)``, to be added to a `Sequential`.

    Parameters
    ----------
    units : int
        How many values come out.
    activation : {None, 'relu', 'gelu', 'gelu_tanh', 'sigmoid', 'tanh', 'silu', 'softmax'}, optional
        Applied last; see `hotloops.dense`.
    use_bias : bool
        Whether there is a bias.
    kernel_initializer, bias_initializer : str or callable
        How the weights begin; see `hotloops.nn.initializers`.
    input_dim : int, optional
        How many values go in. Only the first layer can have it, and need not: it is known when
        samples are.

    Examples
    --------
    >>> from hotloops.nn import Dense, Sequential
    >>> model = Sequential([Dense(3, activation="relu", input_dim=2)])
    >>> model.build()
    >>> model.layers[0].kernel.shape, model.layers[0].bias
    ((2, 3), array([0., 0., 0.], dtype=float32))
    """

    kind = "dense"

    def __init__(
        self,
        units: int,
        activation: str | None = None,
        *,
        use_bias: bool = True,
        kernel_initializer: str | initializers.Initializer = "glorot_uniform",
        bias_initializer: str | initializers.Initializer = "zeros",
        input_dim: int | None = None,
    ) -> None:
        _core.check_activation("Dense", activation)
        self.units = _arguments.as_count("Dense", "units", units, 1)
        self.activation = activation
        self.use_bias = _arguments.as_flag("Dense", "use_bias", use_bias)
        self.kernel_initializer = initializers.named(
            "Dense", "kernel_initializer", kernel_initializer
        )
        self.bias_initializer = initializers.named("Dense", "bias_initializer", bias_initializer)
        self.input_dim = _input_dim("Dense", input_dim)
        self.name: str | None = None  # until it is part of a model
        self._place: Place | None = None

    @property
    def kernel(self) -> Array:
        """Weights, shape (inputs, units): the model's own, not a copy."""
        place = self._placed()
        size = place.inputs * self.units
        values = place.storage.values[place.offset :][:size]
        return values.reshape(place.inputs, self.units)

    @property
    def bias(self) -> Array | None:
        """Bias, shape (units,): the model's own, not a copy; None without one."""
        place = self._placed()
        begin = place.offset + place.inputs * self.units
        return place.storage.values[begin:][: self.units] if self.use_bias else None

    def count_params(self, inputs: int) -> int:
        """Return the number of weights.

        Parameters
        ----------
        inputs : int
            How many values go in.

        Returns
        -------
        int
            Those of the kernel and the bias.
        """
        inputs = _arguments.as_count("count_params", "inputs", inputs, 1)
        return (inputs + self.use_bias) * self.units

    def _placed(self) -> Place:
        if self._place is None:
            raise RuntimeError(
                "Dense: there are no weights yet; they come with the model's build, fit or predict"
            )
        return self._place

    def _begin(self, rng: np.random.Generator) -> None:
        """Draw the weights."""
        kernel, bias = self.kernel, self.bias
        kernel[...] = self.kernel_initializer(kernel.shape, rng)
        if bias is not None:
            bias[...] = self.bias_initializer(bias.shape, rng)


class Activation:
    """An activation as a layer of its own, to be added to a `Sequential`.

    After a `Dense` without an activation it is that layer's activation, at no further cost.

    Parameters
    ----------
    activation : {'relu', 'gelu', 'gelu_tanh', 'sigmoid', 'tanh', 'silu', 'softmax'}
        What is applied; see `hotloops.dense`.
    input_dim : int, optional
        How many values go in, if it is the first layer.

    Examples
    --------
    >>> from hotloops.nn import Activation, Dense, Sequential
    >>> model = Sequential([Dense(3, input_dim=2), Activation("relu")])
    """

    kind = "activation"

    def __init__(self, activation: str, *, input_dim: int | None = None) -> None:
        _core.check_activation("Activation", activation, or_none=False)
        self.activation = activation
        self.input_dim = _input_dim("Activation", input_dim)
        self.name: str | None = None  # until it is part of a model

    def count_params(self, inputs: int) -> int:
        """Return 0: there are no weights.

        Parameters
        ----------
        inputs : int
            How many values go in.

        Returns
        -------
        int
            Zero.
        """
        _arguments.as_count("count_params", "inputs", inputs, 1)
        return 0


def _input_dim(kind: str, input_dim: int | None) -> int | None:
    return None if input_dim is None else _arguments.as_count(kind, "input_dim", input_dim, 1)


Layer = Dense | Activation


def with_inputs(layers: Iterable[Layer], inputs: int) -> Iterator[tuple[Layer, int]]:
    """Yield each layer with the number of its inputs."""
    for layer in layers:
        yield layer, inputs
        inputs = layer.units if isinstance(layer, Dense) else inputs


def count_params(layers: Iterable[Layer], inputs: int) -> int:
    """Return how many weights layers have together."""
    return sum(layer.count_params(size) for layer, size in with_inputs(layers, inputs))
