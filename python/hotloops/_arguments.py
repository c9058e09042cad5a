"""Arguments that are refused by name, in the same words everywhere.

A refusal says which function, which argument, what that is, and what is needed. These checks are
for what the compiled core has declined, and for functions that do not compute.
"""

from __future__ import annotations

import functools
import inspect
import math
import operator
import reprlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from hotloops import _tensors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

F = TypeVar("F", bound="Callable[..., Any]")

_FIRST_OF_PACKAGES = 256  # NPY_USERDEF
_LARGEST_INTEGER = 2**63 - 1  # of the core
_FOREIGN = (
    *(TypeError, ValueError, RuntimeError),
    *(AttributeError, LookupError, OverflowError, ZeroDivisionError),
)
_SHOWN = (str, bytes, bool, int, float, complex, type(None), type(...))


def described(value: Any) -> str:
    """Return what follows an argument's name in a refusal.

    >>> described("x"), described({}), described(np.zeros(3))
    ("is 'x'", 'is a dict', 'has shape (3,) and dtype float64')
    """
    if isinstance(value, _SHOWN):
        return f"is {shown(value)}"
    if isinstance(value, (np.ndarray, np.generic)) or _tensors.is_tensor(value):
        return f"has shape {tuple(value.shape)} and dtype {value.dtype}"
    if isinstance(value, np.dtype):
        return f"is {value!r}"
    return f"is a {type(value).__name__}"


def shown(value: Any) -> str:
    """Return the repr of a value, shortened if it is long."""
    return "an integer too long to show" if _is_long(value) else reprlib.repr(value)


def _is_long(value: Any) -> bool:
    return isinstance(value, int) and value.bit_length() > 1000


# ---- Arrays --------------------------------------------------------------------------------------


def as_array(function: str, name: str, value: Any) -> Any:
    """Return what NumPy makes of an array-like; an array, subclasses included, as it is."""
    if isinstance(value, np.ndarray):
        return value
    try:
        return np.asarray(value)
    except _FOREIGN as error:
        raise _kind_of(error)(
            f"{function}: {name} {described(value)}, of which NumPy makes no array: {error}"
        ) from error


def as_numbers(function: str, name: str, value: Any) -> Any:
    """Return an array of numbers of any dtype, Python's own included."""
    array = as_array(function, name, value)
    if are_numbers(array):
        return array
    what = described(value)
    if isinstance(value, (list, tuple)):
        what += f" of dtype {array.dtype}"
    raise TypeError(f"{function}: {name} {what} but must be numbers")


def are_numbers(operand: Any) -> bool:
    """Tell whether an array, or a Python scalar, is of numbers."""
    array = np.asarray(operand)
    if array.dtype.kind == "O":
        return all(hasattr(x, "__mul__") and not hasattr(x, "__len__") for x in array.flat)
    # Types of packages, such as bfloat16, have numbers of their own.
    return array.dtype.kind in "biufc" or array.dtype.num >= _FIRST_OF_PACKAGES


def as_reals(function: str, name: str, value: Any, dtype: Any) -> Any:
    """Return a C-contiguous array of real numbers in a dtype."""
    array = as_numbers(function, name, value)
    if array.dtype.kind == "c":
        raise TypeError(f"{function}: {name} has dtype {array.dtype} but must be of real numbers")
    with naming(function, **{name: value}):
        return np.asarray(array, dtype, order="C")


# ---- Numbers, names and the like -----------------------------------------------------------------


def as_count(function: str, name: str, value: Any, least: int, most: int = _LARGEST_INTEGER) -> int:
    """Return a whole number within bounds."""
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{function}: {name} {described(value)} but must be an integer") from None
    if least <= count <= most:
        return count
    needed = f"at least {least}" if count < least else f"from {least} to {most}"
    if most < _LARGEST_INTEGER:
        needed = f"from {least} to {most}"
    raise ValueError(f"{function}: {name} is {shown(count)} but must be {needed}")


def as_real(function: str, name: str, value: Any) -> float:
    """Return a real number, which may be one of NumPy's; infinity if it is too large for one."""
    if isinstance(value, int):  # NumPy has none as large as Python's can be
        try:
            return float(value)
        except OverflowError:
            return math.copysign(math.inf, value)
    number = as_array(function, name, value)
    if number.ndim == 0 and number.dtype.kind in "biuf":
        return float(number)
    raise TypeError(f"{function}: {name} {described(value)} but must be a real number")


def as_positive(function: str, name: str, value: Any) -> float:
    """Return a real number above 0."""
    number = as_real(function, name, value)
    if 0 < number < math.inf:
        return number
    raise ValueError(f"{function}: {name} is {shown(value)} but must be above 0 and finite")


def as_choice(
    function: str, name: str, value: Any, choices: Sequence[str], needed: str = "must be"
) -> str:
    """Return one of some names."""
    if isinstance(value, str) and value in choices:
        return value
    last = f" or {choices[-1]!r}" if len(choices) > 1 else ""
    names = ", ".join(map(repr, choices[:-1])) + last if last else repr(choices[0])
    raise ValueError(f"{function}: {name} {described(value)} but {needed} {names}")


def as_level(function: str, name: str, value: Any, levels: Sequence[int]) -> int:
    """Return one of some small integers."""
    try:
        if operator.index(value) in levels:
            return operator.index(value)
    except TypeError:
        pass
    needed = f"{', '.join(map(str, levels[:-1]))} or {levels[-1]}"
    raise ValueError(f"{function}: {name} {described(value)} but must be {needed}")


def as_iterator(function: str, name: str, value: Any) -> Iterator[Any]:
    """Return an iterator over several things; what it raises later is its own affair."""
    try:
        return iter(value)
    except TypeError:
        raise TypeError(f"{function}: {name} {described(value)} but must be a sequence") from None


def as_flag(function: str, name: str, value: Any) -> bool:
    """Return whether a value is true."""
    with naming(function, **{name: value}):
        return bool(value)


def as_dtype(function: str, name: str, value: Any) -> np.dtype[Any]:
    """Return NumPy's dtype of what can be said in many ways."""
    with naming(function, **{name: value}):
        dtype: np.dtype[Any] = np.dtype(value)
    return dtype


def as_path(function: str, name: str, value: Any) -> Path:
    """Return a path; a file that is open already is none."""
    with naming(function, **{name: value}):
        return Path(value)


# ---- What others refuse --------------------------------------------------------------------------


@contextmanager
def naming(function: str, /, **arguments: Any) -> Iterator[None]:
    """Have errors of other libraries say which arguments they are about.

    NumPy and torch know their own rules best, but not the names that our callers know.
    """
    try:
        yield
    except _FOREIGN as error:
        # torch has no exception of its own for want of memory.
        if isinstance(error, RuntimeError) and "memory" in str(error):
            raise
        raise _named(error, function, arguments) from error


def names_arguments(function: F) -> F:
    """Have a function of plain Python, which tries its arguments out, name them where it fails."""

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except _FOREIGN as error:
            if str(error).startswith(f"{function.__name__}: "):
                raise
            try:
                arguments = inspect.signature(function).bind(*args, **kwargs).arguments
            except TypeError:
                raise error from None
            arguments.pop("self", None)
            raise _named(error, function.__name__, arguments) from error

    return cast("F", called)


def _named(error: Exception, function: str, arguments: dict[str, Any]) -> Exception:
    has = ", ".join(f"{name} {described(value)}" for name, value in arguments.items())
    return _kind_of(error)(f"{function}: {has}: {error}")


def _kind_of(error: Exception) -> type[Exception]:
    if isinstance(error, OverflowError):  # as NumPy has it for integers that a dtype has not
        return OverflowError
    # torch raises RuntimeError for a dtype as for a shape, which we check before.
    of_value = ValueError, LookupError, ZeroDivisionError
    return ValueError if isinstance(error, of_value) else TypeError
