"""hotloops' layers as a part of torch: differentiable, compilable, in models.

Imported on request only: ``import hotloops.torch``. It registers the operators of the namespace
``hotloops`` with torch, with implementations for CPU tensors, for autograd and for tracing.
"""

from __future__ import annotations

try:
    import torch as _  # noqa: F401
except ImportError as error:
    raise ImportError(
        "hotloops.torch needs PyTorch, which is not installed: pip install torch"
    ) from error

from hotloops.torch.layers import Linear, PackedLinear, optimize
from hotloops.torch.operators import linear

__all__ = ["Linear", "PackedLinear", "linear", "optimize"]
