"""Tracing: a Python function of `Value`s, or an nn module, becomes a `Function`.

    @ml.function(f32[64, 784], f32[784, 10])
    def scores(x: Value, w: Value) -> Value:
        return ml.relu(x @ w)

The function runs once, at its definition, on values that know types and no numbers.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import overload

import numpy as np

from ..errors import TypeRuleError, UnsupportedError
from ..ir import Builder, Function, Value, parameter
from ..location import UNKNOWN, Location, caller_location, raised_at
from ..ops.base.promote import as_value
from ..ops.sparse.matrix import Csr, CsrType
from ..ops.table import TABLE
from ..types import DType, TensorType, i64
from .nn.module import Module
from .nn.training import Training


@overload
def function(
    module: Module,
    /,
    *types: TensorType | CsrType,
    name: str | None = None,
    static: Iterable[str] = (),
    training: bool = False,
) -> Function: ...


@overload
def function(
    *types: TensorType | CsrType, name: str | None = None, static: Iterable[str] = ()
) -> Callable[[Callable[..., object]], Function]: ...


def function(
    *given: TensorType | CsrType | Module,
    name: str | None = None,
    static: Iterable[str] = (),
    training: bool = False,
) -> Function | Callable[[Callable[..., object]], Function]:
    """Trace a Python function (as a decorator with its input types) or an nn module.

    The parameters have the names of the Python function's. A module's function has before them
    the module's weights and then its running statistics, by their dotted names. `static` names
    the inputs whose value decides shapes. `TypeRuleError` names the user's line.

    `training` traces a module as it is in training: norms take the batch's statistics, dropout
    drops. If anything is random the function has a parameter `seed`, an i64, before the inputs;
    the new running statistics, if there are any, are results after the module's own.
    """
    module, types = _module_and_types(given)
    if training and module is None:
        _fail("only a module is traced for training; a function is what it says")

    def traced(body: Callable[..., object]) -> Function:
        params, inputs = _parameters(body, types)
        called = name or getattr(body, "__name__", type(body).__name__).strip("<>")
        return trace(called, params, static, lambda: body(*inputs))

    if module is None:
        return traced
    return (_trace_training if training else _trace_module)(module, types, name, static)


def _module_and_types(
    given: Sequence[TensorType | CsrType | Module],
) -> tuple[Module | None, list[TensorType | CsrType]]:
    """What `function` is given; an error with the user's line for what is no type."""
    module = given[0] if given and isinstance(given[0], Module) else None
    rest = given if module is None else given[1:]
    types = [entry for entry in rest if isinstance(entry, (TensorType, CsrType))]
    for entry in rest:
        if isinstance(entry, (TensorType, CsrType)):
            continue
        advice = "a tensor type is written f32[64, 784]"
        if isinstance(entry, DType):
            advice = f"that is an element type; a scalar's type is {entry}[()]"
        elif callable(entry):
            advice = "write @ml.function(f32[64, 784], ...) with a type for each parameter"
        _fail(f"ml.function got {entry!r}; {advice}")
    return module, types


def _trace_module(
    module: Module, types: Sequence[TensorType | CsrType], name: str | None, static: Iterable[str]
) -> Function:
    weights, _ = _weights(module)
    params, inputs = _parameters(module.forward, types)
    return trace(
        name or type(module).__name__,
        [*weights.values(), *params],
        static,
        lambda: module.attach(weights).forward(*inputs),
    )


def _trace_training(
    module: Module, types: Sequence[TensorType | CsrType], name: str | None, static: Iterable[str]
) -> Function:
    weights, statistics = _weights(module)
    given, inputs = _parameters(module.forward, types)
    notes = Training(parameter("seed", i64[()]))

    def forward() -> tuple[object, ...]:
        returned = module.attach(weights, notes).forward(*inputs)
        own = returned if isinstance(returned, (tuple, list)) else (returned,)
        return (*own, *(notes.latest(weights[dotted]) for dotted in statistics))

    params = [*weights.values(), notes.seed, *given]
    traced = trace(name or type(module).__name__, params, static, forward)
    if notes.draws:
        return traced
    kept = tuple(param for param in traced.params if param is not notes.seed)
    return replace(traced, params=kept)


def _weights(module: Module) -> tuple[dict[str, Value], list[str]]:
    """A parameter for each of a module's, by name, and the names of its running statistics."""
    declared = module.parameters()
    # A stable sort: weights in the module's order, then the running statistics in theirs.
    ordered = sorted(declared.items(), key=lambda entry: not entry[1].trained)
    weights = {dotted: parameter(dotted, entry.type) for dotted, entry in ordered}
    return weights, [dotted for dotted, entry in ordered if not entry.trained]


def _parameters(
    body: Callable[..., object], types: Sequence[TensorType | CsrType]
) -> tuple[list[Value], list[Value | Csr]]:
    """A parameter for each type, named as the Python function's, three for a sparse matrix; and
    what the function is called with."""
    names: list[str] = []
    required = 0
    for entry in inspect.signature(body).parameters.values():
        if entry.kind is entry.VAR_POSITIONAL:
            names += [f"{entry.name}{count}" for count in range(len(types) - len(names))]
        elif entry.kind in (entry.POSITIONAL_ONLY, entry.POSITIONAL_OR_KEYWORD):
            names.append(entry.name)
            required += entry.default is entry.empty
    if not required <= len(types) <= len(names):
        _fail(f"got {len(types)} types for the parameters ({', '.join(names)})")
    params: list[Value] = []
    inputs: list[Value | Csr] = []
    for name, type_ in zip(names, types, strict=False):
        if isinstance(type_, TensorType):
            params.append(parameter(name, type_))
            inputs.append(params[-1])
            continue
        parts = {part: parameter(f"{name}.{part}", own) for part, own in type_.parts.items()}
        params.extend(parts.values())
        inputs.append(type_.of(**parts))
    return params, inputs


def trace(
    name: str, params: Sequence[Value], static: Iterable[str], run: Callable[[], object]
) -> Function:
    """The function of these parameters whose results `run` returns; it emits into a Builder."""
    origin = caller_location()
    names = [param.name for param in params]
    static = (static,) if isinstance(static, str) else tuple(static)
    twice = [entry for entry in dict.fromkeys(names) if names.count(entry) > 1]
    if twice:
        _fail(f"@{name} has two parameters named '{twice[0]}'; rename the input")
    wrong = [entry for entry in static if entry not in names]
    if wrong:
        _fail(f"@{name} has no parameter '{wrong[0]}' to be static; it has {', '.join(names)}")
    builder = Builder(TABLE, locate=True)
    with builder.active():
        with _users_line(origin):
            returned = run()
        results = _results(name, returned, origin)
    traced = builder.finish(name, params, results, static=frozenset(static))
    _check_own_values(traced, origin)
    return traced


def _results(name: str, returned: object, origin: Location) -> list[Value]:
    """The values that a traced function returns, three of a sparse matrix; arrays and numbers
    become constants."""
    entries = list(returned) if isinstance(returned, (tuple, list)) else [returned]
    advice = ""
    if returned is None:
        advice = "; is a `return` missing?"
    elif isinstance(returned, dict):
        advice = "; results have an order and no names: return a tuple"
    values: list[Value] = []
    for entry in entries:
        if isinstance(entry, Csr):
            values.extend(map(as_value, entry))
        elif isinstance(entry, Value):
            values.append(entry)
        elif isinstance(entry, (np.ndarray, np.generic)):
            values.append(as_value(np.asarray(entry)))
        elif isinstance(entry, (bool, int, float)):
            values.append(as_value(entry))
        else:
            kind = "None" if entry is None else f"a {type(entry).__name__}"
            where = "" if entry is returned else " among its results"
            wants = "a function returns a value or a tuple of values"
            _fail(f"@{name} returns {kind}{where}; {wants}{advice}", origin)
    if not values:
        _fail(f"@{name} returns an empty {type(returned).__name__}", origin)
    return values


def _check_own_values(fn: Function, origin: Location) -> None:
    """Say where a value that belongs to another function leaked into this one."""
    own = set(fn.params)
    for node in fn.nodes:
        for operand in node.op.operands:
            if operand not in own:
                _fail(f"'{node.op.name}' in @{fn.name} uses {_foreign(operand)}", node.location)
        own.update(node.results)
    for result in fn.results:
        if result not in own:
            _fail(f"@{fn.name} returns {_foreign(result)}", origin)


def _foreign(value: Value) -> str:
    what = f"the parameter '{value.name}'" if value.node is None else f"a {value.type}"
    if value.node is not None and value.node.location is not UNKNOWN:
        what += f" made at {value.node.location}"
    return f"{what} of another function; hand it over as a parameter"


def _fail(message: str, location: Location | None = None) -> None:
    """`TypeRuleError` with the line of `location`, or that of the user's call."""
    raise TypeRuleError(message, (location or caller_location()).full())


@contextmanager
def _users_line(origin: Location) -> Iterator[None]:
    """Put the user's line in front of errors that do not yet have it, as type rules' have.

    It is that of `origin` where no code of the user's stands between.
    """
    try:
        yield
    except TypeError as error:
        if re.search(r"unexpected keyword argument '(dims?|keepdim)'", str(error)):
            error.add_note("axes are given as axis= here, and keepdims=, as in NumPy")
        raise
    except (TypeRuleError, UnsupportedError) as error:
        if error.where:
            raise
        raised = raised_at(error)
        located = type(error)(str(error), (origin if raised is UNKNOWN else raised).full())
        raise located.with_traceback(error.__traceback__) from None
