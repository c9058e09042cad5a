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
    return np.zeros(shape)


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
    return rng.normal(0, stddev, shape)


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
    return rng.uniform(-limit, limit, shape)


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
    return rng.normal(0, math.sqrt(2 / sum(_fans(shape))), shape)


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
    return uniform(shape, rng, limit=math.sqrt(6 / sum(_fans(shape))))


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
    return rng.normal(0, math.sqrt(2 / _fans(shape)[0]), shape)


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
    return uniform(shape, rng, limit=math.sqrt(6 / _fans(shape)[0]))


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
    if callable(initializer):
        return initializer
    if initializer not in _NAMED:
        names = ", ".join(map(repr, _NAMED))
        raise ValueError(f"initializer is {initializer!r} but must be a function or one of {names}")
    return _NAMED[initializer]


def _fans(shape: Shape) -> tuple[int, int]:
    """Return how many values go into a unit, and how many units a value goes into."""
    if len(shape) != 2:
        raise ValueError(
            f"shape is {shape} but this initializer needs (inputs, units); for a bias, use 'zeros'"
        )
    return shape[0], shape[1]
