"""The ladder: every rung is right, and the command measures, writes and refuses what it should."""

from __future__ import annotations

import doctest
import json
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import hotloops
from hotloops import _core, ladder
from hotloops.ladder.matmul_rungs import MATMUL_RUNGS, TILE_RUNGS
from hotloops.ladder.rung import Rung
from hotloops.ladder.runner import rungs_for
from hotloops.ladder.workloads import square_product, workloads
from support import assert_within_bound, gamma, normal, small_integers

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    Array = npt.NDArray[Any]

OPS = ["matmul", "relu", "dense"]
NAMES = {
    "matmul": [
        "loop over array elements",
        "loop over lists",
        "list comprehensions",
        "row times column",
        "i-j-k in C++",
        "broadcast one row",
        "i-k-j in C++",
        "einsum",
        "i-k-j, auto-vectorised",
        "cache blocking",
        "packing and register tile",
        "SIMD microkernel",
        "OpenMP",
    ],
    "relu": [
        "loop",
        "list comprehension",
        "loop in C++",
        "(abs(x) + x) / 2",
        "x * (x > 0)",
        "maximum(x, 0)",
        "SIMD",
        "threads",
        "in place",
    ],
    "dense": ["plain Python", "NumPy", "matmul, then bias, then relu", "fused dense"],
}
ON_TILES = ["AMX tiles, bf16x6", "AMX tiles, bf16x3", "AMX tiles, bf16"]
if "amx" in hotloops.isas():
    NAMES["matmul"] += ON_TILES
EXTENTS = [1, 3, 17, 65]
EACH_RUNG = [pytest.param(op, rung, id=f"{op}: {rung.name}") for op in OPS
             for rung in ladder.rungs(op)]  # fmt: skip
needs_amx = pytest.mark.skipif(
    "amx" not in hotloops.isas(), reason="this machine has no usable AMX tiles"
)
COMPILED = [rung for rung in ladder.rungs("matmul") if rung.language == "C++"]


# --- The rungs --------------------------------------------------------------------------------


@pytest.mark.parametrize("op", OPS)
def test_rungs_are_in_order_and_explained(op: str) -> None:
    rungs = ladder.rungs(op)
    assert [rung.name for rung in rungs] == NAMES[op]
    assert all(isinstance(rung, Rung) for rung in rungs)
    for rung in rungs:
        assert rung.idea.endswith(".")
        assert "\n" not in rung.idea
        assert 10 < len(rung.idea) < 90
    assert len({rung.idea for rung in rungs}) == len(rungs)


def test_an_unknown_op_is_refused() -> None:
    with pytest.raises(ValueError, match=r"rungs: op is 'conv' but must be 'matmul'"):
        ladder.rungs("conv")


def test_examples() -> None:
    assert doctest.testmod(ladder).failed == 0


def operands(op: str, m: int, k: int, n: int, make: Any, dtype: Any) -> tuple[Array, ...]:
    """Return the operands of an op, made by `make(seed, shape, dtype)`."""
    shapes: list[tuple[int, ...]] = [(m, k), (k, n), (n,)]
    shapes = shapes[: {"matmul": 2, "relu": 1, "dense": 3}[op]]
    return tuple(make(seed, shape, dtype) for seed, shape in enumerate(shapes))


def reference(op: str, *arrays: Array) -> Array:
    """Return what every rung of an op computes."""
    if op == "matmul":
        return arrays[0] @ arrays[1]
    x = arrays[0] if op == "relu" else arrays[0] @ arrays[1] + arrays[2]
    return np.asarray(np.maximum(x, 0))


@pytest.mark.parametrize(("op", "rung"), EACH_RUNG)
def test_small_integers_are_exact(op: str, rung: Rung, dtype: np.dtype[Any]) -> None:
    for m in EXTENTS:
        for k in EXTENTS:
            for n in EXTENTS if op != "relu" else [1]:
                if m * k * n > 20_000 and rung.language == "Python":
                    continue
                arrays = operands(op, m, k, n, small_integers, dtype)
                expected = reference(op, *arrays)
                before = [array.copy() for array in arrays]
                np.testing.assert_array_equal(rung(*arrays), expected)
                for array, copy in zip(arrays, before, strict=True):
                    np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize(("op", "rung"), EACH_RUNG)
def test_real_numbers_are_within_the_bound(op: str, rung: Rung, dtype: np.dtype[Any]) -> None:
    arrays = operands(op, 5, 300, 37, normal, dtype)
    wide = [array.astype(np.longdouble) for array in arrays]
    error = abs(rung(*arrays) - reference(op, *wide))
    if op == "relu":
        assert not error.any()
        return
    magnitude = abs(wide[0]) @ abs(wide[1]) + (abs(wide[2]) if op == "dense" else 0)
    roundings = 301 + rung.more_roundings
    assert (error <= gamma(roundings, float(np.finfo(dtype).eps)) * magnitude).all()


@pytest.mark.parametrize("rung", COMPILED, ids=[rung.name for rung in COMPILED])
def test_compiled_rungs_at_the_edges_of_their_blocks(rung: Rung, dtype: np.dtype[Any]) -> None:
    for m, k, n in [(2, 33, 2050), (130, 257, 9), (5, 256, 1030), (129, 3, 8), (4, 512, 513)]:
        arrays = operands("matmul", m, k, n, small_integers, dtype)
        np.testing.assert_array_equal(rung(*arrays), arrays[0] @ arrays[1])


@pytest.mark.parametrize("rung", COMPILED, ids=[rung.name for rung in COMPILED])
def test_compiled_rungs_refuse_what_they_would_have_to_convert(rung: Rung) -> None:
    a = np.ones((3, 4), np.float32)
    for bad in (np.ones((4, 5)), np.ones((4, 5), np.float32).T.copy().T, np.ones((4, 5), int)):
        with pytest.raises(TypeError, match="incompatible"):
            rung.run(a, bad)
    for shape in [(3, 5), (4,), (2, 4, 5)]:
        with pytest.raises(ValueError, match="must be matrices"):
            rung.run(a, np.ones(shape, np.float32))


def test_compiled_rungs_release_the_gil() -> None:
    a = np.ones((700, 700))
    thread = threading.Thread(target=_core.rung_matmul_ijk_scalar, args=(a, a))
    thread.start()
    steps = 0
    while thread.is_alive():
        steps += 1
    # With the GIL held, this thread would have had no turn before the product was done.
    assert steps > 100


def test_relu_rungs_of_specials(dtype: np.dtype[Any]) -> None:
    x = np.array([[np.nan, 0.0, -0.0, np.inf, -np.inf, 1e-40, -1e-40]], dtype)
    keep_all = ["loop", "list comprehension", "loop in C++", "SIMD", "threads", "in place"]
    for rung in ladder.rungs("relu"):
        if rung.name in keep_all:
            np.testing.assert_array_equal(rung(x), np.maximum(x, 0))


@needs_amx
@pytest.mark.parametrize("rung", TILE_RUNGS, ids=ON_TILES)
def test_rungs_on_tiles(rung: Rung) -> None:
    assert rung in ladder.rungs("matmul")
    a, b = operands("matmul", 150, 413, 170, normal, np.float32)
    plain = hotloops.matmul(a, b, precision="float32")
    for name in hotloops.isas():
        with hotloops.use_isa(name):
            product = rung(a, b)
            assert hotloops.isa() == name
        assert not np.array_equal(product, plain), "tiles were not used"
        assert_within_bound(product, a, b, rung.more_roundings)


@needs_amx
def test_each_rung_on_tiles_is_held_to_its_own_precision() -> None:
    # Short sums: what is lost in them is lost in the products.
    arrays = operands("matmul", 512, 32, 512, normal, np.float32)
    workload = replace(square_product(4, np.dtype(np.float32)), operands=arrays)
    results = [rung(*workload.operands) for rung in TILE_RUNGS]
    for rung, result, less_precise in zip(TILE_RUNGS, results, results[1:], strict=False):
        workload.check(result, rung.more_roundings)
        with pytest.raises(AssertionError, match="wrong result"):
            workload.check(less_precise, rung.more_roundings)


def test_zeros_pass_no_check() -> None:
    for workload in workloads(["matmul"], [128, 1024], np.dtype(np.float32), quick=True):
        zeros = np.zeros((workload.rows, workload.operands[1].shape[1]), np.float32)
        for rung in TILE_RUNGS:
            with pytest.raises(AssertionError, match="wrong result"):
                workload.check(zeros, rung.more_roundings)


def test_missing_rungs_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found, missing = rungs_for(square_product(4, np.dtype(np.float64)))
    assert found == list(MATMUL_RUNGS)
    assert missing == "There are no rungs on AMX tiles for float64."
    monkeypatch.setattr(ladder, "isas", lambda: ("avx512", "avx2", "baseline"))
    found, missing = rungs_for(square_product(4, np.dtype(np.float32)))
    assert found == list(MATMUL_RUNGS)
    assert missing == "The rungs on AMX tiles are missing: this machine has no usable ones."


# --- The peaks --------------------------------------------------------------------------------


def test_peak_of_multiply_adds(isa: str, dtype: np.dtype[Any]) -> None:
    assert isa == hotloops.isa()
    assert _core.fma_peak(dtype.name, 0.001) > 0
    for kind in ("bfloat16", "int8"):
        with pytest.raises(ValueError, match=f"'{isa}' has no tile unit"):
            _core.tile_peak(kind, 0.001)


@needs_amx
def test_peak_of_tiles() -> None:
    with hotloops.use_isa("amx"):
        assert hotloops.isa() == "amx"
        assert _core.tile_peak("bfloat16", 0.001) > 0
        assert _core.tile_peak("int8", 0.001) > 0
        with pytest.raises(ValueError, match="'float16' but must be 'bfloat16' or 'int8'"):
            _core.tile_peak("float16", 0.001)


# --- The command ------------------------------------------------------------------------------


def run_hotloops(*arguments: str | Path, program: str = "") -> subprocess.CompletedProcess[str]:
    """Run ``python -m hotloops``, or a program that does so in its own way."""
    start = ["-c", program] if program else ["-m", "hotloops"]
    return subprocess.run(
        [sys.executable, *start, *map(str, arguments)],
        env={**os.environ, "COLUMNS": "80", "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, Any]]:
    """Run everything once, quickly; give the directory, the README and the JSON."""
    directory = tmp_path_factory.mktemp("ladder")
    readme = directory / "README.md"
    readme.write_text("before\n<!-- ladder:begin -->\nold\n<!-- ladder:end -->\nafter\n")
    done = run_hotloops("ladder", "--quick", "--output", directory / "out", "--update", readme)
    assert done.returncode == 0, done.stderr
    for op in OPS:
        for name in NAMES[op]:
            assert name in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if "tmp" not in line)
    return directory, readme.read_text(), json.loads((directory / "out/ladder.json").read_text())


def test_quick_writes_every_measurement(quick: tuple[Path, str, dict[str, Any]]) -> None:
    report = quick[2]
    assert report["threads"] == hotloops.get_num_threads()
    assert report["isa"] == hotloops.isa()
    assert report["versions"]["numpy"] == np.__version__
    assert report["machine"]["cpu"]
    assert [section["op"] for section in report["sections"]] == [
        "matmul",
        "matmul",
        "relu",
        "dense",
    ]
    for section in report["sections"]:
        rows = section["rows"]
        of_kind = {
            kind: [row for row in rows if row["kind"] == kind] for kind in ("rung", "peer", "peak")
        }
        assert [row["name"] for row in of_kind["rung"]] == NAMES[section["op"]]
        peers = {row["name"].split(",")[0] for row in of_kind["peer"]}
        assert peers == ({"torch"} if section["op"] == "dense" else {"NumPy", "torch"})
        on_tiles = [row["tile_products"] for row in of_kind["rung"] if row["tile_products"]]
        expected = [6, 3, 1] if section["op"] == "matmul" and "amx" in hotloops.isas() else []
        assert on_tiles == expected
        threads = sorted({1, report["threads"]})
        assert [row["threads"] for row in of_kind["peak"]] == threads * (2 if on_tiles else 1)
        peaks = {(row["name"], row["threads"]): row["rate"] for row in of_kind["peak"]}
        assert rows == [*of_kind["rung"], *of_kind["peer"], *of_kind["peak"]]
        for row in rows:
            assert row["rate"] > 0
            assert len(row["rates"]) == 3
            work = row["rate"] * (row["tile_products"] or 1)
            fraction = work / peaks[row["peak"], row["threads"]]
            assert row["fraction_of_peak"] == pytest.approx(fraction)
            assert fraction > 0
        work = [row["rate"] * row["seconds"] for row in [*of_kind["rung"], *of_kind["peer"]]]
        np.testing.assert_allclose(work, work[0])
        for before, row in zip(of_kind["rung"], of_kind["rung"][1:], strict=False):
            assert row["speedup_over_previous"] == pytest.approx(row["rate"] / before["rate"])
        assert of_kind["rung"][0]["extrapolated"]
        assert of_kind["rung"][0]["rows_run"] < section["rows_in_all"]


def test_quick_draws_every_op(quick: tuple[Path, str, dict[str, Any]]) -> None:
    for op in OPS:
        png = (quick[0] / f"out/ladder-{op}.png").read_bytes()
        assert png.startswith(b"\x89PNG")
        assert len(png) > 10_000
        svg = (quick[0] / f"out/ladder-{op}.svg").read_text()
        for name in NAMES[op]:
            assert name.replace(">", "&gt;") in svg
        assert "peak" in svg


def test_update_rewrites_what_is_between_the_markers(
    quick: tuple[Path, str, dict[str, Any]],
) -> None:
    text = quick[1]
    assert text.startswith("before\n<!-- ladder:begin -->\nMeasured on ")
    assert text.endswith("\n<!-- ladder:end -->\nafter\n")
    assert "old" not in text.split()
    for op in OPS:
        for number, name in enumerate(NAMES[op], 1):
            assert re.search(rf"^\| {number} \| {re.escape(name)} \|", text, re.MULTILINE)


def test_only_what_is_asked_for(tmp_path: Path) -> None:
    done = run_hotloops(
        *("ladder", "--quick", "--op", "matmul", "--sizes", "20", "33", "--threads", "1"),
        *("--dtype", "float64", "--output", tmp_path),
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "ladder.json").read_text())
    shapes = [section["shape"] for section in report["sections"]]
    assert shapes == ["256 x 64 @ 64 x 128", "20 x 20 @ 20 x 20", "33 x 33 @ 33 x 33"]
    assert {section["dtype"] for section in report["sections"]} == {"float64"}
    for section in report["sections"]:
        assert section["note"].endswith("There are no rungs on AMX tiles for float64.")
        assert not any(row["tile_products"] for row in section["rows"])
    assert {row["threads"] for section in report["sections"] for row in section["rows"]} == {1}
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"ladder.json", "ladder-matmul.png", "ladder-matmul.svg"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ladder", "--op", "conv"], "invalid choice: 'conv'"),
        (["ladder", "--sizes", "0"], "'0' is not a whole number from 1 to 8192"),
        (["ladder", "--sizes", "12", "x"], "'x' is not a whole number"),
        (["ladder", "--sizes", "100000"], "'100000' is not a whole number"),
        (["ladder", "--threads", "-1"], "'-1' is not a whole number from 1 to 1024"),
        (["ladder", "--dtype", "int8"], "invalid choice: 'int8'"),
        (["ladder", "--output", __file__], "is not a directory"),
        (["ladder", "--update", "no/such/file"], "there is no file no/such/file"),
        (["ladder", "--update", __file__], "must have <!-- ladder:begin -->"),
        (["climb"], "invalid choice: 'climb'"),
        ([], "required: COMMAND"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(arguments: list[str], message: str) -> None:
    done = run_hotloops(*arguments, *(["--quick"] if arguments[:1] == ["ladder"] else []))
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("blocked", "package"),
    [("rich", "rich"), ("matplotlib", "matplotlib"), ("sklearn", "scikit-learn")],
)
def test_a_missing_extra_is_named(blocked: str, package: str, tmp_path: Path) -> None:
    program = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {blocked!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocker())
from hotloops.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
    done = run_hotloops("ladder", "--output", tmp_path / "out", program=program)
    assert done.returncode == 1
    assert done.stderr == f'hotloops ladder needs {package}: pip install "hotloops[bench]"\n'
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()
    assert run_hotloops("info", program=program).returncode == 0


def test_info_shows_the_configuration() -> None:
    done = run_hotloops("info")
    assert done.returncode == 0
    assert hotloops.isa() in done.stdout
    assert run_hotloops("--version").stdout == f"{hotloops.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [["info"], ["--version"], ["--help"], ["ladder", "--help"], ["ladder", "--quick"]],
    ids=" ".join,
)
def test_a_reader_that_has_gone_ends_the_command_as_any_other(
    arguments: list[str], tmp_path: Path
) -> None:
    if arguments[-1] == "--quick":
        arguments = [*arguments, "--op", "relu", "--output", str(tmp_path)]
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "hotloops", *arguments],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=240,
            check=False,
        )
    assert done.stderr == ""
    assert done.returncode == -signal.SIGPIPE
