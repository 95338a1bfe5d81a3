"""precision: f32 products and convolutions by constants multiply bf16, if the user allows it.

matmul(x, w)  ->  dot_matmul(cast(x) {dtype = bf16}, pack_dots(cast(w) {dtype = bf16}))

Sums stay in f32, and so does all else. Each factor is rounded by 2**-8 of it at most, so that a
result may be off by 2**-7 of the sum of its products' sizes, however many there are; what is too
small to be a normal number is 0, as it is to the instruction. It takes half the time, and half the
memory for weights. Where that pays for 3×3 convolutions, it is the factors of Winograd's algorithm
that are rounded, with tiles of 2, which loses 1.3 to 1.8 times as much (in layers of 64 to 512
channels).

Attention that sees all keys at once rounds its factors, and its weights, too.

A convolution by groups multiplies f32, but what it alone reads is kept in bf16:

conv(relu(y), w) {groups = 96}  ->  conv(cast(barrier(cast(relu(y)) {dtype = bf16})), w)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ...ir import Function, Value, current_builder, rewrite, rewrite_all, users_of
from ...ir.rewrite import Pattern
from ...ops.base.cast import cast
from ...ops.base.elements import Elementwise, emit
from ...ops.elementwise.unary import flush
from ...ops.nn.attention_halves import TOGETHER
from ...ops.nn.blocked_attention import BlockedAttention
from ...ops.products.matmul import Matmul
from ...ops.regions.checkpoint import Barrier
from ...ops.shapes.shape import Reshape, Transpose, reshape, transpose
from ...ops.shapes.slice import Slice
from ...ops.table import TABLE
from ...ops.windows.conv import Conv
from ...target import Target
from ...types import bf16, f32
from ..algorithms.convolutions import TILES, Errors, Layer, cycles_of, plan_convolutions, sizes_of
from ..algorithms.winograd import in_stages
from ..layouts.narrow_products import conv_by_dots, matmul_by_dots, summed_together
from ..schedule.cost.model import decide
from ..schedule.cost.winograd import WINOGRAD_WORTH, narrow_cycles
from .precisions import check_precision
from .quantised import depends_on_constants

MOST_PARTS = 8  # that something is computed together for

def precision(
    fn: Function, *, target: Target, choice: str = "bf16", winograd: str | int = "auto"
) -> Function:
    """Rewrite where the target has an instruction for it; elsewhere f32 is faster. A convolution
    stays in f32 where Winograd's algorithm, if `winograd` admits it, takes still less time; or it
    goes by that algorithm in bf16."""
    check_precision(choice, target)
    together = summed_together(bf16, bf16, f32, target)
    if choice == "f32" or together is None:
        return fn
    layers = plan_convolutions(fn, Errors(), target=target, choice=winograd)
    places = zip(layers, _read_once(fn), strict=True)
    patterns = [narrow_matmul(target), narrow_conv(target, together, places), narrow_attention]
    return rewrite_all(fn, patterns, TABLE, fuel=1)


def narrow_matmul(target: Target) -> Pattern:
    """The pattern that multiplies f32 by constant matrices in bf16, where the target has the
    instruction; sums stay in f32."""
    @rewrite(Matmul)
    def narrow(op: Matmul) -> Value | None:
        """matmul(x, w)  ->  dot_matmul(cast(x), pack_dots(cast(w))), of constant w"""
        if op.lhs.dtype != f32 or not depends_on_constants(op.rhs):
            return None
        return matmul_by_dots(_narrow(op.lhs), _narrow(op.rhs), f32, target)

    return narrow


@rewrite(BlockedAttention)
def narrow_attention(op: BlockedAttention) -> Value | None:
    """blocked_attention(q, k, v)  ->  blocked_attention(cast(q), ..) {wide = True, together = 2}"""
    if op.queries.dtype != f32 or not op.has_pairs:
        return None
    queries, keys, values = map(_narrow, (op.queries, op.keys, op.values))
    factors = replace(op, queries=queries, keys=keys, values=values)
    return emit(replace(factors, wide=True, together=TOGETHER))


def narrow_conv(
    target: Target, together: int, layers: Iterator[tuple[Layer, bool]]
) -> Pattern:
    """The layers are a function's convolutions in order, each with whether its input is computed
    for it alone; `together` are the products in a sum."""

    @rewrite(Conv)
    def narrow(op: Conv) -> Value | None:
        """conv(x, w)  ->  dot_conv(cast(x), pack_dot_filters(cast(w))), or with an algorithm"""
        layer, alone = next(layers)
        algorithm = _narrow_algorithm(layer, together, target)
        if algorithm == "f32":
            written = replace(op, algorithm=layer.algorithm)
            return None if written == op else current_builder().emit(written)[0]
        if op.x.dtype != f32 or not depends_on_constants(op.weight):
            return None
        if op.groups != 1:
            return emit(replace(op, x=_kept_narrow(op.x))) if alone else None
        if algorithm in TILES:
            return in_stages(op, TILES[algorithm], multiply)
        return conv_by_dots(op, _narrow(op.x), _narrow(op.weight), f32, target)

    def multiply(points: Value, filters: Value) -> Value | None:
        return matmul_by_dots(_narrow(points), _narrow(filters), f32, target)

    return narrow


def _read_once(fn: Function) -> list[bool]:
    """Whether what each convolution reads is computed element by element, for nothing else."""
    users = users_of(fn)
    return [
        isinstance(node.op.x.op, Elementwise)
        and len(users[node.op.x]) == 1
        and node.op.x not in fn.results
        for node in fn.nodes
        if isinstance(node.op, Conv)
    ]


def _narrow(x: Value) -> Value:
    """`x` in bf16, rounded where it is computed: before it is seen in another shape or order."""
    match x.op:
        case Reshape(x=inner, shape=shape):
            return reshape(_narrow(inner), shape)
        case Transpose(x=inner, perm=perm):
            return transpose(_narrow(inner), perm)
        case Slice(x=Value(op=Elementwise() | Matmul()) as inner) as part if _is_share(x, inner):
            return emit(replace(part, x=_narrow(inner)))
    return cast(x if depends_on_constants(x) else flush(x), bf16)


def _is_share(part: Value, whole: Value) -> bool:
    """Whether a part is so much of what is computed that the others are parts like it."""
    return part.type.is_static and whole.type.elements <= MOST_PARTS * part.type.elements


def _kept_narrow(x: Value) -> Value:
    """`x` rounded where it is computed, and widened where it is read."""
    return cast(emit(Barrier(_narrow(x))), f32)


def _narrow_algorithm(layer: Layer, together: int, target: Target) -> str:
    """How a convolution takes least time in bf16; "f32" where the algorithm chosen for it in f32
    takes less, or was asked for."""
    if not layer.is_free:
        return "f32" if layer.algorithm in TILES else "direct"
    sizes = sizes_of(layer.conv)
    cycles = dict(narrow_cycles(sizes, together, target))
    if layer.algorithm in TILES:
        cycles["f32"] = cycles_of(layer.conv, target)[layer.algorithm]
    worth = {name: cycles[name] / (1 if name == "direct" else WINOGRAD_WORTH) for name in cycles}
    return decide(sizes, "bf16", worth, target)
