"""What the texts of an operation follow from: the fields of its class, with kinds and defaults."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache

import numpy as np

from ..errors import check
from ..sizes import Dim
from ..types import DType
from .constant import ConstantData
from .function import Function
from .op import Op, attribute_key

_ABSENT = object()


class Arity(Enum):
    """How many values an operand field holds."""

    ONE = "one"
    OPTIONAL = "optional"
    MANY = "many"


@dataclass(frozen=True)
class AttributeField:
    """An attribute: its type hint, and the key of its default if it has one."""

    name: str
    hint: object
    default: object = _ABSENT

    @property
    def has_default(self) -> bool:
        return self.default is not _ABSENT

    def is_default(self, value: object) -> bool:
        return self.has_default and attribute_key(value) == self.default


@dataclass(frozen=True)
class Schema:
    """The operand fields with their arities, and the attribute fields, in order.

    `region` is the attribute that is written behind the braces: the only one that is a `Function`.
    """

    operands: tuple[tuple[str, Arity], ...]
    attributes: tuple[AttributeField, ...]
    region: str

    @property
    def has_segments(self) -> bool:
        """Whether the operands alone do not tell which field each belongs to."""
        return any(arity != Arity.ONE for _, arity in self.operands)


def schema_of(cls: type[Op]) -> Schema:
    """The operands, attributes and region of a class of operations, found once."""
    # A class is hashable; the type checker takes the `__hash__` of its instances for its own.
    return _schema_of(typing.cast(Hashable, cls))


@cache
def _schema_of(cls: type[Op]) -> Schema:
    hints = typing.get_type_hints(cls)
    # Every `@op` class is a dataclass, which the base class cannot say.
    fields = {field.name: field for field in dataclasses.fields(typing.cast(typing.Any, cls))}
    operands = tuple((name, _arity(hints[name])) for name in cls.operand_fields)
    attributes = tuple(
        AttributeField(name, hints[name], _default_key(fields[name]))
        for name in cls.attribute_fields
    )
    regions = [entry.name for entry in attributes if entry.hint is Function]
    return Schema(operands, attributes, regions[0] if len(regions) == 1 else "")


def _arity(hint: object) -> Arity:
    if type(None) in typing.get_args(hint):
        return Arity.OPTIONAL
    return Arity.MANY if typing.get_origin(hint) is tuple else Arity.ONE


def _default_key(field: dataclasses.Field[object]) -> object:
    if field.default is not dataclasses.MISSING:
        return attribute_key(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return attribute_key(field.default_factory())
    return _ABSENT


def fits(value: object, hint: object) -> bool:
    """Whether an attribute is of a field's type; `1` is no float, and `True` no integer."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, arg) for arg in args)
    if origin is typing.Literal:
        return any(type(value) is type(arg) and value == arg for arg in args)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if len(args) == 2 and args[1] is Ellipsis:
            return all(fits(part, args[0]) for part in value)
        return len(value) == len(args) and all(map(fits, value, args))
    if isinstance(hint, type):
        return type(value) is hint or hint is object
    return hint is typing.Any


def with_plain_attributes(op_: Op) -> Op:
    """The operation as a user may write it, with Python's numbers and tuples for NumPy's and
    lists; itself where it has those. `TypeRuleError` for an attribute of another kind."""
    fields = schema_of(type(op_)).attributes
    wrong = [field for field in fields if not fits(getattr(op_, field.name), field.hint)]
    if not wrong:
        return op_
    meant = {field.name: _meant(getattr(op_, field.name), field.hint) for field in wrong}
    for field in wrong:
        value, wanted = meant[field.name], kind_text(field.hint)
        example = ", such as ml.f32" if field.hint is DType else ""
        check(fits(value, field.hint), f"its {field.name} is {value!r}; expected {wanted}{example}")
    return typing.cast(Op, dataclasses.replace(typing.cast(typing.Any, op_), **meant))


def _meant(attribute: object, hint: object) -> object:
    """The attribute as one of Python's kinds; an integer as a real number, and 0 and 1 as false
    and true, where these are expected."""
    found = _plain(attribute)
    if type(found) is not int or fits(found, hint):
        return found
    if fits(float(found), hint):
        return float(found)
    return bool(found) if found in (0, 1) and fits(True, hint) else found


def _plain(attribute: object) -> object:
    """Python's number for one of NumPy's, a tuple for a list or an array, of plain parts."""
    if isinstance(attribute, np.generic):
        return attribute.item()
    if isinstance(attribute, np.ndarray):
        return _plain(attribute.tolist())
    if isinstance(attribute, (tuple, list)):
        return tuple(map(_plain, attribute))
    return attribute


_KINDS: Mapping[object, str] = {
    int: "integer",
    float: "number",
    bool: "true or false",
    str: "string",
    type(None): "none",
    Dim: "size",
    DType: "element type",
    Function: "region",
    ConstantData: "constant",
}


def kind_text(hint: object) -> str:
    """What an attribute of this type is called in a message: `[integer, …] or none`."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(kind_text, args))
    if origin is typing.Literal:
        return " or ".join(f'"{arg}"' for arg in args)
    if origin is tuple:
        return f"[{', '.join('…' if arg is Ellipsis else kind_text(arg) for arg in args)}]"
    return _KINDS.get(hint, str(hint))


def attribute_parts(op_: Op) -> Iterator[object]:
    """The attributes, and for a tuple its parts."""
    pending: list[object] = list(op_.attributes.values())
    for attribute in pending:
        if isinstance(attribute, tuple):
            pending.extend(attribute)
        else:
            yield attribute
