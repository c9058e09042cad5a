"""The same values give the same bits, however they are computed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import hotloops
import support
from support import (
    ACTIVATIONS,
    FMA_ISAS,
    KC,
    LAYOUTS,
    assert_same_bits,
    canonical,
    contract_matmul,
    normal,
    wide_range,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPES = [
    (1, 1, 1),
    (1, 700, 1),
    (1, 300, 513),
    (513, 300, 1),
    (3, 5, 7),
    (15, 257, 33),
    (130, 515, 140),
    (2000, 3, 5),
    (3, 260, 2000),
]


def operands(shape: tuple[int, int, int], dtype: np.dtype[Any]) -> tuple[support.Array, ...]:
    m, k, n = shape
    return wide_range(m, (m, k), dtype), wide_range(n, (k, n), dtype)


@pytest.fixture(params=SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def shape(request: pytest.FixtureRequest) -> tuple[int, int, int]:
    """Run the test with shapes that take every path: tiny, vector, edge, several blocks."""
    m, k, n = request.param
    return m, k, n


# --- The definition ---------------------------------------------------------------------------


@pytest.mark.parametrize("small", [(1, 1, 1), (3, 5, 4), (2, 255, 3), (3, 256, 2), (2, 515, 3)])
@pytest.mark.parametrize("make", [normal, wide_range], ids=lambda make: make.__name__)
def test_the_bits_are_those_of_the_definition(
    isa: str, dtype: np.dtype[Any], make: Any, small: tuple[int, int, int]
) -> None:
    if isa not in FMA_ISAS:
        pytest.skip("the definition is in fused multiply-adds")
    m, k, n = small
    a, b = make(1, (m, k), dtype), make(2, (k, n), dtype)
    assert_same_bits(hotloops.matmul(a, b), contract_matmul(a, b))


def test_large_products_have_the_bits_of_the_definition(
    isa: str, shape: tuple[int, int, int]
) -> None:
    if isa not in FMA_ISAS:
        pytest.skip("the definition is in fused multiply-adds")
    a, b = operands(shape, np.dtype(np.float32))
    assert_same_bits(hotloops.matmul(a, b), contract_matmul(a, b))


# --- ISAs, threads, rows, batches, layouts ----------------------------------------------------


@pytest.mark.skipif(len(FMA_ISAS & set(hotloops.isas())) < 2, reason="only one ISA with FMA here")
def test_isas_with_fma_agree(shape: tuple[int, int, int], dtype: np.dtype[Any]) -> None:
    a, b = operands(shape, dtype)
    products = {}
    for name in sorted(FMA_ISAS & set(hotloops.isas())):
        with hotloops.use_isa(name):
            assert hotloops.isa() == name
            products[name] = hotloops.matmul(a, b)
    first, *others = products.values()
    for other in others:
        assert_same_bits(other, first)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("count", [2, 3, 5])
def test_any_number_of_threads(
    dtype: np.dtype[Any], shape: tuple[int, int, int], count: int
) -> None:
    a, b = operands(shape, dtype)
    with hotloops.threads(1):
        alone = hotloops.matmul(a, b)
    with hotloops.threads(count):
        assert hotloops.get_num_threads() == count
        assert_same_bits(hotloops.matmul(a, b), alone)


@pytest.mark.usefixtures("isa")
def test_a_dot_product_on_any_number_of_threads(dtype: np.dtype[Any]) -> None:
    # Its blocks are shared out; more of them than fit one round of sums, and a rest.
    a, b = operands((1, 5000 * KC + 7, 1), dtype)
    with hotloops.threads(1):
        alone = hotloops.matmul(a, b)
        blocks = [
            hotloops.matmul(a[:, k : k + KC], b[k : k + KC]) for k in range(0, a.shape[1], KC)
        ]
    in_order = blocks[0]
    for block in blocks[1:]:
        in_order = in_order + block
    assert_same_bits(alone, in_order)
    for count in (2, 5):
        with hotloops.threads(count):
            assert_same_bits(hotloops.matmul(a, b), alone)


@pytest.mark.parametrize("size", [(37, 6000, 41), (1, 30_000, 20), (8, 20_001, 9), (70, 9000, 3)])
@pytest.mark.parametrize("layout", ["contiguous", "transposed"])
def test_few_rows_and_columns_over_a_long_k_on_any_number_of_threads(
    isa: str, dtype: np.dtype[Any], size: tuple[int, int, int], layout: str
) -> None:
    # Its blocks of k are shared out, and added in order.
    a, b = operands(size, dtype)
    if layout == "transposed":
        a, b = np.asfortranarray(a), np.asfortranarray(b)
    with hotloops.threads(1):
        alone = hotloops.matmul(a, b)
    if isa in FMA_ISAS:
        assert_same_bits(alone[:1, :1], contract_matmul(a[:1], b[:, :1]))
    for count in (2, 3, 5):
        with hotloops.threads(count):
            assert_same_bits(hotloops.matmul(a, b), alone)
            out = np.full((size[2], size[0]), np.nan, dtype).T
            assert_same_bits(hotloops.matmul(a, b, out=out), alone)


@pytest.mark.usefixtures("isa")
def test_a_row_alone_and_in_the_batch(dtype: np.dtype[Any], shape: tuple[int, int, int]) -> None:
    a, b = operands(shape, dtype)
    whole = hotloops.matmul(a, b)
    for i in {0, 1, 2, a.shape[0] // 2, a.shape[0] - 1} & set(range(a.shape[0])):
        assert_same_bits(hotloops.matmul(a[i : i + 1], b), whole[i : i + 1])
        assert_same_bits(hotloops.matmul(a[i], b), whole[i])
    for rows in (2, 3, 5, 8, 16):
        assert_same_bits(hotloops.matmul(a[:rows], b), whole[:rows])


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("shape", [(40, 300, 1300), (600, 300, 90), (200, 270, 1100)])
def test_a_layer_shared_out_by_rows_and_columns(
    dtype: np.dtype[Any], shape: tuple[int, int, int]
) -> None:
    x, kernel = operands(shape, dtype)
    rows, _, columns = shape
    bias, residual = normal(3, (columns,), dtype), normal(4, (rows, columns), dtype)
    with hotloops.threads(1):
        alone = hotloops.dense(x, kernel, bias, activation="relu", residual=residual)
    # Rows of a result that begin anywhere in a cache line: tiles are aligned to lines then.
    for offset in (0, 1, 4):
        memory = np.empty(rows * columns + 64, dtype)
        to_line = -memory.ctypes.data % 64 // memory.itemsize
        out = memory[to_line + offset :][: rows * columns].reshape(rows, columns)
        for count in (2, 3, 4):
            with hotloops.threads(count):
                hotloops.dense(x, kernel, bias, activation="relu", residual=residual, out=out)
                assert_same_bits(out, alone)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("units", [60, 1100])
def test_rows_times_a_weight_stored_by_its_units(dtype: np.dtype[Any], units: int) -> None:
    # Up to some rows, columns are transposed for each panel of them; with more, once.
    x, weight = operands((90, 2 * KC + 3, units), dtype)
    whole = hotloops.matmul(x, weight)
    stored = weight.T.copy().T
    bias = normal(3, (units,), dtype)
    activated = hotloops.dense(x, weight, bias, activation="gelu")
    for rows in (3, 4, 5, 10, 11, 16, 17, 20, 33, 48, 64, 65, 90):
        for count in (1, 3):
            with hotloops.threads(count):
                assert_same_bits(hotloops.matmul(x[:rows], stored), whole[:rows])
        actual = hotloops.linear(x[:rows], stored.T, bias, activation="gelu")
        assert_same_bits(actual, activated[:rows])


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("k", [16, 23, 24, 61, 95, 96])
def test_rows_times_short_columns(dtype: np.dtype[Any], k: int) -> None:
    # Packed or transposed where they are, by k and the number of rows.
    x, weight = operands((40, k, 150), dtype)
    whole = np.concatenate([hotloops.matmul(x[i : i + 1], weight) for i in range(40)])
    stored = weight.T.copy().T
    for rows in (3, 4, 5, 10, 11, 16, 17, 24, 33, 40):
        assert_same_bits(hotloops.matmul(x[:rows], stored), whole[:rows])
        assert_same_bits(hotloops.matmul(stored.T, x[:rows].T), whole[:rows].T)
        assert_same_bits(hotloops.matmul(weight.T, x[:rows].T), whole[:rows].T)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("k", [1, 2, 4, 5, 8, 9, 64, 65])
def test_few_values_of_k_in_wide_and_narrow_results(dtype: np.dtype[Any], k: int) -> None:
    # Tiles of all shapes, from wherever a row begins in its cache line.
    a, b = operands((90, k, 1100), dtype)
    rows = np.concatenate([hotloops.matmul(a[i : i + 1], b) for i in range(90)])
    for m in (28, 29, 60, 90):
        for n in (15, 17, 33, 49, 64, 87, 130, 1024, 1100):
            expected = rows[:m, :n]
            assert_same_bits(hotloops.matmul(a[:m], b[:, :n]), expected)
            assert_same_bits(hotloops.matmul(a[:m], b[:, :n].T.copy().T), expected)
            wide = np.full((m, 1104), np.nan, dtype)
            for first in (0, 2, 3):
                out = wide[:, first : first + n]
                assert_same_bits(hotloops.matmul(a[:m], b[:, :n], out=out), expected)
            assert np.isnan(wide[:, n + 3 :]).all()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("size", [(700, 3, 3), (700, 4, 4), (300, 2, 6), (800, 5, 4), (900, 8, 8)])
def test_short_rows_alone_and_in_the_batch(
    dtype: np.dtype[Any], size: tuple[int, int, int]
) -> None:
    # Side by side in memory, several of them fill one vector.
    m, k, n = size
    a, b = operands(size, dtype)
    rows = np.concatenate([hotloops.matmul(a[i : i + 1], b) for i in range(m)])
    assert_same_bits(hotloops.matmul(a, b), rows)
    assert_same_bits(hotloops.matmul(a.reshape(m // 10, 10, k), b).reshape(m, n), rows)
    times = 2**21 // (m * k * n) + 1  # enough for three threads
    with hotloops.threads(3):
        assert_same_bits(hotloops.matmul(np.tile(a, (times, 1)), b), np.tile(rows, (times, 1)))


@pytest.mark.usefixtures("isa")
def test_a_column_alone_and_in_the_matrix(
    dtype: np.dtype[Any], shape: tuple[int, int, int]
) -> None:
    a, b = operands(shape, dtype)
    whole = hotloops.matmul(a, b)
    for j in {0, b.shape[1] // 2, b.shape[1] - 1}:
        assert_same_bits(hotloops.matmul(a, b[:, j]), whole[:, j])


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("size", [(97, 300, 97), (50, 60, 33), (49, 513, 18), (2100, 300, 34)])
def test_columns_that_fill_no_vector(dtype: np.dtype[Any], size: tuple[int, int, int]) -> None:
    # They are multiplied as rows of the transpose; many rows, in groups.
    m, _, n = size
    x, kernel = operands(size, dtype)
    bias = normal(3, (n,), dtype)
    whole = hotloops.dense(x, kernel, bias, activation="gelu")
    for i in (0, m // 2, m - 1):
        assert_same_bits(hotloops.dense(x[i], kernel, bias, activation="gelu"), whole[i])
    products = hotloops.matmul(x, kernel)
    for i in (0, m // 2, m - 1):
        assert_same_bits(hotloops.matmul(x[i], kernel), products[i])
    turned = np.full((n, m), np.nan, dtype)
    hotloops.matmul(kernel.T, x.T, out=turned)
    assert_same_bits(turned.T, products)
    wide = np.full((m, n + 1), np.nan, dtype)
    with hotloops.threads(3):
        hotloops.matmul(x, kernel, out=wide[:, :n])
    assert_same_bits(wide[:, :n], products)
    assert np.isnan(wide[:, n]).all()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("size", [(4, 4, 4), (33, 300, 31)])
def test_an_item_alone_and_in_the_batch(dtype: np.dtype[Any], size: tuple[int, int, int]) -> None:
    m, k, n = size
    a, b = wide_range(1, (6, m, k), dtype), wide_range(2, (6, k, n), dtype)
    batch, stretched = hotloops.matmul(a, b), hotloops.matmul(a, b[0])
    for i in range(6):
        assert_same_bits(hotloops.matmul(a[i], b[i]), batch[i])
        assert_same_bits(hotloops.matmul(a[i], b[0]), stretched[i])


def batch_of_dots(a: support.Array, b: support.Array, out: Any = None) -> support.Array:
    """Return the dot products along the last dimension, by one call."""
    product: support.Array = hotloops.matmul(a[..., None, :], b[..., :, None], out=out)
    return product[..., 0, 0]


@pytest.mark.parametrize(
    "k", [1, 2, 3, 4, 5, 7, 16, 18, KC - 1, KC, KC + 1, 2 * KC, 2 * KC + 5, 4 * KC]
)
def test_dot_products_of_a_batch(isa: str, dtype: np.dtype[Any], k: int) -> None:
    # As many as fill no vector, one, two, and more, of which the last ones fill none.
    a, b = operands((71, k, 71), dtype)
    b = b.T.copy()
    alone = np.array([hotloops.matmul(x, y) for x, y in zip(a, b, strict=True)])
    if isa in FMA_ISAS:
        assert_same_bits(alone[:1, None], contract_matmul(a[:1], b[:1].T))
    for count in (2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 71):
        assert_same_bits(batch_of_dots(a[:count], b[:count]), alone[:count])
    for make in LAYOUTS.values():
        assert_same_bits(batch_of_dots(make(a), b), alone)
        assert_same_bits(batch_of_dots(make(a), make(b)), alone)
    assert_same_bits(batch_of_dots(a[::-1], b[::-1]), alone[::-1])
    assert_same_bits(batch_of_dots(a[::2], b[::2]), alone[::2])
    assert_same_bits(batch_of_dots(a[:64:-1], b[5::-1]), batch_of_dots(a[65:], b[:6])[::-1])
    out = np.full((71, 3, 2), np.nan, dtype)
    batch_of_dots(a, b, out[:, :1, :1])
    assert_same_bits(out[:, 0, 0], alone)
    assert np.isnan(out[:, 1:]).all()
    assert np.isnan(out[:, 0, 1]).all()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("k", [6, 2 * KC])
def test_dot_products_of_a_batch_of_several_dimensions(dtype: np.dtype[Any], k: int) -> None:
    a, b = operands((60, k, 60), dtype)
    b = b.T.copy()
    alone = np.array([[hotloops.matmul(x, y) for y in b] for x in a[:5]])
    # Each with each, of which one operand is stretched; as they lie, and the other way round.
    each = batch_of_dots(np.broadcast_to(a[:5, None], (5, 60, k)), b)
    assert_same_bits(each, alone)
    assert_same_bits(batch_of_dots(b[:, None], a[:5]), alone.T)
    # In dimensions that can be merged, and in others.
    a, b = a.reshape(3, 20, k), b.reshape(3, 20, k)
    flat = batch_of_dots(a.reshape(60, k), b.reshape(60, k))
    assert_same_bits(batch_of_dots(a, b).ravel(), flat)
    assert_same_bits(batch_of_dots(a.swapaxes(0, 1), b.swapaxes(0, 1)).T.ravel(), flat)
    assert_same_bits(batch_of_dots(a[:, :17], b[:, :17]), flat.reshape(3, 20)[:, :17])
    assert_same_bits(batch_of_dots(a[:, ::-3], b[:, ::-3]), flat.reshape(3, 20)[:, ::-3])


@pytest.mark.usefixtures("isa")
def test_dot_products_of_a_batch_on_any_number_of_threads(dtype: np.dtype[Any]) -> None:
    # Shared out within a dimension, and in pieces that fill no vector.
    a, b = (normal(seed, (700, 13, 300), dtype)[:, ::-1] for seed in (1, 2))
    with hotloops.threads(1):
        alone = batch_of_dots(a, b)
    for count in (2, 3, 5):
        with hotloops.threads(count):
            assert_same_bits(batch_of_dots(a, b), alone)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout(dtype: np.dtype[Any], shape: tuple[int, int, int], layout: str) -> None:
    a, b = operands(shape, dtype)
    expected = hotloops.matmul(a, b)
    assert_same_bits(hotloops.matmul(LAYOUTS[layout](a), b), expected)
    assert_same_bits(hotloops.matmul(a, LAYOUTS[layout](b)), expected)
    if layout != "read_only":
        out = LAYOUTS[layout](np.full(expected.shape, np.nan, dtype))
        assert hotloops.matmul(a, b, out=out) is out
        assert_same_bits(out, expected)


@pytest.mark.usefixtures("isa")
def test_where_nan_is_depends_on_the_values_alone(
    dtype: np.dtype[Any], shape: tuple[int, int, int]
) -> None:
    # Its sign and payload do not: NaNs of several kinds meet here, and infinities that make some.
    a, b = operands(shape, dtype)
    kinds = np.array([np.nan, -np.nan, np.inf, -np.inf], dtype)
    bits = kinds.view(np.dtype(f"u{dtype.itemsize}"))
    bits[1] += 1
    rng = np.random.default_rng(1)
    for x in (a, b):
        at = rng.random(x.shape) < 2 / max(x.size, 30)
        x[at] = rng.choice(kinds, np.count_nonzero(at))

    expected = canonical(hotloops.matmul(a, b))
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(np.isnan(expected), np.isnan(np.matmul(a, b)))
    for layout in LAYOUTS.values():
        assert_same_bits(canonical(hotloops.matmul(layout(a), layout(b))), expected)
        out = layout(np.zeros(expected.shape, dtype))
        if out.flags.writeable:
            assert_same_bits(canonical(hotloops.matmul(a, b, out=out)), expected)
    for threads in (2, 3, 5):
        with hotloops.threads(threads):
            assert_same_bits(canonical(hotloops.matmul(a, b)), expected)
    for i in range(0, len(a), 7):
        assert_same_bits(canonical(hotloops.matmul(a[i], b)), expected[i])


def test_the_transposed_product(dtype: np.dtype[Any], shape: tuple[int, int, int]) -> None:
    # Multiplication commutes, and so does the order of the operands: (A B)' = B' A' bit for bit.
    a, b = operands(shape, dtype)
    assert_same_bits(hotloops.matmul(b.T, a.T), hotloops.matmul(a, b).T)


# --- dense ------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_linear_is_dense_of_the_transpose(dtype: np.dtype[Any], activation: Any) -> None:
    x, kernel = normal(1, (37, 300), dtype), normal(2, (300, 41), dtype)
    bias = normal(3, (41,), dtype)
    expected = hotloops.dense(x, kernel, bias, activation=activation)
    for weight in (kernel.T, kernel.T.copy()):
        actual = hotloops.linear(x, weight, bias, activation=activation)
        assert_same_bits(actual, expected)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_dense_in_any_setting(isa: str, dtype: np.dtype[Any], activation: Any) -> None:
    x, kernel = normal(1, (61, 300), dtype), normal(2, (300, 70), dtype)
    bias = normal(3, (70,), dtype)
    with hotloops.threads(1):
        whole = hotloops.dense(x, kernel, bias, activation=activation)
    with hotloops.threads(3):
        assert_same_bits(hotloops.dense(x, kernel, bias, activation=activation), whole)
    for i in (0, 30, 60):
        assert_same_bits(hotloops.dense(x[i], kernel, bias, activation=activation), whole[i])
    if isa in FMA_ISAS:
        for other in sorted(FMA_ISAS & set(hotloops.isas())):
            with hotloops.use_isa(other):
                assert hotloops.isa() == other
                assert_same_bits(hotloops.dense(x, kernel, bias, activation=activation), whole)


# --- Threads and processes of the caller ------------------------------------------------------


def in_python_threads(count: int, work: Callable[[int], None]) -> None:
    """Run work(0), ..., work(count - 1) at once and raise the first error of any of them."""
    errors: list[BaseException] = []
    start = threading.Barrier(count)

    def guarded(i: int) -> None:
        start.wait(timeout=60)
        try:
            work(i)
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=guarded, args=(i,), daemon=True) for i in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
        assert not worker.is_alive()
    if errors:
        raise errors[0]


def test_calls_from_many_python_threads_at_once(dtype: np.dtype[Any]) -> None:
    problems = [operands(shape, dtype) for shape in SHAPES]
    expected = [hotloops.matmul(a, b) for a, b in problems]

    def work(i: int) -> None:
        for step in range(2 * len(problems)):
            which = (i + step) % len(problems)
            assert_same_bits(hotloops.matmul(*problems[which]), expected[which])

    with hotloops.threads(2):
        in_python_threads(8, work)


FORK = """
import os, sys, time
import numpy as np
{imports}
import hotloops

hotloops.set_num_threads(2)
x = np.random.default_rng(1).standard_normal((600, 700)).astype(np.float32)
expected = hotloops.matmul(x, x.T)
{before}
child = os.fork()
if child == 0:
    same = hotloops.matmul(x, x.T).tobytes() == expected.tobytes()
    os._exit(0 if same else 3)
for _ in range(600):
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
        break
    time.sleep(0.1)
else:
    os.kill(child, 9)
    sys.exit("the child hangs")
print(os.waitstatus_to_exitcode(status))
assert hotloops.matmul(x, x.T).tobytes() == expected.tobytes()
"""


@pytest.mark.parametrize(
    ("imports", "before"),
    [("", ""), ("import torch", "torch.ones(500, 500) @ torch.ones(500, 500)")],
    ids=["alone", "with torch"],
)
def test_a_forked_child_computes(imports: str, before: str) -> None:
    if imports:
        pytest.importorskip("torch")
    # Python 3.12 warns of a fork with threads about, which is what is tested here.
    program = FORK.format(imports=imports, before=before)
    program = "import warnings; warnings.simplefilter('ignore')\n" + program
    assert support.run_python(program).strip() == "0"
