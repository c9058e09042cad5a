"""The benchmark's products have the same bits in every setting: the contract is what it times."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import hotloops
from support import FMA_ISAS, assert_same_bits

pytest.importorskip("rich")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
    from harness import operands
    from harness.cases import Operand
    from harness.classes import SHAPE_CLASSES, catalogue

if TYPE_CHECKING:
    import numpy as np
    from harness.cases import Case

    from support import Array

LARGEST = 3e8
"""FLOP of the products that are computed here: 512 x 512 and smaller ones, most shapes."""

CLASSES = [
    name
    for name in SHAPE_CLASSES
    if any(case.operation == "matmul" and case.dtype is None for case in catalogue([name]))
    and name not in ("neighbours", "scaling")  # squares, as are others
]


def cases(name: str) -> list[Case]:
    return [
        case
        for case in catalogue([name])
        if case.operation == "matmul" and case.dtype is None and case.work(4) <= LARGEST
    ]


def multiply(case: Case, a: Array, b: Array) -> Array:
    """Multiply on operands and into a result as the benchmark has them."""
    out = None
    if case.out is not None:
        out = operands.allocate(Operand(case.result_shape, case.out), str(a.dtype))
    result: Array = hotloops.matmul(a, b, out=out)
    return result


@pytest.mark.parametrize("name", CLASSES)
def test_settings_and_layouts_do_not_change_bits(name: str, dtype: np.dtype[Any]) -> None:
    assert cases(name)
    for case in cases(name):
        made = operands.make(case, str(dtype), "wide")
        a, b = made.x, made.w
        assert b is not None
        with hotloops.threads(1):
            expected = multiply(case, a, b)
        for threads in (2, 5):
            with hotloops.threads(threads):
                assert_same_bits(multiply(case, a, b), expected)
        for isa in sorted(FMA_ISAS & set(hotloops.isas())):
            with hotloops.use_isa(isa):
                assert hotloops.isa() == isa
                assert_same_bits(multiply(case, a, b), expected)
        for same_a, same_b in ((a.copy("C"), b.copy("F")), (a.copy("F"), b.copy("C"))):
            assert_same_bits(hotloops.matmul(same_a, same_b), expected)


@pytest.mark.parametrize("name", CLASSES)
def test_rows_alone_have_the_bits_of_the_batch(name: str, dtype: np.dtype[Any]) -> None:
    for case in cases(name):
        if len(case.x.shape) < 2:
            continue
        made = operands.make(case, str(dtype), "wide")
        a, b = made.x, made.w
        assert b is not None
        whole = hotloops.matmul(a, b)
        rows = a.shape[-2]
        for i in {0, rows // 2, rows - 1}:
            row = hotloops.matmul(a[..., i : i + 1, :], b)
            assert_same_bits(row, whole[..., i : i + 1, :] if b.ndim > 1 else whole[..., i : i + 1])
