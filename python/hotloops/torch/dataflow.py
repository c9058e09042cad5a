"""What a module does with its children's results, read off its `forward` by tracing it."""

from __future__ import annotations

import collections
import copy
import inspect
from typing import Any

import torch
import torch.fx
from torch.nn import functional

_ACTIVATIONS: dict[Any, str] = {
    functional.gelu: "gelu",
    functional.relu: "relu",
    functional.silu: "silu",
    torch.relu: "relu",
    torch.sigmoid: "sigmoid",
    torch.tanh: "tanh",
}


class _ChildrenAreLeaves(torch.fx.Tracer):
    def is_leaf_module(self, m: torch.nn.Module, module_qualified_name: str) -> bool:  # noqa: ARG002
        return True


def _graph(module: torch.nn.Module) -> torch.fx.Graph | None:
    """Return what `forward` computes, if it computes the same for any argument.

    With a second argument it may not: what depends on whether there is one is not in the graph.
    """
    parameters = list(inspect.signature(module.forward).parameters.values())
    plain = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty
    if [(each.kind, each.default) for each in parameters] != [plain] or "forward" in vars(module):
        return None
    try:
        # Of a copy, for what `forward` may leave in attributes.
        return _ChildrenAreLeaves().trace(copy.copy(module))
    except Exception:  # any code may fail on what only stands for a tensor
        return None


def activation_function(module: torch.nn.Module) -> str | None:
    """Return the name of the activation that is all that a module computes."""
    graph = _graph(module)
    nodes = [] if graph is None else list(graph.nodes)
    if [node.op for node in nodes] != ["placeholder", "call_function", "output"]:
        return None
    x, call, output = nodes
    options = {"inplace": False, "approximate": "none", **call.kwargs}
    name = _ACTIVATIONS.get(call.target)
    if name == "gelu" and options["approximate"] == "tanh":
        options["approximate"] = "none"
        name = "gelu_tanh"
    plain = options == {"inplace": False, "approximate": "none"}
    return name if plain and call.args == (x,) and output.args == (call,) else None


def calls(module: torch.nn.Module) -> list[Any] | None:
    """Return the calls of children and functions in their order, if they can be known."""
    graph = _graph(module)
    return None if graph is None else [(node.op, node.target) for node in graph.nodes]


def chained_children(module: torch.nn.Module) -> list[tuple[str, str]]:
    """Return pairs of children: the second is called on nothing but all of the first's results."""
    graph = _graph(module)
    nodes = [] if graph is None else [node for node in graph.nodes if node.op == "call_module"]
    times = collections.Counter(node.target for node in nodes)
    pairs = []
    for node in nodes:
        users = list(node.users)
        if len(users) != 1 or users[0].args != (node,) or users[0].kwargs:
            continue
        names = str(node.target), str(users[0].target)
        if users[0] in nodes and all(times[name] == 1 and "." not in name for name in names):
            pairs.append(names)
    return pairs
