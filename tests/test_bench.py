"""The benchmark's own logic: what it measures, what it refuses, what it makes of samples."""

from __future__ import annotations

import contextlib
import json
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import hotloops

pytest.importorskip("rich")
pytest.importorskip("matplotlib")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
    import peers
    from harness import figures, libraries, machine, operands, reference, report, turns, worker
    from harness.cases import Case, Operand, broadcast, layer, product
    from harness.classes import SHAPE_CLASSES, catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.cases import Layout
    from harness.operands import Array

SUBJECT = turns.Contestant("hotloops", 1)
NUMPY = turns.Contestant("numpy", 1)
TORCH = turns.Contestant("torch", 1)
COPY = turns.Contestant("copy", 1)

LAYOUTS: tuple[Layout, ...] = ("contiguous", "transposed", "strided", "sliced", "reversed")


def measurement(
    samples: dict[turns.Contestant, list[float]], case: Case | None = None
) -> turns.Measurement:
    """Pretend that a case was measured."""
    case = case or product("square", (8, 8), (8, 8))
    return turns.Measurement(case, "float32", SUBJECT, samples)


@pytest.fixture
def workers() -> Iterator[turns.Workers]:
    """Workers that end with the test."""
    with contextlib.closing(turns.Workers()) as started:
        yield started


def test_covers_the_classes_that_people_use() -> None:
    shapes = {
        (case.x.shape, case.w.shape)
        for case in catalogue(SHAPE_CLASSES)
        if case.w is not None and case.operation == "matmul"
    }
    assert {n for n in range(2, 33) if ((n, n), (n, n)) in shapes} >= {2, 3, 4, 8, 16, 32}
    assert ((4096, 4096), (4096, 4096)) in shapes
    assert ((10000, 784), (784, 10)) in shapes
    assert ((37, 20000), (20000, 41)) in shapes
    assert ((1_000_000,), (1_000_000,)) in shapes
    assert ((3000, 3), (3, 3000)) in shapes
    assert ((2000, 4, 4), (2000, 4, 4)) in shapes
    assert ((64, 100, 100), (100, 100)) in shapes
    assert ((100, 100), (64, 100, 100)) in shapes
    rows = {case.x.shape[0] for case in catalogue(["rows"])}
    assert rows == {1, 2, 3, 5, 8, 16}
    layouts = {case.x.layout for case in catalogue(["layout"])}
    assert layouts == {*LAYOUTS, "repeated"}


@pytest.mark.parametrize("name", SHAPE_CLASSES)
def test_names_are_unique_and_quick_ones_exist(name: str) -> None:
    names = [case.name for case in catalogue([name])]
    assert len(names) == len(set(names))
    assert {case.name for case in catalogue([name], quick=True)} == set(SHAPE_CLASSES[name].quick)


@pytest.mark.parametrize("case", catalogue(SHAPE_CLASSES), ids=lambda case: case.name)
def test_result_shape_is_numpys(case: Case) -> None:
    if case.w is None:
        assert case.result_shape == case.x.shape
        return
    a, b = (np.broadcast_to(np.float32(1), item.shape) for item in (case.x, case.w))
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    assert broadcast(a.shape[:-2], b.shape[:-2]) == batch
    one = np.matmul(a[..., :1], b[..., :1, :]) if b.ndim > 1 else np.matmul(a[..., :1], b[:1])
    assert case.result_shape == one.shape


def test_work() -> None:
    assert product("x", (2, 3, 5), (5, 7)).work(4) == 2 * 2 * 3 * 5 * 7
    assert Case("x", "relu", Operand((10, 10))).work(8) == 2 * 100 * 8


@pytest.mark.parametrize("layout", [*LAYOUTS, "repeated"])
def test_layouts(layout: Layout) -> None:
    array = operands.allocate(Operand((6, 4), layout), "float32")
    contiguous, item = layout == "contiguous", array.itemsize
    assert array.shape == (6, 4)
    assert array.flags.c_contiguous == contiguous
    strides = {
        "contiguous": (4 * item, item),
        "transposed": (item, 6 * item),
        "strided": (16 * item, 2 * item),
        "sliced": (9 * item, item),
        "reversed": (-4 * item, -item),
        "repeated": (0, item),
    }
    assert array.strides == strides[layout]


@pytest.mark.parametrize("layout", [*LAYOUTS, "repeated"])
@pytest.mark.parametrize("data", operands.DATA)
def test_same_values_every_time(layout: Layout, data: operands.Data) -> None:
    case = product("x", (6, 4), (4, 5), a_layout=layout)
    first, second = (operands.make(case, "float64", data) for _ in range(2))
    np.testing.assert_array_equal(first.x, second.x)
    assert np.isfinite(first.x).all()
    assert (first.x != 0).all()


CASES = (
    product("x", (3, 5), (5, 4)),
    product("x", (300, 700), (700, 290), a_layout="reversed"),
    product("x", (7,), (7,)),
    product("x", (2, 1, 3, 4), (5, 4, 2)),
    product("x", (1, 9), (9, 1), out="strided"),
    layer("x", 6, 5, 3, None),
    layer("x", 6, 5, 3, "relu"),
    layer("x", 6, 5, 3, "sigmoid"),
    Case("x", "relu", Operand((9, 9), "strided")),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_accepts_numpys_result(case: Case, dtype: str) -> None:
    arrays, result = numpys(case, dtype)
    verdict = reference.check(case, arrays, result, "numpy")
    assert verdict.problem is None
    if case.operation == "matmul":
        assert verdict.error is not None
        assert verdict.error < case.inner + 1


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rejects_wrong_results(case: Case, dtype: str) -> None:
    arrays, result = numpys(case, dtype)
    result = np.array(result)
    wrong = [np.zeros_like(result), result * (1 + 1e-3), np.full_like(result, np.nan)]
    for index in (0, result.size // 2, -1):  # a single entry
        one_off = result.copy()
        one_off.flat[index] += 1.0
        wrong.append(one_off)
    for array in wrong:
        assert reference.check(case, arrays, array, "numpy").problem is not None


TYPED = [
    product("x", (37, 300), (300, 41), dtype=dtype, result_dtype=result)
    for dtype, result in (
        ("bfloat16", None),
        ("float16", None),
        ("int8", "int32"),
        ("int32", None),
        ("int64", None),
    )
]


@pytest.mark.parametrize("case", TYPED, ids=lambda case: case.name)
def test_knows_right_from_wrong_in_every_dtype(case: Case) -> None:
    assert case.dtype is not None
    arrays, result = numpys(case, case.dtype)
    assert arrays.x.dtype.name == case.dtype
    verdict = reference.check(case, arrays, result, "hotloops")
    assert verdict.problem is None
    assert verdict.error == 0 if arrays.x.dtype.kind == "i" else verdict.error
    wrong = [np.zeros_like(result)]
    for index in (0, result.size // 2, -1):
        one_off = result.copy()
        one_off.flat[index] = one_off.flat[index] * 2 + 1
        wrong.append(one_off)
    for array in wrong:
        assert reference.check(case, arrays, array, "numpy").problem is not None


def test_halves_are_rounded_once() -> None:
    case = TYPED[0]
    arrays, sums = numpys(case, "bfloat16")
    assert sums.dtype == np.float32  # as NumPy has it
    once = sums.astype("bfloat16")
    assert reference.check(case, arrays, once, "torch").problem is None
    twice = (once.astype(np.float32) * 1.01).astype("bfloat16")
    assert reference.check(case, arrays, twice, "torch").problem is not None


def test_a_precision_is_hotloops_own() -> None:
    def case(precision: str) -> Case:
        return product("x", (64, 32), (32, 64), precision=precision, dtype="float32")

    arrays = operands.make(case("bf16"), "float32")
    assert arrays.w is not None
    x, w = (array.astype("bfloat16").astype(np.float32) for array in (arrays.x, arrays.w))
    result = x @ w
    assert reference.check(case("bf16"), arrays, result, "hotloops").problem is None
    assert reference.check(case("bf16"), arrays, np.zeros_like(result), "hotloops").problem
    for precision, library in (("bf16", "numpy"), ("bf16x3", "hotloops"), ("bf16x6", "hotloops")):
        assert reference.check(case(precision), arrays, result, library).problem is not None


def test_pairs_have_no_peak_to_compare_with() -> None:
    core = SimpleNamespace(
        kernels=lambda: [{"isa": "avx512", "dtype": "float32_bf16", "mr": 14}],
        fma_peak=lambda _dtype, _seconds: 1.0,
    )
    module: Any = SimpleNamespace(set_num_threads=int, isa=lambda: "avx512", _core=core)
    subject = libraries.Hotloops(module, 1)
    for precision, expected in ((None, 1.0), ("bf16x3", 1.0), ("bf16", None)):
        case = product("x", (3, 4), (4, 5), precision=precision, dtype="float32")
        assert subject.peak(case, "float32", 0.1) == expected


def test_statements_of_types_and_precisions() -> None:
    integers, halves = TYPED[2], TYPED[0]
    arrays = operands.make(integers, "int8")
    hotloops_ = libraries.Hotloops(hotloops, hotloops.get_num_threads())
    assert hotloops_.statement(integers, arrays).code == "matmul(a, b, dtype=int32)"
    assert libraries.Numpy(np, 1).statement(integers, arrays).code == "matmul(a, b, dtype=int32)"
    case = product("x", (3, 4), (4, 5), precision="bf16x3", dtype="float32")
    floats = operands.make(case, "float32")
    assert hotloops_.statement(case, floats).code == "matmul(a, b, precision='bf16x3')"
    assert libraries.Numpy(np, 1).statement(case, floats).code == "matmul(a, b)"
    torch = pytest.importorskip("torch")
    theirs = libraries.Torch(torch, torch.get_num_threads())
    with torch.enable_grad():  # what statements switch ends with the test
        for typed, made in ((integers, arrays), (halves, operands.make(halves, "bfloat16"))):
            result = theirs.statement(typed, made).result()
            assert isinstance(result, np.ndarray)
            assert result.dtype.name == (typed.result_dtype or typed.dtype)
            assert reference.check(typed, made, result, "torch").problem is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", [None, "relu", "sigmoid"])
def test_knows_right_gradients_from_wrong(activation: str | None, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    case = layer("gradients", 37, 300, 41, activation, operation="dense_vjp")
    arrays = operands.make(case, dtype)
    threads = hotloops.get_num_threads(), torch.get_num_threads()
    with torch.enable_grad():
        ours = libraries.Hotloops(hotloops, threads[0]).statement(case, arrays)
        theirs = libraries.Torch(torch, threads[1]).statement(case, arrays)
        assert ours.code == (
            f"((vjp := dense_vjp(x, w, bias, activation={activation!r}))[0], *vjp[1](g))"
        )
        assert "*grad(y, (x, w, bias), g)" in theirs.code
        for statement, library in ((ours, "hotloops"), (theirs, "torch")):
            result = statement.result()
            assert isinstance(result, tuple)
            assert len(result) == 4
            assert reference.check(case, arrays, result, library).problem is None
            for part in range(4):
                for factor in (0, 1 + 1e-3, np.nan):
                    wrong = [*result]
                    wrong[part] = wrong[part] * result[part].dtype.type(factor)
                    assert reference.check(case, arrays, tuple(wrong), library).problem is not None
    with pytest.raises(libraries.UnsupportedError, match="no gradients"):
        libraries.Numpy(np, 1).statement(case, arrays)


def test_covers_the_layers_that_people_use() -> None:
    def shapes(name: str, operation: str) -> set[tuple[int, ...]]:
        return {
            (*case.x.shape, case.w.shape[1])
            for case in catalogue([name])
            if case.w is not None and case.operation == operation
        }

    assert shapes("layers", "dense") >= {(4, 4, 4), (1, 64, 64)}
    large = {(32, 784, 128), (64, 384, 1536), (1024, 384, 1536), (2048, 512, 512)}
    assert shapes("dense", "dense") >= large
    assert shapes("packed", "dense") >= {(1, 384, 1536), (1, 1536, 384)}
    assert shapes("gradients", "dense_vjp") >= {(4, 10, 10), (256, 784, 512)}


def test_numpy_is_spared_what_takes_minutes() -> None:
    case = product("x", (1024, 1024), (1024, 1024), dtype="int32")
    arrays = operands.make(case, "int32")
    with pytest.raises(libraries.UnsupportedError, match="no BLAS for int32"):
        libraries.Numpy(np, 1).statement(case, arrays)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_finds_any_wrong_entry_of_a_sampled_product(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(reference.BUDGET, dtype, 1e4)
    case = product("x", (200, 100), (100, 150))
    arrays, result = numpys(case, dtype)
    assert reference.check(case, arrays, result, "numpy").problem is None
    for index in ((0, 0), (199, 149), (77, 33), (120, 148)):
        wrong = result.copy()
        wrong[index] += 10.0
        assert reference.check(case, arrays, wrong, "numpy").problem is not None


def test_rejects_other_shapes_and_dtypes() -> None:
    case = product("x", (3, 5), (5, 4))
    arrays, result = numpys(case, "float32")
    assert reference.check(case, arrays, result.T, "numpy").problem == "shape (4, 3), not (3, 4)"
    wider = result.astype(np.float64)
    assert reference.check(case, arrays, wider, "numpy").problem is not None


def test_hotloops_is_held_to_its_own_bound() -> None:
    assert reference.roundings(20_000, "numpy") == 20_000
    assert reference.roundings(20_000, "hotloops") == 256 + 79
    assert reference.roundings(10, "hotloops") == 11


def test_sample_has_the_corners() -> None:
    for size, count in ((10, 3), (1000, 2), (5, 9), (1, 1)):
        picked = reference.pick(size, count)
        assert {0, size - 1} <= set(picked.tolist())
        assert len(set(picked.tolist())) == min(size, count)


def numpys(case: Case, dtype: str) -> tuple[operands.Operands, Array]:
    """Make a case's operands and NumPy's result."""
    arrays = operands.make(case, dtype)
    result = libraries.Numpy(np, 1).statement(case, arrays).result()
    assert isinstance(result, np.ndarray)
    return arrays, result


def test_ratio_is_the_median_of_ratios_of_rounds() -> None:
    # The ratio of the medians would be 4.
    ratio = figures.compare([1.0, 4.0, 30.0], [1.0, 2.0, 1.0])
    assert ratio.median == 2.0
    assert ratio.low <= ratio.median <= ratio.high


def test_best_peer_has_the_smallest_ratio() -> None:
    samples = {SUBJECT: [1.0, 1.0], NUMPY: [3.0, 3.0], TORCH: [2.0, 2.0], COPY: [0.5, 0.5]}
    item = figures.figure(measurement(samples))
    assert item is not None
    assert item.best_peer == TORCH
    assert item.value == 2.0
    assert list(item.yardsticks) == [COPY]


def test_share_of_peak_is_taken_round_by_round() -> None:
    taken = measurement({SUBJECT: [1.0, 2.0, 1.0], NUMPY: [1.0, 1.0, 1.0]})
    taken.peak = [2048.0, 1024.0, 2048.0]
    item = figures.figure(taken)
    assert item is not None
    assert item.peak_share == 0.5


def test_no_figure_without_subject_or_peers() -> None:
    assert figures.figure(measurement({NUMPY: [1.0]})) is None
    assert figures.figure(measurement({SUBJECT: [1.0]})) is None
    assert figures.figure(measurement({SUBJECT: [1.0], COPY: [1.0]})) is None


def test_summary() -> None:
    items = [square(n, ratio) for n, ratio in ((32, 0.5), (64, 2.0), (128, 8.0))]
    summary = figures.summarise("square", items)
    assert summary.median == pytest.approx(2.0)
    assert summary.mean == pytest.approx(2.0)
    assert summary.worst is items[0]
    assert figures.worst(items, 2) == items[:2]


def test_cliffs() -> None:
    items = [square(n, 1.0, share) for n, share in ((64, 0.8), (65, 0.6), (128, 0.9))]
    (cliff,) = figures.cliffs(reversed(items))
    assert (cliff.below.case.inner, cliff.above.case.inner) == (64, 65)
    assert cliff.kept == pytest.approx(0.75)


def square(n: int, ratio: float, share: float = 0.5) -> figures.Figure:
    """Pretend that a square was measured."""
    taken = measurement({SUBJECT: [1.0], NUMPY: [ratio]}, product("square", (n, n), (n, n)))
    taken.peak = [taken.case.work(4) / share]
    item = figures.figure(taken)
    assert item is not None
    return item


def test_rounds_shrink_with_the_length_of_a_call() -> None:
    plan = turns.Plan(rounds=9, sample_seconds=0.002, case_seconds=4.0)
    assert plan.rounds_for([1e-6, 1e-6]) == 9
    assert plan.rounds_for([0.5, 0.5]) == 4
    assert plan.rounds_for([5.0]) == turns.FEWEST_ROUNDS
    assert plan.rounds_for([]) == 0


def test_measures_in_rounds(workers: turns.Workers) -> None:
    case = product("tiny", (4, 4), (4, 4))
    plan = turns.Plan(rounds=3, sample_seconds=1e-4)
    taken = turns.measure(workers, case, "float32", NUMPY, [TORCH, COPY], plan)
    assert len(taken.samples[NUMPY]) == 3
    assert all(0 < seconds < 1 for seconds in taken.samples[NUMPY])
    assert taken.prepared[NUMPY].code == "matmul(a, b)"
    assert taken.refusals[COPY].kind == "unsupported"
    assert COPY not in taken.samples


def test_missing_library_is_reported(
    workers: turns.Workers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('not here')", "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    case = product("tiny", (4, 4), (4, 4))
    taken = turns.measure(workers, case, "float32", NUMPY, [TORCH], turns.Plan(rounds=1))
    assert list(taken.samples) == [NUMPY]
    assert taken.refusals[TORCH].kind == "missing"
    assert "not here" in workers.missing[TORCH].reason


def test_crash_is_reported_and_survived(
    workers: turns.Workers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    crash = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"
    (tmp_path / "torch.py").write_text(crash, "utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    case = product("tiny", (4, 4), (4, 4))
    for attempt in range(turns.MOST_CRASHES + 1):
        taken = turns.measure(workers, case, "float32", NUMPY, [TORCH], turns.Plan(rounds=1))
        assert list(taken.samples) == [NUMPY]
        assert taken.refusals[TORCH].kind == "crashed"
        assert (TORCH in workers.missing) == (attempt + 1 >= turns.MOST_CRASHES)
    assert "SIGSEGV" in workers.missing[TORCH].reason


def test_wrong_result_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def zeros(_: object, __: Case, arrays: operands.Operands) -> libraries.Statement:
        return libraries.Statement("x * 0", {"x": arrays.x})

    monkeypatch.setattr(libraries.Numpy, "statement", zeros)
    loaded = libraries.Loaded(libraries.Numpy(np, 1), "0")
    answer = worker.Worker("numpy", loaded, 1).answer
    reply = answer(worker.Prepare(product("tiny", (4, 4), (4, 4)), "float32"))
    assert isinstance(reply, worker.Refused)
    assert reply.kind == "wrong"
    reply = answer(worker.Take(1e-3))
    assert isinstance(reply, worker.Refused)
    assert "no case is prepared" in reply.reason


@pytest.mark.parametrize("library", ["Hotloops", "Numpy"])
def test_a_wrong_result_fails_the_run(
    library: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class InThisProcess(turns.WorkerProcess):
        """A worker that sees what is patched here."""

        def __init__(self, contestant: turns.Contestant) -> None:
            loaded = libraries.load(contestant.library, contestant.threads)
            self._worker = worker.Worker(contestant.library, loaded, contestant.threads)
            self._reply: worker.Reply = worker.Ready(loaded.version, loaded.details)

        def send(self, request: worker.Request | None) -> None:
            assert request is not None
            self._reply = self._worker.answer(request)

        def receive(self) -> worker.Reply:
            return self._reply

        def close(self) -> None:
            pass

    right = getattr(libraries, library).statement

    def zero_for_two(self: object, case: Case, arrays: operands.Operands) -> libraries.Statement:
        if case.name == "4x4 @ 4x4":
            return libraries.Statement("x * 0", {"x": arrays.x})
        statement: libraries.Statement = right(self, case, arrays)
        return statement

    monkeypatch.setattr(turns, "WorkerProcess", InThisProcess)
    monkeypatch.setattr(getattr(libraries, library), "statement", zero_for_two)
    options = "--quick --classes tiny --dtypes float32 --rounds 1 --threads 1"
    arguments = [*options.split(), "--libraries", "hotloops", "numpy", "--output", str(tmp_path)]
    threads = hotloops.get_num_threads()
    try:
        assert peers.main(arguments) == 1
    finally:
        hotloops.set_num_threads(threads)  # a worker has a process to itself, as a rule
    *_, last = capsys.readouterr().out.splitlines()
    name = library.lower()
    assert last.startswith(f"FAILED: {name} on 1 threads, float32 tiny: 4x4 @ 4x4: wrong")


def test_a_subject_that_is_wrong_on_other_threads_fails_the_run() -> None:
    taken = measurement({})
    assert list(peers.failed([taken])) == []
    taken.refusals = {NUMPY: worker.Refused("unsupported", "no such function")}
    assert list(peers.failed([taken])) == []
    taken.refusals = {turns.Contestant(SUBJECT.library, 2): worker.Refused("crashed", "SIGSEGV")}
    assert len(list(peers.failed([taken]))) == 1


def test_a_library_that_raises_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> libraries.Statement:
        raise OSError("out of order")

    monkeypatch.setattr(libraries.Numpy, "statement", broken)
    loaded = libraries.Loaded(libraries.Numpy(np, 1), "0")
    request = worker.Prepare(product("tiny", (4, 4), (4, 4)), "float32")
    reply = worker.Worker("numpy", loaded, 1).answer(request)
    assert reply == worker.Refused("failed", "OSError: out of order")


def test_quick_run_writes_json_tables_and_plots(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = "--quick --classes tiny scaling --dtypes float32 --rounds 3 --threads 1"
    arguments = [*options.split(), "--libraries", "hotloops", "numpy"]
    assert peers.main([*arguments, "--output", str(tmp_path)]) == 0

    written = json.loads((tmp_path / "peers.json").read_text("utf-8"))
    assert written["schema"] == report.SCHEMA
    assert set(written["versions"]) == {"hotloops", "numpy"}
    assert [result["case"] for result in written["results"]] == list(SHAPE_CLASSES["tiny"].quick)
    for result in written["results"]:
        times = result["seconds"]
        ratios = np.array(times["numpy (1 thread)"]) / times["hotloops (1 thread)"]
        assert result["ratio"] == pytest.approx(float(np.median(ratios)))
        assert 0 < result["peak_share"] < 1
        assert set(result["errors"]["hotloops (1 thread)"]) == set(operands.DATA)

    assert (tmp_path / "peers.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "peers.svg").read_text("utf-8")
    assert "| tiny: 4x4 @ 4x4 |" in (tmp_path / "peers.md").read_text("utf-8")
    assert "Worst cases" in capsys.readouterr().out


def test_scaling_compares_the_subject_with_itself() -> None:
    (task,) = peers.tasks(
        catalogue(["scaling"], quick=True), ["float32"], [1, 2], "hotloops", ["numpy"]
    )
    assert task.subject == turns.Contestant("hotloops", 2)
    assert task.others == (SUBJECT,)


def test_cases_with_a_dtype_of_their_own_are_measured_once() -> None:
    cases = catalogue(["tiny", "dtypes", "precision"], quick=True)
    todo = list(peers.tasks(cases, ["float32", "float64"], [1], "hotloops", ["numpy"]))
    own = [task for task in todo if task.case.dtype is not None]
    assert [task.dtype for task in own] == [case.dtype for case in cases if case.dtype is not None]
    assert len(todo) == 2 * (len(cases) - len(own)) + len(own)


def test_wrong_arguments() -> None:
    for arguments in (["--threads", "0"], ["--rounds", "0"], ["--classes", "none"]):
        with pytest.raises(SystemExit):
            peers.parse(arguments)


def test_duration() -> None:
    assert report.duration(0.0123) == "12.3 ms"
    assert report.duration(9.21e-7) == "921 ns"
    assert report.duration(2.0) == "2 s"


def test_names_the_machine_and_its_other_users() -> None:
    assert "CPU" in machine.describe()
    others = machine.Neighbours().seconds()
    assert others is None or others >= 0


def test_refusals_are_grouped_by_reason() -> None:
    crash = worker.Refused("crashed", "SIGSEGV")
    measured = [measurement({}, case) for case in catalogue(["tiny"])[:3]]
    for taken in measured:
        taken.refusals = {NUMPY: crash, TORCH: worker.Refused("missing", "")}
    run = report.Run(
        "hotloops", "here", turns.Plan(), {}, {}, {"torch": "missing: x"}, 1.0, None, measured, []
    )
    assert report.refusal_table(run).rows == [
        ("torch", "all", "missing: x"),
        ("numpy (1 thread)", "tiny: 2x2 @ 2x2 (float32) and 2 more", "crashed: SIGSEGV"),
    ]
