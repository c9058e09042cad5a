"""Layers and models."""

from __future__ import annotations

import copy
import itertools
import logging
from typing import TYPE_CHECKING, Any

import torch

import hotloops
from hotloops import _arguments, _core
from hotloops.torch.dataflow import activation_function, calls, chained_children
from hotloops.torch.operators import linear

if TYPE_CHECKING:
    from torch import Tensor

_log = logging.getLogger(__name__)


class Linear(torch.nn.Linear):
    """`torch.nn.Linear` computed by hotloops, with an activation if wanted.

    Parameters
    ----------
    in_features, out_features : int
        Sizes of a row of the input and of the output.
    bias : bool
        Whether there is one.
    activation : {None, 'relu', 'gelu', 'gelu_tanh', 'sigmoid', 'tanh', 'silu', 'softmax'}, optional
        Applied to the result.
    device, dtype : optional
        Of the parameters, as for `torch.nn.Linear`.

    Notes
    -----
    Parameters, their initial values and the ``state_dict`` are those of `torch.nn.Linear`.

    Examples
    --------
    >>> import torch
    >>> from hotloops.torch import Linear
    >>> layer = Linear(3, 2, activation="relu")
    >>> layer
    Linear(in_features=3, out_features=2, bias=True, activation='relu')
    >>> layer(torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        activation: str | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        _core.check_activation("Linear", activation)
        in_features = _arguments.as_count("Linear", "in_features", in_features, 0)
        out_features = _arguments.as_count("Linear", "out_features", out_features, 0)
        bias = _arguments.as_flag("Linear", "bias", bias)
        with _arguments.naming("Linear", device=device, dtype=dtype):
            super().__init__(in_features, out_features, bias, device, dtype)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Return ``activation(x @ weight.T + bias)``.

        Parameters
        ----------
        x : Tensor, shape (..., in_features)
            Inputs, in rows.

        Returns
        -------
        Tensor, shape (..., out_features)
            As `hotloops.torch.linear`.
        """
        return self._computed(x)

    def _computed(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias, self.activation)

    def extra_repr(self) -> str:
        """Return what stands between the parentheses of the repr.

        Returns
        -------
        str
            Sizes, and the activation if there is one.
        """
        text = super().extra_repr()
        return text if self.activation is None else f"{text}, activation={self.activation!r}"


class PackedLinear(Linear):
    """A `Linear` for inference, which keeps its weight packed.

    The weight is packed at the first call, and again after it has changed. Where gradients are
    recorded or a graph is compiled, it is the `Linear` that it replaces.

    Parameters
    ----------
    in_features, out_features : int
        As for `Linear`.
    bias : bool
        As for `Linear`.
    activation : str, optional
        As for `Linear`.
    device, dtype : optional
        As for `Linear`.

    See Also
    --------
    optimize : Makes such layers.

    Examples
    --------
    >>> import torch
    >>> from hotloops.torch import PackedLinear
    >>> layer = PackedLinear(3, 2, activation="relu").requires_grad_(False)
    >>> layer(torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    """

    _packed: hotloops.PackedMatrix | None = None
    _packed_from: tuple[Any, ...] = ()

    def _computed(self, x: Tensor) -> Tensor:
        weight = self.weight
        if torch.compiler.is_compiling() or (torch.is_grad_enabled() and weight.requires_grad):
            return super()._computed(x)
        version = None if weight.is_inference() else weight._version
        packed_from = (weight.data_ptr(), version, _core.isa(), _core.float32_precision())
        if self._packed_from != packed_from:
            self._packed = hotloops.pack(weight.detach().T)
            self._packed_from = packed_from
        y = _core.linear(x, self._packed, self.bias, self.activation, None, None, None)
        return super()._computed(x) if y is NotImplemented else y

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled and copied: not what is packed, which can be made again."""
        return {name: value for name, value in vars(self).items() if "_packed" not in name}


def optimize(model: torch.nn.Module) -> torch.nn.Module:
    """Return a copy of a model, for inference, whose linear layers are computed by hotloops.

    Every `torch.nn.Linear` on the CPU of dtype float32 or float64 is replaced by a `Linear`. In a
    `torch.nn.Sequential`, a ReLU, GELU, SiLU, Sigmoid or Tanh that follows it is fused into it, and
    an Identity takes its place; so is one that is called on all of its results, and on nothing
    else, by a module of one argument that `torch.fx` can trace. A module that does nothing but call
    such a function counts as one. Layers with hooks, and subclasses of `torch.nn.Linear`, stay.

    Parameters
    ----------
    model : torch.nn.Module
        Is not changed.

    Returns
    -------
    torch.nn.Module
        In evaluation mode. It shares the parameters and buffers of `model`. Its attribute
        ``hotloops_replaced`` lists what was replaced, a line a layer; the number is logged, too.

    Examples
    --------
    >>> import torch
    >>> import hotloops.torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.GELU(), torch.nn.Linear(8, 2))
    >>> fast = hotloops.torch.optimize(model)
    >>> for line in fast.hotloops_replaced:
    ...     print(line)
    0: Linear(4, 8) and GELU
    2: Linear(8, 2)
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(
            f"optimize: model {_arguments.described(model)} but must be a torch.nn.Module"
        )
    # A deep copy, but for the tensors.
    shared = {id(t): t for tensors in (model.parameters(), model.buffers()) for t in tensors}
    replaced: list[str] = []
    optimized = _replaced(copy.deepcopy(model, shared), "", {}, replaced).eval()
    optimized.hotloops_replaced = replaced
    _log.info("optimize: replaced %d linear layers", len(replaced))
    return optimized


# ---- Replacing layers ----------------------------------------------------------------------------


def _replaced(
    module: torch.nn.Module,
    name: str,
    done: dict[torch.nn.Module, torch.nn.Module],
    report: list[str],
) -> torch.nn.Module:
    """Return what takes the place of a module, after replacing what is inside of it."""
    if module in done:  # used in several places
        return done[module]
    done[module] = module
    if _is_replaceable(module):
        done[module] = _as_hotloops(module, None)
        report.append(f"{name or 'the model'}: {_described(module)}")
        return done[module]
    _fuse_activations(module, name, report)
    for child_name, child in _children(module):
        setattr(module, child_name, _replaced(child, _path(name, child_name), done, report))
    return module


def _children(module: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    """Return all children, those too that named_children leaves out: each has its places."""
    return [(name, child) for name, child in module._modules.items() if child is not None]


def _path(name: str, child_name: str) -> str:
    return f"{name}.{child_name}" if name else child_name


def _fuse_activations(module: torch.nn.Module, name: str, report: list[str]) -> None:
    """Fuse what is applied to the results of linear layers that are children of this module."""
    children = dict(_children(module))
    if not any(map(_is_replaceable, children.values())):
        return
    is_sequential = isinstance(module, torch.nn.Sequential)
    pairs = itertools.pairwise(children) if is_sequential else chained_children(module)
    before = None if is_sequential else calls(module)
    for first, second in pairs:
        layer, follower = children[first], children[second]
        activation = _activation_of(follower) if _is_replaceable(layer) else None
        if activation is None:
            continue
        setattr(module, first, _as_hotloops(layer, activation))
        setattr(module, second, torch.nn.Identity())
        if not is_sequential and calls(module) != before:  # which had them elsewhere, too
            setattr(module, first, layer)
            setattr(module, second, follower)
            continue
        described = f"{_described(layer)} and {type(follower).__name__}"
        report.append(f"{_path(name, first)}: {described}")


def _is_replaceable(module: torch.nn.Module) -> bool:
    return (
        type(module) is torch.nn.Linear
        and module.weight.device.type == "cpu"
        and module.weight.dtype in (torch.float32, torch.float64)
        and not _has_hooks(module)
    )


def _activation_of(module: torch.nn.Module) -> str | None:
    if _has_hooks(module):
        return None
    if type(module) is torch.nn.GELU:
        return "gelu_tanh" if module.approximate == "tanh" else "gelu"
    names: dict[type, str] = {
        torch.nn.ReLU: "relu",
        torch.nn.SiLU: "silu",
        torch.nn.Sigmoid: "sigmoid",
        torch.nn.Tanh: "tanh",
    }
    return names.get(type(module)) or activation_function(module)


def _has_hooks(module: torch.nn.Module) -> bool:
    return any(value for name, value in vars(module).items() if name.endswith("_hooks"))


def _as_hotloops(layer: Any, activation: str | None) -> PackedLinear:
    """Return a layer with the same parameters."""
    new = PackedLinear(
        *(layer.in_features, layer.out_features, layer.bias is not None, activation),
        device="meta",  # no memory and no time for initial values
    )
    new.weight, new.bias = layer.weight, layer.bias
    new.train(layer.training)
    return new


def _described(layer: Any) -> str:
    return f"Linear({layer.in_features}, {layer.out_features})"
