"""What is around a call: threads with small stacks, forks, the end of the interpreter."""

from __future__ import annotations

import importlib.util

import pytest

import hotloops
import support

needs_openmp = pytest.mark.skipif(
    not hotloops.show_config(mode="dicts")["openmp"], reason="built without OpenMP"
)
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed"
)

# Calls that leave the GIL, by their names. Each takes milliseconds.
OPERATIONS = """
import numpy as np
import hotloops as hl
from hotloops import _core, nn

rng = np.random.default_rng(1)
f, g = (rng.standard_normal((600, 500), np.float32) for _ in range(2))
d = rng.standard_normal((500, 600))
c = rng.standard_normal((300, 400)) + 1j
i = rng.integers(-4, 5, (700, 700)).astype(np.int8)
w, q = i.astype(np.int16), i.astype(np.int64)
h = f.astype(np.float16)
long = rng.standard_normal(700_001) + 1j * rng.standard_normal(700_001)
packed = {precision: hl.pack(g.T, precision=precision) for precision in ("float32", "bf16x3")}
huge = np.full((600, 500), 3e38, np.float32)
spread = np.zeros((500, 3000), np.float32)[:, ::5].T
x, y = rng.standard_normal((3000, 40), np.float32), rng.integers(0, 3, 3000)


def network():
    model = nn.Sequential([nn.Dense(64, "relu"), nn.Dense(3, "softmax")], seed=0)
    model.build(40)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    return model


model = network()
out = np.empty((600, 600), np.float32)
slanted = np.empty((600, 1200), np.float32)[:, ::2]
CALLS = {
    "matmul": lambda: hl.matmul(f, g.T),
    "matmul of float64": lambda: hl.matmul(d, d.T),
    "matmul of complex": lambda: hl.matmul(c, c.T),
    "matmul of int8": lambda: hl.matmul(i, i, dtype=np.int32),
    "matmul of int8 to int8": lambda: hl.matmul(i, i),
    "matmul of float16": lambda: hl.matmul(h, h.T),
    "matmul by tiles": lambda: hl.matmul(f, g.T, precision="bf16x3"),
    "matmul of transposes by tiles": lambda: hl.matmul(g.T, f, precision="bf16x6"),
    "matmul of transposes at bf16": lambda: hl.matmul(g.T, f, precision="bf16"),
    "matmul of transposes of float16": lambda: hl.matmul(h.T, h),
    "matmul of transposes of int8": lambda: hl.matmul(i.T, i.T, dtype=np.int32),
    "matmul of transposes of int16": lambda: hl.matmul(w.T, w.T),
    "matmul of transposes of int64": lambda: hl.matmul(q.T, q.T),
    "matmul of what tiles cannot hold": lambda: hl.matmul(huge, g.T, precision="bf16x3"),
    "matmul into a slanted array": lambda: hl.matmul(f, g.T, slanted),
    "matmul of a vector": lambda: hl.matmul(d, d[0]),
    "matmul of a batch": lambda: hl.matmul(f.reshape(300, 2, 500), g.reshape(300, 500, 2)),
    "dot product": lambda: hl.matmul(long, long),
    "matmul of packed": lambda: hl.matmul(f, packed["float32"]),
    "matmul of packed tiles": lambda: hl.matmul(huge, packed["bf16x3"]),
    "dense": lambda: hl.dense(f, g.T, out[0], activation="softmax", residual=out),
    "dense of float16": lambda: hl.dense(h, h.T, h[0, :1].repeat(600), activation="gelu"),
    "linear": lambda: hl.linear(f, g, out[0], activation="tanh"),
    "dense_vjp": lambda: hl.dense_vjp(f, g.T, activation="gelu")[1](out),
    "relu_vjp": lambda: hl.relu_vjp(f)[1](g),
    "einsum": lambda: hl.einsum("ij,kj->ki", f, g),
    "einsum of three": lambda: hl.einsum("ij,kj,kl->il", f, g, g),
    "einsum of one": lambda: hl.einsum("ij->j", f),
    "sum of all": lambda: hl.einsum("ij->", d),
    "add": lambda: hl.add(f, g),
    "add a transpose": lambda: hl.add(f, spread),
    "multiply into": lambda: hl.multiply(f, g[0], slanted[:, :500]),
    "relu": lambda: hl.relu(f),
    "relu of a slanted array": lambda: hl.relu(spread),
    "where": lambda: hl.where(f > 0, f, g),
    "greater": lambda: hl.greater(f, g),
    "all_greater": lambda: hl.all_greater(f, f - 1),
    "pack": lambda: hl.pack(g.T),
    "fit": lambda: network().fit(x, y, epochs=2, batch_size=100, verbose=0),
    "evaluate": lambda: model.evaluate(x, y),
    "predict": lambda: model.predict(x),
    "rung": lambda: _core.rung_matmul_ikj(f, np.ascontiguousarray(g.T)),
    "peak": lambda: _core.fma_peak("float32", 0.01),
}
"""
NAMES = [line.split('"')[1] for line in OPERATIONS.splitlines() if line.startswith('    "')]


# --- The end of the interpreter ---------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_daemon_thread_in_a_call_does_not_abort(name: str) -> None:
    program = f"""{OPERATIONS}
import threading
call = CALLS[{name!r}]
call()
started = threading.Event()


def work():
    while True:
        call()
        started.set()


for _ in range(2):
    threading.Thread(target=work, daemon=True).start()
started.wait()
print("the end")
"""
    assert support.run_python(program) == "the end\n"


def test_a_daemon_thread_that_trains_does_not_abort() -> None:
    # It takes the GIL now and then, to ask for signals.
    program = f"""{OPERATIONS}
import threading, time
model = network()
threading.Thread(
    target=lambda: model.fit(x, y, epochs=10**6, batch_size=100, verbose=0), daemon=True
).start()
time.sleep(0.3)
print("the end")
"""
    assert support.run_python(program) == "the end\n"


# --- Stacks -----------------------------------------------------------------------------------

SMALL_STACK = f"""{OPERATIONS}
import threading

hl.set_num_threads(2)
CALLS = {{name: call for name, call in CALLS.items() if name not in ("peak", "rung")}}


def bits(result):
    if isinstance(result, (tuple, list)):
        return [bits(each) for each in result]
    return np.asarray(result).tobytes() if not hasattr(result, "history") else result.history


expected = {{name: bits(call()) for name, call in CALLS.items() if name not in ("pack", "fit")}}
threading.stack_size(64 << 10)
for name, call in CALLS.items():
    results = []
    print(name, flush=True)
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    thread.join()
    assert len(results) == 1, name
    assert name not in expected or bits(results[0]) == expected[name], name
print("the end")
"""


@pytest.mark.parametrize("isa", hotloops.isas())
def test_threads_with_small_stacks_compute(isa: str) -> None:
    # NumPy needs 32 KiB.
    printed = support.run_python(SMALL_STACK, HOTLOOPS_ISA=isa)
    assert printed.splitlines()[-1] == "the end"


SAME = """
import numpy as np
import hotloops as hl

rng = np.random.default_rng(1)
a, b = rng.standard_normal((700, 600)), rng.standard_normal((600, 500))
with hl.threads(1):
    alone = hl.matmul(a, b).tobytes(), hl.relu(a.T).tobytes(), hl.einsum("ij->j", a).tobytes()
for _ in range(3):
    many = hl.matmul(a, b).tobytes(), hl.relu(a.T).tobytes(), hl.einsum("ij->j", a).tobytes()
    assert many == alone
print(hl.get_num_threads())
"""


@needs_openmp
@pytest.mark.parametrize("size", ["16k", "24k", "64k"])
def test_helpers_with_small_stacks(size: str) -> None:
    assert support.run_python(SAME, OMP_STACKSIZE=size, OMP_NUM_THREADS="2") == "2\n"


@needs_openmp
@pytest.mark.parametrize("threads", [200, 1024])
def test_many_threads_from_one_with_a_small_stack(threads: int) -> None:
    program = f"""
import threading
import numpy as np
import hotloops as hl

a = np.random.default_rng(1).standard_normal((900, 900))
expected, results = hl.matmul(a, a).tobytes(), []
hl.set_num_threads({threads})
threading.stack_size(64 << 10)
thread = threading.Thread(target=lambda: results.append(hl.matmul(a, a).tobytes()))
thread.start()
thread.join()
assert results == [expected]
"""
    support.run_python(program)


@needs_openmp
def test_more_threads_than_any_machine_has() -> None:
    assert support.run_python(SAME, OMP_NUM_THREADS="1000000") == "1024\n"


# --- Forks ------------------------------------------------------------------------------------

FORK = """
import os, sys, threading, time, warnings
import numpy as np
import hotloops as hl

warnings.simplefilter("ignore")  # Python 3.12 warns of a fork with threads about


def in_child(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    for _ in range(600):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.1)
    else:
        os.kill(child, 9)
        sys.exit("the child hangs")
    assert os.waitstatus_to_exitcode(status) == 0


hl.set_num_threads(2)
x = np.random.default_rng(1).standard_normal((600, 700)).astype(np.float32)


def tasks():
    return len(os.listdir("/proc/self/task"))
"""


@support.needs_proc
@needs_openmp
@pytest.mark.parametrize("imports", ["", pytest.param("import torch", marks=needs_torch)])
@pytest.mark.parametrize("used", ["", "hl.matmul(x, x.T)"], ids=["unused", "used"])
def test_a_forked_child_has_its_parents_threads(imports: str, used: str) -> None:
    program = f"""
{imports}
{FORK}
with hl.threads(1):
    expected = hl.matmul(x, x.T).tobytes()
{used}


def work():
    assert hl.get_num_threads() == 2
    assert tasks() == 1
    assert hl.matmul(x, x.T).tobytes() == expected
    assert tasks() == 2
    in_child(lambda: hl.matmul(x, x.T).tobytes() == expected or 1 / 0)


in_child(work)
assert hl.matmul(x, x.T).tobytes() == expected
in_child(work)
"""
    support.run_python(program)


@needs_openmp
def test_a_child_forked_beside_calls_computes() -> None:
    # Other threads of the parent are in calls, and take and give back memory for results.
    program = f"""{FORK}
expected = hl.matmul(x, x.T).tobytes()
stop = False


def busy():
    big = np.ones(1 << 20, np.float32)
    while not stop:
        hl.relu(big)
        hl.matmul(x, x.T)


threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads:
    thread.start()


def work():
    hl.release_workspace()
    assert hl.matmul(x, x.T).tobytes() == expected
    assert hl.relu(np.ones(1 << 20, np.float32)).sum() == 1 << 20


for _ in range(20):
    in_child(work)
stop = True
for thread in threads:
    thread.join()
"""
    support.run_python(program)


# --- Floating-point modes ---------------------------------------------------------------------


MODES = """
import ctypes, ctypes.util, platform
import numpy as np
import hotloops as hl
from hotloops import nn

libm = ctypes.CDLL(ctypes.util.find_library("m"))
upward = {"x86_64": 0x800, "aarch64": 0x400000}[platform.machine()]
rng = np.random.default_rng(1)


def results():
    a, b = rng.standard_normal((400, 300), np.float32), rng.standard_normal((300, 500), np.float32)
    tiny = np.full((700, 700), 1e-20, np.float32)
    return [
        hl.matmul(a, b),
        hl.matmul(rng.standard_normal((37, 9000)), rng.standard_normal((9000, 41))),
        hl.matmul(tiny, tiny),
        hl.add(tiny * 1e-20, tiny * 1e-20),
        hl.einsum("ij->j", tiny * 1e-22),
        hl.einsum("ij->", rng.standard_normal((1000, 1000))),
        hl.dense(a, b, b[0], activation="gelu"),
        *hl.dense_vjp(a, b, activation="tanh")[1](np.ones((400, 500), np.float32))[:2],
    ]


def with_threads(threads):
    global rng
    rng = np.random.default_rng(1)
    with hl.threads(threads):
        return [np.asarray(x).tobytes() for x in results()]
"""


@needs_openmp
def test_helpers_round_as_the_caller_does() -> None:
    program = f"""{MODES}
nearest = with_threads(1)
assert with_threads(3) == nearest
libm.fesetround(upward)
up = with_threads(1)
assert up != nearest
for threads in 2, 3, 5:
    assert with_threads(threads) == up
libm.fesetround(0)
for threads in 1, 3:
    assert with_threads(threads) == nearest
"""
    support.run_python(program)


@needs_openmp
@needs_torch
def test_helpers_flush_subnormal_numbers_as_the_caller_does() -> None:
    program = f"""{MODES}
import torch
kept = with_threads(1)
assert with_threads(3) == kept
assert torch.set_flush_denormal(True)
flushed = with_threads(1)
assert flushed != kept
for threads in 2, 3, 5:
    assert with_threads(threads) == flushed
torch.set_flush_denormal(False)
for threads in 1, 3:
    assert with_threads(threads) == kept
"""
    support.run_python(program)
