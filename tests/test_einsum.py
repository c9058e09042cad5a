"""einsum has NumPy's language and values, and is made of views and kernels."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest

import hotloops
import support
from hotloops import _core, naive
from hotloops._einsum_lowering import Layout, lower
from support import LAYOUTS, assert_same_bits, normal, small_integers

# What is asked, and the operands' shapes.
CASES: list[tuple[str, list[tuple[int, ...]]]] = [
    ("ik,kj->ij", [(5, 7), (7, 3)]),
    ("ik,kj->ji", [(5, 7), (7, 3)]),
    ("ki,jk", [(7, 5), (3, 7)]),
    ("bik,bkj->bij", [(2, 5, 7), (2, 7, 3)]),
    ("bik,bkj->ibj", [(2, 5, 7), (2, 7, 3)]),
    ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]),
    ("bqhd,bkhd->bhqk", [(2, 4, 3, 5), (2, 6, 3, 5)]),
    ("i,ij->i", [(5,), (5, 7)]),
    ("ik,kj->j", [(5, 7), (7, 3)]),
    ("ij,jk->ik", [(5, 7), (7, 3)]),
    ("i,i", [(7,), (7,)]),
    ("i,j->ij", [(5,), (7,)]),
    ("ij,ij->ij", [(5, 7), (5, 7)]),
    ("ij,ji->ij", [(5, 7), (7, 5)]),
    ("ij,ij->i", [(21, 7), (21, 7)]),
    ("ij,ji->i", [(21, 7), (7, 21)]),
    ("abi,abi->ba", [(4, 5, 9), (4, 5, 9)]),
    ("ijk,jkl->il", [(3, 4, 5), (4, 5, 6)]),
    ("ijk,kjl->il", [(3, 4, 5), (5, 4, 6)]),
    ("abcd,cdef->abef", [(2, 3, 4, 5), (4, 5, 3, 2)]),
    ("acbd,d->abc", [(2, 3, 4, 5), (5,)]),
    ("ij->ji", [(5, 7)]),
    ("ij->", [(5, 7)]),
    ("ij->j", [(5, 7)]),
    ("ijk->ik", [(3, 4, 5)]),
    ("ii", [(5, 5)]),
    ("ii->i", [(5, 5)]),
    ("iji->j", [(5, 3, 5)]),
    ("ii,ij->j", [(5, 5), (5, 3)]),
    ("ba", [(5, 7)]),
    ("...", [(5, 7)]),
    ("...ij,...jk->...ik", [(2, 1, 3, 4), (6, 4, 5)]),
    ("i...,i...->...", [(5, 3), (5, 1)]),
    ("i...->i", [(5, 2, 3)]),
    ("ij,j...", [(5, 7), (7, 2, 3)]),
    ("ij,jk", [(2, 1), (3, 4)]),
    ("ij,jk,kl->il", [(5, 7), (7, 3), (3, 4)]),
    ("i,ij,j->", [(5,), (5, 7), (7,)]),
    ("ij,ij,ij->j", [(5, 7)] * 3),
    ("ab,bc,cd,de->ae", [(2, 3), (3, 4), (4, 5), (5, 6)]),
    (",ij,->ij", [(), (5, 7), ()]),
    ("->", [()]),
    ("ij,jk->ik", [(5, 0), (0, 3)]),
    ("ij->j", [(0, 3)]),
    (" ij , jk -> ik ", [(5, 7), (7, 3)]),
]


def operands_of(shapes: list[tuple[int, ...]], dtype: Any) -> list[support.Array]:
    """Return small integers of these shapes."""
    return [small_integers(seed, shape, dtype) for seed, shape in enumerate(shapes)]


@pytest.mark.parametrize("twins", [hotloops, naive])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8"])
@pytest.mark.parametrize(("subscripts", "shapes"), CASES)
def test_values(twins: Any, dtype: str, subscripts: str, shapes: Any) -> None:
    operands = operands_of(shapes, dtype)
    expected = np.einsum(subscripts, *operands, optimize=True)
    for _ in range(2):  # as planned, and as remembered
        actual = twins.einsum(subscripts, *operands)
        assert actual.dtype == expected.dtype
        np.testing.assert_array_equal(actual, expected)
        assert isinstance(actual, np.ndarray) == (np.ndim(expected) > 0)
    for order in ("C", "F"):
        out = np.full_like(expected, 77, order=order)
        assert twins.einsum(subscripts, *operands, out=out) is out
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("layout", ["fortran", "padded_rows", "strided", "reversed", "misaligned"])
@pytest.mark.parametrize(("subscripts", "shapes"), CASES)
def test_layouts(layout: str, subscripts: str, shapes: Any) -> None:
    operands = operands_of(shapes, np.float64)
    expected = np.einsum(subscripts, *operands, optimize=True)
    views = [LAYOUTS[layout](x) if x.ndim > 0 else x for x in operands]
    for _ in range(2):  # as planned, and as remembered
        np.testing.assert_array_equal(hotloops.einsum(subscripts, *views), expected)
    np.testing.assert_array_equal(hotloops.einsum(subscripts, *views, optimize=False), expected)


def test_real_values_are_within_the_bound_of_matmul(dtype: np.dtype[Any]) -> None:
    a, b = normal(1, (40, 6, 50), dtype), normal(2, (6, 50, 30), dtype)
    c = hotloops.einsum("ijk,jkl->il", a, b)
    support.assert_within_bound(c, a.reshape(40, 300), b.reshape(300, 30))
    assert_same_bits(c, hotloops.matmul(a.reshape(40, 300), b.reshape(300, 30)))


# What is asked, the operands' shapes, and how many products (p) and values (s) are summed in turn.
SUMS: list[tuple[str, list[tuple[int, ...]], str]] = [
    ("i,ij->i", [(300,), (300, 517)], "s517 p1"),
    ("ik,kj->j", [(300, 517), (517, 300)], "s300 p517"),
    ("ij,ij->", [(300, 517), (300, 517)], "p155100"),
    ("ij->", [(300, 517)], "s300 s517"),
    ("ij->i", [(300, 517)], "s517"),
    ("i->", [(70000,)], "s70000"),
]


def roundings(sums: str) -> int:
    """Return how often a value is rounded, at most, in sums of so many products or values."""
    total = 0
    for what, k in ((each[0], int(each[1:])) for each in sums.split()):
        in_block = min(k, 256) if what == "p" else min(-(-k // 16), 16) + 4
        total += in_block + -(-k // 256)
    return total


@pytest.mark.parametrize(("subscripts", "shapes", "sums"), SUMS)
def test_sums_longer_than_a_block(
    dtype: np.dtype[Any], subscripts: str, shapes: Any, sums: str
) -> None:
    operands = [normal(seed, shape, dtype) for seed, shape in enumerate(shapes)]
    exact = np.einsum(subscripts, *(x.astype(np.longdouble) for x in operands))
    magnitude = np.einsum(subscripts, *(np.abs(x).astype(np.longdouble) for x in operands))
    bound = support.gamma(roundings(sums), float(np.finfo(dtype).eps) / 2) * magnitude
    for _ in range(2):  # as planned, and as remembered
        assert np.all(np.abs(hotloops.einsum(subscripts, *operands) - exact) <= bound)


def defined_sum(x: support.Array, axis: int) -> support.Array:
    """Sum over an axis as `einsum` defines it."""
    values = np.moveaxis(x, axis, 0)
    total = np.zeros(values.shape[1:], x.dtype)
    for first in range(0, len(values), 256):
        block = values[first : first + 256]
        chains = np.zeros((16, *total.shape), x.dtype)
        for p, value in enumerate(block):
            chains[p % 16] += value
        while len(chains) > 1:
            half = len(chains) // 2
            chains = chains[:half] + chains[half:]
        total = chains[0] if first == 0 else total + chains[0]
    return total


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_sums_have_the_bits_of_their_definition(
    dtype: np.dtype[Any], axis: int, any_isa: str
) -> None:
    x = normal(1, (30, 271, 21), dtype)
    term, kept = "ijk", "ijk".replace("ijk"[axis], "")
    expected = defined_sum(x, axis)
    views = [x, np.asfortranarray(x), x.transpose(1, 2, 0).copy().transpose(2, 0, 1)]
    views += [LAYOUTS[name](x) for name in ("padded_rows", "strided", "reversed", "misaligned")]
    for view in views:
        for threads in (1, 2):
            with hotloops.threads(threads):
                for _ in range(2):  # as planned, and as remembered
                    assert_same_bits(hotloops.einsum(f"{term}->{kept}", view), expected)
    out = np.empty_like(expected)
    assert_same_bits(hotloops.einsum(f"{term}->{kept}", x, out=out), expected)
    assert hotloops.isa() == any_isa


def test_long_sums_are_the_same_on_any_threads(dtype: np.dtype[Any]) -> None:
    for shape in ((1_100_000,), (3, 200_000)):
        x = normal(1, shape, dtype)
        expected = defined_sum(x, x.ndim - 1)
        for threads in (1, 2, 3):
            with hotloops.threads(threads):
                actual = hotloops.einsum("...i->...", x)
                np.testing.assert_array_equal(actual, expected)


def test_what_is_not_finite_is_summed_before_it_is_multiplied() -> None:
    inf, nan, most = np.inf, np.nan, np.finfo(np.float64).max
    weights = np.array([0.0, 0.0, 2.0, 1.0, inf, 0.0, 0.5, 0.5])
    rows = np.array(
        [
            *([inf, 1, 1], [nan, 1, 1], [inf, -inf, 1], [nan, 1, 1]),
            *([1, -1, 0], [most, most, 1], [most, most, 1], [most, 1, 1]),
        ]
    )
    with np.errstate(all="ignore"):
        expected = np.einsum("i,ij->i", weights, rows)
    np.testing.assert_array_equal(hotloops.einsum("i,ij->i", weights, rows), expected)
    np.testing.assert_array_equal(expected, [nan] * 6 + [inf, most / 2])


def test_a_plan_is_for_one_layout() -> None:
    a, b = operands_of([(6, 6), (6, 6)], np.float64)
    expected = a @ b
    out = np.empty_like(expected)
    for left in (a, np.asfortranarray(a), a.astype(np.float32), np.repeat(a, 2, axis=1)[:, ::2]):
        for _ in range(2):
            np.testing.assert_array_equal(hotloops.einsum("ik,kj->ij", left, b), expected)
            hotloops.einsum("ik,kj->ij", left, b, out=out)
            np.testing.assert_array_equal(out, expected)
    torch = pytest.importorskip("torch")
    tensors = torch.from_numpy(a), torch.from_numpy(b)
    np.testing.assert_array_equal(hotloops.einsum("ik,kj->ij", *tensors), expected)


def test_the_core_remembers_what_it_can_carry_out() -> None:
    a, b = operands_of([(6, 7), (7, 5)], np.float64)
    for subscripts, operands in (
        ("ij,jk->ik", (a, b)),
        ("ij,jk->k", (a, b)),
        ("ij,ij,ij->j", (a, a, a)),
        ("aij,ajk->aik", (a.reshape(3, 2, 7), np.stack([b] * 3))),
        ("aij,ajk->iak", (a.reshape(3, 2, 7), np.stack([b] * 3))),
    ):
        hotloops.einsum(subscripts, *operands)
        for changed in (operands, tuple(x.astype(np.float32) for x in operands)):
            remembered = _core.einsum(subscripts, changed, True)
            assert type(remembered) is np.ndarray
            assert remembered.dtype == changed[0].dtype
            np.testing.assert_array_equal(remembered, np.einsum(subscripts, *operands))
        strangers = [
            tuple(x.astype(object) for x in operands),
            (*operands[:-1], operands[-1].astype(np.float32)),
            (*operands[:-1], operands[-1].tolist()),
            (*operands[:-1], np.asfortranarray(operands[-1])),
            operands[1:],
        ]
        for stranger in strangers:
            assert _core.einsum(subscripts, stranger, True) is NotImplemented
        assert _core.einsum(subscripts, operands, "greedy") is NotImplemented
        assert _core.einsum(subscripts, operands, False) is NotImplemented
    # Letters that are no one dimension in memory: to merge them is a copy, which is Python's.
    gaps = np.repeat(normal(1, (4, 5, 6), np.float64), 2, axis=1)[:, ::2]
    flat = normal(2, (5, 6, 3), np.float64)
    expected = gaps.reshape(4, 30) @ flat.reshape(30, 3)
    for _ in range(3):
        np.testing.assert_allclose(
            hotloops.einsum("ijk,jkl->il", gaps.transpose(0, 2, 1).copy().transpose(0, 2, 1), flat),
            expected,
        )
        assert hotloops.einsum("ij,j->i", gaps[0], gaps[1, 0]).shape == (5,)


def test_a_program_is_forgotten_when_there_are_too_many() -> None:
    a = np.ones((2, 3))
    for n in range(1, 1100):
        b = np.ones((3, n))
        for _ in range(2):
            assert hotloops.einsum("ij,jk->ik", a, b).shape == (2, n)
    assert _core.einsum("ij,jk->ik", (a, b), True) is not NotImplemented


def random_problem(seed: int) -> tuple[str, list[support.Array]]:
    """Return subscripts of every kind, and operands for them."""
    rng = random.Random(seed)
    letters = "abcdef"[: rng.randint(1, 6)]
    sizes = {letter: rng.choice([0, 1, 2, 2, 3, 3, 4, 4]) for letter in letters}
    terms, operands = [], []
    for i in range(rng.choice([1, 2, 2, 2, 3, 4])):
        term = "".join(rng.choice(letters) for _ in range(rng.randint(0, 4)))
        shape = [sizes[letter] for letter in term]
        if rng.random() < 0.2:
            place = rng.randint(0, len(term))
            term = term[:place] + "..." + term[place:]
            shape[place:place] = rng.choice([(), (3,), (2, 3), (1, 3), (1,)])
        x = small_integers(seed + i, tuple(shape), rng.choice(["f8", "f8", "f4", "i4"]))
        operands.append(np.asfortranarray(x) if rng.random() < 0.5 and x.ndim > 1 else x)
        terms.append(term)
    subscripts = ",".join(terms)
    if rng.random() < 0.8:
        kept = sorted(x for x in set(subscripts) if x.isalpha() and rng.random() < 0.5)
        rng.shuffle(kept)
        if "..." in subscripts:
            kept.insert(rng.randint(0, len(kept)), "...")
        subscripts += "->" + "".join(kept)
    return subscripts, operands


@pytest.mark.parametrize("block", range(5))
def test_random_subscripts(block: int) -> None:
    for seed in range(400 * block, 400 * (block + 1)):
        subscripts, operands = random_problem(seed)
        expected = np.einsum(subscripts, *operands, optimize=False)
        for _ in range(2):  # as planned, and as remembered
            actual = hotloops.einsum(subscripts, *operands)
            assert actual.dtype == expected.dtype
            np.testing.assert_array_equal(actual, expected, err_msg=f"{seed}: {subscripts}")


def test_operands_with_lists() -> None:
    a, b = operands_of([(5, 7), (7, 3)], np.float64)
    for arguments in (
        (a, [0, 1], b, [1, 2]),
        (a, [0, 1], b, [1, 2], [2, 0]),
        (a, [30, 1], b, [1, 2]),
        (a, [Ellipsis, 1], b, [1, 2], [2, Ellipsis]),
    ):
        expected = np.einsum(*arguments, optimize=False)
        np.testing.assert_array_equal(hotloops.einsum(*arguments), expected)
        np.testing.assert_array_equal(naive.einsum(*arguments), expected)


def test_array_likes_and_other_types() -> None:
    assert_same_bits(hotloops.einsum("ij,jk", [[1, 2]], [[3], [4]]), np.array([[11]]))
    for code in "?bHefdFDO":
        a, b = operands_of([(5, 7), (7, 3)], code)
        for subscripts in ("ij,jk->ik", "ij,jk->k"):
            actual = hotloops.einsum(subscripts, a, b)
            expected = np.einsum(subscripts, a, b)
            assert actual.dtype == expected.dtype
            np.testing.assert_array_equal(actual, expected)


def test_what_is_computed_on_the_way_has_the_type_of_the_result() -> None:
    signs, bytes_, halves = (
        np.ones((3, 3), bool),
        np.full((3, 3), 100, np.int8),
        np.full(9, 6e4, "e"),
    )
    cases: list[tuple[Any, ...]] = [
        ("ab,->", signs, 2),
        ("ab,c->c", bytes_, np.ones(2, np.int64)),
        ("ab,ab,ab->a", bytes_, bytes_, np.ones((3, 3))),
        ("a,->", halves, np.float32(1)),
    ]
    for subscripts, *operands in cases:
        expected = np.einsum(subscripts, *operands)
        assert_same_bits(hotloops.einsum(subscripts, *operands), expected)
        assert_same_bits(naive.einsum(subscripts, *operands), expected)
        out = np.empty_like(expected)
        np.testing.assert_array_equal(hotloops.einsum(subscripts, *operands, out=out), expected)


@pytest.mark.parametrize("twins", [hotloops, naive])
@pytest.mark.parametrize("subscripts", ["i,i->", "i->", "ij,j", "ij,jk->k", "ii,i->i", "i,i,i"])
def test_objects_are_numpys(twins: Any, subscripts: str) -> None:
    shapes = [(3,) * len(term) for term in subscripts.split("->")[0].split(",")]
    operands = [
        np.arange(2.0, 2 + np.prod(shape)).reshape(shape).astype(object) for shape in shapes
    ]
    actual, expected = twins.einsum(subscripts, *operands), np.einsum(subscripts, *operands)
    assert type(actual) is type(expected)
    np.testing.assert_array_equal(actual, expected)


def test_views_are_returned_where_there_is_nothing_to_compute() -> None:
    x = normal(1, (5, 5), np.float64)
    for subscripts in ("ij->ji", "ii->i", "ij"):
        y = hotloops.einsum(subscripts, x)
        assert np.shares_memory(x, y)
        assert y.flags.writeable
    hotloops.einsum("ii->i", x)[:] = 0
    assert not x.diagonal().any()


@pytest.mark.parametrize(
    "optimize",
    [
        *(True, False, None, "greedy", "optimal", ("greedy", 100), ["optimal", 100]),
        *(["einsum_path", (0, 2), (0, 1)], ["einsum_path", [0, 2], [0, 1]]),
        *(("einsum_path", [1, 2], (0, 1)), ["einsum_path", np.array([0, 1]), [1, 0]]),
    ],
    ids=str,
)
def test_any_path(optimize: Any) -> None:
    operands = operands_of([(3, 4), (4, 5), (5, 3)], np.float64)
    for subscripts in ("ij,jk,kl->il", "ij,jk,ki->", "ij,jk,kl->jl"):
        actual = hotloops.einsum(subscripts, *operands, optimize=optimize)
        np.testing.assert_array_equal(actual, np.einsum(subscripts, *operands))


# --- What einsum takes as NumPy does ------------------------------------------------------------


def test_subscripts_of_bytes() -> None:
    a, b = operands_of([(5, 7), (7, 3)], np.float64)
    for twin in hotloops, naive:
        np.testing.assert_array_equal(twin.einsum(b"ij,jk->ki", a, b), (a @ b).T)
        with pytest.raises(ValueError, match=r"letters and one ellipsis '...' only, not '\xe9'"):
            twin.einsum(b"i\xe9", a)


@pytest.mark.parametrize(
    ("subscripts", "count"),
    [*(("ij->", 1), ("ij->j", 1), ("ij->ji", 1), ("ii->i", 1), ("ii", 1)), ("ij,jk->ik", 2)],
)
def test_subclasses_are_arrays(subscripts: str, count: int, tmp_path: Any) -> None:
    values = np.arange(9.0).reshape(3, 3)
    mapped = np.memmap(tmp_path / "values", values.dtype, "w+", shape=values.shape)
    mapped[:] = values
    masked = np.ma.masked_array(values, mask=values < 4)
    for kind in (values.view(np.matrix), masked, mapped):
        expected = np.einsum(subscripts, *[kind] * count)
        actual = hotloops.einsum(subscripts, *[kind] * count)
        assert type(actual) is type(expected)
        np.testing.assert_array_equal(actual, np.einsum(subscripts, *[values] * count))
        if expected.shape != kind.shape:
            continue
        out = np.zeros_like(kind)
        assert hotloops.einsum(subscripts, *[kind] * count, out=out) is out
        np.testing.assert_array_equal(np.asarray(out), expected)


def test_subclasses_with_an_einsum_of_their_own() -> None:
    class Quantity(np.ndarray):
        def __array_function__(self, function: Any, *_: Any) -> Any:
            return function.__name__, "of quantities"

    x = np.ones((2, 2)).view(Quantity)
    assert hotloops.einsum("ij,jk", np.ones((2, 2)), x) == ("einsum", "of quantities")


# --- Results that overlap their operands --------------------------------------------------------

OVERLAPS = [
    *(("i->i", (7,), (7,)), ("ij->ij", (3, 4), (3, 4)), ("ij->ji", (4, 5), (5, 4))),
    *(("ij->ji", (4, 4), (4, 4)), ("ii->i", (4, 4), (4,)), ("iji->ij", (3, 4, 3), (3, 4))),
    *(("ij->i", (4, 5), (4,)), ("ij,ij->ji", (4, 5), (5, 4)), ("ij,jk->ik", (4, 4), (4, 4))),
    *(("i,j->ij", (4,), (4, 4)), ("ij,jk,kl->il", (3, 3), (3, 3)), ("i,i,i->i", (7,), (7,))),
]


@pytest.mark.parametrize("kind", ["arrays", "tensors"])
def test_results_that_overlap_operands(kind: str) -> None:
    torch = pytest.importorskip("torch") if kind == "tensors" else None
    rng = random.Random(0)
    for (subscripts, operand, result), code in itertools.product(OVERLAPS * 8, ["f4", "i8", "F"]):
        shapes = [*[operand] * (1 + subscripts.count(",")), result]
        views = support.overlapping_views(rng, shapes, code)
        expected = np.einsum(subscripts, *(x.copy() for x in views[:-1]))
        *operands, out = (torch.from_numpy(x) for x in views) if torch else views
        assert hotloops.einsum(subscripts, *operands, out=out) is out
        np.testing.assert_array_equal(out, expected, err_msg=subscripts)


# --- Lowering ---------------------------------------------------------------------------------


def lowered_to(subscripts: str, a: support.Array, b: support.Array) -> Any:
    """Return how the product of two operands is lowered."""
    inputs, output = subscripts.split("->")
    first, second = inputs.split(",")
    layouts = Layout(tuple(first), a.shape, a.strides), Layout(tuple(second), b.shape, b.strides)
    return lower(*layouts, frozenset(output), tuple(output))


def is_view(x: support.Array, axes: Any, shape: Any) -> bool:
    """Tell whether permuting and reshaping needs no copy."""
    y = x if axes is None else x.transpose(axes)
    return shape is None or np.shares_memory(x, y.reshape(shape))


@pytest.mark.parametrize(
    "subscripts",
    [
        *("ik,kj->ij", "ik,kj->ji", "ki,jk->ij", "bik,bkj->bij", "bik,bkj->ibj", "ij,jk->ik"),
        *("bhqd,bhkd->bhqk", "bqhd,bkhd->bhqk", "bsgd,btgd->bgst", "aibj,jk->aibk", "i,i->"),
        *("ijk,jkl->il", "abcd,cdef->abef", "ijk,kl->ijl", "kij,kl->ijl", "kij,kl->lji"),
        *("i,j->ij", "ij,ij->ij", "ij,ji->ij", "ij,j->ji", "acbd,d->abc", "abij,ij->ab"),
    ],
)
def test_contiguous_operands_are_not_copied(subscripts: str) -> None:
    sizes = dict(zip("abcdefghijklqst", range(2, 20), strict=False))
    a, b = (np.ones([sizes[x] for x in term]) for term in subscripts.split("->")[0].split(","))
    lowered = lowered_to(subscripts, a, b)
    left, right = (b, a) if lowered.exchanged else (a, b)
    assert is_view(left, lowered.left_axes, lowered.left_shape)
    assert is_view(right, lowered.right_axes, lowered.right_shape)


def test_rows_that_cannot_be_merged_become_a_batch() -> None:
    x, y = normal(1, (6, 3, 40, 50), np.float64)[:, ::2], normal(2, (50, 7), np.float64)
    lowered = lowered_to("abik,kj->abij", x, y)
    assert is_view(x, lowered.left_axes, lowered.left_shape)
    assert lowered.product_shape == (6, 2, 40, 7) or lowered.product_shape == (6, 80, 7)
    assert_same_bits(hotloops.einsum("abik,kj->abij", x, y), hotloops.matmul(x, y))


# --- Errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("twins", [hotloops, naive])
@pytest.mark.parametrize(
    ("subscripts", "shapes", "message"),
    [
        ("ij,jk", [(2, 3), (4, 5)], "letter 'j' has size 3 in operand 0 but 4 in operand 1; one"),
        ("ii", [(2, 3)], r"letter 'i' has sizes 2 and 3 in operand 0; a diagonal has one \(shape"),
        ("ij,jk->iz", [(2, 3), (3, 4)], "output letter 'z' is in no operand of"),
        ("ij,jk->ii", [(2, 3), (3, 4)], "output letter 'i' stands there twice"),
        ("ij,jk", [(2, 3)], "have 2 terms, separated by commas, for 1 operands"),
        ("ijk", [(2, 3)], "the term of operand 0 is 'ijk', 3 letters for 2 dimensions"),
        ("i", [(2, 3)], "'i', 1 letters for 2 dimensions; '...' stands for those without"),
        ("i.j", [(2, 3)], "may have letters and one ellipsis '...' only, not '.'"),
        ("...i...", [(2, 3)], "may have letters and one ellipsis"),
        ("i1", [(2, 3)], "not '1'"),
        ("ij->i->j", [(2, 3)], "the output is 'i->j'"),
        ("...,...", [(2, 3), (2, 4)], "the ellipsis has size 3 in operand 0 but 4 in operand 1"),
    ],
)
def test_errors_name_the_rule(twins: Any, subscripts: str, shapes: Any, message: str) -> None:
    with pytest.raises(ValueError, match="^einsum: .*" + message):
        twins.einsum(subscripts, *(np.ones(shape) for shape in shapes))


def test_other_errors() -> None:
    a, b = np.ones((2, 3)), np.ones((3, 4))
    with pytest.raises(ValueError, match=r"einsum: out has shape \(4, 2\) but the result has"):
        hotloops.einsum("ij,jk", a, b, out=np.ones((4, 2)))
    for twin in hotloops, naive:
        with pytest.raises(
            ValueError, match=r"einsum: out has shape \(1, 2, 4\) but the result has"
        ):
            twin.einsum("ij,jk", a, b, out=np.ones((1, 2, 4)))
    with pytest.raises(TypeError, match="einsum: out has dtype int64"):
        hotloops.einsum("ij,jk", a, b, out=np.ones((2, 4), np.int64))
    with pytest.raises(ValueError, match="einsum: subscript 60 is not from 0 to 51"):
        hotloops.einsum(a, [0, 60])
    with pytest.raises(ValueError, match="einsum: subscripts are needed"):
        hotloops.einsum(a)
    with pytest.raises(ValueError, match="einsum: at least one operand"):
        hotloops.einsum("")


# --- torch ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("subscripts", "shapes"), CASES)
def test_tensors(subscripts: str, shapes: Any) -> None:
    torch = pytest.importorskip("torch")
    for dtype in (torch.float32, torch.float64, torch.int64):
        arrays = operands_of(shapes, np.int64)
        expected = torch.from_numpy(np.asarray(np.einsum(subscripts, *arrays, optimize=True))).to(
            dtype
        )
        operands = [torch.from_numpy(array).to(dtype) for array in arrays]
        for _ in range(2):  # as planned, and as remembered
            actual = hotloops.einsum(subscripts, *operands)
            assert type(actual) is torch.Tensor
            assert actual.dtype == dtype
            assert torch.equal(actual, expected)
        out = torch.zeros_like(expected)
        assert hotloops.einsum(subscripts, *operands, out=out) is out
        assert torch.equal(out, expected)
    with pytest.raises(RuntimeError, match="einsum: operand 0 requires its gradient"):
        hotloops.einsum(subscripts, *(x.double().requires_grad_() for x in operands))
