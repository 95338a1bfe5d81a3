"""The expression nodes: constants, variables, loads, scalar functions, casts and reductions.

Indices are `i64` expressions; Python's operators build them with the obvious folding. Nodes are
looked up in tables all the time, so the most frequent ones hash what tells them apart, no more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ..errors import VerifyError
from ..types import DType, bool_, i64
from .functions import FUNCTIONS

INDEX = i64
Scalar: TypeAlias = int | float | bool


@dataclass(frozen=True, slots=True)
class Expr:
    """A scalar value of type `dtype`."""

    dtype: DType

    def __add__(self, other: Expr | Scalar) -> Expr:
        return apply("add", self, lift(other, self))

    def __radd__(self, other: Scalar) -> Expr:
        return apply("add", lift(other, self), self)

    def __sub__(self, other: Expr | Scalar) -> Expr:
        return apply("sub", self, lift(other, self))

    def __rsub__(self, other: Scalar) -> Expr:
        return apply("sub", lift(other, self), self)

    def __mul__(self, other: Expr | Scalar) -> Expr:
        return apply("mul", self, lift(other, self))

    def __rmul__(self, other: Scalar) -> Expr:
        return apply("mul", lift(other, self), self)

    def __truediv__(self, other: Expr | Scalar) -> Expr:
        return apply("div", self, lift(other, self))

    def __floordiv__(self, other: Expr | Scalar) -> Expr:
        return apply("floordiv", self, lift(other, self))

    def __mod__(self, other: Expr | Scalar) -> Expr:
        return apply("mod", self, lift(other, self))

    def __neg__(self) -> Expr:
        return apply("neg", self)

    def __lt__(self, other: Expr | Scalar) -> Expr:
        return apply("lt", self, lift(other, self))

    def __le__(self, other: Expr | Scalar) -> Expr:
        return apply("le", self, lift(other, self))

    def __gt__(self, other: Expr | Scalar) -> Expr:
        return apply("gt", self, lift(other, self))

    def __ge__(self, other: Expr | Scalar) -> Expr:
        return apply("ge", self, lift(other, self))

    def eq(self, other: Expr | Scalar) -> Expr:
        """Equality as an expression (`==` compares the nodes themselves)."""
        return apply("eq", self, lift(other, self))

    def __and__(self, other: Expr) -> Expr:
        return apply("and", self, other)

    def __or__(self, other: Expr) -> Expr:
        return apply("or", self, other)


@dataclass(frozen=True, slots=True)
class Const(Expr):
    """A literal of type `dtype`."""

    value: Scalar

    def __hash__(self) -> int:
        return hash(self.value)


@dataclass(frozen=True, slots=True)
class Var(Expr):
    """A loop axis, a size parameter or a name bound by `Let`."""

    name: str

    def __hash__(self) -> int:
        return hash(self.name)


@dataclass(frozen=True, slots=True)
class Load(Expr):
    """The element of a buffer at an index."""

    buffer: str
    indices: tuple[Expr, ...]

    def __hash__(self) -> int:
        return hash((self.buffer, self.indices))


@dataclass(frozen=True, slots=True)
class Apply(Expr):
    """A scalar function of the table applied to arguments.

    A load in an arm of `select` happens only where the condition picks that arm.
    """

    function: str
    args: tuple[Expr, ...]

    def __hash__(self) -> int:
        return hash((self.function, self.args))


@dataclass(frozen=True, slots=True)
class Cast(Expr):
    """Conversion: float to integer saturates and sends NaN to 0; to bool is `!= 0`."""

    value: Expr


@dataclass(frozen=True, slots=True)
class Reduce(Expr):
    """Component `component` of the reduction of `values` over `axes` (name, extent) pairs.

    `combiner` names an entry of `COMBINERS`; each of its states has one expression in `values`.
    """

    combiner: str
    axes: tuple[tuple[str, int], ...]
    values: tuple[Expr, ...]
    component: int = 0


def index(value: int) -> Const:
    """An index literal."""
    return Const(INDEX, value)


def boolean(value: bool) -> Const:
    """A truth value as a literal."""
    return Const(bool_, value)


TRUE = boolean(True)
FALSE = boolean(False)


def const(value: Scalar, dtype: DType) -> Const:
    """A literal of type `dtype`, held as the Python number of that kind."""
    if dtype.kind == "b":
        return Const(dtype, bool(value))
    return Const(dtype, float(value) if dtype.is_float else int(value))


def to_index(value: Expr | int) -> Expr:
    """A number, or a value of any type, as an index."""
    return index(value) if isinstance(value, int) else cast(value, INDEX)


def lift(value: Expr | Scalar, like: Expr) -> Expr:
    """A number as a literal of the type of `like`; an expression as it is."""
    return value if isinstance(value, Expr) else const(value, like.dtype)


def cast(value: Expr, dtype: DType) -> Expr:
    """A value in another type; integers that are known are converted at once, and a float that was
    widened is there before that."""
    if value.dtype == dtype:
        return value
    if isinstance(value, Cast) and value.value.dtype == dtype and _widens(dtype, value.dtype):
        return value.value
    if isinstance(value, Const) and dtype.is_integer and not value.dtype.is_float:
        return const(value.value, dtype)
    return Cast(dtype, value)


def apply(function: str, *args: Expr) -> Expr:
    """A scalar function applied, its type inferred, with the folding that is always right."""
    entry = FUNCTIONS[function]
    if len(args) != entry.arity:
        raise VerifyError(f"'{function}' takes {entry.arity} arguments, not {len(args)}")
    same = args[1:] if function == "select" else args
    first = same[0].dtype
    for arg in same:
        if arg.dtype is not first and arg.dtype != first:
            types = ", ".join(str(arg.dtype) for arg in args)
            raise VerifyError(f"'{function}' of unlike types: {types}")
    dtype = bool_ if entry.gives_bool else first
    folded = _fold(function, args, dtype)
    return folded if folded is not None else Apply(dtype, function, args)


def _fold(function: str, args: tuple[Expr, ...], dtype: DType) -> Expr | None:
    """Fold what is exact: integers and booleans; floats are left to the user's own order."""
    if function == "select":
        condition, then, otherwise = args
        if isinstance(condition, Const):
            return then if condition.value else otherwise
        return None
    kind = args[0].dtype.kind
    if kind == "f":
        return args[0] if _keeps(function, args[0]) else None
    numbers = [arg.value for arg in args if isinstance(arg, Const)]
    if not numbers:
        return None
    if len(numbers) == len(args):
        # Narrower integers wrap around, Python's do not.
        wide = args[0].dtype in (INDEX, bool_)
        if wide and function in _EXACT:
            return const(_EXACT[function](*numbers), dtype)
    if len(args) != 2 or (function in ("and", "or") and kind != "b"):
        return None
    left, right = args
    for number, other in ((right, left), (left, right)):
        if not isinstance(number, Const):
            continue
        if number.value == _ABSORBING.get(function):
            return number
        if number is right or function in _COMMUTATIVE:
            if number.value == _NEUTRAL.get(function):
                return other
            if function == "mod" and number.value == 1:
                return const(0, dtype)
    return None


def _widens(narrow: DType, wide: DType) -> bool:
    """Whether all numbers of one type of floats are those of another."""
    return narrow.is_float and wide.is_float and narrow.bytes < wide.bytes


def _keeps(function: str, value: Expr) -> bool:
    """Whether a function rounds what is rounded already."""
    done = isinstance(value, Apply) and value.function in _OF_TEN_BITS
    return done and function in _OF_TEN_BITS


_OF_TEN_BITS = frozenset(("tf32", "tf32_even", "tf32_cut"))

# What changes nothing as the right argument, and as the left one where the order does not matter.
_NEUTRAL: Mapping[str, Scalar] = {
    "add": 0, "sub": 0, "mul": 1, "floordiv": 1, "and": True, "or": False,
}
_COMMUTATIVE = frozenset(("add", "mul", "and", "or"))
_ABSORBING: Mapping[str, Scalar] = {"mul": 0, "and": False, "or": True}

_EXACT: Mapping[str, Callable[..., Scalar]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "floordiv": lambda a, b: a // b if b else 0,
    "mod": lambda a, b: a % b if b else 0,
    "min": min,
    "max": max,
    "neg": lambda a: -a,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "not": lambda a: not a if isinstance(a, bool) else ~a,
}


def select(condition: Expr, then: Expr, otherwise: Expr) -> Expr:
    """`then` where the condition holds, else `otherwise`."""
    return apply("select", condition, then, otherwise)


def all_of(*conditions: Expr) -> Expr:
    """The conjunction; true when there is none."""
    total: Expr = TRUE
    for condition in conditions:
        total = apply("and", total, condition)
    return total
