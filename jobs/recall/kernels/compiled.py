"""Loops that numba compiles, as Python calls them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np
from numba import njit

_Args = ParamSpec("_Args")
_Found = TypeVar("_Found")


def kernel(loop: Callable[_Args, _Found]) -> Callable[_Args, _Found]:
    """Compile a loop that writes to none of its arrays; call it from Python alone.

    numba compiles a loop again, for seconds, when an argument changes from a writable array to a
    read-only one. Arrays come from this process, from Arrow and from mapped files, so all are
    passed read-only.
    """
    compiled = njit(cache=True, nogil=True)(loop)

    @wraps(loop)
    def call(*args: _Args.args, **kwargs: _Args.kwargs) -> _Found:
        named = {name: _read_only(value) for name, value in kwargs.items()}
        found: _Found = compiled(*map(_read_only, args), **named)
        return found

    return call


def _read_only(value: object) -> object:
    if not isinstance(value, np.ndarray):
        return value
    view = np.asarray(value).view()
    view.flags.writeable = False
    return view
