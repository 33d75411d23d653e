"""Value classes are to everybody what frozen dataclasses with slots are."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import pickle
import pkgutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

import overlaykit
from overlaykit.values import field, replace, value_class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@value_class
class Point:
    """A point."""

    kind: ClassVar[str] = "plain"
    x: int
    y: int = 2
    tags: dict[str, str] = field(default_factory=dict, compare=False)
    secret: str = field(default="s", repr=False)

    def moved(self, by: int) -> Point:
        return replace(self, x=self.x + by)


@dataclasses.dataclass(frozen=True, slots=True)
class Twin:
    """A point."""

    kind: ClassVar[str] = "plain"
    x: int
    y: int = 2
    tags: dict[str, str] = dataclasses.field(default_factory=dict, compare=False)
    secret: str = dataclasses.field(default="s", repr=False)


@value_class(kw_only=True)
class Base:
    a: int = 1

    def __post_init__(self) -> None:
        if self.a < 0:
            raise ValueError("negative")


@value_class
class Derived(Base):
    b: int

    def __str__(self) -> str:
        return f"{self.a}-{self.b}"


@value_class
class Empty:
    pass


@value_class
class Single:
    only: object


#: Before and after ``__init__`` is compiled.
TIMES = pytest.mark.parametrize("earlier", [0, 100])


def fresh(earlier: int) -> type[Point]:
    """Return a class like Point of which so many objects were made."""
    namespace = {"__name__": __name__, "field": field}
    source = inspect.getsource(Point).replace("@value_class\n", "")
    exec(f"from __future__ import annotations\n{source}", namespace)
    made: type[Point] = value_class(namespace["Point"])  # type: ignore[arg-type]
    for number in range(earlier):
        made(number)
    return made


@TIMES
@pytest.mark.parametrize(
    ("args", "named"),
    [
        ((1,), {}),
        ((1, 5, {"a": "b"}, "t"), {}),
        ((), {"x": 1, "secret": "t"}),
        ((1,), {"y": 7, "tags": {"a": "b"}}),
        ((), {}),
        ((1, 2, {}, "s", 5), {}),
        ((1,), {"x": 1}),
        ((1,), {"z": 1}),
        ((), {"y": 1}),
    ],
)
def test_objects_are_made_as_those_of_a_dataclass(earlier: int, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    def outcome(make: Callable[..., object]) -> object:
        try:
            made = make(*args, **named)
        except TypeError as error:
            return str(error).partition("__init__")[2]
        return [getattr(made, name) for name in ("x", "y", "tags", "secret")]

    assert outcome(fresh(earlier)) == outcome(Twin)


@TIMES
def test_each_object_has_a_default_of_its_own(earlier: int) -> None:
    kind = fresh(earlier)
    assert kind(1).tags is not kind(1).tags


def test_they_cannot_be_changed_and_have_no_further_attributes() -> None:
    point = Point(1)
    for change in (
        lambda: setattr(point, "x", 2),
        lambda: setattr(point, "other", 2),
        lambda: delattr(point, "x"),
    ):
        with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign"):
            change()
    assert not hasattr(point, "__dict__")
    assert point.x == 1


def test_they_are_equal_and_hashed_by_their_fields() -> None:
    assert Point(1) == Point(1, 2, {"not": "compared"})
    assert hash(Point(1)) == hash(Point(1, 2, {"not": "compared"}))
    assert Point(1) != Point(2)
    assert Point(1) != Twin(1)
    assert Point(1) != (1, 2)
    assert Empty() == Empty()
    assert hash(Empty()) == hash(Empty())
    assert Single(1) == Single(1) != Single(2)
    assert {Single("a"), Single("a")} == {Single("a")}
    with pytest.raises(TypeError, match="unhashable"):
        hash(Single([]))


def test_what_they_look_like() -> None:
    assert repr(Point(1)) == repr(Twin(1)).replace("Twin", "Point")
    assert "secret" not in repr(Point(1))
    assert Point.__doc__ == "A point."
    assert Point.__qualname__ == "Point"
    assert Point.__match_args__ == Twin.__match_args__
    assert list(inspect.signature(Point).parameters) == list(inspect.signature(Twin).parameters)
    assert Point.kind == "plain"


def test_inheriting() -> None:
    derived = Derived(5, a=3)
    assert (derived.a, derived.b, str(derived)) == (3, 5, "3-5")
    assert derived == Derived(a=3, b=5)
    assert derived != Base(a=3)
    assert repr(derived) == "Derived(a=3, b=5)"
    assert [one.name for one in dataclasses.fields(Derived)] == ["a", "b"]
    for _ in range(20):
        with pytest.raises(ValueError, match="negative"):
            Derived(5, a=-1)
    with pytest.raises(TypeError):
        Base(1)  # type: ignore[misc]


@pytest.mark.parametrize("point", [Point(1, tags={"a": "b"}), Derived(1, a=2), Empty(), Single((1,))], ids=repr)
def test_they_are_copied_and_pickled(point: object) -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(point, protocol)) == point
    assert copy.copy(point) == copy.deepcopy(point) == point
    assert replace(point) == point


def test_they_are_dataclasses_to_the_module_of_that_name() -> None:
    point = Point(1)
    assert dataclasses.is_dataclass(Point)
    assert dataclasses.is_dataclass(point)
    assert dataclasses.replace(point, x=3) == Point(3) == point.moved(2)
    assert dataclasses.asdict(point) == dataclasses.asdict(Twin(1))
    assert dataclasses.astuple(point) == dataclasses.astuple(Twin(1))
    for ours, theirs in zip(dataclasses.fields(Point), dataclasses.fields(Twin), strict=True):
        for name in ("name", "type", "default", "default_factory", "repr", "compare", "init", "kw_only"):
            assert getattr(ours, name) == getattr(theirs, name)

    @dataclasses.dataclass(frozen=True)
    class Further(Point):
        z: int = 9

    assert Further(1).z == 9
    with pytest.raises(TypeError, match="unexpected"):
        replace(point, z=1)


def test_they_match() -> None:
    match Point(1, 5):
        case Point(1, y):
            assert y == 5
        case _:
            pytest.fail("it does not match")


def test_a_class_says_itself_what_it_says() -> None:
    @value_class
    class Odd:
        x: int

        def __repr__(self) -> str:
            return "odd"

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Odd)

        def __hash__(self) -> int:
            return 1

    assert repr(Odd(1)) == "odd"
    assert Odd(1) == Odd(2)
    assert hash(Odd(1)) == 1


def test_making_them_imports_nothing() -> None:
    program = (
        "import sys; before = set(sys.modules); from overlaykit.values import value_class\n"
        "class A:\n __annotations__ = {'x': 'int'}\n"
        "a = value_class(A); assert a(1) == a(1)\n"
        "assert not {'dataclasses', 'inspect', 'typing', 're'} & set(sys.modules) - before, sys.modules"
    )
    subprocess.run([sys.executable, "-S", "-c", program], env={"PYTHONPATH": _path()}, check=True)


def _path() -> str:
    return overlaykit.__file__.rpartition("/overlaykit/")[0]


def _classes() -> Iterator[type]:
    for module in pkgutil.walk_packages(overlaykit.__path__, "overlaykit."):
        if ".conformance" in module.name or module.name.endswith(("__main__", "_native")):
            continue
        for one in vars(importlib.import_module(module.name)).values():
            if isinstance(one, type) and one.__module__ == module.name and "_value_fields_" in vars(one):
                yield one


def test_every_value_class_can_be_made() -> None:
    found = list(_classes())
    assert len(found) > 100
    for one in found:
        assert list(inspect.signature(one).parameters) == [field.name for field in dataclasses.fields(one)] or any(
            field.kw_only for field in dataclasses.fields(one)
        )
