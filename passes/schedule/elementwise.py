"""The recipe for elementwise kernels: in vectors along the axis that most accesses lie along.

    for i: for j: y[i, j] = f(x[i, j])   ->   parallel i: for j.o: vector j.i: y[i, j] = f(x[i, j])
"""

from __future__ import annotations

from ...target import Target
from ...tile.nodes import Kernel
from ...tile.steps.loops import reorder, vectorise
from .analysis import Nest
from .loops import best_axis, cut_conditions, lanes_of, parallelise_nest


def schedule_elementwise(kernel: Kernel, nest: Nest, target: Target) -> Kernel:
    """Cut conditions out of the loops, vectorise, deal the outermost loop to threads."""
    lanes = lanes_of(kernel, target)
    if not nest.loops:
        return kernel
    axis = best_axis(kernel, nest, nest.axes, lanes)
    kernel = reorder(kernel, [*(other for other in nest.axes if other != axis), axis])
    kernel = cut_conditions(kernel, nest.axes)
    return parallelise_nest(vectorise(kernel, axis, lanes), nest, target)
