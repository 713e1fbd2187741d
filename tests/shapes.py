"""Shapes and types of the package are checked while it is tested: calls of each function in each test.

Every call would be half the time of some tests: the first ones are checked, and then ever fewer. Arrays are checked by
jaxtyping, and where there is none, beartype alone takes a tenth of the time. A function inside another is not checked:
it is defined at each call, and the check of a function takes longer to build than most functions take.
"""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder, SourceFileLoader
from types import FunctionType
from typing import Any, get_args, get_type_hints

from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, TypeCheckError, jaxtyped

CALLS = 4
"""Calls of a function that are checked in one test; of later ones, the 8th, the 16th, the 32nd and so on."""

_types = beartype(conf=BeartypeConf(violation_type=TypeCheckError))

_calls: dict[FunctionType, int] = {}
_paused = False


def next_test() -> None:
    """Every function is checked again."""
    _calls.clear()


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Nothing is checked: a compiler cannot look into the checks, and many small steps are slow with them."""
    global _paused
    _paused = True
    try:
        yield
    finally:
        _paused = False


def _has_arrays(hint: Any) -> bool:
    """Whether a type is made of arrays, as far as one can see; an alias of what is not known yet may be."""
    if isinstance(hint, str) or hasattr(hint, "__forward_arg__"):
        return True
    if isinstance(hint, list | tuple):  # the parameters of a callable
        return any(map(_has_arrays, hint))
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(map(_has_arrays, get_args(hint)))


def _strict(function: FunctionType) -> Callable:
    """The function with the check of its types."""
    try:
        if not any(map(_has_arrays, get_type_hints(function).values())):
            return _types(function)
    except Exception:
        pass  # a type that only editors know, or one that has no meaning outside its class
    return jaxtyped(function, typechecker=beartype)


def _checked(function: FunctionType) -> Callable:
    strict: list[Callable] = []

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if _paused:
            return function(*args, **kwargs)
        _calls[function] = number = _calls.get(function, 0) + 1
        if number > CALLS and number & (number - 1):
            return function(*args, **kwargs)
        if not strict:
            strict.append(_strict(function))
        return strict[0](*args, **kwargs)

    return call


def check_in(place: Any, module: str) -> None:
    """Check what is defined in a module or a class."""
    for name, value in list(vars(place).items()):
        if name == "__init__" and vars(place).get("__no_type_check__"):  # a data class that converts what it is given
            continue
        if isinstance(value, FunctionType):
            if value.__module__ == module and value.__annotations__ and not hasattr(value, "__wrapped__"):
                setattr(place, name, _checked(value))
        elif isinstance(value, staticmethod | classmethod) and isinstance(value.__func__, FunctionType):
            setattr(place, name, type(value)(_checked(value.__func__)))
        elif isinstance(value, property) and isinstance(value.fget, FunctionType):
            setattr(place, name, property(_checked(value.fget), value.fset, value.fdel, value.__doc__))
        elif isinstance(value, functools.cached_property) and isinstance(value.func, FunctionType):
            value.func = _checked(value.func)
        elif isinstance(value, type) and value.__module__ == module:
            check_in(value, module)


class _Loader(SourceFileLoader):
    def exec_module(self, module):
        super().exec_module(module)
        check_in(module, module.__name__)


class _Finder(MetaPathFinder):
    def __init__(self, package: str):
        self.package = package

    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] != self.package:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def check(package: str) -> None:
    """Check every function of a package that is imported from now on."""
    sys.meta_path.insert(0, _Finder(package))
