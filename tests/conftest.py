"""Fixtures for every test: the ISAs, the dtypes and the settings put back afterwards."""

from __future__ import annotations

import platform
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import hotloops
from hotloops import _core

if TYPE_CHECKING:
    from collections.abc import Iterator

ALL_ISAS = ["baseline", "neon", "avx2", "avx512", "amx"]
# Other architectures' are tested in test_cpp_kernels.py, under an emulator.
X86 = platform.machine() == "x86_64"
NATIVE_ISAS = ["baseline", "avx2", "avx512", "amx"] if X86 else ["baseline", "neon"]
# amx has kernels of avx512 but for what tiles are for, which has tests of its own.
VECTOR_ISAS = [name for name in NATIVE_ISAS if name != "amx"]


@pytest.fixture(autouse=True, scope="session")
def _garbage() -> Iterator[None]:
    """Fill workspace and results with garbage before every call."""
    _core.fill_with_garbage(True)
    yield
    _core.fill_with_garbage(False)


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    """Give every test the default settings, and notice one that leaves others behind."""

    def settings() -> tuple[str, int, str]:
        return hotloops.isa(), hotloops.get_num_threads(), hotloops.get_float32_precision()

    before = settings()
    yield
    assert settings() == before


@pytest.fixture(autouse=True)
def _threads_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip a test as soon as it asks for several threads of a build that has one."""
    enter = hotloops.threads.__enter__

    def enter_or_skip(threads: hotloops.threads) -> hotloops.threads:
        if threads._n > 1:
            pytest.skip("built without OpenMP: one thread")
        return enter(threads)

    if not _core.has_openmp:
        monkeypatch.setattr(hotloops.threads, "__enter__", enter_or_skip)


@pytest.fixture(params=VECTOR_ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test on each vector ISA of this architecture; one that is not there is skipped."""
    yield from _forced(request.param)


@pytest.fixture(params=NATIVE_ISAS)
def any_isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test on each ISA of this architecture, tiles included."""
    yield from _forced(request.param)


@pytest.fixture
def amx() -> Iterator[str]:
    """Run the test with the tile kernels, where the machine has them."""
    yield from _forced("amx")


def _forced(name: str) -> Iterator[str]:
    if name not in hotloops.isas():
        pytest.skip(f"this machine has no {name}")
    with hotloops.use_isa(name):
        assert hotloops.isa() == name
        yield name


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt, also in a background job, which shells have ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> np.dtype[Any]:
    """Run the test with each dtype that has kernels of its own."""
    result: np.dtype[Any] = np.dtype(request.param)
    return result
