"""Which ISA is chosen: by features, by name, by the environment; never by falling back."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import hotloops
import support
from conftest import ALL_ISAS, NATIVE_ISAS, X86
from hotloops import _core

SSE2 = {"sse2"}
AVX2 = SSE2 | {"avx2", "fma"}
AVX512 = AVX2 | {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
AMX = AVX512 | {"amx_tile", "amx_bf16", "amx_int8"}
MISSING = sorted(set(ALL_ISAS) - set(hotloops.isas()))


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        (set(), "baseline"),
        (SSE2, "baseline"),
        (SSE2 | {"avx2"}, "baseline"),
        (SSE2 | {"fma"}, "baseline"),
        (AVX2, "avx2"),
        (AVX2 | {"avx512f"}, "avx2"),
        (AVX512, "avx512"),
        (AVX512 - {"fma"}, "baseline"),
        (AVX512 | {"a feature of tomorrow"}, "avx512"),
        (AMX, "amx"),
        (AMX - {"amx_bf16"}, "avx512"),
        (AMX - {"avx512bw"}, "avx2"),
        ({"neon"}, "neon"),
    ],
)
def test_the_best_isa_that_the_features_allow(features: set[str], expected: str) -> None:
    assert _core.select_isa(features) == expected


@pytest.mark.parametrize("missing", ["avx512f", "avx512bw", "avx512dq", "avx512vl"])
def test_avx512_needs_all_its_parts(missing: str) -> None:
    assert _core.select_isa(AVX512 - {missing}) == "avx2"


@pytest.mark.parametrize("name", ["baseline", "avx2", "avx512"])
def test_an_override_is_obeyed(name: str) -> None:
    assert _core.select_isa(AVX512, name) == name
    assert _core.select_isa(AVX512, override=name) == name


@pytest.mark.parametrize(
    ("features", "name"),
    [
        (SSE2, "avx2"),
        (AVX2, "avx512"),
        (AVX512, "amx"),
        (AVX512, "neon"),
        ({"neon"}, "avx2"),
        (AVX512, "sse9"),
    ],
)
def test_an_override_that_cannot_be_obeyed_raises(features: set[str], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        _core.select_isa(features, name)


def test_this_machine() -> None:
    usable = hotloops.isas()
    assert usable[-1] == "baseline"
    assert hotloops.isa() in usable
    assert len(set(usable)) == len(usable)
    if "HOTLOOPS_ISA" not in os.environ:
        assert hotloops.isa() == usable[0] == _core.select_isa(_core.cpu_features())
    for name in ALL_ISAS:
        if name in usable:
            assert _core.select_isa(_core.cpu_features(), name) == name
        else:
            with pytest.raises(ValueError, match=name):
                _core.select_isa(_core.cpu_features(), name)


def test_every_usable_isa_has_kernels_of_all_types() -> None:
    kernels = _core.kernels()
    assert len({kernel["name"] for kernel in kernels}) == len(kernels)
    narrow = {"bfloat16", "float16", "int16", "int8", "uint8", "int8_uint8", "uint8_int8"}
    split = {f"float32_{precision}" for precision in ("bf16x6", "bf16x3", "bf16")}
    for isa in hotloops.isas():
        dtypes = {kernel["dtype"] for kernel in kernels if kernel["isa"] == isa}
        if isa == "amx":  # the others are avx512's
            assert dtypes == narrow | split | {"int32", "int64"}
        else:
            plain = {"float32", "float64", "int32", "int64", "complex64", "complex128"}
            pairs = isa == "avx512" and "avx512_bf16" in _core.cpu_features()
            assert dtypes == narrow | plain | ({"float32_bf16"} if pairs else set())
    for kernel in kernels:
        assert min(kernel["mr"], kernel["nr"], kernel["kr"]) >= 1


def test_use_isa_in_a_with_statement() -> None:
    before = hotloops.isa()
    for name in hotloops.isas():
        with hotloops.use_isa(name):
            assert hotloops.isa() == name
            with hotloops.use_isa("baseline"):
                assert hotloops.isa() == "baseline"
            assert hotloops.isa() == name
        assert hotloops.isa() == before
    with pytest.raises(KeyError), hotloops.use_isa("baseline"):
        raise KeyError
    assert hotloops.isa() == before


def test_use_isa_in_a_with_statement_again() -> None:
    best, before = hotloops.isas()[0], hotloops.isa()
    context = hotloops.use_isa("baseline")
    for _ in range(2):
        with context:
            assert hotloops.isa() == "baseline"
            with context:
                assert hotloops.isa() == "baseline"
            assert hotloops.isa() == "baseline"
        assert hotloops.isa() == before
    context = hotloops.use_isa("baseline")
    hotloops.use_isa(best)
    with context:
        assert hotloops.isa() == "baseline"
    assert hotloops.isa() == before


def test_use_isa_as_a_call() -> None:
    before = hotloops.isa()
    for name in hotloops.isas():
        hotloops.use_isa(name)
        assert hotloops.isa() == name
    hotloops.use_isa(before)


@pytest.mark.parametrize("name", ["", "AVX2", "sse9", *MISSING])
def test_use_isa_never_falls_back(name: str) -> None:
    before = hotloops.isa()
    with pytest.raises(ValueError, match=f"use_isa: .*{name}.*baseline"):
        hotloops.use_isa(name)
    assert hotloops.isa() == before


def test_the_forced_isa_computes() -> None:
    # Without FMA the product is rounded before the sum: another result, seen at once. On other
    # architectures than x86 the baseline has FMA too.
    x = 1 + np.float32(2**-12)
    a, b = np.array([[-1, x]], np.float32), np.array([[1 + 2**-11], [x]], np.float32)
    with_fma = {}
    for name in hotloops.isas():
        with hotloops.use_isa(name):
            with_fma[name] = bool(hotloops.matmul(a, b)[0, 0] == np.float32(2**-24))
    if not X86:
        del with_fma["baseline"]
    assert with_fma == {name: name in support.FMA_ISAS for name in with_fma}


@pytest.mark.parametrize("name", NATIVE_ISAS)
def test_the_environment_chooses(name: str) -> None:
    if name not in hotloops.isas():
        pytest.skip(f"this machine has no {name}")
    program = "import hotloops; print(hotloops.isa())"
    assert support.run_python(program, HOTLOOPS_ISA=name).strip() == name


@pytest.mark.parametrize("name", ["sse9", *MISSING])
def test_the_environment_never_falls_back(name: str) -> None:
    program = "import hotloops; hotloops.matmul([[1.0]], [[1.0]])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "HOTLOOPS_ISA": name},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "HOTLOOPS_ISA" in done.stderr
    assert name in done.stderr


def test_an_empty_environment_variable_chooses_nothing() -> None:
    program = "import hotloops; print(hotloops.isa() == hotloops.isas()[0])"
    assert support.run_python(program, HOTLOOPS_ISA="").strip() == "True"
