"""Value classes: what ``@dataclass(frozen=True, slots=True)`` makes, without what that costs at import.

A dataclass writes and compiles some six methods when its class is made, half a millisecond a class, and brings the
module :mod:`inspect` along. A program that starts, does one thing and ends makes dozens of such classes and uses few.
Here a class gets its slots at once, methods that all classes share, and an ``__init__`` that is compiled when the
first object is made.

To everybody else the classes are dataclasses: :func:`dataclasses.fields`, :func:`~dataclasses.replace`,
:func:`~dataclasses.asdict` and :func:`~dataclasses.is_dataclass` work, and so do copying, pickling, ``match`` and the
types of a checker.
"""

from __future__ import annotations

from functools import partial
from operator import attrgetter

# Known to type checkers by its name; the module typing costs as much as five classes.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn, TypeVar, dataclass_transform, overload

    _T = TypeVar("_T")

__all__ = ["field", "replace", "value_class"]


class _Missing:
    def __repr__(self) -> str:
        return "<factory>"


_MISSING: Any = _Missing()


_UNCOMPILED = 8
"""Objects that are made of a class before its ``__init__`` is compiled."""


class _Field:
    """What a class body says of a field beyond its type."""

    __slots__ = ("compare", "default", "factory", "kw_only", "repr", "type")

    def __init__(self, default: Any, factory: Callable[[], Any] | None, repr: bool, compare: bool) -> None:
        self.default = default
        self.factory = factory
        self.repr = repr
        self.compare = compare
        self.kw_only = False
        self.type: Any = None


def field(
    *,
    default: Any = _MISSING,
    default_factory: Callable[[], Any] | None = None,
    repr: bool = True,
    compare: bool = True,
) -> Any:
    """Say more of a field than its type, as :func:`dataclasses.field` does.

    :param default: its default.
    :param default_factory: called for each object that is made without it.
    :param repr: it is shown by ``repr()``: not what is secret.
    :param compare: it counts where objects are compared and hashed.
    """
    return _Field(default, default_factory, repr, compare)


if TYPE_CHECKING:

    @overload
    def value_class(cls: type[_T], /) -> type[_T]: ...

    @overload
    def value_class(*, kw_only: bool = False) -> Callable[[type[_T]], type[_T]]: ...

    @dataclass_transform(frozen_default=True, field_specifiers=(field,))
    def value_class(cls: Any = None, /, **options: bool) -> Any: ...

else:

    def value_class(cls=None, /, *, kw_only=False):
        """Make a class whose annotations are its fields, with slots.

        Its objects cannot be changed; they are equal, and hashed, by their fields. Annotations are texts: the module
        begins with ``from __future__ import annotations``.

        :param kw_only: fields are given by name.
        """

        def make(cls):
            return _make(cls, kw_only)

        return make if cls is None else make(cls)


def replace(object: _T, /, **changes: Any) -> _T:
    """Return an object with some fields changed, as :func:`dataclasses.replace` does."""
    made: _T = object.__replace__(**changes)  # type: ignore[attr-defined]
    return made


def _make(cls: type, kw_only: bool) -> type:
    namespace = dict(cls.__dict__)
    fields: dict[str, _Field] = {}
    for base in reversed(cls.__mro__[1:]):
        fields |= base.__dict__.get("_value_fields_", {})
    own = {name: kind for name, kind in cls.__annotations__.items() if not kind.startswith("ClassVar")}
    namespace["__slots__"] = tuple(name for name in own if name not in fields)
    for name, kind in own.items():
        given = namespace.pop(name, _MISSING)
        one = given if isinstance(given, _Field) else _Field(given, None, True, True)
        one.type, one.kw_only = kind, kw_only
        fields[name] = one
    namespace.pop("__dict__", None)
    namespace.pop("__weakref__", None)
    namespace["__qualname__"] = cls.__qualname__
    namespace["__match_args__"] = tuple(name for name, one in fields.items() if not one.kw_only)
    namespace["_value_fields_"] = fields
    key = _key([name for name, one in fields.items() if one.compare])
    methods: dict[str, Any] = {
        "__init__": _Init(),
        "__dataclass_fields__": _Later(lambda cls: _as_dataclass(cls).__dataclass_fields__),
        "__dataclass_params__": _Later(lambda cls: _as_dataclass(cls).__dataclass_params__),
        "__eq__": _equal(key),
        "__hash__": _hash(key),
        "__repr__": _repr,
        "__replace__": _replace,
        "__getstate__": _getstate,
        "__setstate__": _setstate,
        "__setattr__": _refuse,
        "__delattr__": _refuse,
    }
    return type(cls)(cls.__name__, cls.__bases__, methods | namespace)


class _Later:
    """An attribute of a class that is made when it is first asked for."""

    __slots__ = ("_cls", "_make", "_name")

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._cls = owner
        self._name = name

    def __get__(self, instance: object, owner: type) -> Any:
        made = self._make(self._cls)
        setattr(self._cls, self._name, made)
        return made.__get__(instance, owner) if callable(made) else made


class _Init(_Later):
    """``__init__``. The first objects are filled in field by field: to compile it takes as long as fifty of those."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        super().__init__(_compiled_init)
        self._left = _UNCOMPILED

    def __get__(self, instance: object, owner: type) -> Any:
        # inspect.signature() of Python 3.13 has the class in the place of an object.
        if instance is None or self._left <= 0 or isinstance(instance, type):
            return super().__get__(instance, owner)
        self._left -= 1
        return partial(self._fill, instance)

    def _fill(self, instance: Any, /, *args: Any, **named: Any) -> None:
        fields: dict[str, _Field] = self._cls.__dict__["_value_fields_"]
        places = self._cls.__match_args__  # type: ignore[attr-defined]
        given = dict(zip(places, args, strict=False))
        if len(args) > len(places) or not named.keys().isdisjoint(given) or not named.keys() <= fields.keys():
            self._refuse(instance, args, named)
        given |= named
        for name, one in fields.items():
            if name not in given:
                if one.factory is None and one.default is _MISSING:
                    self._refuse(instance, args, named)
                given[name] = one.default if one.factory is None else one.factory()
        for name, one in given.items():
            object.__setattr__(instance, name, one)
        if hasattr(self._cls, "__post_init__"):
            instance.__post_init__()

    def _refuse(self, instance: Any, args: tuple[Any, ...], named: dict[str, Any]) -> NoReturn:
        """Have the function itself say what is wrong with its arguments."""
        self._make(self._cls)(instance, *args, **named)
        raise AssertionError("an argument is missing or too many")


def _compiled_init(cls: type) -> Callable[..., None]:
    fields: dict[str, _Field] = cls.__dict__["_value_fields_"]
    names: dict[str, Any] = {"_MISSING": _MISSING}
    parameters: list[str] = []
    by_name: list[str] = []
    lines: list[str] = []
    for name, one in fields.items():
        # A slot's own setter: what object.__setattr__ does at the end.
        names[f"_set_{name}"] = getattr(cls, name).__set__
        text, given = name, name
        if one.factory is not None:
            names[f"_make_{name}"] = one.factory
            text, given = f"{name}=_MISSING", f"_make_{name}() if {name} is _MISSING else {name}"
        elif one.default is not _MISSING:
            names[f"_default_{name}"] = one.default
            text = f"{name}=_default_{name}"
        (by_name if one.kw_only else parameters).append(text)
        lines.append(f" _set_{name}(self, {given})\n")
    if hasattr(cls, "__post_init__"):
        lines.append(" self.__post_init__()\n")
    head = ", ".join(["self", *parameters, *(["*", *by_name] if by_name else [])])
    # What dataclasses do: names of fields are names, whatever else there is comes by reference.
    exec(f"def __init__({head}):\n{''.join(lines) or ' pass'}", names)  # noqa: S102
    function = names["__init__"]
    function.__qualname__ = f"{cls.__qualname__}.__init__"
    function.__module__ = cls.__module__
    function.__annotations__ = {**{name: one.type for name, one in fields.items()}, "return": None}
    made: Callable[..., None] = function
    return made


def _as_dataclass(cls: type) -> Any:
    """Return a dataclass with the same fields."""
    import dataclasses

    made = []
    for name, one in cls.__dict__["_value_fields_"].items():
        said: dict[str, Any] = {"repr": one.repr, "compare": one.compare, "kw_only": one.kw_only}
        if one.factory is not None:
            said["default_factory"] = one.factory
        elif one.default is not _MISSING:
            said["default"] = one.default
        made.append((name, one.type, dataclasses.field(**said)))
    return dataclasses.make_dataclass(cls.__name__, made, frozen=True, slots=True)


def _key(names: list[str]) -> Callable[[Any], Any]:
    """Return what makes a tuple of an object's fields."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda self: tuple(getattr(self, name) for name in names)


def _equal(key: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda self, other: key(self) == key(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(key: Callable[[Any], Any]) -> Callable[[Any], int]:
    return lambda self: hash(key(self))


def _repr(self: Any) -> str:
    shown = (f"{name}={getattr(self, name)!r}" for name, one in self._value_fields_.items() if one.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _replace(self: Any, /, **changes: Any) -> Any:
    return type(self)(**{**{name: getattr(self, name) for name in self._value_fields_}, **changes})


def _getstate(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self._value_fields_]


def _setstate(self: Any, state: list[Any]) -> None:
    for name, one in zip(self._value_fields_, state, strict=True):
        object.__setattr__(self, name, one)


def _refuse(_: object, name: str, *__: object) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot assign to field {name!r}")
