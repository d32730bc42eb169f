"""`checker.records.dataclass` makes what the standard decorator makes."""

from __future__ import annotations

import dataclasses
from dataclasses import field, fields, replace

import pytest

from checker.records import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    place: int = field(default=0, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Pair(Placed):
    left: int
    right: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Triple(Pair):
    third: str = "x"


@dataclass(slots=True)
class Basket:
    items: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Positive:
    number: int

    def __post_init__(self) -> None:
        if self.number <= 0:
            raise ValueError(self.number)


@dataclass(frozen=True)
class Own:
    self: int

    def __repr__(self) -> str:
        return "own"


def test_fields_may_be_given_by_place_by_name_or_not_at_all() -> None:
    assert Pair(1, (2,), place=3).place == 3
    assert Pair(left=1) == Pair(1, ())
    assert Triple(1, (), "y").third == "y"
    assert Basket().items is not Basket().items
    assert Positive(1).number == 1
    with pytest.raises(ValueError, match="0"):
        Positive(0)
    with pytest.raises(TypeError, match="left"):
        Pair()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Pair(1, (), 3)  # type: ignore[misc]


def test_equality_and_hashes_are_those_of_the_compared_fields() -> None:
    assert Pair(1, place=3) == Pair(1, place=4) != Pair(2)
    assert len({Pair(1, place=3), Pair(1, place=4), Pair(2)}) == 2
    assert Pair(1) != Triple(1) and Triple(1) != Pair(1)
    assert Pair(1) != (1, ())
    with pytest.raises(TypeError):
        hash(Basket())


def test_text_shows_what_is_not_hidden() -> None:
    assert repr(Triple(1, (2,), place=9)) == "Triple(left=1, right=(2,), third='x')"
    assert repr(Own(self=1)) == "own"


def test_the_standard_functions_know_it() -> None:
    assert replace(Pair(1, place=2), left=5) == Pair(5)
    assert replace(Pair(1, place=2), left=5).place == 2
    assert [f.name for f in fields(Triple)] == ["place", "left", "right", "third"]
    assert dataclasses.asdict(Basket([1])) == {"items": [1]}
    match Triple(1, (2,), "z"):
        case Triple(left, _, third):
            assert (left, third) == (1, "z")
    assert not hasattr(Pair(1), "__dict__")
