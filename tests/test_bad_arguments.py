"""Every parameter of every public callable, given what it cannot take: refused by name, or taken.

The subjects are found from the public names and their signatures. So a new callable or a new
parameter is swept by itself, or fails here for want of a valid call.
"""

from __future__ import annotations

import fnmatch
import importlib.util
import inspect
import itertools
import pickle
import re
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest

import hotloops
from hotloops import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

HAS_TORCH = importlib.util.find_spec("torch") is not None
if HAS_TORCH:
    import torch

    import hotloops.torch

# ---- The subjects --------------------------------------------------------------------------------


def public_callables(module: ModuleType, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of a module's public functions, classes and their methods."""
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.ismodule(value):
            yield from public_callables(value, f"{prefix}{name}.")
        elif inspect.isclass(value):
            yield f"{prefix}{name}"
            yield from (f"{prefix}{name}.{method}" for method in public_methods(value))
        elif inspect.isroutine(value):
            yield f"{prefix}{name}"
            if name.endswith("_vjp"):
                yield f"{prefix}{name}.pullback"


def public_methods(kind: type) -> list[str]:
    """Return the names of what this package defines for a class, and has a name without `_`."""
    own = [base for base in kind.__mro__ if base.__module__.startswith("hotloops.")]
    names = {
        name: None
        for base in own
        for name, value in vars(base).items()
        if (inspect.isroutine(value) or isinstance(value, classmethod))
        and name not in getattr(base, "__dataclass_fields__", ())
        and (not name.startswith("_") or name == "__call__")
    }
    return list(names)


NAMES = list(public_callables(hotloops))
if HAS_TORCH:
    NAMES += list(public_callables(hotloops.torch, "torch."))


def ones(*shape: int) -> Any:
    return np.ones(shape, np.float32)


def model() -> nn.Sequential:
    """Return a model that has not seen samples yet."""
    made = nn.Sequential([nn.Dense(3, "softmax")], seed=0)
    made.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def rung() -> hotloops.ladder.Rung:
    return hotloops.ladder.rungs("matmul")[0]


# A valid argument for each parameter that needs one. Names of the twins in hotloops.naive and of
# the functions in hotloops.torch are looked up without their prefix if they are not here.
VALID: dict[str, Callable[[], dict[str, Any]]] = {
    "PackedMatrix": lambda: {"b": ones(3, 5)},
    "PackedMatrix.unpack": dict,
    "add": lambda: {"a": ones(2, 3), "b": ones(3)},
    "all_greater": lambda: {"a": ones(2, 3), "b": ones(3)},
    "dense": lambda: {"x": ones(2, 3), "kernel": ones(3, 5)},
    "dense_vjp": lambda: {"x": ones(2, 3), "kernel": ones(3, 5)},
    "dense_vjp.pullback": lambda: {"grad_y": ones(2, 5)},
    "einsum": lambda: {"subscripts": "ik,kj->ij", "operands": (ones(2, 3), ones(3, 5))},
    "float32_precision": lambda: {"precision": "bf16"},
    "get_float32_precision": dict,
    "get_num_threads": dict,
    "greater": lambda: {"a": ones(2, 3), "b": ones(3)},
    "isa": dict,
    "isas": dict,
    "linear": lambda: {"x": ones(2, 3), "weight": ones(5, 3)},
    "matmul": lambda: {"a": ones(2, 3), "b": ones(3, 5)},
    "matmul_vjp": lambda: {"a": ones(2, 3), "b": ones(3, 5)},
    "matmul_vjp.pullback": lambda: {"grad_y": ones(2, 5)},
    "multiply": lambda: {"a": ones(2, 3), "b": ones(3)},
    "pack": lambda: {"b": ones(3, 5)},
    "release_workspace": dict,
    "relu": lambda: {"x": ones(2, 3)},
    "relu_vjp": lambda: {"x": ones(2, 3)},
    "relu_vjp.pullback": lambda: {"grad_y": ones(2, 3)},
    "set_float32_precision": lambda: {"precision": "bf16"},
    "set_num_threads": lambda: {"n": 1},
    "show_config": dict,
    "subtract": lambda: {"a": ones(2, 3), "b": ones(3)},
    "threads": lambda: {"n": 1},
    "use_isa": lambda: {"name": "baseline"},
    "where": lambda: {"condition": ones(2, 3) > 0, "x": ones(2, 3), "y": ones(3)},
    "where_greater": lambda: {"a": ones(2, 3), "b": ones(3), "x": ones(2, 3), "y": ones(3)},
    "ladder.Rung": lambda: {"name": "n", "idea": "i", "language": "Python", "run": len},
    "ladder.Rung.__call__": lambda: {"operands": (ones(2, 3), ones(3, 5))},
    "ladder.rungs": lambda: {"op": "matmul"},
    "naive.add_lists": lambda: {"values": [1.0, 2.0], "others": [3.0, 4.0]},
    "naive.gelu": lambda: {"x": ones(2, 3)},
    "naive.gelu_tanh": lambda: {"x": ones(2, 3)},
    "naive.matmul_lists": lambda: {"a": [[1.0, 2.0]], "b": [[3.0], [4.0]]},
    "naive.relu_list": lambda: {"values": [1.0, 2.0]},
    "naive.sigmoid": lambda: {"x": ones(2, 3)},
    "naive.silu": lambda: {"x": ones(2, 3)},
    "naive.softmax": lambda: {"x": ones(2, 3)},
    "naive.tanh": lambda: {"x": ones(2, 3)},
    "nn.Activation": lambda: {"activation": "relu"},
    "nn.Activation.count_params": lambda: {"inputs": 2},
    "nn.ActivationStatistics": lambda: {"layer": "dense_1", "mean": 0.0, "std": 1.0},
    "nn.Adam": dict,
    "nn.Dense": lambda: {"units": 3},
    "nn.Dense.count_params": lambda: {"inputs": 2},
    "nn.History": dict,
    "nn.Neuron": dict,
    "nn.Neuron.fit": lambda: {"x": ones(2, 3), "targets": ones(2)},
    "nn.Neuron.predict": lambda: {"x": ones(2, 3)},
    "nn.SGD": dict,
    "nn.Sequential": dict,
    "nn.Sequential.activation_statistics": lambda: {"x": ones(2, 4)},
    "nn.Sequential.add": lambda: {"layer": nn.Dense(3)},
    "nn.Sequential.build": lambda: {"input_dim": 4},
    "nn.Sequential.compile": lambda: {"loss": "mse"},
    "nn.Sequential.count_params": dict,
    "nn.Sequential.evaluate": lambda: {"x": ones(2, 4), "y": [0, 2]},
    "nn.Sequential.fit": lambda: {"x": ones(2, 4), "y": [0, 2], "verbose": 0},
    "nn.Sequential.get_weights": dict,
    "nn.Sequential.load": lambda: {"path": "written"},
    "nn.Sequential.predict": lambda: {"x": ones(2, 4)},
    "nn.Sequential.save": lambda: {"path": "x"},
    "nn.Sequential.set_weights": lambda: {"weights": [ones(4, 3), ones(3)]},
    "nn.Sequential.summary": dict,
    "nn.initializers.get": lambda: {"initializer": "zeros"},
    "nn.naive.Layer": lambda: {"kernel": [[1.0]], "bias": [0.0]},
    "nn.naive.Neuron": dict,
    "nn.naive.Neuron.fit": lambda: {"x": [[1.0, 2.0, 3.0]], "targets": [1.0], "iterations": 3},
    "nn.naive.Neuron.predict": lambda: {"x": [[1.0, 2.0, 3.0]]},
    "nn.naive.backward": lambda: {
        "layers": [nn.naive.Layer([[2.0], [3.0]], [0.0], "tanh")],
        "outputs": [[5.0, 7.0], [0.5]],
        "slopes": [1.0],
    },
    "nn.naive.forward": lambda: {
        "layers": [nn.naive.Layer([[2.0], [3.0]], [0.0], "tanh")],
        "x": [5.0, 7.0],
    },
    "nn.naive.train": lambda: {
        "layers": [nn.naive.Layer([[2.0], [3.0]], [0.0], "tanh")],
        "x": [[5.0, 7.0]],
        "y": [[0.5]],
        "loss": "mse",
        "learning_rate": 0.1,
        "epochs": 2,
    },
    "torch.Linear": lambda: {"in_features": 3, "out_features": 5},
    "torch.Linear.forward": lambda: {"x": ones(2, 3)},
    "torch.Linear.extra_repr": dict,
    "torch.PackedLinear": lambda: {"in_features": 3, "out_features": 5},
    "torch.PackedLinear.forward": lambda: {"x": ones(2, 3)},
    "torch.PackedLinear.extra_repr": dict,
    "torch.optimize": lambda: {"model": torch.nn.Linear(3, 5)},
}
VALID |= {
    f"nn.initializers.{name}": lambda: {"shape": (2, 3), "rng": np.random.default_rng(0)}
    for name in nn.initializers.__all__
    if name not in ("Initializer", "get")
}

# What methods are called on.
INSTANCES: dict[str, Callable[[], Any]] = {
    "PackedMatrix": lambda: hotloops.pack(ones(3, 5)),
    "ladder.Rung": rung,
    "nn.Activation": lambda: nn.Activation("relu"),
    "nn.Dense": lambda: nn.Dense(3),
    "nn.Neuron": nn.Neuron,
    "nn.Sequential": model,
    "nn.naive.Neuron": nn.naive.Neuron,
    "torch.Linear": lambda: hotloops.torch.Linear(3, 5),
    "torch.PackedLinear": lambda: hotloops.torch.PackedLinear(3, 5),
}
# A model that knows its inputs, for what asks for weights.
BUILT = ("count_params", "get_weights", "save", "set_weights", "summary")


@dataclass
class Subject:
    """A public callable, with valid arguments: arrays, tensors, or tensors of bfloat16."""

    name: str
    kind: Literal["arrays", "tensors", "bfloat16"] = "arrays"

    @cached_property
    def arguments(self) -> Callable[[], dict[str, Any]]:
        """What makes valid arguments."""
        short = self.name.partition(".")[2]
        return VALID[self.name] if self.name in VALID else VALID[short]

    @cached_property
    def parameters(self) -> list[inspect.Parameter]:
        """The parameters, without self."""
        return list(inspect.signature(self.target()).parameters.values())

    def instance(self) -> Any:
        """Return what the callable is a method of, or None."""
        owner, _, method = self.name.rpartition(".")
        if owner not in INSTANCES:
            return None
        made = INSTANCES[owner]()
        if owner == "nn.Sequential" and method in BUILT:
            made.build(4)
        return made

    def target(self, instance: Any = None) -> Any:
        """Return the callable."""
        owner, _, last = self.name.rpartition(".")
        if last == "pullback":
            function, arguments = Subject(owner, self.kind), self.given(owner)
            return function.target()(*arguments.values())[1]
        if owner in INSTANCES:
            return getattr(self.instance() if instance is None else instance, last)
        value: Any = hotloops
        for part in self.name.split("."):
            value = getattr(value, part)
        return value

    def given(self, name: str | None = None) -> dict[str, Any]:
        """Return new valid arguments, of a function of another name if that is given."""
        arguments = (self if name is None else Subject(name)).arguments()
        if self.kind == "arrays":
            return arguments
        dtype = torch.bfloat16 if self.kind == "bfloat16" else None
        return {k: as_tensors(v, dtype) for k, v in arguments.items()}

    def call(self, instance: Any, arguments: dict[str, Any]) -> Any:
        """Call it by position where it must be, else by name."""
        positional: list[Any] = []
        named = dict(arguments)
        variadic = any(p.kind is p.VAR_POSITIONAL for p in self.parameters)
        for parameter in self.parameters:
            if parameter.name not in named:
                continue
            if parameter.kind is parameter.VAR_POSITIONAL:
                positional += named.pop(parameter.name)
            elif parameter.kind is parameter.POSITIONAL_ONLY or (
                variadic and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
            ):
                positional.append(named.pop(parameter.name))
        return self.target(instance)(*positional, **named)


def as_tensors(value: Any, dtype: Any) -> Any:
    """Return tensors for arrays, also in tuples; floats of a dtype, if one is given."""
    if isinstance(value, np.ndarray):
        tensor = torch.from_numpy(value.copy())
        return tensor.to(dtype) if tensor.is_floating_point() else tensor
    return tuple(as_tensors(each, dtype) for each in value) if type(value) is tuple else value


OF_ARRAYS = [
    *("matmul", "relu", "dense", "linear", "einsum", "*_vjp", "*.pullback", "pack", "PackedMatrix"),
    *("multiply", "add", "subtract", "greater", "all_greater", "where", "where_greater"),
    *("naive.*gelu*", "naive.sigmoid", "naive.silu", "naive.softmax", "naive.tanh"),
]


def takes_tensors(name: str) -> bool:
    """Tell whether a callable computes with the caller's kind of arrays."""
    if name.startswith(("nn.", "ladder.")) or name.endswith(("_list", "_lists")):
        return False
    short = name.removeprefix("naive.")
    return any(fnmatch.fnmatch(short, p) or fnmatch.fnmatch(name, p) for p in OF_ARRAYS)


SUBJECTS = [Subject(name) for name in NAMES if not name.startswith("torch.")]
if HAS_TORCH:
    SUBJECTS += [Subject(name, "tensors") for name in NAMES if takes_tensors(name)]
    SUBJECTS += [Subject(name, "bfloat16") for name in NAMES if takes_tensors(name)]
    SUBJECTS += [Subject(name, "tensors") for name in NAMES if name.startswith("torch.")]


def subject_id(subject: Subject) -> str:
    return subject.name if subject.kind == "arrays" else f"{subject.name} of {subject.kind}"


# ---- The values ----------------------------------------------------------------------------------


class Anything:
    """Nothing that any parameter knows."""


def read_only() -> Any:
    array = ones(2, 5)
    array.flags.writeable = False
    return array


def values() -> dict[str, Any]:
    """Return new values, most of which are bad for most parameters."""
    found: dict[str, Any] = {
        "None": None,
        "str": "x",
        "bytes": b"x",
        "dict": {"a": 1},
        "set": {1},
        "object": Anything(),
        "function": len,
        "Ellipsis": ...,
        "ragged": [[1.0], [1.0, 2.0]],
        "empty list": [],
        "list of str": ["a", "b"],
        "list of None": [None, None],
        "tuple": (1, 2),
        "-1": -1,
        "0": 0,
        "2**70": 2**70,
        "1.5": 1.5,
        "-1.5": -1.5,
        "NaN": float("nan"),
        "infinity": float("inf"),
        "True": True,
        "1j": 1j,
        "array ()": np.array(2.0),
        "array (7,)": np.ones(7),
        "array (2, 3, 7)": np.ones((2, 3, 7)),
        "array (0, 7)": np.ones((0, 7)),
        "array of 65 rows": ones(65, 7),
        "array of bool": np.ones((7, 7), bool),
        "array of str": np.array(["a", "b"]),
        "array of None": np.array([None, None]),
        "array of dates": np.array(["2020-01-01"], "M8[D]"),
        "array of records": np.zeros(2, [("a", "f4")]),
        "array of complex": np.ones((7, 7), complex),
        "read-only array": read_only(),
    }
    if HAS_TORCH:
        found |= {
            "tensor ()": torch.tensor(2.0),
            "tensor (7,)": torch.ones(7),
            "tensor (2, 3, 7)": torch.ones(2, 3, 7),
            "tensor of bool": torch.ones(7, 7, dtype=torch.bool),
            "tensor of complex": torch.ones(7, 7, dtype=torch.complex64),
            "tensor on meta": torch.ones(2, 5, device="meta"),
            "sparse tensor": torch.ones(2, 5).to_sparse(),
        }
    return found


# Made of an array that is valid.
MADE_OF_ARRAYS: dict[str, Callable[[Any], Any]] = {
    "its NaN": lambda x: np.full(x.shape, np.nan, np.float32),
    "its negative": lambda x: -x.astype(np.float32),
    "its bool": lambda x: x > 0,
    "its int": lambda x: x.astype(np.int8),
    "its complex": lambda x: x.astype(complex),
    "its str": lambda x: x.astype(str),
    "its objects": lambda x: np.full(x.shape, None),
    "its dimensions and one": lambda x: x[np.newaxis, np.newaxis],
    "its first element": lambda x: x[(0,) * x.ndim],
    "its list of NaN": lambda x: np.full(x.shape, np.nan).tolist(),
    "its list of str": lambda x: x.astype(str).tolist(),
    "its list of None": lambda x: np.full(x.shape, None).tolist(),
}


def bad_values(valid: Any) -> Iterator[tuple[str, Any]]:
    """Yield what to give a parameter for which there is this valid argument, if any."""
    yield from values().items()
    is_tensor = HAS_TORCH and isinstance(valid, torch.Tensor)
    if not is_tensor and not isinstance(valid, np.ndarray):
        return
    array = (valid.float() if valid.is_floating_point() else valid).numpy() if is_tensor else valid
    for label, make in MADE_OF_ARRAYS.items():
        value = make(array)
        numeric = isinstance(value, np.ndarray) and value.dtype.kind in "biufc"
        yield label, torch.from_numpy(value.copy()) if is_tensor and numeric else value
    if HAS_TORCH:
        yield "the other kind", array if is_tensor else torch.from_numpy(array.copy())


# ---- What is taken, and why ----------------------------------------------------------------------

PRODUCTS = "matmul | dense | linear | einsum"
PAIRS = "add | multiply | subtract | greater | all_greater | where | where_greater"
ACTIVATIONS = "relu | gelu | gelu_tanh | sigmoid | silu | tanh"
GRADIENTS = "dense_vjp* | matmul_vjp* | relu_vjp* | torch.*"
SCALARS = "-1 | 0 | 1.5 | -1.5 | NaN | infinity | True | array () | tensor () | its first element"
ANY_SHAPE = (
    "empty list | array (* | array of 65 rows | read-only array | tensor (* | the other kind"
)
TENSOR = "tensor ()"

# What is taken, and why: names of callables (without "naive."), parameters, labels of values.
ACCEPTED: dict[str, list[tuple[str, str, str]]] = {
    "numbers of any value, NaN included": [("*", "*", "its NaN | its negative | its list of NaN")],
    "other dtypes are converted, as NumPy and torch do it": [
        (f"{PRODUCTS} | {PAIRS} | relu", "*", "its bool | its int | its complex"),
        ("pack | PackedMatrix", "b", "its int | its complex | array of complex"),
        ("pack | PackedMatrix", "b", "tensor of complex | the other kind"),
        (f"{ACTIVATIONS} | softmax | nn.*", "*", "its bool | its int | the other kind"),
        ("ladder.Rung.__call__", "*", "its bool | its int | its complex | the other kind"),
    ],
    "scalars are arrays without dimensions": [
        (f"{PAIRS} | {ACTIVATIONS}", "*", SCALARS),
        (PAIRS, "*", "2**70 | 1j"),
        ("relu", "x", "2**70 | 1j"),
        ("relu_vjp", "x", "1.5 | -1.5 | NaN | infinity | array () | tensor () | its first element"),
    ],
    "one operand may have any shape": [
        (f"{ACTIVATIONS} | softmax", "x", f"{ANY_SHAPE} | tuple | array of bool | tensor of bool"),
        ("relu", "x", "array of complex"),
        ("relu_vjp", "x", ANY_SHAPE),
        ("pack | PackedMatrix", "b", "array (0, 7) | array of 65 rows | read-only array"),
    ],
    "batches are broadcast": [
        (f"{PAIRS} | {ACTIVATIONS} | softmax", "*", "its dimensions and one"),
        (f"matmul | {GRADIENTS}", "a | b | x", "its dimensions and one"),
        ("dense | linear", "x", "its dimensions and one"),
        ("nn.Neuron.predict", "x", "its dimensions and one"),
        ("matmul | matmul_vjp", "b", "array (2, 3, 7) | tensor (2, 3, 7)"),
    ],
    "operands are not written to": [
        ("dense | linear | *_vjp.pullback", "residual | grad_y", "read-only array"),
        ("nn.Sequential.fit | nn.Sequential.evaluate", "x", "read-only array"),
    ],
    "numpy.where chooses between anything, by anything's truth": [
        ("where", "condition | x | y", "*"),
        ("where_greater", "x | y", "*"),
    ],
    "how many values go in is not known before": [
        ("nn.Sequential.predict", "x", "array (0, 7)"),
        ("nn.Sequential.activation_statistics", "x", "array (0, 7)"),
        ("nn.Sequential.predict", "x", "array of 65 rows | * of bool | read-only array"),
        ("nn.Sequential.activation_statistics", "x", "array of 65 rows | * of bool"),
        ("nn.Sequential.activation_statistics", "x", "read-only array"),
    ],
    "True is the integer 1, and a seed any that NumPy takes": [
        ("*", "units | inputs | input_dim | batch_size | epochs | iterations | n", "True"),
        ("*", "verbose | in_features | out_features", "True"),
        ("*", "seed", "True | None | tuple | 0"),
        ("nn.Sequential", "seed", "empty list | array (0, 7) | 2**70"),
    ],
    "nothing is as good a number of things as any": [
        ("*", "epochs | iterations | verbose | in_features | out_features", "0"),
        ("nn.Sequential", "layers", "empty list | array (0, 7)"),
        ("nn.Sequential.compile", "metrics", "empty list | array (0, 7)"),
    ],
    "a number in its range": [
        (
            "nn.SGD | nn.Adam | nn.naive.train",
            "learning_rate | epsilon",
            f"1.5 | 2**70 | True | {TENSOR}",
        ),
        ("nn.SGD | nn.Adam | nn.naive.train", "learning_rate | epsilon", "array ()"),
        ("nn.SGD | nn.Adam", "momentum | beta_1 | beta_2", "0"),
        ("nn.initializers.*", "stddev | limit", f"0 | 1.5 | 2**70 | True | array () | {TENSOR}"),
    ],
    "a value has its truth, as Python has it": [
        ("nn.Dense | nn.Sequential.fit | torch.*Linear", "use_bias | shuffle | bias", "*"),
        ("nn.SGD", "nesterov", "None | empty list | 0"),
    ],
    "it is a valid argument": [
        ("*", "kernel_initializer | bias_initializer | initializer | print_fn", "function"),
        ("nn.Sequential.save | nn.Sequential.load", "path", "str"),
        ("nn.Sequential.fit | nn.Sequential.evaluate", "y", "tuple"),
        ("nn.Neuron.fit", "targets", "tuple"),
        ("nn.initializers.*", "shape", "tuple"),
        ("nn.initializers.zeros | nn.initializers.*normal", "shape", "empty list"),
        ("nn.initializers.uniform", "shape", "empty list"),
        ("nn.Sequential", "dtype", "None"),
        ("einsum", "optimize", "None | True"),
    ],
    "a record holds what it is given": [
        ("ladder.Rung | nn.History | nn.ActivationStatistics | nn.naive.Layer", "*", "*"),
    ],
    "it is not used": [("nn.initializers.zeros", "rng", "*")],
    "plain loops take whatever Python iterates over, adds and multiplies": [
        ("add_lists | matmul_lists | relu_list | nn.naive.*", "*", "bytes | set | tuple"),
        ("add_lists | matmul_lists | relu_list | nn.naive.*", "*", "empty list | array *"),
        ("add_lists | matmul_lists | relu_list", "*", "*tensor* | read-only array"),
    ],
}
PATTERNS = {
    row: [re.compile("|".join(map(fnmatch.translate, texts.split(" | ")))) for texts in row]
    for rows in ACCEPTED.values()
    for row in rows
}


def is_accepted(name: str, parameter: str, label: str) -> bool:
    """Tell whether there is a reason why a value is taken."""
    texts = name.removeprefix("naive."), parameter, label
    return any(
        all(pattern.fullmatch(text) for pattern, text in zip(row, texts, strict=True))
        for row in PATTERNS.values()
    )


# ---- What a refusal has to say -------------------------------------------------------------------

# Callables that speak in the name of the one that they are made of.
SPEAKS_AS = {
    "PackedLinear": "Linear",
    "PackedMatrix": "pack",
    "dense_vjp": "dense",
    "forward": "linear",
    "kaiming_normal": "he_normal",
    "kaiming_uniform": "he_uniform",
    "matmul_vjp": "matmul",
    "xavier_normal": "glorot_normal",
    "xavier_uniform": "glorot_uniform",
}


def complaint(subject: Subject, parameter: str, value: Any, error: BaseException) -> str | None:
    """Return what is missing from a refusal, or None."""
    is_large = isinstance(value, int) and value == 2**70  # NumPy says so by OverflowError
    if type(error) not in (TypeError, ValueError, *([OverflowError] if is_large else [])):
        return f"raises {type(error).__name__}"
    text = str(error)
    parts = subject.name.removesuffix(".pullback").split(".")
    last = parts[-2] if parts[-1] in ("__call__",) else parts[-1]
    if not text.startswith((f"{last}: ", f"{SPEAKS_AS.get(last, last)}: ")):
        return f"does not begin with '{last}: '"
    name = r"operand \d" if parameter == "operands" else parameter
    of_it = r"(\[\d\]|'s \w| '.*')?"
    if not re.search(rf"\b{name}{of_it} (is|has|have|was|requires)\b|\bin {name}\b", text):
        return f"does not say what {parameter} is or has"
    if not any(re.search(piece, text) for piece in evidence(value)):
        return "does not say what it was given"
    return None


def evidence(value: Any) -> Iterator[str]:
    """Yield what a message may say of a value."""
    yield re.escape(repr(value)[:8])
    yield rf"\ba {type(value).__name__}\b"
    if isinstance(value, bytes):
        yield re.escape(repr(value.decode("latin-1")))
    yield from (piece for each in first_of(value) for piece in evidence(each))
    try:
        array = value if hasattr(value, "shape") else np.asarray(value)
    except ValueError:
        return
    yield re.escape(f"{tuple(array.shape)}")
    yield re.escape(f"{array.dtype}".removeprefix("torch."))
    yield f"{len(array.shape)} dimension"
    if array.shape[:1] == (0,):
        yield r"\[\]"
    if array.shape == () and not getattr(array, "is_meta", False):
        yield re.escape(repr(array.item())[:8])
    yield from (rf"\b{size} (column|row|element)" for size in array.shape)
    yield from (rf"\b(size {size}|{size} in)\b" for size in array.shape)
    if isinstance(array, np.ndarray) and not array.flags.writeable:
        yield "read-only"
    elif not isinstance(array, np.ndarray):
        yield rf"device {array.device}"


def first_of(value: Any) -> list[Any]:
    """Return a list of the first of the things in a value, if there are any."""
    try:
        return [] if isinstance(value, str) else list(itertools.islice(value, 1))
    except TypeError:
        return []


def snapshot(*things: Any) -> bytes:
    """Return the state of all that a call might change."""

    def plain(thing: Any) -> Any:
        if isinstance(thing, (tuple, list)):
            return [plain(each) for each in thing]
        if isinstance(thing, dict):
            return {key: plain(each) for key, each in thing.items()}
        if isinstance(thing, np.ndarray):
            return thing.tobytes() if thing.dtype != object else repr(thing)
        if HAS_TORCH and isinstance(thing, torch.Tensor):
            return None if thing.is_sparse or thing.is_meta else thing.tolist()
        if isinstance(thing, Anything):
            return None
        return thing

    settings = hotloops.isa(), hotloops.get_num_threads(), hotloops.get_float32_precision()
    return pickle.dumps([plain(each) for each in things] + [settings])


# ---- The tests -----------------------------------------------------------------------------------


@pytest.fixture
def _undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have files written elsewhere, and settings put back."""
    monkeypatch.chdir(tmp_path)
    made = model()
    made.build(4)
    made.save("written")
    made.save("x")
    yield
    put_back()


@pytest.mark.parametrize("name", NAMES)
def test_there_is_a_valid_call(name: str) -> None:
    assert name in VALID or name.partition(".")[2] in VALID, f"{name} needs a line in VALID"


@pytest.mark.usefixtures("_undone")
@pytest.mark.parametrize("subject", SUBJECTS, ids=subject_id)
def test_bad_arguments_are_refused_by_name(subject: Subject) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        valid = subject.call(subject.instance(), subject.given())
        outs: list[dict[str, Any]] = [{}]
        if any(parameter.name == "out" for parameter in subject.parameters):
            outs.append({"out": valid})
        failures = [
            f"{parameter.name}, {label}: {failure}"
            for parameter in subject.parameters
            for out in outs
            for label, failure in swept(subject, parameter, out)
        ]
    assert not failures, "\n" + "\n".join(dict.fromkeys(failures))


def swept(
    subject: Subject, parameter: inspect.Parameter, out: dict[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yield the labels of the values that a parameter does not refuse as it should, and why."""
    name = parameter.name
    variadic = parameter.kind is parameter.VAR_POSITIONAL
    given = subject.given()
    valid = given[name][-1] if variadic else given.get(name)
    for label, value in bad_values(valid):
        arguments = subject.given()
        if out and name != "out":
            arguments["out"] = filled_like(out["out"])
        arguments[name] = (*arguments[name][:-1], value) if variadic else value
        instance = subject.instance()
        before = snapshot(instance, arguments)
        try:
            subject.call(instance, arguments)
        except Exception as error:  # any that is no TypeError or ValueError is a failure
            if snapshot(instance, arguments) != before:
                yield label, f"something has changed before {type(error).__name__}: {error}"
            failure = complaint(subject, name, value, error)
            if out and re.search(r"\bout has \w+ .* result", str(error)):
                failure = None  # without `out` it is taken
            if failure is not None:
                yield label, f"{failure}: {type(error).__name__}: {error}"
        else:
            if not (parameter.default is None and value is None) and not is_accepted(
                subject.name, name, label
            ):
                yield label, "is taken"
            put_back()


ISA, THREADS = hotloops.isa(), hotloops.get_num_threads()


def put_back() -> None:
    """Set the settings that a call may have changed."""
    hotloops.use_isa(ISA)
    hotloops.set_num_threads(THREADS)
    hotloops.set_float32_precision("float32")


def filled_like(result: Any) -> Any:
    """Return an `out` with values that no result has."""
    if HAS_TORCH and isinstance(result, torch.Tensor):
        return torch.full_like(result, 77)
    return np.full(result.shape, 77, result.dtype)
