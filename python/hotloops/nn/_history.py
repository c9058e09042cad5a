"""What training and layers report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass
class History:
    """What became of the loss and the accuracy.

    Attributes
    ----------
    epoch : list of int
        Numbers of the epochs, from 0.
    history : dict of str to list of float
        For each epoch "loss" and, if it is a metric of the model, "accuracy": means over the epoch,
        each sample as the network saw it before it learned from it. With validation data also
        "val_loss" and "val_accuracy", from the end of the epoch.

    Examples
    --------
    >>> History(epoch=[0, 1], history={"loss": [0.7, 0.6]}).history["loss"][-1]
    0.6
    """

    epoch: list[int] = field(default_factory=list)
    history: dict[str, list[float]] = field(default_factory=dict)

    def _extend(self, figures: Mapping[str, Sequence[float]]) -> None:
        """Add the figures of some epochs."""
        for name, values in figures.items():
            self.history.setdefault(name, []).extend(values)
        self.epoch = list(range(len(self.history["loss"])))

    def _last(self) -> dict[str, float]:
        return {name: values[-1] for name, values in self.history.items()}


class ActivationStatistics(NamedTuple):
    """Mean and standard deviation of what comes out of a layer.

    Attributes
    ----------
    layer : str
        Its name.
    mean, std : float
        Over samples and units.

    Examples
    --------
    >>> ActivationStatistics("dense_1", mean=0.0, std=1.0).std
    1.0
    """

    layer: str
    mean: float
    std: float
