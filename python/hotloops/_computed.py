"""How the public operations call the compiled core."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar, cast

from hotloops import _core

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


def computed_by(core: Callable[..., Any]) -> Callable[[F], F]:
    """Have `core` called first, with all arguments of a function in the order of its parameters.

    The function itself gives the signature and the documentation, and its body is for what the
    core declines by NotImplemented: arguments that need a conversion. Arguments that are not given
    are None. The common call so pays for no Python frame, which would take a quarter of its time.
    """

    def decorate(function: F) -> F:
        computed = _core.computed_function(core, function)
        return cast("F", functools.update_wrapper(computed, function))

    return decorate
