"""The report of a compilation: how each convolution and each product by a constant is computed,
why, and how accurate that is; and the memory that the program takes.

  where          convolution                   algorithm  direct  winograd2  winograd4    error
  model.py:8     1x56x56x64 -> 64, 3x3         winograd4  224256      …          …      2.2e-06

  where          product       algorithm        whole   halves    error
  model.py:12    128x768x3072  halves 64x64   9508864  8655052  4.2e-07
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .ir import ConstantData, Function
from .ir.resources import constants_of
from .ops.windows.conv import ALGORITHMS, Conv
from .passes.algorithms.convolutions import (
    LAYER_LIMIT,
    MODEL_LIMIT,
    TILES,
    Errors,
    Layer,
    cycles_of,
    plan_convolutions,
)
from .passes.algorithms.strassen import LIMIT, Product, applies, plan_products, sizes_of
from .passes.manager import run_passes
from .passes.pipelines import Step
from .passes.schedule.cost.strassen import StrassenBlock, cycles_by_block, whole_cycles
from .target import Target
from .text import bytes_text, table
from .tile.program import Program, Role

HEADER = ("where", "convolution", "algorithm", *ALGORITHMS, "error", "")
PRODUCT_HEADER = ("where", "product", "algorithm", "whole", "halves", "error", "")
LEGEND = (
    "cycles of one core as predicted by algorithm; error of the chosen one, relative to the\n"
    "largest output, measured against f64 on a sample"
)


def memory_report(fn: Function, program: Program, constants: Mapping[str, ConstantData]) -> str:
    """How large the constants are, as given and as they are kept, and the arena."""
    given = {data.key(): data.type.nbytes for data in constants_of(fn)}
    kept = {constants[slot.name].key(): slot.type.nbytes for slot in program.slots
            if slot.role is Role.CONSTANT}
    assert program.memory is not None
    return (
        f"memory: constants of {bytes_text(sum(given.values()))} as given, "
        f"{bytes_text(sum(kept.values()))} as they are kept; "
        f"an arena of {bytes_text(program.memory.arena_bytes)}\n"
    )


def report_of(fn: Function, steps: Sequence[Step], target: Target) -> str:
    """The report of algorithms for a function and the passes it is compiled with."""
    names = [step.name for step in steps]
    if "winograd" not in names:
        return "no algorithms are chosen: there is no pass 'winograd'\n"
    place = names.index("winograd")
    choice = steps[place].options.get("choice", "auto")
    assert isinstance(choice, (str, int))
    errors = Errors()
    before = run_passes(fn, steps[:place], verify="off")
    layers = plan_convolutions(before, errors, target=target, choice=choice)
    shown = convolution_report(layers, errors, target)
    if "strassen" not in names or steps[names.index("strassen")].options.get("choice") == "off":
        return shown
    products = product_report(plan_products(before, target), target)
    return f"{shown}\n{products}" if products else shown


def product_report(products: Sequence[Product], target: Target) -> str:
    """A line for each product by a constant matrix that has halves; empty if there is none."""
    costs = [(entry, cycles_by_block(sizes_of(entry.product), target)) for entry in products
             if applies(entry.product)]
    rows = [_product_row(entry, cycles, target) for entry, cycles in costs if cycles]
    if not rows:
        return ""
    right = range(PRODUCT_HEADER.index("algorithm") + 1, len(PRODUCT_HEADER) - 1)
    return f"{table([PRODUCT_HEADER, *rows], right=right)}\n\n{LEGEND}\n"


def _product_row(
    entry: Product, cycles: Mapping[StrassenBlock, float], target: Target
) -> Sequence[str]:
    sizes = sizes_of(entry.product)
    missed = entry.block is None and entry.error is not None
    return (
        str(entry.location),
        f"{sizes.rows}x{sizes.depth}x{sizes.columns}",
        "whole" if entry.block is None else f"halves {entry.block}",
        f"{whole_cycles(sizes, target):.0f}",
        f"{min(cycles.values()):.0f}",
        "-" if entry.error is None else f"{entry.error:.1e}",
        f"not in halves: beyond {LIMIT:.1e}" if missed else "",
    )


def convolution_report(layers: Sequence[Layer], errors: Errors, target: Target) -> str:
    """A line for each convolution, then what the Winograd algorithms may lose together."""
    if not layers:
        return "no convolutions\n"
    rows = [_row(layer, errors.of(layer.conv, layer.algorithm), target) for layer in layers]
    right = range(HEADER.index("algorithm") + 1, len(HEADER) - 1)
    shown = table([HEADER, *rows], right=right)
    total = f"the Winograd algorithms may lose {errors.sum_of(layers):.1e} in all"
    limits = f"{LAYER_LIMIT:.0e} a layer and {MODEL_LIMIT:.0e} in all"
    return f"{shown}\n\n{LEGEND}\n{total}; without being asked, at most {limits}\n"


def _row(layer: Layer, error: float | None, target: Target) -> Sequence[str]:
    cycles = cycles_of(layer.conv, target)
    predicted = [f"{cycles[name]:.0f}" if name in cycles else "-" for name in ALGORITHMS]
    measured = "-" if error is None else f"{error:.1e}"
    return (
        str(layer.location),
        _sizes(layer.conv),
        layer.algorithm,
        *predicted,
        measured,
        layer.note or _remark(layer, error),
    )


def _remark(layer: Layer, error: float | None) -> str:
    """What is remarkable about a layer that did not fall back."""
    inaccurate = error is not None and error > LAYER_LIMIT and layer.algorithm in TILES
    return f"as asked, beyond {LAYER_LIMIT:.0e}" if inaccurate else ""


def _sizes(conv: Conv) -> str:
    """`1x56x56x64 -> 1x56x56x64, 3x3`, and what is unusual about it."""
    shapes = ("x".join(map(str, shape)) for shape in (conv.x.shape, conv.infer().shape))
    kernel = "x".join(map(str, conv.weight.shape[2:]))
    strides = "" if set(conv.strides) == {1} else f", strides {'x'.join(map(str, conv.strides))}"
    groups = "" if conv.groups == 1 else f", {conv.groups} groups"
    return f"{' -> '.join(shapes)}, {kernel}{strides}{groups}"
