"""Threads and configuration: ours, OpenMP's, threadpoolctl's and the environment's agree."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl

import hotloops
import support
from hotloops import _core


def openmp_pools() -> list[dict[str, Any]]:
    """Return what threadpoolctl sees of OpenMP in this process."""
    pools = threadpoolctl.threadpool_info()
    return [pool for pool in pools if pool["user_api"] == "openmp"]


needs_openmp = pytest.mark.skipif(
    not hotloops.show_config(mode="dicts")["openmp"], reason="built without OpenMP"
)


# --- Threads ----------------------------------------------------------------------------------


@needs_openmp
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_set_num_threads(count: int) -> None:
    before = hotloops.get_num_threads()
    hotloops.set_num_threads(count)
    assert hotloops.get_num_threads() == count
    hotloops.set_num_threads(before)


@needs_openmp
def test_threads_is_put_back() -> None:
    before = hotloops.get_num_threads()
    with hotloops.threads(3):
        assert hotloops.get_num_threads() == 3
        with hotloops.threads(2):
            assert hotloops.get_num_threads() == 2
        assert hotloops.get_num_threads() == 3
    assert hotloops.get_num_threads() == before
    with pytest.raises(KeyError), hotloops.threads(3):
        raise KeyError
    assert hotloops.get_num_threads() == before


@pytest.mark.parametrize("count", [0, -1, 2**40])
def test_a_number_of_threads_that_cannot_be(count: int) -> None:
    before = hotloops.get_num_threads()
    for call in (hotloops.set_num_threads, hotloops.threads):
        with pytest.raises(ValueError, match=str(count)):
            call(count)
    assert hotloops.get_num_threads() == before


@pytest.mark.parametrize("count", [1.5, "2", None])
def test_a_number_of_threads_that_is_none(count: Any) -> None:
    for call in (hotloops.set_num_threads, hotloops.threads):
        with pytest.raises(TypeError):
            call(count)


@needs_openmp
def test_set_num_threads_reaches_every_python_thread() -> None:
    before, seen = hotloops.get_num_threads(), []
    hotloops.set_num_threads(3)
    worker = threading.Thread(target=lambda: seen.append(hotloops.get_num_threads()))
    worker.start()
    worker.join()
    hotloops.set_num_threads(before)
    assert seen == [3]


@needs_openmp
def test_threadpoolctl_sees_and_sets_the_number() -> None:
    before = hotloops.get_num_threads()
    with hotloops.threads(3):
        assert 3 in [pool["num_threads"] for pool in openmp_pools()]
    for count in (1, 2):
        with threadpoolctl.threadpool_limits(count, user_api="openmp"):
            assert hotloops.get_num_threads() == count
    assert hotloops.get_num_threads() == before


@needs_openmp
@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_environment_sets_the_number(count: int) -> None:
    program = "import hotloops; print(hotloops.get_num_threads())"
    assert support.run_python(program, OMP_NUM_THREADS=str(count)).strip() == str(count)


@needs_openmp
@pytest.mark.parametrize(
    "shape", [(500, 300, 400), (37, 9000, 41), (1, 800_000, 1), (3, 900, 2000)]
)
def test_fewer_threads_than_asked_for(shape: tuple[int, int, int]) -> None:
    # OpenMP then starts a smaller team than a product has been shared out to.
    m, k, n = shape
    program = f"""
import numpy as np, hotloops
rng = np.random.default_rng(1)
a, b = rng.normal(size=({m}, {k})), rng.normal(size=({k}, {n}))
hotloops.set_num_threads(1)
alone = hotloops.matmul(a, b)
hotloops.set_num_threads(5)
for right in (b, b.T.copy().T):
    assert hotloops.matmul(a, right).tobytes() == alone.tobytes()
"""
    for limit in ("1", "2", "3"):
        support.run_python(program, OMP_THREAD_LIMIT=limit)


# --- Configuration ----------------------------------------------------------------------------


def test_show_config_as_dicts() -> None:
    shown = hotloops.show_config(mode="dicts")
    assert shown["hotloops"] == hotloops.__version__
    assert shown["isa"] == hotloops.isa()
    assert tuple(shown["isas"]) == hotloops.isas()
    assert shown["threads"] == hotloops.get_num_threads()
    assert isinstance(shown["openmp"], bool)
    assert shown["compiler"]
    assert all(size > 0 for size in shown["caches"].values())


def test_show_config_prints_what_the_dicts_hold(capsys: pytest.CaptureFixture[str]) -> None:
    assert hotloops.show_config() is None
    printed = capsys.readouterr().out
    for part in (hotloops.__version__, hotloops.isa(), *hotloops.isas()):
        assert part in printed


def test_show_config_says_how_to_get_more_threads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for has_openmp in (True, False):
        monkeypatch.setattr(_core, "has_openmp", has_openmp)
        hotloops.show_config()
        assert ("build again" in capsys.readouterr().out) == (not has_openmp)


def test_the_result_does_not_depend_on_who_limits_the_threads() -> None:
    x = support.normal(1, (300, 300), np.float32)
    expected = hotloops.matmul(x, x)
    with threadpoolctl.threadpool_limits(1):
        support.assert_same_bits(hotloops.matmul(x, x), expected)


def test_the_workspace_is_given_back() -> None:
    a = np.random.default_rng(1).standard_normal((600, 600))
    hotloops.release_workspace()  # what other tests needed
    c, expected = np.empty_like(a), np.empty_like(a)
    hotloops.matmul(a, a, expected)
    kept = hotloops.release_workspace()
    caches = sum(_core.cache_sizes()[level] for level in ("l1d", "l2"))
    assert 0 < kept <= 4 * caches * hotloops.get_num_threads()
    assert hotloops.release_workspace() == 0
    assert np.array_equal(hotloops.matmul(a, a, c), expected)
    assert hotloops.release_workspace() == kept

    def elsewhere() -> None:
        hotloops.matmul(a, a, c)

    other = threading.Thread(target=elsewhere)
    other.start()
    other.join()
    assert hotloops.release_workspace() == 0


@support.needs_proc
def test_released_memory_is_the_systems_again() -> None:
    program = """
import numpy as np
import hotloops
import support
from hotloops import _core
a = np.ones((700, 3000), np.float32)
b = np.ones((3000, 700), np.float32)
out = np.empty((700, 700), np.float32)
hotloops.matmul(a, b, out)
hotloops.release_workspace()
before = support.resident("VmRSS")
hotloops.matmul(a, b, out)
with_it = support.resident("VmRSS")
given = hotloops.release_workspace()
after = support.resident("VmRSS")
assert given > 1 << 18
assert with_it - before >= given // 2, (before, with_it, given)
assert with_it - after >= given // 2, (with_it, after, given)
"""
    support.run_python(program, PYTHONPATH=str(Path(__file__).parent))
