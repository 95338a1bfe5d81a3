"""join-products: products of one left factor by constants become one, where that pays.

    %q = relu(matmul(%x, %a) + %b);  %k = relu(matmul(%x, %c) + %d)
      ->  %y = relu(matmul(%x, concat(%a, %c)) + concat(%b, %d));  %q = slice(%y);  %k = slice(%y)

What follows all of them alike, column by column, is joined too. Attention reads its parts of the
result where they lie (see `simplify/slice_groups.py`); for others the cost model counts a copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from ...ir import Builder, Constant, ConstantData, Function, Node, Op, Value, parameter, users_of
from ...ops.base.broadcast import Broadcast, broadcast
from ...ops.base.constant import constant
from ...ops.base.elements import Elementwise
from ...ops.nn.blocked_attention import BlockedAttention
from ...ops.products.matmul import Matmul
from ...ops.regions.control import ControlOp
from ...ops.shapes.join import Concat
from ...ops.shapes.shape import Reshape, Transpose
from ...ops.shapes.slice import Slice, slice_axis
from ...ops.table import TABLE
from ...target import Target
from ...types import TensorType, bf16, f32
from ..layouts.narrow_products import summed_together
from ..schedule.cost.joined import Joining, worth_joining
from ..schedule.cost.register_tiles import ProductSizes
from ..simplify.constant_fold import as_constant


def join_products(fn: Function, *, target: Target, precision: str = "f32") -> Function:
    """Join all products of one left factor, or none; `precision` is what their factors will be."""
    users = users_of(fn)
    narrow = summed_together(bf16, bf16, f32, target) if precision == "bf16" else None
    chosen: dict[Node, Joint] = {}
    for joint in _joints(fn, users):
        if any(_taken_by_loop(end, users) for end in joint.ends):
            continue  # which may compute its rows beside what it waits for
        together = narrow if joint.ends[0].dtype == f32 else None
        if worth_joining(_problem(joint, fn, users, together), target):
            chosen.update(dict.fromkeys(joint.nodes, joint))
    return _Writer(chosen, Builder(TABLE)).run(fn) if chosen else fn


@dataclass(frozen=True)
class Joint:
    """Products of one left factor, each with what follows it: as many operations of one kind."""

    chains: tuple[tuple[Node, ...], ...]

    @property
    def nodes(self) -> list[Node]:
        return [node for chain in self.chains for node in chain]

    @property
    def widths(self) -> list[int]:
        """Columns of each."""
        return [chain[0].results[0].type.static_shape[-1] for chain in self.chains]

    @property
    def ends(self) -> list[Value]:
        """What is left of each when the chain is done."""
        return [chain[-1].results[0] for chain in self.chains]


def _joints(fn: Function, users: Mapping[Value, Sequence[Node]]) -> list[Joint]:
    by_factor: dict[Value, list[Node]] = {}
    for node in fn.nodes:
        match node.op:
            case Matmul(lhs=lhs, rhs=Value(op=Constant()) as rhs) if (
                rhs.rank == 2 and lhs.dtype == rhs.dtype and lhs.dtype.is_float
                and lhs.type.is_static and lhs.type.elements and rhs.type.elements
                and len(users[rhs]) == 1  # else it would be there twice
            ):
                by_factor.setdefault(lhs, []).append(node)
    return [_joint(nodes, fn, users) for nodes in by_factor.values() if len(nodes) > 1]


def _joint(nodes: Sequence[Node], fn: Function, users: Mapping[Value, Sequence[Node]]) -> Joint:
    """The products with as much of what follows as is alike."""
    chains: list[tuple[Node, ...]] = [(node,) for node in nodes]
    while True:
        longer = [_follower(chain[-1], fn, users) for chain in chains]
        followers = [node for node in longer if node is not None]
        if len(followers) < len(chains) or not _alike(chains, followers):
            return Joint(tuple(chains))
        chains = [(*chain, node) for chain, node in zip(chains, followers, strict=True)]


def _follower(node: Node, fn: Function, users: Mapping[Value, Sequence[Node]]) -> Node | None:
    """The one operation that uses a result, if it computes with it element by element."""
    result = node.results[0]
    using = users.get(result, ())
    if len(using) != 1 or result in fn.results or not isinstance(using[0].op, Elementwise):
        return None
    return using[0] if using[0].results[0].shape == result.shape else None


def _alike(chains: Sequence[tuple[Node, ...]], followers: Sequence[Node]) -> bool:
    """Whether operations differ in nothing but numbers of their columns."""
    pairs = zip(chains, followers, strict=True)
    forms = {_form(node.op, chain[-1].results[0]) for chain, node in pairs}
    return len(forms) == 1 and None not in forms


def _form(op: Op, before: Value) -> object:
    """An operation with marks in the place of what it follows and of what has a number for each
    column; None if it takes anything else but a number."""
    marks: dict[Value, Value] = {before: _BEFORE}
    for operand in op.operands:
        match operand.op:
            case _ if operand is before:
                continue
            case Broadcast(x=Value(op=Constant()) as x) if x.type.elements == 1:
                marks[operand] = x
            case Broadcast(x=Value(op=Constant()) as x) if (
                x.type.elements == x.shape[-1] == before.shape[-1]
            ):
                marks[operand] = _COLUMNS
            case _:
                return None
    return op.map_operands(marks.__getitem__).key()


_BEFORE, _COLUMNS = (parameter(name, TensorType((), f32)) for name in ("before", "columns"))


def _taken_by_loop(value: Value, users: Mapping[Value, Sequence[Node]]) -> bool:
    """Whether a loop or branch takes a value, perhaps in another shape or order."""
    return any(
        isinstance(user.op, ControlOp)
        or (
            isinstance(user.op, (Reshape, Transpose, Slice))
            and _taken_by_loop(user.results[0], users)
        )
        for user in users.get(value, ())
    )


def _problem(
    joint: Joint, fn: Function, users: Mapping[Value, Sequence[Node]], together: int | None
) -> Joining:
    """What the cost model is asked; so many terms are summed `together`, if they will be bf16."""
    lhs = joint.chains[0][0].op.operands[0]
    *rows, depth = lhs.type.static_shape
    narrow = None
    if together is not None:
        depth, narrow = -(-depth // together), bf16
    parts = tuple(
        ProductSizes(prod(rows), depth, width, lhs.dtype, narrow=narrow) for width in joint.widths
    )
    copied = sum(end.type.nbytes for end in joint.ends if not _read_in_place(end, fn, users))
    return Joining(parts, copied)


def _read_in_place(value: Value, fn: Function, users: Mapping[Value, Sequence[Node]]) -> bool:
    """Whether a part costs nothing: attention reads it where it lies."""
    return value not in fn.results and all(
        isinstance(user.op, BlockedAttention)
        or (isinstance(user.op, Reshape) and _read_in_place(user.results[0], fn, users))
        for user in users.get(value, ())
    )


@dataclass
class _Writer:
    """Writes a function anew, with joints in the place of their first products."""

    joints: Mapping[Node, Joint]
    builder: Builder
    values: dict[Value, Value] = field(default_factory=dict)

    def run(self, fn: Function) -> Function:
        self.values.update(zip(fn.params, fn.params, strict=True))
        with self.builder.active():
            for node in fn.nodes:
                with self.builder.at(node.location):
                    self._node(node)
            results = [self.values[result] for result in fn.results]
        return self.builder.remade(fn, results)

    def _node(self, node: Node) -> None:
        joint = self.joints.get(node)
        if joint is not None and node is joint.chains[0][0]:
            self._join(joint)
        if joint is not None:
            return
        results = self.builder.again(node, node.op.map_operands(self.values.__getitem__))
        self.values.update(zip(node.results, results, strict=True))

    def _join(self, joint: Joint) -> None:
        (first, *_), *_ = joint.chains
        (made,) = self.builder.emit(
            Matmul(
                self.values[first.op.operands[0]],
                _side_by_side([product.op.operands[1] for product, *_ in joint.chains]),
            )
        )
        befores = [product.results[0] for product, *_ in joint.chains]
        for level in list(zip(*joint.chains, strict=True))[1:]:
            with self.builder.at(level[0].location):
                made = self._followed(made, level, befores)
            befores = [node.results[0] for node in level]
        start = 0
        for end, width in zip(joint.ends, joint.widths, strict=True):
            self.values[end] = slice_axis(made, -1, start, width)
            start += width

    def _followed(
        self, made: Value, level: Sequence[Node], befores: Sequence[Value]
    ) -> Value:
        """What follows all of the joined products, of all at once."""
        joined: dict[Value, Value] = {befores[0]: made}
        for place, operand in enumerate(level[0].op.operands):
            if operand in joined:
                continue
            repeated = [_repeated(node.op.operands[place]) for node in level]
            one = repeated[0].type.elements == 1
            stored = constant(_data(repeated[0])) if one else _side_by_side(repeated)
            joined[operand] = broadcast(stored, made.shape)
        (result,) = self.builder.emit(level[0].op.map_operands(joined.__getitem__))
        return result


def _repeated(operand: Value) -> Value:
    assert isinstance(operand.op, Broadcast)
    return operand.op.x


def _data(value: Value) -> ConstantData:
    assert isinstance(value.op, Constant)
    return value.op.value


def _side_by_side(constants: Sequence[Value]) -> Value:
    """One constant with the columns of several."""
    rank = max(value.rank for value in constants)
    alike = [
        as_constant(Reshape(value, (*(1,) * (rank - value.rank), *value.shape)))
        if value.rank < rank
        else value
        for value in constants
    ]
    return as_constant(Concat(tuple(alike), rank - 1))
