"""Threads, instruction sets, and what this build runs on."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from hotloops import _arguments, _core

if TYPE_CHECKING:
    from typing_extensions import Self

_ONE_THREAD = "1, for this build has no OpenMP: build again by GCC, or by Clang with libomp"


def _thread_count(function: str, n: Any) -> int:
    return _arguments.as_count(function, "n", n, 1, _core.MAX_THREADS)


def get_num_threads() -> int:
    """Return how many threads a call from this thread may use.

    At first what OpenMP allows (``OMP_NUM_THREADS``, or the number of cores), at most 1024. In a
    process made by ``os.fork`` as many as in its parent, but one if the fork was within a parallel
    region of another library, whose threads do not survive it. One, too, in a build without
    OpenMP; `show_config` tells.

    Returns
    -------
    int
        The number of threads, 1 or more. Small problems use fewer; so do all, for a tenth of a
        second, where another program or library keeps the cores busy.

    Examples
    --------
    >>> import hotloops as hl
    >>> hl.get_num_threads() >= 1
    True
    """
    return _core.num_threads()


def set_num_threads(n: int) -> None:
    """Set how many threads calls may use, in all threads of the process.

    The setting is OpenMP's own, so ``threadpoolctl`` sees and changes the same number. A build
    without OpenMP stays at one thread. Calls from several threads at the same time share the
    cores: each finds as many helpers as the others have left.

    Parameters
    ----------
    n : int
        The number of threads, from 1 to 1024. It never changes a result.

    Raises
    ------
    ValueError
        If `n` is out of range.
    TypeError
        If `n` is not an integer.

    Examples
    --------
    >>> import hotloops as hl
    >>> hl.set_num_threads(hl.get_num_threads())
    """
    _core.set_num_threads(_thread_count("set_num_threads", n))


class threads:  # noqa: N801 - reads as a verb phrase: `with threads(2):`
    """Context in which calls from this thread use up to `n` threads.

    Parameters
    ----------
    n : int
        The number of threads, from 1 to 1024.

    Raises
    ------
    ValueError
        If `n` is out of range.
    TypeError
        If `n` is not an integer.

    Examples
    --------
    >>> import hotloops as hl
    >>> with hl.threads(1):
    ...     hl.get_num_threads()
    1
    """

    def __init__(self, n: int) -> None:
        self._n = _thread_count("threads", n)
        self._previous: list[int] = []

    def __enter__(self) -> Self:
        self._previous.append(_core.num_threads())
        _core.set_num_threads_here(self._n)
        return self

    def __exit__(self, *exception: object) -> None:
        _core.set_num_threads_here(self._previous.pop())


def get_float32_precision() -> str:
    """Return the least accuracy that calls from this thread accept of float32 products.

    Returns
    -------
    {'float32', 'bf16x6', 'bf16x3', 'bf16'}
        What `precision` is in calls that do not give it.

    Examples
    --------
    >>> import hotloops as hl
    >>> hl.get_float32_precision()
    'float32'
    """
    return _core.float32_precision()


def set_float32_precision(precision: str) -> None:
    """Set the least accuracy that calls accept of float32 products, in the whole process.

    Parameters
    ----------
    precision : {'float32', 'bf16x6', 'bf16x3', 'bf16'}
        What `precision` is in calls that do not give it; see `matmul`. At first 'float32'.

    Raises
    ------
    ValueError
        If there is no such precision.

    See Also
    --------
    float32_precision : The same for a context.

    Examples
    --------
    >>> import hotloops as hl
    >>> hl.set_float32_precision("bf16x6")
    >>> hl.set_float32_precision("float32")
    """
    _core.set_float32_precision(_precision("set_float32_precision", precision))


class float32_precision:  # noqa: N801 - reads as a noun: `with float32_precision("bf16x6"):`
    """Context in which calls from this thread accept an accuracy of float32 products.

    Parameters
    ----------
    precision : {'float32', 'bf16x6', 'bf16x3', 'bf16'}
        What `precision` is in calls that do not give it; see `matmul`.

    Raises
    ------
    ValueError
        If there is no such precision.

    Examples
    --------
    >>> import hotloops as hl
    >>> with hl.float32_precision("bf16x6"):
    ...     hl.get_float32_precision()
    'bf16x6'
    """

    def __init__(self, precision: str) -> None:
        self._precision = _precision("float32_precision", precision)
        self._previous: list[str | None] = []

    def __enter__(self) -> Self:
        self._previous.append(_core.float32_precision_here())
        _core.set_float32_precision_here(self._precision)
        return self

    def __exit__(self, *exception: object) -> None:
        _core.set_float32_precision_here(self._previous.pop())


def _precision(function: str, precision: Any) -> str:
    _core.check_precision(function, precision, or_none=False)
    return str(precision)


def release_workspace() -> int:
    """Give back the memory that is kept from call to call.

    That is the memory in which calls from this thread pack their operands, as large as the largest
    call so far needed: some megabytes, bounded by the caches, not by the operands. Memory of other
    threads that call hotloops is theirs, and goes when they end. And it is the memory of results
    from 64 KiB on that are gone, of all threads: up to 64 MiB, which later results take, because to
    map new memory takes longer than to fill it. The next call that needs memory takes it again.

    Returns
    -------
    int
        Bytes given back.

    Examples
    --------
    >>> import hotloops as hl
    >>> hl.release_workspace() >= 0
    True
    >>> hl.release_workspace()
    0
    """
    return _core.release_workspace()


def isas() -> tuple[str, ...]:
    """Return the instruction sets that hotloops can use on this CPU, best first.

    Returns
    -------
    tuple of str
        Some of 'amx', 'avx512', 'avx2', 'neon', and always 'baseline'.

    Examples
    --------
    >>> import hotloops as hl
    >>> "baseline" in hl.isas()
    True
    """
    return tuple(_core.isas())


def isa() -> str:
    """Return the instruction set in use.

    At first the best of `isas`, or the one that the environment variable ``HOTLOOPS_ISA`` names.

    Returns
    -------
    str
        One of `isas`.

    Examples
    --------
    >>> import hotloops as hl
    >>> hl.isa() in hl.isas()
    True
    """
    return _core.isa()


class use_isa:  # noqa: N801 - called as a function, or `with use_isa("avx2"):`
    """Use another instruction set, from this call on or within a context.

    The choice is the process's, not the thread's.

    Parameters
    ----------
    name : str
        One of `isas`.

    Raises
    ------
    ValueError
        If there is no such instruction set, or this CPU lacks it: hotloops never falls back to
        another than the one asked for.

    Examples
    --------
    >>> import hotloops as hl
    >>> with hl.use_isa("baseline"):
    ...     hl.isa()
    'baseline'
    """

    def __init__(self, name: str) -> None:
        before = _core.isa()
        self._name = _arguments.as_choice("use_isa", "name", name, _core.isas(), "this CPU can use")
        _core.use_isa(name)
        self._before: str | None = before  # until the first `with`, which goes back there
        self._previous: list[str] = []

    def __enter__(self) -> Self:
        self._previous.append(self._before or _core.isa())
        self._before = None
        _core.use_isa(self._name)
        return self

    def __exit__(self, *exception: object) -> None:
        _core.use_isa(self._previous.pop())


def _config() -> dict[str, Any]:
    return {
        "hotloops": _core.__version__,
        "compiler": _core.compiler,
        "openmp": _core.has_openmp,
        "threads": _core.num_threads(),
        "isa": _core.isa(),
        "isas": list(_core.isas()),
        "cpu_features": sorted(_core.cpu_features()),
        "caches": dict(_core.cache_sizes()),
        "kernels": _core.kernels(in_use=True),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


@overload
def show_config(mode: Literal["stdout"] = ...) -> None: ...
@overload
def show_config(mode: Literal["dicts"]) -> dict[str, Any]: ...
def show_config(mode: str = "stdout") -> dict[str, Any] | None:
    """Show how hotloops was built and what it uses on this machine.

    Parameters
    ----------
    mode : {'stdout', 'dicts'}, optional
        Whether to print or to return it, as `numpy.show_config`.

    Returns
    -------
    dict or None
        With ``mode='dicts'``: version, compiler, threads, instruction sets, cache sizes (bytes)
        and the kernels in use.

    Raises
    ------
    ValueError
        If `mode` is neither.

    Examples
    --------
    >>> import hotloops as hl
    >>> hl.show_config(mode="dicts")["isa"] == hl.isa()
    True
    """
    mode = _arguments.as_choice("show_config", "mode", mode, ("stdout", "dicts"))
    config = _config()
    if mode == "dicts":
        return config
    openmp = "with OpenMP" if config["openmp"] else "without OpenMP"
    threads = f"{config['threads']}" if config["openmp"] else _ONE_THREAD
    caches = ", ".join(f"{name} {size >> 10} KiB" for name, size in config["caches"].items())
    print(f"hotloops     {config['hotloops']}, {config['compiler']}, {openmp}")
    print(f"threads      {threads}")
    print(f"isa          {config['isa']} (of {', '.join(config['isas'])})")
    print(f"cpu features {', '.join(config['cpu_features'])}")
    print(f"caches       {caches}")
    for kernel in config["kernels"]:
        print(f"kernel       {kernel['name']}")
    print(f"python       {config['python']} on {config['machine']}, NumPy {config['numpy']}")
    return None
