"""Functions: parameters, nodes in order, results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NoReturn

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError, TypeRuleError, check
from ..sizes import Dim, Size, names_of
from ..types import Array, TensorType
from .arguments import checked_array, unknown_names
from .constant import INLINE_BYTES, ConstantData
from .constant_op import Constant
from .current import current_builder
from .solve_sizes import Extent, solved_sizes
from .value import Node, Value


@dataclass(frozen=True, eq=False)
class Function:
    """A pure function of tensors. `static` names the parameters whose *value* decides shapes.

    `donated` maps a parameter's name to the position of a result: compiled, the function writes
    that result into the array it is given for the parameter, and returns that array. Compiled, its
    calls give what `form` makes of the results: by default one, or a tuple. Texts do not have it.
    """

    name: str
    params: tuple[Value, ...]
    nodes: tuple[Node, ...]
    results: tuple[Value, ...]
    static: frozenset[str] = frozenset()
    donated: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    form: Callable[[Sequence[Array]], object] | None = None

    @property
    def result_types(self) -> tuple[TensorType, ...]:
        """The types of its results, in order."""
        return tuple(value.type for value in self.results)

    @property
    def sizes(self) -> frozenset[str]:
        """The named sizes in the types of its parameters."""
        return frozenset().union(
            *(names_of(entry) for param in self.params for entry in param.shape)
        )

    def param(self, name: str) -> Value:
        """The parameter of this name; `InputError` where there is none."""
        for value in self.params:
            if value.name == name:
                return value
        have = ", ".join(value.name for value in self.params)
        check(False, f"@{self.name} has no parameter '{name}'; it has {have}", InputError)
        raise AssertionError

    def __call__(self, *args: Value) -> Value | tuple[Value, ...]:
        """Emit this function's operations on other values into the current Builder.

        The shapes of these decide its named sizes, as those of arrays do when it runs.
        """
        check(
            all(isinstance(given, Value) for given in args),
            f"@{self.name} is called on the values of a function that is being traced; "
            f"for arrays write ml.compile({self.name})(...) or ml.evaluate({self.name}, ...)",
        )
        check(
            len(args) == len(self.params),
            f"@{self.name} takes {len(self.params)} values, got {len(args)}",
        )
        sized = with_sizes(self, _sizes_of_call(self, args))
        for given, param, declared in zip(args, sized.params, self.params, strict=True):
            check(given.type == param.type, _misfit(self, declared, given))
        results = inline(sized, dict(zip(sized.params, args, strict=True)))
        return results[0] if len(results) == 1 else results

    def __copy__(self) -> Function:
        """Itself: nothing in a function changes."""
        return self

    def __deepcopy__(self, memo: object) -> Function:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a function is not pickled: its text, str(fn), and its constants, ml.resources_of(fn), "
            "go anywhere, and ml.parse(text, constants) reads them back"
        )

    def bind(self, weights: Mapping[str, ArrayLike]) -> Function:
        """The function with the parameters of these names made constants; the others stay.

        Each array must have its parameter's type (`InputError`). One of more than `INLINE_BYTES`
        is kept by reference: it must not be changed afterwards.
        """
        unknown = unknown_names(weights, (param.name for param in self.params))
        check(not unknown, f"@{self.name} has no parameter {unknown}", InputError)
        values: dict[Value, Value] = {}
        nodes: list[Node] = []
        for param in self.params:
            if param.name not in weights:
                values[param] = param
                continue
            data = _bound(self, param, weights[param.name])
            nodes.append(Node(Constant(data), (param.type,)))
            values[param] = nodes[-1].results[0]
        for node in self.nodes:
            types = tuple(result.type for result in node.results)
            new = Node(node.op.map_operands(values.__getitem__), types, node.location)
            nodes.append(new)
            values.update(zip(node.results, new.results, strict=True))
        return Function(
            self.name,
            tuple(param for param in self.params if param.name not in weights),
            tuple(nodes),
            tuple(values[result] for result in self.results),
            self.static - set(weights),
            {name: at for name, at in self.donated.items() if name not in weights},
            self.form,
        )

    def donating(self, donated: Mapping[str, int]) -> Function:
        """The function with these parameters' arrays given away: see `donated`.

        `InputError` for names and positions that there are not, for a result of another type, for
        one that two parameters are to hold, and for a static parameter.
        """
        unknown = unknown_names(donated, (param.name for param in self.params))
        check(not unknown, f"@{self.name} has no parameter {unknown}", InputError)
        for name, position in donated.items():
            why_not = self._why_not_donated(name, position)
            check(not why_not, f"'{name}' of @{self.name} cannot be donated: {why_not}", InputError)
        twice = len(set(donated.values())) < len(donated)
        check(not twice, f"two parameters of @{self.name} are donated to one result", InputError)
        return replace(self, donated=dict(donated))

    def _why_not_donated(self, name: str, position: int) -> str:
        if not 0 <= position < len(self.results):
            return f"there is no result {position} among {len(self.results)}"
        given, wanted = self.param(name).type, self.results[position].type
        if given != wanted:
            return f"it is {given}, the result {position} is {wanted}"
        return "its value decides shapes" if name in self.static else ""

    def __str__(self) -> str:
        from .printer import print_function

        return print_function(self)

    def _repr_html_(self) -> str:
        """The text for a notebook."""
        from .html_printer import html_of

        return html_of(self)

    def generic(self) -> str:
        """The text in MLIR's generic form, which other MLIR tools parse."""
        from .printer import print_generic

        return print_generic(self)


def _bound(fn: Function, param: Value, given: ArrayLike) -> ConstantData:
    """The constant for a parameter: a copy of small data, a reference to large data."""
    what = f"parameter '{param.name}' of @{fn.name}"
    check(param.type.is_static, f"{what} is {param.type}: specialise its sizes first", InputError)
    array = checked_array(given, param.type, what)
    if array.nbytes <= INLINE_BYTES:
        array = np.array(array, order="C")
    contiguous = array.flags.c_contiguous
    check(contiguous, f"{what} is not contiguous; write np.ascontiguousarray(array)", InputError)
    return ConstantData.of(array, param.name)


def with_sizes(fn: Function, sizes: Mapping[str, Size]) -> Function:
    """The function with these named sizes known, or others of the current Builder's function in
    their place: emitted again, with sizes put into parameter types and attributes."""
    if not sizes:
        return fn
    params = tuple(
        Value(param.type.substitute(sizes), name=param.name) for param in fn.params
    )
    values: dict[Value, Value] = dict(zip(fn.params, params, strict=True))
    builder = current_builder().another()
    with builder.active():
        for node in fn.nodes:
            op = node.op.rebuild(
                values.__getitem__, lambda attribute: _substituted(attribute, sizes)
            )
            with builder.at(node.location):
                values.update(zip(node.results, builder.emit(op), strict=True))
    results = [values[result] for result in fn.results]
    return builder.remade(fn, results, params)


def _substituted(attribute: object, sizes: Mapping[str, Size]) -> object:
    """An attribute with the sizes put in; the attribute itself where it names none of them."""
    match attribute:
        case Dim() | TensorType():
            return attribute.substitute(sizes)
        case Function():
            return with_sizes(attribute, sizes)
        case tuple():
            parts = tuple(_substituted(part, sizes) for part in attribute)
            same = all(new is old for new, old in zip(parts, attribute, strict=True))
            return attribute if same else parts
    return attribute


def _sizes_of_call(fn: Function, args: Sequence[Value]) -> Mapping[str, Size]:
    """The named sizes that the shapes of these values decide."""
    extents: list[Extent] = []
    for param, given in zip(fn.params, args, strict=True):
        check(given.rank == param.rank, _misfit(fn, param, given))
        sizes = zip(param.shape, given.shape, strict=True)
        extents += [Extent(param.name, declared, actual) for declared, actual in sizes]
    try:
        return solved_sizes(fn.name, extents) if fn.sizes else {}
    except InputError as error:
        raise TypeRuleError(f"@{fn.name} does not take these values: {error}") from None


def _misfit(fn: Function, param: Value, given: Value) -> str:
    return f"parameter '{param.name}' of @{fn.name} is {param.type}, got {given.type}"


def inline(fn: Function, values: dict[Value, Value]) -> tuple[Value, ...]:
    """Emit the nodes of `fn` with its parameters standing for `values` (extended on the way)."""
    builder = current_builder()
    for node in fn.nodes:
        with builder.at(node.location):
            new = builder.emit(node.op.map_operands(values.__getitem__))
        values.update(zip(node.results, new, strict=True))
    return tuple(values[result] for result in fn.results)


def users_of(fn: Function) -> Mapping[Value, tuple[Node, ...]]:
    """The nodes that use each value (a result of the function counts in `use_counts`)."""
    users: dict[Value, list[Node]] = {}
    for node in fn.nodes:
        for operand in dict.fromkeys(node.op.operands):
            users.setdefault(operand, []).append(node)
    return {value: tuple(nodes) for value, nodes in users.items()}
