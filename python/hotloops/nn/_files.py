"""Models in npz files: arrays, and one string of JSON that says what they are.

A file is not believed. Nothing in it is executed, nothing that it says is allocated before the file
is seen to hold as much, and what `save` would not have written is refused.
"""

from __future__ import annotations

import io
import json
import math
import reprlib
import zipfile
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hotloops import _arguments
from hotloops.nn import _layers, _optimizers
from hotloops.nn._layers import Activation, Dense, Layer

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from hotloops.nn._layers import Array

    Kinds = tuple[type, ...]  # of a value in JSON

FORMAT = 1

_NONE = type(None)
_MODEL: dict[str, Kinds] = {
    "format": (int,),
    "layers": (list,),
    "input_dim": (int,),
    "loss": (str, _NONE),
    "optimizer": (dict, _NONE),
    "metrics": (list,),
    "steps": (int,),
    "shuffle_state": (int,),
}


class _Form(NamedTuple):
    """Objects of a class in JSON."""

    kind: type[Any]
    entries: dict[str, Kinds]


_LAYERS = {
    Dense.kind: _Form(Dense, {"units": (int,), "activation": (str, _NONE), "use_bias": (bool,)}),
    Activation.kind: _Form(Activation, {"activation": (str,)}),
}
_OPTIMIZERS = {
    name: _Form(
        kind,
        {
            field.name: (bool,) if isinstance(field.default, bool) else (float, int)
            for field in fields(kind)
        },
    )
    for name, kind in _optimizers.KINDS.items()
}


class Saved(NamedTuple):
    """What a file holds."""

    layers: Sequence[Layer]
    input_dim: int
    loss: str | None
    optimizer: _optimizers.Optimizer | None
    metrics: list[str]
    steps: int
    shuffle_state: int
    parameters: Array
    slots: list[Array]


def save(path: str | os.PathLike[str], saved: Saved) -> None:
    """Write a file."""
    optimizer = saved.optimizer
    description = {
        "format": FORMAT,
        "layers": [_to_json(layer, "kind", _LAYERS) for layer in saved.layers],
        "input_dim": saved.input_dim,
        "loss": saved.loss,
        "optimizer": None if optimizer is None else _to_json(optimizer, "name", _OPTIMIZERS),
        "metrics": saved.metrics,
        "steps": saved.steps,
        "shuffle_state": saved.shuffle_state,
    }
    arrays = {"model": np.array(json.dumps(description)), "parameters": saved.parameters}
    arrays |= {f"slot_{i}": slot for i, slot in enumerate(saved.slots)}
    path = _arguments.as_path("save", "path", path)
    with path.open("wb") as file:  # given a name, NumPy would append .npz
        np.savez(file, **arrays)  # type: ignore[arg-type]


@contextmanager
def refusals(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say of which file a ValueError is."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"load: {path} is not a file that save has written: {error}") from error


def load(data: bytes) -> Saved:
    """Read the bytes of a file; raise ValueError for what `save` has not written."""
    archive = _Archive(data)
    model = _description(archive)
    layers: list[Layer] = [_from_json(layer, "kind", _LAYERS) for layer in model["layers"]]
    if not layers:
        raise ValueError("its model has no layers")
    _check_range("input_dim", model["input_dim"], 1, 2**63)
    _check_range("steps", model["steps"], 0, 2**63)
    _check_range("shuffle_state", model["shuffle_state"], 0, 2**64)
    optimizer: _optimizers.Optimizer | None = None
    if model["optimizer"] is not None:
        optimizer = _from_json(model["optimizer"], "name", _OPTIMIZERS)
    is_compiled = optimizer is not None
    if is_compiled != (model["loss"] is not None):
        raise ValueError("its model has one of loss and optimizer but must have both or neither")
    if not is_compiled and (model["metrics"] or model["steps"]):
        raise ValueError("its model has metrics or steps but no optimizer")
    # Those of an optimizer that has not begun are missing.
    has_slots = model["steps"] > 0 or "slot_0" in archive.names
    count = optimizer._core().slots if optimizer is not None and has_slots else 0
    slots = [f"slot_{i}" for i in range(count)]
    archive.check_names(["model", "parameters", *slots])
    parameters = archive.array("parameters")
    shape = (_layers.count_params(layers, model["input_dim"]),)
    dtype = parameters.dtype.newbyteorder("=")
    if dtype not in (np.float32, np.float64):
        raise ValueError(
            f"its array 'parameters' has dtype {dtype} but float32 or float64 is needed"
        )
    del model["format"]
    return Saved(
        **model
        | {
            "layers": layers,
            "optimizer": optimizer,
            "parameters": _checked("parameters", parameters, shape, dtype),
            "slots": [_checked(name, archive.array(name), shape, dtype) for name in slots],
        }
    )


class _Archive:
    """The arrays of an npz file, as `numpy.savez` writes it."""

    def __init__(self, data: bytes) -> None:
        with _parsing("it is no npz file, or a broken one"):
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        infos = self._zip.infolist()
        #: Names of the arrays.
        self.names = [info.filename.removesuffix(".npy") for info in infos]
        if len(set(self.names)) < len(infos):
            raise ValueError(f"it has arrays of the same name: {reprlib.repr(self.names)}")

    def check_names(self, needed: list[str]) -> None:
        """Refuse missing arrays, and others."""
        if missing := sorted(set(needed) - set(self.names)):
            raise ValueError(f"it has no {reprlib.repr(missing[0])}")
        if others := sorted(set(self.names) - set(needed)):
            raise ValueError(f"it has {reprlib.repr(others[0])}, which its model does not need")

    def array(self, name: str) -> Array:
        """Return an array on the bytes of the file, of floats or a string."""
        with _parsing(f"its array {name!r} is broken"):
            info = self._zip.getinfo(f"{name}.npy")
            if info.compress_type != zipfile.ZIP_STORED:  # so that it is not larger than the file
                raise ValueError("it is compressed")
            data = self._zip.read(info)
            header = io.BytesIO(data)
            version = np.lib.format.read_magic(header)
            if version != (1, 0):
                raise ValueError(f"its header has version {version} but (1, 0) is needed")
            shape, _, dtype = np.lib.format.read_array_header_1_0(header)
            if dtype.kind not in "fU":
                raise ValueError(f"it has dtype {dtype} but floats or a string are needed")
            size, left = math.prod(shape) * dtype.itemsize, len(data) - header.tell()
            if size != left:
                raise ValueError(f"it has {left} bytes but {size} are needed")
            return np.frombuffer(data, dtype, offset=header.tell()).reshape(shape)


@contextmanager
def _parsing(complaint: str) -> Iterator[None]:
    """Make a ValueError of whatever modules that parse files raise for the wrong bytes."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{complaint}: {error}") from error


def _checked(name: str, array: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return a copy of an array that has this shape and, but for the order of bytes, dtype."""
    if array.shape != shape:
        raise ValueError(f"its array {name!r} has shape {array.shape} but {shape} is needed")
    if array.dtype.newbyteorder("=") != dtype:
        raise ValueError(f"its array {name!r} has dtype {array.dtype} but {dtype} is needed")
    return array.astype(dtype)


def _description(archive: _Archive) -> dict[str, Any]:
    """Return the model's description, after a look at its form."""
    if "model" not in archive.names:
        raise ValueError("it has no 'model'")
    text = archive.array("model")
    if text.dtype.kind != "U" or text.ndim != 0:
        raise ValueError("its 'model' is no string")
    with _parsing("its 'model' is no JSON"):
        model = json.loads(str(text))
    if isinstance(model, dict) and "format" in model and model["format"] != FORMAT:
        raise ValueError(
            f"it has format {reprlib.repr(model['format'])} but this version reads {FORMAT} only"
        )
    _check_entries("model", model, _MODEL)
    return dict(model)


def _check_entries(what: str, entries: Any, needed: Mapping[str, Kinds]) -> None:
    """Refuse what is not a dict with these entries, each of one of these types."""
    if type(entries) is not dict or entries.keys() != needed.keys():
        raise ValueError(
            f"its {what} is {reprlib.repr(entries)} but a dict with {', '.join(needed)} is needed"
        )
    for name, kinds in needed.items():
        if type(entries[name]) not in kinds:
            names = " or ".join("None" if kind is _NONE else kind.__name__ for kind in kinds)
            value = reprlib.repr(entries[name])
            raise ValueError(f"{name} of its {what} is {value} but must be of type {names}")


def _check_range(name: str, value: int, least: int, end: int) -> None:
    if not least <= value < end:
        raise ValueError(f"{name} of its model is {value} but must be from {least} to {end - 1}")


def _to_json(described: Any, key: str, forms: Mapping[str, _Form]) -> dict[str, Any]:
    """Describe a layer or an optimizer; how its weights began does not matter any more."""
    name, form = next(item for item in forms.items() if isinstance(described, item[1].kind))
    return {key: name} | {entry: getattr(described, entry) for entry in form.entries}


def _from_json(description: Any, key: str, forms: Mapping[str, _Form]) -> Any:
    """Make what is described; the class itself refuses what is out of range."""
    name = description.get(key) if isinstance(description, dict) else None
    if not isinstance(name, str) or name not in forms:
        names = " or ".join(map(repr, forms))
        raise ValueError(
            f"its model has {reprlib.repr(description)} but a dict whose {key!r} is {names} is "
            "needed"
        )
    kind, entries = forms[name]
    _check_entries(name, description, {key: (str,), **entries})
    return kind(**{entry: description[entry] for entry in entries})
