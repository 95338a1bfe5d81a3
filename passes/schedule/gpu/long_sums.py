"""The recipe for one long sum: a block for each of many pieces, then one that joins them in order.

    acc = 0;  for k in 0..n: acc += x[k];  y = acc
      ->  launch 1: for c: {piece = 0;  for k: piece += x[c * size + k];  partial[c] = piece}
          launch 2: acc = 0;  for c: acc += partial[c];  y = acc
"""

from __future__ import annotations

from ....target import Gpu
from ....tile.nodes import Kernel, Loop
from ....tile.steps.partials import cut_reduction
from ....tile.tree import extent_of, has_constant_limits

PIECE = 4096  # elements that are worth a block


def with_pieces(kernel: Kernel, gpu: Gpu) -> Kernel:
    """The kernel with its long sum in pieces, for as many blocks as keep the card busy twice over;
    itself where it has none, or more than one."""
    loops = [stmt for stmt in kernel.body if isinstance(stmt, Loop)]
    if len(loops) != 1 or len(kernel.body) == 1 or not has_constant_limits(loops[0]):
        return kernel
    pieces = min(2 * gpu.multiprocessors, extent_of(loops[0]) // PIECE)
    return cut_reduction(kernel, loops[0].axis, pieces) if pieces > 1 else kernel
