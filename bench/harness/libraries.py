"""How a person would write a case with each library.

An adapter turns a case and its arrays into a `Statement`: one line of source and the
names it uses. The line is what is timed, in a compiled loop without a wrapping call, and
what the report shows. Whatever a user would do once and keep (a tensor that shares an
array's memory, a transposed view) is done beforehand; whatever the library needs at every
call is in the line.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from harness.cases import Case
    from harness.operands import Array, Operands


Result: TypeAlias = "Array | tuple[Array, ...]"
"""Of a layer's gradients: the layer's result, and those of x, w and bias."""


class UnsupportedError(Exception):
    """The library has no way to compute this case."""


@dataclass(frozen=True)
class Statement:
    """One line of source and its names; `result` evaluates it."""

    code: str
    names: Mapping[str, Any]
    as_result: Callable[[Any], Result] = np.asarray

    def result(self) -> Result:
        """Evaluate the line once; the array given as ``out`` if there is one."""
        value = eval(self.code, dict(self.names))  # the adapters' own lines
        return self.as_result(self.names.get("out", value))


@dataclass
class Library(Protocol):
    """A library under test."""

    module: ModuleType
    threads: int
    widens: bool
    """float32 operands give a float64 result."""

    def statement(self, case: Case, operands: Operands) -> Statement:
        """Write a case; raise `UnsupportedError` where the library cannot."""


LOOP_WORK = 1e9
"""Most operations of a product that NumPy is measured with where it has no BLAS: at its rate of one
or two GFLOP/s, what is larger would take minutes."""


def _product_code(case: Case, **options: str | None) -> str:
    options["out"] = None if case.out is None else "out"
    given = [f"{name}={value}" for name, value in options.items() if value is not None]
    return f"matmul({', '.join(['a', 'b', *given])})"


def _result_type(case: Case) -> dict[str, Any]:
    return {} if case.result_dtype is None else {case.result_dtype: np.dtype(case.result_dtype)}


def _names(**names: Any) -> dict[str, Any]:
    return {name: value for name, value in names.items() if value is not None}


VECTOR_DTYPES = ("float32", "float64")

PARTS = {"complex64": "float32", "complex128": "float64"}
"""What complex numbers are multiplied in."""

PRODUCTS = {"bf16x6": 6, "bf16x3": 3, "bf16": 1}
"""Products of bfloat16 in one of float32, by precision."""


@dataclass
class Hotloops:
    """The subject."""

    module: ModuleType
    threads: int
    widens: bool = False

    def __post_init__(self) -> None:
        """Set the number of threads."""
        self.module.set_num_threads(self.threads)

    def statement(self, case: Case, operands: Operands) -> Statement:
        """Write a case with hotloops."""
        hotloops, x, w, bias, out = self.module, operands.x, operands.w, operands.bias, operands.out
        options = "" if out is None else ", out=out"
        precision = None if case.precision is None else repr(case.precision)
        if case.packed:
            w, precision = hotloops.pack(w, precision=case.precision), None
        if case.operation == "matmul":
            code = _product_code(case, dtype=case.result_dtype, precision=precision)
            names = _names(matmul=hotloops.matmul, a=x, b=w, out=out, **_result_type(case))
            return Statement(code, names)
        if case.operation == "relu":
            return Statement(f"relu(x{options})", _names(relu=hotloops.relu, x=x, out=out))
        if case.operation == "dense_vjp":
            hotloops.set_float32_precision(case.precision or "float32")
            names = _names(dense_vjp=hotloops.dense_vjp, x=x, w=w, bias=bias, g=operands.grad_y)
            call = f"dense_vjp(x, w, bias, activation={case.activation!r})"
            return Statement(f"((vjp := {call})[0], *vjp[1](g))", names, tuple)
        if precision is not None:
            options += f", precision={precision}"
        return Statement(
            f"dense(x, w, bias, activation={case.activation!r}{options})",
            _names(dense=hotloops.dense, x=x, w=w, bias=bias, out=out),
        )

    def peak(self, case: Case, dtype: str, seconds: float) -> float | None:
        """Measure the operations a second from registers that a case could have, on one thread.

        Those of tiles, divided by the products that precision takes, where there are any; else of
        fused multiply-adds. None for types and precisions that have neither.
        """
        core = self.module._core
        isa = self.module.isa()
        tiles = isa == "amx"
        if tiles and case.precision is not None:
            return float(core.tile_peak("bfloat16", seconds)) / PRODUCTS[case.precision]
        if tiles and dtype in ("bfloat16", "int8"):
            return float(core.tile_peak(dtype, seconds))
        pairs = {"isa": isa, "dtype": f"float32_{case.precision}"}
        if any(pairs.items() <= kernel.items() for kernel in core.kernels()):
            return None
        dtype = PARTS.get(dtype, dtype)
        return float(core.fma_peak(dtype, seconds)) if dtype in VECTOR_DTYPES else None


@dataclass
class Numpy:
    """NumPy with the BLAS that its wheel ships."""

    module: ModuleType
    threads: int
    widens: bool = False

    def __post_init__(self) -> None:
        """Keep the textbook sigmoid from warning that exp overflows to infinity."""
        self.module.seterr(over="ignore")

    def statement(self, case: Case, operands: Operands) -> Statement:
        """Write a case with NumPy."""
        x, w, bias, out = operands.x, operands.w, operands.bias, operands.out
        if case.operation == "matmul":
            # bfloat16 is converted to float32, for which it has BLAS.
            slow = x.dtype.name not in (*VECTOR_DTYPES, *PARTS, "bfloat16")
            if slow and case.work(x.itemsize) > LOOP_WORK:
                raise UnsupportedError(f"no BLAS for {x.dtype.name}: it would take minutes")
            names = _names(matmul=np.matmul, a=x, b=w, out=out, **_result_type(case))
            return Statement(_product_code(case, dtype=case.result_dtype), names)
        if case.operation == "relu":
            code = "maximum(x, 0)" if out is None else "maximum(x, 0, out=out)"
            return Statement(code, _names(maximum=np.maximum, x=x, out=out))
        if case.operation == "dense_vjp":
            raise UnsupportedError("no gradients")
        formulas = {
            None: "x @ w + bias",
            "relu": "maximum(x @ w + bias, 0)",
            "sigmoid": "1 / (1 + exp(-(x @ w + bias)))",
        }
        if case.activation not in formulas:
            raise UnsupportedError(f"no {case.activation}")
        names = _names(maximum=np.maximum, exp=np.exp, x=x, w=w, bias=bias)
        return Statement(formulas[case.activation], names)


@dataclass
class Torch:
    """torch on the CPU, without autograd where no gradients are asked for."""

    module: ModuleType
    threads: int
    widens: bool = False

    def __post_init__(self) -> None:
        """Set the number of threads."""
        self.module.set_num_threads(self.threads)

    def _tensor(self, array: Array | None) -> Any:
        if array is None:
            return None
        if any(stride < 0 for stride in array.strides):
            raise UnsupportedError("no negative strides")
        if array.dtype.name == "bfloat16":
            return self.module.from_numpy(array.view(np.int16)).view(self.module.bfloat16)
        return self.module.from_numpy(array)

    def _array(self, tensor: Any) -> Array:
        if tensor.dtype == self.module.bfloat16:
            return np.asarray(tensor.view(self.module.int16)).view("bfloat16")
        return np.asarray(tensor)

    def _gradients(self, tensors: tuple[Any, ...]) -> tuple[Array, ...]:
        y, grad_x, grad_weight, grad_bias = (np.asarray(tensor.detach()) for tensor in tensors)
        return y, grad_x, grad_weight.T, grad_bias

    def statement(self, case: Case, operands: Operands) -> Statement:
        """Write a case with torch."""
        torch = self.module
        torch.set_grad_enabled(case.operation == "dense_vjp")
        x, w, bias, out = map(self._tensor, (operands.x, operands.w, operands.bias, operands.out))
        if case.operation == "matmul":
            if case.result_dtype is not None:
                if (case.dtype, case.result_dtype) != ("int8", "int32"):
                    raise UnsupportedError(f"no {case.dtype} to {case.result_dtype}")
                return Statement("_int_mm(a, b)", _names(_int_mm=torch._int_mm, a=x, b=w))
            names = _names(matmul=torch.matmul, a=x, b=w, out=out)
            return Statement(_product_code(case), names, self._array)
        if case.operation == "relu":
            if out is None:
                return Statement("relu(x)", _names(relu=torch.relu, x=x))
            clamp = torch.clamp_min
            return Statement("clamp_min(x, 0, out=out)", _names(clamp_min=clamp, x=x, out=out))
        functional = torch.nn.functional
        activation = case.activation or ""
        code = f"{activation}(linear(x, w, bias))" if activation else "linear(x, w, bias)"
        functions = {"relu": torch.relu, "sigmoid": torch.sigmoid, "gelu": functional.gelu}
        names = _names(linear=functional.linear, x=x, w=w.T, bias=bias, **functions)
        if case.operation == "dense":
            return Statement(code, names)
        for name in ("x", "w", "bias"):
            names[name].requires_grad_()
        names |= {"grad": torch.autograd.grad, "g": self._tensor(operands.grad_y)}
        return Statement(f"((y := {code}), *grad(y, (x, w, bias), g))", names, self._gradients)


PATIENT_WORK = 4e9
"""Most operations of a product that NumKong is measured with: float64 takes it ten times as long as
the others, minutes for the largest squares."""


@dataclass
class NumKong:
    """NumKong's packed dot products: wider accumulators, the right operand packed per call.

    It wants the right operand as (n, k), which is made beforehand; packing it is part of
    the call, as it is for every other library here.
    """

    module: ModuleType
    threads: int
    widens: bool = True

    def statement(self, case: Case, operands: Operands) -> Statement:
        """Write a case with NumKong: plain products of two matrices only."""
        x, w = operands.x, operands.w
        if case.operation != "matmul" or w is None or operands.out is not None:
            raise UnsupportedError("plain products only")
        if x.ndim != 2 or w.ndim != 2:
            raise UnsupportedError("matrices only")
        if case.work(x.itemsize) > PATIENT_WORK:
            raise UnsupportedError("it would take minutes")
        if x.strides[1] != x.itemsize or x.strides[0] < x.itemsize:
            raise UnsupportedError("contiguous rows only")
        return Statement(
            f"dots_packed(a, dots_pack(b), threads={self.threads})",
            _names(
                dots_packed=self.module.dots_packed,
                dots_pack=self.module.dots_pack,
                a=x,
                b=np.ascontiguousarray(w.T),
            ),
        )


@dataclass
class Blis:
    """BLIS through the `blis` package (its wheels run on one thread)."""

    module: ModuleType
    threads: int
    widens: bool = False

    def statement(self, case: Case, operands: Operands) -> Statement:
        """Write a case with BLIS: products of two C-contiguous matrices."""
        x, w, out = operands.x, operands.w, operands.out
        if case.operation != "matmul" or w is None:
            raise UnsupportedError("products only")
        if x.dtype.name not in VECTOR_DTYPES:
            raise UnsupportedError(f"no {x.dtype.name}")
        arrays = [array for array in (x, w, out) if array is not None]
        if any(array.ndim != 2 or not array.flags.c_contiguous for array in arrays):
            raise UnsupportedError("C-contiguous matrices only")
        code = "gemm(a, b, beta=0.0)" if out is None else "gemm(a, b, out=out, beta=0.0)"
        return Statement(code, _names(gemm=self.module.gemm, a=x, b=w, out=out))


@dataclass
class Copy:
    """No library: `numpy.copyto`, how fast the memory is that relu reads and writes."""

    module: ModuleType
    threads: int
    widens: bool = False

    def statement(self, case: Case, operands: Operands) -> Statement:
        """Copy the operand of a relu that has an ``out``."""
        if case.operation != "relu" or operands.out is None:
            raise UnsupportedError("relu with out= only")
        return Statement("copyto(out, x)", _names(copyto=np.copyto, x=operands.x, out=operands.out))


@dataclass(frozen=True)
class Entry:
    """How to find a library."""

    module: str
    distribution: str
    adapter: Callable[[ModuleType, int], Library]
    yardstick: bool = False
    """It does something else: shown beside the ratios, never a peer."""


LIBRARIES: Mapping[str, Entry] = {
    "hotloops": Entry("hotloops", "hotloops", Hotloops),
    "numpy": Entry("numpy", "numpy", Numpy),
    "torch": Entry("torch", "torch", Torch),
    "numkong": Entry("numkong", "numkong", NumKong),
    "blis": Entry("blis.py", "blis", Blis),
    "copy": Entry("numpy", "numpy", Copy, yardstick=True),
}
"""Every library that the benchmark knows."""


@dataclass
class Loaded:
    """A library ready to use, and its version."""

    library: Library
    version: str
    details: dict[str, str] = field(default_factory=dict)


def load(name: str, threads: int) -> Loaded:
    """Import a library and set its number of threads.

    Raises
    ------
    ImportError
        It is not installed.
    """
    entry = LIBRARIES[name]
    module = importlib.import_module(entry.module)
    try:
        version = metadata.version(entry.distribution)
    except metadata.PackageNotFoundError:
        version = str(getattr(module, "__version__", "unknown"))
    details = {"isa": str(module.isa())} if name == "hotloops" else {}
    return Loaded(entry.adapter(module, threads), version, details)
