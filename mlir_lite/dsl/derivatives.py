"""Derivatives of functions, as functions: `grad`, `value_and_grad`, `vjp`, `jvp`.

    @ml.function(f32[64, 784], f32[784, 10], f32[64, 10])
    def loss(x: Value, w: Value, target: Value) -> Value:
        return ml.square(x @ w - target).mean()

    step = ml.value_and_grad(loss, wrt="w")      # (x, w, target) -> (loss, dw)

What they return is a `Function` like any other: it prints, compiles, is called while another
function is traced, and has derivatives itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError, check
from ..ir import Builder, Function, Value, live_nodes, parameter
from ..ir import vjp as emit_vjp
from ..ir.arguments import unknown_names
from ..location import UNKNOWN, Location
from ..ops.regions.group import ungrouped
from ..ops.shapes.creation import ones_like, zeros_like
from ..ops.table import TABLE

Names = str | Sequence[str] | None


def grad(fn: Function, wrt: Names = None) -> Function:
    """The function of the same parameters that gives the gradients of `fn`'s first result.

    That result is a scalar, the loss; there is a gradient for each parameter named in `wrt`, in
    that order, by default for all of floats. What else `fn` gives is left out: see
    `value_and_grad`. `InputError` for names that are no parameters of floats and for a loss that
    is no scalar, `UnsupportedError` for an operation without a gradient.
    """
    both = value_and_grad(fn, wrt)
    gradients = both.results[len(fn.results) :]
    nodes = live_nodes(both.nodes, gradients)
    return Function(f"{fn.name}_grad", both.params, nodes, gradients, both.static)


def value_and_grad(fn: Function, wrt: Names = None) -> Function:
    """As `grad`, with all of `fn`'s results before the gradients: the loss, then any others.

    Results after the loss are not differentiated: metrics, running statistics.
    """
    fn = ungrouped(fn, TABLE)
    _check_loss(fn)
    chosen = _positions(fn, wrt)
    builder = Builder(TABLE)
    with builder.active():
        results, pullback = emit_vjp(fn, fn.params, wrt=chosen, of=(0,))
        with builder.at(_location(fn.results[0])):
            seed = ones_like(results[0])
        gradients = pullback(seed, *[None] * (len(results) - 1))
        found = [_or_zeros(gradients[at], fn.params[at]) for at in chosen]
    name = f"{fn.name}_value_and_grad"
    return builder.finish(name, fn.params, (*results, *found), static=fn.static)


def vjp(fn: Function, wrt: Names = None) -> Function:
    """The product of a row vector with the Jacobian: reverse mode for results of any shape.

    The parameters are those of `fn`, then a cotangent for each result of floats (`cotangent`, of
    several `cotangent0`, …). The results are those of `fn`, then the gradient for each parameter
    named in `wrt`, by default all of floats.
    """
    fn = ungrouped(fn, TABLE)
    chosen = _positions(fn, wrt)
    cotangents = _cotangents(fn)
    builder = Builder(TABLE)
    with builder.active():
        results, pullback = emit_vjp(fn, fn.params, wrt=chosen)
        gradients = pullback(*cotangents)
        found = [_or_zeros(gradients[at], fn.params[at]) for at in chosen]
    given = [cotangent for cotangent in cotangents if cotangent is not None]
    params = (*fn.params, *given)
    return builder.finish(f"{fn.name}_vjp", params, (*results, *found), static=fn.static)


def jvp(fn: Function, wrt: Names = None) -> Function:
    """The product of the Jacobian with a column vector: forward mode.

    The parameters are those of `fn`, then a tangent for each named in `wrt`, by default for all of
    floats (that of `x` is named `x_tangent`). The results are those of `fn`, then a tangent for
    each of floats.

    The pullback is linear in the cotangents, so that its own pullback goes forward: operations
    need no second rule (Townsend, "A new trick for calculating Jacobian vector products", 2017).
    """
    back = vjp(fn, wrt)
    own, chosen = len(fn.params), _positions(fn, wrt)
    tangents = [
        parameter(_fresh(f"{fn.params[at].name}_tangent", fn), fn.params[at].type) for at in chosen
    ]
    builder = Builder(TABLE)
    with builder.active():
        # The value of the cotangents is of no account, as they occur in none of the derivatives.
        anywhere = [zeros_like(cotangent) for cotangent in back.params[own:]]
        moving = range(own, len(back.params))
        given, gradients = range(len(fn.results)), range(len(fn.results), len(back.results))
        args = (*fn.params, *anywhere)
        results, pullback = emit_vjp(back, args, wrt=moving, of=gradients)
        found = pullback(*[None for _ in given], *tangents)[own:]
        moved = [_or_zeros(x, like) for x, like in zip(found, anywhere, strict=True)]
    params = (*fn.params, *tangents)
    ends = (*results[: len(fn.results)], *moved)
    return builder.finish(f"{fn.name}_jvp", params, ends, static=fn.static)


def _positions(fn: Function, wrt: Names) -> tuple[int, ...]:
    """The positions of the parameters that are differentiated, in the order they are named."""
    places = {param.name: at for at, param in enumerate(fn.params)}
    if wrt is None:
        found = tuple(at for at, param in enumerate(fn.params) if param.dtype.is_float)
        check(found, f"@{fn.name} has no parameters of floats", InputError)
        return found
    names = (wrt,) if isinstance(wrt, str) else tuple(wrt)
    check(names, f"@{fn.name} is differentiated with respect to nothing", InputError)
    unknown = unknown_names(names, places)
    check(not unknown, f"@{fn.name} has no parameter {unknown}", InputError)
    for name in names:
        type_ = fn.param(name).type
        message = f"the parameter '{name}' of @{fn.name} is {type_}: only floats have gradients"
        check(type_.dtype.is_float, message, InputError)
    return tuple(places[name] for name in names)


def _check_loss(fn: Function) -> None:
    loss = fn.results[0]
    if loss.rank == 0 and loss.dtype.is_float:
        return
    location = _location(loss)
    raise InputError(
        f"the gradient of @{fn.name} needs a scalar of floats as its first result, not "
        f"{loss.type}; take its sum() or mean(), or use ml.vjp",
        "" if location is UNKNOWN else location.full(),
    )


def _cotangents(fn: Function) -> list[Value | None]:
    """A parameter for each result of floats."""
    several = len(fn.results) > 1
    return [
        parameter(_fresh(f"cotangent{at if several else ''}", fn), result.type)
        if result.dtype.is_float
        else None
        for at, result in enumerate(fn.results)
    ]


def _fresh(name: str, fn: Function) -> str:
    """The name, with underscores after it if a parameter has it already."""
    taken = {param.name for param in fn.params}
    while name in taken:
        name += "_"
    return name


def _location(value: Value) -> Location:
    return UNKNOWN if value.node is None else value.node.location


def _or_zeros(gradient: Value | None, like: Value) -> Value:
    return zeros_like(like) if gradient is None else gradient

