"""The memory of results: kept when they are gone, for those that come after them."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import numpy as np
import pytest

import hotloops
import support

MIB = 1 << 20


@pytest.fixture(autouse=True)
def _nothing_kept() -> None:
    hotloops.release_workspace()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_it_is_taken_again(kind: str, order: Any) -> None:
    x: Any = np.asarray(support.normal(1, (200, 300), np.float64), order=order)
    expected = np.maximum(x, 0)
    if kind == "tensor":
        x = pytest.importorskip("torch").from_numpy(x)
    y = hotloops.relu(x)
    address = np.asarray(y).ctypes.data
    assert address % 64 == 0
    del y
    y = hotloops.relu(x)
    assert np.asarray(y).ctypes.data == address
    np.testing.assert_array_equal(np.asarray(y), expected)
    assert hotloops.release_workspace() == 0  # it is in use
    del y
    assert expected.nbytes <= hotloops.release_workspace() <= 1.2 * expected.nbytes
    assert hotloops.release_workspace() == 0


def test_other_arrays_have_numpys_memory() -> None:
    x = support.normal(1, (200, 300), np.float64)
    y = hotloops.relu(x)
    for other in (np.empty_like(x), np.empty_like(y), y + 1, x.copy()):
        del other
    assert hotloops.release_workspace() == 0


def test_results_are_arrays_like_any_other() -> None:
    x = abs(support.normal(1, (100, 300), np.float64))
    y = hotloops.relu(x)
    assert y.flags.owndata
    assert y.base is None
    for rows, kept in ((90, 90), (500, 90), (1, 1), (100, 1)):
        y.resize((rows, 300), refcheck=False)
        np.testing.assert_array_equal(y[:kept], x[:kept])
        np.testing.assert_array_equal(y[kept:], 0)
    again = pickle.loads(pickle.dumps(hotloops.relu(x)))
    np.testing.assert_array_equal(again, x)


def test_a_bounded_number_of_results_is_kept() -> None:
    x = np.ones(MIB, np.float32)
    results = [hotloops.relu(x) for _ in range(20)]
    del results
    assert 48 * MIB < hotloops.release_workspace() <= 64 * MIB
    small = [hotloops.relu(x[: 1 << 14]) for _ in range(200)]
    del small
    assert 64 << 16 <= hotloops.release_workspace() <= 200 << 16
    hotloops.relu(np.ones(16 * MIB, np.float32))
    assert hotloops.release_workspace() == 0


def test_results_of_many_threads_have_memory_of_their_own() -> None:
    wrong: list[int] = []

    def work(number: int) -> None:
        x = np.full(20_000 + 100 * number, number, np.float32)
        for _ in range(100):
            results = [hotloops.relu(x) for _ in range(3)]
            wrong.extend(number for y in results if not (y == number).all())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
