"""The naive kernel of a region, also where one of its operations brings a kernel along: what
follows that operation element by element is then done where its kernel stores, and operands that
are parts of something are read where they lie.

    for i: {t = f(i);  out[2 * i] = t}, then relu
      ->  for i: {t = f(i);  result[2 * i] = max(t, 0)}

    %y = slice(%x) {starts = [32]}, then for i: out[i] = f(y[i])
      ->  for i: out[i] = f(x[i + 32])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from ...errors import PassError, check
from ...expr import Expr, Load, Var, loads_of, rewrite_expr, substitute_vars
from ...ir import Builder, Constant, Function, Node, Op, Value, parameter, users_of
from ...ops.nn.attention_gradient import BlockedAttentionGradient
from ...ops.nn.blocked_attention import BlockedAttention
from ...ops.shapes.slice import Slice
from ...ops.table import TABLE
from ...sizes import static
from ...target import Gpu
from ...tile.nodes import Accumulate, Block, Buffer, Kernel, Let, Ref, Stmt, Store
from ...tile.steps.nests import renamed
from ...tile.traverse import map_blocks, walk
from ...tile.tree import Names, accesses
from ..schedule.analysis import is_bound, nests_of
from .naive import naive_kernel


@cache
def kernels_on_cards() -> Mapping[type[Op], Callable[[Op, Kernel, Gpu], Kernel]]:
    """Operations whose kernel on a card is another one, made by hand too: of the operation and of
    the kernel that it brings, which has the same parameters."""
    # Lazy: what a CPU never needs.
    from ..schedule.gpu.attention.recipe import attention_on_card
    from ..schedule.gpu.attention_gradients.recipe import gradients_on_card

    return {BlockedAttention: attention_on_card, BlockedAttentionGradient: gradients_on_card}


def region_kernel(
    region: Function, name: str, gpu: Gpu | None = None, alignments: Sequence[int] = ()
) -> Kernel:
    """The naive kernel of a region: its parameters in order, then its results; on a card the
    table's, if one of its operations stands there, which may rely on the `alignments` of their
    addresses.

    `PassError` where no one nest can do it.
    """
    own = [node for node in region.nodes if brings_kernel(node.op)]
    if not own:
        return naive_kernel(region, name)
    parts = _parts(own[0], region)
    rest = [node for node in region.nodes if node is not own[0] and node.results[0] not in parts]
    made = _on_parameters(own[0], region, name, gpu, alignments)
    if all(isinstance(node.op, Constant) for node in rest):
        whole = region.results == own[0].results
        check(whole, f"'{own[0].op.name}' has results that its region leaves out", PassError)
        return made
    check(len(own) == 1, "a region has one handmade kernel at most", PassError)
    return _with_epilogue(made, own[0], rest, region)


def brings_kernel(op: Op) -> bool:
    """Whether an operation has a kernel written by hand."""
    return type(op).has("kernel") and not type(op).has("body")


def _on_parameters(
    node: Node, region: Function, name: str, gpu: Gpu | None, alignments: Sequence[int]
) -> Kernel:
    """The kernel of an operation, its parameters in the order of the region's."""
    by_blocks = gpu is not None and type(node.op).has("block_kernel")
    make: Callable[[str], Kernel] = node.op.block_kernel if by_blocks else node.op.kernel
    made = make(name)
    if gpu is not None and type(node.op) in kernels_on_cards():
        known = dict(zip(region.params, alignments, strict=False))
        read = [known.get(value, 0) for value in node.op.operands]
        written = [0] * len(made.outputs)
        aligned = tuple(
            replace(buffer, alignment=bytes_)
            for buffer, bytes_ in zip(made.params, (*read, *written), strict=True)
        )
        made = kernels_on_cards()[type(node.op)](node.op, replace(made, params=aligned), gpu)
    parts = _parts(node, region)
    outside = all(value in region.params or value in parts for value in node.op.operands)
    check(outside, f"'{node.op.name}' has operands made in its own kernel", PassError)
    check(not (parts and gpu), "a card's kernels are given whole operands", PassError)
    names = Names(made)
    inputs: dict[Value, Buffer] = {}
    body = made.body
    buffers = [buffer for buffer in made.params if buffer.name not in made.outputs]
    for buffer, value in zip(buffers, node.op.operands, strict=True):
        starts: tuple[int, ...] = ()
        if value in parts:
            starts, value = static(parts[value].starts), parts[value].x
            buffer = replace(buffer, shape=value.type.static_shape)
        first = inputs.setdefault(value, buffer)  # given twice: one parameter for both
        if first is not buffer or starts:
            body = renamed(body, buffer.name, first.name, starts)
    params = [
        inputs.get(value) or Buffer(names.fresh("x"), value.dtype, value.type.static_shape)
        for value in region.params
    ]
    outputs = [buffer for buffer in made.params if buffer.name in made.outputs]
    return replace(made, params=(*params, *outputs), body=body)


def _parts(node: Node, region: Function) -> dict[Value, Slice]:
    """The operands of an operation that are parts of the region's parameters, and of use to it
    alone."""
    users = users_of(region)
    return {
        value: value.op
        for value in node.op.operands
        if isinstance(value.op, Slice)
        and set(value.op.steps) == {1}
        and value.op.x in region.params
        and value not in region.results
        and users[value] == (node,)
    }


def _with_epilogue(made: Kernel, node: Node, rest: list[Node], region: Function) -> Kernel:
    """The kernel with the stores of its result replaced by stores of the region's result."""
    (produced, *others) = node.results
    single = not others and produced not in region.results
    check(single, f"'{node.op.name}' has results of its own", PassError)
    (output,) = made.outputs
    nests = nests_of(made)
    alone = len(nests) == 1 and not made.locals
    blocks = is_bound(made) or all(nest.around for nest in nests)
    whole = alone or blocks or node.op.stores_once
    check(whole, "it is no single nest", PassError)
    read = any(name == output and not writes for name, _, writes in accesses(made.body))
    joined = any(
        target.buffer == output
        for stmt in walk(made.body)
        if isinstance(stmt, Accumulate)
        for target in stmt.targets
    )
    check(not read and not joined, "the result is needed before it is complete", PassError)
    check(not made.externs, "a C function may write the result", PassError)
    follow = _elementwise(produced, rest, region)
    (store,) = [stmt for stmt in walk(follow.body) if isinstance(stmt, Store)]
    params = made.params[: len(region.params)]
    inputs = zip(follow.params, params, strict=False)
    names = {theirs.name: own.name for theirs, own in inputs}
    epilogue = _Epilogue(Names(made), names, store)
    return replace(
        made,
        params=(*params, follow.params[-1]),
        outputs=follow.outputs,
        body=epilogue.at_stores(made.body, output),
    )


def _elementwise(produced: Value, rest: list[Node], region: Function) -> Kernel:
    """The naive kernel of what follows, with the produced value as last input, "produced"."""
    builder = Builder(TABLE)
    params = [parameter(f"x{place}", value.type) for place, value in enumerate(region.params)]
    stand_in = parameter(_PRODUCED, produced.type)
    values: dict[Value, Value] = dict(zip(region.params, params, strict=True))
    values[produced] = stand_in
    with builder.active():
        for node in rest:
            results = builder.emit(node.op.map_operands(values.__getitem__))
            values.update(zip(node.results, results, strict=True))
    results_ = [values[result] for result in region.results]
    kernel = naive_kernel(builder.finish(region.name, (*params, stand_in), results_), region.name)
    nests = nests_of(kernel)
    alone = len(nests) == 1 and not kernel.locals and not nests[0].reductions
    check(alone, "what follows is no single elementwise nest", PassError)
    places = [at for name, at, _ in accesses(kernel.body) if name in (_PRODUCED, *kernel.outputs)]
    check(all(at == places[0] for at in places), "what follows moves elements", PassError)
    alike = all(result.type.shape == produced.type.shape for result in region.results)
    check(alike, "what follows has elements that are not produced", PassError)
    return kernel


_PRODUCED = "produced"


@dataclass(frozen=True)
class _Epilogue:
    """Replaces stores of one element by what follows of it."""

    names: Names
    inputs: Mapping[str, str]  # buffers of what follows -> buffers of the kernel
    follow: Store

    def at_stores(self, block: Block, output: str) -> Block:
        result: list[Stmt] = []
        for stmt in block:
            if isinstance(stmt, Store) and stmt.target.buffer == output:
                result.extend(self._result(stmt))
            else:
                result.append(map_blocks(stmt, lambda part: self.at_stores(part, output)))
        return tuple(result)

    def _result(self, store: Store) -> Block:
        value = Let(self.names.fresh(_PRODUCED), store.value)
        target, at = self.follow.target, store.target.indices
        pairs = zip(target.indices, at, strict=True)
        places = {axis.name: place for axis, place in pairs if isinstance(axis, Var)}
        reads = [load for load in loads_of(self.follow.value) if load.buffer == _PRODUCED]

        def visit(node: Expr) -> Expr | None:
            match node:
                case Load(buffer=name, dtype=dtype) if name == _PRODUCED:
                    return Var(dtype, value.name)
                case Load(buffer=name, dtype=dtype, indices=indices):
                    return Load(dtype, self.inputs[name], indices)
            return None

        final = rewrite_expr(self.follow.value, visit)
        if len(reads) > 1:
            return value, Store(Ref(target.buffer, at), substitute_vars(final, places))
        # What is read once needs no name.
        values = {**places, value.name: value.value}
        return (Store(Ref(target.buffer, at), substitute_vars(final, values)),)
