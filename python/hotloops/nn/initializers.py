"""How weights begin: small enough not to saturate, large enough to carry a signal, all different.

An initializer takes the shape of a kernel, (inputs, units), and a `numpy.random.Generator`, and
returns an array of that shape. A layer takes one of these functions, its name, or any function
like them::

    Dense(10, kernel_initializer="he_normal")
    Dense(10, kernel_initializer=functools.partial(initializers.normal, stddev=1.0))
    Dense(10, kernel_initializer=lambda shape, rng: rng.laplace(size=shape))

The variance of a sum of ``inputs`` independent products is ``inputs`` times the variance of a
weight. Weights of variance ``1 / inputs`` therefore pass signals on as large as they came, and
gradients, which run the other way, want ``1 / units``. Glorot's variance is between the two [1]_.
He's is ``2 / inputs``, as relu loses half of the signal [2]_. `Sequential.activation_statistics`
shows what happens with others.

References
----------
.. [1] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
   networks", AISTATS 2010.
.. [2] K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers", ICCV 2015.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hotloops import _arguments

__all__ = [
    "Initializer",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "kaiming_normal",
    "kaiming_uniform",
    "normal",
    "uniform",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]

Shape = tuple[int, ...]
Initializer = Callable[[Shape, np.random.Generator], NDArray[Any]]


def zeros(shape: Shape, rng: np.random.Generator) -> NDArray[Any]:  # noqa: ARG001
    """Return zeros.

    They are for biases: units whose weights are equal would stay equal.

    Parameters
    ----------
    shape : tuple of int
        Of any length.
    rng : numpy.random.Generator
        Is not used.

    Returns
    -------
    ndarray
        Zeros of this shape.
    """
    return np.zeros(_sizes("zeros", shape))


def normal(shape: Shape, rng: np.random.Generator, *, stddev: float = 0.05) -> NDArray[Any]:
    """Draw normal numbers of mean 0.

    Parameters
    ----------
    shape : tuple of int
        Of any length.
    rng : numpy.random.Generator
        Where the numbers come from.
    stddev : float, optional
        Their standard deviation.

    Returns
    -------
    ndarray
        Of this shape, float64.
    """
    stddev = _scale("normal", "stddev", stddev)
    return _generator("normal", rng).normal(0, stddev, _sizes("normal", shape))


def uniform(shape: Shape, rng: np.random.Generator, *, limit: float = 0.05) -> NDArray[Any]:
    """Draw uniform numbers from ``-limit`` to ``limit``.

    Parameters
    ----------
    shape : tuple of int
        Of any length.
    rng : numpy.random.Generator
        Where the numbers come from.
    limit : float, optional
        The largest number.

    Returns
    -------
    ndarray
        Of this shape, float64.
    """
    limit = _scale("uniform", "limit", limit)
    return _generator("uniform", rng).uniform(-limit, limit, _sizes("uniform", shape))


def glorot_normal(shape: Shape, rng: np.random.Generator) -> NDArray[Any]:
    """Draw normal numbers of variance ``2 / (inputs + units)``.

    Also called `xavier_normal`.

    Parameters
    ----------
    shape : tuple of int
        Inputs and units.
    rng : numpy.random.Generator
        Where the numbers come from.

    Returns
    -------
    ndarray
        Of this shape, float64.
    """
    inputs, units = _fans("glorot_normal", shape)
    stddev = math.sqrt(2 / (inputs + units))
    return _generator("glorot_normal", rng).normal(0, stddev, (inputs, units))


def glorot_uniform(shape: Shape, rng: np.random.Generator) -> NDArray[Any]:
    """Draw uniform numbers of variance ``2 / (inputs + units)``.

    Also called `xavier_uniform`.

    Parameters
    ----------
    shape : tuple of int
        Inputs and units.
    rng : numpy.random.Generator
        Where the numbers come from.

    Returns
    -------
    ndarray
        Of this shape, float64.
    """
    inputs, units = _fans("glorot_uniform", shape)
    limit = math.sqrt(6 / (inputs + units))
    return _generator("glorot_uniform", rng).uniform(-limit, limit, (inputs, units))


def he_normal(shape: Shape, rng: np.random.Generator) -> NDArray[Any]:
    """Draw normal numbers of variance ``2 / inputs``.

    Also called `kaiming_normal`.

    Parameters
    ----------
    shape : tuple of int
        Inputs and units.
    rng : numpy.random.Generator
        Where the numbers come from.

    Returns
    -------
    ndarray
        Of this shape, float64.
    """
    inputs, units = _fans("he_normal", shape)
    return _generator("he_normal", rng).normal(0, math.sqrt(2 / inputs), (inputs, units))


def he_uniform(shape: Shape, rng: np.random.Generator) -> NDArray[Any]:
    """Draw uniform numbers of variance ``2 / inputs``.

    Also called `kaiming_uniform`.

    Parameters
    ----------
    shape : tuple of int
        Inputs and units.
    rng : numpy.random.Generator
        Where the numbers come from.

    Returns
    -------
    ndarray
        Of this shape, float64.
    """
    inputs, units = _fans("he_uniform", shape)
    limit = math.sqrt(6 / inputs)
    return _generator("he_uniform", rng).uniform(-limit, limit, (inputs, units))


xavier_normal = glorot_normal
xavier_uniform = glorot_uniform
kaiming_normal = he_normal
kaiming_uniform = he_uniform

_NAMED: dict[str, Initializer] = {
    "zeros": zeros,
    "normal": normal,
    "uniform": uniform,
    "glorot_normal": glorot_normal,
    "glorot_uniform": glorot_uniform,
    "xavier_normal": xavier_normal,
    "xavier_uniform": xavier_uniform,
    "he_normal": he_normal,
    "he_uniform": he_uniform,
    "kaiming_normal": kaiming_normal,
    "kaiming_uniform": kaiming_uniform,
}


def get(initializer: str | Initializer) -> Initializer:
    """Return the initializer of that name; a function is returned as it is.

    Parameters
    ----------
    initializer : str or callable
        The name of one of these functions, or a function like them.

    Returns
    -------
    callable
        What takes a shape and a generator and returns an array.

    Raises
    ------
    ValueError
        If there is no initializer of that name.

    Examples
    --------
    >>> import numpy as np
    >>> get("he_normal")((2, 3), np.random.default_rng(0)).shape
    (2, 3)
    """
    return named("get", "initializer", initializer)


def named(function: str, argument: str, initializer: str | Initializer) -> Initializer:
    """Return what `get` returns; refuse in the name of the function that was given it."""
    if callable(initializer):
        return initializer
    needed = "must be a function or one of"
    return _NAMED[_arguments.as_choice(function, argument, initializer, tuple(_NAMED), needed)]


def _sizes(function: str, shape: Shape) -> Shape:
    if not isinstance(shape, (tuple, list)):
        raise TypeError(
            f"{function}: shape {_arguments.described(shape)} but must be a tuple of integers"
        )
    return tuple(_arguments.as_count(function, "shape", size, 0) for size in shape)


def _fans(function: str, shape: Shape) -> tuple[int, int]:
    """Return how many values go into a unit, and how many units a value goes into."""
    sizes = _sizes(function, shape)
    if len(sizes) != 2 or 0 in sizes:
        raise ValueError(
            f"{function}: shape is {shape} but this initializer needs (inputs, units); for a bias, "
            "use 'zeros'"
        )
    return sizes[0], sizes[1]


def _scale(function: str, name: str, value: float) -> float:
    scale = _arguments.as_real(function, name, value)
    if not 0 <= scale < math.inf:
        raise ValueError(f"{function}: {name} is {value} but must be at least 0 and finite")
    return scale


def _generator(function: str, rng: np.random.Generator) -> np.random.Generator:
    if not isinstance(rng, (np.random.Generator, np.random.RandomState)):
        raise TypeError(
            f"{function}: rng {_arguments.described(rng)} but must be a numpy.random.Generator"
        )
    return rng
