"""Models in npz files: arrays, and one string of JSON that says what they are."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from hotloops import _arguments
from hotloops.nn import _optimizers
from hotloops.nn._layers import Activation, Dense, Layer

if TYPE_CHECKING:
    import os

    from hotloops.nn._layers import Array

FORMAT = 1


def save(path: str | os.PathLike[str], model: dict[str, Any], arrays: dict[str, Array]) -> None:
    """Write a description, of things that JSON knows, and arrays."""
    description = json.dumps({"format": FORMAT, **model})
    path = _arguments.as_path("save", "path", path)
    with path.open("wb") as file:  # given a name, NumPy would append .npz
        np.savez(file, allow_pickle=False, model=np.array(description), **arrays)


def load(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read what `save` has written."""
    path = _arguments.as_path("load", "path", path)
    if not zipfile.is_zipfile(path):  # NumPy would take it for a pickle, and say how to load that
        with path.open("rb"):  # or there is none, or no permission
            raise ValueError(f"load: {path} is not a file that save has written")
    with np.load(path, allow_pickle=False) as file:
        if "model" not in file:
            raise ValueError(f"load: {path} is not a file that save has written: it has no 'model'")
        model = json.loads(str(file["model"]))
        if model["format"] != FORMAT:
            raise ValueError(
                f"load: {path} has format {model['format']} but this version reads {FORMAT} only"
            )
        return model, {name: file[name] for name in file.files if name != "model"}


def layer_to_json(layer: Layer) -> dict[str, Any]:
    """Describe a layer. Its weights are there, so how they began does not matter any more."""
    if isinstance(layer, Activation):
        return {"kind": layer.kind, "activation": layer.activation}
    return {
        "kind": layer.kind,
        "units": layer.units,
        "activation": layer.activation,
        "use_bias": layer.use_bias,
    }


def layer_from_json(description: dict[str, Any]) -> Layer:
    """Make the layer of a description."""
    arguments = {name: value for name, value in description.items() if name != "kind"}
    return Dense(**arguments) if description["kind"] == Dense.kind else Activation(**arguments)


def optimizer_to_json(optimizer: _optimizers.Optimizer | None) -> dict[str, Any] | None:
    """Describe an optimizer."""
    if optimizer is None:
        return None
    name = next(name for name, kind in _optimizers.KINDS.items() if type(optimizer) is kind)
    return {"name": name, **asdict(optimizer)}


def optimizer_from_json(description: dict[str, Any]) -> _optimizers.Optimizer:
    """Make the optimizer of a description."""
    arguments = {name: value for name, value in description.items() if name != "name"}
    return _optimizers.KINDS[description["name"]](**arguments)
