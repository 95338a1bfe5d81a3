"""Trials: whether operations run well as one kernel, judged by the naive kernel of what they would
be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from ...errors import PassError
from ...ir import Function, Node
from ...ops.shapes.slice import Slice
from ...target import Gpu, Target
from ...tile.nodes import Kernel, Space
from ...tile.steps.lift_guards import lift_guards
from ...tile.steps.nests import common_depth, row_shape
from ..lowering.bodies import Body, reads_of
from ..lowering.handmade import brings_kernel, region_kernel
from ..lowering.naive import naive_kernel
from ..regions import region_key
from ..schedule.analysis import (
    as_product,
    has_straight_axis,
    nests_of,
    sums_columns,
    work_cycles,
)
from ..schedule.products.gated import gates_of
from ..schedule.products.inner import as_inner
from .cutting import Cutting
from .group_kinds import is_few_along, is_scattered, is_separable, kind_of, strides_far

ROW_BYTES = 64 << 10  # of intermediates for one row: what stays in the nearest caches


@dataclass
class Trials:
    """The trials of a function's operations; `bodies` are of those that may be fused, `target` is
    what they run on, if that is known."""

    cutting: Cutting
    bodies: Mapping[Node, Body]
    target: Target | None
    verdicts: dict[object, str] = field(default_factory=dict)  # kinds; "" where it is not worth it

    @property
    def card(self) -> Gpu | None:
        return None if self.target is None else self.target.gpu

    def kind(self, nodes: list[Node]) -> str:
        """What the kernel of these nodes, in the function's order, is (see `kind_of`); empty where
        they should not be one."""
        region, _, _ = self.cutting.region(nodes)
        key = region_key(region)  # layers repeat, and so do the trials
        if key not in self.verdicts:
            self.verdicts[key] = self._tried(region, nodes)
        return self.verdicts[key]

    def _tried(self, region: Function, nodes: list[Node]) -> str:
        """The kind of a region's kernel, if that runs well."""
        try:
            kernel = lift_guards(region_kernel(region, "trial"))
        except PassError:
            return ""
        handmade = any(brings_kernel(node.op) for node in nodes)
        if handmade and self.card is not None and any(isinstance(node.op, Slice) for node in nodes):
            return ""  # a card's kernels are given whole operands
        if handmade or self._runs_well(kernel, nodes):
            return kind_of(region, kernel, self.target)
        return ""

    def _runs_well(self, kernel: Kernel, nodes: list[Node]) -> bool:
        nests = nests_of(kernel)
        heavy = [node for node in nodes if self._rereads(node)]
        local = [buffer for buffer in kernel.locals if buffer.space is Space.SHARED]
        if len(nests) == 1 and not local:
            if not heavy:
                return len(nests[0].reductions) <= 1 or not nests[0].loops
            if len(heavy) > 1 or is_scattered(kernel):
                return False
            return self._still_fast(kernel, heavy[0])
        if self.card is None and gates_of(kernel) is not None:
            return True
        if is_separable(kernel, self.target):
            return True
        if heavy:
            return False
        if any(sums_columns(kernel, nest) for nest in nests):
            return False  # rows are run one after the other, along each
        if self.card is not None:
            from ..schedule.gpu import holds_rows  # lazy: what a CPU never needs

            if holds_rows(kernel, self.card):
                return True
        depth = common_depth(kernel)
        row = sum(prod(row_shape(buffer, depth)) * buffer.dtype.bytes for buffer in local)
        if not depth and work_cycles(kernel) >= Target.parallel_cycles:
            return False  # nests that have no row in common are not dealt to threads
        return row <= (ROW_BYTES if depth else ROW_BYTES // 4)

    def _rereads(self, node: Node) -> bool:
        """Whether a reduction reads elements several times: products, windows."""
        body = self.bodies[node]
        domain = prod(node.results[0].type.static_shape)
        return any(
            read.reduced and read.count > prod(value.type.static_shape)
            for value in node.op.operands
            for read in reads_of(body, node.op, value, domain)
        )

    def _still_fast(self, kernel: Kernel, node: Node) -> bool:
        """Whether a node that alone is a product, or runs in whole vectors, does so in a kernel."""
        region, _, _ = self.cutting.region([node])
        alone = lift_guards(naive_kernel(region, "trial"))
        if self.card is not None:
            from ..schedule.gpu import is_as_fast  # lazy: what a CPU never needs

            found = is_as_fast(kernel, alone)
            if found is not None:
                return found
        (nest,), (own,) = nests_of(kernel), nests_of(alone)
        before, after = as_product(alone, own), as_product(kernel, nest)
        if before is not None:
            if after is None:
                return self.card is None and is_few_along(kernel, nest)
            if self.card is not None:
                return True
            return strides_far(alone, own, before) or not strides_far(kernel, nest, after)
        if self.card is None and as_inner(alone, own) is not None:
            return as_inner(kernel, nest) is not None
        return has_straight_axis(kernel, nest) or not has_straight_axis(alone, own)
