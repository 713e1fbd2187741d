"""The tests check shapes and types: of every kind of function, in each test anew."""

from collections.abc import Callable

import numpy as np
import pytest
from jaxtyping import Float, TypeCheckError

import shapes
from spikeloom.evaluation.trial_set import spread
from spikeloom.evaluation.verdict import Evidence


class Place:
    def method(self, x: int) -> int:
        return x

    @property
    def wrong(self) -> int:
        return "no integer"

    @staticmethod
    def static(x: int) -> int:
        return x

    @classmethod
    def of(cls, x: int) -> int:
        return x


def test_every_kind_of_function_is_checked_at_first_and_in_the_next_test_again():
    shapes.check_in(Place, __name__)
    for call in (Place().method, Place.static, Place.of, lambda x: Place().wrong):
        with pytest.raises(TypeCheckError):
            call("no integer")
    shapes.next_test()
    for _ in range(shapes.CALLS):
        Place.static(1)
    for _ in range(3):  # the fifth, the sixth and the seventh
        assert Place.static("after so many calls") == "after so many calls"
    with pytest.raises(TypeCheckError):
        Place.static("the eighth")
    shapes.next_test()
    with pytest.raises(TypeCheckError):
        Place.static("no integer")


def test_arrays_are_found_wherever_they_stand():
    array = Float[np.ndarray, "n"]
    for hint in (array, array | None, dict[str, array], Callable[[array], int], "NotKnownHere"):
        assert shapes._has_arrays(hint), hint
    for hint in (int, np.ndarray, dict[str, int | None], Callable[[int], str], None):
        assert not shapes._has_arrays(hint), hint


def test_functions_and_fields_of_the_package_are_checked():
    with pytest.raises(TypeCheckError):
        spread("ten", 4)
    with pytest.raises(TypeCheckError):
        Evidence(*[object()] * len(Evidence.__dataclass_fields__))


def test_shapes_of_the_package_are_checked(monkeypatch):
    monkeypatch.setattr(np, "arange", lambda n: np.zeros((n, 2)))
    with pytest.raises(TypeCheckError):
        spread(3, 4)
