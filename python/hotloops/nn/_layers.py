"""The layers of a `Sequential`: what they are, and where their weights lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from hotloops import _arguments, _core
from hotloops.nn import initializers

if TYPE_CHECKING:
    import numpy as np

Array = NDArray[Any]


@dataclass(frozen=True)
class Place:
    """Where a layer has its weights: in an array of all its model's, so that one pass trains all.

    Attributes
    ----------
    parameters : ndarray
        Of the model. A part of it is found by its offset, not kept as a view: copies and pickles of
        a model then share one array as the model does.
    offset : int
        Where the kernel begins; the bias follows it.
    inputs : int
        How many values go into the layer.
    """

    parameters: Array
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
        return place.parameters[place.offset :][:size].reshape(place.inputs, self.units)

    @property
    def bias(self) -> Array | None:
        """Bias, shape (units,): the model's own, not a copy; None without one."""
        place = self._placed()
        begin = place.offset + place.inputs * self.units
        return place.parameters[begin:][: self.units] if self.use_bias else None

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

    def _begin(self, place: Place, rng: np.random.Generator) -> None:
        """Take the place of the weights, and draw them."""
        self._place = place
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
