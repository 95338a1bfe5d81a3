"""How attention is cut for a card: queries of a block, keys at a time, parts of the keys."""

from __future__ import annotations

from math import prod

from ....target import Gpu
from ....tile.warps import NARROW, ROWS, TERMS
from ....types import DType, f32

MOST_DEPTH = 128  # sums of a warp's queries fill its registers
KEYS = 64  # at a time
STAGES = 2  # of keys and values in shared memory
BLOCKS = 2  # that a multiprocessor should have to be busy
STEPS = 4  # over blocks of keys that are worth a block


def blocks_on_card(
    queries: tuple[int, ...],
    keys: tuple[int, ...],
    values: tuple[int, ...],
    dtype: DType,
    causal: bool,
    gpu: Gpu,
) -> tuple[int, int, int] | None:
    """Queries and keys of a block, and parts of the keys, of an attention with operands of such
    shapes; None where there is no kernel for it."""
    narrow = factors(dtype, gpu)
    depths = (_whole(queries[-1], TERMS), _whole(values[-1], TERMS))
    if narrow is None or max(depths) > MOST_DEPTH:
        return None
    batch, together = _batch(queries, keys, values), heads_together(queries, keys, values)
    heads = prod(batch[: len(batch) - together])
    each = queries[-2] * prod(batch[len(batch) - together :])
    rows = min(_whole(each, ROWS), 64 if max(depths) > 64 else 128)
    rows = next(size for size in (16, 32, 64, 128) if size >= rows)
    while rows > 64 and heads * -(-each // rows) < gpu.multiprocessors:
        rows //= 2
    room = gpu.static_shared_bytes - rows * depths[0] * narrow.bytes
    fitting = room // (STAGES * sum(depths) * narrow.bytes) // TERMS * TERMS
    columns = min(KEYS, fitting, _whole(keys[-2], TERMS))
    steps = -(-keys[-2] // columns)
    wanted = BLOCKS * gpu.multiprocessors // (heads * -(-each // rows))
    parts = 1 if causal else max(1, min(wanted, steps // STEPS))
    return rows, columns, -(-steps // -(-steps // parts))


def factors(dtype: DType, gpu: Gpu) -> DType | None:
    """The type that warps multiply for an attention of a type, if there is one."""
    if dtype in NARROW:
        return dtype
    return gpu.factors if dtype == f32 else None


def heads_together(
    queries: tuple[int, ...], keys: tuple[int, ...], values: tuple[int, ...]
) -> int:
    """How many of the last axes of the batch are of heads that share keys and values, if these have
    so few queries that a block takes those of all heads."""
    batch, found = _batch(queries, keys, values), 0
    if queries[-2] >= ROWS:
        return 0
    for axis in range(3, len(batch) + 3):
        if any(len(shape) >= axis and shape[-axis] != 1 for shape in (keys, values)):
            break
        found += 1
    return found


def _batch(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The leading axes, broadcast."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(max(sizes) for sizes in zip(*(shape[:-2] for shape in padded), strict=True))


def _whole(size: int, unit: int) -> int:
    return -(-size // unit) * unit
