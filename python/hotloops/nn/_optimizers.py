"""Optimizers: names for the rules of the compiled core, and their numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hotloops import _arguments, _core


class _Hyperparameters:
    """Numbers that are checked whenever they are set, and kept as Python's own."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, self._checked(name, value))

    def _checked(self, name: str, value: Any) -> Any:
        """Return a value as it is kept, or refuse it."""
        kind = type(self).__name__
        if name == "nesterov":
            return _arguments.as_flag(kind, name, value)
        if name in ("learning_rate", "epsilon"):
            return _arguments.as_positive(kind, name, value)
        if name in ("momentum", "beta_1", "beta_2"):
            number = _arguments.as_real(kind, name, value)
            if not 0 <= number < 1:
                raise ValueError(f"{kind}: {name} is {value} but must be from 0 to below 1")
            return number
        return value


@dataclass
class SGD(_Hyperparameters):
    """Stochastic gradient descent, with momentum if wanted.

    ``p -= learning_rate * g`` without momentum. With it a velocity follows the gradients,
    ``v = momentum * v + g``, and the parameters follow the velocity,
    ``p -= learning_rate * v``; or, with Nesterov's momentum, the velocity that is to be expected
    after the next step, ``p -= learning_rate * (momentum * v + g)``.

    Parameters
    ----------
    learning_rate : float
        Length of a step, in gradients.
    momentum : float
        Which part of the velocity lasts until the next step, from 0 up to, but without, 1.
    nesterov : bool
        Whether to use Nesterov's momentum.

    Examples
    --------
    >>> SGD(learning_rate=0.1, momentum=0.9, nesterov=True)
    SGD(learning_rate=0.1, momentum=0.9, nesterov=True)
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def _checked(self, name: str, value: Any) -> Any:
        checked = super()._checked(name, value)
        changed = {**vars(self), name: checked}
        if changed.get("nesterov") and changed["momentum"] == 0:
            nesterov = value if name == "nesterov" else True
            raise ValueError(
                f"SGD: nesterov {_arguments.described(nesterov)} but momentum is 0; nesterov needs "
                "a momentum above 0"
            )
        return checked

    def _core(self) -> _core.Optimizer:
        rule = "sgd" if self.momentum == 0 else "nesterov" if self.nesterov else "momentum"
        return _core.Optimizer(rule, self.learning_rate, momentum=self.momentum)


@dataclass
class Adam(_Hyperparameters):
    """Adam [1]_: steps whose length the recent size of each parameter's gradients decides.

    ``p -= learning_rate * m / (sqrt(s) + epsilon)``, where m and s are running means of the
    gradient and of its square, divided by ``1 - beta**step``, since they begin at zero.

    Parameters
    ----------
    learning_rate : float
        About the longest step of a parameter.
    beta_1, beta_2 : float
        Which part of m, and of s, lasts until the next step, from 0 up to, but without, 1.
    epsilon : float
        Keeps steps short where gradients have been smaller than this.

    References
    ----------
    .. [1] D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.

    Examples
    --------
    >>> Adam(learning_rate=0.01)
    Adam(learning_rate=0.01, beta_1=0.9, beta_2=0.999, epsilon=1e-07)
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def _core(self) -> _core.Optimizer:
        return _core.Optimizer(
            "adam", self.learning_rate, beta1=self.beta_1, beta2=self.beta_2, epsilon=self.epsilon
        )


Optimizer = SGD | Adam

KINDS: dict[str, type[SGD] | type[Adam]] = {"sgd": SGD, "adam": Adam}


def get(optimizer: Any) -> Optimizer:
    """Return the optimizer of that name with its default numbers, or the one that is given."""
    if isinstance(optimizer, (SGD, Adam)):
        return optimizer
    if isinstance(optimizer, str) and optimizer in KINDS:
        return KINDS[optimizer]()
    raise ValueError(
        f"compile: optimizer {_arguments.described(optimizer)} but must be 'sgd', 'adam', an SGD "
        "or an Adam"
    )
